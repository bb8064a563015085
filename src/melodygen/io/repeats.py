"""The order in which written bars are played: repeats, endings, da capo, dal segno, coda, fine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

MAX_PLAYED_BARS = 20_000


@dataclass
class Marks:
    """Of one bar. ``starts``: a repeat begins here; ``times``: how often what ends here is played, 1 is no repeat.
    ``ending``: the passes in which the bars from here on are played. ``ends_section``: a double line after it.
    ``jump``: ``start`` or a segno's name, taken once after this bar; ``to_coda``: left here after a jump."""

    starts: bool = False
    times: int = 1
    ending: frozenset[int] = frozenset()
    ending_stops: bool = False
    ends_section: bool = False
    segno: str = ""
    coda: str = ""
    to_coda: str = ""
    jump: str = ""
    fine: bool = False


def merged_marks(marks: Sequence[Marks]) -> Marks:
    """What any of the parts says of a bar."""
    named = {
        name: next((said for m in marks if (said := getattr(m, name))), "")
        for name in ("segno", "coda", "to_coda", "jump")
    }
    return Marks(
        starts=any(m.starts for m in marks),
        times=max(m.times for m in marks),
        ending=next((m.ending for m in marks if m.ending), frozenset()),
        ending_stops=any(m.ending_stops for m in marks),
        ends_section=any(m.ends_section for m in marks),
        fine=any(m.fine for m in marks),
        **named,
    )


def playing_order(bars: Sequence[Marks]) -> list[int]:
    """Indices of the bars as they are played. After a jump repeats are not taken again, and the last ending is."""
    played: list[int] = []
    taken: set[int] = set()
    start, number, i, back, jumped, in_ending = 0, 1, 0, False, False, False
    while i < len(bars) and len(played) < MAX_PLAYED_BARS:
        bar = bars[i]
        if bar.starts and not back:
            start, number, in_ending = i, 1, False
        back = False
        if bar.ending:
            following = _next_ending(bars, i)
            skip = number not in bar.ending
            if jumped:
                skip = following is not None and bool(bars[following].ending)
            if skip:
                i = len(bars) if following is None else following
                continue
            in_ending = True
        played.append(i)
        if jumped and bar.fine:
            break
        if jumped and bar.to_coda:
            target = next((j for j, other in enumerate(bars) if other.coda == bar.to_coda and j > i), None)
            if target is not None:
                i = target
                continue
        if not jumped and bar.times > 1 and number < _passes(bars, start, i):
            number, i, back, in_ending = number + 1, start, True, False
            continue
        if bar.times > 1 or (in_ending and number > 1 and (bar.ends_section or bar.ending_stops)):
            start, number, in_ending = i + 1, 1, False
        if bar.jump and i not in taken and not jumped:
            taken.add(i)
            target = next((j for j, other in enumerate(bars) if other.segno and other.segno == bar.jump), 0)
            i, jumped, start, number, in_ending = target, True, target, 1, False
            continue
        i += 1
    return played


def _next_ending(bars: Sequence[Marks], at: int) -> int | None:
    """The bar after the ending that begins at ``at``: the next ending, or what follows the repeat."""
    for j in range(at + 1, len(bars)):
        if bars[j].ending or bars[j - 1].times > 1 or bars[j - 1].ending_stops:
            return j
    return None


def _passes(bars: Sequence[Marks], start: int, end: int) -> int:
    """How often a section is played that ends in a repeat at ``end``: as its endings say, else as the line says."""
    endings = [max(bar.ending) for bar in bars[start : end + 2] if bar.ending]
    return max(endings) if endings else bars[end].times


_Value = TypeVar("_Value")


def new_ones(changes: Mapping[int, _Value]) -> list[tuple[int, _Value]]:
    """(tick, value) in the order of time, without those that say what is in force already: a repeat says all again."""
    kept: list[tuple[int, _Value]] = []
    for tick in sorted(changes):
        if not kept or kept[-1][1] != changes[tick]:
            kept.append((tick, changes[tick]))
    return kept


__all__ = ["MAX_PLAYED_BARS", "Marks", "merged_marks", "new_ones", "playing_order"]
