"""Standard MIDI files <-> Score.

Read tolerantly by :mod:`melodygen.io.midi_document`, written with mido. Ticks stay ticks. A note of no length becomes
one tick long; a meter or tempo that MIDI allows and music does not (denominator 128, 0 qpm) is passed over with a
warning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from melodygen.atomic import atomic_path
from melodygen.io.markers import chord_names
from melodygen.io.midi_document import read_midi_document
from melodygen.io.midi_events import MAX_FILE_BYTES
from melodygen.music.score import PITCH_BEND, Score, Track
from melodygen.music.units import qpm_to_microseconds_per_quarter


def read_midi(path: str | Path, data: bytes | None = None, warnings: list[str] | None = None) -> Score:
    """Read a ``.mid``, ``.midi``, ``.kar`` or ``.rmi`` file; ``data`` are its bytes where they are there already.

    Tracks keep name, program and controllers; a track named like a role gets it. Markers that name chords
    become ``Score.chords``, all others ``Score.sections`` (``melodygen.io.markers``).
    What had to be mended is added to ``warnings``. Raises MidiReadError with the reason.
    """
    document = read_midi_document(path, data)
    if warnings is not None:
        warnings += document.warnings
    return document.score


def write_midi(path: str | Path, score: Score, texts: Sequence[str] = (), overwrite: bool = False) -> None:
    """Write a type 1 MIDI file, whole or not at all.

    ``texts`` become text meta events at tick 0 (provenance). Chords and sections become markers, before the tracks and
    in the first one. Where two notes of one pitch overlap in one channel the first is ended where the second begins:
    MIDI cannot say it otherwise.
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
        text = mido.midifiles.meta._key_signature_decode[(key.fifths, 1 if key.mode == "minor" else 0)]
        events.append((key.tick, 3, mido.MetaMessage("key_signature", key=text)))
    for tempo in score.tempos:
        value = min(0xFFFFFF, max(1, qpm_to_microseconds_per_quarter(tempo.qpm)))
        events.append((tempo.tick, 4, mido.MetaMessage("set_tempo", tempo=value)))
    named = [(c.tick, name) for c, name in zip(score.chords, chord_names(score), strict=True)]
    named += [(s.tick, s.name) for s in score.sections]
    markers: list[tuple[int, int, object]] = [
        (tick, 5, mido.MetaMessage("marker", text=name)) for tick, name in named
    ]
    events += markers
    midi.tracks.append(_midi_track(events))

    channels = assign_channels(score)
    for number, (track, channel) in enumerate(zip(score.tracks, channels, strict=True)):
        rows: list[tuple[int, int, object]] = [
            *(markers if number == 0 else ()),  # Ardour reads markers from the first track with notes alone
            (0, 0, mido.MetaMessage("track_name", name=track.name or track.role)),
            (0, 1, mido.Message("program_change", program=track.program, channel=channel)),
        ]
        rows += _control_messages(track, channel)
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


def _control_messages(track: Track, channel: int) -> list[tuple[int, int, object]]:
    """Controllers as messages; where there are bends, first the range that holds the widest (RPN 0)."""
    import mido

    rows: list[tuple[int, int, object]] = []
    bends = track.controls["value"][track.controls["controller"] == PITCH_BEND]
    reach = max(2, math.ceil(float(abs(bends).max()))) if len(bends) else 2
    if reach > 2:
        for number, value in ((101, 0), (100, 0), (6, min(reach, 127))):
            rows.append((0, 1, mido.Message("control_change", control=number, value=value, channel=channel)))
    for tick, number, value in track.controls.tolist():
        if number == PITCH_BEND:
            wheel = min(8191, max(-8192, round(value / reach * 8192)))
            rows.append((tick, 2, mido.Message("pitchwheel", pitch=wheel, channel=channel)))
        else:
            rows.append(
                (tick, 2, mido.Message("control_change", control=number, value=round(value), channel=channel))
            )
    return rows


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


__all__ = ["MAX_FILE_BYTES", "assign_channels", "read_midi", "write_midi"]
