"""Pictures of what the library found: two tracks laid over each other, and the way of a playlist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.library.chroma import FRAMES_PER_SECOND, NUM_BINS
from melodygen.library.match import Match

Floats = NDArray[np.float32]
MAX_CHARACTERS = 40
"""Of a track's name in a list."""
BLUE, RED, GREY = "#3d7ea6", "#d1495b", "#b8b8b4"


def plot_match(
    target: Path, question: Floats, track: Floats, match: Match, name: str, overwrite: bool = False
) -> None:
    """Write the likeness of every moment of a question to every moment of a track as a PNG, with the match as a line.

    Args:
        target: the file.
        question: (T, 24) chroma of what was asked.
        track: (U, 24) chroma of the track.
        match: how they lie over each other.
        name: what to call the track.
        overwrite: replace an existing file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shift = round(match.semitones * NUM_BINS / 12)
    likeness = np.roll(question, shift, axis=1) @ track.T
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    seconds = (0, len(track) / FRAMES_PER_SECOND, 0, len(question) / FRAMES_PER_SECOND)
    axes.imshow(likeness, origin="lower", aspect="auto", extent=seconds, cmap="Greys", vmin=0, vmax=1)
    across, up = (match.track_start, match.track_end), (match.question_start, match.question_end)
    axes.plot(across, up, color=RED, linewidth=2, alpha=0.7)
    axes.set_xlabel(f"{name} (s)".replace("$", r"\$"))
    axes.set_ylabel("question (s)")
    axes.set_title(match.sentence("the track"), fontsize=10)
    with atomic_path(target, overwrite) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def plot_path(
    target: Path, vectors: Floats, path: Sequence[int], names: Sequence[str], overwrite: bool = False
) -> None:
    """Write a library as dots on its two main components, and a playlist as a line through it, as a PNG.

    Args:
        target: the file.
        vectors: (N, D), one row a track.
        path: rows of the playlist's tracks, in order.
        names: of the playlist's tracks.
        overwrite: replace an existing file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    centred = vectors - vectors.mean(axis=0)
    _, _, axes_of = np.linalg.svd(centred[:5_000], full_matrices=False)
    points = centred @ axes_of[:2].T
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.scatter(points[:, 0], points[:, 1], s=14, color=GREY, linewidths=0)
    way = points[list(path)]
    axes.plot(way[:, 0], way[:, 1], "-o", color=BLUE, markersize=12)
    for number, (x, y) in enumerate(way.tolist(), 1):
        axes.annotate(str(number), (x, y), ha="center", va="center", fontsize=7, color="white")
    listed = [
        f"{number:2} {name if len(name) <= MAX_CHARACTERS else name[: MAX_CHARACTERS - 1] + '…'}"
        for number, name in enumerate(names, 1)
    ]
    axes.annotate(
        "\n".join(listed).replace("$", r"\$"), (1.02, 1.0), xycoords="axes fraction", va="top", fontsize=8
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{len(path)} tracks in small steps, among {len(vectors)}", fontsize=10)
    with atomic_path(target, overwrite) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


__all__ = ["plot_match", "plot_path"]
