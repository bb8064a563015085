"""Incoming MIDI: notes by position, the end of a player's phrase, and the phrase as a Score.

Positions are in quarters of the host's transport. Going back or jumping drops what is incomplete.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from melodygen.live.transport import NOTE_OFF, NOTE_ON, MidiBytes, Transport
from melodygen.music.key import estimate_key
from melodygen.music.score import Score, Tempo, TimeSignature, Track, note_array

TICKS_PER_QUARTER = 480
GRID_TICKS = TICKS_PER_QUARTER // 12
MAX_BARS = 8
MAX_NOTES = 2_000
DRAFT_REST_QUARTERS = 0.125
"""After a rest this short an answer is written on trial; it is dropped if the player goes on."""
EARLY_QUARTERS = 2.0
"""While the player plays on, an answer to the notes so far is written this often."""
EARLY_NOTES = 3
"""While the player plays on, an answer to what there is so far is written this often: better than none in time."""


@dataclass(frozen=True)
class InputNote:
    """A note that was played in; times in quarters of the host."""

    onset: float
    end: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Call:
    """A phrase of the player, or the part of it so far. ``number`` is different for each call."""

    number: int
    notes: tuple[InputNote, ...]

    @property
    def end(self) -> float:
        """End of the last note, in quarters."""
        return max(n.end for n in self.notes)

    def _first_bar(self, transport: Transport) -> float:
        bar = transport.bar_quarters
        passed = math.floor((self.notes[0].onset - transport.bar_start_quarters + 1e-6) / bar)
        return transport.bar_start_quarters + passed * bar

    def num_bars(self, bar_quarters: float) -> int:
        """Return the number of bars of an answer as long as the call."""
        length = self.end - self.notes[0].onset
        return min(max(1, round(length / bar_quarters + 0.25)), MAX_BARS)

    def key(self) -> tuple[int, str] | None:
        """Return the estimated key, or None for fewer than five different pitches."""
        weights = np.zeros(12)
        for note in self.notes:
            weights[note.pitch % 12] += note.end - note.onset
        return estimate_key(weights) if np.count_nonzero(weights) >= 5 else None

    def score(self, transport: Transport) -> Score:
        """Return the call as a melody on the grid."""
        return notes_to_score(self.notes, self._first_bar(transport), transport)


def notes_to_score(notes: tuple[InputNote, ...], start: float, transport: Transport) -> Score:
    """Return the notes as a melody on the grid of twelfths, with ``start`` (quarters) at tick 0."""

    def tick(quarters: float) -> int:
        return max(0, round((quarters - start) * TICKS_PER_QUARTER / GRID_TICKS)) * GRID_TICKS

    rows = {}
    for n in notes:
        onset = tick(n.onset)
        rows[onset, n.pitch] = (onset, max(GRID_TICKS, tick(n.end) - onset), n.pitch, n.velocity)
    melody = Track(note_array(rows.values()), role="melody", name="melody")
    return Score(
        (melody,),
        (Tempo(0, transport.qpm),),
        (TimeSignature(0, *transport.meter),),
        ticks_per_quarter=TICKS_PER_QUARTER,
    )


class MidiInput:
    """Collects incoming notes. It gets every message and is asked once a block."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], tuple[float, int]] = {}
        self._notes: list[InputNote] = []
        self._recent: list[InputNote] = []
        self._position = -math.inf
        self._number = 1
        self._drafted = 0
        """How many notes the last draft held."""
        self._drafted_at = -math.inf
        self._finish = False

    @property
    def is_playing(self) -> bool:
        """Whether a note is held or a call is not over."""
        return bool(self._held or self._notes)

    def receive(self, position: float, message: MidiBytes) -> None:
        """Take a MIDI message at ``position`` quarters."""
        if position < self._position - 0.01:
            self._held.clear()
            self._notes.clear()
            self._recent.clear()
        self._position = position
        status, channel = message[0] & 0xF0, message[0] & 0x0F
        if status not in (NOTE_ON, NOTE_OFF):
            return
        key = (channel, message[1])
        begun = self._held.pop(key, None)
        if begun is not None:
            note = InputNote(begun[0], max(position, begun[0] + 0.01), message[1], begun[1])
            for notes in (self._notes, self._recent):
                notes.append(note)
                del notes[:-MAX_NOTES]
        if status == NOTE_ON and message[2] > 0:
            self._held[key] = (position, message[2])

    def drop_call(self) -> None:
        """Drop the call: it needs no answer."""
        self._notes.clear()
        self._number += 1
        self._drafted, self._drafted_at, self._finish = 0, -math.inf, False

    def finish(self) -> None:
        """End the call now, without waiting for a rest."""
        self._finish = bool(self._notes)

    def draft(self, position: float) -> Call | None:
        """Return a call that may be over, once for each time it has grown; while it grows, the part so far
        from time to time.
        """
        if len(self._notes) <= self._drafted:
            return None
        rests = not self._held and position >= self._notes[-1].end + DRAFT_REST_QUARTERS
        begun = max(self._drafted_at, self._notes[0].onset)
        early = len(self._notes) >= EARLY_NOTES and position >= begun + EARLY_QUARTERS
        if not (rests or early or self._finish):
            return None
        self._drafted, self._drafted_at = len(self._notes), position
        return self._call()

    def ended(self, position: float, rest_quarters: float) -> Call | None:
        """Return the call, once, when nothing has sounded for ``rest_quarters``; else None."""
        if not self._drafted or len(self._notes) != self._drafted or (self._held and not self._finish):
            return None
        if position < self._notes[-1].end + rest_quarters and not self._finish:
            return None
        call = self._call()
        self.drop_call()
        return call

    def last_bars(self, transport: Transport, bars: int) -> Score | None:
        """Return the last whole ``bars`` bars that came in, or None without notes."""
        bar = transport.bar_quarters
        passed = math.floor((transport.position_quarters - transport.bar_start_quarters + 0.5) / bar)
        end = transport.bar_start_quarters + passed * bar
        start = end - bars * bar
        self._recent = [n for n in self._recent if n.end > start]
        notes = tuple(n for n in self._recent if start - 0.1 <= n.onset < end)
        return notes_to_score(notes, start, transport) if notes else None

    def _call(self) -> Call:
        return Call(self._number, tuple(sorted(self._notes, key=lambda n: n.onset)))
