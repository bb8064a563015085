"""A Score as the page draws and plays it: notes by track in seconds and quarters, bar lines, chords, sections."""

from __future__ import annotations

from typing import Any

from melodygen.io.midi import assign_channels
from melodygen.music.form import SECTION_NAME
from melodygen.music.key import key_name
from melodygen.music.score import Score


def score_to_json(score: Score) -> dict[str, Any]:
    """Plain data for JSON.

    Each track has ``role``, ``name``, ``program``, ``is_drum``, ``channel`` (0 to 15) and ``notes``, rows of onset
    (seconds), duration (seconds), pitch (MIDI number), velocity (1 to 127). ``bars`` are bar lines in seconds, the
    closing one included; ``chords`` are rows of seconds and Harte label, ``sections`` of seconds and name, melodygen's
    own by their letters.
    """
    seconds = score.tick_to_seconds
    key = score.key_signatures[0] if score.key_signatures else None
    tracks = []
    for track, channel in zip(score.tracks, assign_channels(score), strict=True):
        rows = []
        for note in track:
            onset = seconds(note.onset_tick)
            rows.append(
                [round(onset, 4), round(seconds(note.offset_tick) - onset, 4), note.pitch, note.velocity]
            )
        tracks.append(
            {
                "role": track.role, "name": track.name or track.role, "program": track.program,
                "is_drum": track.is_drum, "channel": channel, "notes": rows,
            }
        )  # fmt: skip
    bars = [round(seconds(tick), 4) for tick in score.bar_ticks()]
    return {
        "qpm": round(score.qpm, 3),
        "meter": str(score.time_signatures[0]),
        "key": None if key is None else key_name((key.tonic, key.mode), key.fifths),
        "seconds": max(bars[-1], round(score.duration_seconds, 4)),
        "bars": bars,
        "chords": [[round(seconds(chord.tick), 4), chord.label] for chord in score.chords],
        "sections": [
            [round(seconds(section.tick), 4), section.name.removeprefix(SECTION_NAME)]
            for section in score.sections
        ],
        "tracks": tracks,
    }
