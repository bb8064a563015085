"""The status that the engine reports to a host after each block."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """What the engine did in the last block.

    Attributes:
        position_quarters: position of the host.
        qpm: tempo of the host.
        state: stopped, playing, repeating, resting or waiting.
        style: style of the phrase that plays.
        phrase_number: number of phrases placed so far.
        style_probability: of the phrase that plays; None where it was not classified.
        num_ready: phrases that wait to be played.
        standby: styles of which a phrase waits.
        muted: silenced roles.
        looping: the phrase repeats.
        frozen: nothing new is written.
        num_repeats: phrases that were repeated because the next was not written in time.
        num_gaps: rests because nothing was written in time.
        hurry: how the next phrase is written where the machine has no time for all that is wanted; empty
            otherwise.
        is_stored: the phrase that plays is a stored opening, not freshly written.
    """

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
    is_stored: bool = False
