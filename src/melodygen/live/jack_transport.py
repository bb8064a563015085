"""A clock that follows JACK's transport: start, stop, jumps, and the tempo where a timebase master gives it.

JACK says at which frame the transport was at the start of its current period, and frames have a time of their own
(``jack_library.FrameClock``). Whether the transport was moved is decided in frames alone: where the server stands still
for a moment, as on a busy machine, both counts stand still. Without a timebase master the tempo is our own, and quarter
0 is frame 0.
"""

from __future__ import annotations

import threading
from typing import Any

from melodygen.errors import PortError
from melodygen.live.jack_library import FrameClock, Reading, open_client, wrapped
from melodygen.live.transport import MAX_QPM, MIN_QPM

JUMP_SECONDS = 0.02
"""The transport was moved if it is off its expected position by more than this."""
RETRY_SECONDS = 3.0
"""Time between two attempts to reach a JACK server."""


class JackClock:
    """A ``clock.Clock`` that follows JACK's transport.

    Args:
        qpm: tempo without a timebase master.
        frames: JACK's time; the one of the output port, where that is JACK's own.

    Raises:
        PortError: JACK or its Python package is missing.
    """

    def __init__(self, qpm: float = 120.0, frames: FrameClock | None = None) -> None:
        self.epoch = 0
        self.epoch_time = 0.0
        self.is_running = False
        self._own_qpm = self._qpm = qpm
        self._position = 0.0
        self._time = 0.0
        """When the transport was at ``_position``."""
        self._frame = 0
        """JACK's frame at that time."""
        self._ended = threading.Event()
        self._retry_at = 0.0
        self._client: Any = None
        self._frames = frames or FrameClock()
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
        self._follow(self._frames.read(self._client))
        return []

    def close(self) -> None:
        """Leave JACK."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _follow(self, reading: Reading) -> None:
        is_rolling, position, frame = reading
        if "beats_per_minute" in position:
            bars = (position["bar"] - 1) * position["beats_per_bar"]
            beats = bars + position["beat"] - 1 + position["tick"] / position["ticks_per_beat"]
            quarters = beats * 4.0 / position["beat_type"]
            qpm = min(max(position["beats_per_minute"] * 4.0 / position["beat_type"], MIN_QPM), MAX_QPM)
        else:
            qpm = self._own_qpm
            quarters = position["frame"] / position["frame_rate"] * qpm / 60.0
        passed = wrapped(frame - self._frame) / position["frame_rate"] if self.is_running else 0.0
        off = (quarters - self._position) * 60.0 / self._qpm - passed
        self._qpm, self._frame = qpm, frame
        when = self._frames.time_of(frame)
        if is_rolling != self.is_running or abs(off) > JUMP_SECONDS:
            self._turn(is_rolling, quarters, when)
        else:
            self._position, self._time = quarters, when

    def _turn(self, is_running: bool, position: float, when: float) -> None:
        self.is_running = is_running
        self._position, self._time = position, when
        self.epoch, self.epoch_time = self.epoch + 1, when

    def _open(self) -> None:
        client = open_client("melodygen transport")
        self._ended.clear()
        client.set_shutdown_callback(lambda status, reason: self._ended.set())
        client.activate()
        self._client = client
