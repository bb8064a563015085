"""What is asked of a generator: style, form, given music, and how boldly it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from melodygen.music.score import Score


@dataclass(frozen=True)
class Request:
    """What is asked of a generator. ``None`` leaves the choice to the model.

    ``tracks``   roles in the order they are written in each bar; ``given`` roles come first.
    ``chords``   one list of Harte labels a bar, evenly spread over the bar.
    ``prompt``   bars to go on from: a Score whose bars stand before the new ones.
    ``given``    a Score whose roles are kept and written around (accompaniment, melody over a bass).
    ``fill``     (first, count): which bars of ``given`` to write anew, from 0; the rest is context.
    ``density``  0.0 (sparse) to 1.0 (dense), relative to the style.
    ``goes_on``  more will follow: the last bar does not end the piece.
    ``temperature``, ``top_p``  None: what suits the style in this model.
    ``raw``      as the net alone writes: it leans neither on the chord, nor back, nor home at the end.
    """

    style: str
    bars: int = 16
    qpm: float | None = None
    meter: tuple[int, int] | None = None
    key: tuple[int, str] | None = None
    tracks: tuple[str, ...] = ("melody", "chords", "bass", "drums")
    chords: tuple[tuple[str, ...], ...] | None = None
    prompt: Score | None = None
    given: Score | None = None
    given_roles: tuple[str, ...] = ()
    fill: tuple[int, int] | None = None
    density: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int = 0
    raw: bool = False
    goes_on: bool = False
