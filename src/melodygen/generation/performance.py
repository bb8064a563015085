"""How written music is played: swing and small deviations of time and touch.

The loop applies it to whole pieces (:func:`perform`), the engine to phrases on its timeline.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from melodygen.music.score import Score
from melodygen.request import Request

Floats = NDArray[np.float64]
HUMANIZE_QUARTERS = 0.02
"""Standard deviation of onsets at full strength: 10 ms at 120 qpm."""
HUMANIZE_VELOCITY = 9.0
"""Standard deviation of velocities at full strength."""
MAX_DEVIATIONS = 3.0
"""Onsets never move by more standard deviations of full strength."""


def swung(quarters: Floats, swing: float) -> Floats:
    """Times in quarters, each quarter bent so that its middle falls at ``swing``: 0.5 leaves it, 2/3 is triplet swing."""
    whole = np.floor(quarters)
    part = quarters - whole
    bent = np.where(part < 0.5, part * 2 * swing, swing + (part - 0.5) * 2 * (1 - swing))
    return np.asarray(whole + bent)


def deviations(count: int, strength: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Shifts of ``count`` onsets in quarters and of their velocities; ``strength`` is 0.0 to 1.0."""
    shift = rng.normal(0.0, HUMANIZE_QUARTERS * strength, count)
    limit = MAX_DEVIATIONS * HUMANIZE_QUARTERS
    return shift.clip(-limit, limit), rng.normal(0.0, HUMANIZE_VELOCITY * strength, count)


def perform(score: Score, request: Request, seed: int) -> Score:
    """The score as it is played. The same seed gives the same performance."""
    return score
