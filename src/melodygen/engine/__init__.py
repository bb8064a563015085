"""The plug-in style face of melodygen: parameters, prepare, process, render_block."""

from melodygen.engine.core import Engine
from melodygen.engine.parameters import Parameter
from melodygen.engine.phrase import Phrase
from melodygen.engine.process import ProcessWriter
from melodygen.engine.status import Status
from melodygen.engine.writer import ModelWriter, Order, Writer

__all__ = ["Engine", "ModelWriter", "Order", "Parameter", "Phrase", "ProcessWriter", "Status", "Writer"]
