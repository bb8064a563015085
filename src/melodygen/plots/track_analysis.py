"""An analysis as a picture: beats and sections over the waveform, chords over the pitch classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from melodygen.analysis.sound_chords import HOP, NO_CHORD, chroma_frames
from melodygen.analysis.sound_chords import SAMPLE_RATE as CHROMA_RATE
from melodygen.analysis.track import TrackAnalysis
from melodygen.atomic import atomic_path
from melodygen.audio.features import Features
from melodygen.music.harmony import PITCH_CLASS_NAMES
from melodygen.music.key import key_name

POINTS = 4_000
SECONDS_A_ROW = 30.0
MAX_ROWS = 12


def plot_analysis(
    target: Path, found: TrackAnalysis, mono: Features, sample_rate: int, overwrite: bool = False
) -> None:
    """Write a PNG: rows of half a minute, at most six minutes.

    Args:
        target: the file.
        found: the analysis.
        mono: the sound that was analysed, (num_samples,).
        sample_rate: its rate in Hz.
        overwrite: replace an existing file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = int(min(MAX_ROWS, max(1, np.ceil(found.seconds / SECONDS_A_ROW))))
    figure = Figure(figsize=(13, 0.6 + 2.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 * rows, 1, squeeze=False)[:, 0]
    chroma = chroma_frames(mono, sample_rate)[0] if len(mono) else np.zeros((1, 12), dtype=np.float32)
    chroma = chroma / (chroma.max(axis=1, keepdims=True) + 1e-9)
    for row in range(rows):
        start, end = row * SECONDS_A_ROW, (row + 1) * SECONDS_A_ROW
        _waveform(axes[2 * row], found, mono, sample_rate, start, end)
        _chroma(axes[2 * row + 1], found, chroma, start, end)
    parts = [Path(found.path).name.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")]
    parts += [f"{found.qpm:.1f} qpm"] if found.qpm is not None else []
    parts += [f"{found.meter[0]}/{found.meter[1]}"] if found.meter is not None else []
    parts += [key_name(found.key, found.key_fifths)] if found.key is not None else []
    figure.suptitle("   ".join(parts), x=0.01, ha="left", fontsize=11)
    with atomic_path(target, overwrite) as temporary:
        figure.savefig(temporary, dpi=90, format="png")


def _waveform(
    axes: Any, found: TrackAnalysis, mono: Features, sample_rate: int, start: float, end: float
) -> None:
    part = mono[round(start * sample_rate) : round(end * sample_rate)]
    step = max(1, len(part) // POINTS)
    high = part[: len(part) // step * step].reshape(-1, step)
    times = start + np.arange(len(high)) * step / sample_rate
    axes.fill_between(times, high.min(axis=1), high.max(axis=1), color="#8899aa", linewidth=0)
    for seconds, place in zip(found.beats.tolist(), found.places.tolist(), strict=True):
        if start <= seconds < end:
            axes.axvline(
                seconds, color="#cc3311" if place == 0 else "#ee9977", linewidth=1.2 if place == 0 else 0.6
            )
    for section in found.sections:
        if start <= section.start_seconds < end:
            axes.axvline(section.start_seconds, color="#0044aa", linewidth=2)
            axes.text(section.start_seconds, 1.0, f" {section.name}", transform=axes.get_xaxis_transform(),
                      va="top", color="#0044aa", fontweight="bold")  # fmt: skip
    axes.set_xlim(start, end)
    axes.set_yticks([])
    axes.set_xticks([])


def _chroma(axes: Any, found: TrackAnalysis, chroma: Features, start: float, end: float) -> None:
    rate = CHROMA_RATE / HOP
    part = chroma[round(start * rate) : round(end * rate)].T
    if part.size:
        axes.imshow(part, origin="lower", aspect="auto", cmap="Greys", vmin=0.3, vmax=1.3,
                    extent=(start, start + part.shape[1] / rate, -0.5, 11.5))  # fmt: skip
    for chord in found.chords:
        if start <= chord.start_seconds < end:
            axes.axvline(chord.start_seconds, color="#117733", linewidth=0.8)
            if chord.label != NO_CHORD:
                axes.text(
                    chord.start_seconds, 11.4, f" {chord.label}", va="top", fontsize=6.5, color="#117733"
                )
    axes.set_xlim(start, end)
    axes.set_ylim(-0.5, 11.5)
    axes.set_yticks(range(0, 12, 2), PITCH_CLASS_NAMES[::2], fontsize=6)


__all__ = ["plot_analysis"]
