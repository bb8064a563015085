"""melodygen beside Ardour 7, a real DAW without a screen, on a JACK server of its own: ``make test-daw``.

What Ardour itself does not manage (it loses the server now and then) skips a test with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mido
import numpy as np
import pytest
from ardour import Ardour, ArdourError, is_there
from jackframes import RATE, FrameEar, desk, off_grid, ons, wait_for
from liveports import BAND, ONE_LINE, READY, climbs, left_sounding, start

from melodygen.live.clock import TICK

for package, is_installed in (("jackd2", shutil.which("jackd") is not None), ("ardour", is_there())):
    if not is_installed:
        pytest.skip(f"{package} is not installed: apt-get install {package}", allow_module_level=True)

pytestmark = [pytest.mark.daw, pytest.mark.timeout(150)]
"""Ardour itself has 90 s (``ardour.MOST_SECONDS``)."""
BEAT = RATE // 2
"""Frames of a quarter at 120 qpm."""
BAR = 4 * BEAT
COMPENSATION_MS = -60
"""A stock Ardour moves what it records by its own latency: 26.3 or 37.5 ms to the left at 256 frames."""
STARTS, HELD = 2, 0.03
"""Attempts at being followed, and how near the tempo is held."""
TICK_MS = 0.27
"""A tick of Ardour's files, 1/1920 of a beat."""


@contextmanager
def ardour(env: dict[str, str], folder: Path, master: str = "JACK Transport") -> Iterator[Ardour]:
    """A running Ardour; the test is skipped where it fails."""
    daw = None
    try:
        daw = Ardour(env, folder, 120, master)
        yield daw
    except ArdourError as error:
        pytest.skip(f"Ardour: {error}")
    finally:
        if daw is not None:
            daw.kill()


class Live:
    """``melodygen live`` in a terminal, with one climbing line."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        ours, theirs = os.openpty()
        words = ("live", *BAND, *ONE_LINE, *arguments)
        self.process = start(env, ["-m", "melodygen", *words], stderr=theirs, stdin=subprocess.DEVNULL)
        os.close(theirs)
        self._read = b""
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()

    def _listen(self, terminal: int) -> None:
        while True:
            try:
                self._read += os.read(terminal, 4096)
            except OSError:  # it has ended
                return

    @property
    def text(self) -> str:
        return self._read.decode(errors="replace")

    @property
    def line(self) -> str:
        """The line at the bottom of the terminal."""
        return self.text.rpartition("\r\x1b[K")[2]

    def said(self, words: str) -> None:
        wait_for(lambda: words in self.text, 60)

    def close(self) -> None:
        self.process.terminate()
        assert self.process.wait(30) == 143, self.text


def recorded(daw: Ardour) -> list[tuple[float, int]]:
    """(beat, pitch) of the notes that Ardour recorded first; each has an end. Ardour must have been closed."""
    found: list[tuple[float, int]] = []
    midi = mido.MidiFile(daw.takes()[0])
    for track in midi.tracks:
        tick, sounding = 0, set()
        for message in track:
            tick += message.time
            if message.type == "note_on" and message.velocity:
                found.append((tick / midi.ticks_per_beat, message.note))
                sounding.add(message.note)
            elif message.type in ("note_on", "note_off"):
                sounding.discard(message.note)
        assert not sounding, "a note has no end in Ardour's file"
    return found


def test_ardour_records_under_jack_transport(jack: dict[str, str], tmp_path: Path) -> None:
    """A stock Ardour leads: the first down-beat, the take, a pulled cable, jumps, and the same music again."""
    (tmp_path / "daw").mkdir()
    ear = FrameEar(jack, "witness")
    with ardour(jack, tmp_path / "daw") as daw, desk(jack) as client:
        daw.lua("Session:cfg():set_external_sync(true); Session:cfg():set_jack_time_master(true)")
        take = tmp_path / "take.mid"
        live = Live(jack, "--port", "jack", "--sync", "jack", "--tempo", "120", "--record", str(take))
        live.said(READY)
        client.connect("melodygen:out", daw.INPUT)
        client.connect("melodygen:out", ear.name)
        daw.arm()
        daw.locate(0)
        time.sleep(1.0)
        daw.roll()
        daw.reach(2 * BAR)
        client.disconnect("melodygen:out", ear.name)
        live.said(f"the cable to '{ear.name}' is pulled")
        client.connect("melodygen:out", ear.name)
        live.said(f"'{ear.name}' is connected again")
        daw.reach(4 * BAR + BEAT // 2)
        daw.lua("Session:cfg():set_external_sync(false)")
        time.sleep(0.3)
        daw.stop()
        client.transport_stop()
        daw.recorded()
        daw.close()
        notes = recorded(daw)
        again = client.frame_time
        client.transport_frame = 0
        time.sleep(0.3)
        client.transport_start()
        wait_for(lambda: client.transport_frame >= BAR + BEAT // 2)
        status = live.line
        client.transport_frame = 8 * BAR
        wait_for(lambda: client.transport_frame >= 9 * BAR + BEAT // 2)
        client.transport_stop()
        time.sleep(0.3)
        live.close()
    rows = ear.close()
    assert not left_sounding(m for *_, m in rows)
    assert status.startswith("playing"), "a stretch that is played again is playing"
    first = [row for row in ons(rows) if row[0] < again]
    assert 0 <= first[0][2] < 0.1 * RATE, "the first down-beat is there"
    if not notes and len(first) >= 14:
        pytest.skip(f"Ardour recorded none of the {len(first)} notes that another program heard")
    errors = np.array([beat - round(beat) for beat, _ in notes]) * 500  # ms
    assert len(notes) >= 14 and np.median(np.abs(errors - np.median(errors))) < TICK_MS, errors
    assert COMPENSATION_MS < np.median(errors) < 1
    beats = [round(beat) for beat, _ in notes]
    assert beats == list(range(beats[0], beats[0] + len(beats)))
    own = mido.MidiFile(take)
    onset = next(m for m in own.tracks[-1] if m.type == "note_on").time
    assert onset < 0.1 * own.ticks_per_beat, "the recording begins on the host's bar line"
    replayed = [row for row in ons(rows) if row[0] >= again]
    same = [row for row in replayed if row[2] < 2 * BAR]
    assert [m[1] for *_, m in same] == [m[1] for *_, m in first[: len(same)]] and len(same) >= 5
    jumped = [row for row in replayed if row[2] > 2 * BAR]
    assert jumped and min(row[2] for row in jumped) < 8 * BAR + 0.1 * RATE
    off = off_grid([row[2] for row in (*first[1:], *same[1:], *jumped[1:])], BEAT)
    assert np.median(np.abs(off)) <= 2


def test_ardour_leads_by_midi_clock(jack: dict[str, str], tmp_path: Path) -> None:
    """Ardour's clock with Start, a jump back (Song Position Pointer) as in a loop, and Stop."""
    pytest.importorskip("rtmidi", exc_type=ImportError)
    (tmp_path / "daw").mkdir()
    ear = FrameEar(jack, "clocked")
    with ardour(jack, tmp_path / "daw") as daw, desk(jack) as client:
        daw.lua("Session:cfg():set_external_sync(false); ARDOUR.config():set_send_midi_clock(true)")
        live = Live(jack, "--port", "jack", "--sync", "virtual")
        live.said(READY)
        inputs = client.get_ports(is_midi=True, is_input=True)
        client.connect(daw.CLOCK, next(p for p in inputs if p.name.endswith("melodygen in")))
        client.connect("melodygen:out", daw.INPUT)
        client.connect("melodygen:out", ear.name)
        daw.arm()
        daw.locate(0)
        time.sleep(1.0)
        daw.roll()
        daw.reach(3 * BAR + BEAT // 2)
        daw.stop()
        daw.recorded()
        again = client.frame_time
        daw.locate(0)
        time.sleep(1.0)
        daw.roll()
        daw.reach(BAR + BEAT // 2)
        daw.jump(0)
        time.sleep(2.0)
        daw.stop()
        time.sleep(0.5)
        live.close()
        daw.close()
        notes = recorded(daw)
    rows = ear.close()
    assert not left_sounding(m for *_, m in rows)
    if not notes and len(ons(rows)) >= 10:
        pytest.skip(f"Ardour recorded none of the {len(ons(rows))} notes that another program heard")
    errors = np.array([beat - round(beat) for beat, _ in notes]) * 500
    assert len(notes) >= 10 and np.median(np.abs(errors - np.median(errors))) < 5, errors
    assert climbs([pitch for _, pitch in notes]) == list(range(len(notes)))
    pitches = [m[1] for *_, m in ons(rows)]
    replayed = [m[1] for frame, _, _, m in ons(rows) if frame >= again]
    # where the machine stalls for 30 ms at a start, the first note is left out
    assert len(set(replayed[:4]) & set(pitches[:4])) >= 3, "the same music again"
    assert replayed[1:].count(pitches[1]) >= 2, "and once more after the jump back"


def test_ardour_follows_our_clock(jack: dict[str, str], tmp_path: Path) -> None:
    """Ardour 7.3 runs away, some 20 times too fast, on ticks that lie on the starts of JACK's periods, every time. It
    does not hear the first Start, now and then, and sometimes runs away on even ticks: what is asserted is that ours
    are even, and that one of the attempts is followed, else it is Ardour's fault."""
    (tmp_path / "daw").mkdir()
    speeds, uneven = [], []
    with ardour(jack, tmp_path / "daw", "MIDI Clock") as daw, desk(jack) as client:
        daw.lua("Session:cfg():set_external_sync(true)")
        for number in range(STARTS):
            ear = FrameEar(jack, f"ticks{number}")
            live = Live(jack, "--port", "jack:ardour:MIDI Clock in", "--clock-out", "--tempo", "120")
            live.said("jazz to")
            client.connect("melodygen:out", ear.name)
            time.sleep(5.0)
            readings = []
            for _ in range(8):
                before = client.frame_time
                where = daw.frame
                readings.append(((before + client.frame_time) / 2, where))
                time.sleep(0.5)
            live.close()
            times, frames = np.array(readings).T
            speeds.append(float(np.polyfit(times, frames, 1)[0]))
            steps = np.diff([frame for frame, _, _, m in ear.close() if m == (TICK,)])
            assert len(steps) > 8 * 24
            uneven.append(float(np.quantile(np.abs(steps - BEAT / 24), 0.98)))
            if abs(speeds[-1] - 1.0) < HELD:
                break
    # but for the ticks of a machine that stalls
    assert max(uneven) <= 2, f"each tick is on its frame: off by {uneven}"
    if abs(speeds[-1] - 1.0) >= HELD:
        pytest.skip(f"Ardour runs at {speeds} times the tempo of even ticks")
