"""Multinomial logistic regression with an L2 penalty, and what it is worth on groups that it did not learn from.

Letters: N items, D inputs, C labels. Labels count evenly, however many items they have. The penalty is on the weights
of standardised inputs, beside a loss that is summed over items; scikit-learn's ``C`` is its inverse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from melodygen.evaluation.folds import grouped_folds

Floats = NDArray[np.float64]
Targets = NDArray[np.int64]

PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0)
"""From strong to weak: each fit begins at the one before."""
USUAL_PENALTY = 30.0
"""Where nothing can be compared."""
FOLDS, INNER_FOLDS = 5, 4
LEAST_SCALE = 1e-3
"""Of an input that hardly varies."""
UNSEEN = -1e4
"""Logit of a label that a fit saw no item of."""
MAX_ITERATIONS = 300


@dataclass(frozen=True, eq=False)
class Logistic:
    """A fit. ``mean`` and ``scale`` (D,) standardise inputs; ``weights`` (C, D) and ``bias`` (C,)."""

    mean: Floats
    scale: Floats
    weights: Floats
    bias: Floats

    def logits(self, rows: Floats) -> Floats:
        """Return (N, C) of rows (N, D)."""
        return np.asarray((rows - self.mean) / self.scale @ self.weights.T + self.bias)


@dataclass(frozen=True, eq=False)
class Tested:
    """Logits (N, C) from fits that saw no item of the same group, and (N,) whether the label was among what that fit
    learned from: items of others say nothing."""

    logits: Floats
    is_tested: NDArray[np.bool_]


def even_weights(targets: Targets) -> Floats:
    """Weights (N,) that sum to N and give each label that is there the same share."""
    counts = np.bincount(targets)
    return np.asarray(len(targets) / (np.count_nonzero(counts) * counts[targets]))


def fit_path(rows: Floats, targets: Targets, num_labels: int, penalties: Sequence[float]) -> list[Logistic]:
    """Fit with each penalty.

    Args:
        rows: (N, D).
        targets: (N,) label indices.
        num_labels: C; labels without an item get a logit that never wins.
        penalties: in this order; each fit begins at the one before.
    """
    mean, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), LEAST_SCALE)
    standard = np.concatenate(((rows - mean) / scale, np.ones((len(rows), 1))), axis=1)
    there = np.unique(targets)
    wanted = (targets[:, None] == there).astype(np.float64)
    counts = even_weights(targets)[:, None]
    flat = np.zeros(standard.shape[1] * len(there))
    fits = []
    for penalty in penalties:

        def loss(values: Floats, penalty: float = penalty) -> tuple[float, Floats]:
            weights = values.reshape(standard.shape[1], len(there))
            log_share = log_softmax(standard @ weights, axis=1)
            kept = weights.copy()
            kept[-1] = 0.0  # the bias goes free
            slope = standard.T @ (counts * (np.exp(log_share) - wanted)) + penalty * kept
            return float(-(counts * wanted * log_share).sum() + penalty / 2 * (kept**2).sum()), slope.ravel()

        flat = minimize(loss, flat, jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS}).x
        found = flat.reshape(standard.shape[1], len(there))
        weights, bias = np.zeros((num_labels, rows.shape[1])), np.full(num_labels, UNSEEN)
        weights[there], bias[there] = found[:-1].T, found[-1] - found[-1].mean()
        fits.append(Logistic(mean, scale, weights, bias))
    return fits


def best_penalty(rows: Floats, targets: Targets, groups: Sequence[str], num_labels: int, seed: int) -> float:
    """Return the penalty with the least cross-entropy on other groups, labels counted evenly."""

    def learned(inside: Targets) -> list[Logistic]:
        return fit_path(rows[inside], targets[inside], num_labels, PENALTIES)

    parts = _parts(targets, groups, INNER_FOLDS, seed)
    tested = _tested(rows, targets, num_labels, parts, learned, len(PENALTIES))
    kept = tested[0].is_tested
    if not kept.any():
        return USUAL_PENALTY
    weights = even_weights(targets[kept])

    def loss(found: Tested) -> float:
        log_share = log_softmax(found.logits[kept], axis=1)
        return -float(weights @ log_share[np.arange(int(kept.sum())), targets[kept]])

    return PENALTIES[min(range(len(PENALTIES)), key=lambda i: loss(tested[i]))]


def cross_validated(
    rows: Floats,
    targets: Targets,
    groups: Sequence[str],
    num_labels: int,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> Tested:
    """Test the whole way of learning: each fold's penalty is chosen by the other folds alone."""
    names = np.array(groups)

    def learned(inside: Targets) -> list[Logistic]:
        penalty = best_penalty(rows[inside], targets[inside], names[inside].tolist(), num_labels, seed)
        return fit_path(rows[inside], targets[inside], num_labels, (penalty,))

    return _tested(rows, targets, num_labels, _parts(targets, groups, FOLDS, seed), learned, 1, progress)[0]


def _tested(
    rows: Floats,
    targets: Targets,
    num_labels: int,
    parts: Sequence[tuple[Targets, Targets]],
    learned: Callable[[Targets], list[Logistic]],
    num_fits: int,
    progress: Callable[[float], None] | None = None,
) -> list[Tested]:
    """What each of ``num_fits`` fits, which ``learned`` makes of the items inside of a fold, says of those outside."""
    logits = [np.zeros((len(rows), num_labels)) for _ in range(num_fits)]
    is_tested = np.zeros(len(rows), dtype=np.bool_)
    for number, (inside, outside) in enumerate(parts, 1):
        if len(np.unique(targets[inside])) > 1:
            for held, fit in zip(logits, learned(inside), strict=True):
                held[outside] = fit.logits(rows[outside])
            is_tested[outside] = np.isin(targets[outside], targets[inside])
        if progress is not None:
            progress(number / len(parts))
    return [Tested(held, is_tested) for held in logits]


def _parts(targets: Targets, groups: Sequence[str], folds: int, seed: int) -> list[tuple[Targets, Targets]]:
    """Indices (inside, outside) of each fold; none for one fold alone."""
    fold = grouped_folds(groups, targets, max(2, min(folds, len(set(groups)))), seed)
    numbers = np.unique(fold)
    if len(numbers) < 2:
        return []
    return [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in numbers]


__all__ = [
    "PENALTIES",
    "USUAL_PENALTY",
    "Logistic",
    "Tested",
    "best_penalty",
    "cross_validated",
    "even_weights",
    "fit_path",
]
