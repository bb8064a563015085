"""A MIDI file as a processor: its own events on its own channels, with seek, loop and tempo.

Everything goes out in the order of the file: notes, controllers, bends, programs, aftertouch, system exclusive
messages. Where playing begins or goes on elsewhere than where it was, programs, controllers and bends are first brought
to what is in force there.
"""

from __future__ import annotations

import math

import numpy as np

from melodygen.io.midi_document import MidiDocument
from melodygen.io.midi_events import Event
from melodygen.live.playhead import NoteSource, Playhead, SampleOf, Stretch
from melodygen.live.score_processor import FOREVER
from melodygen.live.sounding import note_off
from melodygen.live.transport import CONTROL_CHANGE, NOTE_OFF, NOTE_ON, Block, MidiBytes, MidiEvent, Transport

PITCH_BEND, SYSTEM_EXCLUSIVE = 0xE0, 0xF0
PARAMETER_CONTROLLERS = frozenset((6, 38, 96, 97, 98, 99, 100, 101))
"""Data entry and (N)RPN numbers: what they set depends on their order, so none may be left out."""
NEUTRAL = {7: 100, 8: 64, 10: 64, 11: 127, 64: 0, 65: 0, 66: 0, 67: 0, 1: 0}
"""Values of controllers before a file sets them; others have none."""
SAME_PLACE_QUARTERS = 1e-5


class DocumentProcessor(NoteSource):
    """Plays ``document`` at the host's tempo; its own tempos are ``tempos``.

    ``length_quarters``  where the last note or message is over. ``bars``: where bars begin, and the end, in quarters.
    """

    def __init__(self, document: MidiDocument) -> None:
        score = document.score
        per_quarter = score.ticks_per_quarter
        timed = _wire_events(document)
        self.quarters = np.array([tick / per_quarter for tick, _ in timed])
        self.messages = [message for _, message in timed]
        self._silence = Stretch(-FOREVER, FOREVER)
        last = float(self.quarters[-1]) if len(timed) else 0.0
        self.length_quarters = max(score.end_tick / per_quarter, last)
        self.tempos = [(t.tick / per_quarter, t.qpm) for t in score.tempos]
        self.bars = [tick / per_quarter for tick in score.bar_ticks()]

    def prepare(self, sample_rate: float, block_size: int) -> None:
        """Begin anew at this sample rate."""
        self._head = _DocumentPlayhead(self, sample_rate)

    def process(self, transport: Transport, block: Block) -> list[MidiEvent]:
        """The events of a block; see ``Processor.process``."""
        self._head.out = []
        self._head.play_block(transport, block)
        return self._head.out

    def stretch_at(
        self, transport: Transport, cursor: float, grain: float, sample: SampleOf
    ) -> tuple[Stretch, float]:
        """Notes are among the messages, not in stretches."""
        return self._silence, FOREVER

    def state_before(self, stop: int, reset: bool) -> list[MidiBytes]:
        """What brings an instrument to the state it has before message ``stop``, notes aside. ``reset``: it may have
        been elsewhere, so controllers that the file sets later go back to their neutral values."""
        latest: dict[MidiBytes, int] = {}
        in_order: list[int] = []
        for index, message in enumerate(self.messages[:stop]):
            kind = message[0] & 0xF0
            if kind in (NOTE_ON, NOTE_OFF):
                continue
            is_controller = kind == CONTROL_CHANGE
            if message[0] == SYSTEM_EXCLUSIVE or (is_controller and message[1] in PARAMETER_CONTROLLERS):
                in_order.append(index)
            else:
                latest[message[: 2 if is_controller else 1]] = index
        neutral: dict[MidiBytes, MidiBytes] = {}
        for message in self.messages[stop:] if reset else ():
            kind = message[0] & 0xF0
            if kind == CONTROL_CHANGE and message[1] in NEUTRAL:
                neutral[message[:2]] = (*message[:2], NEUTRAL[message[1]])
            elif kind == PITCH_BEND:
                neutral[message[:1]] = (message[0], 0, 64)
        before = [m for key, m in neutral.items() if key not in latest]
        return before + [self.messages[i] for i in sorted([*in_order, *latest.values()])]


def _wire_events(document: MidiDocument) -> list[tuple[int, MidiBytes]]:
    """(tick, message as it goes over a wire) of all tracks, in the file's order; notes without an end get one."""
    timed: list[tuple[int, int, Event]] = []
    for events in document.events.tracks:
        timed += [(event[0], 1, event) for event in events if event[1][0] != 0xFF]
    for own in document.notes:
        unended = own.off_index < 0
        for onset, duration, pitch, _ in own.notes[unended].tolist():
            end = onset + duration
            timed.append((end, 0, (end, bytes((NOTE_OFF | own.channel, pitch, 0)))))
    timed.sort(key=lambda row: row[:2])
    wire = []
    for tick, _, (_, message) in timed:
        if message[0] < SYSTEM_EXCLUSIVE:
            wire.append((tick, tuple(message)))
        elif (
            message[0] == SYSTEM_EXCLUSIVE and message[-1] == 0xF7
        ):  # packets of one that is sent in parts stay out
            data = message[1:]
            while data[0] & 0x80:
                data = data[1:]
            wire.append((tick, (SYSTEM_EXCLUSIVE, *data[1:])))
    return wire


class _DocumentPlayhead(Playhead):
    """Sends the messages of a document where a plain playhead sends the notes of stretches."""

    def __init__(self, source: DocumentProcessor, sample_rate: float) -> None:
        super().__init__(source, sample_rate)
        self._document = source
        self._reached: float | None = None
        """Up to where messages were sent, in quarters."""

    def _emit(self, stretch: Stretch, after: float, until: float, sample: SampleOf) -> None:
        document = self._document
        first, stop = np.searchsorted(document.quarters, (after, until), side="right").tolist()
        if self._reached is None or abs(after - self._reached) > SAME_PLACE_QUARTERS:
            state = document.state_before(first, reset=self._reached is not None)
            self.out += [MidiEvent(sample(after), message) for message in state]
        for index in range(first, stop):
            message, offset = document.messages[index], sample(float(document.quarters[index]))
            key = (message[0] & 0x0F, message[1])
            kind = message[0] & 0xF0
            if kind == NOTE_ON and message[2]:
                if self.sounding.stop(key):
                    self.out.append(MidiEvent(offset, note_off(key)))
                self.sounding.start(key, math.inf)
            elif kind in (NOTE_ON, NOTE_OFF) and not self.sounding.stop(key):
                continue  # it began before the place where playing began
            self.out.append(MidiEvent(offset, message))
        self._reached = until


__all__ = ["DocumentProcessor"]
