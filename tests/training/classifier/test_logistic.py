"""The regression of a style head against scikit-learn's, and its figures where nothing can be learned."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from melodygen.training.classifier.logistic import (
    PENALTIES,
    USUAL_PENALTY,
    best_penalty,
    cross_validated,
    even_weights,
    fit_path,
)


def blobs(
    counts: tuple[int, ...], apart: float, seed: int = 0, size: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(len(counts)), counts)
    return rng.normal(size=(len(targets), size)) + apart * np.eye(len(counts), size)[targets], targets


def test_it_is_the_regression_that_scikit_learn_fits() -> None:
    rows, targets = blobs((40, 12, 25), 1.5)
    rows = rows * np.linspace(0.1, 30, rows.shape[1]) + 7
    standard = StandardScaler().fit_transform(rows)
    for penalty, fit in zip(PENALTIES, fit_path(rows, targets, 3, PENALTIES), strict=True):
        known = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=5000, tol=1e-8)
        wanted = known.fit(standard, targets).predict_proba(standard)
        logits = fit.logits(rows)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        assert np.abs(shares / shares.sum(axis=1, keepdims=True) - wanted).max() < 5e-3, penalty


def test_labels_count_evenly_and_one_without_items_never_wins() -> None:
    targets = np.array([0] * 30 + [2] * 3)
    weights = even_weights(targets)
    assert weights.sum() == pytest.approx(33) and weights[:30].sum() == pytest.approx(weights[30:].sum())
    rows, _ = blobs((30, 3), 0.0)
    fit = fit_path(rows, targets, 4, (10.0,))[0]
    assert set(fit.logits(rows).argmax(axis=1).tolist()) <= {0, 2}


def test_what_is_alike_within_a_group_alone_is_not_learned() -> None:
    """Labels are drawn for each group: only a fit that saw the group can tell them."""
    rng = np.random.default_rng(1)
    centres, labels = rng.normal(size=(40, 12)), rng.integers(0, 2, 40)
    groups = np.repeat(np.arange(40), 5)
    rows = centres[groups] + 0.01 * rng.normal(size=(200, 12))
    targets = labels[groups]
    whole = fit_path(rows, targets, 2, (PENALTIES[-1],))[0]
    assert (whole.logits(rows).argmax(axis=1) == targets).mean() > 0.7, "the rows themselves can be learned"
    tested = cross_validated(rows, targets, [str(g) for g in groups], 2, 0)
    assert tested.is_tested.all()
    assert 0.3 < (tested.logits.argmax(axis=1) == targets).mean() < 0.62


def test_what_was_learned_from_others_is_told_and_a_lone_group_is_not_tested() -> None:
    rows, targets = blobs((20, 20, 6), 5.0)
    groups = [f"{i}" for i in range(40)] + ["all of one"] * 6
    tested = cross_validated(rows, targets, groups, 3, 0)
    assert tested.is_tested.tolist() == [True] * 40 + [False] * 6
    assert (tested.logits.argmax(axis=1) == targets)[:40].mean() > 0.9
    assert best_penalty(rows, targets, ["a"] * 20 + ["b"] * 26, 3, 0) == USUAL_PENALTY, (
        "nothing can be compared"
    )
