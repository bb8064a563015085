"""Beats of a bar for the eye: where written values may not cross, and how each beat is divided.

Time is in ``UNITS_PER_QUARTER`` units from the start of the bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

UNITS_PER_QUARTER = 48


@dataclass(frozen=True)
class Beats:
    """The beats of a bar.

    Attributes:
        edges: starts of the beats and the end of the bar.
        strong: those of them that divide the bar itself (the middle of 4/4).
        cell: the part that is divided in two or three, a quarter or an eighth.
        compound: beats have three cells.
    """

    edges: tuple[int, ...]
    strong: frozenset[int]
    cell: int
    compound: bool

    @property
    def length(self) -> int:
        """Length of the bar in units."""
        return self.edges[-1]

    def beat_of(self, at: int) -> int:
        """Return the number of the beat at ``at`` units, from 1."""
        return sum(edge <= at for edge in self.edges)

    def strength(self, at: int) -> int:
        """Return how strong a place is.

        4 is the bar line, 3 its middle, 2 a beat, 1 half a beat (a third of a compound one), 0 a sixteenth,
        -1 anything else.
        """
        if at in (0, self.length):
            return 4
        if at in self.strong:
            return 3
        if at in self.edges:
            return 2
        start = max(e for e in self.edges if e <= at)
        if (at - start) % (self.cell if self.compound else 24) == 0:
            return 1
        return 0 if (at - start) % 12 == 0 else -1

    def strongest_inside(self, a: int, b: int) -> int:
        """Return the strongest place strictly between ``a`` and ``b``, the first one of equals; there is
        always one on the grid.
        """
        grid = [p for p in range(a + 1, b) if p % 6 == 0] or [(a + b) // 2]
        return max(grid, key=lambda p: (self.strength(p), -p))

    def shows(self, a: int, b: int, plain: bool, rest: bool) -> bool:
        """Return whether one value over [a, b) lets the beat be seen."""
        if (a, b) == (0, self.length):
            return True
        inside = [self.strength(p) for p in range(a + 1, b) if p % 6 == 0]
        highest = max(inside, default=-2)
        if self.compound and highest >= 2:
            return not plain and a in self.edges and b in self.edges and highest <= self.strength(a)
        if rest:
            from_beat = a if highest >= 2 else a - max(e for e in self.edges if e <= a)
            aligned = from_beat % (b - a) == 0 and (highest < 2 or self.length % (b - a) == 0)
            return highest < self.strength(a) and (plain or self.compound) and aligned
        if highest <= self.strength(a):
            return True
        if highest == 2 and self.strength(a) == 1:  # syncopation: eighth, quarter, eighth
            return sum(s >= 2 for s in inside) == 1 and b - a <= 72 and self.strength(b) >= 1
        if highest == 3 and self.strength(a) == 2:  # a half note on the second beat
            return plain and b - a == 96 and self.strength(b) >= 2
        return highest == 1 and self.strength(a) == 0 and b - a <= 36  # sixteenth, eighth, sixteenth


@lru_cache(maxsize=256)
def beats_of(numerator: int, denominator: int, length: int) -> Beats:
    """Beats of a bar of ``length`` units, which may be cut short by a change of meter."""
    unit = 4 * UNITS_PER_QUARTER // denominator
    compound = denominator >= 8 and numerator % 3 == 0
    if compound:
        sizes = [3 * unit] * (numerator // 3)
    elif denominator >= 8:
        sizes = [2 * unit] * (numerator // 2)
        if numerator % 2:
            sizes = [*sizes[:-1], 3 * unit] if sizes else [unit]
    else:
        sizes = [UNITS_PER_QUARTER] * (numerator * unit // UNITS_PER_QUARTER)
    edges = [0]
    for size in sizes:
        if edges[-1] + size < length:
            edges.append(edges[-1] + size)
    edges.append(length)
    strong: set[int] = set()
    if denominator <= 2 or (numerator, denominator) in ((4, 4), (8, 4)):
        strong = {e for e in edges if e % 96 == 0}
    elif (numerator, denominator) in ((6, 4), (12, 8)):
        strong = {144}
    cell = UNITS_PER_QUARTER if denominator <= 4 else max(unit, 12)
    return Beats(tuple(edges), frozenset(strong & set(edges)), cell, compound)


@dataclass(frozen=True)
class Cell:
    """A stretch of time with its slots: a quarter, half of one, or two quarters under one triplet.

    Attributes:
        start: beginning, in units from the start of the piece.
        length: length in units.
        parts: number of slots.
        is_triplet: whether the slots are triplets.
    """

    start: int
    length: int
    parts: int
    is_triplet: bool = False

    @property
    def end(self) -> int:
        """End of the cell in units."""
        return self.start + self.length

    @property
    def slots(self) -> tuple[int, ...]:
        """Beginnings of the slots, in units from the start of the piece."""
        step = self.length // self.parts
        return tuple(range(self.start, self.start + step * self.parts, step))


_TRIPLET_COST, _SMALL_TRIPLET_COST, _THIRTY_SECOND_COST, _MERGED_COST = 0.6, 1.0, 1.5, 6.0


def divide(onsets: Sequence[float], beats: Beats, start: int) -> list[Cell]:
    """Cells of one bar for onsets in units from its start. Each beat is divided in the simplest way that fits."""
    cells: list[Cell] = []
    at = 0
    while at < beats.length:
        size = min(beats.cell, beats.length - at)
        if size == 48 and at % 96 == 0 and at + 96 <= beats.length and not beats.compound:
            wide = [o - at for o in onsets if at - 0.5 <= o < at + 95.5]
            if _is_wide_triplet(wide):
                cells.append(Cell(start + at, 96, 3, True))
                at += 96
                continue
        inside = [o - at for o in onsets if at - 0.5 <= o < at + size - 0.5]
        cells += _cells(inside, start + at, size)
        at += size
    return cells


def _is_wide_triplet(onsets: Sequence[float]) -> bool:
    near = {
        min((0, 32, 64), key=lambda p: abs(p - o))
        for o in onsets
        if min(abs(p - o) for p in (0, 32, 64)) <= 2.5
    }
    fits = all(min(abs(p - o) for p in (0, 32, 64)) <= 2.5 for o in onsets)
    return fits and {32, 64} <= near


def _cells(onsets: Sequence[float], start: int, size: int) -> list[Cell]:
    if size not in (48, 24):
        step = 12 if size % 12 == 0 else 6
        return [Cell(start, size, size // step if size % step == 0 else 1)]
    if size == 24:
        options = [([Cell(start, 24, 2)], 0.0), ([Cell(start, 24, 3, True)], _SMALL_TRIPLET_COST)]
        options.append(([Cell(start, 24, 4)], _THIRTY_SECOND_COST))
    else:
        half = [_cells([o for o in onsets if o < 23.5], start, 24)]
        half.append(_cells([o - 24 for o in onsets if o >= 23.5], start + 24, 24))
        halves = [*half[0], *half[1]]
        extra = sum({2: 0.0, 3: _SMALL_TRIPLET_COST, 4: _THIRTY_SECOND_COST}[c.parts] for c in halves)
        options = [([Cell(start, 48, 4)], 0.0), ([Cell(start, 48, 3, True)], _TRIPLET_COST), (halves, extra)]
    return min(options, key=lambda option: option[1] + _misfit(onsets, option[0], start, size))[0]


def _misfit(onsets: Sequence[float], cells: Sequence[Cell], start: int, size: int) -> float:
    slots = [s - start for c in cells for s in c.slots] + [size]
    cost = 0.0
    taken: dict[int, float] = {}
    for onset in sorted(onsets):
        slot = min(slots, key=lambda s: abs(s - onset))
        cost += ((slot - onset) / 4) ** 2
        if slot in taken and onset - taken[slot] > 3:
            cost += _MERGED_COST
        taken.setdefault(slot, onset)
    return cost


__all__ = ["UNITS_PER_QUARTER", "Beats", "Cell", "beats_of", "divide"]
