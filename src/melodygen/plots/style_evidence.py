"""The evidence of a classification as a figure: the window that fits the style best, what matters in it,
styles over time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.audio.features import Features, band_edges_hz, mono_features, window_starts
from melodygen.classification.result import TrackResult
from melodygen.contracts import WindowClassifier

BANDS, SPANS = 8, 12
COLOURS = (
    "#3d7ea6", "#d1495b", "#2f9e6e", "#e0a030", "#9a7bb0", "#7a6a58", "#c86fa8", "#5bb5c5", "#888888", "#444477",
    "#b0b040",
)  # fmt: skip


def occlusion(classifier: WindowClassifier, window: Features, label: int) -> NDArray[np.float64]:
    """Return how much each patch of a window supports a style: (BANDS, SPANS), in nats.

    That is the fall of the log-probability of the style when the patch is replaced by the window's mean of
    each band. It is negative where the patch spoke against the style.

    Args:
        classifier: the net to ask.
        window: (F, T) features.
        label: index of the style.
    """
    bands, frames = window.shape
    rows, columns = (
        np.linspace(0, bands, BANDS + 1).astype(int),
        np.linspace(0, frames, SPANS + 1).astype(int),
    )
    hidden = np.repeat(window[None], BANDS * SPANS + 1, axis=0)
    blank = window.mean(axis=1, keepdims=True)
    for i in range(BANDS):
        for j in range(SPANS):
            part = slice(rows[i], rows[i + 1])
            hidden[1 + i * SPANS + j, part, columns[j] : columns[j + 1]] = blank[part]
    logits = classifier.window_logits(hidden) / classifier.temperature
    top = logits.max(axis=1)
    log_prob = logits[:, label] - top - np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return np.asarray((log_prob[0] - log_prob[1:]).reshape(BANDS, SPANS))


def plot_result(
    target: Path, result: TrackResult, mono: Features, classifier: WindowClassifier, overwrite: bool = False
) -> None:
    """Write the evidence of a track's result as a PNG.

    Args:
        target: the file.
        result: what the classifier found.
        mono: the track at the front end's rate, or as much of it as shall be examined.
        classifier: the classifier that gave the result.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    config = classifier.front_end
    windows = mono_features(mono, config)
    logits = classifier.window_logits(windows)
    label = result.styles[0][0] if result.styles else classifier.labels[int(logits.mean(axis=0).argmax())]
    index = classifier.labels.index(label)
    likelihood = np.exp(logits - logits.max(axis=1, keepdims=True))
    best = int((likelihood[:, index] / likelihood.sum(axis=1)).argmax())
    over_time = bool(result.segments)
    figure = Figure(figsize=(11, 7.6 if over_time else 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3 if over_time else 2, 1, squeeze=False)[:, 0]
    start = float(window_starts(len(mono), config)[best]) / config.sample_rate if len(windows) > 1 else 0.0
    extent = (start, start + config.window_seconds, 0, config.n_mels)
    axes[0].imshow(windows[best], origin="lower", aspect="auto", cmap="magma", extent=extent)
    axes[0].set_title("log-mel of the window that fits best: " + label, fontsize=9)
    drop = occlusion(classifier, windows[best], index)
    limit = max(float(np.abs(drop).max()), 1e-6)
    axes[1].imshow(windows[best], origin="lower", aspect="auto", cmap="gray", extent=extent, alpha=0.5)
    shown = axes[1].imshow(
        drop, origin="lower", aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit, extent=extent, alpha=0.65,
        interpolation="bicubic",
    )  # fmt: skip
    axes[1].set_title(f"what supports it: fall of log p({label}) when a patch is covered", fontsize=9)
    figure.colorbar(shown, ax=axes[1], label="nats")
    for axis in axes[:2]:
        _label_bands(axis, config.n_mels, config.fmin_hz, config.fmax_hz)
    axes[1].set_xlabel("seconds")
    if over_time:
        _draw_segments(axes[2], result, classifier.labels)
    name = Path(result.path).name.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")
    verdict = ", ".join(f"{n} {p:.0%}" for n, p in result.styles[:3]) or f"not music: {result.not_music}"
    figure.suptitle(f"{name}: {verdict}", x=0.01, ha="left", fontsize=11)
    with atomic_path(target, overwrite) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def _label_bands(axis: Any, n_mels: int, fmin_hz: float, fmax_hz: float) -> None:
    centre = band_edges_hz(n_mels, fmin_hz, fmax_hz)[1:-1]
    shown = [100, 250, 500, 1000, 2000, 3500]
    places = [float(np.interp(hz, centre, np.arange(n_mels) + 0.5)) for hz in shown]
    axis.set_yticks(places, [str(hz) for hz in shown])
    axis.set_ylabel("Hz")


def _draw_segments(axis: Any, result: TrackResult, labels: tuple[str, ...]) -> None:
    table = np.array([[dict(s.styles).get(label, 0.0) for label in labels] for s in result.segments])
    middle = np.array([(s.start_seconds + s.end_seconds) / 2 for s in result.segments])
    if len(middle) == 1:
        only = result.segments[0]
        middle, table = np.array([only.start_seconds, only.end_seconds]), np.tile(table, (2, 1))
    order = np.argsort(-table.mean(axis=0))
    axis.stackplot(middle, table[:, order].T, labels=[labels[i] for i in order],
                   colors=[COLOURS[i % len(COLOURS)] for i in order])  # fmt: skip
    axis.set_xlim(middle[0], middle[-1])
    axis.set_ylim(0, 1)
    axis.set_xlabel("seconds")
    axis.set_ylabel("probability")
    axis.set_title("style over time", fontsize=9)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=7, frameon=False)


__all__ = ["occlusion", "plot_result"]
