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
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from liveports import (
    BAND,
    ONE_LINE,
    READY,
    SCHEDULED,
    Ear,
    assert_in_time,
    assert_silent,
    climbs,
    command,
    finish,
    on_server,
    ons,
    said,
    start,
    start_server,
)

from melodygen.io.midi import read_midi, write_midi
from melodygen.music.score import Score, Tempo, Track

pytest.importorskip(
    "rtmidi", reason="python-rtmidi (melodygen[live]) or a library it needs is missing", exc_type=ImportError
)
if shutil.which("jackd") is None:
    pytest.skip("jackd is not installed: apt-get install jackd2", allow_module_level=True)


def test_live_plays_in_time_with_clock_and_record(jack: dict[str, str], tmp_path: Path) -> None:
    for take in range(
        3
    ):  # what comes 30 ms late is dropped: a machine that stalls does so once, a fault always
        ear = Ear(jack, f"daw{take}")
        run = command(
            jack, "live", "--style", "jazz", *BAND, "--port", ear.name, "--tempo", "240", "--bars", "2", "--until", "5",
            "--clock-out", "--record", f"take{take}.mid", "--json", cwd=tmp_path,
        )  # fmt: skip
        out, err = finish(run)
        rows, report = ear.close(), json.loads(out)
        assert_silent(rows)
        if not report["notes_dropped_late"] and not report["gaps"]:
            break
    onsets = ons(rows)
    assert len(onsets) == 20, err
    off = onsets - np.arange(20) * 0.25
    assert_in_time(off - np.median(off))
    ticks = [t for t, m in rows if m == (0xF8,)]
    start = [t for t, m in rows if m == (0xFA,)]
    assert len(start) == 1 and start[0] <= ticks[0] and len(ticks) in range(479, 486)
    assert report["gaps"] == 0 and report["notes_dropped_late"] == 0 and report["phrases"] >= 3
    tracks = read_midi(tmp_path / f"take{take}.mid").tracks
    assert {t.role for t in tracks} == {"melody", "chords", "bass", "drums"} and len(tracks[0]) == 20


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
            run.communicate(timeout=60)  # its stderr is the guard's too: both have ended
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


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="a dead JACK server is noticed on Linux only")
@pytest.mark.parametrize("port", ["virtual", "named"])
def test_a_jack_server_that_dies_is_waited_for(env: dict[str, str], port: str) -> None:
    """Nothing spins, SIGTERM ends it, and with another server the music is back."""
    here = on_server(env, "-mortal")
    server = start_server(here)
    ears = []
    try:
        ears.append(Ear(here, "daw"))
        to = ("--virtual",) if port == "virtual" else ("--port", "daw")
        run = command(here, "live", *BAND, *to, "--tempo", "300", "--clock-out")
        said(run, "jazz to")
        server.kill()
        server.wait()
        said(run, "is gone: waiting for it")
        before, started = cpu_seconds(run), time.monotonic()
        time.sleep(1)
        assert (cpu_seconds(run) - before) / (time.monotonic() - started) < 0.5, "it spins"
        server = start_server(here)
        if port == "named":
            ears.append(Ear(here, "daw"))
        said(run, "is back")
        if port == "virtual":
            ears.append(Ear(here, "melodygen:melodygen", "--connect"))
        time.sleep(1)
        server.kill()
        server.wait()
        stopped = time.monotonic()
        run.terminate()
        run.communicate(timeout=30)
        assert run.returncode in (143, -9) and time.monotonic() - stopped < 20
        assert len(ons(ears[-1].close()))
    finally:
        server.kill()
        server.wait()
        server = start_server(
            here
        )  # JACK has eight places for servers and keeps those of the dead: give it back
        server.terminate()
        server.wait()


def test_a_signal_ends_it_even_if_the_port_library_spins(env: dict[str, str]) -> None:
    """C code that holds the interpreter for good, so that no handler of Python's ever runs."""
    code = (
        "import itertools, signal; from melodygen.live.guard import Guard\n"
        "signal.signal(signal.SIGTERM, lambda *a: None); guard = Guard([]); print('spinning', flush=True)\n"
        "sum(itertools.repeat(0))"
    )
    run = start(env, ["-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None and run.stdout.readline() == "spinning\n"
    started = time.monotonic()
    run.terminate()
    _, err = run.communicate(timeout=20)
    assert run.returncode == -signal.SIGKILL and "killed" in err
    assert 4.5 < time.monotonic() - started < 20


class Desk:
    """An output port of the test itself, opened in a process on the same server: plays a script of messages."""

    def __init__(self, env: dict[str, str], name: str) -> None:
        code = (
            "import mido, sys, json, time\n"
            "port = mido.open_output(sys.argv[1], virtual=True, client_name=sys.argv[1]); print('ready', flush=True)\n"
            "for line in sys.stdin:\n"
            "    row = json.loads(line)\n"
            "    if row[0] == 'ticks':\n"
            "        due = time.perf_counter()\n"
            "        for _ in range(row[1]):\n"
            "            while (left := due - time.perf_counter()) > 0: time.sleep(max(0, left - 0.0002))\n"
            "            port.send(mido.Message('clock'))\n"
            "            due = max(due, time.perf_counter() - 0.005) + 60 / row[2] / 24\n"
            "    else: port.send(mido.Message.from_bytes(row))\n"
            "    print('done', time.perf_counter(), flush=True)\n"
        )
        self.process = start(env, ["-c", code, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def send(self, *message: object, wait: bool = True) -> float:
        """When it was sent, on this machine's clock. ``("ticks", count, qpm)`` is MIDI clock."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout is not None
        return float(self.process.stdout.readline().split()[1]) if wait else 0.0

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


def test_controllers_are_learned_and_then_used(jack: dict[str, str], tmp_path: Path) -> None:
    desk = Desk(jack, "knobs")
    words = ["-m", "melodygen", "live", "--learn", "--input", "knobs", "--controls", "c.json"]
    taught = start(jack, words, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert taught.stdin is not None and taught.stdout is not None
    for line in taught.stdout:
        move = line.split(" ")[0]
        if move in ("style", "quit", "density"):
            controller = {"style": 20, "quit": 21, "density": 74}[move]
            desk.send(0xB2, controller, 127)
            time.sleep(0.2)
        if "Enter" in line:
            taught.stdin.write("\n")
            taught.stdin.flush()
    assert taught.wait(10) == 0
    learned = json.loads((tmp_path / "c.json").read_text())
    assert learned == {"3:20": "style", "3:21": "quit", "3:74": "density"}
    ear = Ear(jack, "learned")
    run = command(
        jack, "live", *BAND, "--port", "learned", "--input", "knobs", "--controls", "c.json", cwd=tmp_path
    )
    said(run, "jazz to")
    desk.send(0xB2, 20, 127)
    said(run, "from the next bar line on")
    desk.send(0xB2, 21, 127)
    finish(run)
    desk.close()
    assert_silent(ear.close())


JUMPS = ([0, 38], [0, 39], [0, 0])


def test_a_daw_starts_jumps_and_loses_its_clock(jack: dict[str, str]) -> None:
    """Start, Stop, Song Position Pointer, Continue, and the cable pulled out in mid-song."""
    ear, desk = Ear(jack, "slave"), Desk(jack, "daw clock")
    run = command(jack, "live", *BAND, *ONE_LINE, "--port", "slave", "--sync", "daw clock")
    said(run, READY)
    desk.send(0xFA)
    first = desk.send("ticks", 24 * 4, 240)
    desk.send(0xFC)
    desk.send(0xF2, 8, 0)  # quarter 2
    desk.send(0xFB)
    desk.send("ticks", 24 * 2, 240)
    said(run, "the MIDI clock is lost: holding")
    desk.send("ticks", 24 * 2, 240)
    said(run, "the MIDI clock is back")
    run.terminate()
    finish(run)
    desk.close()
    rows = ear.close()
    assert_silent(rows)
    notes = [(t, m[1]) for t, m in rows if m[0] == 0x90]
    before = [p for t, p in notes if t < first]
    assert len(before) >= 3 and set(np.diff(climbs(before))) == {1}
    after = [p for t, p in notes if t >= first]
    jump = climbs([before[-1], after[0]])
    assert jump in JUMPS, (
        "quarter 2 again, or 3 if 2 came too late; before it 3, or 4 where Stop came 10 ms late"
    )
    gaps = np.diff([t for t, _ in notes if t >= first])
    assert len(gaps) > 4 and np.median(np.abs(gaps - 0.25)) < 0.02, "the tempo is held over the gap"


def test_a_clock_that_runs_already_is_joined_on_a_bar_line(jack: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"*:20": "start"}')
    ear, machine, pedal = Ear(jack, "joiner"), Desk(jack, "drum machine"), Desk(jack, "pedal")
    run = command(
        jack, "live", *BAND, "--port", "joiner", "--sync", "drum machine", "--input", "pedal", "--controls", "c.json",
        "--tracks", "melody", cwd=tmp_path,
    )  # fmt: skip
    # not before: opening a port while another sends takes a synchronous JACK server a minute
    said(run, "following")
    machine.send("ticks", 24 * 400, 240, wait=False)  # longer than anything here, and no Start before them
    said(run, "a MIDI clock runs at", READY)
    tapped = pedal.send(0xB0, 20, 127)
    said(run, "joining the MIDI clock a bar from now")
    joining = time.perf_counter()
    time.sleep(3.0)
    run.terminate()
    finish(run)
    machine.process.kill()
    pedal.close()
    notes = ons(ear.close())
    # the tap was heard after it was sent and before it was answered
    assert tapped + 0.9 < notes[0] < joining + 1.2, "a bar after the tap, and no beat (0.25 s) later"
    assert np.median(np.diff(notes)) == pytest.approx(0.25, abs=0.02)


def test_one_follows_the_clock_of_the_other(jack: dict[str, str]) -> None:
    """Two melodygens: the second follows the clock of the first; both are heard by one ear each."""
    follower_ear, leader_ear = Ear(jack, "ear-f"), Ear(jack, "ear-l")
    follower = command(jack, "live", *BAND, "--port", "ear-f", "--sync", "virtual", "--bars", "2")
    said(follower, READY)
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
    assert_in_time(np.array([np.abs(led - t).min() for t in found if t < led[-1] + 0.1]))


def test_play_a_file_from_a_bar_to_a_virtual_port(jack: dict[str, str], tmp_path: Path) -> None:
    notes = [(q * 480, 200, 40 + q, 100) for q in range(16)]
    write_midi(tmp_path / "a.mid", Score((Track(notes, role="melody"),), (Tempo(0, 150.0),)))
    run = command(jack, "play", "a.mid", "--port", "nowhere", cwd=tmp_path)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 1 and "no MIDI output is called 'nowhere'" in err
    ear_p = Ear(jack, "player")
    finish(
        command(jack, "play", "a.mid", "--port", "play", "--start", "2", "--tempo-factor", "2", cwd=tmp_path)
    )
    rows = ear_p.close()
    assert [m[1] for _, m in rows if m[0] == 0x90] == list(range(44, 56))
    assert np.median(np.abs(np.diff(ons(rows)) - 0.2)) < SCHEDULED
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
        (("--port", "jack:nowhere"), "no MIDI output is called 'nowhere'"),
        (("--port", "jack", "--port", "drums=kit"), "jack:NAME, or none"),
        (("--virtual", "--channels", "bass=17"), "bass 17"),
        (("--virtual", "--tempo", "0"), "tempo 0"),
        (("--virtual", "--sync", "virtual", "--count-in", "1"), "count-in"),
        (("--virtual", "--standby", "blues,jaz"), "did you mean 'jazz'"),
        (("--virtual", "--key", "H"), "key 'H'"),
        (("--virtual", "--candidates", "0"), "give 1 to 16"),
        (("--virtual", "--until", "0"), "until 0"),
        (("--virtual", "--sync", "nowhere"), "no MIDI input is called 'nowhere'"),
        (("--virtual", "--input", "nowhere"), "no MIDI input is called 'nowhere'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    jack: dict[str, str], arguments: tuple[str, ...], words: str
) -> None:
    run = command(jack, "live", *arguments)
    _, err = run.communicate(timeout=60)
    assert run.returncode in (1, 2) and words in err and len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"JACK_DEFAULT_SERVER": "nobody"}, "no JACK server runs"),
        ({"MIDO_BACKEND": "mido.backends.nosuch"}, "MIDO_BACKEND names 'mido.backends.nosuch'"),
        ({"MIDO_BACKEND": ""}, "outputs"),
    ],
)
def test_a_wrong_backend_is_named(jack: dict[str, str], change: dict[str, str], words: str) -> None:
    run = command({**jack, **change}, "ports")
    out, err = run.communicate(timeout=60)
    told = err if run.returncode else out  # ALSA may be there or not
    assert words in told or (not change.get("MIDO_BACKEND", "x") and "MIDI ports cannot be listed" in told)
    assert "Traceback" not in err


def test_without_a_backend_it_says_what_to_install(env: dict[str, str]) -> None:
    code = (
        "import sys; sys.modules['rtmidi'] = None; sys.argv = ['melodygen', 'ports']\n"
        "from melodygen.cli import main\nmain()"
    )
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and "pip install 'melodygen[live]'" in run.stderr
