"""The live commands on real MIDI ports: JACK's dummy driver, a second process that records with its own clock."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from livehost import unbalanced

from melodygen.io.midi import read_midi, write_midi
from melodygen.score import Score, Tempo, Track

pytest.importorskip(
    "rtmidi", reason="python-rtmidi (melodygen[live]) or a library it needs is missing", exc_type=ImportError
)
if shutil.which("jackd") is None:
    pytest.skip("jackd is not installed: apt-get install jackd2", allow_module_level=True)

LISTENER = Path(__file__).with_name("midi_listener.py")
BAND = ("--model", "fakeband", "--renderer", "fakeband", "--classifier", "fakeband", "--min-style", "0")
SCHEDULED = 5e-3
"""JACK's period is 2.7 ms and the machine may be shared; what is measured stands in docs/live.md."""

Row = tuple[float, tuple[int, ...]]


@pytest.fixture(scope="module")
def jack(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A JACK server of our own; the environment in which ports are on it."""
    name = f"melodygen{os.getpid()}"
    log = (tmp_path_factory.mktemp("jack") / "log").open("wb")
    server = subprocess.Popen(
        # synchronous: on a busy machine a late client holds the others up instead of losing its messages
        ["jackd", "-S", *_priority(), "-n", name, "-d", "dummy", "-r", "48000", "-p", "128"], stdout=log, stderr=log
    )
    here = {**env, "JACK_DEFAULT_SERVER": name, "MIDO_BACKEND": "mido.backends.rtmidi/UNIX_JACK"}
    try:
        for _ in range(50):
            time.sleep(0.1)
            if server.poll() is not None:
                pytest.skip("jackd does not start here")
            if not subprocess.run(["jack_wait", "-s", name, "-w", "-t", "5"], env=here, capture_output=True).returncode:
                break
        yield here
    finally:
        server.terminate()
        server.wait(10)


def _priority() -> list[str]:
    """Real-time for JACK where it is allowed: the tests may share the machine."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return ["--no-realtime"]
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return ["-R", "-P", "40"]


class Ear:
    """A process that opens the input ``name`` and records."""

    def __init__(self, env: dict[str, str], name: str, *options: str) -> None:
        self.name = name
        command = [sys.executable, str(LISTENER), name, "100", *options]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def close(self) -> list[Row]:
        """What came: (seconds, bytes)."""
        self.process.send_signal(signal.SIGTERM)
        text, _ = self.process.communicate(timeout=30)
        return [(t, tuple(m)) for t, m in (json.loads(line) for line in text.splitlines() if line.startswith("["))]


def command(env: dict[str, str], *arguments: str, **more: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "melodygen", *arguments],
        env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **more,  # type: ignore[call-overload]
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out, err


def said(process: subprocess.Popen[str], text: str) -> None:
    """Wait until the command says so on stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it never said {text!r}")


def ons(rows: list[Row], channel: int = 0) -> np.ndarray:
    return np.array([t for t, m in rows if m[0] == 0x90 | channel])


def assert_silent(rows: list[Row]) -> None:
    assert not unbalanced((0, m) for _, m in rows if m[0] < 0xF0), "a note is left sounding"


def test_live_plays_in_time_with_clock_and_record(jack: dict[str, str], tmp_path: Path) -> None:
    ear = Ear(jack, "daw1")
    run = command(
        jack, "live", "--style", "jazz", *BAND, "--port", "daw1", "--tempo", "240", "--bars", "2", "--until", "5",
        "--clock-out", "--record", "take.mid", "--json", cwd=tmp_path,
    )  # fmt: skip
    out, err = finish(run)
    rows = ear.close()
    assert_silent(rows)
    onsets = ons(rows)
    assert len(onsets) == 20, err
    assert np.abs(onsets - onsets[0] - np.arange(20) * 0.25).max() < SCHEDULED
    ticks = [t for t, m in rows if m == (0xF8,)]
    start = [t for t, m in rows if m == (0xFA,)]
    assert len(start) == 1 and start[0] <= ticks[0] and len(ticks) in range(479, 486)
    report = json.loads(out)
    assert report["gaps"] == 0 and report["notes_dropped_late"] == 0 and report["phrases"] >= 3
    take = read_midi(tmp_path / "take.mid")
    assert {t.role for t in take.tracks} == {"melody", "chords", "bass", "drums"} and len(take.tracks[0]) == 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_kill_at_any_moment_leaves_nothing_sounding(jack: dict[str, str], number: int) -> None:
    ear = Ear(jack, f"kill{number}")
    rng = random.Random(number)
    for _ in range(2):
        run = command(jack, "live", *BAND, "--port", ear.name, "--tempo", "280")
        said(run, "jazz to")
        time.sleep(rng.uniform(0.2, 1.2))
        run.send_signal(number)
        if number == signal.SIGKILL:  # the guard speaks for the dead
            run.wait(10)
            time.sleep(3)
        else:
            finish(run)
    rows = ear.close()
    assert len(ons(rows)) > 0
    sounding = set()
    for _, m in rows:
        if m[0] & 0xF0 == 0x90:
            sounding.add((m[0] & 15, m[1]))
        elif m[0] & 0xF0 == 0x80:
            sounding.discard((m[0] & 15, m[1]))
    assert not sounding


def test_a_lost_port_is_waited_for(jack: dict[str, str]) -> None:
    first = Ear(jack, "hotplug")
    run = command(jack, "live", *BAND, "--port", "hotplug", "--tempo", "240")
    said(run, "jazz to")
    time.sleep(0.7)
    before = first.close()
    said(run, "port 'hotplug:hotplug' is gone: waiting for it")
    second = Ear(jack, "hotplug")
    said(run, "port 'hotplug:hotplug' is back")
    time.sleep(1.0)
    run.terminate()
    finish(run)
    after = second.close()
    assert len(ons(before)) and len(ons(after))
    assert next(m for _, m in after if m[0] < 0xF0)[0] & 0xF0 in (0x80, 0xB0), "silenced before it plays on"
    begins = next(i for i, (_, m) in enumerate(after) if m[0] & 0xF0 == 0x90)
    assert_silent(after[begins:])


def test_one_follows_the_clock_of_the_other(jack: dict[str, str]) -> None:
    """Two melodygens: the second follows the clock of the first; both are heard by one ear each."""
    follower_ear, leader_ear = Ear(jack, "ear-f"), Ear(jack, "ear-l")
    follower = command(jack, "live", *BAND, "--port", "ear-f", "--sync", "virtual", "--bars", "2")
    said(follower, "following")
    # the follower's own input port takes clock and notes; the notes it is not asked to use
    leader = command(
        jack, "live", *BAND, "--port", "melodygen:melodygen in", "--port", "drums=ear-l", "--tempo", "200",
        "--clock-out", "--until", "8", "--tracks", "drums",
    )  # fmt: skip
    _, err = finish(leader)
    follower.terminate()
    finish(follower)
    led, followed = ons(leader_ear.close(), 9), follower_ear.close()
    assert_silent(followed)
    found = ons(followed, 9)
    assert len(led) >= 30 and len(found) >= 28, err
    off = np.array([np.abs(led - t).min() for t in found if t < led[-1] + 0.1])
    assert np.median(off) < SCHEDULED and off.max() < 4 * SCHEDULED


def test_play_a_file_from_a_bar_to_a_virtual_port(jack: dict[str, str], tmp_path: Path) -> None:
    notes = [(q * 480, 200, 40 + q, 100) for q in range(16)]
    write_midi(tmp_path / "a.mid", Score((Track(notes, role="melody"),), (Tempo(0, 150.0),)))
    run = command(jack, "play", "a.mid", "--port", "nowhere", cwd=tmp_path)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 1 and "no MIDI output is called 'nowhere'" in err
    ear_p = Ear(jack, "player")
    finish(command(jack, "play", "a.mid", "--port", "play", "--start", "2", "--tempo-factor", "2", cwd=tmp_path))
    rows = ear_p.close()
    assert [m[1] for _, m in rows if m[0] == 0x90] == list(range(44, 56))
    assert np.abs(ons(rows) - ons(rows)[0] - np.arange(12) * 0.2).max() < SCHEDULED
    assert_silent(rows)
    looped = command(jack, "play", "a.mid", "--virtual", "--loop", "1:2", "--tempo-factor", "2", cwd=tmp_path)
    said(looped, "playing")
    ear = Ear(jack, "melodygen:melodygen", "--connect")
    time.sleep(3)
    looped.terminate()
    finish(looped)
    heard = ear.close()
    pitches = [m[1] for _, m in heard if m[0] == 0x90]
    assert len(pitches) > 4 and set(pitches) <= set(range(40, 48))
    steps = set(pairwise(pitches))
    assert steps <= {*((p, p + 1) for p in range(40, 47)), (47, 40)}


def test_ports_and_panic(jack: dict[str, str]) -> None:
    ear = Ear(jack, "hung")
    out, _ = finish(command(jack, "ports", "--json"))
    assert "hung:hung" in json.loads(out)["outputs"]
    finish(command(jack, "panic", "--port", "hung"))
    rows = ear.close()
    assert {m for _, m in rows} >= {(0x80 | c, p, 0) for c in range(16) for p in (0, 60, 127)}
    assert {m for _, m in rows} >= {(0xB0 | c, 120, 0) for c in range(16)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "nowhere"), "no MIDI output is called 'nowhere'"),
        ((), "say where the music goes"),
        (("--virtual", "--style", "jaz"), "did you mean 'jazz'"),
        (("--virtual", "--mode", "answer"), "--input NAME"),
        (("--virtual", "--channels", "bass=17"), "bass 17"),
        (("--virtual", "--tempo", "0"), "tempo 0"),
        (("--virtual", "--sync", "virtual", "--count-in", "1"), "count-in"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(jack: dict[str, str], arguments: tuple[str, ...], words: str) -> None:
    run = command(jack, "live", *arguments)
    _, err = run.communicate(timeout=60)
    assert run.returncode in (1, 2) and words in err and len(err.strip().splitlines()) == 1


def test_without_a_backend_it_says_what_to_install(env: dict[str, str]) -> None:
    code = (
        "import sys; sys.modules['rtmidi'] = None; sys.argv = ['melodygen', 'ports']\n"
        "from melodygen.cli import main\nmain()"
    )
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and "pip install 'melodygen[live]'" in run.stderr
