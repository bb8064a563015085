"""What a drummer's take means: its groove, its variations and its fills.

A take as it was played repeats in no bar: every stroke differs a little from the one before. What was felt is a
pattern of one or two bars that comes again and again, some bars that vary it, and fills where phrases end.
``felt_groove`` finds them; ``play`` plays them again for as many bars as are wanted. Strokes are notes of the grid
(position, drum class, loudness band, 0), already on sixteenths or triplets (``snap_take``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from melodygen.tokens.grid import GridNote
from melodygen.tokens.vocabulary import DRUM_CLASS

KICK, SNARE, RIM, CRASH = (DRUM_CLASS[key] for key in (36, 38, 37, 49))
CYMBALS = frozenset(DRUM_CLASS[key] for key in (42, 46, 49, 51, 53))
FILL_DRUMS = frozenset(DRUM_CLASS[key] for key in (38, 41, 45, 50, 37))
QUARTER, BAR = 12, 48
ALIKE = 0.5
"""Two bars whose strokes differ by less (Jaccard distance) play one groove."""
MOST_BARS = 64
"""Of a take that are compared."""

Strokes = tuple[GridNote, ...]


@dataclass(frozen=True)
class Groove:
    """Of one take in 4/4. ``pattern``: one or two bars; ``swings``: its off-beats are triplets."""

    style: str
    qpm: float
    swings: bool
    pattern: tuple[Strokes, ...]
    variations: tuple[Strokes, ...]
    fills: tuple[Strokes, ...]

    def count(self, drum: int) -> float:
        """Strokes of a class in a bar of the pattern."""
        return sum(n[1] == drum for bar in self.pattern for n in bar) / len(self.pattern)

    @property
    def cymbal_share(self) -> float:
        """Share of the strokes that are cymbals played by hand."""
        strokes = [n for bar in self.pattern for n in bar]
        return sum(n[1] in CYMBALS for n in strokes) / len(strokes)

    def kicks(self, bar: int) -> tuple[int, ...]:
        """Where the bass drum falls in bar ``bar`` of the pattern."""
        return tuple(n[0] for n in self.pattern[bar % len(self.pattern)] if n[1] == KICK)


def felt_groove(bars: Sequence[Strokes], style: str, qpm: float) -> Groove | None:
    """The groove of a take in 4/4; None for one that has none (a few strokes, or a solo)."""
    bars = [b for b in bars[:MOST_BARS] if b]
    if len(bars) < 2:
        return None
    distance = distances(bars)
    near = distance < ALIKE
    centre = max(range(len(bars)), key=lambda i: (near[i].sum(), -distance[i].mean()))
    group = [i for i in range(len(bars)) if near[centre, i]]
    if len(group) < max(2, 0.3 * len(bars)):
        return None
    halves = [[i for i in group if i % 2 == side] for side in (0, 1)]
    if min(len(h) for h in halves) >= 2:
        pair = tuple(consensus([bars[i] for i in half]) for half in halves)
        pattern = pair if jaccard(*pair) > 0.12 else (consensus([bars[i] for i in group]),)
    else:
        pattern = (consensus([bars[i] for i in group]),)
    if min(len(b) for b in pattern) < 4:
        return None
    far = [min(jaccard(bar, p) for p in pattern) for bar in bars]
    variations = tuple(bars[i] for i in group if 0.08 < far[i] < 0.35)[:12]
    busy = np.mean([len(b) for b in pattern])
    fills = [
        bar for bar, apart in zip(bars, far, strict=True)
        if apart > ALIKE and len(bar) > 0.5 * busy and sum(n[1] in FILL_DRUMS for n in bar) >= 4
    ]  # fmt: skip
    return Groove(style, qpm, swings(bars), pattern, variations, tuple(fills[:6]))


def swings(bars: Sequence[Strokes]) -> bool:
    """Return whether more off-beats lie on triplets than on sixteenths."""
    places = Counter(n[0] % QUARTER for bar in bars for n in bar)
    return places[4] + places[8] > places[3] + places[6] + places[9]


def jaccard(a: Strokes, b: Strokes) -> float:
    """1 minus the share of strokes that two bars have in common; loudness aside."""
    one, two = {n[:2] for n in a}, {n[:2] for n in b}
    return 1.0 - len(one & two) / max(1, len(one | two))


def distances(bars: Sequence[Strokes]) -> NDArray[np.float64]:
    """(N, N) ``jaccard`` of every pair."""
    cells = np.zeros((len(bars), BAR * 32), dtype=np.float32)
    for row, bar in enumerate(bars):
        cells[row, [min(n[0], BAR - 1) * 32 + n[1] for n in bar]] = 1
    common = cells @ cells.T
    size = cells.sum(axis=1)
    return np.asarray(1.0 - common / np.maximum(size[:, None] + size[None] - common, 1))


def consensus(bars: Sequence[Strokes]) -> Strokes:
    """The strokes that at least half of the bars play, each as loud as most play it."""
    loudness: dict[tuple[int, int], list[int]] = {}
    for bar in bars:
        for at, drum, band, _ in bar:
            loudness.setdefault((at, drum), []).append(band)
    kept = [
        (at, drum, sorted(b)[len(b) // 2], 0) for (at, drum), b in loudness.items() if 2 * len(b) >= len(bars)
    ]
    return tuple(sorted(kept))


def play(groove: Groove, bars: int, rng: np.random.Generator, last_fill: bool = False) -> list[Strokes]:
    """The groove for ``bars`` bars: its pattern, now and then a variation, a fill at the end of some phrases, and what
    most drummers do after one, a crash on the first beat. ``last_fill``: the last bar may hold a fill too."""
    eager = float(rng.choice((0.5, 0.8, 1.0)))
    comps = groove.swings and groove.style == "jazz"  # the left hand answers the soloist, bar by bar
    restless = float(rng.choice((0.3, 0.6, 0.8) if comps else (0.1, 0.3, 0.5)))
    crashes = rng.random() < 0.6
    result: list[Strokes] = []
    filled = False
    for number in range(bars):
        bar = groove.pattern[number % len(groove.pattern)]
        phrase_end = number % 4 == 3 and (number + 1 < bars or last_fill)
        chance = eager if number % 8 == 7 else 0.6 * eager
        fill = phrase_end and bool(groove.fills) and rng.random() < chance
        if fill:
            bar = _joined(
                bar, groove.fills[int(rng.integers(len(groove.fills)))], int(rng.choice((0, 24, 24, 36)))
            )
        elif groove.variations and rng.random() < restless:
            bar = groove.variations[int(rng.integers(len(groove.variations)))]
        if filled and crashes:
            bar = tuple(sorted({n for n in bar if n[0] or n[1] not in CYMBALS} | {(0, CRASH, 2, 0)}))
        filled = fill
        result.append(bar)
    return result


def lend_fills(grooves: Sequence[Groove]) -> list[Groove]:
    """The grooves; one whose take holds no fill gets those of the take nearest in tempo, of its style and feel."""

    def lent(groove: Groove) -> Groove:
        lenders = [g for g in grooves if g.fills and (g.style, g.swings) == (groove.style, groove.swings)]
        if groove.fills or not lenders:
            return groove
        nearest = min(lenders, key=lambda g: abs(math.log(g.qpm / groove.qpm)))
        return replace(groove, fills=nearest.fills)

    return [lent(groove) for groove in grooves]


def _joined(bar: Strokes, fill: Strokes, at: int) -> Strokes:
    """The bar up to position ``at``, the fill from there."""
    return tuple(sorted([n for n in bar if n[0] < at] + [n for n in fill if n[0] >= at]))


def without_ghosts(groove: Groove) -> Groove:
    """The groove without its soft snare strokes."""

    def loud(bar: Strokes) -> Strokes:
        return tuple(n for n in bar if n[1] not in (SNARE, RIM) or n[2] > 0)

    pattern, variations = tuple(map(loud, groove.pattern)), tuple(map(loud, groove.variations))
    return Groove(groove.style, groove.qpm, groove.swings, pattern, variations, groove.fills)


def feathered(groove: Groove, places: Sequence[int]) -> Groove:
    """The groove with a soft bass drum at ``places`` (positions), as swing drummers keep time with it."""

    def with_kicks(bar: Strokes) -> Strokes:
        there = {n[0] for n in bar if n[1] == KICK}
        return tuple(sorted((*bar, *((at, KICK, 0, 0) for at in places if at not in there))))

    pattern, variations = tuple(map(with_kicks, groove.pattern)), tuple(map(with_kicks, groove.variations))
    return Groove(groove.style, groove.qpm, groove.swings, pattern, variations, groove.fills)
