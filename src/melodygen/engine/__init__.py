"""The plug-in style face of melodygen: parameters, prepare, process, render_block."""

from melodygen.engine.core import Engine
from melodygen.engine.parameters import Parameter
from melodygen.engine.phrase import Phrase
from melodygen.engine.process import ProcessWriter
from melodygen.engine.status import Status
from melodygen.engine.writer import ModelWriter, PhraseRequest, Writer

__all__ = [
    "Engine",
    "ModelWriter",
    "Parameter",
    "Phrase",
    "PhraseRequest",
    "ProcessWriter",
    "Status",
    "Writer",
]
