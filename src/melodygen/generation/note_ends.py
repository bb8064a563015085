"""Where the notes of written bars end: a single line ends each note where the next begins, the last ones ring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from melodygen.tokens.grid import GRID_ROLES, GridBar, fitting_duration
from melodygen.tokens.vocabulary import DURATIONS


def finish(
    bars: Sequence[GridBar], single: frozenset[str], new: range, kept: frozenset[str], ring: bool = False
) -> tuple[GridBar, ...]:
    """Return the bars with notes shortened where they must end.

    Args:
        bars: all bars of the piece.
        single: roles that play one note at a time; their notes end where the next one begins.
        new: the bars that were written.
        kept: roles that were given and stay as they are.
        ring: the last notes of each role, if struck in the last bar, sound to its end.
    """
    starts = np.cumsum([0, *(b.num_positions for b in bars)]).tolist()
    end = starts[-1]
    result = list(bars)
    for role in set(GRID_ROLES) - {"drums"} - kept:
        following = end
        for index in range(len(bars) - 1, -1, -1):
            notes = bars[index].parts.get(role)
            if not notes:
                continue
            if index in new:
                fixed = []
                room_until = following
                for at, velocity, duration, pitch in reversed(notes):  # sorted by position
                    onset = starts[index] + at
                    if role in single and onset < following:
                        room_until, following = following, onset
                    until = room_until if role in single else end
                    fixed.append((at, velocity, fitting_duration(duration, until - onset), pitch))
                fixed.sort(key=lambda n: (n[0], n[2], n[3]))
                result[index] = replace(result[index], parts={**result[index].parts, role: tuple(fixed)})
            following = starts[index] + notes[0][0]
    if ring and len(bars) - 1 in new:
        result[-1] = _ringing(result[-1], set(result[-1].parts) - {"drums"} - kept)
    return tuple(result)


def _ringing(bar: GridBar, roles: set[str]) -> GridBar:
    parts = dict(bar.parts)
    for role in roles:
        last = max(n[0] for n in parts[role])
        to_the_end = fitting_duration(len(DURATIONS) - 1, bar.num_positions - last)
        held = [
            (at, band, to_the_end if at == last else length, pitch) for at, band, length, pitch in parts[role]
        ]
        parts[role] = tuple(sorted(held, key=lambda n: (n[0], n[2], n[3])))
    return replace(bar, parts=parts)


__all__ = ["finish"]
