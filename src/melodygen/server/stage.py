"""The process that plays: a live session, or a piece, to a MIDI port of this machine or to the page.

It is a process of its own so that its notes keep their time while the server works. Commands come over a pipe as
tuples: ``("move", name, value)``, ``("set", name, value)``, ``("stop",)``; what happens goes back as ``(what, data)``:
``status`` ten times a second, ``notes`` for the page, ``notice``, ``error``. It ends with the pipe.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melodygen.errors import MelodygenError, UsageError
from melodygen.live.transport import NOTE_ON, MidiBytes
from melodygen.music.units import bar_quarters
from melodygen.services.models import ModelNames

if TYPE_CHECKING:
    from melodygen.live.ports import MidiOutput, Port
    from melodygen.live.session import Session
    from melodygen.services.performance import LiveMusic

LIVE, PIECE = "live", "piece"
PAGE, VIRTUAL = "page", "virtual"
"""Ports by other names: the browser that looks on, and a new port that other programs connect to."""
SAVE_BARS = 8
EACH_STATUS = 2
"""Of the session's looks, about twenty a second."""
PAGE_LATE_SECONDS = 2.0
"""The page plays what it gets a moment later, and waits longer where it must: a note may be told late."""
TAKE = "take.mid"
SHOWN = ("style", "density", "swing", "temperature", "humanize")
"""Parameters that the status tells."""


@dataclass(frozen=True)
class Show:
    """What shall be played: ``music`` live, or the ``piece``, a file. ``port`` and ``listen`` are names of ports."""

    kind: str
    port: str
    music: LiveMusic | None = None
    piece: Path | None = None
    loop: bool = False
    listen: str | None = None
    count_in: int = 0
    clock_out: bool = False
    latency_seconds: float = 0.0
    wait: bool = False
    models: ModelNames = field(default_factory=ModelNames)


class Tap:
    """An output that measures what goes through it, and keeps it for the page where there is no port."""

    def __init__(self, port: MidiOutput | None) -> None:
        self._port = port
        self.name = PAGE if port is None else port.name
        self._begun = time.perf_counter()
        self._levels: dict[int, int] = {}
        self._sent: list[tuple[float, MidiBytes]] = []

    @property
    def lead_seconds(self) -> float:
        """How long before its time a message is to be handed over."""
        return 0.0 if self._port is None else self._port.lead_seconds

    def keep_time(self) -> None:
        """Look at the clock that the port keeps."""
        if self._port is not None:
            self._port.keep_time()

    def recall(self, is_stop: bool) -> None:
        """Take back what was handed over ahead of its time."""
        if self._port is not None:
            self._port.recall(is_stop)

    def send(self, message: MidiBytes, at: float | None = None) -> bool:
        """Send a message and return whether it went out."""
        if message[0] & 0xF0 == NOTE_ON and message[2]:
            channel = message[0] & 0x0F
            self._levels[channel] = max(self._levels.get(channel, 0), message[2])
        if self._port is not None:
            return self._port.send(message, at)
        when = time.perf_counter() if at is None else at
        self._sent.append((round(when - self._begun, 4), message))
        return True

    def levels(self, channels: Mapping[str, int]) -> dict[str, float]:
        """Role -> loudest note-on since the last call, 0.0 to 1.0."""
        taken, self._levels = self._levels, {}
        return {role: round(taken.get(channel, 0) / 127, 2) for role, channel in channels.items()}

    def sent(self) -> list[tuple[float, MidiBytes]]:
        """(seconds since the beginning, message) of what the page has not got yet."""
        taken, self._sent = self._sent, []
        return taken


def serve(show: Show, folder: str, connection: Connection) -> None:
    """Play until it is told to stop, the piece ends, or the server is gone. Files that are saved go into ``folder``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to act on

    def tell(what: str, data: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError, OSError):
            connection.send((what, data))

    try:
        with _open(show) as (output, ports):
            tap = Tap(output)
            if show.kind == LIVE:
                _Live(show, tap, ports, connection, tell).play(folder)
            else:
                _play_piece(show, tap, ports, connection, tell)
    except MelodygenError as error:
        tell("error", {"error": str(error)})
    except Exception as error:  # a fault of ours, or of a port's library
        tell("error", {"error": f"{type(error).__name__}: {error}"})
    connection.close()


@contextlib.contextmanager
def _open(show: Show) -> Iterator[tuple[MidiOutput | None, list[Port]]]:
    from melodygen.engine.core import CHANNELS
    from melodygen.services.ports import VIRTUAL_NAME, open_outputs

    if show.port == PAGE:
        yield None, []
        return
    is_virtual = show.port == VIRTUAL
    names, virtual = ([], VIRTUAL_NAME) if is_virtual else ([show.port], None)
    with open_outputs(names, virtual, dict(CHANNELS)) as opened:
        yield opened


def _obey(connection: Connection, session: Session, do: Callable[..., None]) -> None:
    """Act on commands in a thread of their own, until the pipe closes."""

    def run() -> None:
        while True:
            try:
                what, *values = connection.recv()
            except (EOFError, OSError):
                break
            if what == "stop":
                break
            do(what, *values)
        session.stop()

    threading.Thread(target=run, name="melodygen-commands", daemon=True).start()


class _Live:
    """A live session with what it tells."""

    def __init__(
        self, show: Show, tap: Tap, ports: list[Port], connection: Connection,
        tell: Callable[[str, Mapping[str, Any]], None],
    ) -> None:  # fmt: skip
        self._show, self._tap, self._ports, self._connection, self._tell = show, tap, ports, connection, tell
        self._looks = 0

    def play(self, folder: str) -> None:
        """Until it is stopped. What is saved goes into ``folder``."""
        from melodygen.engine import ProcessWriter
        from melodygen.engine.core import CHANNELS
        from melodygen.live.clock import InternalClock
        from melodygen.live.player import LATE_SECONDS
        from melodygen.live.ports import PortInput
        from melodygen.live.session import SessionOptions
        from melodygen.services.models import load_writer
        from melodygen.services.performance import LivePerformance
        from melodygen.services.ports import playing_priority, watch_ports

        show, music = self._show, self._show.music
        assert music is not None
        self._channels = CHANNELS
        self._clock = InternalClock(music.qpm)
        names = show.models
        writer = ProcessWriter(functools.partial(load_writer, names.model, names.classifier, names.renderer))
        os.chdir(
            folder
        )  # where the move "save" saves; after the processes were started, which may need the old one
        try:
            options = SessionOptions(
                meter=music.meter, latency_seconds=show.latency_seconds, clock_out=show.clock_out,
                count_in_bars=show.count_in,
            )  # fmt: skip
            late = PAGE_LATE_SECONDS if show.port == PAGE else LATE_SECONDS
            playing = self._playing = LivePerformance(
                writer, music, self._tap, self._clock, options, keep_all=True, late_seconds=late
            )
            session = playing.session
            session.on_notice = self._say
            self._actions = playing.actions(SAVE_BARS, self._say)
            if show.listen is not None:
                self._ports.append(PortInput(show.listen, session.receive))
            _obey(self._connection, session, self._do)
            if not show.wait:
                session.start_when(
                    lambda: playing.engine.is_ready or music.parameters.get("mode") == "answer"
                )
            try:
                with watch_ports(self._ports, session, playing.player, self._say):
                    session.run(self._look, playing_priority(None, self._ports))
            finally:
                playing.engine.close()
                self._tell("notes", {"notes": self._tap.sent()})  # the last ones end what sounded
            if session.played_quarters:
                playing.recorder.save(Path(TAKE), overwrite=True)
        finally:
            writer.close()

    def _say(self, text: str) -> None:
        self._tell("notice", {"text": text})

    def _do(self, what: str, name: str, value: Any) -> None:
        try:
            if what == "move":
                self._actions.do(name, value)
            elif name == "qpm":
                self._playing.session.set_qpm(value)
            else:
                self._playing.engine.set_parameter(name, value)
        except MelodygenError as error:
            self._say(str(error))

    def _look(self) -> None:
        engine = self._playing.engine
        if engine.refusal:
            raise UsageError(engine.refusal)
        for text in engine.notices():
            self._say(text)
        if sent := self._tap.sent():
            self._tell("notes", {"notes": sent})
        self._looks += 1
        if self._looks % EACH_STATUS == 0:
            self._tell("status", self._status())

    def _status(self) -> dict[str, Any]:
        engine, session = self._playing.engine, self._playing.session
        status, sent = engine.status, self._playing.player.punctuality()
        return {
            **_where(session, self._clock.qpm),
            "state": status.state, "style": status.style, "style_probability": status.style_probability,
            "phrase": status.phrase_number, "ready": status.num_ready, "hurry": status.hurry,
            "looping": status.looping, "frozen": status.frozen, "muted": list(status.muted),
            "levels": self._tap.levels(self._channels), "notes_sent": sent.num_sent,
            "late_ms": round(1000 * sent.p99, 2), "port": self._tap.name,
            "parameters": {name: engine.parameter_value(name) for name in SHOWN},
        }  # fmt: skip


def _where(session: Session, qpm: float) -> dict[str, Any]:
    bar, beat = divmod(max(0.0, session.position_quarters), bar_quarters(*session.meter))
    return {
        "running": session.is_running, "bar": int(bar) + 1, "beat": int(beat * session.meter[1] / 4) + 1,
        "qpm": round(qpm, 2), "meter": "{}/{}".format(*session.meter),
    }  # fmt: skip


def _play_piece(
    show: Show, tap: Tap, ports: list[Port], connection: Connection,
    tell: Callable[[str, Mapping[str, Any]], None],
) -> None:  # fmt: skip
    from melodygen.engine.core import CHANNELS
    from melodygen.live.clock import InternalClock
    from melodygen.live.player import Player
    from melodygen.live.session import Session, SessionOptions
    from melodygen.services.performance import read_playable
    from melodygen.services.ports import playing_priority

    assert show.piece is not None
    processor, score, _ = read_playable(show.piece)
    meter = score.time_signatures[0]
    clock = InternalClock(tempos=processor.tempos)
    options = SessionOptions(
        meter=(meter.numerator, meter.denominator),
        loop=(0.0, processor.bars[-1]) if show.loop else None,
        until=float("inf") if show.loop else processor.length_quarters + 1e-6,
    )
    session = Session(processor, Player(tap), clock, options)
    session.on_notice = lambda text: tell("notice", {"text": text})
    _obey(connection, session, lambda what, name, value: session.toggle() if name == "start" else None)
    session.start_when(lambda: True)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks % EACH_STATUS == 0:
            state = "playing" if session.is_running else "stopped"
            tell(
                "status",
                {
                    **_where(session, session.qpm),
                    "state": state,
                    "levels": tap.levels(CHANNELS),
                    "port": tap.name,
                },
            )

    session.run(look, playing_priority(None, ports))
