"""Live playing on real ports, for tests: a JACK server of their own, a process that records, and the command itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from livehost import unbalanced

LISTENER = Path(__file__).parent / "midi_listener.py"
BAND = ("--model", "fakeband", "--renderer", "fakeband", "--classifier", "fakeband", "--min-style", "0")
ONE_LINE = ("--tracks", "melody", "--bars", "8", "--no-opening")
"""Notes that climb for eight bars."""
SCHEDULED, LATEST = 10e-3, 35e-3
"""The usual note (the median) and nine of ten: JACK's period is 2.7 ms, the machine may be shared, and what is later
than 30 ms is dropped. How good it really is stands in docs/live.md; here only what is wrong is found."""

READY = "ready: the first phrase is written"

Row = tuple[float, tuple[int, ...]]


# Synchronous: on a busy machine a late client holds the others up instead of losing its messages.
SYNCHRONOUS = ("-S",)


def start_server(
    env: dict[str, str], options: tuple[str, ...] = SYNCHRONOUS, period: int = 128
) -> subprocess.Popen[bytes]:
    """A JACK server that runs. Without real-time priority (jackd goes on where it is not granted) its dummy driver
    falls behind the time for good."""
    name = env["JACK_DEFAULT_SERVER"]
    server = subprocess.Popen(
        ["jackd", *options, "-R", "-P", "10", "-n", name, "-d", "dummy", "-r", "48000", "-p", f"{period}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(50):
        time.sleep(0.1)
        if server.poll() is not None:
            pytest.skip("jackd does not start here")
        if not subprocess.run(
            ["jack_wait", "-s", name, "-w", "-t", "5"], env=env, capture_output=True
        ).returncode:
            break
    return server


def on_server(env: dict[str, str], name: str) -> dict[str, str]:
    """The environment in which ports are on the server of that name."""
    return {
        **env, "JACK_DEFAULT_SERVER": f"melodygen{name}", "JACK_NO_START_SERVER": "1",
        "MIDO_BACKEND": "mido.backends.rtmidi/UNIX_JACK",
    }  # fmt: skip


STARTED: list[subprocess.Popen[str]] = []


def start(env: dict[str, str], arguments: list[str], **more: object) -> subprocess.Popen[str]:
    STARTED.append(subprocess.Popen([sys.executable, *arguments], env=env, text=True, **more))  # type: ignore[call-overload]
    return STARTED[-1]


def end_started() -> None:
    """Kill what still runs of all that was started."""
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def jack_server(
    env: dict[str, str], name: str, options: tuple[str, ...] = SYNCHRONOUS, period: int = 128
) -> Iterator[dict[str, str]]:
    """A JACK server of this name, for as long as it is needed; the environment in which ports are on it."""
    here = on_server(env, name)
    server = start_server(here, options, period)
    try:
        yield here
    finally:
        server.terminate()
        server.wait(10)


class Ear:
    """A process that opens the input ``name`` and records."""

    def __init__(self, env: dict[str, str], name: str, *options: str) -> None:
        self.name = name
        self.process = start(env, [str(LISTENER), name, "100", *options], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def close(self) -> list[Row]:
        """What came: (seconds, bytes)."""
        self.process.send_signal(signal.SIGTERM)
        text, _ = self.process.communicate(timeout=30)
        return [
            (t, tuple(m)) for t, m in (json.loads(line) for line in text.splitlines() if line.startswith("["))
        ]


def command(env: dict[str, str], *arguments: str, **more: object) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return start(env, ["-m", "melodygen", *arguments], **pipes, **more)


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=60)
    ended = (0, 128 + signal.SIGTERM, 128 + signal.SIGINT)  # by itself, or told to
    assert process.returncode in ended, f"{process.returncode}: {err}"
    return out, err


def said(process: subprocess.Popen[str], *texts: str) -> None:
    """Wait until the command has said all of it on stderr, in any order."""
    assert process.stderr is not None
    lines, awaited = [], set(texts)
    for line in process.stderr:
        lines.append(line)
        awaited -= {text for text in awaited if text in line}
        if not awaited:
            return
    raise AssertionError(f"it never said {awaited} but {lines}")


def ons(rows: list[Row], channel: int = 0) -> np.ndarray:
    return np.array([t for t, m in rows if m[0] == 0x90 | channel])


def assert_in_time(off: np.ndarray) -> None:
    """Seconds off the beat."""
    off = np.abs(off)
    assert np.median(off) < SCHEDULED and np.quantile(off, 0.9) < LATEST


def climbs(pitches: list[int]) -> list[int]:
    """Steps above the first, as the fake band climbs: a step a note, round after 40."""
    return [(p - pitches[0]) % 40 for p in pitches]


def left_sounding(messages: Iterable[tuple[int, ...]]) -> set[tuple[int, int]]:
    """Keys that sound at the end; a note may end twice."""
    sounding = set()
    for m in messages:
        if m[0] & 0xF0 == 0x90:
            sounding.add((m[0] & 15, m[1]))
        elif m[0] & 0xF0 == 0x80:
            sounding.discard((m[0] & 15, m[1]))
    return sounding


def assert_silent(rows: list[Row]) -> None:
    assert not unbalanced((0, m) for _, m in rows if m[0] < 0xF0), "a note is left sounding"
