"""A figure of a folder of music: styles, roles, meters, keys, lengths and the files that were rejected."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from melodygen.atomic import atomic_path
from melodygen.data.census import Census


def plot_census(path: str | os.PathLike[str], census: Census, title: str, overwrite: bool = False) -> None:
    """Write a PNG with six panels.

    Args:
        path: the file.
        census: counts of the folder.
        title: title of the figure.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    _bars(axes[0, 0], census.styles, "files by style")
    _bars(axes[0, 1], census.files_with, "files with role")
    _bars(axes[0, 2], census.meters, "meter")
    _bars(axes[1, 0], census.keys, "key")
    axes[1, 1].hist(census.bars, bins=40, color="#3d7ea6")
    axes[1, 1].set_title("bars a piece", fontsize=10)
    _bars(axes[1, 2], census.reasons, "not used")
    figure.suptitle(title, x=0.01, ha="left")
    with atomic_path(path, overwrite) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _bars(axis: Any, counts: Counter[str], title: str) -> None:
    listed = counts.most_common(14)[::-1]
    axis.barh(range(len(listed)), [n for _, n in listed], color="#3d7ea6")
    # "$" would begin a formula
    axis.set_yticks(
        range(len(listed)), [name[:34].replace("$", r"\$") or "?" for name, _ in listed], fontsize=7
    )
    axis.set_title(title, fontsize=10)
