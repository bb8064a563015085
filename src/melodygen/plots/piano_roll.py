"""A piece as a figure: a piano roll with bars, roles by colour and chord symbols; drums have a panel of their
own.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from melodygen.atomic import atomic_path
from melodygen.music.harmony import PITCH_CLASS_NAMES
from melodygen.music.score import Score, Track

COLOURS = {
    "melody": "#d1495b",
    "chords": "#3d7ea6",
    "bass": "#2f9e6e",
    "drums": "#444444",
    "other": "#9a7bb0",
}
DRUM_NAMES = {
    35: "kick", 36: "kick", 37: "rim", 38: "snare", 39: "clap", 40: "snare", 41: "low tom", 42: "hat", 43: "low tom",
    44: "foot hat", 45: "mid tom", 46: "open hat", 47: "mid tom", 48: "high tom", 49: "crash", 50: "high tom",
    51: "ride", 53: "bell", 54: "tambourine", 56: "cowbell", 57: "crash", 59: "ride", 62: "conga", 64: "low conga",
    70: "maracas",
}  # fmt: skip


def plot_score(path: str | os.PathLike[str], score: Score, title: str = "", overwrite: bool = False) -> None:
    """Write a PNG. A row holds up to 16 bars; longer pieces get more rows.

    Args:
        path: the file.
        score: the piece.
        title: title of the figure; empty for none.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bars = score.bar_ticks()
    if len(bars) < 2:
        bars = [0, round(score.time_signatures[0].bar_quarters * score.ticks_per_quarter)]
    rows = [bars[i : i + 17] for i in range(0, len(bars) - 1, 16)]
    pitched = [t for t in score.tracks if not t.is_drum and len(t)]
    drums = [t for t in score.tracks if t.is_drum and len(t)]
    panels = [kind for kind, there in (("pitched", pitched or not drums), ("drums", drums)) if there]
    heights = [{"pitched": 3.4, "drums": 1.0}[kind] for kind in panels] * len(rows)
    figure = Figure(figsize=(14, 0.9 + sum(heights) + 0.35 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for index, row in enumerate(rows):
        for offset, kind in enumerate(panels):
            axis = axes[index * len(panels) + offset]
            (_draw_pitched if kind == "pitched" else _draw_drums)(
                axis, pitched if kind == "pitched" else drums
            )
            _draw_bars(axis, row, 16 * index + 1, numbered=offset == len(panels) - 1, filled=len(rows) == 1)
        _draw_chords(axes[index * len(panels)], score, row)
    handles, labels = _legend(pitched)
    if handles:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    with atomic_path(path, overwrite) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _draw_pitched(axis: Any, tracks: list[Track]) -> None:
    lowest, highest = 127, 0
    for track in tracks:
        notes = track.notes
        axis.barh(
            notes["pitch"].astype(int),
            notes["duration_ticks"],
            left=notes["onset_tick"],
            height=0.85,
            color=COLOURS[track.role],
            alpha=0.9,
            edgecolor="white",
            linewidth=0.4,
        )
        lowest, highest = min(lowest, int(notes["pitch"].min())), max(highest, int(notes["pitch"].max()))
    if lowest > highest:
        lowest, highest = 60, 72
    axis.set_ylim(lowest - 2, highest + 2)
    octaves = [p for p in range(lowest - 1, highest + 2) if p % 12 == 0] or [lowest]
    axis.set_yticks(octaves, [f"{PITCH_CLASS_NAMES[p % 12]}{p // 12 - 1}" for p in octaves])
    axis.grid(axis="y", color="#e4e4e4", linewidth=0.8)


def _draw_drums(axis: Any, tracks: list[Track]) -> None:
    pitches = np.unique(np.concatenate([t.notes["pitch"] for t in tracks])).tolist()
    line = {pitch: i for i, pitch in enumerate(pitches)}
    for track in tracks:
        heights = [line[p] for p in track.notes["pitch"].tolist()]
        sizes = 4 + 22 * (track.notes["velocity"] / 127.0)
        axis.scatter(
            track.notes["onset_tick"], heights, s=sizes, color=COLOURS["drums"], marker="D", linewidths=0
        )
    axis.set_ylim(-0.7, len(pitches) - 0.3)
    named = [p for p in pitches if p in DRUM_NAMES]
    axis.set_yticks([line[p] for p in named], [DRUM_NAMES[p] for p in named], fontsize=6)


def _draw_bars(axis: Any, row: list[int], first_bar: int, numbered: bool, filled: bool) -> None:
    """Draw the bar lines of a row; ``filled``: the row takes the whole width, however few bars it has."""
    for tick in row:
        axis.axvline(tick, color="#b0b0b0", linewidth=0.8, zorder=0)
    axis.set_xlim(row[0], row[-1] if filled or len(row) > 16 else row[0] + (row[1] - row[0]) * 16)
    axis.set_xticks(
        row[:-1], [str(first_bar + i) for i in range(len(row) - 1)] if numbered else [""] * (len(row) - 1)
    )
    axis.tick_params(length=0)
    for side in ("top", "right", "bottom", "left"):
        axis.spines[side].set_visible(False)
    axis.set_axisbelow(True)


def _draw_chords(axis: Any, score: Score, row: list[int]) -> None:
    """Write each chord's label where it begins, and the label of the chord that sounds at the start of the
    row.
    """
    sounding = [c for c in score.chords if c.tick <= row[0]][-1:]
    shown = [(row[0], c.label) for c in sounding] + [
        (c.tick, c.label) for c in score.chords if row[0] < c.tick < row[-1]
    ]
    gap = (row[1] - row[0]) / 5
    last_tick, last_label = -gap, ""
    for tick, label in shown:
        if label in (last_label, "N") or tick - last_tick < gap:
            continue
        axis.annotate(
            label.replace(":maj", "", 1) if label.endswith(":maj") else label.replace(":", ""),
            (tick, 1.01),
            xycoords=("data", "axes fraction"),
            fontsize=7,
            annotation_clip=False,
        )
        last_tick, last_label = tick, label


def _legend(tracks: list[Track]) -> tuple[list[Any], list[str]]:
    from matplotlib.patches import Patch

    roles = list(dict.fromkeys(t.role for t in tracks))
    return [Patch(color=COLOURS[role]) for role in roles], roles
