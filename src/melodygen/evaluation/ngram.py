"""An interpolated Kneser-Ney n-gram over token ids: the baseline that a neural generator has to beat.

Counts are sorted arrays of keys (an n-gram written as one number in base V), not Python objects: ten million tokens
take seconds. One absolute discount an order, D = n1 / (n1 + 2 n2), and continuation counts below the highest order
(Ney, Essen & Kneser 1994; Chen & Goodman 1999). A sequence is padded in front; what lies below the unigram is uniform.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.tokens.vocabulary import PAD, VOCABULARY

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_MAX_KEY = 2**63


@dataclass(frozen=True, eq=False)
class _Level:
    """One order: ``keys`` with ``counts``; for each context its total and the number of words seen after it."""

    keys: Ints
    counts: Ints
    contexts: Ints
    totals: Ints
    types: Ints
    discount: float


@dataclass(frozen=True, eq=False)
class Ngram:
    """``levels[n - 1]`` holds the n-grams."""

    levels: tuple[_Level, ...]
    vocabulary_size: int
    num_tokens: int

    @property
    def order(self) -> int:
        """Length of the longest context."""
        return len(self.levels)

    def log_prob(self, ids: NDArray[np.integer]) -> Floats:
        """Natural log probability of ``ids[1:]``, each given what stands before it."""
        keys = _keys(np.asarray(ids, dtype=np.int64), self.order, self.vocabulary_size)[1:]
        p = np.full(len(keys), 1.0 / self.vocabulary_size)
        for n, level in enumerate(self.levels, start=1):
            gram = keys % self.vocabulary_size**n
            count = _look_up(level.keys, level.counts, gram)
            total = _look_up(level.contexts, level.totals, gram // self.vocabulary_size)
            types = _look_up(level.contexts, level.types, gram // self.vocabulary_size)
            seen = np.maximum(total, 1)
            here = np.maximum(count - level.discount, 0.0) / seen + level.discount * types / seen * p
            p = np.where(total > 0, here, p)
        return np.asarray(np.log(p))


def train_ngram(
    sequences: Iterable[NDArray[np.integer]], order: int = 5, vocabulary_size: int = VOCABULARY.size
) -> Ngram:
    """Count the n-grams of all sequences; none reaches over the end of its sequence."""
    if vocabulary_size**order >= _MAX_KEY:
        raise ValueError(
            f"order {order} over {vocabulary_size} tokens does not fit a 64-bit key; take a lower order"
        )
    grams = [_keys(np.asarray(s, dtype=np.int64), order, vocabulary_size) for s in sequences]
    flat = np.concatenate(grams) if grams else np.zeros(0, np.int64)
    keys, counts = np.unique(flat, return_counts=True)
    levels = [_level(keys, counts, vocabulary_size)]
    for n in range(order - 1, 0, -1):
        keys, counts = np.unique(keys % vocabulary_size**n, return_counts=True)
        levels.append(_level(keys, counts, vocabulary_size))
    return Ngram(tuple(reversed(levels)), vocabulary_size, len(flat))


def _keys(ids: Ints, order: int, size: int) -> Ints:
    """The n-gram that ends at each token."""
    padded = np.concatenate((np.full(order - 1, PAD, np.int64), ids))
    keys = np.zeros(len(ids), np.int64)
    for offset in range(order):
        keys = keys * size + padded[offset : offset + len(ids)]
    return keys


def _level(keys: Ints, counts: NDArray[np.int64], size: int) -> _Level:
    above = keys // size
    begins = np.flatnonzero(np.append(True, above[1:] != above[:-1])) if len(keys) else np.zeros(0, int)
    totals = np.add.reduceat(counts, begins) if len(keys) else np.zeros(0, np.int64)
    types = np.diff(np.append(begins, len(keys)))
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once else 0.5
    return _Level(keys, counts, above[begins], totals, types, discount)


def _look_up(keys: Ints, values: Ints, wanted: Ints) -> Ints:
    """The value at each key, 0 where there is none."""
    if not len(keys):
        return np.zeros_like(wanted)
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
