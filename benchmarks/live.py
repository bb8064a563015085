"""How punctual the live part is, beside isobar's clock and mido's player, in one run on one machine.

    python benchmarks/live.py jitter [--seconds 60]     note-ons against the grid, alone and with a core kept busy
    python benchmarks/live.py follow                    error behind a MIDI clock that goes from 90 to 140 qpm
    python benchmarks/live.py respond                   start, style change, call and response, with the shipped models
    python benchmarks/live.py kills [--count 200]       the live command killed at random moments: what still sounds
    python benchmarks/live.py short [--seconds 450]     follow and respond, then kills until the time is up
    python benchmarks/live.py soak [--seconds 3600]     the live command as a user runs it: gaps, drift, memory

Needs jackd and python-rtmidi; ``jitter`` also isobar. A JACK server with the dummy driver is started for the run.
Times are taken where a message is handed to the port (``time.perf_counter``, one clock for all processes), because
JACK itself moves messages to its period. Ordinary priority for all, JACK included, unless ``--realtime`` is given.
Prints JSON; the figures stand in docs/live.md with the day they were taken.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
LISTENER = ROOT / "tests" / "midi_listener.py"
QPM, STEP_QUARTERS = 120.0, 0.25
MIDI_BACKEND = "mido.backends.rtmidi/UNIX_JACK"


# the machine


REALTIME = "--realtime" in sys.argv


@contextmanager
def jack() -> Iterator[None]:
    name = f"bench{os.getpid()}"
    realtime = ["-R", "-P", "40"] if may_realtime() else ["--no-realtime"]
    command = ["jackd", "-S", *realtime, "-n", name, "-d", "dummy", "-r", "48000", "-p", "128"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ.update(JACK_DEFAULT_SERVER=name, MIDO_BACKEND=MIDI_BACKEND)
    time.sleep(1.5)
    try:
        yield
    finally:
        server.terminate()
        server.wait(10)


def may_realtime() -> bool:
    """Whether it was asked for and is granted."""
    if not REALTIME:
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        return False
    return True


class Ear:
    def __init__(self, name: str) -> None:
        command = [sys.executable, str(LISTENER), name, "100000"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def close(self) -> list[tuple[float, list[int]]]:
        self.process.terminate()
        text, _ = self.process.communicate(timeout=60)
        return [tuple(json.loads(line)) for line in text.splitlines() if line.startswith("[")]


@contextmanager
def busy(on: bool) -> Iterator[None]:
    worker = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if on else None
    try:
        yield
    finally:
        if worker is not None:
            worker.kill()
            worker.wait()


def spread_ms(errors: Any) -> dict[str, float]:
    errors = np.abs(np.asarray(errors)) * 1000
    found = {"median": np.median(errors), "p99": np.quantile(errors, 0.99), "max": errors.max()}
    return {name: round(float(value), 3) for name, value in found.items()}


# jitter: each player in a process of its own, logging when it hands a note-on to the port


def make_score(count: int) -> Any:
    from melodygen.music.score import Score, Tempo, Track

    notes = [(i * 120, 60, 40 + i % 48, 100) for i in range(count)]
    return Score((Track(notes, role="melody"),), (Tempo(0, QPM),))  # type: ignore[arg-type]


def play_melodygen(port: str, count: int, realtime: bool) -> list[float]:
    from melodygen.live.clock import InternalClock
    from melodygen.live.player import Player
    from melodygen.live.ports import PortOutput
    from melodygen.live.score_processor import ScoreProcessor
    from melodygen.live.session import Session, SessionOptions

    output = PortOutput(port)
    times: list[float] = []
    send = output.send

    def logged(message: tuple[int, ...]) -> bool:
        if message[0] & 0xF0 == 0x90:
            times.append(time.perf_counter())
        return send(message)

    output.send = logged  # type: ignore[method-assign]
    processor = ScoreProcessor(make_score(count))
    session = Session(
        processor, Player(output), InternalClock(QPM), SessionOptions(until=processor.length_quarters + 0.1)
    )
    session.start_when(lambda: True)
    session.run(realtime=realtime)
    output.close()
    return times


def play_mido(port: str, count: int) -> list[float]:
    import mido

    from melodygen.io.midi import write_midi

    with tempfile.TemporaryDirectory() as folder:
        write_midi(Path(folder) / "a.mid", make_score(count))
        midi = mido.MidiFile(Path(folder) / "a.mid")
    output = mido.open_output(port)
    times = []
    for message in midi.play():
        if message.type == "note_on" and message.velocity:
            times.append(time.perf_counter())
        output.send(message)
    time.sleep(0.2)
    return times


def play_isobar(port: str, count: int) -> list[float]:
    import isobar

    device = isobar.MidiOutputDevice(port)
    times: list[float] = []
    send = device.midi.send

    def logged(message: Any) -> None:
        if message.type == "note_on":
            times.append(time.perf_counter())
        send(message)

    device.midi.send = logged
    timeline = isobar.Timeline(QPM, output_device=device)
    pattern = {"note": isobar.PSequence([40 + i for i in range(48)]), "duration": STEP_QUARTERS, "gate": 0.5}
    timeline.schedule(pattern, count=count)
    timeline.stop_when_done = True
    timeline.run()
    return times


def jitter(seconds: float) -> dict[str, Any]:
    count = round(seconds * QPM / 60 / STEP_QUARTERS)
    step = STEP_QUARTERS * 60 / QPM
    results: dict[str, Any] = {"notes": count}
    with jack():
        for load in (False, True):
            # alone, with --realtime: real-time priority for each of them, an idle machine whatever else runs on it
            alone = ["chrt", "-f", "20"] if not load and may_realtime() else []
            options = ["--realtime"] if REALTIME else []
            for player in (
                "melodygen",
                "isobar",
                "mido",
                *(["melodygen-ordinary"] if load and REALTIME else []),
            ):
                ear = Ear("ear")
                with busy(load):
                    done = subprocess.run(
                        [*alone, sys.executable, __file__, "_play", player, str(count), *options],
                        capture_output=True, text=True, timeout=seconds * 3 + 60, check=False,
                    )  # fmt: skip
                heard = [t for t, m in ear.close() if m[0] & 0xF0 == 0x90 and m[2]]
                if done.returncode:
                    raise SystemExit(done.stderr)
                times = np.array(json.loads(done.stdout.splitlines()[-1]))
                grid = np.arange(len(times)) * step
                off = times - grid
                drift = np.polyfit(grid, off, 1)[0] * 1e6
                results[f"{player}, {'busy' if load else 'alone'}"] = {
                    **spread_ms(off - np.median(off)),
                    "drift_us_per_s": round(float(drift), 2),
                    "sent": len(times),
                    "arrived": len(heard),
                }
    return results


# behind a MIDI clock


def follow() -> dict[str, Any]:
    """Ticks go through JACK from this process to a follower; its notes are compared with the ticks they belong to."""
    with jack():
        child = subprocess.Popen([sys.executable, __file__, "_follow"], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        import mido

        name = next(n for n in mido.get_output_names() if "bench in" in n)
        port = mido.open_output(name)
        if may_realtime():
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(30))
        ticks: list[float] = []
        due = time.perf_counter() + 0.3
        port.send(mido.Message("start"))
        begin = due
        while due - begin < 40:
            while (left := due - time.perf_counter()) > 0:
                time.sleep(max(0.0, left - 0.0003)) if left > 0.0005 else None
            ticks.append(due)
            port.send(mido.Message("clock"))
            due += 60.0 / tempo(due - begin) / 24
        port.send(mido.Message("stop"))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        time.sleep(0.3)
        child.terminate()
        text, _ = child.communicate(timeout=20)
    notes = json.loads(text.splitlines()[-1])
    errors: dict[str, list[float]] = {"steady": [], "ramp": []}
    index = -1
    for sent, message in notes:
        index += 1 + (message[1] - 40 - (index + 1)) % 48  # a note that was dropped is passed over
        if index * 12 < len(ticks):
            at = ticks[index * 12] - begin
            errors["ramp" if 10 <= at <= 18 or 26 <= at <= 34 else "steady"].append(sent - ticks[index * 12])
    bias = float(np.median(errors["steady"]))
    return {
        "notes": len(notes),
        "ticks": len(ticks),
        "constant_delay_ms": round(bias * 1000, 3),
        **{name: spread_ms(np.array(values) - bias) for name, values in errors.items()},
    }


def tempo(at: float) -> float:
    """90, up to 140 in 8 s, and back."""
    return 90 + 50 * min(max((at - 10) / 8, 0.0), 1.0) - 50 * min(max((at - 26) / 8, 0.0), 1.0)


def follow_child() -> None:
    from melodygen.live.clock import ClockFollower
    from melodygen.live.player import Player
    from melodygen.live.ports import PortInput
    from melodygen.live.score_processor import ScoreProcessor
    from melodygen.live.session import Session
    from melodygen.music.score import Score, Track

    log = Log()
    score = Score((Track([(i * 240, 100, 40 + i % 48, 100) for i in range(400)], role="melody"),))  # type: ignore[arg-type]
    session = Session(ScoreProcessor(score), Player(log), ClockFollower())
    source = PortInput("bench in", session.receive, virtual=True)
    signal.signal(signal.SIGTERM, lambda number, frame: session.stop())
    print("ready", flush=True)
    session.run()
    source.close()
    print(json.dumps(log.ons))


class Log:
    """An output that notes the note-ons."""

    name, lead_seconds = "log", 0.0

    def __init__(self) -> None:
        self.ons: list[tuple[float, tuple[int, ...]]] = []

    def send(self, message: tuple[int, ...], at: float | None = None) -> bool:
        if message[0] & 0xF0 == 0x90:
            self.ons.append((time.perf_counter(), message))
        return True

    def keep_time(self) -> None: ...

    def recall(self, is_stop: bool) -> None: ...

    def close(self) -> None: ...


# with models


def respond(repeats: int) -> dict[str, Any]:
    from melodygen.engine import Engine, ProcessWriter
    from melodygen.live.clock import InternalClock
    from melodygen.live.player import Player
    from melodygen.live.session import Session
    from melodygen.services import models as services

    started = time.perf_counter()
    writer = ProcessWriter(functools.partial(services.load_writer))
    results: dict[str, Any] = {"models_loaded_s": round(time.perf_counter() - started, 2)}

    def stage(**options: Any) -> tuple[Engine, Session, Log, threading.Thread]:
        log, engine = Log(), Engine(writer, **options)
        session = Session(engine, Player(log), InternalClock(QPM))
        session.start_when(lambda: options.get("mode") == "answer" or engine.is_ready)
        thread = threading.Thread(target=session.run)
        thread.start()
        return engine, session, log, thread

    firsts = []
    for seed in range(repeats):
        started = time.perf_counter()
        _, session, log, thread = stage(style="jazz", seed=seed)
        wait_for_note(log, 0)
        firsts.append(log.ons[0][0] - started)
        session.stop()
        thread.join()
        writer.abandon()  # what the next would wait for
    results["start_to_first_note_s"] = [round(f, 2) for f in firsts]
    print(json.dumps(results), file=sys.stderr, flush=True)

    rng = random.Random(1)
    styles = ["jazz", "blues", "classical", "rock"]
    for standby in (False, True):
        engine, session, log, thread = stage(style="jazz", standby=tuple(styles) if standby else ())
        wait_for_note(log, 0)
        changes = []
        for number in range(repeats):
            until = time.monotonic() + 60
            while standby and len(engine.status.standby) < len(styles) - 1 and time.monotonic() < until:
                time.sleep(0.1)
            time.sleep(rng.uniform(1, 3))
            style = styles[(number + 1) % len(styles)]
            asked, bar = time.perf_counter(), session.position_quarters % 4
            engine.set_parameter("style", style)
            while engine.status.style != style:
                time.sleep(0.001)
            count = len(log.ons)
            wait_for_note(log, count)
            changes.append(
                {
                    "seconds": round(log.ons[count][0] - asked, 2),
                    "bar_line_in": round((4 - bar) * 60 / QPM, 2),
                }
            )
        results["style_change_standby" if standby else "style_change"] = changes
        print(json.dumps(results), file=sys.stderr, flush=True)
        session.stop()
        thread.join()
        writer.abandon()

    engine, session, log, thread = stage(style="jazz", mode="answer")
    while not session.is_running:
        time.sleep(0.01)
    answers = []
    for number in range(repeats):
        # a call of two bars on the grid, as eighths; the last note ends a fifth of an eighth before beat 4
        begin = next_bar(session)
        log.ons.clear()
        for index, pitch in enumerate((60, 62, 63, 67, 65, 63, 62, 60, 62, 63, 65, 67, 70, 60 + number)):
            for at, message in ((0.0, (0x90, pitch, 90)), (0.4, (0x80, pitch, 0))):
                time.sleep(max(0.0, begin + (index * 0.5 + at) * 60 / QPM - time.perf_counter()))
                session.receive(message, time.perf_counter())
        over = time.perf_counter()
        ended = over + 60 / QPM  # the rest that ends a phrase: one quarter
        beat = session.position_quarters + (ended - time.perf_counter()) * QPM / 60
        to_beat = (-beat % 1.0) * 60 / QPM
        wait_for_note(log, 0)
        first = log.ons[0][0]
        answers.append(
            {
                "after_last_note_ms": round((first - over) * 1000),
                "after_phrase_end_ms": round((first - ended) * 1000),
                "after_the_beat_that_follows_ms": round((first - ended - to_beat) * 1000),
            }
        )
        time.sleep(5)
    results["answers"] = answers
    session.stop()
    thread.join()
    writer.close()
    return results


def next_bar(session: Any) -> float:
    """When the bar line after the next beat comes."""
    now, position = time.perf_counter(), session.position_quarters
    return float(now + ((-(position + 1) % 4.0) + 1) * 60 / QPM)


def wait_for_note(log: Log, count: int, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while len(log.ons) <= count:
        if time.monotonic() > until:
            raise SystemExit("gave up waiting")
        time.sleep(0.001)


# kills


def kills(count: int, lanes: int, seconds: float = 3600.0) -> dict[str, Any]:
    """The command, with a quick test model, is killed from the moment it is started, by SIGTERM and SIGINT in turn; as
    often as there is time for. Of every end that is not 0, 130 or by SIGINT what it said is kept."""
    stuck: list[Any] = []
    sounded = [0] * lanes
    codes: dict[str, int] = {}
    odd: list[dict[str, Any]] = []
    until = time.monotonic() + seconds
    sys.path.insert(0, str(ROOT / "tests"))
    import fakeband

    site = fakeband.install(Path(tempfile.mkdtemp()))
    paths = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    band = [word for kind in ("model", "renderer", "classifier") for word in (f"--{kind}", "fakeband")]

    def lane(number: int) -> None:
        rng = random.Random(number)
        ear = Ear(f"lane{number}")
        command = ["live", *band, "--min-style", "0", "--port", f"lane{number}", "--tempo", "200"]
        for index in range(count // lanes):
            if time.monotonic() > until:
                break
            run = subprocess.Popen(
                [sys.executable, "-m", "melodygen", *command],
                stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
            )  # fmt: skip
            assert run.stderr is not None
            said = []
            if index % 4:  # every fourth is killed while it still loads
                for line in run.stderr:
                    said.append(line)
                    if line.startswith("jazz to"):
                        break
            time.sleep(rng.uniform(0.0, 2.5))
            kind = signal.SIGTERM if index % 2 else signal.SIGINT
            run.send_signal(kind)
            _, rest = run.communicate(timeout=60)
            code = run.returncode
            if code not in (0, 130, -signal.SIGINT):
                last = [*said, *rest.splitlines()][-12:]
                odd.append({"code": code, "signal": kind.name, "was_loading": not index % 4, "said": last})
            codes[str(code)] = codes.get(str(code), 0) + 1
        time.sleep(0.5)
        sounding: set[tuple[int, int]] = set()
        for _, message in ear.close():
            status, key = message[0] & 0xF0, (message[0] & 15, message[1])
            if status == 0x90:
                sounding.add(key)
                sounded[number] += 1
            elif status == 0x80:
                sounding.discard(key)
            elif status == 0xB0 and message[1] == 123 and any(k[0] == key[0] for k in sounding):
                stuck.append([number, sorted(sounding)])  # no note-off before all notes off
        if sounding:
            stuck.append([number, sorted(sounding)])

    with jack():
        threads = [threading.Thread(target=lane, args=(i,)) for i in range(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {
        "kills": sum(codes.values()),
        "notes": sum(sounded),
        "exit_codes": codes,
        "odd": odd,
        "stuck": stuck,
    }


def short(repeats: int, count: int, lanes: int, seconds: float) -> dict[str, Any]:
    """What takes minutes, one after the other; each part is printed when it is done."""
    until = time.monotonic() + seconds
    found: dict[str, Any] = {}
    parts = {
        "follow": follow,
        "respond": lambda: respond(repeats),
        "kills": lambda: kills(count, lanes, until - time.monotonic()),
    }
    for name, part in parts.items():
        found[name] = {**part(), "load_average": round(os.getloadavg()[0], 2)}
        print(json.dumps({name: found[name]}), file=sys.stderr, flush=True)
    return found


# an hour


def soak(seconds: float, folder: Path) -> dict[str, Any]:
    """The shipped models, as a user runs them; another process records. What was measured is written each minute."""
    folder.mkdir(parents=True, exist_ok=True)
    with jack():
        ear = Ear("soak")
        command = [
            sys.executable, "-m", "melodygen", "live", "--style", "jazz", "--tempo", "120", "--port", "soak",
            "--clock-out", "--json", "--standby", "blues,rock",
        ]  # fmt: skip
        with (folder / "said.txt").open("w") as said:
            run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        started = time.monotonic()
        memory: list[dict[str, float]] = []
        while run.poll() is None and time.monotonic() - started < seconds:
            time.sleep(60)
            memory.append({"minute": round((time.monotonic() - started) / 60), **memory_mb(run.pid)})
            (folder / "memory.json").write_text(json.dumps({"load": os.getloadavg()[0], "memory_mb": memory}))
        run.terminate()
        out, _ = run.communicate(timeout=60)
        rows = ear.close()
    ons = np.array([t for t, m in rows if m[0] & 0xF0 == 0x90])
    ticks = np.array([t for t, m in rows if m[0] == 0xF8])
    off = ticks - ticks[0] - np.arange(len(ticks)) * 60 / 120 / 24
    silences = np.diff(ons)
    return {
        "seconds": round(float(ticks[-1] - ticks[0])),
        "exit_code": run.returncode,
        "report": json.loads(out) if out.strip() else None,
        "notes_recorded": len(ons),
        "ticks_ms": spread_ms(off - np.median(off)),
        "drift_ms": round(float(np.median(off[-500:]) - np.median(off[:500])) * 1000, 3),
        "silences_over_2_s": [round(float(s), 2) for s in silences[silences > 2.0]],
        "memory_mb": [m for m in memory if m["minute"] in (2, 10, 30, 60)] or memory[-3:],
    }


def memory_mb(pid: int) -> dict[str, float]:
    """Resident memory of the player and of the process that writes for it."""
    found = {"player": resident_mb(pid)}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"melodygen.engine" in Path(f"/proc/{child}/cmdline").read_bytes():
            found["writer"] = resident_mb(int(child))
    return found


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024, 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", choices=["jitter", "follow", "respond", "kills", "short", "soak", "_play", "_follow"]
    )
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--seconds", type=float, help="60; 450 for short, 3600 for soak and kills")
    parser.add_argument("--out", type=Path, default=Path("soak"), help="where soak keeps its log")
    parser.add_argument("--realtime", action="store_true", help="for JACK and for each player, where granted")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--lanes", type=int, default=2)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, lambda number, frame: sys.exit(130))
    if options.what == "_play":
        player, count = options.rest[0], int(options.rest[1])
        import mido

        port = next(n for n in mido.get_output_names() if "ear" in n)
        own = may_realtime() and os.sched_getscheduler(0) == os.SCHED_OTHER  # else chrt gave it
        played = {
            "melodygen": lambda: play_melodygen(port, count, own),
            "melodygen-ordinary": lambda: play_melodygen(port, count, False),
            "isobar": lambda: play_isobar(port, count),
            "mido": lambda: play_mido(port, count),
        }[player]()
        print(json.dumps(played))
    elif options.what == "_follow":
        follow_child()
    else:
        found = {
            "jitter": lambda: jitter(options.seconds or 60),
            "follow": follow,
            "respond": lambda: respond(options.repeats),
            "soak": lambda: soak(options.seconds or 3600, options.out),
            "kills": lambda: kills(options.count, options.lanes, options.seconds or 3600),
            "short": lambda: short(options.repeats, options.count, options.lanes, options.seconds or 450),
        }[options.what]()
        found["load_average"] = round(os.getloadavg()[0], 2)
        print(json.dumps(found, indent=2))
        if options.what == "soak":
            (options.out / "figures.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
