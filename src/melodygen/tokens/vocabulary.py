"""The vocabulary: one table of token kinds, from which ids, encoder, decoder and grammar derive.

A sequence is ``bos``, a header, ``header_end``, bars, ``end``. Each bar begins with a countdown token
(``bar:1`` is the last bar) and names its meter where the meter changes. One segment for each role follows, in
the header's order; a silent role has no segment. Inside a segment a position token (12 to a quarter) opens a
group of notes. Velocity and duration are written only where they change and hold to the end of the segment,
so a run of eighths costs two tokens a note. A drum token holds instrument and velocity at once.
A segment that came before is written as its role and one ``again`` token (see ``returns``).

Infill: the token ``gap`` stands for the missing bars; after the whole piece comes ``fill``, then the missing
bars.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

POSITIONS_PER_QUARTER = 12
MAX_POSITIONS = 96
MAX_AGAIN = 32
"""Largest distance in bars that an ``again`` token can express."""
MAX_TOKENS_A_BAR = 300
"""A generator ends a bar that has more tokens; music whose bars need more is not learned from."""
MAX_COUNTDOWN = 32
"""Largest exact countdown; the token ``bar:33`` stands for 33 bars left or more."""

METERS = (
    (2, 4), (3, 4), (4, 4), (5, 4), (6, 4), (7, 4), (2, 2), (3, 2), (4, 2),
    (3, 8), (4, 8), (5, 8), (6, 8), (7, 8), (9, 8), (12, 8), (2, 8), (8, 4), (8, 8),
)  # fmt: skip
DURATIONS = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 18, 20, 21, 22, 24, 28, 30, 32, 33, 36,
    40, 42, 44, 45, 48, 54, 56, 60, 66, 72, 84, 96, 108, 120, 144, 168, 192,
)  # fmt: skip
"""The durations that tokens can say, in twelfths of a quarter."""
VELOCITY_EDGES = (44, 64, 80, 98)
"""Highest MIDI velocity of each velocity band but the last; ``VELOCITIES`` holds the velocity a band is
played with.
"""
VELOCITIES = (36, 56, 74, 90, 110)
DRUM_VELOCITY_EDGES = (55, 95)
DRUM_VELOCITIES = (40, 78, 112)
TEMPO_BANDS = tuple(round(36.0 * (290.0 / 36.0) ** (i / 23), 1) for i in range(24))
"""Quarters per minute of the 24 tempo bands, evenly spaced on a log scale."""
DENSITIES = 8
MODES = ("major", "minor")
STYLE_SLOTS = 48
"""Number of style tokens; a checkpoint says which style name each slot has."""
SEGMENT_ROLES = ("chordline", "melody", "chords", "bass", "drums", "other")
CHORD_QUALITY_NAMES = (
    "maj", "min", "7", "min7", "maj7", "dim", "dim7", "hdim7", "aug", "aug7",
    "sus2", "sus4", "7sus4", "maj6", "min6", "9", "maj9", "min9", "minmaj7", "13",
)  # fmt: skip
DRUMS: tuple[tuple[int, tuple[int, ...]], ...] = (
    (36, (35,)), (38, (40,)), (37, (31,)), (39, ()), (42, (22,)), (44, ()), (46, (26,)), (41, (43,)), (45, (47,)),
    (50, (48, 58)), (49, (57, 52, 55)), (51, (59,)), (53, ()), (54, ()), (56, ()), (70, (82, 69, 73, 74)),
    (62, (60, 63, 76, 77)), (64, (61, 65, 66, 75)),
)  # fmt: skip
"""(General MIDI percussion key, other keys that count as the same instrument)."""
MAX_POLYPHONY = {"melody": 4, "chords": 6, "bass": 2, "other": 4, "drums": len(DRUMS), "chordline": 1}
"""Largest number of notes that start together, by role."""

_SPANS = ("start-final", "start-open", "mid-final", "mid-open")


@dataclass(frozen=True)
class Vocabulary:
    """The token kinds with their number of values; ids are dense, in table order.

    Value 0 of a header kind (style, meter, tempo, key, density) means ``any``: the header leaves it open.
    """

    def table(self) -> tuple[tuple[str, int], ...]:
        """Return (kind, number of values) of every kind, in the order of the ids."""
        return (
            ("special", 6),
            ("style", 1 + STYLE_SLOTS),
            ("meter", 1 + len(METERS)),
            ("tempo", 1 + len(TEMPO_BANDS)),
            ("key", 1 + 24),
            ("density", 1 + DENSITIES),
            ("span", len(_SPANS)),
            ("role", len(SEGMENT_ROLES)),
            ("bar", MAX_COUNTDOWN + 1),
            ("position", MAX_POSITIONS),
            ("chord_root", 13),
            ("chord_quality", len(CHORD_QUALITY_NAMES)),
            ("duration", len(DURATIONS)),
            ("velocity", len(VELOCITIES)),
            ("pitch", 128),
            ("drum", len(DRUMS) * len(DRUM_VELOCITIES)),
            ("again", MAX_AGAIN),
        )

    @cached_property
    def offsets(self) -> dict[str, int]:
        """First id of every kind."""
        offsets, at = {}, 0
        for kind, count in self.table():
            offsets[kind] = at
            at += count
        return offsets

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of values of every kind."""
        return dict(self.table())

    @cached_property
    def size(self) -> int:
        """Number of token ids."""
        return sum(count for _, count in self.table())

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Kind of every id."""
        return tuple(kind for kind, count in self.table() for _ in range(count))

    @cached_property
    def values(self) -> tuple[int, ...]:
        """Value of every id inside its kind."""
        return tuple(value for _, count in self.table() for value in range(count))

    @cached_property
    def vocabulary_id(self) -> str:
        """Hash of 16 hexadecimal digits that changes whenever an id changes its meaning."""
        spec = [
            self.table(), METERS, DURATIONS, VELOCITY_EDGES, VELOCITIES, DRUM_VELOCITY_EDGES, TEMPO_BANDS,
            SEGMENT_ROLES, CHORD_QUALITY_NAMES, DRUMS, _SPANS, POSITIONS_PER_QUARTER,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:16]

    def id(self, kind: str, value: int) -> int:
        """Return the id of ``value`` (from 0) of ``kind``. Raises IndexError for a value outside the kind."""
        if not 0 <= value < self.counts[kind]:
            raise IndexError(f"token {kind}:{value} does not exist (0-{self.counts[kind] - 1})")
        return self.offsets[kind] + value

    def slice(self, kind: str) -> slice:
        """Return the slice of ids that belong to ``kind``."""
        return slice(self.offsets[kind], self.offsets[kind] + self.counts[kind])

    def name(self, token: int) -> str:
        """Return the readable name of a token id, for example ``duration:12`` or ``role:bass``."""
        kind, value = self.kinds[token], self.values[token]
        if kind == "special":
            return ("pad", "bos", "header_end", "gap", "fill", "end")[value]
        if kind == "role":
            return f"role:{SEGMENT_ROLES[value]}"
        if kind == "bar":
            return f"bar:{value + 1}"
        if kind == "again":
            return f"again:{value + 1}"
        if kind == "duration":
            return f"duration:{DURATIONS[value]}"
        if kind == "drum":
            return f"drum:{DRUMS[value // 3][0]}/{value % 3}"
        return f"{kind}:{value}"

    @cached_property
    def transpositions(self) -> NDArray[np.int16]:
        """Table (24, size): row ``12 + s`` maps every id to the id transposed by ``s`` semitones, s from -12
        to 11.

        Pitches that would leave 0-127 move by an octave back inside; drums, positions and other ids stay.
        """
        rows = np.tile(np.arange(self.size, dtype=np.int16), (24, 1))
        for row, shift in enumerate(range(-12, 12)):
            for pitch in range(128):
                moved = pitch + shift
                moved += 12 if moved < 0 else (-12 if moved > 127 else 0)
                rows[row, self.id("pitch", pitch)] = self.id("pitch", moved)
            for tonic in range(12):
                for mode in range(2):
                    source = self.id("key", 1 + mode * 12 + tonic)
                    rows[row, source] = self.id("key", 1 + mode * 12 + (tonic + shift) % 12)
                rows[row, self.id("chord_root", 1 + tonic)] = self.id("chord_root", 1 + (tonic + shift) % 12)
        return rows


VOCABULARY = Vocabulary()
EARLIER_VOCABULARIES = {"530d5925eb9c5242": 535}
"""Id -> number of tokens of those whose ids mean the same today; what they lack came after."""
PAD, BOS, HEADER_END, GAP, FILL, END = range(6)


def duration_index(duration: int) -> int:
    """Return the index of the entry of DURATIONS nearest to ``duration`` (twelfths of a quarter); a tie goes
    to the shorter.
    """
    at = bisect_left(DURATIONS, duration)
    if at == 0:
        return 0
    if at == len(DURATIONS):
        return at - 1
    return at if DURATIONS[at] - duration < duration - DURATIONS[at - 1] else at - 1


DURATION_INDEX = tuple(duration_index(d) for d in range(DURATIONS[-1] + 1))
VELOCITY_INDEX = tuple(sum(v > e for e in VELOCITY_EDGES) for v in range(128))
DRUM_VELOCITY_INDEX = tuple(sum(v > e for e in DRUM_VELOCITY_EDGES) for v in range(128))


def _drum_classes() -> tuple[int, ...]:
    classes = [-1] * 128
    for index, (key, others) in enumerate(DRUMS):
        for k in (key, *others):
            classes[k] = index
    return tuple(classes)


DRUM_CLASS = _drum_classes()
"""General MIDI percussion key -> index into DRUMS, or -1 for a key that tokens leave out."""


def tempo_band(qpm: float) -> int:
    """Return the index of the tempo band nearest to ``qpm`` on a log scale."""
    import math

    step = math.log(TEMPO_BANDS[-1] / TEMPO_BANDS[0]) / (len(TEMPO_BANDS) - 1)
    return min(len(TEMPO_BANDS) - 1, max(0, round(math.log(max(qpm, 1.0) / TEMPO_BANDS[0]) / step)))


def density_level(notes_per_quarter_and_role: float) -> int:
    """Return the density level 0-7 of a mean number of notes per quarter and pitched role.

    Levels are half an octave apart; level 3 is one note a quarter.
    """
    import math

    return min(DENSITIES - 1, max(0, round(2.0 * math.log2(max(notes_per_quarter_and_role, 1e-3)) + 3.0)))
