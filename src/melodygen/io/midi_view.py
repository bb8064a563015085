"""The Score seen in the events of a MIDI file: which notes there are, with what program, and how they are controlled.

A note ends at its own note-off: of notes of one pitch that overlap, the first that began ends first. Where note-offs of
a pitch are missing, its notes end at the next note of that pitch, at an all-notes-off, or with the track, and a warning
says so. Where the note-off is in another track (some programs write each channel all over the tracks), the tracks are
taken together, as a synthesiser does. Programs and controllers are their channel's; a track with programs of its own
obeys those alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import ScoreError
from melodygen.io.markers import chord_flags, label_of
from melodygen.io.midi_events import Event, MidiEvents
from melodygen.music.instruments import DRUM_CHANNEL
from melodygen.music.score import (
    EMPTY_CONTROLS,
    EXPRESSION,
    NOTE_DTYPE,
    PAN,
    PITCH_BEND,
    ROLES,
    SUSTAIN,
    VOLUME,
    Chord,
    KeySignature,
    Score,
    Section,
    Tempo,
    TimeSignature,
    Track,
    control_array,
    note_array,
)

MAX_NOTES = 2_000_000
MAX_HOURS = 12
USED_CONTROLLERS = (VOLUME, PAN, EXPRESSION, SUSTAIN)
RPN_MSB, RPN_LSB, NRPN_MSB, NRPN_LSB, DATA_MSB, DATA_LSB, RESET_CONTROLLERS = 101, 100, 99, 98, 6, 38, 121
ALL_SOUND_OFF, ALL_NOTES_OFF = 120, 123
DEFAULT_BEND_SEMITONES = 2.0
MIN_MICROSECONDS_PER_QUARTER = 1000
_SHARPS_TO_TONIC = {n: (n * 7) % 12 for n in range(-7, 8)}

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FileNotes:
    """The notes of one track of the view, sorted as in a Track.

    ``track``, ``channel``, ``program``  where they are in the file.
    ``on_index``, ``off_index``  which events of that track begin and end each note; -1 for an end that is not there.
    """

    track: int
    channel: int
    program: int
    notes: NDArray[np.void]
    on_index: Ints
    off_index: Ints


Row = tuple[int, int, int, int, int, int, int]
"""Onset, end (-1: none), key (channel << 7 | pitch), velocity, index of note-on, index of note-off, 0."""


def pair_notes(midi: MidiEvents, warnings: list[str]) -> tuple[FileNotes, ...]:
    """All notes of a file, a FileNotes for each (track, channel, program) in that order. Adds to ``warnings``."""
    programs = _programs(midi)
    rate = midi.ticks_per_second
    quarter = midi.division if rate is None else max(1, round(rate / 2))
    found: list[FileNotes] = []
    tracks: list[_Paired] = []
    for events in midi.tracks:
        tracks.append(_track_notes(events))
        if sum(len(one.rows) for one in tracks) > MAX_NOTES:
            raise ScoreError(f"more than {MAX_NOTES} notes")
    apart, count = _across_tracks(midi, tracks)
    unended = 0
    for number, (events, paired) in enumerate(zip(midi.tracks, tracks, strict=True)):
        rows = [row for row in paired.rows if row[2] not in apart and row[2] not in paired.unended]
        again, missing = _without_offs(events, paired.unended - apart.keys(), quarter)
        elsewhere = [row for key in sorted(apart) for at, row in apart[key] if at == number]
        unended += missing
        found += _grouped([*rows, *again, *elsewhere], number, programs)
    if count:
        warnings.append(f"{count} notes end in another track than they begin in")
    if unended:
        what = (
            f"{unended} notes have no end in the file; they end"
            if unended > 1
            else "a note has no end; it ends"
        )
        warnings.append(f"{what} at the next note of the same pitch or with the track")
    return tuple(found)


@dataclass(frozen=True)
class _Paired:
    """The notes of one track, the keys of which a note has no end there, and those that end without a note there."""

    rows: list[Row]
    unended: set[int]
    stray: set[int]


def _track_notes(events: list[Event]) -> _Paired:
    rows: list[Row] = []
    stray: set[int] = set()
    sounding: dict[int, list[tuple[int, int, int]]] = {}
    for index, (tick, message) in enumerate(events):
        status = message[0]
        if status & 0xE0 != 0x80:
            continue
        key = (status & 0x0F) << 7 | message[1]
        velocity = message[2]
        held = sounding.get(key)
        if status & 0x10 and velocity:
            if held is None:
                sounding[key] = [(tick, velocity, index)]
            else:
                held.append((tick, velocity, index))
        elif held:
            onset, velocity, on_index = held.pop(0)
            rows.append((onset, tick, key, velocity, on_index, index, 0))
        else:
            stray.add(key)
    return _Paired(rows, {key for key, held in sounding.items() if held}, stray)


def _across_tracks(midi: MidiEvents, tracks: list[_Paired]) -> tuple[dict[int, list[tuple[int, Row]]], int]:
    """(track, note) of each key whose notes all end once the tracks are taken together, where in a single track one
    does not; and how many of them end in another track. Note-offs come before note-ons of their tick."""
    keys = {
        key
        for number, one in enumerate(tracks)
        for key in one.unended
        if any(key in other.stray for n, other in enumerate(tracks) if n != number)
    }
    if not keys:
        return {}, 0
    timed: dict[int, list[tuple[int, bool, int, int, int]]] = {key: [] for key in keys}
    for number, events in enumerate(midi.tracks):
        for index, (tick, message) in enumerate(events):
            if message[0] & 0xE0 == 0x80:
                key = (message[0] & 0x0F) << 7 | message[1]
                if key in timed:
                    is_on = bool(message[0] & 0x10 and message[2])
                    timed[key].append((tick, is_on, number, index, message[2]))
    found: dict[int, list[tuple[int, Row]]] = {}
    count = 0
    for key, happenings in timed.items():
        held: list[tuple[int, int, int, int]] = []
        notes: list[tuple[int, Row]] = []
        for tick, is_on, number, index, velocity in sorted(happenings):
            if is_on:
                held.append((tick, number, index, velocity))
            elif held:
                onset, begun_in, on_index, loudness = held.pop(0)
                off_index = index if number == begun_in else -1
                notes.append((begun_in, (onset, tick, key, loudness, on_index, off_index, 0)))
        if not held:
            found[key] = notes
            count += sum(row[5] < 0 for _, row in notes)
    return found, count


def _without_offs(events: list[Event], keys: set[int], quarter: int) -> tuple[list[Row], int]:
    """The notes of ``keys``, and how many have no note-off: each is ended by the first note-off, note-on of its pitch,
    all-notes-off or end of track; one that begins at the very end lasts ``quarter`` ticks."""
    if not keys:
        return [], 0
    rows: list[Row] = []
    sounding: dict[int, tuple[int, int, int]] = {}
    count = 0

    def end(key: int, tick: int, index: int) -> None:
        onset, velocity, on_index = sounding.pop(key)
        rows.append((onset, tick, key, velocity, on_index, index, 0))

    for index, (tick, message) in enumerate(events):
        status = message[0]
        key = (status & 0x0F) << 7 | message[1] if status < 0xF0 else -1
        if status & 0xF0 == 0xB0 and message[1] in (ALL_SOUND_OFF, ALL_NOTES_OFF):
            over = [k for k in sounding if k >> 7 == status & 0x0F]
            count += len(over)
            for other in over:
                end(other, tick, -1)
        elif status & 0xE0 == 0x80 and key in keys:
            is_on = bool(status & 0x10 and message[2])
            if key in sounding:
                count += is_on
                end(key, tick, -1 if is_on else index)
            if is_on:
                sounding[key] = (tick, message[2], index)
    count += len(sounding)
    for key in list(sounding):
        last = events[-1][0]
        end(key, last if last > sounding[key][0] else last + quarter, -1)
    return rows, count


def _programs(midi: MidiEvents) -> dict[tuple[int, int], tuple[list[int], list[int]]]:
    """(track, channel) -> (places, programs) of its changes. Places are indexes of events; for track -1, which holds
    the changes of all tracks, they are ticks."""
    own: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, events in enumerate(midi.others):
        for index, tick, message in events:
            if message[0] & 0xF0 == 0xC0:
                own.setdefault((number, message[0] & 0x0F), []).append((index, message[1]))
                own.setdefault((-1, message[0] & 0x0F), []).append((tick, message[1]))
    changes = {}
    for where, listed in own.items():
        listed.sort(key=lambda change: change[0])
        changes[where] = ([place for place, _ in listed], [program for _, program in listed])
    return changes


def _grouped(
    rows: list[Row], number: int, programs: dict[tuple[int, int], tuple[list[int], list[int]]]
) -> list[FileNotes]:
    if not rows:
        return []
    table = np.array(rows, dtype=np.int64)
    channel = table[:, 2] >> 7
    program = table[:, 6]
    for one in np.unique(channel).tolist():
        has_own = (number, one) in programs
        places, values = programs.get((number if has_own else -1, one), ([], []))
        if places:
            at = np.searchsorted(places, table[:, 4 if has_own else 0], side="right") - 1
            mine = channel == one
            program[mine] = np.where(at >= 0, np.array(values)[at.clip(0)], 0)[mine]
    notes = np.zeros(len(table), dtype=NOTE_DTYPE)
    notes["onset_tick"] = table[:, 0]
    notes["duration_ticks"] = np.maximum(table[:, 1] - table[:, 0], 1)
    notes["pitch"] = table[:, 2] & 127
    notes["velocity"] = table[:, 3]
    group = channel << 7 | program
    order = np.lexsort(
        (notes["velocity"], notes["duration_ticks"], notes["pitch"], notes["onset_tick"], group)
    )
    starts = np.flatnonzero(np.concatenate(([True], np.diff(group[order]) != 0)))
    found = []
    for index in np.split(order, starts[1:]):
        where = int(group[index[0]])
        found.append(
            FileNotes(
                number, where >> 7, where & 127, note_array(notes[index]), table[index, 4], table[index, 5]
            )
        )
    return found


def view_score(midi: MidiEvents, notes: tuple[FileNotes, ...], title: str, warnings: list[str]) -> Score:
    """The Score of notes that were paired. Adds to ``warnings``; raises ScoreError for what no Score can hold."""
    names = [_track_name(events) for events in midi.others]
    channels_of: dict[int, set[int]] = {}
    for own in notes:
        channels_of.setdefault(own.track, set()).add(own.channel)
    controls = _controls(midi, {own.channel for own in notes})
    tracks = []
    for own in notes:
        name, is_drum = names[own.track], own.channel == DRUM_CHANNEL
        # the name of a track that holds several channels is that of none of them
        named = name.lower() in ROLES and len(channels_of[own.track]) == 1
        role = "drums" if is_drum else (name.lower() if named else "other")
        tracks.append(
            Track(own.notes, own.program, is_drum, role, name, controls.get(own.channel, EMPTY_CONTROLS))
        )
    score = replace(_timeline(midi, warnings), tracks=tuple(tracks), title=title)
    # one stray event far away would have renderers and grids fill the memory with silence
    if score.duration_seconds > MAX_HOURS * 3600:
        raise ScoreError(
            f"lasts {score.duration_seconds / 3600:.0f} hours, more than the limit of {MAX_HOURS}"
        )
    return score


def _track_name(events: list[tuple[int, int, bytes]]) -> str:
    for _, _, message in events:
        if message[:2] == b"\xff\x03":
            return text_of(message).strip().strip("\0")
    return ""


def text_of(message: bytes) -> str:
    """The text of a meta event: UTF-8 where it is that, else Latin-1."""
    at = 2
    while message[at] & 0x80:
        at += 1
    data = message[at + 1 :]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _timeline(midi: MidiEvents, warnings: list[str]) -> Score:
    """A score without tracks: tempos, meters, keys, chord markers and resolution."""
    tempos: dict[int, Tempo] = {}
    meters: dict[int, TimeSignature] = {}
    keys: list[KeySignature] = []
    markers: dict[tuple[int, str], None] = {}
    for events in midi.others:
        for _, tick, message in events:
            if message[0] != 0xFF or message[1] not in (0x51, 0x58, 0x59, 0x06):
                continue
            kind, data = message[1], message[3:]
            if kind == 0x51:
                microseconds = int.from_bytes(data[:3], "big")
                if microseconds < MIN_MICROSECONDS_PER_QUARTER:
                    warnings.append(f"a tempo of {microseconds} µs a quarter at tick {tick} is passed over")
                else:
                    tempos[tick] = Tempo(tick, 60_000_000 / microseconds)
            elif kind == 0x58:
                if len(data) < 2 or not 1 <= data[0] <= 64 or data[1] > 6:
                    shown = f"{data[0]}/2^{data[1]}" if len(data) > 1 else "without numbers"
                    warnings.append(f"a meter {shown} at tick {tick} is passed over")
                else:
                    meters[tick] = TimeSignature(tick, data[0], 1 << data[1])
            elif kind == 0x59:
                sharps = data[0] - 256 if data and data[0] > 127 else (data[0] if data else 99)
                if sharps not in _SHARPS_TO_TONIC:
                    warnings.append(f"a key signature at tick {tick} is passed over")
                    continue
                minor = len(data) > 1 and data[1] == 1
                tonic = (_SHARPS_TO_TONIC[sharps] + (9 if minor else 0)) % 12
                keys.append(KeySignature(tick, tonic, "minor" if minor else "major", sharps))
            elif (text := text_of(message)).strip():
                markers[tick, text] = None  # a marker may stand in several tracks
    flags = chord_flags([text for _, text in markers])
    chords = [
        Chord(tick, label_of(text)) for (tick, text), is_chord in zip(markers, flags, strict=True) if is_chord
    ]
    sections = [
        Section(tick, text) for (tick, text), is_chord in zip(markers, flags, strict=True) if not is_chord
    ]
    per_quarter, rate = midi.division, midi.ticks_per_second
    if rate is not None:
        per_quarter = max(1, round(rate / 2))
        if tempos:
            warnings.append("tempos are passed over: the time division of the file is in seconds (SMPTE)")
        tempos = {0: Tempo(0, 60.0 * rate / per_quarter)}
    return Score(
        (), tuple(tempos.values()), tuple(meters.values()), tuple(keys), tuple(chords), ticks_per_quarter=per_quarter,
        sections=tuple(sections),
    )  # fmt: skip


def _controls(midi: MidiEvents, channels: set[int]) -> dict[int, NDArray[np.void]]:
    """The controllers that a renderer obeys, by channel, over all tracks in time."""
    listed: dict[int, list[tuple[int, bytes]]] = {}
    for events in midi.others:
        for _, tick, message in events:
            if message[0] & 0xF0 in (0xB0, 0xE0) and message[0] & 0x0F in channels:
                listed.setdefault(message[0] & 0x0F, []).append((tick, message))
    found = {}
    for channel, own in listed.items():
        own.sort(key=lambda event: event[0])
        rows = _channel_controls(own)
        if rows:
            found[channel] = control_array(rows)
    return found


def _channel_controls(events: list[Event]) -> list[tuple[int, int, float]]:
    """(tick, controller, value) of one channel; bends in semitones, by the range that RPN 0 sets."""
    rows: list[tuple[int, int, float]] = []
    reach, bend = DEFAULT_BEND_SEMITONES, 0.0
    parameter = [127, 127]
    for tick, message in events:
        if message[0] & 0xF0 == 0xE0:
            bend = ((message[2] << 7 | message[1]) - 8192) / 8192
            rows.append((tick, PITCH_BEND, bend * reach))
            continue
        number, value = message[1], message[2]
        if number in USED_CONTROLLERS:
            rows.append((tick, number, float(value)))
        elif number in (RPN_MSB, RPN_LSB):
            parameter[number == RPN_LSB] = value
        elif number in (NRPN_MSB, NRPN_LSB):
            parameter = [127, 127]
        elif number in (DATA_MSB, DATA_LSB) and parameter == [0, 0]:
            cents = round(reach % 1 * 100)
            reach = value + cents / 100 if number == DATA_MSB else int(reach) + min(value, 99) / 100
            if bend:
                rows.append((tick, PITCH_BEND, bend * reach))
        elif number == RESET_CONTROLLERS:
            bend = 0.0
            rows += [(tick, EXPRESSION, 127.0), (tick, SUSTAIN, 0.0), (tick, PITCH_BEND, 0.0)]
    neutral = {EXPRESSION: 127.0, SUSTAIN: 0.0, PITCH_BEND: 0.0}
    if all(neutral.get(kind) == value for _, kind, value in rows):
        return []  # a reset of what was never set
    return rows


__all__ = ["FileNotes", "pair_notes", "text_of", "view_score"]
