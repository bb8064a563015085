"""What the parts of melodygen promise each other. Plug-ins fill these Protocols; nothing here does work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from melodygen.audio.buffer import Audio
from melodygen.music.score import Score
from melodygen.request import Request
from melodygen.styles.scores import StyleScores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from melodygen.audio.features import Features, FrontEndConfig


@dataclass(frozen=True)
class Draft:
    """One piece as a generator wrote it. ``log_prob_per_token`` in nats, of the tokens it chose itself.

    ``as_written``  the piece before it was moved to the key and tempo that were asked for, where it was: the loop
                    chooses by that, so that a seed gives the same piece in every key and tempo.
    ``model_id``    the model that wrote it, where several write together; empty for the generator's own.
    ``obtained``    what it has of the controls that were asked for, by name, where the generator measures that.
    """

    score: Score
    seed: int
    log_prob_per_token: float
    num_tokens: int
    as_written: Score | None = None
    model_id: str = ""
    obtained: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Generator(Protocol):
    """Writes music. The same request, seeds, model and machine type give the same drafts."""

    @property
    def model_id(self) -> str:
        """Name and hash of the model, for the provenance."""
        ...

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles it writes, by name."""
        ...

    def generate(
        self,
        request: Request,
        seeds: Sequence[int],
        progress: Callable[[float], None] | None = None,
    ) -> list[Draft]:
        """One draft for each seed, all written as one batch. ``progress`` gets 0.0-1.0."""
        ...


@runtime_checkable
class DraftByDraft(Generator, Protocol):
    """A Generator that hands out drafts as they are written, so that the first is heard while others are written."""

    def generate_each(
        self,
        request: Request,
        seeds: Sequence[int],
        progress: Callable[[float], None] | None = None,
    ) -> Iterator[list[tuple[int, Draft]]]:
        """The drafts that are ready, each with the index of its seed, in any order. The drafts are those of
        ``generate``."""
        ...


@runtime_checkable
class WritesForm(Generator, Protocol):
    """A Generator that brings pieces into ``request.form`` itself; from others a theme is asked for, and arranged."""

    writes_form: bool


@runtime_checkable
class Renderer(Protocol):
    """Turns music into sound."""

    renderer_id: str

    def render(self, score: Score, sample_rate: int = 44_100, quality: str = "full") -> Audio:
        """``full``: stereo, reverb, loudness set, tail kept. ``draft``: quick and mono, for the classifier."""
        ...


@runtime_checkable
class StemRenderer(Renderer, Protocol):
    """A Renderer that can also give each track on its own."""

    def render_stems(self, score: Score, sample_rate: int = 44_100) -> tuple[Audio, Iterator[Audio]]:
        """The recording as ``render`` makes it, and then the stem of each track, in order. The stems have the levels
        of the recording and sum to it."""
        ...


@runtime_checkable
class ProgressRenderer(Renderer, Protocol):
    """A Renderer that tells how far it is: a long file takes minutes."""

    def render_with_progress(
        self,
        score: Score,
        progress: Callable[[float], None],
        sample_rate: int = 44_100,
        quality: str = "full",
    ) -> Audio:
        """The recording as ``render`` makes it. ``progress`` gets 0.0-1.0."""
        ...


@runtime_checkable
class StyleClassifier(Protocol):
    """Tells the style of recordings. Equal audio gives equal scores."""

    classifier_id: str
    labels: tuple[str, ...]

    def classify(self, recordings: Sequence[Audio]) -> list[StyleScores]:
        """One StyleScores for each recording, any length and sample rate."""
        ...


@runtime_checkable
class WindowClassifier(StyleClassifier, Protocol):
    """A StyleClassifier that works window by window and can be looked into; a CNN checkpoint is one.

    What needs it: style over time, telling music from noise, pictures, maps, evaluation. ``front_end`` says what a
    window is, ``temperature`` divides the averaged logits. Letters: W windows, F bands, T frames, E embedding.
    """

    front_end: FrontEndConfig
    temperature: float

    def outputs(self, windows: Features) -> tuple[Features, NDArray[np.float64]]:
        """(W, F, T) features -> (W, E) embeddings and (W, labels) logits, before the temperature."""
        ...

    def window_logits(self, windows: Features) -> NDArray[np.float64]:
        """(W, F, T) features -> (W, labels) logits, before the temperature."""
        ...

    def music_logits(self, embedded: Features) -> NDArray[np.float64] | None:
        """(W, E) -> (W,): above 0 for music, below for speech and noise; None where it cannot tell."""
        ...

    def scores(self, logits: NDArray[np.float64]) -> StyleScores:
        """Averaged logits of a recording (labels,) as probabilities."""
        ...
