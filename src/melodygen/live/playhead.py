"""The playhead turns notes on the host's timeline into events of a block.

It follows tempo changes, loops, jumps and stops, also inside a block. An event lies on the first sample at or
after its time (see ``melodygen.live.transport``); an event in the last fraction of a sample before a loop's
end is not played. Each note-on gets its note-off: at its time, or where the position jumps or stops.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from melodygen.live.sounding import SoundingNotes, note_off
from melodygen.live.transport import NOTE_ON, SAMPLE_TOLERANCE, Block, MidiEvent, Transport

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SampleOf = Callable[[float], int]
"""Function from a position in quarters to the offset in the block, in samples."""


def _floats() -> Floats:
    return np.zeros(0)


def _ints() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Stretch:
    """Notes from ``start`` to ``end`` quarters as columns sorted by onset.

    Attributes:
        start: beginning in quarters.
        end: end in quarters.
        onset: (N,) onsets in quarters.
        offset: (N,) ends of the notes in quarters.
        voice: (N,) the owner's number of the voice.
        pitch: (N,) MIDI numbers.
        velocity: (N,) MIDI velocities.
    """

    start: float
    end: float
    onset: Floats = field(default_factory=_floats)
    offset: Floats = field(default_factory=_floats)
    voice: Ints = field(default_factory=_ints)
    pitch: Ints = field(default_factory=_ints)
    velocity: Ints = field(default_factory=_ints)


class NoteSource:
    """What a playhead reads from: the owner of the timeline."""

    def stretch_at(
        self, transport: Transport, cursor: float, grain: float, sample: SampleOf
    ) -> tuple[Stretch, float]:
        """Return the stretch that holds ``cursor``, and the position up to which to play it before asking
        again.

        Args:
            transport: the host's transport.
            cursor: position in quarters.
            grain: positions in quarters that differ by less are the same.
            sample: offset in the block of a position.
        """
        raise NotImplementedError

    def channel_of(self, voice: int) -> int | None:
        """Return the MIDI channel of a voice, or None while the voice is muted."""
        raise NotImplementedError


class Playhead:
    """Moves over a note source. ``out`` collects the events of the current block.

    Args:
        source: owner of the timeline.
        sample_rate: samples per second.
    """

    def __init__(self, source: NoteSource, sample_rate: float) -> None:
        self._source = source
        self._sample_rate = sample_rate
        self.out: list[MidiEvent] = []
        self.sounding = SoundingNotes()
        self.expected = 0.0
        """Where the next block begins if the host plays on."""
        self._done: float | None = None
        """What has been played lies at or before this; None while stopped."""
        self._release_due = False

    @property
    def is_playing(self) -> bool:
        """Whether the transport played in the last segment."""
        return self._done is not None

    def play_block(self, transport: Transport, block: Block) -> None:
        """Play a block, changes of the transport inside it included."""
        edges = [(0, transport), *block.changes]
        for index, (first, now) in enumerate(edges):
            self.segment(now, first, edges[index + 1][0] if index + 1 < len(edges) else block.num_samples)

    def segment(self, transport: Transport, first: int, stop: int) -> None:
        """Play samples ``first`` to ``stop`` of the block, inside which only the loop may change the
        position.
        """
        if self._release_due or not transport.is_playing:
            self.release(first)
            self._release_due = False
        if not transport.is_playing:
            self._done = None
            return
        if stop <= first:
            return
        per_quarter = transport.samples_per_quarter(self._sample_rate)
        # positions closer than this are the same: a host computes them in floating point
        grain = SAMPLE_TOLERANCE / per_quarter
        position = transport.position_quarters
        near = 2.0 / per_quarter
        loop = (
            transport.loop if transport.loop is not None and transport.loop[0] < transport.loop[1] else None
        )
        if loop is not None and abs(position - loop[1]) < near and abs(self.expected - loop[0]) < near:
            position = self.expected  # the host's rounding has not gone back yet, ours has
        if self._done is None or abs(position - self.expected) > near:
            self.release(first)
            self._done = position - grain
        at = first
        while at < stop:
            room, wraps = stop - at, False
            if loop is not None and position + grain < loop[1]:
                until = max(1, math.ceil((loop[1] - position) * per_quarter - SAMPLE_TOLERANCE))
                room, wraps = min(room, until), until <= room
            last = position + (room - 1) / per_quarter + grain
            if wraps and loop is not None:
                last = min(last, loop[1] - grain)
            self._run(transport, position, per_quarter, at, room, last)
            at += room
            position += room / per_quarter
            if wraps and loop is not None:
                over = position - loop[1]
                position = loop[0] + (over % (loop[1] - loop[0]) if over > 0 else 0.0)
                self._done = loop[0] - grain
                if at < stop:
                    self.release(at)
                else:
                    self._release_due = True
        self.expected = position

    def release(self, offset: int, channel: int | None = None) -> None:
        """End the sounding notes at ``offset``, on all channels or on one."""
        self.out += [MidiEvent(offset, message) for message in self.sounding.release(channel)]

    def _run(
        self, transport: Transport, position: float, per_quarter: float, first: int, room: int, last: float
    ) -> None:
        """Play what lies after ``_done`` up to ``last`` quarters, into ``room`` samples from ``first``."""
        grain = SAMPLE_TOLERANCE / per_quarter

        def sample(quarters: float) -> int:
            index = math.ceil((quarters - position) * per_quarter - SAMPLE_TOLERANCE)
            return first + min(max(index, 0), room - 1)

        assert self._done is not None
        while self._done < last:
            stretch, until = self._source.stretch_at(transport, self._done + grain, grain, sample)
            until = min(last, until, stretch.end - grain)
            self._emit(stretch, self._done, until, sample)
            self._done = max(until, self._done + grain)

    def _emit(self, stretch: Stretch, after: float, until: float, sample: SampleOf) -> None:
        first, stop = np.searchsorted(stretch.onset, (after, until), side="right").tolist()
        for index in range(first, stop):
            channel = self._source.channel_of(int(stretch.voice[index]))
            if channel is None:
                continue
            onset = float(stretch.onset[index])
            self._end_notes(onset, sample)
            key = (channel, int(stretch.pitch[index]))
            offset = sample(onset)
            if self.sounding.stop(key):
                self.out.append(MidiEvent(offset, note_off(key)))
            self.sounding.start(key, float(stretch.offset[index]))
            self.out.append(MidiEvent(offset, (NOTE_ON | channel, key[1], int(stretch.velocity[index]))))
        self._end_notes(until, sample)

    def _end_notes(self, until: float, sample: SampleOf) -> None:
        for end, key in self.sounding.ended_by(until):
            self.out.append(MidiEvent(sample(end), note_off(key)))
