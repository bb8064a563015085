"""A piece on the grid as arrays. Large folders are read this way, because an object for each note is too
slow.

``quantise`` makes the arrays from a Score and ``encode`` makes tokens from them; ``grid.score_to_piece``
gives the same music as objects. The N notes are sorted as tokens say them: by bar, role, position, duration
(drums: none) and pitch (drums: class).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import ScoreError, TokenError
from melodygen.music.harmony import parse_chord
from melodygen.music.key import estimate_key
from melodygen.music.score import Score
from melodygen.tokens.vocabulary import (
    CHORD_QUALITY_NAMES,
    DRUM_CLASS,
    DRUM_VELOCITIES,
    DRUM_VELOCITY_INDEX,
    DURATION_INDEX,
    DURATIONS,
    MAX_POLYPHONY,
    METERS,
    POSITIONS_PER_QUARTER,
    SEGMENT_ROLES,
    VELOCITY_INDEX,
    VOCABULARY,
)

Ints = NDArray[np.int64]

DRUM_ROLE = SEGMENT_ROLES.index("drums")
_ROLES = len(SEGMENT_ROLES)
_DURATIONS = np.array(DURATIONS, dtype=np.int64)
_DURATION_INDEX = np.array(DURATION_INDEX, dtype=np.int64)
_VELOCITY_INDEX = np.array(VELOCITY_INDEX, dtype=np.int64)
_DRUM_VELOCITY_INDEX = np.array(DRUM_VELOCITY_INDEX, dtype=np.int64)
_DRUM_CLASS = np.array(DRUM_CLASS, dtype=np.int64)
_CAPS = np.array([MAX_POLYPHONY[r] for r in SEGMENT_ROLES], dtype=np.int64)
_METER_INDEX = {meter: i for i, meter in enumerate(METERS)}
_METER_SIZE = np.array([n * 4 * POSITIONS_PER_QUARTER // d for n, d in METERS], dtype=np.int64)
_QUALITY = {name: i for i, name in enumerate(CHORD_QUALITY_NAMES)}
_MELODY, _BASS = SEGMENT_ROLES.index("melody"), SEGMENT_ROLES.index("bass")
_TOKEN = {kind: VOCABULARY.offsets[kind] for kind in
          ("role", "position", "velocity", "duration", "pitch", "drum", "chord_root", "chord_quality")}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Columns:
    """The arrays of one piece; every note column has shape (N,).

    Attributes:
        meters: (bars,) index of each bar's meter in METERS.
        bar: index of the note's bar.
        role: index of the note's role in SEGMENT_ROLES.
        at: position in the bar, in twelfths of a quarter.
        band: index of the velocity band.
        duration: index into DURATIONS, 0 for drums.
        pitch: MIDI number; for drums the index into DRUMS.
        chords: (C, 4) bar, position, root (-1 for no chord), index of the quality.
        qpm: tempo in quarters per minute.
        key: tonic 0-11 and mode, or None.
    """

    meters: Ints
    bar: Ints
    role: Ints
    at: Ints
    band: Ints
    duration: Ints
    pitch: Ints
    chords: Ints
    qpm: float = 120.0
    key: tuple[int, str] | None = None

    @property
    def num_bars(self) -> int:
        """Number of bars."""
        return len(self.meters)

    @cached_property
    def bar_starts(self) -> Ints:
        """(bars + 1,) start of every bar in twelfths of a quarter from the beginning; the last entry is the
        end.
        """
        return np.concatenate(([0], np.cumsum(_METER_SIZE[self.meters])))

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """The roles that have notes, in SEGMENT_ROLES order."""
        found = np.bincount(self.role, minlength=_ROLES)
        return tuple(r for r, n in zip(SEGMENT_ROLES, found.tolist(), strict=True) if n)

    @cached_property
    def pitch_classes(self) -> NDArray[np.float64]:
        """(bars, 12) total duration of each pitch class in each bar, pitched notes only."""
        pitched = self.role != DRUM_ROLE
        amount = np.minimum(_DURATIONS[self.duration[pitched]], 24)
        where = self.bar[pitched] * 12 + self.pitch[pitched] % 12
        return np.asarray(np.bincount(where, amount, self.num_bars * 12), dtype=np.float64).reshape(-1, 12)

    def estimated_key(self) -> tuple[int, str] | None:
        """Return the (tonic, mode) that the pitch classes fit best, or None without pitched notes."""
        return estimate_key(self.pitch_classes.sum(axis=0))


def quantise(score: Score, max_bars: int | None = None) -> Columns:
    """Quantise a Score; ``grid.score_to_piece`` describes the rules, the arguments and the errors."""
    bar_ticks = score.bar_ticks()
    if len(bar_ticks) < 2:
        raise TokenError("no notes: nothing to put into bars")
    if max_bars is not None and len(bar_ticks) - 1 > max_bars:
        raise TokenError(f"{len(bar_ticks) - 1} bars are more than the limit of {max_bars}")
    scale = POSITIONS_PER_QUARTER / score.ticks_per_quarter
    # two meter changes within half a position are one: a bar of no length is none
    lengths = np.diff(bar_ticks)
    real = lengths * scale >= 0.5
    real[-1] |= not real.any()
    starts = np.array(bar_ticks[:-1])[real]
    num_bars = len(starts)
    meters = _meters(score, starts)
    limits = np.minimum(_METER_SIZE[meters], np.maximum(1, np.rint(lengths[real] * scale).astype(np.int64)))

    def placed(ticks: Ints) -> tuple[Ints, Ints]:
        bar = (np.searchsorted(starts, ticks, side="right") - 1).clip(0)
        at = np.floor((ticks - starts[bar]) * scale + 0.5).astype(np.int64).clip(0)
        over = at >= limits[bar]
        on = over & (bar + 1 < num_bars)
        at = np.where(on, 0, np.where(over, limits[bar] - 1, at))
        return bar + on, at

    tracks = [t for t in score.tracks if len(t)]
    rows = np.concatenate([t.notes for t in tracks])
    which = [DRUM_ROLE if t.is_drum else SEGMENT_ROLES.index(t.role) for t in tracks]
    role = np.repeat(np.array(which, dtype=np.int64), [len(t) for t in tracks])
    bar, at = placed(rows["onset_tick"])
    ticks = np.floor(rows["duration_ticks"] * scale + 0.5).astype(np.int64).clip(1, DURATIONS[-1])
    drums = role == DRUM_ROLE
    pitch = np.where(drums, _DRUM_CLASS[rows["pitch"]], rows["pitch"].astype(np.int64))
    band = np.where(drums, _DRUM_VELOCITY_INDEX[rows["velocity"]], _VELOCITY_INDEX[rows["velocity"]])
    duration = np.where(drums, 0, _DURATION_INDEX[ticks])
    if drums.any():
        known = pitch >= 0
        bar, role, at, band, duration, pitch = (x[known] for x in (bar, role, at, band, duration, pitch))
    notes, meters = _ended(_canonical(bar, role, at, band, duration, pitch), meters)
    if not len(meters):
        raise TokenError("no notes that tokens can say")
    chords = _chords(score, starts.tolist(), scale, limits.tolist())
    bar, role, at, band, duration, pitch = notes
    chords = chords[chords[:, 0] < len(meters)]
    columns = Columns(meters, bar, role, at, band, duration, pitch, chords, score.qpm)
    signature = score.key_signatures[0] if score.key_signatures else None
    key = columns.estimated_key() if signature is None else (signature.tonic, signature.mode)
    # the table is frozen, but its own pitch classes are needed to estimate its key
    object.__setattr__(columns, "key", key)
    return columns


def _meters(score: Score, starts: Ints) -> Ints:
    changes = score.time_signatures
    ticks = [c.tick for c in changes]
    index = (np.searchsorted(ticks, starts, side="right") - 1).clip(0)
    used = [(changes[i].numerator, changes[i].denominator) for i in range(len(changes))]
    unknown = sorted({used[i] for i in set(index.tolist())} - _METER_INDEX.keys())
    if unknown:
        raise TokenError(f"meter {unknown[0][0]}/{unknown[0][1]} is not one that tokens can say")
    return np.asarray(np.array([_METER_INDEX.get(m, -1) for m in used])[index], dtype=np.int64)


def _firsts(*keys: Ints) -> NDArray[np.bool_]:
    """Return a mask of the rows at which a run of equal keys begins."""
    first = np.ones(len(keys[0]), dtype=bool)
    if len(first):
        first[1:] = keys[0][1:] != keys[0][:-1]
        for key in keys[1:]:
            first[1:] |= key[1:] != key[:-1]
    return first


def _canonical(bar: Ints, role: Ints, at: Ints, band: Ints, duration: Ints, pitch: Ints) -> tuple[Ints, ...]:
    """Return the notes with duplicates removed, polyphony capped and one velocity for each onset, sorted by
    pitch.

    Of two notes with the same onset and pitch the longer (drums: the louder) stays. Where there are too many
    notes, a melody keeps its highest, a bass its lowest, and the other roles keep their outer voices.
    """
    onset = (bar * _ROLES + role) * 128 + at
    more = np.where(role == DRUM_ROLE, band, duration)
    # one integer for each note, so that a single sort orders by onset, then pitch, then the longer (louder) note first;
    # durations and velocity bands have fewer than 64 values
    order = np.argsort(((onset * 128 + pitch) << 6) | (63 - more), kind="stable")
    order = order[_firsts(onset[order], pitch[order])]
    onset = onset[order]
    first = np.flatnonzero(_firsts(onset))
    count = np.diff(np.append(first, len(onset)))
    group = np.repeat(np.arange(len(first)), count)
    size, cap = count[group], _CAPS[role[order]]
    if (size > cap).any():
        rank, voice = np.arange(len(onset)) - first[group], role[order]
        outer = (rank == 0) | (rank >= size - cap + 1)
        kept = np.where(voice == _MELODY, rank >= size - cap, np.where(voice == _BASS, rank < cap, outer))
        kept |= size <= cap
        order, group = order[kept], group[kept]
        count = np.bincount(group, minlength=len(first))
    bar, role, at, band, duration, pitch = (x[order] for x in (bar, role, at, band, duration, pitch))
    mean = np.bincount(group, band, len(first)) / count
    band = np.where(role == DRUM_ROLE, band, np.rint(mean).astype(np.int64)[group])
    return bar, role, at, band, duration, pitch


def _ended(notes: tuple[Ints, ...], meters: Ints) -> tuple[tuple[Ints, ...], Ints]:
    """Return the notes in token order, cut at the end of the last bar, and the meters up to the last note's
    bar.
    """
    bar, role, at, band, duration, pitch = notes
    starts = np.concatenate(([0], np.cumsum(_METER_SIZE[meters])))
    onset = starts[bar] + at
    longest = (np.searchsorted(_DURATIONS, starts[-1] - onset, side="right") - 1).clip(0)
    drums = role == DRUM_ROLE
    duration = np.where(drums, 0, np.minimum(duration, longest))
    last = int((onset + np.where(drums, 1, _DURATIONS[duration])).max(initial=0))
    # the sort keys of a note fit into one integer: fewer than 128 positions, 64 durations and 128 pitches
    order = np.argsort((((bar * _ROLES + role) * 128 + at) * 64 + duration) * 128 + pitch, kind="stable")
    ordered = tuple(x[order] for x in (bar, role, at, band, duration, pitch))
    return ordered, meters[: int(np.searchsorted(starts, last))]


def _chords(score: Score, starts: list[int], scale: float, limits: list[int]) -> Ints:
    found: list[tuple[int, int, int, int]] = []
    for chord in score.chords:
        try:
            parsed = parse_chord(chord.label)
        except ScoreError:
            continue
        bar = max(0, bisect_right(starts, chord.tick) - 1)
        at = max(0, math.floor((chord.tick - starts[bar]) * scale + 0.5))
        if at >= limits[bar]:
            if bar + 1 == len(starts):
                continue
            bar, at = bar + 1, 0
        if found and found[-1][:2] == (bar, at):
            found.pop()
        found.append((bar, at, *((-1, 0) if parsed is None else (parsed[0], _QUALITY[parsed[1]]))))
    return np.array(found, dtype=np.int64).reshape(-1, 4)


def encode(columns: Columns) -> tuple[NDArray[np.int16], NDArray[np.int32], NDArray[np.int16]]:
    """Return the tokens of all segments; they equal those of ``codec.encode_segment`` and
    ``codec.encode_chords``.

    Returns:
        The tokens one after another, by bar and role (the chord symbols are the first role); the number of
            tokens, (bars, roles); the number of notes, (bars, roles).
    """
    none = np.zeros(len(columns.chords), np.int64)
    bar, at, root, quality = columns.chords.T
    of_chords = np.stack((bar * _ROLES, none, at, root, none, quality))
    of_notes = np.stack((
        columns.bar * _ROLES + columns.role, columns.role, columns.at, columns.band, columns.duration, columns.pitch
    ))  # fmt: skip
    both = np.concatenate((of_chords, of_notes), axis=1)
    # ``middle`` is root or velocity band, ``last`` quality, drum class or pitch
    segment, role, at, middle, duration, last = both[:, np.argsort(both[0], kind="stable")]
    line, drums = role == 0, role == DRUM_ROLE
    begins = _firsts(segment)
    new_at = begins | _firsts(at) | line
    pitched = ~(line | drums)
    emitted = np.stack((
        begins, new_at, line | (pitched & (begins | _firsts(middle))), pitched & (begins | _firsts(duration)),
        ~line | (middle >= 0),
    ), axis=1)  # fmt: skip
    end = np.where(
        drums, _TOKEN["drum"] + last * len(DRUM_VELOCITIES) + middle,
        last + np.where(line, _TOKEN["chord_quality"], _TOKEN["pitch"]),
    )  # fmt: skip
    ids = np.stack((
        _TOKEN["role"] + role, _TOKEN["position"] + at,
        np.where(line, _TOKEN["chord_root"] + 1, _TOKEN["velocity"]) + middle, _TOKEN["duration"] + duration, end,
    ), axis=1)  # fmt: skip
    cells = columns.num_bars * _ROLES
    lengths = np.bincount(segment, emitted.sum(axis=1), cells).astype(np.int32).reshape(-1, _ROLES)
    notes = (
        np.bincount(columns.bar * _ROLES + columns.role, minlength=cells).astype(np.int16).reshape(-1, _ROLES)
    )
    return ids[emitted].astype(np.int16), lengths, notes


def from_rows(
    meters: Sequence[tuple[int, int]], notes: Sequence[tuple[int, int, int, int, int, int]],
    chords: Sequence[tuple[int, int, int, int]], qpm: float, key: tuple[int, str] | None,
) -> Columns:  # fmt: skip
    """Return Columns made from rows.

    Args:
        meters: meter of each bar.
        notes: (bar, role, position, velocity band, duration, pitch) of each note, in order inside each
            segment.
        chords: (bar, position, root, quality) of each chord symbol.
        qpm: tempo in quarters per minute.
        key: tonic 0-11 and mode, or None.
    """
    table = np.array(notes, dtype=np.int64).reshape(-1, 6)
    order = np.argsort(table[:, 0] * _ROLES + table[:, 1], kind="stable")
    bar, role, at, band, duration, pitch = (np.ascontiguousarray(c) for c in table[order].T)
    numbers = np.array([_METER_INDEX[m] for m in meters], dtype=np.int64)
    line = np.array(chords, dtype=np.int64).reshape(-1, 4)
    return Columns(numbers, bar, role, at, band, duration, pitch, line, qpm, key)
