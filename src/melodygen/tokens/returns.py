"""Repetition as one token: ``again:N`` after a role says that its bar equals, note for note, that of N bars
ago.

Bars are counted as they stand in the sequence, so that behind ``fill`` the bars on both sides of the gap can
be meant. The earlier bar has the same meter and holds the role. Chord symbols are always written out, because
the other roles are written to them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from melodygen.tokens.vocabulary import MAX_AGAIN, SEGMENT_ROLES, VOCABULARY

_AGAIN = VOCABULARY.offsets["again"]
CHORDLINE = VOCABULARY.offsets["role"] + SEGMENT_ROLES.index("chordline")
LEAST_TOKENS = 4
"""A shorter segment costs no more when it is written out."""


class Returns:
    """Remembers the segments of a sequence bar by bar, and shortens those that come again."""

    def __init__(self) -> None:
        self._bar = -1
        self._meter: tuple[int, int] | None = None
        self._last: dict[tuple[tuple[int, int] | None, bytes], int] = {}

    def begin_bar(self, meter: tuple[int, int]) -> None:
        """Begin a bar of ``meter``."""
        self._bar += 1
        self._meter = meter

    def shorten(self, segment: Sequence[int] | NDArray[np.int16]) -> Sequence[int] | NDArray[np.int16]:
        """Return the segment of the current bar, or its role token and an ``again`` token if it came before.

        Args:
            segment: tokens of a segment, its role token first.
        """
        if len(segment) < LEAST_TOKENS or int(segment[0]) == CHORDLINE:
            return segment
        key = (self._meter, np.asarray(segment, dtype=np.int16).tobytes())
        before = self._last.get(key)
        self._last[key] = self._bar
        if before is None or self._bar - before > MAX_AGAIN:
            return segment
        return [int(segment[0]), _AGAIN + self._bar - before - 1]
