"""Repetition as one token: ``again:N`` after a role says that its bar is, note for note, that of N bars ago.

Bars are counted as they stand in the sequence, so that behind ``fill`` the bars on both sides of the gap can be
meant. A bar that is meant has the same meter and holds the role. Chord symbols are always spelled out: what the other
roles are written to is said where they are written.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from melodygen.tokens.vocabulary import MAX_AGAIN, SEGMENT_ROLES, VOCABULARY

_AGAIN = VOCABULARY.offsets["again"]
CHORDLINE = VOCABULARY.offsets["role"] + SEGMENT_ROLES.index("chordline")
LEAST_TOKENS = 4
"""A shorter segment is cheaper spelled out, or as cheap."""


class Returns:
    """Remembers the segments of a sequence bar by bar, and shortens those that come again."""

    def __init__(self) -> None:
        self._bar = -1
        self._meter: tuple[int, int] | None = None
        self._last: dict[tuple[tuple[int, int] | None, bytes], int] = {}

    def begin_bar(self, meter: tuple[int, int]) -> None:
        self._bar += 1
        self._meter = meter

    def shorten(self, segment: Sequence[int] | NDArray[np.int16]) -> Sequence[int] | NDArray[np.int16]:
        """The segment (its role token first) of the bar that was begun, or what says that it came before."""
        if len(segment) < LEAST_TOKENS or int(segment[0]) == CHORDLINE:
            return segment
        key = (self._meter, np.asarray(segment, dtype=np.int16).tobytes())
        before = self._last.get(key)
        self._last[key] = self._bar
        if before is None or self._bar - before > MAX_AGAIN:
            return segment
        return [int(segment[0]), _AGAIN + self._bar - before - 1]
