"""How much the pieces that a model writes differ from one another and within themselves.

Tuning a generator towards a judge tends to make it write one piece again and again (Jonason, Casini and Sturm 2025
report it of their SMART; so do others of every reward). Three figures see that: the share of distinct n-grams (Li et
al. 2016), the entropy of what the notes do, and the likeness of one piece to another. All are of steps from note to
note (interval, time to the next note) of the tune, or of the top line where there is no tune, so they ignore the key.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from melodygen.evaluation.band import top_line
from melodygen.tokens.grid import Piece

GRAM = 4
"""Steps in an n-gram: five notes."""

Step = tuple[int, int]
Steps = list[Step]


@dataclass(frozen=True)
class Diversity:
    """Three figures of a set of pieces; NaN where there are too few notes.

    Attributes:
        distinct: share of the n-grams of all pieces together that are distinct, 0-1.
        entropy: of the single steps of all pieces together, in bits.
        likeness: mean share of n-grams that two pieces have in common (Jaccard), 0-1; low is diverse.
    """

    distinct: float
    entropy: float
    likeness: float


def diversity(pieces: Sequence[Piece]) -> Diversity:
    """Return the figures of a set of pieces. The first two fall with the number of notes: compare sets of one size."""
    return _diversity([_steps(piece) for piece in pieces])


def with_errors(pieces: Sequence[Piece]) -> tuple[Diversity, Diversity]:
    """Return the figures and their standard errors, by the jackknife over pieces."""
    steps = [_steps(piece) for piece in pieces]
    without = [_diversity(steps[:i] + steps[i + 1 :]) for i in range(len(steps))] if len(steps) > 2 else []

    def error(figure: Callable[[Diversity], float]) -> float:
        values = np.array([figure(d) for d in without])
        return float(np.sqrt((len(values) - 1) * values.var())) if len(values) else math.nan

    errors = Diversity(error(lambda d: d.distinct), error(lambda d: d.entropy), error(lambda d: d.likeness))
    return _diversity(steps), errors


def _diversity(listed: Sequence[Steps]) -> Diversity:
    grams = [[tuple(s[i : i + GRAM]) for i in range(len(s) - GRAM + 1)] for s in listed]
    total = sum(map(len, grams))
    counts = np.array(list(Counter(itertools.chain(*listed)).values()), dtype=np.float64)
    shares = counts / counts.sum() if len(counts) else counts
    sets = [set(g) for g in grams if g]
    pairs = [len(a & b) / len(a | b) for a, b in itertools.combinations(sets, 2)]
    return Diversity(
        len(set().union(*sets)) / total if total else math.nan,
        float(-(shares * np.log2(shares)).sum()) if len(shares) else math.nan,
        float(np.mean(pairs)) if pairs else math.nan,
    )


def _steps(piece: Piece) -> Steps:
    line = top_line(piece)
    return [(b[2] - a[2], b[0] - a[0]) for a, b in itertools.pairwise(line)]
