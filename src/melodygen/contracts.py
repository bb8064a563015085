"""What the parts of melodygen promise each other. Plug-ins fill these Protocols; nothing here does work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from melodygen.audio.buffer import Audio
from melodygen.music.score import Score
from melodygen.request import Request
from melodygen.styles.scores import StyleScores


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
