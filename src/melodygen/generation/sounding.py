"""What sounds beside the note that is written next: how long each pitch would stand a semitone off another part.

Only the tune counts, as in ``melodygen.evaluation.band.tune_clash``: the tune against every other pitched part, and the
others against the tune.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from melodygen.tokens.grid import meter_positions
from melodygen.tokens.vocabulary import DURATIONS, POSITIONS_PER_QUARTER, VOCABULARY

_V = VOCABULARY
_CLASSES = np.arange(_V.counts["pitch"]) % 12
MOST_QUARTERS = 2.0
"""A clash that is longer counts no more."""


class Sounding:
    """The pitched notes of one stream in the bar that is written, and those held over from the bars before it.

    Args:
        tune: the role that is the tune.
    """

    def __init__(self, tune: str) -> None:
        self._tune = tune
        self._notes: list[tuple[str, int, int, int]] = []
        """Role, onset and end in twelfths of a quarter from the bar line, pitch."""
        self.weights = np.zeros(12)
        """Twelfths of a quarter for which each pitch class has sounded so far."""
        self._onset = self._duration = 0
        self._names_pitch = False

    def begin_bar(self, meter: tuple[int, int] | None) -> None:
        """A bar begins; ``meter`` is that of the bar before, None for the first."""
        size = 0 if meter is None else meter_positions(meter)
        self._notes = [(role, on - size, end - size, p) for role, on, end, p in self._notes if end > size]

    def take(self, token: int, role: str) -> None:
        """Accept a token of a part."""
        kind, value = _V.kinds[token], _V.values[token]
        if kind == "position":
            self._onset = value
        elif kind == "duration":
            self._duration = DURATIONS[value]
        elif kind == "pitch":
            self._notes.append((role, self._onset, self._onset + self._duration, value))
            self.weights[value % 12] += self._duration
        self._names_pitch = kind in ("duration", "pitch", "velocity")

    def repeat(self, segment: Sequence[int], role: str) -> None:
        """Accept a whole segment (without its role's token) that is repeated."""
        for token in segment:
            self.take(token, role)
        self._names_pitch = False

    def begin_part(self) -> None:
        """The token of a role was taken."""
        self._names_pitch = False

    def clashes(self, role: str) -> NDArray[np.float64] | None:
        """Return for each MIDI number (128,) the quarters for which the next note of ``role`` would clash, up to
        ``MOST_QUARTERS``; None where the next token is no pitch or nothing clashes.
        """
        if not self._names_pitch or not role:
            return None
        begin, end = self._onset, self._onset + self._duration
        tune, quarters = self._tune, [0.0] * 12
        for other, onset, until, pitch in self._notes:
            if other != role and tune in (role, other) and onset < end and until > begin:
                overlap = ((end if end < until else until) - max(begin, onset)) / POSITIONS_PER_QUARTER
                quarters[(pitch + 1) % 12] += overlap
                quarters[(pitch - 1) % 12] += overlap
        return np.minimum(quarters, MOST_QUARTERS).take(_CLASSES) if any(quarters) else None


__all__ = ["MOST_QUARTERS", "Sounding"]
