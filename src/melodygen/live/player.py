"""The player sends MIDI messages at their time and makes sure that every note ends.

Times are absolute seconds of an injected clock (``time.perf_counter``), so nothing drifts and a step of the
wall clock has no effect. The thread sleeps until shortly before a message and then spins. A note-on that is
late by more than ``late_seconds`` is dropped, because a late burst sounds worse than a gap. Every note ends
after ``max_note_seconds`` even if no note-off comes.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from melodygen.live.ports import MidiOutput
from melodygen.live.sounding import Key, SoundingNotes, note_off, panic, silence
from melodygen.live.transport import NOTE_OFF, NOTE_ON, MidiBytes

SPIN_SECONDS = 0.0004
"""The thread spins for this long before a message, because a sleep may end late."""
LATE_SECONDS = 0.03
MAX_NOTE_SECONDS = 30.0
ECHO_SECONDS = 0.25
"""An incoming message equal to one sent within this time is our own, come back."""
UNHEARD_SECONDS = 2.0
"""A lost port is noticed within a second; notes that began so shortly before may have lost their ends."""
BURST, BURST_SECONDS = 16, 0.003
TIMING = 0xF8
"""Status bytes from this one on are the clock's (System Real Time)."""
LATENESS_BIN = 1e-4
NUM_BINS = 1_000


@dataclass(frozen=True)
class Punctuality:
    """How late note-ons left.

    Attributes:
        num_sent: note-ons that were sent.
        num_dropped: note-ons that were too late and dropped.
        median: median lateness in seconds.
        p99: 99th percentile in seconds.
        worst: largest lateness in seconds.
    """

    num_sent: int
    num_dropped: int
    median: float
    p99: float
    worst: float


class Player:
    """Sends messages in time. One thread owns it; only ``wake`` may be called from others.

    Args:
        output: where messages go.
        now: the time in seconds.
        wait: waits for a number of seconds; None waits until woken.
        late_seconds: a note-on later than this is dropped.
        max_note_seconds: a note ends after this time in any case.
    """

    def __init__(
        self,
        output: MidiOutput,
        *,
        now: Callable[[], float] = time.perf_counter,
        wait: Callable[[float], object] | None = None,
        late_seconds: float = LATE_SECONDS,
        max_note_seconds: float = MAX_NOTE_SECONDS,
    ) -> None:
        self._output = output
        self._now = now
        self._late, self._max_note = late_seconds, max_note_seconds
        self.on_sent: Callable[[float, MidiBytes], None] = lambda when, message: None
        """Told of each channel message that went out, and of the time at which it is heard."""
        self._due: list[tuple[float, int, MidiBytes]] = []
        self._number = 0
        self._sounding = SoundingNotes()
        self._hung: set[Key] = set()
        """Notes that a receiver may still sound, because it was not there to hear their ends."""
        self._channels: set[int] = set()
        self._recent: deque[tuple[float, MidiBytes]] = deque(maxlen=256)
        self._wakeup = threading.Event()
        self._wait = wait or self._wakeup.wait
        self._pause = wait or time.sleep
        self._bins = [0] * NUM_BINS
        self._dropped = 0
        self._worst = 0.0

    @property
    def lead_seconds(self) -> float:
        """How long before its time the output wants a message."""
        return self._output.lead_seconds

    @property
    def num_sounding(self) -> int:
        """Number of notes that sound."""
        return len(self._sounding)

    def schedule(self, time_seconds: float, message: MidiBytes) -> None:
        """Queue a message for ``time_seconds``. Messages of one time go out in the order of the calls."""
        self._number += 1
        heapq.heappush(self._due, (time_seconds, self._number, message))

    def run_until(self, deadline: float) -> None:
        """Send what is due until ``deadline`` (seconds), or until woken.

        An output with a lead gets messages that much earlier, with their time.
        """
        self._output.keep_time()
        lead = self._output.lead_seconds
        while True:
            now = self._now()
            while self._due and self._due[0][0] - lead <= now:
                due, _, message = heapq.heappop(self._due)
                self._send(due, message, now)
                now = self._now()
            until = min(deadline, self._due[0][0] - lead) if self._due else deadline
            if now >= deadline or self._wakeup.is_set():
                self._wakeup.clear()
                break
            spin = 0.0 if lead else SPIN_SECONDS  # with a lead the output keeps the time
            if until - now > spin:
                self._wait(until - now - spin)
            else:  # a sleep may end late, a spin does not
                while self._now() < until:
                    pass
        for _, key in self._sounding.ended_by(self._now()):  # nobody ended it
            self._output.send(note_off(key))

    def wake(self) -> None:
        """Make ``run_until`` return. May be called from any thread."""
        self._wakeup.set()

    def send_now(self, message: MidiBytes) -> None:
        """Send a message at once."""
        now = self._now()
        self._send(now, message, now)

    def cut(self) -> None:
        """Drop all queued messages and end all sounding notes, because the transport stopped or jumped."""
        self._due.clear()
        self._output.recall(is_stop=True)
        self.release()

    def hush(self) -> None:
        """Drop all queued messages but the clock's, whose ticks must not be missing, and end all sounding notes."""
        self._due = [row for row in self._due if row[2][0] >= TIMING]
        heapq.heapify(self._due)
        self._output.recall(is_stop=False)
        self.release()

    def release(self) -> None:
        """Send the note-offs of all sounding notes."""
        for message in self._sounding.release():
            self._output.send(message)
            self._report(message)

    def remember_sounding(self) -> None:
        """Note that a receiver has gone: ``silence`` will end what sounds there or began just before."""
        since = self._now() - UNHEARD_SECONDS
        begun = {(m[0] & 0x0F, m[1]) for when, m in self._recent if m[0] & 0xF0 == NOTE_ON and when > since}
        self._hung |= begun | set(self._sounding)

    def lose(self) -> None:
        """Go on without a receiver: as ``hush``, but what sounds is remembered."""
        self.remember_sounding()
        self.hush()

    def silence(self) -> None:
        """End everything in order: note-offs, pedals up, all notes off on the channels that were used."""
        self.hush()
        hung, self._hung = sorted(self._hung), set()
        self._send_paced([*(note_off(key) for key in hung), *silence(self._channels)])

    def panic(self) -> None:
        """Send everything that may end a sound, on all channels. This takes about half a second."""
        self.hush()
        self._send_paced(panic())

    def _send_paced(self, messages: list[MidiBytes]) -> None:
        """Send messages in bursts: python-rtmidi's JACK port drops what does not fit into a period (40 messages in one
        of 128 samples). An output with a lead keeps them until there is room.
        """
        has_room = self._output.lead_seconds > 0
        for index, message in enumerate(messages, 1):
            self._output.send(message)
            if index % BURST == 0 and not has_room:
                self._pause(BURST_SECONDS)

    def is_echo(self, message: MidiBytes, now: float) -> bool:
        """Return whether an incoming message is one of our own that came back; True once for each message
        sent.
        """
        for index, (sent, ours) in enumerate(self._recent):
            if ours == message and now - sent < ECHO_SECONDS:
                del self._recent[index]
                return True
        return False

    def punctuality(self) -> Punctuality:
        """Return the lateness of the note-ons so far."""
        total = sum(self._bins)
        return Punctuality(
            total, self._dropped, self._quantile(0.5, total), self._quantile(0.99, total), self._worst
        )

    def _quantile(self, share: float, total: int) -> float:
        seen = 0
        for index, count in enumerate(self._bins):
            seen += count
            if total and seen >= share * total:
                return (index + 1) * LATENESS_BIN
        return 0.0

    def _send(self, due: float, message: MidiBytes, now: float) -> None:
        status = message[0] & 0xF0 if message[0] < 0xF0 else message[0]
        if status == NOTE_ON and message[2]:
            if now - due > self._late:
                self._dropped += 1
                return
            key = (message[0] & 0x0F, message[1])
            if self._sounding.stop(key):  # many instruments keep the first of two equal notes for ever
                self._output.send(note_off(key), due)
            # noted before it is sent: whatever happens next, its note-off will be sent
            self._sounding.start(key, max(now, due) + self._max_note)
            self._channels.add(key[0])
        elif status in (NOTE_OFF, NOTE_ON):
            if not self._sounding.stop((message[0] & 0x0F, message[1])):
                return
            message = (NOTE_OFF | message[0] & 0x0F, message[1], message[2] if status == NOTE_OFF else 0)
        self._output.send(message, due)
        if status == NOTE_ON:
            late = max(0.0, self._now() - due)
            self._worst = max(self._worst, late)
            self._bins[min(int(late / LATENESS_BIN), NUM_BINS - 1)] += 1
        self._report(message, due)

    def _report(self, message: MidiBytes, due: float = 0.0) -> None:
        if message[0] < 0xF0:
            sounds = max(self._now(), due)
            self._recent.append((sounds, message))
            self.on_sent(sounds, message)
