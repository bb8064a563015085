"""What the parts of melodygen promise each other. Plug-ins fill these Protocols; nothing here does work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from melodygen.audio import Audio
from melodygen.score import Score
from melodygen.styles import StyleScores


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


@dataclass(frozen=True)
class Draft:
    """One piece as a generator wrote it. ``log_prob_per_token`` in nats, of the tokens it chose itself."""

    score: Score
    seed: int
    log_prob_per_token: float
    num_tokens: int


@runtime_checkable
class Generator(Protocol):
    """Writes music. The same request, seeds, model and machine type give the same drafts."""

    model_id: str
    styles: tuple[str, ...]

    def generate(
        self,
        request: Request,
        seeds: Sequence[int],
        progress: Callable[[float], None] | None = None,
    ) -> list[Draft]:
        """One draft for each seed, all written as one batch. ``progress`` gets 0.0-1.0."""
        ...


@runtime_checkable
class Renderer(Protocol):
    """Turns music into sound."""

    renderer_id: str

    def render(self, score: Score, sample_rate: int = 44_100, quality: str = "full") -> Audio:
        """``full``: stereo, reverb, loudness set, tail kept. ``draft``: quick and mono, for the classifier."""
        ...


@runtime_checkable
class StyleClassifier(Protocol):
    """Hears style. Equal audio gives equal scores."""

    classifier_id: str
    labels: tuple[str, ...]

    def classify(self, recordings: Sequence[Audio]) -> list[StyleScores]:
        """One StyleScores for each recording, any length and sample rate."""
        ...
