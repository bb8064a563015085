"""Opens an output of whichever kind its name asks for."""

from __future__ import annotations

from melodygen.live.jack_library import FrameClock
from melodygen.live.jack_output import JackOutput
from melodygen.live.ports import CLIENT, JACK_PREFIX, PortOutput, is_jack

Output = PortOutput | JackOutput


def open_output(name: str, client_name: str = CLIENT, frames: FrameClock | None = None) -> Output:
    """Open the port that ``name`` asks for: ``jack``, ``jack:NAME`` or a port of the system.

    Raises:
        PortError: the port cannot be opened.
    """
    return JackOutput(name, client_name, frames) if is_jack(name) else PortOutput(name)


def open_own(name: str, frames: FrameClock | None = None) -> Output:
    """Open a port of our own, called ``name``; JACK's where ``frames`` are given."""
    if frames is not None:
        return JackOutput(JACK_PREFIX, name, frames)
    return PortOutput(name, virtual=True)
