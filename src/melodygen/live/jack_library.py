"""JACK's library: clients, and JACK's own time.

JACK-Client, an optional package, is imported late; it needs the system's libjack. One function on time is missing there
and is called directly.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from melodygen.errors import PortError

FRAME_WRAP = 1 << 32
"""Frames are counted in 32 bits and begin again after a day."""
HELD_SECONDS, READINGS = 2e-5, 8
"""Two clocks are read again if the thread was held up for longer between them."""
EDGE_FRAMES = 0.1
"""A time so shortly before a frame is meant to be on it: JACK tells times in whole microseconds. A session puts its
events on the first sample at or after their time, so a time is not rounded up to the next frame.
"""
WINDOW_SECONDS = 1.0
"""The earliest period within this time says when frames are."""
NO_CLIENT = "JACK needs the JACK-Client package and JACK itself: pip install 'melodygen[jack]'"


def load_jack() -> Any:
    """Return the module ``jack`` (JACK-Client). Raises PortError where it or libjack is missing."""
    try:
        import jack
    except (ImportError, OSError) as error:  # OSError: the package is there, libjack is not
        raise PortError(f"{NO_CLIENT} [{error}]") from error
    jack.set_error_function(lambda message: None)
    jack.set_info_function(lambda message: None)
    return jack


def open_client(name: str) -> Any:
    """Return a client that is not active yet. Raises PortError without a server."""
    jack = load_jack()
    try:
        return jack.Client(name, no_start_server=True)
    except jack.JackError as error:
        raise PortError(
            f"no JACK server runs: {error}; start one (jackd; without a sound card -d dummy)"
        ) from error


def address(pointer: Any) -> int:
    """Return the address that a pointer of JACK-Client holds."""
    return int(load_jack()._ffi.cast("uintptr_t", pointer))


def library() -> ctypes.CDLL:
    """Return libjack, the one that JACK-Client uses."""
    return ctypes.CDLL(load_jack()._libname)


def realtime_priority(client: Any) -> int:
    """Return the real-time priority of a thread that works for a client, just below the client's own of JACK; 0 where
    the server does not run in real time."""
    ask = library().jack_client_real_time_priority
    ask.restype, ask.argtypes = ctypes.c_int, [ctypes.c_void_p]
    given = int(ask(address(client._ptr)))
    return max(1, given - 1) if given > 0 else 0


def wrapped(frames: int) -> int:
    """Return a difference of two frame numbers as the shorter way round, -2**31 to 2**31 - 1."""
    return (frames + FRAME_WRAP // 2) % FRAME_WRAP - FRAME_WRAP // 2


class Reading(NamedTuple):
    """JACK's transport at the start of the current period.

    Attributes:
        is_rolling: whether it rolls.
        position: the fields of ``jack_position_t`` that are valid.
        frame: JACK's frame at that moment, 0 to 2**32 - 1.
    """

    is_rolling: bool
    position: dict[str, Any]
    frame: int


class FrameClock:
    """JACK's frames on our clock, seconds of ``time.perf_counter``. One is shared by all that must agree.

    JACK says when the present period began, on a clock that may differ from ours: on Linux CLOCK_MONOTONIC_RAW, which
    network time does not steer, so that it departs from ``time.perf_counter`` by seconds a day. A period may begin late
    where the machine is busy, but never early. The earliest of the last second is therefore believed; JACK's own filter
    is not asked, because it takes a second to forget a server that stood still.

    Args:
        now: the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._rate = 48_000
        self._frame: int | None = None
        """The frame that was read last."""
        self._count = 0
        """The same, counted on beyond 32 bits."""
        self._origins: deque[tuple[float, float]] = deque()
        """(when it was read, when frame 0 was, by that reading) of the readings that may still be the earliest."""
        self._get_time: Any = None

    def read(self, client: Any) -> Reading:
        """Read the transport of a client, and take its time into account. To be called every few milliseconds."""
        jack = load_jack()
        for _ in range(READINGS):
            frame = int(client.last_frame_time)
            state, position = client.transport_query()
            if client.last_frame_time == frame:
                break
        self._rate = int(position["frame_rate"])
        self._take(frame, position["usecs"] / 1e6 - self._lead())
        return Reading(state == jack.ROLLING, position, frame)

    def frame_at(self, seconds: float) -> int:
        """Return the frame in which a time lies, 0 to 2**32 - 1. Something was read before."""
        frames = (seconds - self._origins[0][1]) * self._rate
        return math.floor(frames + EDGE_FRAMES) % FRAME_WRAP

    def time_of(self, frame: int) -> float:
        """Return the time of a frame near the last one read, in seconds."""
        assert self._frame is not None
        return self._origins[0][1] + (self._count + wrapped(frame - self._frame)) / self._rate

    def _take(self, frame: int, began: float) -> None:
        """Take it that ``frame`` began at a time."""
        now = self._now()
        if self._frame is None:
            self._count = frame
        else:
            self._count += wrapped(frame - self._frame)
        self._frame = frame
        origin = began - self._count / self._rate
        if self._origins and abs(origin - self._origins[0][1]) > WINDOW_SECONDS:
            self._origins.clear()  # another server
        while self._origins and self._origins[-1][1] >= origin:
            self._origins.pop()
        self._origins.append((now, origin))
        while self._origins[0][0] < now - WINDOW_SECONDS:
            self._origins.popleft()

    def _lead(self) -> float:
        """Return the seconds that JACK's clock is ahead of ours."""
        if self._get_time is None:
            self._get_time = library().jack_get_time
            self._get_time.restype, self._get_time.argtypes = ctypes.c_uint64, []
        best, found = float("inf"), 0.0
        for _ in range(READINGS):
            before = self._now()
            theirs = self._get_time() / 1e6
            after = self._now()
            if after - before < best:
                best, found = after - before, theirs - (before + after) / 2
            if best < HELD_SECONDS:
                break
        return found
