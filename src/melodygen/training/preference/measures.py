"""What a model is measured by before and after: marks that it was tuned by, and others that it was not.

The second judge reads notes, where the CNN hears sound (``melodygen.evaluation.note_classifier``). It is fitted on a
folder of human music where one is given that holds the style and another one, else on what the start writes in its
styles: then it tells whether the music still is what the start meant by the style.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from melodygen.data.dataset import Example
from melodygen.errors import TokenError
from melodygen.evaluation.diversity import Diversity, with_errors
from melodygen.evaluation.note_classifier import NoteStatisticsClassifier
from melodygen.tokens.codec import Header, encode, tempo_band
from melodygen.tokens.grid import Piece, piece_to_columns
from melodygen.training.generator.trainer import validation_loss
from melodygen.training.preference.candidates import Quartiles, Rated, band_mark

TUNED = ("style probability", "quality", "band, ranked by", "without a flaw")
LOWER_IS_BETTER = ("likeness of pieces", "loss on human music")
CHANCE = 1.64
"""Standard errors by which a measure must change to be called risen or fallen: 95 %, one-sided."""
LEAST_SHARE = 0.85
"""Share of the start's distinct n-grams and entropy that must remain; its likeness may grow by the inverse."""
MOST_LOSS = 1.03
"""Rise of the loss on human music that is no fall: what training on a folder may cost the old styles."""
MOST_HUMAN = 32
"""Windows of human music that the loss is measured on."""

Measures = dict[str, tuple[float, float]]
"""Value and standard error by name."""


@dataclass(frozen=True)
class Row:
    """One measure before and after.

    Attributes:
        name: what is measured.
        before: on what the start writes.
        after: on what the tuned model writes from the same seeds.
        error: standard error of the difference.
        tuned_by: candidates were ranked by it.
        fell: it is worse by more than chance; never said of what the model was tuned by.
    """

    name: str
    before: float
    after: float
    error: float
    tuned_by: bool
    fell: bool

    @property
    def rose(self) -> bool:
        """Whether the value is larger by more than chance."""
        return self.after - self.before > CHANCE * self.error


@dataclass(frozen=True)
class Floor:
    """The least diversity: a share of the start's, or what people's music has where that is less."""

    start: Diversity
    human: Diversity | None = None

    def broken(self, now: Diversity) -> str:
        """What is below the floor, with its limit; empty where nothing is."""
        human = self.human or self.start
        checks = (
            ("distinct n-grams", now.distinct, min(LEAST_SHARE * self.start.distinct, human.distinct), 1),
            ("entropy", now.entropy, min(LEAST_SHARE * self.start.entropy, human.entropy), 1),
            (
                "likeness of pieces",
                now.likeness,
                max(self.start.likeness / LEAST_SHARE + 0.01, human.likeness),
                -1,
            ),
        )
        for name, value, limit, sign in checks:
            if not math.isnan(limit) and not sign * value >= sign * limit:
                return f"{name} {value:.3f}, limit {limit:.3f}"
        return ""


class Judge:
    """The second judge of a style."""

    def __init__(self, style: str, examples: Mapping[str, Sequence[Piece]], told: str, seed: int) -> None:
        self.style, self.told = style, told
        pieces = [(piece_to_columns(p), name) for name, listed in examples.items() for p in listed if p.roles]
        self._classifier = NoteStatisticsClassifier([p for p, _ in pieces], [n for _, n in pieces], seed)

    def probabilities(self, pieces: Sequence[Piece]) -> list[float]:
        """Of the style, of each piece; 0 for silence."""
        at = self._classifier.labels.index(self.style)
        return [float(self._classifier.judge(piece_to_columns(p))[at]) if p.roles else 0.0 for p in pieces]


def measure(rated: Sequence[Rated], human: Quartiles, judge: Judge) -> Measures:
    """Measure what a model wrote."""
    pieces = [r.piece for r in rated]
    found: Measures = {
        "style probability": _mean([r.style for r in rated]),
        "quality": _mean([r.quality for r in rated]),
    }
    if human:
        found["band, ranked by"] = _mean([band_mark(p, human) for p in pieces])
        found["band, not ranked by"] = _mean([band_mark(p, human, tuned=False) for p in pieces])
    found["second judge"] = _mean(judge.probabilities(pieces))
    found["without a flaw"] = _mean([float(not r.flaw) for r in rated])
    value, error = with_errors(pieces)
    found["distinct n-grams"] = (value.distinct, error.distinct)
    found["entropy"] = (value.entropy, error.entropy)
    found["likeness of pieces"] = (value.likeness, error.likeness)
    return found


def human_loss(net: nn.Module, examples: Sequence[Example], bf16: bool) -> Measures:
    """Loss on human music in nats a token; nothing where there is none."""
    return {"loss on human music": (validation_loss(net, examples, bf16=bf16)[0], 0.0)} if examples else {}


def human_examples(
    pieces: Sequence[Piece], style: str, slot: int, context: int, again: bool
) -> list[Example]:
    """Windows of human music as the net reads them."""
    found = []
    for piece in pieces[:MOST_HUMAN]:
        if not piece.roles:
            continue
        header = Header(
            slot, piece.bars[0].meter, tempo_band(piece.qpm), piece.key, None, False, False, piece.roles
        )
        try:
            ids = np.array(encode(piece, header, end=False, again=again)[: context + 1], dtype=np.int16)
        except TokenError:
            continue
        found.append(Example(ids, style, piece.num_notes(), 8 + len(piece.roles), piece.roles))
    return found


def compare(before: Measures, after: Measures) -> list[Row]:
    """Set both beside each other."""
    rows = []
    for name in before:
        (old, error), (new, other) = before[name], after[name]
        spread = math.hypot(*(e if math.isfinite(e) else 0.0 for e in (error, other)))
        worse = new - old if name in LOWER_IS_BETTER else old - new
        limit = old * (MOST_LOSS - 1) if name == "loss on human music" else CHANCE * spread
        tuned = name in TUNED
        rows.append(Row(name, old, new, spread, tuned, not tuned and worse > limit + 1e-9))
    return rows


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error of what is defined."""
    known = np.array([v for v in values if not math.isnan(v)])
    if not len(known):
        return math.nan, math.nan
    error = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else math.nan
    return float(known.mean()), error
