"""Ardour 7 without a screen (Debian's ``ardour``): makes a track, rolls, locates, records, gives the take."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

HOST = Path(__file__).parent / "ardour_host.lua"
STARTS = 3
"""Ardour loses the JACK server while it opens, now and then; then it is started again."""
OPEN_SECONDS, MOST_SECONDS = 25.0, 90.0
"""Longest time of one start, and of an Ardour's life: where it hangs, a test ends by then."""
CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<Ardour><Config/><TransportMasters current="{master}">
<TransportMaster type="Engine" name="JACK Transport" removeable="0"/>
<TransportMaster type="MTC" name="MTC" removeable="0"/>
<TransportMaster type="LTC" name="LTC" removeable="0"/>
<TransportMaster type="MIDIClock" name="MIDI Clock" removeable="0"/>
</TransportMasters></Ardour>"""
TRACK = """local dt = ARDOUR.DataType("midi"); local one = ARDOUR.ChanCount(dt, 1)
Session:new_midi_track(one, one, true, ARDOUR.PluginInfo(), nil, nil, 1, "take",
ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, false, false)"""
TEMPO = """local tm = Temporal.TempoMap.fetch_writable()
tm:set_tempo(Temporal.Tempo({0},{0},4), Temporal.timepos_t(0))
Temporal.TempoMap.update(tm); tm = nil"""
ARM = """local r = Session:route_by_name("take"):to_track()
r:rec_enable_control():set_value(1, PBD.GroupControlDisposition.NoGroup); Session:maybe_enable_record()"""
USER = "ARDOUR.TransportRequestSource.TRS_UI"
STILL, ROLLING = "MustStop", "RollIfAppropriate"


class ArdourError(Exception):
    """Ardour does not do what it should; no fault of ours."""


class Ardour:
    """An Ardour with a session of one MIDI track, ``take``, at ``qpm``.

    Args:
        env: the environment, with the JACK server's name.
        folder: an empty folder.
        qpm: tempo.
        master: what it follows when external sync is on.
    """

    INPUT = "ardour:take/midi_in 1"
    CLOCK = "ardour:MIDI Clock out"

    def __init__(self, env: dict[str, str], folder: Path, qpm: int, master: str = "JACK Transport") -> None:
        self._env, self._folder, self._number = env, folder, 0
        self._until = time.monotonic() + MOST_SECONDS
        config = folder / "home" / ".config" / "ardour7"
        config.mkdir(parents=True)
        (config / "config").write_text(CONFIG.format(master=master))
        for start in range(STARTS):
            self._session, self._commands = folder / f"session{start}", folder / f"commands{start}"
            if self._open():
                break
        else:
            raise ArdourError("Ardour does not keep its JACK server: " + self._log.read_text()[-500:])
        self.lua(TRACK)
        self.lua(TEMPO.format(qpm))

    def _open(self) -> bool:
        self._commands.mkdir()
        self._log, self._number = self._commands / "log", 0
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                ["ardour7-lua", str(HOST), str(self._session), str(self._commands)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**self._env, "HOME": str(self._folder / "home")}, start_new_session=True,
            )  # fmt: skip
        until = min(time.monotonic() + OPEN_SECONDS, self._until)
        while "SESSION READY" not in self._log.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                return False
            time.sleep(0.1)
        time.sleep(0.5)
        if "HALTED" in self._log.read_text(errors="replace"):
            self.kill()
            return False
        return True

    def lua(self, code: str, seconds: float = 20.0) -> str:
        """Run code in Ardour and return its result."""
        self._number += 1
        path = self._commands / f"{self._number}.lua"
        path.with_suffix(".new").write_text(code)
        path.with_suffix(".new").rename(path)
        out, until = path.with_suffix(".out"), min(time.monotonic() + seconds, self._until)
        while not out.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise ArdourError(f"no answer to {code!r}: {self._log.read_text(errors='replace')[-500:]}")
            time.sleep(0.01)
        state, _, result = out.read_text().partition("\n")
        if state != "ok":
            raise ArdourError(f"{code!r}: {result}")
        return result.strip()

    def arm(self) -> None:
        """Arm the track and the session for recording."""
        self.lua(ARM)

    def roll(self) -> None:
        """Press play."""
        self.lua(f"Session:request_roll({USER})")

    def stop(self) -> None:
        """Press stop."""
        self.lua(f"Session:request_stop(false, false, {USER})")

    def locate(self, frame: int, then: str = STILL) -> None:
        """Go to a frame, and stop there or roll on."""
        self.lua(f"Session:request_locate({frame}, false, ARDOUR.LocateTransportDisposition.{then}, {USER})")

    def jump(self, frame: int) -> None:
        """Go to a frame while it rolls. Ardour stops itself then, now and then; it is told to roll again."""
        self.locate(frame, ROLLING)
        time.sleep(0.4)
        if self.lua("return Session:transport_rolling()") != "true":
            self.roll()

    @property
    def frame(self) -> int:
        """Where the transport is."""
        return int(self.lua("return Session:transport_sample()"))

    def reach(self, frame: int, seconds: float = 30.0) -> None:
        """Wait until its transport has come to a frame."""
        until = time.monotonic() + seconds
        while self.frame < frame:
            if time.monotonic() > until:
                raise ArdourError(f"its transport does not come to frame {frame} in {seconds:g} s")
            time.sleep(0.02)

    def recorded(self, seconds: float = 30.0) -> None:
        """Wait until the take is written."""
        until = time.monotonic() + seconds
        while not self.takes():
            if time.monotonic() > until:
                raise ArdourError("it writes no take")
            time.sleep(0.1)

    def takes(self) -> list[Path]:
        """Return the MIDI files that were recorded. The transport must have stopped."""
        return sorted(self._session.glob("interchange/*/midifiles/*.mid"))

    def close(self) -> None:
        """Save the session and leave."""
        try:
            self.lua("leave()")
            self.process.wait(20)
        except (ArdourError, subprocess.TimeoutExpired):
            self.kill()

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def is_there() -> bool:
    """Return whether Ardour 7 is installed."""
    return any(os.access(Path(folder) / "ardour7-lua", os.X_OK) for folder in os.get_exec_path())
