"""A recording as the tagger hears it: log-mel, and its likeliest tags from one window of three seconds to the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from melodygen.atomic import atomic_path
from melodygen.audio.decode import read_mono
from melodygen.audio.excerpts import levelled
from melodygen.audio.musicnn_mel import SAMPLE_RATE, WINDOW_SAMPLES, log_mel
from melodygen.classification.result import TrackResult
from melodygen.classification.tagger import MIN_SAMPLES, Tagger

NUM_TAGS = 14
MAX_WINDOWS = 100


def plot_tags(target: Path, finding: TrackResult, tagger: Tagger, overwrite: bool = False) -> None:
    """Write a PNG.

    Args:
        target: the file.
        finding: what was found out about the recording; its likeliest tags are shown, over five minutes at most.
        tagger: the tagger to hear it with.
        overwrite: replace an existing file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    seconds = MAX_WINDOWS * WINDOW_SAMPLES / SAMPLE_RATE
    heard = levelled(read_mono(Path(finding.path), SAMPLE_RATE, seconds))
    size = min(WINDOW_SAMPLES, max(MIN_SAMPLES, len(heard)))
    count = max(1, len(heard) // size)
    windows = list(np.resize(heard, count * size).reshape(count, size))
    table = tagger.tag_table(windows)
    shown = [tag for tag, _ in finding.tags if tag in table][:NUM_TAGS]
    seconds = count * size / SAMPLE_RATE
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 1, sharex=True)
    mel = np.concatenate([level[:: max(1, count // 8)] for level in log_mel(np.stack(windows))]).T
    axes[0].imshow(mel, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, len(mel)))
    axes[0].set_title("what the nets hear: log-mel, 96 bands up to 8 kHz", fontsize=9)
    axes[0].set_yticks([])
    rows = np.array([table[tag] for tag in shown])
    drawn = axes[1].imshow(
        rows, aspect="auto", cmap="viridis", vmin=0, vmax=max(0.3, float(rows.max(initial=0.0))),
        extent=(0, seconds, len(shown), 0), interpolation="nearest",
    )  # fmt: skip
    axes[1].set_yticks(np.arange(len(shown)) + 0.5, shown)
    axes[1].set_xlabel("seconds")
    axes[1].set_title("tags over time", fontsize=9)
    figure.colorbar(drawn, ax=axes[1], label="probability")
    name = Path(finding.path).name.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")
    told = ", ".join(f"{n} {p:.0%}" for n, p in finding.styles[:3]) or f"not music: {finding.not_music}"
    told = told.replace("$", r"\$")  # a user's own styles may hold what begins a formula
    figure.suptitle(f"{name}: {told}", x=0.01, ha="left", fontsize=11)
    with atomic_path(target, overwrite) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


__all__ = ["plot_tags"]
