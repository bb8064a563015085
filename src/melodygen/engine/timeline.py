"""The host's timeline with the phrases placed on it. They stay, so that going back plays the same music
again.
"""

from __future__ import annotations

import math
from dataclasses import replace

from melodygen.engine.phrase import Phrase, Placed, place
from melodygen.live.transport import Transport

MAX_PLACED = 64
"""Number of phrases kept; going back further writes new music."""
Feel = tuple[float, float]
"""Swing and humanize."""


class Timeline:
    """The phrases on the host's timeline. Positions in quarters that differ by less than ``grain`` are the
    same.
    """

    def __init__(self) -> None:
        self._placed: list[Placed] = []

    def __bool__(self) -> bool:
        return bool(self._placed)

    def at(self, cursor: float, grain: float, feel: Feel) -> Placed | None:
        """Return what lies at ``cursor``, with the present feel if it is about to begin; None where nothing
        lies.
        """
        for index in range(len(self._placed) - 1, -1, -1):
            placed = self._placed[index]
            if placed.start - grain <= cursor < placed.end - grain / 2:
                if placed.phrase is not None and placed.feel != feel and cursor <= placed.start + grain:
                    placed = replace(place(placed.phrase, placed.start, *feel), end=placed.end)
                    self._placed[index] = placed
                return placed
        return None

    def around(self, cursor: float, grain: float) -> tuple[float, float]:
        """Return the gap at ``cursor``: the end of what is before it, and the beginning of what is after
        it.
        """
        earlier = max((p.end for p in self._placed if p.end <= cursor + grain), default=-math.inf)
        later = min((p.start for p in self._placed if p.start > cursor), default=math.inf)
        return earlier, later

    def reach(self, cursor: float, grain: float) -> float:
        """Return the position up to which the timeline is filled without a gap from ``cursor`` on."""
        end = cursor
        for placed in sorted(self._placed, key=lambda p: p.start):
            if placed.start - grain <= end < placed.end:
                end = placed.end
        return end

    def put(self, placed: Placed) -> Placed:
        """Add a phrase or a rest and return it."""
        # rests are not kept: something may be ready when it comes round again
        self._placed = [p for p in self._placed if p.phrase is not None]
        self._placed.append(placed)
        del self._placed[:-MAX_PLACED]
        return placed

    def cut(self, cursor: float) -> None:
        """Remove what lies behind ``cursor``."""
        kept = [p for p in self._placed if p.start < cursor]
        self._placed = [replace(p, end=min(p.end, cursor)) for p in kept]

    def end_of(self, phrase: Phrase) -> float | None:
        """Return where ``phrase`` ended when it was last placed, or None if it was cut short or never
        placed.
        """
        for placed in reversed(self._placed):
            if placed.phrase is phrase:
                return placed.end if placed.end == placed.start + phrase.length_quarters else None
        return None


def next_bar_line(transport: Transport, cursor: float, grain: float) -> float:
    """Return the first bar line behind ``cursor``."""
    bar = transport.bar_quarters
    passed = math.floor((cursor + 2 * grain - transport.bar_start_quarters) / bar)
    return transport.bar_start_quarters + (passed + 1) * bar


def is_bar_line(transport: Transport, cursor: float, grain: float) -> bool:
    """Return whether ``cursor`` is a bar line."""
    return abs(next_bar_line(transport, cursor, grain) - transport.bar_quarters - cursor) < 4 * grain
