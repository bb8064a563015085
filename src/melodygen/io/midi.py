"""Standard MIDI files <-> Score.

Read with symusic (fast C++), behind a check of the chunk structure because a parser in native code must not meet
arbitrary bytes; written with mido. Ticks stay ticks. A note of no length becomes one tick long; a meter or tempo
that MIDI allows and music does not (denominator 128, 0 qpm) is dropped.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from melodygen.atomic import atomic_path
from melodygen.errors import MidiReadError, ScoreError
from melodygen.music.score import (
    NOTE_DTYPE,
    ROLES,
    Chord,
    KeySignature,
    Score,
    Tempo,
    TimeSignature,
    Track,
    note_array,
)
from melodygen.music.units import qpm_to_microseconds_per_quarter

MAX_FILE_BYTES = 32 * 2**20
MAX_NOTES = 2_000_000
MAX_HOURS = 12
_SHARPS_TO_TONIC = {n: (n * 7) % 12 for n in range(-7, 8)}
# MIDI key signatures: sharps or flats of the tonic's major or minor key
_MAJOR_SHARPS = {0: 0, 7: 1, 2: 2, 9: 3, 4: 4, 11: 5, 6: 6, 1: -5, 8: -4, 3: -3, 10: -2, 5: -1}


def check_midi_bytes(data: bytes, name: str) -> bytes:
    """The MThd..MTrk part of ``data`` (a RIFF RMID wrapper is taken off), or MidiReadError with the reason."""
    if not data:
        raise MidiReadError(f"{name}: the file is empty (0 bytes)")
    if len(data) > MAX_FILE_BYTES:
        raise MidiReadError(
            f"{name}: {len(data) / 2**20:.0f} MiB is more than {MAX_FILE_BYTES // 2**20} MiB, the limit for a MIDI file"
        )
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        at = data.find(b"MThd")
        data = data[at:] if at >= 0 else b""
    if data[:4] != b"MThd":
        raise MidiReadError(f"{name}: not a MIDI file (it does not begin with MThd)")
    if len(data) < 14:
        raise MidiReadError(f"{name}: truncated in the header ({len(data)} bytes)")
    length, kind, _, division = struct.unpack(">IHHH", data[4:14])
    if length < 6 or kind > 2:
        raise MidiReadError(f"{name}: broken header (length {length}, type {kind})")
    if division & 0x8000 or division == 0:
        raise MidiReadError(f"{name}: SMPTE or zero time division; only ticks a quarter can be read")
    at, tracks = 8 + length, 0
    while at + 8 <= len(data):
        tag, size = data[at : at + 4], struct.unpack(">I", data[at + 4 : at + 8])[0]
        if tag == b"MTrk":
            tracks += 1
            if at + 8 + size > len(data):
                missing = at + 8 + size - len(data)
                raise MidiReadError(f"{name}: truncated, {missing} bytes of track {tracks} are missing")
        at += 8 + size
    if not tracks:
        raise MidiReadError(f"{name}: no track in the file")
    return data


def read_midi(path: str | Path, data: bytes | None = None) -> Score:
    """Read a ``.mid``, ``.midi``, ``.kar`` or ``.rmi`` file; ``data`` are its bytes where they are there already.

    Tracks keep name and program; a track named like a role gets it. Chord markers (Harte labels) become
    ``Score.chords``. Raises MidiReadError with the reason.
    """
    import symusic

    path = Path(path)
    try:
        data = path.read_bytes() if data is None else data
    except OSError as error:
        raise MidiReadError(f"{path.name}: cannot be read: {error.strerror or error}") from error
    data = check_midi_bytes(data, path.name)
    try:
        native = symusic.Score.from_midi(data)
    except Exception as error:  # symusic raises RuntimeError and ValueError of many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MidiReadError(f"{path.name}: the parser gave up: {reason}") from error
    try:
        return _convert(native, path)
    except (ScoreError, ValueError, OverflowError) as error:
        raise MidiReadError(f"{path.name}: {error}") from error


def _convert(native: object, path: Path) -> Score:
    source = native
    tracks = []
    total = 0
    for voice in source.tracks:  # type: ignore[attr-defined]
        count = len(voice.notes)
        total += count
        if total > MAX_NOTES:
            raise ScoreError(f"more than {MAX_NOTES} notes")
        notes = np.zeros(count, dtype=NOTE_DTYPE)
        if count:
            columns = voice.notes.numpy()
            notes["onset_tick"] = columns["time"]
            notes["duration_ticks"] = np.maximum(columns["duration"], 1)
            notes["pitch"] = columns["pitch"]
            notes["velocity"] = np.clip(columns["velocity"], 1, 127)
            if int(columns["time"].min()) < 0:
                raise ScoreError("a time of more than 2^31 ticks")
        name = str(voice.name).strip()
        role = name.lower() if name.lower() in ROLES else ("drums" if voice.is_drum else "other")
        if voice.is_drum:
            role = "drums"
        program = int(voice.program) if 0 <= int(voice.program) <= 127 else 0
        tracks.append(Track(note_array(notes), program, bool(voice.is_drum), role, name))
    tempos: dict[int, Tempo] = {}
    for event in source.tempos:  # type: ignore[attr-defined]
        if event.time >= 0 and 4.0 <= event.qpm <= 1000.0:
            tempos[event.time] = Tempo(event.time, float(event.qpm))
    meters: dict[int, TimeSignature] = {}
    for event in source.time_signatures:  # type: ignore[attr-defined]
        if event.time >= 0 and 1 <= event.numerator <= 64 and event.denominator in (1, 2, 4, 8, 16, 32, 64):
            meters[event.time] = TimeSignature(event.time, int(event.numerator), int(event.denominator))
    keys = []
    for event in source.key_signatures:  # type: ignore[attr-defined]
        if event.key in _SHARPS_TO_TONIC and event.time >= 0:
            minor = event.tonality == 1
            tonic = _SHARPS_TO_TONIC[event.key]
            keys.append(
                KeySignature(event.time, (tonic + 9) % 12 if minor else tonic, "minor" if minor else "major")
            )
    chords = [Chord(max(0, m.time), m.text) for m in source.markers if _is_chord(m.text)]  # type: ignore[attr-defined]
    score = Score(
        tracks=tuple(tracks),
        tempos=tuple(tempos.values()),
        time_signatures=tuple(meters.values()),
        key_signatures=tuple(keys),
        chords=tuple(chords),
        ticks_per_quarter=int(source.ticks_per_quarter),  # type: ignore[attr-defined]
        title=path.stem,
    )
    # one stray event far away would have renderers and grids fill the memory with silence
    if score.duration_seconds > MAX_HOURS * 3600:
        raise ScoreError(
            f"lasts {score.duration_seconds / 3600:.0f} hours, more than the limit of {MAX_HOURS}"
        )
    return score


def _is_chord(text: str) -> bool:
    from melodygen.music.harmony import parse_chord

    if not (text == "N" or ":" in text):
        return False
    try:
        parse_chord(text)
    except ScoreError:
        return False
    return True


def write_midi(path: str | Path, score: Score, texts: Sequence[str] = (), overwrite: bool = False) -> None:
    """Write a type 1 MIDI file, whole or not at all.

    ``texts`` become text meta events at tick 0 (provenance). Chords become markers. Where two notes of one pitch
    overlap in one channel the first is ended where the second begins: MIDI cannot say it otherwise.
    """
    import mido

    midi = mido.MidiFile(type=1, ticks_per_beat=score.ticks_per_quarter, charset="utf-8")
    events: list[tuple[int, int, object]] = []
    if score.title:
        events.append((0, 0, mido.MetaMessage("track_name", name=score.title)))
    events += [(0, 1, mido.MetaMessage("text", text=t)) for t in texts]
    for meter in score.time_signatures:
        message = mido.MetaMessage("time_signature", numerator=meter.numerator, denominator=meter.denominator)
        events.append((meter.tick, 2, message))
    for key in score.key_signatures:
        major = key.tonic if key.mode == "major" else (key.tonic + 3) % 12
        sharps = _MAJOR_SHARPS[major]
        text = mido.midifiles.meta._key_signature_decode[(sharps, 1 if key.mode == "minor" else 0)]
        events.append((key.tick, 3, mido.MetaMessage("key_signature", key=text)))
    for tempo in score.tempos:
        value = min(0xFFFFFF, max(1, qpm_to_microseconds_per_quarter(tempo.qpm)))
        events.append((tempo.tick, 4, mido.MetaMessage("set_tempo", tempo=value)))
    events += [(c.tick, 5, mido.MetaMessage("marker", text=c.label)) for c in score.chords]
    midi.tracks.append(_midi_track(events))

    channels = assign_channels(score)
    for track, channel in zip(score.tracks, channels, strict=True):
        rows: list[tuple[int, int, object]] = [
            (0, 0, mido.MetaMessage("track_name", name=track.name or track.role)),
            (0, 1, mido.Message("program_change", program=track.program, channel=channel)),
        ]
        next_onset: dict[int, int] = {}
        for note in reversed(list(track)):
            end = min(note.offset_tick, next_onset.get(note.pitch, note.offset_tick))
            if end <= note.onset_tick:
                continue  # the same pitch starts twice on one tick: one note-on is enough
            next_onset[note.pitch] = note.onset_tick
            on = mido.Message("note_on", note=note.pitch, velocity=note.velocity, channel=channel)
            off = mido.Message("note_off", note=note.pitch, velocity=0, channel=channel)
            rows.append((note.onset_tick, 4, on))
            rows.append((end, 3, off))
        midi.tracks.append(_midi_track(rows))
    with atomic_path(Path(path), overwrite=overwrite) as temporary:
        midi.save(str(temporary))


def assign_channels(score: Score) -> list[int]:
    """A channel (0-15) for each track: drums 9, others in order, shared by program when there are more than 15."""
    free = [c for c in range(16) if c != 9]
    by_program: dict[int, int] = {}
    channels = []
    for track in score.tracks:
        if track.is_drum:
            channels.append(9)
        elif free:
            channel = free.pop(0)
            by_program.setdefault(track.program, channel)
            channels.append(channel)
        else:
            channels.append(by_program.get(track.program, len(channels) % 9))
    return channels


def _midi_track(events: list[tuple[int, int, object]]) -> object:
    import mido

    track = mido.MidiTrack()
    last = 0
    for tick, _, message in sorted(events, key=lambda e: (e[0], e[1])):
        track.append(message.copy(time=tick - last))  # type: ignore[attr-defined]
        last = tick
    track.append(mido.MetaMessage("end_of_track", time=0))
    return track
