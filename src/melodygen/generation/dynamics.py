"""Loudness for parts that have none: as people play, from meter, phrase, contour and length.

Where the sources of a style are scores, what is written has one velocity. ``shape`` gives such a part the loudness that
a linear model expects, which was fitted to performed music (``recipes/fit_dynamics.py``), and what that model leaves
open as a slow random drift of the size that was measured. A part with several velocities keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEATURES = (
    "bar line", "middle of the bar", "beat", "off-beat", "arch of four bars", "arch of eight bars",
    "height in the part", "height among neighbours", "step up", "peak", "length", "time since the last onset",
)  # fmt: skip
NEIGHBOURS = 4
"""Notes before and after with which a note's height is compared."""
NEAR = 1 / 24
"""Quarters within which an onset is on a place of the meter."""
DRIFT_SHARE = 0.45
"""Of the measured residual: the rest is what the fit missed, not what was meant."""
LOWEST, HIGHEST = 24, 120


@dataclass(frozen=True)
class DynamicsModel:
    """Loudness of one role.

    Attributes:
        weights: velocity by feature (see FEATURES).
        drift: standard deviation of what the features do not explain.
        memory: correlation of that from one onset to the next, 0 to 1.
    """

    weights: tuple[float, ...]
    drift: float
    memory: float


@cache
def models() -> Mapping[str, DynamicsModel]:
    """Return the fitted models by role."""
    record = json.loads(files("melodygen.generation").joinpath("dynamics.json").read_text(encoding="utf-8"))
    return {
        role: DynamicsModel(tuple(row["weights"]), row["drift"], row["memory"])
        for role, row in record["roles"].items()
    }


def features(notes: NDArray[np.void], ticks_per_quarter: int, bar_ticks: list[int]) -> Floats:
    """Return (N, F) features of a part's notes, which are sorted by onset.

    Args:
        notes: as in ``Track.notes``, at least one.
        ticks_per_quarter: resolution.
        bar_ticks: where bars begin, and the end.
    """
    onset = notes["onset_tick"].astype(np.float64)
    starts = np.array(bar_ticks, dtype=np.float64)
    bar = (np.searchsorted(starts, onset, side="right") - 1).clip(0, max(0, len(starts) - 2))
    size = np.maximum(np.diff(starts)[bar] if len(starts) > 1 else np.ones(len(onset)), 1.0)
    place = (onset - starts[bar]) / ticks_per_quarter
    inside = np.clip((onset - starts[bar]) / size, 0.0, 1.0)
    part = place - np.floor(place + NEAR)
    on_line, on_middle = place < NEAR, np.abs(inside - 0.5) * size / ticks_per_quarter < NEAR
    on_beat = (np.abs(part) < NEAR) & ~on_line & ~on_middle
    late = ((np.abs(part - 0.5) < NEAR) | (np.abs(part - 2 / 3) < NEAR)) & ~on_middle
    pitch = notes["pitch"].astype(np.float64)
    times, first = np.unique(onset, return_inverse=True)
    top = np.full(len(times), -1.0)
    np.maximum.at(top, first, pitch)
    around = np.convolve(np.pad(top, NEIGHBOURS, mode="edge"), np.ones(2 * NEIGHBOURS + 1), "valid") / (
        2 * NEIGHBOURS + 1
    )
    before, after = np.concatenate((top[:1], top[:-1])), np.concatenate((top[1:], top[-1:]))
    gap = np.concatenate(([1.0], np.diff(times) / ticks_per_quarter))
    four, eight = (bar % 4 + inside) / 4, (bar % 8 + inside) / 8
    columns = (
        on_line, on_middle, on_beat, late, 4 * four * (1 - four), 4 * eight * (1 - eight), (pitch - pitch.mean()) / 12,
        (pitch - around[first]) / 12, ((top - before) / 12).clip(-1, 1)[first], ((top > before) & (top > after))[first],
        np.log2(np.maximum(notes["duration_ticks"] / ticks_per_quarter, 1 / 8)).clip(-3, 2),
        np.log2(np.maximum(gap, 1 / 8)).clip(-3, 2)[first],
    )  # fmt: skip
    return np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1)


def shape(
    notes: NDArray[np.void], role: str, ticks_per_quarter: int, bar_ticks: list[int], rng: np.random.Generator
) -> NDArray[np.void]:
    """Return the notes of a part with the loudness of its role; a part that has several velocities stays as it is.

    Args:
        notes: as in ``Track.notes``.
        role: of the part; one without a model stays as it is.
        ticks_per_quarter: resolution.
        bar_ticks: where bars begin, and the end.
        rng: what the drift comes from.
    """
    model = models().get(role)
    if model is None or not len(notes) or len(np.unique(notes["velocity"])) > 1:
        return notes
    rows = features(notes, ticks_per_quarter, bar_ticks)
    expected = (rows - rows.mean(axis=0)) @ np.array(model.weights)
    _, first = np.unique(notes["onset_tick"], return_inverse=True)
    count = int(first.max()) + 1
    fresh = rng.normal(0.0, DRIFT_SHARE * model.drift * np.sqrt(1 - model.memory**2), count)
    drift = np.empty(count)
    held = 0.0
    for index in range(count):
        held = model.memory * held + fresh[index]
        drift[index] = held
    shaped = notes.copy()
    loud = notes["velocity"].astype(np.float64) + expected + (drift - drift.mean())[first]
    shaped["velocity"] = np.rint(loud).clip(LOWEST, HIGHEST)
    return shaped
