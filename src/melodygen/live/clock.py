"""Clocks: where the music stands at a moment, by our own tempo or by a MIDI clock that is followed.

Times are seconds of ``time.perf_counter``; positions are quarters from the start of the song. ``epoch``
counts starts, stops and jumps: while it stays the same, the position moves steadily.

MIDI clock (MIDI 1.0, System Real Time) has 24 ticks a quarter. Start, Continue and Song Position Pointer only
arm; the tick that follows *is* the position. The follower counts ticks, so it never drifts, and smooths their
times with an alpha-beta filter whose gains begin as a least-squares fit and then settle (Kalata 1984).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

from melodygen.live.transport import MidiBytes

TICKS_PER_QUARTER = 24
TICKS_PER_SIXTEENTH = 6
TICK, START, CONTINUE, STOP, SONG_POSITION = 0xF8, 0xFA, 0xFB, 0xFC, 0xF2
ALPHA, BETA = 0.25, 0.04
RELOCK_TICKS = 0.6
"""A tick this far off means that the tempo was stepped: the filter begins anew."""
LOST_SECONDS = 0.5
"""The clock counts as lost when no tick comes for this long."""
SLOWEST_QPM, FASTEST_QPM = 20.0, 400.0


class Clock(Protocol):
    """A clock that the session's thread alone reads."""

    epoch: int
    epoch_time: float
    """Time at which the epoch began."""
    is_running: bool

    @property
    def qpm(self) -> float:
        """Tempo now."""
        ...

    def position(self, now: float) -> float:
        """Return the position in quarters at the time ``now``."""
        ...

    def watch(self, now: float) -> list[str]:
        """Check the state and return messages for the user. Called often."""
        ...


class InternalClock:
    """A clock with our own tempo.

    Args:
        qpm: constant tempo, if there is no tempo map.
        tempos: tempo map of (quarters, qpm); the first entry lies at or before 0.
        factor: multiplies the tempos of the map.
    """

    def __init__(
        self, qpm: float = 120.0, tempos: Sequence[tuple[float, float]] = (), factor: float = 1.0
    ) -> None:
        self.epoch = 0
        self.epoch_time = 0.0
        self.is_running = False
        self._time = 0.0
        self._position = 0.0
        self._set_tempos(tempos or [(0.0, qpm)], factor)

    def _set_tempos(self, tempos: Sequence[tuple[float, float]], factor: float = 1.0) -> None:
        self._quarters = [q for q, _ in tempos]
        self._qpms = [qpm * factor for _, qpm in tempos]
        self._seconds = [0.0]
        for i, (q, _) in enumerate(tempos[1:]):
            self._seconds.append(self._seconds[-1] + (q - self._quarters[i]) * 60.0 / self._qpms[i])

    @property
    def qpm(self) -> float:
        """Tempo at the current position."""
        return self._qpms[max(0, bisect_right(self._quarters, self._position) - 1)]

    def start(self, at: float, position: float | None = None) -> None:
        """Run from the time ``at`` on, from ``position`` or from where the clock stood."""
        self.is_running = True
        self._turn(at, self._position if position is None else position)

    def stop(self, now: float) -> None:
        """Stop where the clock stands at ``now``."""
        position = self.position(now)
        self.is_running = False
        self._turn(now, position)

    def seek(self, now: float, position: float) -> None:
        """Move to ``position`` at ``now``."""
        self._turn(now, position)

    def set_qpm(self, now: float, qpm: float) -> None:
        """Use one constant tempo from ``now`` on."""
        self._position, self._time = self.position(now), now
        self._set_tempos([(0.0, qpm)])

    def shift(self, now: float, quarters: float) -> None:
        """Move the position by ``quarters`` without a new epoch, for a loop."""
        self._position, self._time = self.position(now) + quarters, now

    def skip(self, seconds: float) -> None:
        """Leave out ``seconds``, because the machine slept: the music goes on where it was."""
        self._time += seconds

    def position(self, now: float) -> float:
        """Return the position in quarters at the time ``now``."""
        if not self.is_running:
            return self._position
        seconds = self._seconds_at(self._position) + now - self._time
        i = max(0, bisect_right(self._seconds, seconds) - 1)
        return self._quarters[i] + (seconds - self._seconds[i]) * self._qpms[i] / 60.0

    def watch(self, now: float) -> list[str]:
        """Return no messages; this clock cannot fail."""
        return []

    def _seconds_at(self, quarters: float) -> float:
        i = max(0, bisect_right(self._quarters, quarters) - 1)
        return self._seconds[i] + (quarters - self._quarters[i]) * 60.0 / self._qpms[i]

    def _turn(self, at: float, position: float) -> None:
        self._time = self.epoch_time = at
        self._position = position
        self.epoch += 1


class ClockFollower:
    """Follows a MIDI clock.

    When ticks are lost it holds the tempo, reports that, and joins again when they return.

    Args:
        qpm: tempo assumed before the first ticks.
    """

    def __init__(self, qpm: float = 120.0) -> None:
        self.epoch = 0
        self.epoch_time = 0.0
        self.is_running = False
        self.is_lost = False
        self._rate = qpm * TICKS_PER_QUARTER / 60.0
        """Ticks a second."""
        self._time = 0.0
        """When the filtered count ``_count`` was true."""
        self._count = 0.0
        self._ticks = 0
        """The last tick's number."""
        self._seen = 0
        """Ticks since the filter began."""
        self._last: float | None = None
        self._armed = False
        self._song_ticks = 0
        """Where Start, Continue or Song Position Pointer put the next tick."""
        self._free_ticks = 0
        self._join_at: int | None = None
        """The tick that begins a song nobody started."""
        self._notices: list[str] = []

    @property
    def qpm(self) -> float:
        """Tempo of the filter."""
        return min(max(self._rate * 60.0 / TICKS_PER_QUARTER, SLOWEST_QPM), FASTEST_QPM)

    def join(self, now: float, bar_ticks: int = 0) -> None:
        """Run although no Start came, because the clock runs already.

        The tick nearest to ``now`` counts as a bar line, because nothing else says where one is. The music
        begins on the next bar line, ``bar_ticks`` later.
        """
        if self.is_running:
            return
        self._song_ticks = 0
        if bar_ticks and self._seen >= 2 and not self.is_lost:
            self._join_at = round(self._predict(now)) + bar_ticks
            self._notices.append("joining the MIDI clock a bar from now")
        else:
            self._armed = True

    def receive(self, message: MidiBytes, now: float) -> None:
        """Take any MIDI message; messages that are no clock are ignored."""
        status = message[0]
        if status == TICK:
            self._tick(now)
        elif status == START:
            self._song_ticks, self._armed, self._join_at = 0, True, None
        elif status == CONTINUE:
            self._armed = not self.is_running
        elif status == STOP:
            if self.is_running:
                self._song_ticks = self._ticks + 1
                self.is_running = False
                self.epoch, self.epoch_time = self.epoch + 1, now
            self._armed, self._join_at = False, None
        elif status == SONG_POSITION:
            self._song_ticks = (message[1] | message[2] << 7) * TICKS_PER_SIXTEENTH
            self._armed = self._armed or self.is_running

    def position(self, now: float) -> float:
        """Return the position in quarters at the time ``now``."""
        if not self.is_running:
            return self._song_ticks / TICKS_PER_QUARTER
        count = self._predict(now)
        if self._seen < 2:  # no tempo yet: wait for the next tick rather than run ahead of it
            count = min(count, self._ticks + 1.0)
        return count / TICKS_PER_QUARTER

    def watch(self, now: float) -> list[str]:
        """Notice a lost clock and return messages for the user."""
        if self._last is not None and not self.is_lost and now - self._last > LOST_SECONDS:
            self.is_lost, self._join_at = True, None
            self._free_ticks = 0
            if self.is_running:
                self._notices.append(f"the MIDI clock is lost: holding {self.qpm:.1f} qpm until it is back")
        said, self._notices = self._notices, []
        return said

    def _predict(self, now: float) -> float:
        return self._count + (now - self._time) * self._rate

    def _tick(self, now: float) -> None:
        gap = None if self._last is None else now - self._last
        self._last = now
        if self._join_at is not None and self._ticks + 1 >= self._join_at:
            self._armed = True
        if self._armed:  # this tick is the position that Start, Continue or the pointer announced
            self._armed, self.is_running, self._join_at = False, True, None
            self.epoch, self.epoch_time = self.epoch + 1, now
            if self.is_lost or gap is None or gap > LOST_SECONDS:
                self._seen = 0
            self.is_lost = False
            self._ticks = self._song_ticks
            self._count, self._time = float(self._ticks), now
            self._seen += 1
            return
        if self.is_lost:
            self.is_lost = False
            self._ticks += 1
            if self.is_running:
                self._ticks = round(self._predict(now))
                self._notices.append("the MIDI clock is back")
            self._count, self._time, self._seen = float(self._ticks), now, 1
            return
        if not self.is_running:
            self._free_ticks += 1
            if self._free_ticks == 2 * TICKS_PER_QUARTER:
                self._notices.append(
                    f"a MIDI clock runs at {self.qpm:.1f} qpm: waiting for Start or Continue "
                    "(or tap the space bar on the one: it joins on the next)"
                )
        self._ticks += 1
        if self._seen == 0:
            self._count, self._time, self._seen = float(self._ticks), now, 1
            return
        self._filter(now)

    def _filter(self, now: float) -> None:
        passed = now - self._time
        predicted = self._predict(now)
        error = self._ticks - predicted
        if self._seen == 1 and passed > 0:
            self._rate = (self._ticks - self._count) / passed
            self._count, self._time, self._seen = float(self._ticks), now, 2
            return
        if abs(error) > RELOCK_TICKS:
            self._seen = 2
        k = self._seen
        # least squares over the ticks seen so far, until the settled gains are reached
        alpha = max(ALPHA, 2.0 * (2 * k + 1) / ((k + 1) * (k + 2)))
        beta = max(BETA, 6.0 / ((k + 1) * (k + 2)))
        self._count = predicted + min(alpha, 1.0) * error
        if passed > 1e-4:
            self._rate = max(1.0, self._rate + min(beta, 1.0) * error / passed)
        self._time = now
        self._seen += 1
