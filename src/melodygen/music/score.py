"""Music: notes, tracks, chords, tempo, meter and key. Immutable, no I/O.

Conventions
    Time is in integer ticks, ``ticks_per_quarter`` to a quarter note; seconds are derived, never stored.
    The notes of a track are one read-only numpy structured array (``NOTE_DTYPE``), sorted by
    (onset, pitch, duration, velocity): corpora hold millions of notes, and an object for each would be too slow.
    ``pitch`` is a MIDI number 0-127, ``velocity`` 1-127, ``program`` 0-127 (General MIDI, from 0).
    Chord labels are in Harte syntax as in mir_eval: ``Bb:min7``, ``G:7``, ``N`` for none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import ScoreError
from melodygen.music.spelling import allowed_fifths
from melodygen.music.units import bar_quarters

NOTE_DTYPE = np.dtype([("onset_tick", "<i8"), ("duration_ticks", "<i8"), ("pitch", "u1"), ("velocity", "u1")])
ROLES = ("melody", "chords", "bass", "drums", "other")
MAX_TICK = 2**40
"""Largest tick, so that no file can ask for endless memory; at 480 ticks a quarter this is thousands of
years.
"""
MAX_BARS = 100_000
"""Largest number of bars of a score."""


class Note(NamedTuple):
    """One note, a view of a row of ``Track.notes``."""

    onset_tick: int
    duration_ticks: int
    pitch: int
    velocity: int

    @property
    def offset_tick(self) -> int:
        """Tick at which the note ends."""
        return self.onset_tick + self.duration_ticks


@dataclass(frozen=True)
class Tempo:
    """A tempo from ``tick`` on, in quarters per minute. Raises ScoreError outside 0 to 100000 qpm."""

    tick: int
    qpm: float

    def __post_init__(self) -> None:
        if not (0 < self.qpm < 100_000):
            raise ScoreError(f"a tempo of {self.qpm} qpm is not between 0 and 100000")


@dataclass(frozen=True)
class TimeSignature:
    """A meter from ``tick`` on. Raises ScoreError for a numerator outside 1-255 or another denominator than
    1, 2 … 64.
    """

    tick: int
    numerator: int
    denominator: int

    def __post_init__(self) -> None:
        if not 1 <= self.numerator <= 255:
            raise ScoreError(f"meter {self}: the numerator must be 1-255")
        if self.denominator not in (1, 2, 4, 8, 16, 32, 64):
            raise ScoreError(f"meter {self}: the denominator must be a power of two up to 64")

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"

    @property
    def bar_quarters(self) -> float:
        """Length of a bar in quarters."""
        return bar_quarters(self.numerator, self.denominator)


@dataclass(frozen=True)
class KeySignature:
    """``tonic`` is a pitch class (0 = C), ``mode`` is ``major`` or ``minor``.

    ``fifths``: sharps of the signature, flats below 0. Only keys with two names (F# and Gb major) need it said;
    otherwise it is the usual signature of the key.
    """

    tick: int
    tonic: int
    mode: str = "major"
    fifths: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.tonic <= 11 or self.mode not in ("major", "minor"):
            raise ScoreError(f"key {self.tonic} {self.mode}: tonic 0-11, mode major or minor")
        object.__setattr__(self, "fifths", allowed_fifths(self.fifths, self.tonic, self.mode))


@dataclass(frozen=True)
class Chord:
    """A chord that sounds from ``tick`` until the next chord; ``label`` in Harte syntax."""

    tick: int
    label: str


@dataclass(frozen=True)
class Section:
    """A part of the form that begins at ``tick``: ``Verse 1``, ``Section A``."""

    tick: int
    name: str


def note_array(rows: Iterable[tuple[int, int, int, int]] | NDArray[np.void]) -> NDArray[np.void]:
    """Return sorted, checked, read-only notes.

    Args:
        rows: (onset_tick, duration_ticks, pitch, velocity) of each note, or an array of ``NOTE_DTYPE``.

    Raises:
        ScoreError: a value is out of range.
    """
    if isinstance(rows, np.ndarray) and rows.dtype == NOTE_DTYPE:
        notes = rows.copy()
    else:
        listed = list(rows)
        for row in listed:
            if not (0 <= row[2] <= 127 and 1 <= row[3] <= 127):
                raise ScoreError(f"note {tuple(row)}: pitch must be 0-127 and velocity 1-127")
        notes = np.array([tuple(row) for row in listed], dtype=NOTE_DTYPE)
    if len(notes):
        if notes["onset_tick"].min() < 0 or notes["onset_tick"].max() > MAX_TICK:
            raise ScoreError(f"a note's onset lies outside 0..{MAX_TICK} ticks")
        if notes["duration_ticks"].min() < 1:
            raise ScoreError("a note lasts less than one tick")
        if notes["pitch"].max() > 127 or notes["velocity"].max() > 127 or notes["velocity"].min() < 1:
            raise ScoreError("pitch must be 0-127 and velocity 1-127")
        order = np.lexsort((notes["velocity"], notes["duration_ticks"], notes["pitch"], notes["onset_tick"]))
        notes = notes[order]
    notes.flags.writeable = False
    return notes


EMPTY_NOTES = note_array([])

CONTROL_DTYPE = np.dtype([("tick", "<i8"), ("controller", "u1"), ("value", "<f4")])
VOLUME, PAN, EXPRESSION, SUSTAIN, PITCH_BEND = 7, 10, 11, 64, 128
"""MIDI's controller numbers, values 0-127; the pitch bend, which has none there, in semitones."""
NEUTRAL_CONTROLS = {VOLUME: 100.0, PAN: 64.0, EXPRESSION: 127.0, SUSTAIN: 0.0, PITCH_BEND: 0.0}
"""What is in force before a controller is set (General MIDI)."""


def control_array(rows: Iterable[tuple[int, int, float]]) -> NDArray[np.void]:
    """Read-only controls from rows of (tick, controller, value), sorted by tick; of one tick the order stays."""
    controls = np.array([tuple(row) for row in rows], dtype=CONTROL_DTYPE)
    if len(controls) and (controls["tick"].min() < 0 or controls["tick"].max() > MAX_TICK):
        raise ScoreError(f"a controller lies outside 0..{MAX_TICK} ticks")
    controls = controls[np.argsort(controls["tick"], kind="stable")]
    controls.flags.writeable = False
    return controls


EMPTY_CONTROLS = control_array([])


@dataclass(frozen=True, eq=False)
class Track:
    """One voice or instrument. Drum pitches are General MIDI percussion keys.

    ``controls``  (tick, controller, value) rows of a file that was played in, see :func:`control_array`.
    """

    notes: NDArray[np.void] = field(default_factory=lambda: EMPTY_NOTES)
    program: int = 0
    is_drum: bool = False
    role: str = "other"
    name: str = ""
    controls: NDArray[np.void] = field(default_factory=lambda: EMPTY_CONTROLS)

    def __post_init__(self) -> None:
        if (
            not isinstance(self.notes, np.ndarray)
            or self.notes.flags.writeable
            or (self.notes.dtype != NOTE_DTYPE)
        ):
            object.__setattr__(self, "notes", note_array(self.notes))
        if not 0 <= self.program <= 127:
            raise ScoreError(f"program {self.program} of track {self.name!r} is not 0-127")
        if self.role not in ROLES:
            raise ScoreError(f"role {self.role!r} is not one of {', '.join(ROLES)}")

    def __iter__(self) -> Iterator[Note]:
        for row in self.notes.tolist():
            yield Note(*row)

    def __len__(self) -> int:
        return len(self.notes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Track):
            return NotImplemented
        return (
            (self.program, self.is_drum, self.role, self.name)
            == (other.program, other.is_drum, other.role, other.name)
            and len(self.notes) == len(other.notes)
            and bool((self.notes == other.notes).all())
            and np.array_equal(self.controls, other.controls)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def end_tick(self) -> int:
        """Tick at which the last note ends; 0 without notes."""
        if not len(self.notes):
            return 0
        return int((self.notes["onset_tick"] + self.notes["duration_ticks"]).max())

    def transposed(self, semitones: int) -> Track:
        """Return the track moved by ``semitones``; drums stay. Raises ScoreError where a pitch would leave
        0-127.
        """
        if self.is_drum or semitones == 0:
            return self
        moved = self.notes.copy()
        pitches = moved["pitch"].astype(int) + semitones
        if len(pitches) and (pitches.min() < 0 or pitches.max() > 127):
            raise ScoreError(f"transposing by {semitones} leaves the MIDI range 0-127")
        moved["pitch"] = pitches
        return replace(self, notes=note_array(moved))


@dataclass(frozen=True, eq=True)
class Score:
    """A piece of music. There is always a tempo and a meter at tick 0."""

    tracks: tuple[Track, ...] = ()
    tempos: tuple[Tempo, ...] = (Tempo(0, 120.0),)
    time_signatures: tuple[TimeSignature, ...] = (TimeSignature(0, 4, 4),)
    key_signatures: tuple[KeySignature, ...] = ()
    chords: tuple[Chord, ...] = ()
    ticks_per_quarter: int = 480
    title: str = ""
    sections: tuple[Section, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.ticks_per_quarter <= 32767:
            raise ScoreError(f"ticks_per_quarter {self.ticks_per_quarter} is not 1-32767")
        for name in ("tracks", "tempos", "time_signatures", "key_signatures", "chords", "sections"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, default in (
            ("tempos", Tempo(0, 120.0)),
            ("time_signatures", TimeSignature(0, 4, 4)),
        ):
            events = sorted(getattr(self, name), key=lambda e: e.tick)
            if not events or events[0].tick > 0:
                events.insert(0, default)
            object.__setattr__(self, name, tuple(events))
        for name in ("key_signatures", "chords", "sections"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name), key=lambda e: e.tick)))

    __hash__ = None  # type: ignore[assignment]

    @property
    def qpm(self) -> float:
        """Tempo at the start, in quarters per minute."""
        return self.tempos[0].qpm

    @property
    def end_tick(self) -> int:
        """Tick at which the last note ends; 0 without notes."""
        return max((t.end_tick for t in self.tracks), default=0)

    @property
    def num_notes(self) -> int:
        """Number of notes in all tracks."""
        return sum(len(t) for t in self.tracks)

    def tick_to_seconds(self, tick: int) -> float:
        """Return the time of a tick in seconds from the start, through all tempo changes."""
        seconds = 0.0
        for i, tempo in enumerate(self.tempos):
            until = self.tempos[i + 1].tick if i + 1 < len(self.tempos) else None
            last = until is None or tick <= until
            stop = tick if last else until
            assert stop is not None
            seconds += (stop - tempo.tick) / self.ticks_per_quarter * 60.0 / tempo.qpm
            if last:
                break
        return seconds

    @property
    def duration_seconds(self) -> float:
        """Time of the end of the last note, in seconds."""
        return self.tick_to_seconds(self.end_tick)

    def time_signature_at(self, tick: int) -> TimeSignature:
        """Return the meter in force at a tick."""
        ticks = [t.tick for t in self.time_signatures]
        return self.time_signatures[max(0, bisect_right(ticks, tick) - 1)]

    def bar_ticks(self, end_tick: int | None = None) -> list[int]:
        """Return the tick of every bar line up to ``end_tick`` (default: the last note's end), the closing
        one included.

        A meter change inside a bar starts a new bar there, as notation programs do.

        Raises:
            ScoreError: there are more than ``MAX_BARS`` bars, because one stray note must not fill the
                memory.
        """
        end = self.end_tick if end_tick is None else end_tick
        bars, tick = [0], 0
        changes = [t.tick for t in self.time_signatures[1:]]
        for index, meter in enumerate(self.time_signatures):
            upcoming = changes[index] if index < len(changes) else None
            if upcoming is not None and upcoming <= tick:
                continue
            if tick >= end:
                break
            step = max(1, round(meter.bar_quarters * self.ticks_per_quarter))
            count = -(-((end if upcoming is None else min(end, upcoming)) - tick) // step)
            if len(bars) + count > MAX_BARS + 1:
                raise ScoreError(f"more than {MAX_BARS} bars; the last note ends at tick {end}")
            bars += range(tick + step, tick + step * count, step)
            tick = tick + step * count if upcoming is None else min(tick + step * count, upcoming)
            bars.append(tick)
        return bars

    def track_by_role(self, role: str) -> Track | None:
        """Return the first track of a role, or None."""
        return next((t for t in self.tracks if t.role == role), None)

    def transposed(self, semitones: int) -> Score:
        """Return the score with all pitched tracks, chords and keys moved by ``semitones``."""
        from melodygen.music.harmony import transpose_label

        if semitones == 0:
            return self
        keys = tuple(replace(k, tonic=(k.tonic + semitones) % 12, fifths=None) for k in self.key_signatures)
        ticks = [k.tick for k in keys]
        chords = []
        for chord in self.chords:
            key = keys[max(0, bisect_right(ticks, chord.tick) - 1)] if keys else None
            chords.append(replace(chord, label=transpose_label(chord.label, semitones, key)))
        tracks = tuple(track.transposed(semitones) for track in self.tracks)
        return replace(self, tracks=tracks, key_signatures=keys, chords=tuple(chords))
