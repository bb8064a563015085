"""Views of a piece that its source does not hold: comping for block chords, drums from human takes.

Lead sheets and transcribed solos write their harmony as one held block a chord symbol. Nobody plays that, and a
model that learns it writes music that stands still. ``CompingPlayer`` plays the same symbols in the manner of the
style, voice-led, so that what is learned is chord symbol -> playable comping. Patterns are common practice, written
for this project.
"""

from __future__ import annotations

import numpy as np

from melodygen.music.harmony import CHORD_QUALITIES
from melodygen.styles.style import Style
from melodygen.tokens.grid import GridNote, meter_positions
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, DURATION_INDEX

# patterns of one 4/4 bar: (position, duration) in twelfths of a quarter; swung off-beats fall on 8
_SWING_44 = (
    ((0, 18), (20, 6)),
    ((0, 6), (20, 16)),
    ((8, 6), (32, 6)),
    ((12, 10), (32, 14)),
    ((20, 20),),
    ((0, 12), (32, 12)),
    ((8, 12), (24, 8), (44, 4)),
    ((0, 36),),
    ((12, 6), (36, 6)),
    ((20, 4), (32, 14)),
    ((0, 20), (20, 26)),
    ((32, 16),),
)
_STRAIGHT_44 = (
    ((0, 24), (24, 24)),
    ((0, 12), (12, 12), (24, 12), (36, 12)),
    ((0, 18), (18, 18), (36, 12)),
    ((0, 6), (6, 6), (12, 6), (18, 6), (24, 6), (30, 6), (36, 6), (42, 6)),
    ((0, 36), (36, 12)),
    ((0, 18), (18, 30)),
)
_SHUFFLE_44 = (
    ((0, 8), (8, 4), (12, 8), (20, 4), (24, 8), (32, 4), (36, 8), (44, 4)), ((12, 6), (36, 6)),
    ((0, 12), (12, 12), (24, 12), (36, 12)), ((8, 4), (20, 4), (32, 4), (44, 4)), ((0, 20), (20, 16)),
)  # fmt: skip
_EVEN_44 = (
    ((0, 18), (18, 18), (42, 6)), ((6, 6), (18, 18), (42, 6)), ((0, 12), (18, 6), (30, 18)),
    ((12, 6), (18, 12), (42, 6)), ((0, 6), (18, 6), (30, 6), (42, 6)), ((0, 36), (42, 6)),
)  # fmt: skip
"""Bossa and other even eighths of jazz bands."""
_RAG_44 = (((12, 10), (36, 10)), ((12, 6), (36, 6)), ((6, 6), (12, 10), (30, 6), (36, 10)))
_WALTZ_34 = (((12, 10), (24, 10)), ((12, 12), (24, 12)), ((0, 36),), ((0, 12), (12, 12), (24, 12)))
_SWING_34 = (((12, 6), (20, 12)), ((0, 18), (20, 12)), ((8, 16),), ((12, 10), (24, 10)), ((0, 30),))
_COMPOUND_68 = (((6, 5), (12, 5), (24, 5), (30, 5)), ((12, 6), (30, 6)), ((0, 18), (18, 18)))


_FOUR_FOUR = {
    "straight": _STRAIGHT_44,
    "swing": _SWING_44,
    "shuffle": _SHUFFLE_44 + _SWING_44[:4],
    "rag": _RAG_44,
}


def comping_patterns(
    style: Style, meter: tuple[int, int], swings: bool = True, pushes: bool = False
) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Patterns of (position, duration), in twelfths of a quarter, that suit; none where the meter has no common one."""
    if meter in ((4, 4), (2, 2)):
        swung = style.accompaniment.comping in ("swing", "shuffle")
        return _EVEN_44 if pushes or (swung and not swings) else _FOUR_FOUR[style.accompaniment.comping]
    if meter == (3, 4):
        return _SWING_34 if style.is_swung else _WALTZ_34
    if meter == (6, 8):
        return _COMPOUND_68
    if meter == (2, 4):
        return (((0, 12), (12, 12)), ((6, 6), (18, 6)), ((0, 24),))
    return ()


def voice_chord(root: int, quality: int, previous: tuple[int, ...] | None, rootless: bool) -> tuple[int, ...]:
    """Three or four MIDI numbers between 48 and 74 that move least from ``previous``."""
    intervals = CHORD_QUALITIES[CHORD_QUALITY_NAMES[quality]]
    if rootless and len(intervals) > 3:
        intervals = intervals[1:]
    classes = [(root + i) % 12 for i in intervals[:4]]
    best: tuple[float, tuple[int, ...]] | None = None
    for turn in range(len(classes)):
        for base in (48, 52, 55):
            notes: list[int] = []
            low = base
            for pitch_class in classes[turn:] + classes[:turn]:
                pitch = low + (pitch_class - low) % 12
                notes.append(pitch)
                low = pitch + 1
            if notes[-1] > 75:
                continue
            centre = abs(float(np.mean(notes)) - 61.0) * 0.5
            move = 0.0
            if previous:
                move = sum(min(abs(n - p) for p in previous) for n in notes) / len(notes)
            cost = centre * (0.3 if previous else 1.0) + move
            if best is None or cost < best[0]:
                best = (cost, tuple(notes))
    assert best is not None
    return best[1]


class CompingPlayer:
    """Plays chord symbols bar after bar; keeps voicing and pattern family so that a window sounds like one player.


    ``swings``: off-beats are late where the style swings; False has styles that swing comp in even eighths. With
    ``accents`` held and early chords are louder, short ones softer; ``pushes`` has any style comp ahead of the beat.
    """

    def __init__(
        self,
        style: Style,
        rng: np.random.Generator,
        swings: bool = True,
        accents: bool = False,
        pushes: bool = False,
    ) -> None:
        self._style, self._swings, self._pushes = style, swings, pushes
        self._rng = rng
        self._voicing: tuple[int, ...] | None = None
        self._chord: tuple[int, int] | None = None
        self._favourites: dict[tuple[int, int], list[int]] = {}
        rootless = style.accompaniment.rootless
        self._rootless = rootless > 0 and bool(rng.random() < rootless)
        self._velocity = int(rng.integers(1, 4))
        self._accents = accents

    def bar(
        self,
        meter: tuple[int, int],
        chords: tuple[tuple[int, int, int], ...],
        coming: tuple[int, int] | None = None,
    ) -> tuple[GridNote, ...]:
        """Comping for one bar from its chord changes (position, root, quality); the chord in force is remembered.

        ``coming`` (root, quality) is the chord of the next bar: the last off-beat of this one plays it already.
        """
        patterns = comping_patterns(self._style, meter, self._swings, self._pushes)
        if not patterns:
            return ()
        if meter not in self._favourites:
            count = min(len(patterns), 3)
            self._favourites[meter] = [
                int(i) for i in self._rng.choice(len(patterns), size=count, replace=False)
            ]
        favourites = self._favourites[meter]
        pattern = patterns[favourites[min(len(favourites) - 1, int(self._rng.geometric(0.6)) - 1)]]
        changes = list(chords)
        notes: list[GridNote] = []
        bar_end = meter_positions(meter)
        hits = list(pattern)
        for at, root, _ in changes:
            # a change that no hit plays before the next change is played on the spot
            following = min((c[0] for c in changes if c[0] > at), default=bar_end)
            if root >= 0 and not any(at <= p < following for p, _ in hits):
                hits.append((at, min(12, following - at)))
        for position, duration in sorted(hits):
            for at, root, quality in changes:
                if at <= position:
                    self._chord = (root, quality) if root >= 0 else None
            early = coming is not None and coming[0] >= 0 and bar_end - 6 <= position and duration <= 6
            chord = coming if early else self._chord
            if chord is None:
                continue
            self._voicing = voice_chord(*chord, self._voicing, self._rootless)
            following = min((c[0] for c in changes if c[0] > position), default=bar_end)
            length = DURATION_INDEX[max(1, min(duration, following - position))]
            loud = (
                self._velocity
                + (self._accents and (early or duration > 12))
                - (self._accents and duration < 5)
            )
            notes += [(position, min(4, max(0, loud)), length, p) for p in self._voicing]
        for _, root, quality in changes:
            self._chord = (root, quality) if root >= 0 else None
        return tuple(sorted(notes))
