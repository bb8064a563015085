"""Sends messages at their time, and answers for every note that sounds.

Times are absolute seconds of an injected clock (``time.perf_counter``), so nothing drifts and a step of the wall clock
is not heard. The thread sleeps until shortly before a message and spins the rest. A note-on that is late by more than
``late_seconds`` is dropped: music that missed its moment is silence, not a burst. Each note has an end of its own
even if nobody sends its note-off.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from melodygen.live.ports import Output
from melodygen.live.sounding import SoundingNotes, note_off, panic, silence
from melodygen.live.transport import NOTE_OFF, NOTE_ON, MidiBytes

SPIN_SECONDS = 0.0004
LATE_SECONDS = 0.03
MAX_NOTE_SECONDS = 30.0
ECHO_SECONDS = 0.25
BURST, BURST_SECONDS = 16, 0.003
LATENESS_BIN = 1e-4
NUM_BINS = 1_000


@dataclass(frozen=True)
class Punctuality:
    """How late note-ons left, in seconds: median, 99th percentile and worst, with the counts."""

    num_sent: int
    num_dropped: int
    median: float
    p99: float
    worst: float


class Player:
    """Owned by one thread; only :meth:`wake` may be called from others."""

    def __init__(
        self,
        output: Output,
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
        """Told of each channel message that went out, and when."""
        self._due: list[tuple[float, int, MidiBytes]] = []
        self._number = 0
        self._sounding = SoundingNotes()
        self._channels: set[int] = set()
        self._recent: deque[tuple[float, MidiBytes]] = deque(maxlen=256)
        self._wakeup = threading.Event()
        self._wait = wait or self._wakeup.wait
        self._pause = wait or time.sleep
        self._bins = [0] * NUM_BINS
        self._dropped = 0
        self._worst = 0.0

    @property
    def num_sounding(self) -> int:
        return len(self._sounding)

    def schedule(self, time_seconds: float, message: MidiBytes) -> None:
        """Messages of one time go out in the order they came."""
        self._number += 1
        heapq.heappush(self._due, (time_seconds, self._number, message))

    def run_until(self, deadline: float) -> None:
        """Send what is due until ``deadline``, or until woken."""
        while True:
            now = self._now()
            while self._due and self._due[0][0] <= now:
                due, _, message = heapq.heappop(self._due)
                self._send(due, message, now)
                now = self._now()
            until = min(deadline, self._due[0][0]) if self._due else deadline
            if now >= deadline or self._wakeup.is_set():
                self._wakeup.clear()
                break
            if until - now > SPIN_SECONDS:
                self._wait(until - now - SPIN_SECONDS)
            else:
                while self._now() < until:
                    pass
        for _, key in self._sounding.ended_by(self._now()):  # nobody ended it
            self._output.send(note_off(key))

    def wake(self) -> None:
        """Something has happened: :meth:`run_until` returns. From any thread."""
        self._wakeup.set()

    def send_now(self, message: MidiBytes) -> None:
        now = self._now()
        self._send(now, message, now)

    def cut(self) -> None:
        """Forget what was to come and end what sounds: the transport stopped or jumped."""
        self._due.clear()
        self.release()

    def release(self) -> None:
        """Note-offs for all that sounds."""
        for message in self._sounding.release():
            self._output.send(message)
            self._told(message)

    def silence(self) -> None:
        """End everything in order: note-offs, pedals up, all notes off on the channels that were used."""
        self.cut()
        self._send_paced(silence(self._channels))

    def panic(self) -> None:
        """Everything that may end a sound, on all channels. Takes about half a second."""
        self.cut()
        self._send_paced(panic())

    def _send_paced(self, messages: list[MidiBytes]) -> None:
        """JACK drops what does not fit into a period: 40 messages in one of 128 samples."""
        for index, message in enumerate(messages, 1):
            self._output.send(message)
            if index % BURST == 0:
                self._pause(BURST_SECONDS)

    def is_echo(self, message: MidiBytes, now: float) -> bool:
        """Whether an incoming message is one of our own that came back; told once for each sent."""
        for index, (sent, ours) in enumerate(self._recent):
            if ours == message and now - sent < ECHO_SECONDS:
                del self._recent[index]
                return True
        return False

    def punctuality(self) -> Punctuality:
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
            if self._sounding.stop(key):
                self._output.send(note_off(key))
            # noted before it is sent: whatever happens next, its note-off will be sent
            self._sounding.start(key, now + self._max_note)
            self._channels.add(key[0])
        elif status in (NOTE_OFF, NOTE_ON):
            if not self._sounding.stop((message[0] & 0x0F, message[1])):
                return
            message = (NOTE_OFF | message[0] & 0x0F, message[1], message[2] if status == NOTE_OFF else 0)
        self._output.send(message)
        if status == NOTE_ON:
            late = max(0.0, self._now() - due)
            self._worst = max(self._worst, late)
            self._bins[min(int(late / LATENESS_BIN), NUM_BINS - 1)] += 1
        self._told(message)

    def _told(self, message: MidiBytes) -> None:
        if message[0] < 0xF0:
            now = self._now()
            self._recent.append((now, message))
            self.on_sent(now, message)
