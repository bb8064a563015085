"""What JACK hears, told in JACK's frames: a machine that is busy moves nothing there."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from liveports import start

try:
    import jack as client_library
except (ImportError, OSError):
    pytest.skip("JACK-Client (melodygen[jack]) or libjack is missing", allow_module_level=True)

LISTENER = Path(__file__).parent / "jack_listener.py"
RATE = 48_000
Row = tuple[int, bool, int, tuple[int, ...]]


class FrameEar:
    """A process that opens the JACK input NAME:NAME and records frames."""

    def __init__(self, env: dict[str, str], name: str) -> None:
        self.name = f"{name}:{name}"
        self.process = start(env, [str(LISTENER), name], stdout=subprocess.PIPE)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def close(self) -> list[Row]:
        """What came: frame, whether the transport rolled, the transport's frame, bytes."""
        self.process.terminate()
        text, _ = self.process.communicate(timeout=30)
        return [(f, r, t, tuple(m)) for f, r, t, m in map(json.loads, text.splitlines())]


def ons(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row[3][0] & 0xF0 == 0x90]


def off_grid(frames: list[int], step: float) -> np.ndarray:
    """Frames by which each is off the nearest multiple of ``step``."""
    return np.array([(f + step / 2) % step - step / 2 for f in frames])


def desk(env: dict[str, str]) -> Any:
    """A client of the test itself."""
    return client_library.Client("desk", servername=env["JACK_DEFAULT_SERVER"], no_start_server=True)


def wait_for(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)
