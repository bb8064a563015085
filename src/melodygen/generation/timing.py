"""How people play in time: deviations of onsets and loudness as in performed takes, for ``--humanize``.

A linear model of each role, fitted to drum takes and to played parts of pop songs (``recipes/fit_timing.py``): early or
late by the place in the beat, a drift that goes on from onset to onset, and a spread among notes struck together. At
strength 1 it deviates as much as those players did.
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
PLACES = ("beat", "half beat", "elsewhere")
NEAR_QUARTERS = 1 / 24
"""Within so much an onset is on its place."""
MAX_DEVIATIONS = 3.0
"""Onsets never move by more standard deviations."""


@dataclass(frozen=True)
class TimingModel:
    """Timing of one role.

    Attributes:
        means: ms behind the grid at each of ``PLACES``.
        drift: standard deviation in ms of what the places leave open, and ``memory`` its correlation from one onset to
            the next, 0 to 1.
        spread: standard deviation in ms among notes struck together.
        loudness, loudness_memory: the same of velocities, beside the levels that tokens say.
    """

    means: tuple[float, ...]
    drift: float
    memory: float
    spread: float
    loudness: float
    loudness_memory: float


@cache
def models() -> Mapping[str, TimingModel]:
    """Return the fitted models by role."""
    record = json.loads(files("melodygen.generation").joinpath("timing.json").read_text(encoding="utf-8"))
    names = ("drift", "memory", "spread", "loudness", "loudness_memory")
    return {
        role: TimingModel(tuple(row["means"]), *(row[name] for name in names))
        for role, row in record["roles"].items()
    }


def place_of(quarters: Floats) -> NDArray[np.int64]:
    """Index into ``PLACES`` of times in quarters."""
    part = quarters - np.floor(quarters + NEAR_QUARTERS)
    return np.where(part < NEAR_QUARTERS, 0, np.where(np.abs(part - 0.5) < NEAR_QUARTERS, 1, 2)).astype(
        np.int64
    )


def deviations(
    quarters: Floats, role: str, qpm: float, strength: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Shifts (N,) of a part's onsets in quarters, and of their velocities.

    Args:
        quarters: the onsets as they are written, sorted.
        role: of the part; one without a model plays as ``other`` does.
        qpm: tempo.
        strength: 0.0 to 1.0, of the deviation of the takes that the model was fitted to.
        rng: what the deviations come from.
    """
    known = models()
    model = known.get(role) or known["other"]
    times, first = np.unique(quarters, return_inverse=True)
    drift = _drift(len(times), model.drift, model.memory, rng)
    together = np.bincount(first)[first] > 1 if len(first) else np.zeros(0, dtype=bool)
    apart = together * rng.normal(0.0, 1.0, len(first)) * model.spread
    ms = np.array(model.means)[place_of(times)][first] + drift[first] + apart
    limit = MAX_DEVIATIONS * (model.drift + model.spread)
    touch = _drift(len(times), model.loudness, model.loudness_memory, rng)[first]
    return strength * ms.clip(-limit, limit) * qpm / 60_000, strength * touch


def most_quarters(qpm: float) -> float:
    """The farthest that an onset of any role is moved at full strength, in quarters."""
    return max(MAX_DEVIATIONS * (m.drift + m.spread) for m in models().values()) * qpm / 60_000


def _drift(count: int, size: float, memory: float, rng: np.random.Generator) -> Floats:
    """A series of that standard deviation, each value correlated with the one before."""
    fresh = rng.normal(0.0, size * np.sqrt(1 - memory**2), count)
    series = np.empty(count)
    held = rng.normal(0.0, size)
    for index in range(count):
        held = memory * held + fresh[index]
        series[index] = held
    return series


__all__ = ["PLACES", "TimingModel", "deviations", "models", "most_quarters", "place_of"]
