"""What mido, a reader of its own, sees in a MIDI file."""

from __future__ import annotations

import io

import mido


def events_at_ticks(data: bytes) -> list[list[tuple[int, str]]]:
    """All events of each track at their ticks, the ends of tracks left out."""
    tracks = []
    for track in mido.MidiFile(file=io.BytesIO(data)).tracks:
        tick, found = 0, []
        for message in track:
            tick += message.time
            if message.type != "end_of_track":
                found.append((tick, str(message.copy(time=0))))
        tracks.append(found)
    return tracks
