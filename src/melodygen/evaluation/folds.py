"""Cross-validation by group: clips of one artist, or tracks of one title, never on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def grouped_folds(
    groups: Sequence[str], targets: NDArray[np.int64], folds: int, seed: int = 0
) -> NDArray[np.int64]:
    """(N,): the fold of each item. Groups are dealt out largest first, each to the fold that most lacks its labels."""
    names = np.array(groups)
    rng = np.random.default_rng(seed)
    found = {name: np.flatnonzero(names == name) for name in rng.permutation(np.unique(names)).tolist()}
    labels = int(targets.max()) + 1 if len(targets) else 0
    goal = np.bincount(targets, minlength=labels) / folds
    held = np.zeros((folds, labels))
    result = np.zeros(len(names), dtype=np.int64)
    for name in sorted(found, key=lambda n: -len(found[n])):
        rows = found[name]
        here = np.bincount(targets[rows], minlength=labels)
        cost = (((held + here - goal) ** 2 - (held - goal) ** 2) / np.maximum(goal, 1e-9)).sum(axis=1)
        fold = int(np.argmin(cost))
        held[fold] += here
        result[rows] = fold
    return result


def grouped_interval(right: NDArray[np.bool_], groups: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the share that is right, drawing whole groups: clips of one artist are alike."""
    _, index = np.unique(np.array(groups), return_inverse=True)
    hits, sizes = np.bincount(index, weights=right), np.bincount(index)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(sizes), (2000, len(sizes)))
    shares = hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(low), float(high)


__all__ = ["grouped_folds", "grouped_interval"]
