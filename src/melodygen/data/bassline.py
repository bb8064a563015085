"""Bass lines from chord symbols: walking, shuffling, in two, and locked to a drummer's bass drum.

A line hears the chords ahead: where one changes it is on the root more often than not, and the note before leads
there. Notes are those of the grid (position, velocity band, duration index, pitch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from melodygen.music.harmony import CHORD_QUALITIES
from melodygen.tokens.grid import GridNote
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, DURATION_INDEX

LOW, HIGH = 31, 52
"""MIDI numbers: examples are transposed by up to six semitones either way, and a bass goes down to 28."""
QUARTER = 12
_SCALES = {
    "7": (0, 2, 4, 5, 7, 9, 10), "min": (0, 2, 3, 5, 7, 9, 10), "maj": (0, 2, 4, 5, 7, 9, 11),
    "dim": (0, 2, 3, 5, 6, 8, 9, 11), "hdim7": (0, 1, 3, 5, 6, 8, 10),
}  # fmt: skip

Chord = tuple[int, int]
"""Root (pitch class) and quality (index into CHORD_QUALITY_NAMES)."""
Changes = Sequence[Sequence[tuple[int, int, int]]]
"""For each bar its chord changes: position, root (-1 for none), quality."""


@dataclass(frozen=True)
class Span:
    """A chord in force: from ``start`` to ``end`` in positions from the first bar."""

    start: int
    end: int
    chord: Chord


def chord_spans(changes: Changes, sizes: Sequence[int], held: Chord | None) -> list[Span]:
    """Spans without gaps from the first chord on; ``held`` is in force before the first change. A silence (N) holds
    the chord before it."""
    spans: list[Span] = []
    chord, since, at = held, 0, 0
    for bar, size in zip(changes, sizes, strict=True):
        for position, root, quality in bar:
            if root < 0 or (root, quality) == chord or position >= size:
                continue
            if chord is not None and at + position > since:
                spans.append(Span(since, at + position, chord))
            chord, since = (root, quality), at + position
        at += size
    if chord is not None and at > since:
        spans.append(Span(since, at, chord))
    return spans


def tones(chord: Chord) -> tuple[int, ...]:
    """Return the pitch classes of a chord (root, quality index), the root first."""
    return tuple((chord[0] + i) % 12 for i in CHORD_QUALITIES[CHORD_QUALITY_NAMES[chord[1]]])


def scale(chord: Chord) -> frozenset[int]:
    """Return the pitch classes of the scale that goes with a chord."""
    name = CHORD_QUALITY_NAMES[chord[1]]
    kind = name if name in _SCALES else "dim" if name.startswith("dim") else "min" if name.startswith("min") else (
        "7" if name[0] in "791" or name.startswith("aug") else "maj"
    )  # fmt: skip
    return frozenset((chord[0] + i) % 12 for i in _SCALES[kind])


def nearest(pitch_class: int, to: int) -> int:
    """The MIDI number of a pitch class in the bass's range that is nearest to ``to``."""
    options = [p for p in range(LOW, HIGH + 1) if p % 12 == pitch_class]
    return min(options, key=lambda p: (abs(p - to), p))


class BassPlayer:
    """Plays through spans of chords; keeps its place on the neck and its habits."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._pitch = int(rng.integers(33, 42))
        self._band = int(rng.choice((2, 2, 3)))
        self._root_share = float(rng.uniform(0.6, 0.85))

    def _choice(self, options: Sequence[int], weights: Sequence[float]) -> int:
        total = np.cumsum(weights)
        return options[int(np.searchsorted(total, self._rng.random() * total[-1], side="right"))]

    def _drawn(self, likely: Sequence[tuple[float, int]]) -> int:
        return self._choice([p for _, p in likely], [w for w, _ in likely])

    def target(self, chord: Chord, anew: bool) -> int:
        """A note to arrive on: the root where the chord is new, mostly; else another chord tone."""
        root, *rest = tones(chord)
        share = self._root_share if anew else 0.45
        pitch_class = root if self._rng.random() < share else rest[int(self._rng.integers(min(3, len(rest))))]
        centre = 0.7 * self._pitch + 0.3 * 39 + float(self._rng.normal(0, 2.5))
        found = nearest(pitch_class, round(centre))
        if found == self._pitch and not anew:
            found = nearest(rest[int(self._rng.integers(min(3, len(rest))))], round(centre))
        return found

    def approach(self, goal: int, chord: Chord, before: int) -> int:
        """A note that leads to ``goal``: by a half step, a step of the scale, or from its fifth."""
        inside = scale(chord)
        options = [(3.0, goal - 1), (2.5, goal + 1), (1.0, goal + 7), (0.8, goal - 5)]
        options += [(1.6, goal + s) for s in (-2, 2) if (goal + s) % 12 in inside]
        kept = [(w / (1 + 0.25 * abs(p - before)), p) for w, p in options if LOW <= p <= HIGH and p != before]
        return self._drawn(kept)

    def between(self, chord: Chord, goal: int, left: int, strong: bool) -> int:
        """A note on the way to ``goal``, ``left`` beats before it is reached."""
        mine, inside = frozenset(tones(chord)), scale(chord)
        line = self._pitch + (goal - self._pitch) / (left + 1)
        kept = []
        for pitch in range(max(LOW, self._pitch - 7), min(HIGH, self._pitch + 7) + 1):
            if pitch == self._pitch:
                continue
            weight = (4.0 if strong else 2.0) if pitch % 12 in mine else 1.2 if pitch % 12 in inside else 0.08
            weight *= np.exp(-abs(pitch - line) / 5.0) * (1.4 if abs(pitch - self._pitch) <= 4 else 0.7)
            kept.append((float(weight), pitch))
        return self._drawn(kept)

    def walk(self, spans: Sequence[Span], sizes: Sequence[int], beat: int = QUARTER) -> list[list[GridNote]]:
        """A note a beat (``beat`` positions apart; 24 plays in two)."""
        length = sum(sizes)
        beats = [b for b in range(spans[0].start, length, beat)] if spans else []
        chord_at = {b: next(s for s in spans if s.start <= b < s.end) for b in beats}
        bar_starts = set(np.cumsum([0, *sizes]).tolist())
        goals = [b for b in beats if b in bar_starts or b - chord_at[b].start < beat or b == beats[0]]
        notes: list[tuple[int, GridNote]] = []
        for index, at in enumerate(goals):
            chord = chord_at[at].chord
            if not index:
                self._goal = self.target(chord, True)
            self._pitch = self._goal
            notes.append((at, self._note(at, beat)))
            until = goals[index + 1] if index + 1 < len(goals) else length
            following = chord_at.get(until)
            inner = [b for b in beats if at < b < until]
            if following is not None:
                self._goal = self.target(following.chord, following.chord != chord)
            for rank, place in enumerate(inner):
                left = len(inner) - rank
                if left == 1 and following is not None and self._rng.random() < 0.75:
                    self._pitch = self.approach(self._goal, chord_at[place].chord, self._pitch)
                else:
                    self._pitch = self.between(
                        chord_at[place].chord, self._goal, left, place % (2 * beat) == 0
                    )
                notes.append((place, self._note(place, beat)))
        return _in_bars(self._with_skips(notes, beat), sizes)

    def _note(self, at: int, length: int) -> GridNote:
        return (at, self._band, DURATION_INDEX[length], self._pitch)

    def _with_skips(self, notes: list[tuple[int, GridNote]], beat: int) -> list[tuple[int, GridNote]]:
        """Here and there a soft note on the last triplet of a beat."""
        share = float(self._rng.choice((0.0, 0.02, 0.05)))
        result = []
        for at, note in notes:
            if beat == QUARTER and self._rng.random() < share:
                result.append((at, (at, note[1], DURATION_INDEX[8], note[3])))
                result.append((at + 8, (at + 8, max(0, note[1] - 1), DURATION_INDEX[4], note[3])))
            else:
                result.append((at, note))
        return result

    def boogie(self, spans: Sequence[Span], sizes: Sequence[int], doubled: bool) -> list[list[GridNote]]:
        """Root, third, fifth, sixth and back through the seventh; ``doubled`` plays each twice, shuffled."""
        up = ((0, 4, 7, 9), (10, 9, 7, 4)) if self._rng.random() < 0.7 else ((0, 0, 7, 9), (10, 9, 7, 5))
        notes: list[tuple[int, GridNote]] = []
        for span in spans:
            minor = CHORD_QUALITY_NAMES[span.chord[1]].startswith(("min", "dim", "hdim"))
            root = nearest(span.chord[0], 35)
            for rank, at in enumerate(range(span.start, span.end, QUARTER)):
                step = up[rank // 4 % 2][rank % 4]
                pitch = root + (3 if minor and step == 4 else step)
                if doubled:
                    notes.append((at, (at, self._band, DURATION_INDEX[8], pitch)))
                    notes.append((at + 8, (at + 8, max(0, self._band - 1), DURATION_INDEX[4], pitch)))
                else:
                    notes.append((at, (at, self._band, DURATION_INDEX[11], pitch)))
        return _in_bars(notes, sizes)

    def locked(
        self, spans: Sequence[Span], sizes: Sequence[int], kicks: Sequence[Sequence[int]]
    ) -> list[list[GridNote]]:
        """With the bass drum: a note on (nearly) every kick and on every change. ``kicks``: positions in each bar."""
        rng = self._rng
        misses, fills = float(rng.choice((0.0, 0.08, 0.15))), float(rng.choice((0.0, 0.1, 0.25)))
        moves = float(rng.uniform(0.15, 0.55))
        legato = rng.random() < 0.6
        onsets: set[int] = {s.start for s in spans}
        at = 0
        for size, places in zip(sizes, kicks, strict=True):
            onsets |= {at + p for p in places if p == 0 or rng.random() >= misses}
            if rng.random() < fills:
                onsets.add(at + size - int(rng.choice((6, 12))))
            at += size
        kept: list[int] = []
        for place in sorted(o for o in onsets if spans and spans[0].start <= o < at):
            if not kept or place - kept[-1] >= 3:
                kept.append(place)
        notes: list[tuple[int, GridNote]] = []
        span = 0
        for index, place in enumerate(kept):
            while spans[span].end <= place:
                span += 1
            chord = spans[span].chord
            following = kept[index + 1] if index + 1 < len(kept) else at
            new = place == spans[span].start or index == 0
            leads = span + 1 < len(spans) and following >= spans[span + 1].start and not new
            if new or place % 48 == 0:
                others = tones(chord)[1:3]
                rooted = rng.random() < (self._root_share + 0.15 if new else self._root_share - 0.1)
                pitch_class = chord[0] if rooted else others[int(rng.integers(len(others)))]
                self._pitch = nearest(pitch_class, round(0.6 * self._pitch + 0.4 * 36))
            elif leads and rng.random() < moves:
                goal = nearest(spans[span + 1].chord[0], self._pitch)
                self._pitch = self.approach(goal, chord, self._pitch)
            elif rng.random() < moves:
                root = nearest(chord[0], self._pitch)
                third = tones(chord)[1]
                options = [
                    (2.0, root),
                    (2.0, root + 7),
                    (1.5, root - 5),
                    (1.5, root + 12),
                    (0.8, nearest(third, root)),
                ]
                self._pitch = self._drawn(
                    [(w, p) for w, p in options if LOW - 2 <= p <= HIGH and p != self._pitch]
                )
            length = following - place if legato else min(following - place, int(rng.choice((3, 6))))
            notes.append((place, (place, self._band, DURATION_INDEX[min(length, 48)], self._pitch)))
        return _in_bars(notes, sizes)


def _in_bars(notes: Sequence[tuple[int, GridNote]], sizes: Sequence[int]) -> list[list[GridNote]]:
    """Notes by bar, positions counted from its line."""
    starts = np.cumsum([0, *sizes])
    bars: list[list[GridNote]] = [[] for _ in sizes]
    for at, note in notes:
        bar = int(np.searchsorted(starts, at, side="right")) - 1
        if 0 <= bar < len(sizes):
            bars[bar].append((at - int(starts[bar]), note[1], note[2], note[3]))
    return [sorted(b) for b in bars]
