"""Small MIDI files with a few bytes changed, for fuzzing readers."""

from __future__ import annotations

import io
import random
import struct

import mido


def mutated(seed: int) -> bytes:
    """A small MIDI file with a few bytes changed, put in or taken out; most keep fitting chunk lengths."""
    rng = random.Random(seed)
    stream = io.BytesIO()
    file = mido.MidiFile(type=rng.choice((0, 1)), ticks_per_beat=rng.choice((1, 96, 480)))
    for _ in range(1 if file.type == 0 else 2):
        track = mido.MidiTrack()
        track.append(mido.MetaMessage("track_name", name="melody"))
        track.append(mido.MetaMessage("time_signature", numerator=3, denominator=4))
        track.append(mido.MetaMessage("key_signature", key="Bb"))
        track.append(mido.MetaMessage("marker", text="C:maj"))
        track.append(mido.Message("sysex", data=[1, 2, 3]))
        for _ in range(8):
            track.append(
                mido.Message("note_on", note=rng.randrange(128), velocity=64, time=rng.randrange(300))
            )
            track.append(mido.Message("pitchwheel", pitch=rng.randrange(-100, 100)))
            track.append(mido.Message("control_change", control=64, value=rng.randrange(128)))
        file.tracks.append(track)
    file.save(file=stream)
    data = bytearray(stream.getvalue())
    for _ in range(rng.choice((1, 1, 2, 4, 12))):
        at = rng.randrange(22, len(data))
        what = rng.random()
        if what < 0.5:
            data[at] = rng.choice((rng.randrange(128), rng.randrange(256), 0xFF, 0x80, 0xF0, 0xF7, 0x7F))
        elif what < 0.7:
            del data[at : at + rng.randrange(1, 6)]
        elif what < 0.95:
            data[at:at] = bytes(rng.choice((0xFF, 0x80, 0xF0, 0x90, rng.randrange(256))) for _ in range(4))
        else:
            data[rng.randrange(22)] = rng.randrange(256)
        data += b"\0" * max(0, 30 - len(data))
    if rng.random() < 0.85:
        head, *bodies = bytes(data).split(b"MTrk")
        data = bytearray(head)
        for body in bodies:
            data += b"MTrk" + struct.pack(">I", max(0, len(body) - 4)) + body[4:]
    return bytes(data)
