"""One table of token kinds from which ids, encoder, decoder and grammar derive.

A sequence is ``bos``, a header, ``header_end``, bars, ``end``. Each bar is a countdown token (``bar:1`` is the last
one), a meter where it changes, then one segment a role in the header's order; a silent role has no segment. In a
segment a position (12 to a quarter) opens a group; velocity and duration are said only where they change and hold
to the end of the segment, so that a run of eighths costs two tokens a note. Drum tokens carry instrument and
loudness at once.

Infill: the missing bars are replaced by ``gap``, and follow the whole piece after ``fill``.
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
MAX_COUNTDOWN = 32
"""``bar:33`` stands for 33 bars left or more."""

METERS = (
    (2, 4), (3, 4), (4, 4), (5, 4), (6, 4), (7, 4), (2, 2), (3, 2), (4, 2),
    (3, 8), (4, 8), (5, 8), (6, 8), (7, 8), (9, 8), (12, 8), (2, 8), (8, 4), (8, 8),
)  # fmt: skip
DURATIONS = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 18, 20, 21, 22, 24, 28, 30, 32, 33, 36,
    40, 42, 44, 45, 48, 54, 56, 60, 66, 72, 84, 96, 108, 120, 144, 168, 192,
)  # fmt: skip
"""In twelfths of a quarter."""
VELOCITY_EDGES = (44, 64, 80, 98)
VELOCITIES = (36, 56, 74, 90, 110)
DRUM_VELOCITY_EDGES = (55, 95)
DRUM_VELOCITIES = (40, 78, 112)
TEMPO_BANDS = tuple(round(36.0 * (290.0 / 36.0) ** (i / 23), 1) for i in range(24))
DENSITIES = 8
MODES = ("major", "minor")
STYLE_SLOTS = 48
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
"""(General MIDI key, keys that are heard as the same instrument)."""
MAX_POLYPHONY = {"melody": 4, "chords": 6, "bass": 2, "other": 4, "drums": len(DRUMS), "chordline": 1}

_SPANS = ("start-final", "start-open", "mid-final", "mid-open")


@dataclass(frozen=True)
class Vocabulary:
    """Token kinds with their number of values; ids are dense, in table order. ``any`` is value 0 of a header kind."""

    def table(self) -> tuple[tuple[str, int], ...]:
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
        )

    @cached_property
    def offsets(self) -> dict[str, int]:
        offsets, at = {}, 0
        for kind, count in self.table():
            offsets[kind] = at
            at += count
        return offsets

    @cached_property
    def counts(self) -> dict[str, int]:
        return dict(self.table())

    @cached_property
    def size(self) -> int:
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
        """Changes whenever an id changes its meaning."""
        spec = [
            self.table(), METERS, DURATIONS, VELOCITY_EDGES, VELOCITIES, DRUM_VELOCITY_EDGES, TEMPO_BANDS,
            SEGMENT_ROLES, CHORD_QUALITY_NAMES, DRUMS, _SPANS, POSITIONS_PER_QUARTER,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:16]

    def id(self, kind: str, value: int) -> int:
        if not 0 <= value < self.counts[kind]:
            raise IndexError(f"token {kind}:{value} does not exist (0-{self.counts[kind] - 1})")
        return self.offsets[kind] + value

    def slice(self, kind: str) -> slice:
        return slice(self.offsets[kind], self.offsets[kind] + self.counts[kind])

    def name(self, token: int) -> str:
        kind, value = self.kinds[token], self.values[token]
        if kind == "special":
            return ("pad", "bos", "header_end", "gap", "fill", "end")[value]
        if kind == "role":
            return f"role:{SEGMENT_ROLES[value]}"
        if kind == "bar":
            return f"bar:{value + 1}"
        if kind == "duration":
            return f"duration:{DURATIONS[value]}"
        if kind == "drum":
            return f"drum:{DRUMS[value // 3][0]}/{value % 3}"
        return f"{kind}:{value}"

    @cached_property
    def transpositions(self) -> NDArray[np.int16]:
        """(24, size): row ``12 + s`` maps ids to ids transposed by ``s`` semitones, -12..11. Pitches are clipped by
        octaves into 0-127; drums, positions and the rest stay."""
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
PAD, BOS, HEADER_END, GAP, FILL, END = range(6)


def duration_index(duration: int) -> int:
    """Index of the nearest entry of DURATIONS; a tie goes to the shorter."""
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
"""General MIDI percussion key -> index into DRUMS, -1 for keys that are left out."""


def tempo_band(qpm: float) -> int:
    """Index of the nearest tempo band on a log scale."""
    import math

    step = math.log(TEMPO_BANDS[-1] / TEMPO_BANDS[0]) / (len(TEMPO_BANDS) - 1)
    return min(len(TEMPO_BANDS) - 1, max(0, round(math.log(max(qpm, 1.0) / TEMPO_BANDS[0]) / step)))


def density_level(notes_per_quarter_and_role: float) -> int:
    """Eight levels, half an octave apart around one note a quarter in each pitched role."""
    import math

    return min(DENSITIES - 1, max(0, round(2.0 * math.log2(max(notes_per_quarter_and_role, 1e-3)) + 3.0)))
