"""A piece on the metrical grid, which is exactly what tokens can say.

Positions and durations are in twelfths of a quarter. ``score_to_piece`` quantises a Score; ``piece_to_score``
is its inverse for music that is already quantised: ``score_to_piece(piece_to_score(p)) == p`` for every ``p``
that ``score_to_piece`` made. A piece from elsewhere loses the silent bars at its end (a Score ends with its
last note), and its notes are cut where its last bar ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

from melodygen.errors import ScoreError
from melodygen.music.harmony import chord_label
from melodygen.music.score import Chord, KeySignature, Score, Tempo, TimeSignature, Track, note_array
from melodygen.music.spelling import key_fifths
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
"""Pitched: (position, velocity band, duration index, pitch). Drums: (position, drum class, velocity band,
0).
"""


@dataclass(frozen=True)
class GridBar:
    """One bar.

    Attributes:
        meter: numerator and denominator, one of ``METERS``.
        parts: the notes of each role, in canonical order (position, duration, pitch).
        chords: (position, root, quality index) of each chord symbol; root -1 stands for ``N`` (no chord).
    """

    meter: tuple[int, int]
    parts: dict[str, tuple[GridNote, ...]] = field(default_factory=dict)
    chords: tuple[tuple[int, int, int], ...] = ()

    @property
    def num_positions(self) -> int:
        """Length of the bar in twelfths of a quarter."""
        return meter_positions(self.meter)


@dataclass(frozen=True)
class Piece:
    """A piece as bars on the grid, with its tempo (quarters per minute) and key (tonic 0-11, mode)."""

    bars: tuple[GridBar, ...]
    qpm: float = 120.0
    key: tuple[int, str] | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that have notes, in GRID_ROLES order."""
        return tuple(r for r in GRID_ROLES if any(b.parts.get(r) for b in self.bars))

    def num_notes(self, roles: tuple[str, ...] = GRID_ROLES) -> int:
        """Return the number of notes of the given roles."""
        return sum(len(b.parts.get(r, ())) for b in self.bars for r in roles)


def meter_positions(meter: tuple[int, int]) -> int:
    """Return the length of one bar of ``meter`` in twelfths of a quarter."""
    return meter[0] * 4 * POSITIONS_PER_QUARTER // meter[1]


def strong_positions(meter: tuple[int, int]) -> tuple[int, ...]:
    """Return the strong positions of a bar: its beginning, and its middle where the meter divides in two.

    Examples: (0, 24) in 4/4, (0, 18) in 6/8, (0,) in 3/4.
    """
    halves = meter[0] in (4, 6, 8, 12) and meter != (6, 4)
    return (0, meter_positions(meter) // 2) if halves else (0,)


def beat_positions(meter: tuple[int, int]) -> tuple[int, ...]:
    """Return the positions of the beats of a bar: quarters, dotted quarters in 6/8, 9/8 and 12/8.

    Examples: (0, 12, 24) in 3/4, (0, 18) in 6/8, (0, 6, 12, 18, 24) in 5/8.
    """
    eighth = POSITIONS_PER_QUARTER // 2
    compound = meter[1] == 8 and meter[0] % 3 == 0
    step = 3 * eighth if compound else (eighth if meter[1] == 8 else POSITIONS_PER_QUARTER)
    return tuple(range(0, meter_positions(meter), step))


def score_to_piece(score: Score, max_bars: int | None = None) -> Piece:
    """Quantise a Score whose tracks carry roles.

    A note that rounds onto the bar line belongs to the next bar. A bar that a meter change cuts short is
    filled up with silence, because tokens have no short bars. The last bar is the one in which the last note
    ends; a note that quantising would carry over that end stops there.

    Args:
        score: music with at least one note.
        max_bars: refuse a longer piece; None takes any length.

    Raises:
        TokenError: there are no notes, too many bars, or a meter that tokens cannot say.
    """
    return columns_to_piece(columns.quantise(score, max_bars))


def columns_to_piece(table: columns.Columns) -> Piece:
    """Return the music of a column table as a Piece."""
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
    """Return the music of a Piece as a column table."""
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
    """Return the index ``duration``, or the index of the longest duration that fits into ``room`` positions
    (at least 1).
    """
    if DURATIONS[duration] <= room:
        return duration
    return max(0, bisect_right(DURATIONS, room) - 1)


def estimate_piece_key(bars: tuple[GridBar, ...]) -> tuple[int, str] | None:
    """Return the (tonic, mode) that the pitch classes of the bars fit best, or None without pitched notes."""
    return piece_to_columns(Piece(bars)).estimated_key()


def piece_to_score(
    piece: Piece,
    programs: dict[str, int] | None = None,
    ticks_per_quarter: int = 480,
    title: str = "",
) -> Score:
    """Return the Score of a Piece, with one track for each role that has notes, in GRID_ROLES order.

    Args:
        piece: music on the grid.
        programs: General MIDI program (0-127) of each role; a missing role gets 0.
        ticks_per_quarter: resolution of the Score, a multiple of 12.
        title: title of the Score.

    Raises:
        ScoreError: ``ticks_per_quarter`` is not a multiple of 12.
    """
    unit = ticks_per_quarter // POSITIONS_PER_QUARTER
    if unit * POSITIONS_PER_QUARTER != ticks_per_quarter:
        raise ScoreError(
            f"ticks_per_quarter {ticks_per_quarter} is not a multiple of {POSITIONS_PER_QUARTER}"
        )
    programs = programs or {}
    rows: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    fifths, mode = (key_fifths(*piece.key), piece.key[1]) if piece.key else (None, "major")
    meters: list[TimeSignature] = []
    chords: list[Chord] = []
    tick = 0
    for bar in piece.bars:
        if not meters or (meters[-1].numerator, meters[-1].denominator) != bar.meter:
            meters.append(TimeSignature(tick, *bar.meter))
        for at, root, quality in bar.chords:
            label = "N" if root < 0 else chord_label(root, CHORD_QUALITY_NAMES[quality], fifths, mode)
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
    "beat_positions", "columns_to_piece", "estimate_piece_key", "fitting_duration", "meter_positions",
    "piece_to_columns", "piece_to_score", "score_to_piece", "strong_positions",
]  # fmt: skip
