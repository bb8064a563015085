"""Standard MIDI files as the events they hold, read tolerantly and written again byte for byte.

A track is a list of (tick, message): absolute ticks, and the message's bytes with a full status byte. A meta event is
``FF type length data``, a system exclusive message ``F0 length data``, as in the file; every track ends with exactly
one end-of-track event. What cannot be is mended or passed over, each time with a warning, never in silence: values out
of range are clipped, a file that is cut off is read as far as it goes, the tracks of a type 2 file follow one another.

Source: Standard MIDI Files 1.0 (RP-001). This departs from it where files do: running status survives meta events,
and a track's end is where its end-of-track event is, whatever its chunk says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from melodygen.errors import MidiReadError

Event = tuple[int, bytes]
"""(tick, message)."""

MAX_FILE_BYTES = 32 * 2**20
HEADER_SEARCH_BYTES = 4096
"""How far into a file its header is looked for: mail programs and old Macintoshes put bytes before it."""
END_OF_TRACK = b"\xff\x2f\x00"
DEFAULT_DIVISION = 480
MAX_WARNINGS = 12
MAX_DELTA = 0x0FFFFFFF
"""The longest wait between two events that the format allows: four bytes of seven bits."""
_SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
_VALUE_NAMES = {
    0x8: "release velocity",
    0x9: "velocity",
    0xA: "aftertouch",
    0xB: "controller value",
    0xE: "pitch bend",
}


@dataclass(frozen=True, eq=False)
class MidiEvents:
    """The tracks of a file.

    ``kind``      0 (one track) or 1 (tracks that sound together); a type 2 file has become type 1.
    ``division``  as in the header: ticks a quarter, or with the high bit set SMPTE frames and ticks a frame.
    ``chunks``    other chunks of the file, whole, which are written again behind the tracks.
    """

    kind: int
    division: int
    tracks: tuple[list[Event], ...]
    chunks: tuple[bytes, ...] = ()
    warnings: tuple[str, ...] = ()

    @cached_property
    def others(self) -> tuple[list[tuple[int, int, bytes]], ...]:
        """Of each track what is no note: (index, tick, message). Most events are notes, and most questions are not."""
        return tuple(
            [(i, event[0], event[1]) for i, event in enumerate(events) if event[1][0] & 0xE0 != 0x80]
            for events in self.tracks
        )

    @property
    def ticks_per_second(self) -> float | None:
        """Of an SMPTE division; None where ticks divide a quarter."""
        if not self.division & 0x8000:
            return None
        frames = 256 - (self.division >> 8)
        return (30_000 / 1001 if frames == 29 else float(frames)) * (self.division & 0xFF)


class _Warnings:
    """What was mended, each kind once with how often."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[str, int]] = {}

    def add(self, kind: str, text: str) -> None:
        first, count = self._counts.get(kind, (text, 0))
        self._counts[kind] = (first, count + 1)

    def texts(self) -> tuple[str, ...]:
        said = [
            text if count == 1 else f"{text} (and {count - 1} more)" for text, count in self._counts.values()
        ]
        rest = len(said) - MAX_WARNINGS
        return tuple(said[:MAX_WARNINGS]) + ((f"and {rest} more kinds of faults",) if rest > 0 else ())


def parse_midi(data: bytes, name: str) -> MidiEvents:
    """The events of a MIDI file's bytes; ``name`` is for messages.

    Raises MidiReadError, with the reason, for what is no MIDI file or has no track.
    """
    warnings = _Warnings()
    kind, division, at, data = _read_header(data, name, warnings)
    tracks: list[list[Event]] = []
    chunks: list[bytes] = []
    while at < len(data):
        tag, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
        if tag == b"MTrk":
            events, at = _read_track(data, at + 8, size, len(tracks) + 1, warnings)
            tracks.append(events)
        elif len(tag) == 4 and tag.isalnum() and at + 8 + size <= len(data):
            chunks.append(data[at : at + 8 + size])
            at += 8 + size
        else:
            following = data.find(b"MTrk", at + 1)
            stop = len(data) if following < 0 else following
            if data[at:stop].strip(b"\0"):
                warnings.add("between", f"{stop - at} bytes that belong to no track are passed over")
            at = stop
    if not tracks:
        raise MidiReadError(f"{name}: no track in the file")
    if kind == 2:
        tracks = _in_sequence(tracks, warnings)
    return MidiEvents(1 if kind == 2 else kind, division, tuple(tracks), tuple(chunks), warnings.texts())


def _read_header(data: bytes, name: str, warnings: _Warnings) -> tuple[int, int, int, bytes]:
    """(kind, division, where the first chunk begins, the bytes of the MIDI file itself)."""
    if not data:
        raise MidiReadError(f"{name}: the file is empty (0 bytes)")
    if len(data) > MAX_FILE_BYTES:
        raise MidiReadError(
            f"{name}: {len(data) / 2**20:.0f} MiB is more than {MAX_FILE_BYTES // 2**20} MiB, the limit for a MIDI file"
        )
    begin = data.find(b"MThd", 0, HEADER_SEARCH_BYTES)
    if begin < 0:
        raise MidiReadError(f"{name}: not a MIDI file (it does not begin with MThd)")
    if begin and data[:4] != b"RIFF":
        warnings.add("before", f"{begin} bytes before the header are passed over")
    data = data[begin:]
    if len(data) < 14:
        raise MidiReadError(f"{name}: truncated in the header ({len(data)} bytes)")
    length, kind, _, division = struct.unpack(">IHHH", data[4:14])
    at = 8 + length
    if length < 6 or at > len(data):
        warnings.add("header", f"the header says that it has {length} bytes; it is read as 6")
        at = 14
    if kind > 2:
        warnings.add("kind", f"type {kind} is none of 0, 1, 2; it is read as type 1")
        kind = 1
    if division == 0 or (division & 0x8000 and (division & 0xFF == 0 or 256 - (division >> 8) > 120)):
        warnings.add(
            "division", f"a time division of {division} means nothing; it is read as {DEFAULT_DIVISION}"
        )
        division = DEFAULT_DIVISION
    return kind, division, at, data


def _read_track(
    data: bytes, begin: int, size: int, number: int, warnings: _Warnings
) -> tuple[list[Event], int]:
    """The events of one track and where the next chunk begins."""
    stop = begin + size
    if stop > len(data):
        warnings.add(
            "cut", f"cut off: {stop - len(data)} bytes of track {number} are missing; what is there is read"
        )
        stop = len(data)
    body = data[begin:stop]
    events, used, whole = _parse_events(body, number, warnings)
    if (
        not whole
        and stop < len(data)
        and data[stop : stop + 4] != b"MTrk"
        and not data[stop : stop + 4].isalnum()
    ):
        # the chunk says that it is shorter than its track: its end-of-track event stands behind it
        following = data.find(b"MTrk", stop)
        longer = len(data) if following < 0 else following
        more, used, whole = _parse_events(data[begin:longer], number, warnings)
        if len(more) > len(events):
            warnings.add("length", f"track {number} is longer than its chunk says")
            return more, begin + used if whole else longer
    hidden = body.find(b"MTrk", used)
    if hidden >= 0 and whole:
        warnings.add("length", f"track {number} is shorter than its chunk says")
        return events, begin + hidden
    if whole and body[used:].strip(b"\0"):
        warnings.add("behind", f"{len(body) - used} bytes behind the end of track {number} are passed over")
    return events, stop


def _parse_events(body: bytes, number: int, warnings: _Warnings) -> tuple[list[Event], int, bool]:
    """(events with an end-of-track event, bytes used, whether the end was in the track)."""
    events: list[Event] = []
    append = events.append
    tick = at = status = start = 0
    try:
        while at < len(body):
            start = at
            byte = body[at]
            at += 1
            delta = byte & 0x7F
            while byte & 0x80:
                byte = body[at]
                at += 1
                delta = delta << 7 | byte & 0x7F
            if delta > MAX_DELTA:
                warnings.add("delta", f"a wait of {delta} ticks in track {number} is clipped to {MAX_DELTA}")
                delta = MAX_DELTA
            tick += delta
            byte = body[at]
            if byte & 0x80:
                at += 1
                if byte >= 0xF0:
                    at = _system_event(body, at, byte, tick, append, warnings)
                    if byte == 0xFF and events and events[-1][1] == END_OF_TRACK:
                        return events, at, True
                    continue
                status = byte
            elif not status:
                warnings.add(
                    "status", f"{len(body) - start} bytes of track {number} are no events and are left out"
                )
                break
            first = body[at]
            if status & 0xE0 == 0xC0:  # program change, channel pressure: one byte
                at += 1
                if first & 0x80:
                    what = "program" if status < 0xD0 else "channel pressure"
                    warnings.add(f"{status >> 4}", f"{what} {first} is clipped to 127")
                    first = 127
                append((tick, bytes((status, first))))
                continue
            second = body[at + 1]
            at += 2
            if (first | second) & 0x80:
                kept = _clipped(status, first, second, warnings)
                if kept is None:
                    continue
                first, second = kept
            append((tick, bytes((status, first, second))))
    except IndexError:
        warnings.add("event", f"the last event of track {number} is cut off and left out")
    append((tick, END_OF_TRACK))
    return events, len(body), False


def _clipped(status: int, first: int, second: int, warnings: _Warnings) -> tuple[int, int] | None:
    """The two data bytes brought to 0-127; None for a key or controller that does not exist."""
    kind = status >> 4
    if first & 0x80 and kind != 0xE:
        what = "controller" if kind == 0xB else "key"
        warnings.add(f"{what} number", f"{what} {first} does not exist (0-127) and is left out")
        return None
    value = second if second & 0x80 else first
    warnings.add(f"{kind}", f"{_VALUE_NAMES[kind]} {value} is clipped to 127")
    return min(first, 127), min(second, 127)


def _system_event(
    body: bytes, at: int, byte: int, tick: int, append: Callable[[Event], None], warnings: _Warnings
) -> int:
    """Read a meta event, a system exclusive message or what does not belong into a file; where it ends."""
    if byte not in (0xF0, 0xF7, 0xFF):
        warnings.add(f"{byte}", f"a status byte 0x{byte:02X} has no place in a file and is left out")
        return at + _SYSTEM_DATA_BYTES.get(byte, 0)
    first = at - 1
    if byte == 0xFF:
        at += 1
    length, more = 0, 0x80
    while more & 0x80:
        more = body[at]
        at += 1
        length = length << 7 | more & 0x7F
    if at + length > len(body):
        raise IndexError
    message = body[first : at + length]
    append((tick, END_OF_TRACK if byte == 0xFF and message[1] == 0x2F else message))
    return at + length


def _in_sequence(tracks: list[list[Event]], warnings: _Warnings) -> list[list[Event]]:
    """Patterns of a type 2 file one after another, each beginning where the one before ends."""
    if len(tracks) > 1:
        warnings.add(
            "type 2",
            f"a type 2 file: its {len(tracks)} patterns follow one another, as tracks of a type 1 file",
        )
    placed, begin = [], 0
    for events in tracks:
        placed.append([(tick + begin, message) for tick, message in events])
        begin = placed[-1][-1][0]
    return placed


def serialise_midi(midi: MidiEvents) -> bytes:
    """The bytes of a file with these events, in this order; end-of-track events are put right."""
    kind = 1 if len(midi.tracks) > 1 else midi.kind
    parts = [b"MThd", struct.pack(">IHHH", 6, kind, len(midi.tracks), midi.division)]
    for events in midi.tracks:
        body = bytearray()
        last = 0
        for tick, message in events:
            if message == END_OF_TRACK:
                continue
            while tick - last > MAX_DELTA:  # an empty text bridges what one wait cannot say
                body += _variable_length(MAX_DELTA) + meta_event(0x01, b"")
                last += MAX_DELTA
            body += _variable_length(tick - last)
            body += message
            last = tick
        end = events[-1][0] if events and events[-1][1] == END_OF_TRACK else last
        body += _variable_length(max(0, end - last))
        body += END_OF_TRACK
        parts += [b"MTrk", struct.pack(">I", len(body)), bytes(body)]
    return b"".join([*parts, *midi.chunks])


def _variable_length(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))


def meta_event(kind: int, data: bytes) -> bytes:
    """The bytes of a meta event: ``FF kind length data``."""
    return bytes((0xFF, kind)) + _variable_length(len(data)) + data


__all__ = [
    "DEFAULT_DIVISION", "END_OF_TRACK", "MAX_FILE_BYTES", "Event", "MidiEvents", "meta_event", "parse_midi",
    "serialise_midi",
]  # fmt: skip
