"""How well a classifier does: accuracy, precision, recall, F1, confusion, calibration, intervals, a picture.

Rows of a confusion matrix are the true labels, columns what was heard. N items, C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path

Probabilities = NDArray[np.float64]
Targets = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Report:
    """Figures between 0 and 1. ``precision``, ``recall`` and ``f1`` are per label, NaN for a label that is not there.

    ``interval``           95 % bootstrap interval of the accuracy over items.
    ``balanced_accuracy``  mean recall over the labels that are there.
    ``calibration_error``  expected calibration error of the top probability, 10 bins of equal width.
    """

    labels: tuple[str, ...]
    num_items: int
    accuracy: float
    interval: tuple[float, float]
    balanced_accuracy: float
    macro_f1: float
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    confusion: NDArray[np.int64]
    calibration_error: float


def confusion_matrix(heard: Targets, targets: Targets, num_labels: int) -> NDArray[np.int64]:
    """(C, C) counts."""
    matrix = np.zeros((num_labels, num_labels), dtype=np.int64)
    np.add.at(matrix, (targets, heard), 1)
    return matrix


def calibration_error(probabilities: Probabilities, targets: Targets, bins: int = 10) -> float:
    """Mean distance of confidence and accuracy over bins of the top probability, weighted by their items."""
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    index = np.minimum((top * bins).astype(int), bins - 1)
    error = 0.0
    for b in range(bins):
        held = index == b
        if held.any():
            error += held.mean() * abs(float(top[held].mean()) - float(right[held].mean()))
    return error


def report(probabilities: Probabilities, targets: Targets, labels: Sequence[str], seed: int = 0) -> Report:
    """All figures of (N, C) probabilities against (N,) label indices."""
    heard = probabilities.argmax(axis=1)
    matrix = confusion_matrix(heard, targets, len(labels))
    hits, there, named = np.diag(matrix).astype(float), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / there
        precision = np.where(there > 0, np.where(named > 0, hits / named, 0.0), np.nan)
        f1 = np.where(there > 0, 2 * hits / (there + named), np.nan)
    right = heard == targets
    rng = np.random.default_rng(seed)
    draws = right[rng.integers(0, len(right), (2000, len(right)))].mean(axis=1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Report(
        tuple(labels), len(targets), float(right.mean()), (float(low), float(high)), float(np.nanmean(recall)),
        float(np.nanmean(f1)), precision, recall, f1, matrix, calibration_error(probabilities, targets),
    )  # fmt: skip


def softmax(logits: NDArray[np.floating]) -> Probabilities:
    """Probabilities (N, C) of logits (N, C)."""
    scaled = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    likelihood = np.exp(scaled)
    result: Probabilities = likelihood / likelihood.sum(axis=1, keepdims=True)
    return result


def mean_by_group(values: NDArray[np.floating], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """(G, C): means of rows (N, C) with equal group, groups in ascending order."""
    names, index = np.unique(groups, return_inverse=True)
    total = np.zeros((len(names), values.shape[1]))
    np.add.at(total, index, values)
    mean: NDArray[np.float64] = total / np.bincount(index)[:, None]
    return mean


def plot_confusion(target: Path, result: Report, title: str) -> None:
    """A PNG of the confusion matrix: shares of each true label, counts in the cells."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = np.flatnonzero(result.confusion.sum(axis=1))
    counts = result.confusion[rows]
    share = counts / counts.sum(axis=1, keepdims=True)
    figure = Figure(figsize=(6.4, 1.6 + 0.48 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    labels = [label.replace("$", r"\$") for label in result.labels]  # else it begins a formula
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), [labels[r] for r in rows])
    axes.set_xlabel("heard")
    axes.set_ylabel("true")
    axes.set_title(f"{title}: accuracy {result.accuracy:.1%} of {result.num_items}", fontsize=10)
    for y in range(len(rows)):
        for x in range(len(result.labels)):
            if counts[y, x]:
                colour = "white" if share[y, x] > 0.55 else "black"
                axes.text(x, y, str(counts[y, x]), ha="center", va="center", fontsize=8, color=colour)
    with atomic_path(target, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


__all__ = [
    "Report", "calibration_error", "confusion_matrix", "mean_by_group", "plot_confusion", "report", "softmax",
]  # fmt: skip
