"""The notes that sound now. Every sender of notes keeps a record, so that each note-on gets its note-off."""

from __future__ import annotations

from collections.abc import Iterator

from melodygen.live.transport import CONTROL_CHANGE, NOTE_OFF, MidiBytes

SUSTAIN, ALL_SOUND_OFF, RESET_CONTROLLERS, ALL_NOTES_OFF = 64, 120, 121, 123

Key = tuple[int, int]
"""Channel 0-15, pitch 0-127."""


class SoundingNotes:
    """Maps (channel, pitch) to the time at which the note ends, in any unit."""

    def __init__(self) -> None:
        self._ends: dict[Key, float] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def __contains__(self, key: Key) -> bool:
        return key in self._ends

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._ends))

    def start(self, key: Key, end: float) -> None:
        """Record a note that ends at ``end``."""
        self._ends[key] = end

    def stop(self, key: Key) -> bool:
        """Remove a note and return whether it sounded."""
        return self._ends.pop(key, None) is not None

    def ended_by(self, time: float) -> list[tuple[float, Key]]:
        """Remove and return the (end, key) of the notes that end at or before ``time``, earliest first."""
        if not self._ends:
            return []
        over = sorted((end, key) for key, end in self._ends.items() if end <= time)
        for _, key in over:
            del self._ends[key]
        return over

    def release(self, channel: int | None = None) -> list[MidiBytes]:
        """Remove all notes, or those of one channel, and return their note-offs."""
        keys = [key for key in self._ends if channel is None or key[0] == channel]
        for key in keys:
            del self._ends[key]
        return [note_off(key) for key in keys]


def note_off(key: Key) -> MidiBytes:
    """Return the note-off message of a note."""
    return (NOTE_OFF | key[0], key[1], 0)


def silence(channels: Iterator[int] | range | set[int]) -> list[MidiBytes]:
    """Return pedal up and all notes off for each channel. Releases and reverb may ring on, so this is not all
    *sound* off.
    """
    messages: list[MidiBytes] = []
    for channel in sorted(channels):
        messages += [(CONTROL_CHANGE | channel, SUSTAIN, 0), (CONTROL_CHANGE | channel, ALL_NOTES_OFF, 0)]
    return messages


def panic() -> list[MidiBytes]:
    """Return everything that can end a sound, on all channels.

    These are pedals, a note-off for every key, and the three channel mode messages, which many devices
    ignore.
    """
    messages: list[MidiBytes] = []
    for channel in range(16):
        messages.append((CONTROL_CHANGE | channel, SUSTAIN, 0))
        messages += [(NOTE_OFF | channel, pitch, 0) for pitch in range(128)]
        messages += [
            (CONTROL_CHANGE | channel, mode, 0) for mode in (ALL_NOTES_OFF, ALL_SOUND_OFF, RESET_CONTROLLERS)
        ]
    return messages
