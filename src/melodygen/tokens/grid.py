"""A piece on the metrical grid: what tokens can say exactly.

Positions and durations are in twelfths of a quarter. ``score_to_piece`` quantises; ``piece_to_score`` is its
inverse on what is already quantised, so quantising twice is quantising once:
``score_to_piece(piece_to_score(p)) == p`` for every ``p`` that ``score_to_piece`` made. A piece of another origin comes
back without the silent bars at its end (a Score ends with its last note), its notes cut where its last bar ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from melodygen.errors import ScoreError, TokenError
from melodygen.harmony import chord_label, estimate_key, parse_chord
from melodygen.score import (
    Chord,
    KeySignature,
    Score,
    Tempo,
    TimeSignature,
    Track,
    note_array,
)
from melodygen.tokens.vocabulary import (
    CHORD_QUALITY_NAMES,
    DRUM_CLASS,
    DRUM_VELOCITIES,
    DRUM_VELOCITY_INDEX,
    DRUMS,
    DURATION_INDEX,
    DURATIONS,
    MAX_POLYPHONY,
    METERS,
    POSITIONS_PER_QUARTER,
    VELOCITIES,
    VELOCITY_INDEX,
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


def canonical_notes(notes: list[GridNote], role: str) -> tuple[GridNote, ...]:
    """Notes of one bar and role, deduplicated, capped in polyphony (a melody keeps its top, the rest the outer voices)
    and sorted as tokens say them: by position, velocity (one an onset), duration, pitch."""
    by_position: dict[int, dict[int, GridNote]] = defaultdict(dict)
    if role == "drums":
        for note in notes:
            held = by_position[note[0]].get(note[1])
            if held is None or held[2] < note[2]:
                by_position[note[0]][note[1]] = note
        return tuple(sorted(n for group in by_position.values() for n in group.values()))
    for note in notes:
        held = by_position[note[0]].get(note[3])
        if held is None or held[2] < note[2]:
            by_position[note[0]][note[3]] = note
    result: list[GridNote] = []
    cap = MAX_POLYPHONY[role]
    for position in sorted(by_position):
        group = sorted(by_position[position].values(), key=lambda n: n[3])
        if len(group) > cap:
            outer = [group[0], *group[1 - cap :]]
            group = group[-cap:] if role == "melody" else group[:cap] if role == "bass" else outer
        band = round(sum(n[1] for n in group) / len(group))
        result += sorted(((position, band, n[2], n[3]) for n in group), key=lambda n: (n[2], n[3]))
    return tuple(result)


def score_to_piece(score: Score, max_bars: int | None = None) -> Piece:
    """Quantise a Score whose tracks carry roles. Bars of a meter that tokens cannot say are an error that names it.

    A note that rounds onto the bar line belongs to the next bar. A bar that a meter change cuts short is filled up
    with silence: tokens have no short bars. The last bar is the one in which the last note ends; a note that quantising
    would carry over its end stops there. Raises TokenError.
    """
    ticks_per_quarter = score.ticks_per_quarter
    bar_ticks = score.bar_ticks()
    if len(bar_ticks) < 2:
        raise TokenError("no notes: nothing to put into bars")
    if max_bars is not None and len(bar_ticks) - 1 > max_bars:
        raise TokenError(f"{len(bar_ticks) - 1} bars are more than the limit of {max_bars}")
    scale = POSITIONS_PER_QUARTER / ticks_per_quarter
    # two meter changes within half a position are one: a bar of no length is none
    lengths = np.diff(bar_ticks)
    real = lengths * scale >= 0.5
    real[-1] |= not real.any()
    starts = np.array(bar_ticks[:-1])[real]
    num_bars = len(starts)
    meters = []
    for tick in starts.tolist():
        signature = score.time_signature_at(tick)
        meters.append((signature.numerator, signature.denominator))
    unknown = sorted({m for m in meters if m not in METERS})
    if unknown:
        raise TokenError(f"meter {unknown[0][0]}/{unknown[0][1]} is not one that tokens can say")
    capacity = [meter_positions(m) for m in meters]
    limits = [min(c, max(1, round(n * scale))) for c, n in zip(capacity, lengths[real].tolist(), strict=True)]
    parts: list[dict[str, list[GridNote]]] = [defaultdict(list) for _ in range(num_bars)]

    def place(bar: int, at: int) -> tuple[int, int]:
        if at < limits[bar]:
            return bar, at
        return (bar + 1, 0) if bar + 1 < num_bars else (bar, limits[bar] - 1)

    for track in score.tracks:
        if not len(track):
            continue
        onsets = track.notes["onset_tick"]
        index = (np.searchsorted(starts, onsets, side="right") - 1).clip(0)
        position = np.floor((onsets - starts[index]) * scale + 0.5).astype(int).clip(0)
        duration = np.floor(track.notes["duration_ticks"] * scale + 0.5).astype(int).clip(1, DURATIONS[-1])
        rows = zip(
            index.tolist(), position.tolist(), duration.tolist(),
            track.notes["pitch"].tolist(), track.notes["velocity"].tolist(), strict=True,
        )  # fmt: skip
        role = "drums" if track.is_drum else track.role
        for near, offset, length, pitch, velocity in rows:
            bar, at = place(near, offset)
            if role == "drums":
                kind = DRUM_CLASS[pitch]
                if kind >= 0:
                    parts[bar][role].append((at, kind, DRUM_VELOCITY_INDEX[velocity], 0))
            else:
                parts[bar][role].append((at, VELOCITY_INDEX[velocity], DURATION_INDEX[length], pitch))
    chords: list[list[tuple[int, int, int]]] = [[] for _ in range(num_bars)]
    for chord in score.chords:
        try:
            parsed = parse_chord(chord.label)
        except ScoreError:
            continue
        near = max(0, int(np.searchsorted(starts, chord.tick, side="right")) - 1)
        offset = max(0, int(np.floor((chord.tick - starts[near]) * scale + 0.5)))
        if near + 1 == num_bars and offset >= limits[near]:
            continue
        bar, at = place(near, offset)
        value = (at, -1, 0) if parsed is None else (at, parsed[0], CHORD_QUALITY_NAMES.index(parsed[1]))
        if chords[bar] and chords[bar][-1][0] == at:
            chords[bar].pop()
        chords[bar].append(value)
    bars = end_with_notes(
        GridBar(
            meters[i],
            {r: canonical_notes(parts[i][r], r) for r in GRID_ROLES if parts[i].get(r)},
            tuple(chords[i]),
        )
        for i in range(num_bars)
    )
    if not bars:
        raise TokenError("no notes that tokens can say")
    key = (
        (score.key_signatures[0].tonic, score.key_signatures[0].mode)
        if score.key_signatures
        else estimate_piece_key(bars)
    )
    return Piece(bars, score.qpm, key)


def end_with_notes(bars: Iterable[GridBar]) -> tuple[GridBar, ...]:
    """The bars up to the one in which the last note ends; notes that end after the last bar are cut there."""
    listed = list(bars)
    starts = np.cumsum([0, *(b.num_positions for b in listed)]).tolist()
    end = starts[-1]
    last = 0
    for index, bar in enumerate(listed):
        cut = {}
        for role, notes in bar.parts.items():
            if role == "drums":
                last = max([last, *(starts[index] + n[0] + 1 for n in notes)])
                continue
            held = []
            for at, band, duration, pitch in notes:
                onset = starts[index] + at
                fits = fitting_duration(duration, end - onset)
                last = max(last, onset + DURATIONS[fits])
                held.append((at, band, fits, pitch))
            cut[role] = tuple(sorted(held, key=lambda n: (n[0], n[2], n[3])))
        if starts[index] + DURATIONS[-1] > end - bar.num_positions:
            listed[index] = replace(bar, parts={**bar.parts, **cut})
    return tuple(listed[: int(np.searchsorted(starts, last))])


def fitting_duration(duration: int, room: int) -> int:
    """``duration`` (an index), or the index of the longest one that fits into ``room`` positions (at least 1)."""
    if DURATIONS[duration] <= room:
        return duration
    return max(0, bisect_right(DURATIONS, room) - 1)


def estimate_piece_key(bars: tuple[GridBar, ...]) -> tuple[int, str] | None:
    weights = np.zeros(12)
    for bar in bars:
        for role in PITCHED_ROLES:
            for _, _, duration, pitch in bar.parts.get(role, ()):
                weights[pitch % 12] += min(DURATIONS[duration], 24)
    return estimate_key(weights)


def piece_to_score(
    piece: Piece,
    programs: dict[str, int] | None = None,
    ticks_per_quarter: int = 480,
    title: str = "",
) -> Score:
    """One track a role that is present, in GRID_ROLES order. ``programs`` maps a role to a General MIDI program."""
    unit = ticks_per_quarter // POSITIONS_PER_QUARTER
    if unit * POSITIONS_PER_QUARTER != ticks_per_quarter:
        raise ScoreError(f"ticks_per_quarter {ticks_per_quarter} is not a multiple of {POSITIONS_PER_QUARTER}")
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
            tracks.append(
                Track(note_array(rows[role]), programs.get(role, 0), role == "drums", role, role)
            )
    keys = (KeySignature(0, piece.key[0], piece.key[1]),) if piece.key else ()
    return Score(
        tuple(tracks), (Tempo(0, piece.qpm),), tuple(meters) or (TimeSignature(0, 4, 4),), keys, tuple(chords),
        ticks_per_quarter, title,
    )  # fmt: skip


__all__ = [
    "GRID_ROLES", "PITCHED_ROLES", "GridBar", "GridNote", "Piece",
    "canonical_notes", "end_with_notes", "estimate_piece_key", "fitting_duration", "meter_positions", "piece_to_score",
    "score_to_piece",
]  # fmt: skip
