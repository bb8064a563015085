"""What the engine reports to a host after each block."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """What the engine did in the last block. ``state``: stopped, playing, repeating, resting, waiting."""

    position_quarters: float = 0.0
    qpm: float = 120.0
    state: str = "stopped"
    style: str = ""
    phrase_number: int = 0
    style_probability: float | None = None
    num_ready: int = 0
    standby: tuple[str, ...] = ()
    """Styles of which a phrase waits."""
    muted: tuple[str, ...] = ()
    looping: bool = False
    frozen: bool = False
    num_repeats: int = 0
    """How often a phrase was repeated because the next was not written in time."""
    num_gaps: int = 0
    """Rests since the music began, because nothing was written in time."""
    hurry: str = ""
    """How the next phrase is written where the machine has no time for all that was asked for: with fewer candidates,
    or unheard."""
