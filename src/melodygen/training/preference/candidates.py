"""The candidates of a preference run: rated as the loop rates them, and set against each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from melodygen.contracts import Draft, Renderer, StyleClassifier
from melodygen.data.dataset import Example
from melodygen.evaluation.band import band_figures, closeness
from melodygen.generation.loop import rate
from melodygen.generation.neural import NeuralGenerator
from melodygen.generation.stream import PieceStream
from melodygen.request import Request
from melodygen.tokens.codec import decode
from melodygen.tokens.grid import Piece
from melodygen.training.preference.config import PAIRS_A_GROUP
from melodygen.training.preference.dpo import Pair

TUNED_BAND = (
    "kick_bass", "snare a bar", "bass in chord", "bass root", "bass repeats", "tune clash", "tune returns",
    "top line repeats", "top line on beat", "key heard",
)  # fmt: skip
"""The band figures that candidates are ranked by."""
OTHER_BAND = (
    "kick on 1", "repeats, melody", "repeats, chords", "repeats, bass", "repeats, drums", "swing",
    "swing spread", "phrase ends", "longest silence",
)  # fmt: skip
"""Those that nothing is ranked by; they are measured before and after."""
LEAST_MARGIN = 1.0
"""Standard deviations, summed over the three marks, by which the preferred piece must be better."""
STYLE_SLACK = 0.02
"""Style probability that the preferred piece may lack."""
LONGER = 1.5
"""A piece with so many times the tokens of the other makes no pair: length is not what is to be learned."""

Quartiles = Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Rated:
    """One candidate: its tokens and its marks.

    Attributes:
        ids: all tokens, ``header_length`` of them the header's.
        seed: its seed.
        style: probability of the style, by the CNN that the loop uses.
        quality: 0-1, by ``melodygen.generation.quality``.
        flaw: why the loop would turn it down; empty for none.
    """

    ids: tuple[int, ...]
    header_length: int
    seed: int
    style: float = 0.0
    quality: float = 0.0
    flaw: str = ""

    @property
    def piece(self) -> Piece:
        """The music."""
        return decode(self.ids)

    def example(self, style: str, context: int) -> Example:
        """What the net learns from: the tokens that fit into its context."""
        ids = np.array(self.ids[: context + 1], dtype=np.int16)
        return Example(ids, style, 0, self.header_length, ())

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Rated:
        """Read what ``vars`` gave."""
        return cls(**{**record, "ids": tuple(record["ids"])})


class _Recorder:
    """A generator that keeps the streams of its drafts."""

    def __init__(self, inner: NeuralGenerator) -> None:
        self._inner = inner
        self.model_id, self.styles = inner.model_id, inner.styles
        self.streams: list[PieceStream] = []

    def generate(
        self, request: Request, seeds: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> list[Draft]:
        written = self._inner.write(request, seeds, progress)
        self.streams += [stream for _, stream in written]
        return [draft for draft, _ in written]


def usual_request(generator: NeuralGenerator, style: str, bars: int) -> Request:
    """What ``generate --style`` asks for where nothing else is said."""
    usual = generator.style_info[style]
    return Request(style, bars, qpm=usual.qpm, meter=usual.meter, tracks=usual.tracks)


def write_rated(
    generator: NeuralGenerator, renderer: Renderer, classifier: StyleClassifier, request: Request,
    seeds: Sequence[int],
) -> list[Rated]:  # fmt: skip
    """Write a candidate for each seed and rate it as the loop does."""
    recorder = _Recorder(generator)
    found = rate(request, recorder, renderer, classifier, seeds)
    return [
        replace(_plain(stream, candidate.draft.seed), style=candidate.record.style_probability,
                quality=candidate.record.quality, flaw=candidate.record.flaw)
        for stream, candidate in zip(recorder.streams, found, strict=True)
    ]  # fmt: skip


def write_plain(generator: NeuralGenerator, request: Request, seeds: Sequence[int]) -> list[Rated]:
    """Write a candidate for each seed, without marks."""
    written = generator.write(request, seeds)
    return [_plain(stream, seed) for (_, stream), seed in zip(written, seeds, strict=True)]


def _plain(stream: PieceStream, seed: int) -> Rated:
    return Rated(tuple(int(t) for t in stream.ids), len(stream.head), seed)


def band_mark(piece: Piece, human: Quartiles, tuned: bool = True) -> float:
    """How near the figures of ``TUNED_BAND`` (``tuned``) or ``OTHER_BAND`` lie to where people's do, 0-1.

    NaN where there is nothing to compare.
    """
    names = TUNED_BAND if tuned else OTHER_BAND
    chosen = {name: quartiles for name, quartiles in human.items() if name in names}
    return closeness(band_figures(piece), chosen)


def merits(group: Sequence[Rated], human: Quartiles) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Merit of each candidate of a group: style (log-odds), quality and band, each in the group's standard deviations,
    added up."""
    style = np.clip([c.style for c in group], 1e-4, 1 - 1e-4)
    marks = [np.log(style / (1 - style)), np.array([c.quality for c in group])]
    if human:
        marks.append(np.array([band_mark(c.piece, human) for c in group]))
    total = np.zeros(len(group))
    for mark in marks:
        known = mark[np.isfinite(mark)]
        if len(known) > 1 and known.std() > 1e-9:
            total += np.nan_to_num((mark - known.mean()) / known.std(), nan=0.0)
    return total


def make_pairs(group: Sequence[Rated], human: Quartiles, style: str, context: int) -> list[Pair]:
    """Set the best of a group against the worst that it can be set against, then the second best, and so on."""
    merit = merits(group, human)
    order = sorted(range(len(group)), key=lambda i: (not group[i].flaw, merit[i]), reverse=True)
    pairs: list[Pair] = []
    while len(order) > 1 and len(pairs) < PAIRS_A_GROUP:
        better = order.pop(0)
        worse = next(
            (i for i in reversed(order) if _is_clear(group[better], group[i], merit[better] - merit[i])), None
        )
        if worse is not None:
            order.remove(worse)
            pairs.append(Pair(group[better].example(style, context), group[worse].example(style, context)))
    return pairs


def _is_clear(better: Rated, worse: Rated, margin: float) -> bool:
    """Whether one is to be preferred to the other, and not for its length."""
    shorter, longer = sorted((len(better.ids), len(worse.ids)))
    clear = margin >= LEAST_MARGIN and better.style >= worse.style - STYLE_SLACK
    return not better.flaw and (clear or bool(worse.flaw)) and longer <= LONGER * shorter
