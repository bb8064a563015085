"""The engine for hosts that drive it block by block: parameters, prepare, process, render_block.

Names are looked up on first use, so that the table of parameters can be read without loading the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from melodygen.engine.core import Engine
    from melodygen.engine.parameters import Parameter
    from melodygen.engine.phrase import Phrase
    from melodygen.engine.process import ProcessWriter
    from melodygen.engine.status import Status
    from melodygen.engine.writer import ModelWriter, PhraseRequest, Writer

_HOME = {
    "Engine": "core",
    "ModelWriter": "writer",
    "Parameter": "parameters",
    "Phrase": "phrase",
    "PhraseRequest": "writer",
    "ProcessWriter": "process",
    "Status": "status",
    "Writer": "writer",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'melodygen.engine' has no attribute {name!r}")
    return getattr(import_module(f"melodygen.engine.{_HOME[name]}"), name)
