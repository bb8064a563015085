"""A user's MIDI file: its own tracks and events, the Score seen in them, and changes that leave the rest untouched.

Everything a file holds stays in it event by event: controllers, bends, lyrics, markers, tempo map, unknown meta events.
``MidiDocument.score`` is a view of its notes, one Score track for each (file track, channel, program), in the file's
own ticks. ``with_score`` compares a changed score with that view track by track: only notes that differ are taken out
or put in, and tracks beyond those of the view are appended to the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.errors import MidiReadError, ScoreError
from melodygen.io.markers import chord_flags, label_of
from melodygen.io.midi_events import END_OF_TRACK, Event, MidiEvents, meta_event, parse_midi, serialise_midi
from melodygen.io.midi_view import FileNotes, pair_notes, text_of, view_score
from melodygen.music.harmony import transpose_label, usual_name
from melodygen.music.instruments import DRUM_CHANNEL
from melodygen.music.key import key_of
from melodygen.music.score import NOTE_DTYPE, KeySignature, Score, Track

TEXT, MARKER, KEY_SIGNATURE = b"\xff\x01", b"\xff\x06", b"\xff\x59"


@dataclass(frozen=True, eq=False)
class MidiDocument:
    """A MIDI file as events with the notes found in it. ``name`` is the file's, for messages.

    ``warnings``  what was mended or passed over when the file was read, in plain words.
    """

    name: str
    events: MidiEvents
    notes: tuple[FileNotes, ...]
    score: Score
    warnings: tuple[str, ...] = ()

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """MIDI channel (0-15) of each track of ``score``."""
        return tuple(n.channel for n in self.notes)

    def with_score(self, changed: Score) -> MidiDocument:
        """The document with the notes of ``changed``: its first tracks are those of ``score``, in order, each with
        notes taken out or put in; further tracks are appended, with their program on a channel that is free.

        Tempos, meters, keys and markers stay those of the file. Raises ScoreError when tracks are missing.
        """
        if len(changed.tracks) < len(self.notes):
            raise ScoreError(f"{self.name}: {len(self.notes)} tracks cannot become {len(changed.tracks)}")
        removed: dict[int, set[int]] = {}
        added: dict[int, list[tuple[int, int, bytes]]] = {}
        for own, before, after in zip(self.notes, self.score.tracks, changed.tracks, strict=False):
            gone, new = _differences(before.notes, after.notes)
            removed.setdefault(own.track, set()).update(
                int(i) for i in np.concatenate((own.on_index[gone], own.off_index[gone])) if i >= 0
            )
            added.setdefault(own.track, []).extend(_note_events(new, own.channel))
        tracks = [
            _edited(events, removed.get(number, set()), added.get(number, []))
            for number, events in enumerate(self.events.tracks)
        ]
        both = (*self.events.tracks, *tracks)  # a channel whose last note went is still the file's
        used = {message[0] & 0x0F for events in both for _, message in events if message[0] < 0xF0}
        for track in changed.tracks[len(self.notes) :]:
            channel = self._channel_for(track, used, changed)
            used.add(channel)
            tracks.append(_new_track(track, channel))
        midi = replace(self.events, tracks=tuple(tracks), kind=1 if len(tracks) > 1 else self.events.kind)
        return document_of(midi, self.name, self.score.title)

    def transposed(self, semitones: int) -> MidiDocument:
        """The document with every note but drums, its key signatures and its chord markers moved. Raises ScoreError
        where a note would leave the MIDI range."""
        drums = {
            own.channel for own, track in zip(self.notes, self.score.tracks, strict=True) if track.is_drum
        }
        key = key_of(self.score)
        if key is not None:
            key = KeySignature(0, (key.tonic + semitones) % 12, key.mode)
        texts = [text_of(m) for events in self.events.others for _, _, m in events if m[:2] == MARKER]
        chords = {text for text, is_chord in zip(texts, chord_flags(texts), strict=True) if is_chord}
        tracks = [
            [(t, _transposed(m, semitones, drums | {DRUM_CHANNEL}, key, chords)) for t, m in events]
            for events in self.events.tracks
        ]
        return document_of(replace(self.events, tracks=tuple(tracks)), self.name, self.score.title)

    def _channel_for(self, track: Track, used: set[int], score: Score) -> int:
        """A channel nobody uses, else one with the same instrument, else the last."""
        if track.is_drum:
            return DRUM_CHANNEL
        free = [c for c in range(16) if c != DRUM_CHANNEL and c not in used]
        if free:
            return free[0]
        same = (
            c
            for c, t in zip(self.channels, score.tracks, strict=False)
            if t.program == track.program and c != 9
        )
        return next(same, 15)

    def with_texts(self, texts: Iterable[str]) -> MidiDocument:
        """The document with a last track that holds only these text events (provenance)."""
        events: list[Event] = [(0, meta_event(0x03, b"melodygen"))]
        events += [(0, meta_event(0x01, text.encode())) for text in texts]
        events.append((0, END_OF_TRACK))
        return replace(self, events=replace(self.events, kind=1, tracks=(*self.events.tracks, events)))

    def texts(self) -> list[str]:
        """All text events (not names, markers or lyrics), in the order of the tracks."""
        return [
            text_of(message)
            for events in self.events.others
            for _, _, message in events
            if message[:2] == TEXT
        ]

    def to_bytes(self) -> bytes:
        """A Standard MIDI file with these events."""
        return serialise_midi(self.events)


def read_midi_document(path: str | Path, data: bytes | None = None) -> MidiDocument:
    """Read a ``.mid``, ``.midi``, ``.kar`` or ``.rmi`` file; ``data`` are its bytes where they are there already.

    Raises MidiReadError with the reason; what can be mended is read, with a warning.
    """
    path = Path(path)
    try:
        data = path.read_bytes() if data is None else data
    except OSError as error:
        raise MidiReadError(f"{path.name or path}: cannot be read: {error.strerror or error}") from error
    return document_of(parse_midi(data, path.name), path.name, path.stem)


def document_of(midi: MidiEvents, name: str, title: str = "") -> MidiDocument:
    """The document of events that were read or changed. Raises MidiReadError for what no Score can hold."""
    warnings = list(midi.warnings)
    try:
        notes = pair_notes(midi, warnings)
        score = view_score(midi, notes, title, warnings)
    except (ScoreError, ValueError, OverflowError) as error:
        raise MidiReadError(f"{name}: {error}") from error
    return MidiDocument(name, midi, notes, score, tuple(warnings))


def write_midi_document(
    path: str | Path, document: MidiDocument, texts: Sequence[str] = (), overwrite: bool = False
) -> None:
    """Write the document's events, whole or not at all; ``texts`` become text events of a track of their own."""
    data = (document.with_texts(texts) if texts else document).to_bytes()
    with atomic_path(Path(path), overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def _differences(
    before: NDArray[np.void], after: NDArray[np.void]
) -> tuple[NDArray[np.int64], NDArray[np.void]]:
    """(rows of ``before`` that ``after`` lacks, notes of ``after`` that ``before`` lacks), equal notes counted."""
    if len(before) == len(after) and (before == after).all():
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=NOTE_DTYPE)
    left: dict[bytes, list[int]] = {}
    for index, row in enumerate(before):
        left.setdefault(row.tobytes(), []).append(index)
    new = []
    for index, row in enumerate(after):
        same = left.get(row.tobytes())
        if same:
            same.pop()
        else:
            new.append(index)
    gone = sorted(index for rows in left.values() for index in rows)
    return np.array(gone, dtype=np.int64), after[new]


def _note_events(notes: NDArray[np.void], channel: int) -> list[tuple[int, int, bytes]]:
    """(tick, rank, message): at one tick note-offs come first (0), then what is there (1), then note-ons (2). Where
    two notes of one pitch overlap the first ends as the second begins: MIDI cannot say it otherwise."""
    events: list[tuple[int, int, bytes]] = []
    next_onset: dict[int, int] = {}
    for onset, duration, pitch, velocity in reversed(notes.tolist()):
        end = min(onset + duration, next_onset.get(pitch, onset + duration))
        if end <= onset:
            continue
        next_onset[pitch] = onset
        events.append((onset, 2, bytes((0x90 | channel, pitch, velocity))))
        events.append((end, 0, bytes((0x80 | channel, pitch, 0))))
    return events


def _edited(events: list[Event], removed: set[int], added: list[tuple[int, int, bytes]]) -> list[Event]:
    if not removed and not added:
        return events
    kept = [
        (tick, 1, message)
        for i, (tick, message) in enumerate(events)
        if i not in removed and message != END_OF_TRACK
    ]
    ordered = sorted([*kept, *added], key=lambda e: (e[0], e[1]))  # stable: what is there keeps its order
    end = max(events[-1][0], ordered[-1][0] if ordered else 0)
    return [*((tick, message) for tick, _, message in ordered), (end, END_OF_TRACK)]


def _transposed(
    message: bytes, semitones: int, drums: set[int], key: KeySignature | None, chords: set[str]
) -> bytes:
    status = message[0]
    if 0x80 <= status < 0xB0 and status & 0x0F not in drums:  # note-off, note-on, pressure of a key
        pitch = message[1] + semitones
        if not 0 <= pitch <= 127:
            raise ScoreError(f"the note {message[1]} moved by {semitones} leaves the MIDI range 0-127")
        return bytes((status, pitch, message[2]))
    if message[:2] == KEY_SIGNATURE and len(message) > 4:
        sharps = int.from_bytes(message[3:4], signed=True)
        moved = sharps if semitones % 12 == 0 else (sharps + 7 * semitones + 6) % 12 - 6
        return bytes((*message[:3], moved & 0xFF, *message[4:]))
    if message[:2] == MARKER and (text := text_of(message)) in chords:
        moved_label = transpose_label(label_of(text), semitones, key)
        return meta_event(
            0x06, (moved_label if ":" in text or text == "N" else usual_name(moved_label)).encode()
        )
    return message


def _new_track(track: Track, channel: int) -> list[Event]:
    first = [
        (0, 0, meta_event(0x03, (track.name or track.role).encode())),
        (0, 0, bytes((0xC0 | channel, track.program))),
    ]
    rows = sorted(
        [*first, *((t, 1 + rank, m) for t, rank, m in _note_events(track.notes, channel))],
        key=lambda e: e[:2],
    )
    return [*((tick, message) for tick, _, message in rows), (rows[-1][0], END_OF_TRACK)]


__all__ = ["MidiDocument", "document_of", "read_midi_document", "write_midi_document"]
