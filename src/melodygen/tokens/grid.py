"""A piece on the metrical grid: what tokens can say exactly.

Positions and durations are in twelfths of a quarter. ``score_to_piece`` quantises; ``piece_to_score`` is its
inverse on what is already quantised, so quantising twice is quantising once:
``score_to_piece(piece_to_score(p)) == p`` for every ``p`` that ``score_to_piece`` made. A piece of another origin comes
back without the silent bars at its end (a Score ends with its last note), its notes cut where its last bar ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

from melodygen.errors import ScoreError
from melodygen.music.harmony import chord_label
from melodygen.music.score import Chord, KeySignature, Score, Tempo, TimeSignature, Track, note_array
from melodygen.tokens import columns
from melodygen.tokens.vocabulary import (
    CHORD_QUALITY_NAMES,
    DRUM_VELOCITIES,
    DRUMS,
    DURATIONS,
    METERS,
    POSITIONS_PER_QUARTER,
    SEGMENT_ROLES,
    VELOCITIES,
)

PITCHED_ROLES = ("melody", "chords", "bass", "other")
GRID_ROLES = ("melody", "chords", "bass", "drums", "other")

GridNote = tuple[int, int, int, int]
"""Pitched: (position, velocity band, duration index, pitch). Drums: (position, drum class, velocity band, 0)."""


@dataclass(frozen=True)
class GridBar:
    """One bar. ``parts`` maps a role to its notes in canonical order; ``chords`` are (position, root, quality index),
    root -1 for ``N``."""

    meter: tuple[int, int]
    parts: dict[str, tuple[GridNote, ...]] = field(default_factory=dict)
    chords: tuple[tuple[int, int, int], ...] = ()

    @property
    def num_positions(self) -> int:
        return meter_positions(self.meter)


@dataclass(frozen=True)
class Piece:
    bars: tuple[GridBar, ...]
    qpm: float = 120.0
    key: tuple[int, str] | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(r for r in GRID_ROLES if any(b.parts.get(r) for b in self.bars))

    def num_notes(self, roles: tuple[str, ...] = GRID_ROLES) -> int:
        return sum(len(b.parts.get(r, ())) for b in self.bars for r in roles)


def meter_positions(meter: tuple[int, int]) -> int:
    return meter[0] * 4 * POSITIONS_PER_QUARTER // meter[1]


def strong_positions(meter: tuple[int, int]) -> tuple[int, ...]:
    """The bar's beginning, and its middle where the meter divides in two: 0, 24 in 4/4; 0, 18 in 6/8; 0 in 3/4."""
    halves = meter[0] in (4, 6, 8, 12) and meter != (6, 4)
    return (0, meter_positions(meter) // 2) if halves else (0,)


def score_to_piece(score: Score, max_bars: int | None = None) -> Piece:
    """Quantise a Score whose tracks carry roles. Bars of a meter that tokens cannot say are an error that names it.

    A note that rounds onto the bar line belongs to the next bar. A bar that a meter change cuts short is filled up
    with silence: tokens have no short bars. The last bar is the one in which the last note ends; a note that quantising
    would carry over its end stops there. Raises TokenError.
    """
    return columns_to_piece(columns.quantise(score, max_bars))


def columns_to_piece(table: columns.Columns) -> Piece:
    """The same music in objects."""
    parts: list[dict[str, list[GridNote]]] = [{} for _ in range(table.num_bars)]
    of_notes = (table.bar, table.role, table.at, table.band, table.duration, table.pitch)
    for bar, role, at, band, duration, pitch in zip(*(c.tolist() for c in of_notes), strict=True):
        note = (at, pitch, band, 0) if role == columns.DRUM_ROLE else (at, band, duration, pitch)
        parts[bar].setdefault(SEGMENT_ROLES[role], []).append(note)
    chords: list[list[tuple[int, int, int]]] = [[] for _ in parts]
    for bar, *chord in table.chords.tolist():
        chords[bar].append((chord[0], chord[1], chord[2]))
    bars = tuple(
        GridBar(METERS[meter], {r: tuple(own[r]) for r in GRID_ROLES if r in own}, tuple(line))
        for meter, own, line in zip(table.meters.tolist(), parts, chords, strict=True)
    )
    return Piece(bars, table.qpm, table.key)


def piece_to_columns(piece: Piece) -> columns.Columns:
    """The same music in arrays."""
    notes = [
        (index, SEGMENT_ROLES.index(role), at, second, third, fourth) if role != "drums"
        else (index, columns.DRUM_ROLE, at, third, 0, second)
        for index, bar in enumerate(piece.bars)
        for role, part in bar.parts.items()
        for at, second, third, fourth in part
    ]  # fmt: skip
    chords = [(index, *chord) for index, bar in enumerate(piece.bars) for chord in bar.chords]
    return columns.from_rows([b.meter for b in piece.bars], notes, chords, piece.qpm, piece.key)


def fitting_duration(duration: int, room: int) -> int:
    """``duration`` (an index), or the index of the longest one that fits into ``room`` positions (at least 1)."""
    if DURATIONS[duration] <= room:
        return duration
    return max(0, bisect_right(DURATIONS, room) - 1)


def estimate_piece_key(bars: tuple[GridBar, ...]) -> tuple[int, str] | None:
    return piece_to_columns(Piece(bars)).estimated_key()


def piece_to_score(
    piece: Piece,
    programs: dict[str, int] | None = None,
    ticks_per_quarter: int = 480,
    title: str = "",
) -> Score:
    """One track a role that is present, in GRID_ROLES order. ``programs`` maps a role to a General MIDI program."""
    unit = ticks_per_quarter // POSITIONS_PER_QUARTER
    if unit * POSITIONS_PER_QUARTER != ticks_per_quarter:
        raise ScoreError(
            f"ticks_per_quarter {ticks_per_quarter} is not a multiple of {POSITIONS_PER_QUARTER}"
        )
    programs = programs or {}
    rows: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    meters: list[TimeSignature] = []
    chords: list[Chord] = []
    tick = 0
    for bar in piece.bars:
        if not meters or (meters[-1].numerator, meters[-1].denominator) != bar.meter:
            meters.append(TimeSignature(tick, *bar.meter))
        for at, root, quality in bar.chords:
            label = "N" if root < 0 else chord_label(root, CHORD_QUALITY_NAMES[quality])
            chords.append(Chord(tick + at * unit, label))
        for role, notes in bar.parts.items():
            for note in notes:
                onset = tick + note[0] * unit
                if role == "drums":
                    rows[role].append((onset, unit, DRUMS[note[1]][0], DRUM_VELOCITIES[note[2]]))
                else:
                    rows[role].append((onset, DURATIONS[note[2]] * unit, note[3], VELOCITIES[note[1]]))
        tick += bar.num_positions * unit
    tracks = []
    for role in GRID_ROLES:
        if rows.get(role):
            tracks.append(Track(note_array(rows[role]), programs.get(role, 0), role == "drums", role, role))
    keys = (KeySignature(0, piece.key[0], piece.key[1]),) if piece.key else ()
    return Score(
        tuple(tracks), (Tempo(0, piece.qpm),), tuple(meters) or (TimeSignature(0, 4, 4),), keys, tuple(chords),
        ticks_per_quarter, title,
    )  # fmt: skip


__all__ = [
    "GRID_ROLES", "PITCHED_ROLES", "GridBar", "GridNote", "Piece",
    "columns_to_piece", "estimate_piece_key", "fitting_duration", "meter_positions", "piece_to_columns",
    "piece_to_score", "score_to_piece", "strong_positions",
]  # fmt: skip
