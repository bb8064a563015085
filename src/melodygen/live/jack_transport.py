"""A clock that follows JACK's transport: start, stop, jumps, and the tempo where a timebase master gives it.

JACK-Client, an optional package, is imported late; it needs the system's libjack. JACK says where the
transport stood at the start of its current period, and when that was in microseconds of a clock that may
differ from ours (on Linux CLOCK_MONOTONIC_RAW, which network time does not steer: it departs from
``time.perf_counter`` by seconds a day). JACK is therefore also asked where the transport is now. Without a
timebase master the tempo is our own, and quarter 0 is frame 0.
"""

from __future__ import annotations

import threading
from typing import Any

from melodygen.errors import PortError
from melodygen.live.transport import MAX_QPM, MIN_QPM

JUMP_SECONDS = 0.02
"""The transport was moved if it is off its expected position by more than this."""
CLOCK_DRIFT = 5e-4
"""Seconds per second by which JACK's clock and ours may drift apart; time steering goes no further."""
RETRY_SECONDS = 3.0
"""Time between two attempts to reach a JACK server."""
NO_CLIENT = "JACK's transport needs the JACK-Client package and JACK itself: pip install 'melodygen[jack]'"


class JackClock:
    """A ``clock.Clock`` that follows JACK's transport.

    Args:
        qpm: tempo without a timebase master.

    Raises:
        PortError: JACK or its Python package is missing.
    """

    def __init__(self, qpm: float = 120.0) -> None:
        self.epoch = 0
        self.epoch_time = 0.0
        self.is_running = False
        self._own_qpm = self._qpm = qpm
        self._position = 0.0
        self._time = 0.0
        """When the transport was at ``_position``."""
        self._lead = float("-inf")
        """Seconds our clock is ahead of JACK's."""
        self._ended = threading.Event()
        self._retry_at = 0.0
        self._client: Any = None
        self._jack: Any = _load()
        self._open()

    @property
    def qpm(self) -> float:
        """Tempo of the timebase master, or our own."""
        return self._qpm

    def position(self, now: float) -> float:
        """Return the position in quarters at the time ``now``."""
        return self._position + (now - self._time) * self._qpm / 60.0 if self.is_running else self._position

    def watch(self, now: float) -> list[str]:
        """Read JACK's transport, reconnect where the server has gone, and return messages for the user."""
        if self._client is None:
            if now < self._retry_at:
                return []
            try:
                self._open()
            except PortError:
                self._retry_at = now + RETRY_SECONDS
                return []
            return ["JACK is back"]
        if self._ended.is_set():
            self.close()
            self._retry_at = now + RETRY_SECONDS  # our ports must be closed before a new server is spoken to
            self._turn(False, self.position(now), now)
            return ["JACK has ended: waiting for it"]
        state, position = self._client.transport_query()
        if state == self._jack.ROLLING:
            age = (self._client.transport_frame - position["frame"]) / position["frame_rate"]
            self._follow(True, position, self._when(position["usecs"] / 1e6, now - age))
        else:
            self._follow(False, position, now)
        return []

    def close(self) -> None:
        """Leave JACK."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _when(self, theirs: float, ours: float) -> float:
        """Return JACK's time ``theirs`` on our clock.

        ``ours`` is the same moment, or earlier where the thread was held up since ``now``. The largest lead
        ever found is therefore the right one, as far as the clocks may have drifted since.
        """
        lead = ours - theirs
        held = self._lead - CLOCK_DRIFT * max(0.0, ours - self._time)
        self._lead = max(lead, held) if held - lead < 1.0 else lead
        return theirs + self._lead

    def _follow(self, is_rolling: bool, position: dict[str, Any], when: float) -> None:
        if "beats_per_minute" in position:
            bars = (position["bar"] - 1) * position["beats_per_bar"]
            beats = bars + position["beat"] - 1 + position["tick"] / position["ticks_per_beat"]
            quarters = beats * 4.0 / position["beat_type"]
            qpm = min(max(position["beats_per_minute"] * 4.0 / position["beat_type"], MIN_QPM), MAX_QPM)
        else:
            qpm = self._own_qpm
            quarters = position["frame"] / position["frame_rate"] * qpm / 60.0
        off = (quarters - self.position(when)) * 60.0 / self._qpm
        self._qpm = qpm
        if is_rolling != self.is_running or abs(off) > JUMP_SECONDS:
            self._turn(is_rolling, quarters, when)
        else:
            self._position, self._time = quarters, when

    def _turn(self, is_running: bool, position: float, when: float) -> None:
        self.is_running = is_running
        self._position, self._time = position, when
        self.epoch, self.epoch_time = self.epoch + 1, when

    def _open(self) -> None:
        try:
            self._client = self._jack.Client("melodygen transport", no_start_server=True)
        except self._jack.JackError as error:
            raise PortError(
                f"no JACK server: {error}; start one (jackd), or leave out --sync jack"
            ) from error
        self._ended.clear()
        self._lead = float("-inf")
        self._client.set_shutdown_callback(lambda status, reason: self._ended.set())
        self._client.activate()


def _load() -> Any:
    try:
        import jack
    except (ImportError, OSError) as error:  # OSError: the package is there, libjack is not
        raise PortError(f"{NO_CLIENT} [{error}]") from error
    jack.set_error_function(lambda message: None)
    jack.set_info_function(lambda message: None)
    return jack
