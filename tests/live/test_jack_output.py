"""JACK's own output port on a real server, recorded by JACK's count of frames, which a busy machine does not move."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from jackframes import RATE, FrameEar, client_library, desk, off_grid, ons, wait_for
from livehost import unbalanced
from liveports import BAND, ONE_LINE, READY, climbs, command, finish, left_sounding, said, start

from melodygen.io.midi import write_midi
from melodygen.live.clock import CONTINUE, SONG_POSITION, START, STOP, TICK
from melodygen.live.port_claim import claimed
from melodygen.live.session import JOIN_SECONDS
from melodygen.music.score import Score, Tempo, Track

if shutil.which("jackd") is None:
    pytest.skip("jackd is not installed: apt-get install jackd2", allow_module_level=True)
BEAT = RATE // 4
"""Frames of a quarter at 240 qpm."""
SPIN_SECONDS = 2.0
SPIN = f"import time\nend = time.monotonic() + {SPIN_SECONDS}\nwhile time.monotonic() < end: pass"
TAKE_PRIORITY = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
TO_THE_FRAME = 2
"""Frames by which the usual note is off: it lies on the first frame at or after its time."""


def test_the_transport_is_followed_to_the_frame(jack: dict[str, str]) -> None:
    """Roll from 0, stop, roll from half a second. All is told by where the transport was at each note."""
    ear = FrameEar(jack, "transport")
    run = command(
        jack, "live", *BAND, *ONE_LINE, "--port", f"jack:{ear.name}", "--sync", "jack", "--tempo", "240",
        "--clock-out",
    )  # fmt: skip
    with desk(jack) as client:

        def roll(first: int, frames: int) -> None:
            client.transport_frame = first
            wait_for(lambda: client.transport_frame == first)
            client.transport_start()
            wait_for(lambda: client.transport_frame >= first + frames)
            client.transport_stop()
            wait_for(lambda: client.transport_state == client_library.STOPPED)

        client.transport_stop()
        said(run, "following JACK's transport", READY)
        roll(0, 8 * BEAT)
        time.sleep(0.3)
        roll(2 * BEAT, 6 * BEAT)
        time.sleep(0.3)
    run.terminate()
    finish(run)
    rows = ear.close()
    assert not unbalanced((0, m) for *_, m in rows if m[0] < 0xF0)
    begins = next(i for i, row in enumerate(rows) if row[3][0] == CONTINUE)
    for first, stretch in ((0, rows[:begins]), (2, rows[begins:])):
        notes = ons(stretch)
        assert all(is_rolling for _, is_rolling, _, _ in notes), "it plays while JACK rolls"
        assert len(notes) in (8 if not first else 6, 9 if not first else 7)
        early = notes[0][2] - first * BEAT
        assert 0 <= early <= JOIN_SECONDS * RATE + 5_000, "the down-beat is there"
        quarters = [round(frame / BEAT) for _, _, frame, _ in notes[1:]]
        assert quarters == list(range(first + 1, first + len(notes)))
        assert climbs([m[1] for *_, m in notes]) == list(range(len(notes)))
        assert np.median(np.abs(off_grid([frame for _, _, frame, _ in notes[1:]], BEAT))) <= TO_THE_FRAME
        ticks = [frame for _, _, frame, m in stretch if m == (TICK,)]
        assert np.median(np.abs(off_grid(ticks[4:], BEAT / 24))) <= TO_THE_FRAME
    clock = [m[0] for *_, m in rows if m[0] >= 0xF0 and m[0] != TICK]
    assert clock == [START, STOP, SONG_POSITION, CONTINUE, STOP]


def test_a_pulled_cable_is_said_and_what_hung_is_ended_first(jack: dict[str, str], tmp_path: Path) -> None:
    """A port of our own, as a DAW connects it; and two clocks' ticks are all there whatever happens."""
    held = [(q * 480, 4000, 40 + q % 80, 100) for q in range(200)]  # each sounds for eight beats
    write_midi(tmp_path / "a.mid", Score((Track(held, role="melody"),), (Tempo(0, 240.0),)))
    ear = FrameEar(jack, "kit")
    run = command(jack, "play", "a.mid", "--port", "jack", "--clock-out", cwd=tmp_path)
    said(run, "playing a.mid to melodygen:out")
    with desk(jack) as client:
        client.connect("melodygen:out", ear.name)
        said(run, f"'{ear.name}' is connected")
        time.sleep(1.0)
        client.disconnect("melodygen:out", ear.name)
        said(run, f"the cable to '{ear.name}' is pulled")
        pulled = client.frame_time
        time.sleep(0.6)
        client.connect("melodygen:out", ear.name)
        said(run, f"'{ear.name}' is connected again")
        time.sleep(0.6)
    run.terminate()
    finish(run)
    rows = ear.close()
    hung = {m[1] for *_, m in ons([row for row in rows if row[0] <= pulled])}
    back = [row for row in rows if row[0] > pulled and row[3][0] < 0xF0]
    assert len(hung) >= 3 and len(ons(back)) >= 1
    settled = ons(back)[1][0] if len(ons(back)) > 1 else back[-1][0]
    ended = {m[1] for frame, _, _, m in back if m[0] == 0x80 and frame <= settled}
    assert hung <= ended, "before it plays on"
    assert not left_sounding(m for *_, m in rows)
    ticks = np.array([frame for frame, _, _, m in rows if m == (TICK,) and frame > pulled])
    assert np.diff(ticks).max() < 1.5 * BEAT / 24, "silencing costs ticks"


def test_panic_arrives_whole_and_a_killed_player_is_silenced(jack: dict[str, str], tmp_path: Path) -> None:
    held = [(0, 480_000, 40 + i, 100) for i in range(12)]
    write_midi(tmp_path / "a.mid", Score((Track(held, role="melody"),), (Tempo(0, 120.0),)))
    ear = FrameEar(jack, "hall")
    run = command(jack, "play", "a.mid", "--port", f"jack:{ear.name}", cwd=tmp_path)
    said(run, "playing")
    time.sleep(2.0)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=60)  # its stderr is the guard's too: both have ended
    rows = ear.close()
    assert len(ons(rows)) == 12
    assert [m for *_, m in rows].count((0x80, 40, 0)) == 1 and (0x8F, 127, 0) in [m for *_, m in rows]
    assert len(rows) - 12 - 1 >= 16 * (128 + 4), "panic is 2,112 messages, and none is lost"


def test_who_else_plays_to_a_port_is_known_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = (
        "import sys, time; from melodygen.live.port_claim import claimed\n"
        "with claimed('jack:synth:in') as is_ours: print(is_ours, flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "True\n"
    with claimed("synth:in") as is_free, claimed("another") as other_is_free:
        assert not is_free and other_is_free
    other.kill()
    other.wait()
    with claimed("synth:in") as is_free:
        assert is_free


def test_a_busy_machine_holds_nothing_up(jack: dict[str, str], tmp_path: Path) -> None:
    """A core full of work that goes before ordinary processes of this niceness, for longer than the messages that are
    handed over ahead last."""
    core = min(os.sched_getaffinity(0))
    if subprocess.run([sys.executable, "-c", TAKE_PRIORITY], check=False, capture_output=True).returncode:
        pytest.skip("real-time priority is not granted here")
    write_midi(
        tmp_path / "a.mid",
        Score((Track([(q * 480, 240, 60, 100) for q in range(400)], role="melody"),), (Tempo(0, 240.0),)),
    )
    ear = FrameEar(jack, "stage")
    arguments = ("play", "a.mid", "--port", f"jack:{ear.name}", "--clock-out")
    run = command(jack, *arguments, cwd=tmp_path)
    said(run, "playing")
    wait_for(lambda: os.sched_getparam(run.pid).sched_priority > 0)
    threads = [int(task.name) for task in Path(f"/proc/{run.pid}/task").iterdir()]
    for thread in threads:
        os.sched_setaffinity(thread, {core})
        os.setpriority(os.PRIO_PROCESS, thread, 19)
    work = [start(jack, ["-c", f"import os; os.sched_setaffinity(0, {{{core}}})\n{SPIN}"]) for _ in range(3)]
    for process in work:
        assert process.wait(30) == 0
    for thread in threads:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, 0))
    own, *priorities = (os.sched_getparam(thread).sched_priority for thread in (run.pid, *threads))
    run.terminate()
    finish(run)
    ticks = np.array([frame for frame, _, _, m in ear.close() if m == (TICK,)])
    assert len(ticks) > SPIN_SECONDS * 60
    assert np.diff(ticks).max() < 1.5 * BEAT / 24, "no tick waits for the core"
    assert min(priorities) > 0, "a thread that holds the interpreter holds the player up"
    assert max(priorities) == own + 1, "JACK's own thread goes before it"
