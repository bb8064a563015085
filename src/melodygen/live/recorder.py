"""The recorder keeps what was sent, to be saved as a MIDI file: the whole take, or the last bars.

Times are quarters played since the beginning, so loops and jumps of the transport do not fold the take.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from melodygen.errors import UsageError
from melodygen.io.midi import write_midi
from melodygen.live.transport import NOTE_OFF, NOTE_ON, PROGRAM_CHANGE, MidiBytes
from melodygen.music.instruments import DRUM_CHANNEL
from melodygen.music.score import Score, Tempo, TimeSignature, Track, note_array

TICKS_PER_QUARTER = 480
RECENT_EVENTS = 20_000
"""Number of events kept when not all are."""
TEMPO_STEP = 0.5
"""Smallest change of tempo that is written, in quarters per minute."""


class Recorder:
    """Keeps sent messages and tempos.

    Args:
        keep_all: keep the whole take (about 100 bytes an event), not only the last events.
        roles: role of each MIDI channel, for the tracks of the file.
    """

    def __init__(self, keep_all: bool, roles: dict[int, str] | None = None) -> None:
        limit = None if keep_all else RECENT_EVENTS
        self._events: deque[tuple[float, MidiBytes]] = deque(maxlen=limit)
        self._tempos: deque[tuple[float, float]] = deque(maxlen=limit)
        self._roles = roles or {}
        self._programs: dict[int, int] = {}
        self.meter = (4, 4)

    def add(self, quarters: float, message: MidiBytes) -> None:
        """Record a message at ``quarters``."""
        if message[0] & 0xF0 == PROGRAM_CHANGE:
            self._programs[message[0] & 0x0F] = message[1]
        else:
            self._events.append((quarters, message))

    def tempo(self, quarters: float, qpm: float) -> None:
        """Record the tempo at ``quarters``, if it has changed enough."""
        if not self._tempos or abs(self._tempos[-1][1] - qpm) >= TEMPO_STEP:
            self._tempos.append((quarters, round(qpm, 2)))

    def score(self, first: float = 0.0, title: str = "") -> Score:
        """Return what was sent from ``first`` quarters on, moved to the beginning of a Score."""
        rows: dict[int, list[tuple[int, int, int, int]]] = {}
        open_notes: dict[tuple[int, int], tuple[int, int]] = {}
        last = 0
        for quarters, message in list(self._events):
            tick = round((quarters - first) * TICKS_PER_QUARTER)
            status, channel = message[0] & 0xF0, message[0] & 0x0F
            if status not in (NOTE_ON, NOTE_OFF):
                continue
            begun = open_notes.pop((channel, message[1]), None)
            if begun is not None:
                rows.setdefault(channel, []).append((begun[0], max(1, tick - begun[0]), message[1], begun[1]))
            if status == NOTE_ON and tick >= 0:
                open_notes[channel, message[1]] = (tick, message[2])
            last = max(last, tick)
        for (channel, pitch), (onset, velocity) in open_notes.items():
            rows.setdefault(channel, []).append((onset, max(1, last - onset), pitch, velocity))
        tracks = []
        for channel in sorted(rows):
            drums = channel == DRUM_CHANNEL
            role = self._roles.get(channel, "drums" if drums else "other")
            program = self._programs.get(channel, 0)
            tracks.append(Track(note_array(rows[channel]), program, drums, role, role))
        before = [t for t in self._tempos if t[0] <= first][-1:]
        tempos = [
            Tempo(max(0, round((q - first) * TICKS_PER_QUARTER)), qpm)
            for q, qpm in (*before, *(t for t in self._tempos if t[0] > first))
        ]
        meter = TimeSignature(0, *self.meter)
        return Score(tuple(tracks), tuple(tempos), (meter,), ticks_per_quarter=TICKS_PER_QUARTER, title=title)

    def save(self, path: Path, first: float = 0.0, overwrite: bool = False) -> int:
        """Write the take as a MIDI file and return its number of notes.

        Raises:
            UsageError: nothing was played from ``first`` on.
            OutputExistsError: the file exists and ``overwrite`` is false.
        """
        score = self.score(first, path.stem)
        if not score.num_notes:
            raise UsageError("nothing was played yet: there is nothing to save")
        write_midi(path, score, ("melodygen live",), overwrite=overwrite)
        return score.num_notes
