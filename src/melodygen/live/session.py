"""A small host: it drives a processor in time with a clock and sends what the processor makes.

The session's thread cuts time into short blocks a little ahead of now, asks the processor for the events of
each block, and lets the player send them. Everything that comes in (MIDI, keys, signals) goes through a queue
to this one thread. However the session ends, it ends every sounding note.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from melodygen.live.clock import (
    CONTINUE,
    SONG_POSITION,
    START,
    STOP,
    TICK,
    TICKS_PER_QUARTER,
    TICKS_PER_SIXTEENTH,
    Clock,
    ClockFollower,
    InternalClock,
)
from melodygen.live.player import Player
from melodygen.live.priority import punctual
from melodygen.live.recorder import Recorder
from melodygen.live.transport import (
    CONTROL_CHANGE,
    MAX_QPM,
    MIN_QPM,
    NOTE_OFF,
    NOTE_ON,
    Block,
    MidiBytes,
    MidiEvent,
    Processor,
    Transport,
)
from melodygen.music.units import bar_quarters

SAMPLE_RATE = 48_000
"""Resolution of time inside a block, in Hz."""
BLOCK_SAMPLES = 192
BLOCK_SECONDS = BLOCK_SAMPLES / SAMPLE_RATE
AHEAD_SECONDS = 0.008
"""How far ahead blocks are made, at least: the thread may be held up this long without being late."""
START_LEAD_SECONDS = 0.012
"""Time from the start of our own clock to the first block."""
START_GAP_SECONDS = 0.002
"""Time from Start to the first tick, because receivers need a moment (MIDI 1.0 says 1 ms)."""
ROUNDING = 1e-9
JOIN_SECONDS = 0.06
"""So far behind a beat of a clock that leads us, what began on the beat is still played: a DAW that starts on a bar
line is found behind it by its output latency and by the time until we see it run."""
SLEPT_SECONDS = 1.0
"""After a longer gap the machine has slept: the music goes on where it was."""
IDLE_SECONDS = 0.05
CLICK_CHANNEL, CLICK_PITCHES, CLICK_SECONDS = 9, (76, 77), 0.05
"""Count-in: General MIDI wood blocks, the high one on the bar."""


@dataclass(frozen=True)
class SessionOptions:
    """Options of a session.

    Attributes:
        meter: numerator and denominator.
        latency_seconds: music goes out this much earlier, for an instrument that answers late.
        clock_out: send MIDI clock, Start, Stop, Continue and Song Position Pointer.
        count_in_bars: bars of clicks before the music, with the internal clock only.
        loop: (start, end) in quarters, or None.
        thru: pass incoming notes and controllers on.
        until: position in quarters at which the session ends.
    """

    meter: tuple[int, int] = (4, 4)
    latency_seconds: float = 0.0
    clock_out: bool = False
    count_in_bars: int = 0
    loop: tuple[float, float] | None = None
    thru: bool = False
    until: float = math.inf


class Session:
    """Plays a processor in time with a clock through a player.

    Only the methods of the section "from any thread" may be called from other threads.

    Args:
        processor: makes the events.
        player: sends them.
        clock: says where the music stands.
        options: how to play.
        recorder: keeps what is sent, or None.
        now: the time in seconds.
    """

    def __init__(
        self,
        processor: Processor,
        player: Player,
        clock: Clock,
        options: SessionOptions | None = None,
        *,
        recorder: Recorder | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        options = options or SessionOptions()
        self._processor, self._player, self._clock = processor, player, clock
        self._latency, self._clock_out = options.latency_seconds, options.clock_out
        self._count_in, self._thru, self._until = options.count_in_bars, options.thru, options.until
        self.meter, self.loop = options.meter, options.loop
        self._recorder, self._now = recorder, now
        self.on_control: Callable[[int, int, int], None] = lambda channel, controller, value: None
        """Gets incoming controllers: channel, number, value."""
        self._incoming: SimpleQueue[tuple[MidiBytes, float]] = SimpleQueue()
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stopping = False
        self._start_condition: Callable[[], bool] | None = None
        self._epoch = -1
        self._next = 0.0
        """When the next block begins."""
        self._position = 0.0
        self._played = 0.0
        """Quarters played before the next block, jumps not counted."""
        self._bar_offset = 0.0
        """Quarters of rest in the recording that put its bar lines where the clock has them."""
        self._qpm = clock.qpm
        self._last_tick: int | None = None
        """The last tick sent, None when Start is due."""
        self._last_click: int | None = None
        """The last beat of the count-in that was clicked."""
        self._received: list[MidiEvent] = []
        self.notices: list[str] = []
        self.on_notice: Callable[[str], None] = self.notices.append
        player.on_sent = self._sent
        processor.prepare(SAMPLE_RATE, BLOCK_SAMPLES)

    # from any thread

    def receive(self, message: MidiBytes, when: float) -> None:
        """Queue an incoming MIDI message; ``when`` is its arrival in seconds of the session's clock
        function.
        """
        self._incoming.put((message, when))
        self._player.wake()

    def call(self, command: Callable[[], None]) -> None:
        """Run a function in the session's thread, soon."""
        self._commands.put(command)
        self._player.wake()

    def stop(self) -> None:
        """End the session soon and without sounding notes. Safe in a signal handler."""
        self._stopping = True

    @property
    def position_quarters(self) -> float:
        """Position of the next block, in quarters from the start of the song."""
        return self._position

    @property
    def played_quarters(self) -> float:
        """Quarters played before the next block; jumps and loops do not count."""
        return self._played

    @property
    def recorded_quarters(self) -> float:
        """Where the next block stands in the recording."""
        return self._played + self._bar_offset

    @property
    def is_running(self) -> bool:
        """Whether the clock runs."""
        return self._clock.is_running

    @property
    def qpm(self) -> float:
        """Tempo of the last block."""
        return self._qpm

    def toggle(self) -> None:
        """Start or stop the internal clock; join a MIDI clock that runs without Start, a bar from now."""
        self.call(self._toggle)

    def set_qpm(self, qpm: float) -> None:
        """Set the tempo of the internal clock from the next block on."""
        if isinstance(self._clock, InternalClock):
            clock = self._clock
            self.call(lambda: clock.set_qpm(self._next, min(max(qpm, MIN_QPM), MAX_QPM)))

    def seek(self, position: float) -> None:
        """Move the internal clock to ``position`` quarters."""
        if isinstance(self._clock, InternalClock):
            clock = self._clock
            self.call(lambda: clock.seek(self._now(), position))

    def start_when(self, is_ready: Callable[[], bool]) -> None:
        """Start the internal clock as soon as ``is_ready()`` is true."""
        self._start_condition = is_ready

    def run(self, each: Callable[[], object] = lambda: None, priority: int = 0) -> None:
        """Play until stopped or at the end, and end every sounding note.

        Args:
            each: called about twenty times a second in this thread; it must be quick.
            priority: bounded real-time priority to take where the system grants it, 1 to 99; 0 for none.
        """
        try:
            with punctual(priority):
                self._next = self._now()
                again = 0.0
                while not self._stopping:
                    self._step()
                    if self._next >= again:
                        again = self._next + IDLE_SECONDS
                        each()
        finally:
            self._player.cut()
            if self._clock_out and self._last_tick is not None:
                self._player.send_now((STOP,))
            self._player.silence()

    # the thread

    def _toggle(self) -> None:
        clock = self._clock
        if isinstance(clock, ClockFollower):
            bar = bar_quarters(*self.meter)
            clock.join(self._now(), round(bar * TICKS_PER_QUARTER))
        elif isinstance(clock, InternalClock):
            self._start_condition = None
            if clock.is_running:
                clock.stop(self._now())
            else:
                self.start()

    def start(self) -> None:
        """Start the internal clock, after the count-in. To be called in the session's thread or before it
        runs.
        """
        assert isinstance(self._clock, InternalClock)
        bar = bar_quarters(*self.meter)
        count_in = self._count_in * bar if self._clock.position(0.0) <= 0 else 0.0
        lead = START_LEAD_SECONDS + self._player.lead_seconds
        self._clock.start(self._now() + lead, -count_in if count_in else None)

    def _step(self) -> None:
        while not self._commands.empty():
            self._commands.get_nowait()()
        self._read_incoming()
        if self._start_condition is not None and self._start_condition():
            self._start_condition = None
            self.start()
        now = self._now()
        for notice in self._clock.watch(now):
            self.on_notice(notice)
        if now - self._next > SLEPT_SECONDS:
            if isinstance(self._clock, InternalClock):
                self._clock.skip(now - self._next)
            self._player.cut()
            self._next = now
        if self._clock.epoch != self._epoch:
            self._restart(now)
        ahead = max(AHEAD_SECONDS, self._player.lead_seconds)
        while self._next < now + ahead and not self._stopping:
            self._block()
        if self._position >= self._until:
            self._player.run_until(self._next)
            self._stopping = True
            return
        self._player.run_until(self._next - ahead)

    def _restart(self, now: float) -> None:
        """Begin a new epoch: the clock started, stopped or jumped."""
        clock = self._clock
        self._epoch = clock.epoch
        self._player.cut()
        if self._clock_out and self._last_tick is not None:
            self._player.send_now((STOP,))
        self._last_tick = self._last_click = None
        if clock.is_running:
            # exactly where the epoch began, so that a note on its first tick is played
            self._next = clock.epoch_time + max(0.0, -self._latency)
            self._position = clock.position(clock.epoch_time)
            if not isinstance(clock, InternalClock):
                self._join(clock)
        else:
            self._next, self._position = now, clock.position(now)

    def _join(self, clock: Clock) -> None:
        """Begin on the beat that has just gone by, if one has; the recording keeps the bar lines of the clock."""
        beat = 4.0 / self.meter[1]
        behind = self._position % beat
        if self._position > 0 and behind * 60.0 / clock.qpm <= JOIN_SECONDS:
            self._position -= behind
        bar = bar_quarters(*self.meter)
        self._bar_offset += (self._position - self.recorded_quarters) % bar

    def _block(self) -> None:
        begin, end = self._next, self._next + BLOCK_SECONDS
        received, self._received = tuple(self._received), []
        transport = Transport(self._position, self._qpm, False, self.loop, self.meter)
        if not self._clock.is_running:
            self._emit(begin, self._processor.process(transport, Block(BLOCK_SAMPLES, received)))
            self._next = end
            return
        least, most = (q / 60.0 * BLOCK_SECONDS for q in (MIN_QPM, MAX_QPM))
        step = self._clock.position(end + self._latency) - self._position
        # a clock that is corrected may stand still or run back for a moment; the music does neither
        step = min(max(step, least), most)
        self._qpm = min(max(step / BLOCK_SECONDS * 60.0, MIN_QPM), MAX_QPM)
        first = self._position
        playing = Transport(first, self._qpm, True, self.loop, self.meter)
        if first >= 0:
            events = self._processor.process(playing, Block(BLOCK_SAMPLES, received))
        else:
            events = self._count_in_block(first, step, begin, playing, received)
        self._emit(begin, events, begin + (self._until - first) / step * BLOCK_SECONDS - 1e-6)
        if self._clock_out:
            self._send_ticks(first, step, begin)
        if self._recorder is not None:
            self._recorder.meter = self.meter
            self._recorder.tempo(self.recorded_quarters, self._clock.qpm)
        self._advance(step)
        self._played += step if first >= 0 else 0.0
        self._next = end

    def _advance(self, step: float) -> None:
        before = self._position
        self._position += step
        loop = self.loop
        if loop is not None and before < loop[1] <= self._position + ROUNDING and loop[0] < loop[1]:
            self._position = max(loop[0], self._position + loop[0] - loop[1])
            if isinstance(self._clock, InternalClock):
                self._clock.shift(self._next, loop[0] - loop[1])

    def _count_in_block(
        self, first: float, step: float, begin: float, playing: Transport, received: tuple[MidiEvent, ...]
    ) -> list[MidiEvent]:
        """Return the events of a block of the count-in; the music begins inside it where the position reaches
        0.
        """
        beat = 4.0 / self.meter[1]
        number = math.ceil(first / beat - 1e-9)
        if number * beat < min(0.0, first + step) and number != self._last_click:
            self._last_click = number
            at = begin + (number * beat - first) / step * BLOCK_SECONDS
            pitch = CLICK_PITCHES[number % self.meter[0] != 0]
            self._player.schedule(at, (NOTE_ON | CLICK_CHANNEL, pitch, 100))
            self._player.schedule(at + CLICK_SECONDS, (NOTE_OFF | CLICK_CHANNEL, pitch, 0))
        waiting = Transport(0.0, self._qpm, False, self.loop, self.meter)
        changes: tuple[tuple[int, Transport], ...] = ()
        if first + step > 0:
            offset = min(math.ceil(-first / step * BLOCK_SAMPLES), BLOCK_SAMPLES)
            into = max(0.0, first + step * offset / BLOCK_SAMPLES)
            changes = ((offset, Transport(into, playing.qpm, True, self.loop, self.meter)),)
        return self._processor.process(waiting, Block(BLOCK_SAMPLES, received, changes))

    def _send_ticks(self, first: float, step: float, begin: float) -> None:
        number = max(0, math.ceil(first * TICKS_PER_QUARTER - 1e-6))
        while number < (first + step) * TICKS_PER_QUARTER - 1e-6:
            at = begin + max(0.0, number / TICKS_PER_QUARTER - first) / step * BLOCK_SECONDS
            if self._last_tick is None:
                self._send_start(number, at)
            if self._last_tick is None or number > self._last_tick:
                self._player.schedule(at, (TICK,))
                self._last_tick = number
            number += 1

    def _send_start(self, number: int, at: float) -> None:
        """Send Start, or Song Position Pointer and Continue, a moment before the first tick."""
        if number == 0:
            self._player.schedule(at - START_GAP_SECONDS, (START,))
            return
        sixteenths = number // TICKS_PER_SIXTEENTH
        pointer = (SONG_POSITION, sixteenths & 0x7F, sixteenths >> 7 & 0x7F)
        self._player.schedule(at - 2 * START_GAP_SECONDS, pointer)
        self._player.schedule(at - START_GAP_SECONDS, (CONTINUE,))

    def _emit(self, begin: float, events: list[MidiEvent], until: float = math.inf) -> None:
        for offset, message in events:
            if message[0] & 0xF0 == NOTE_ON and begin + offset / SAMPLE_RATE >= until:
                continue
            self._player.schedule(begin + offset / SAMPLE_RATE, message)

    def _read_incoming(self) -> None:
        while True:
            try:
                message, when = self._incoming.get_nowait()
            except Empty:
                return
            if message[0] >= 0xF0:
                if isinstance(self._clock, ClockFollower):
                    self._clock.receive(message, when)
                continue
            if self._player.is_echo(message, when):
                continue
            status = message[0] & 0xF0
            if status == CONTROL_CHANGE:
                self.on_control(message[0] & 0x0F, message[1], message[2])
            if status in (NOTE_ON, NOTE_OFF):
                self._received.append(MidiEvent(0, message))
            if self._thru:
                self._player.send_now(message)

    def _sent(self, when: float, message: MidiBytes) -> None:
        """Give a sent message to the recorder, at the quarter at which it was played."""
        if self._recorder is not None and self._clock.is_running:
            self._recorder.add(
                max(0.0, self.recorded_quarters - (self._next - when) * self._qpm / 60.0), message
            )
