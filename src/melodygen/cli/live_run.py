"""Runs ``melodygen live``: checks the options, opens the ports, and plays until it is told to stop."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from melodygen.cli.learn import learned_controls
from melodygen.cli.live_session import Line, exit_as_told, signals_stop
from melodygen.engine import ProcessWriter
from melodygen.engine.core import CHANNELS
from melodygen.errors import UsageError
from melodygen.live.clock import ClockFollower, InternalClock
from melodygen.live.moves import MOVES, Controls
from melodygen.live.ports import MidiOutput, Port, PortInput, find_port, list_inputs
from melodygen.live.session import SessionOptions
from melodygen.live.terminal import keys
from melodygen.music.score import ROLES
from melodygen.music.units import bar_quarters
from melodygen.parsing import check_range
from melodygen.registry import nearest
from melodygen.services.models import ModelNames, load_writer, shipped_styles
from melodygen.services.output import check_writable, prepare_folder
from melodygen.services.performance import LiveMusic, LivePerformance, check_live_music, opening_of
from melodygen.services.ports import VIRTUAL_NAME, open_outputs, playing_priority, watch_ports

JACK = "jack"
RECORD_BYTES = 1 << 20

LOOKS_BEFORE_START = 2
"""The first block asks the writer for the first phrase, which takes longer than notes may be late: the music begins
behind it, up to 0.1 s later."""


@dataclass(frozen=True)
class LiveOptions:
    """The options of ``melodygen live``. ``parameters`` are those of the engine that were given, by name."""

    models: ModelNames
    parameters: Mapping[str, Any]
    standby: str | None = None
    until: int | None = None
    tempo: float | None = None
    meter: str | None = None
    sync: str | None = None
    clock_out: bool = False
    latency: float = 0.0
    count_in: int = 0
    wait: bool = False
    realtime: bool | None = None
    port: list[str] | None = None
    virtual: bool = False
    ports_per_role: bool = False
    listen: str | None = None
    thru: bool = False
    channels: str | None = None
    record: Path | None = None
    save_bars: int = 8
    controls: Path | None = None
    force: bool = False
    quiet: bool = False
    json_: bool = False
    stored_opening: bool = True


@dataclass(frozen=True)
class _Settings:
    """What the options come to: all checked, before anything is opened or loaded."""

    music: LiveMusic
    channels: dict[str, int]
    learned: dict[tuple[int, int], str]
    styles: tuple[str, ...] | None = None
    """What the writer will know, where a stored phrase plays before it is loaded."""

    @property
    def mode(self) -> str:
        return str(self.music.parameters.get("mode", "play"))


class _LiveRun:
    """The engine, the session and all that is open while it plays."""

    def __init__(
        self, options: LiveOptions, settings: _Settings, writer: ProcessWriter, output: MidiOutput, clock: Any
    ) -> None:
        self.options, self.settings, self.writer, self.clock = options, settings, writer, clock
        beats, unit = settings.music.meter
        playing = LivePerformance(
            self.writer,
            settings.music,
            output,
            clock,
            SessionOptions(
                meter=settings.music.meter,
                latency_seconds=options.latency / 1000,
                clock_out=options.clock_out,
                count_in_bars=options.count_in,
                thru=options.thru,
                until=float("inf") if options.until is None else options.until * bar_quarters(beats, unit),
            ),
            keep_all=options.record is not None,
            channels=settings.channels,
        )
        self.engine, self.session, self.player = playing.engine, playing.session, playing.player
        self.recorder = playing.recorder
        self.line = Line(lambda: _where(self.engine, self.session, clock), options.quiet)
        self.session.on_notice = self.line.say
        actions = playing.actions(options.save_bars, self.line.say)
        self.signals: list[int] = []
        self._num_looks = 0
        self.controls = Controls(actions.do, settings.learned)
        self.session.on_control = self.controls.control

    def close(self) -> None:
        self.engine.close()

    def pressed(self, character: str) -> None:
        if not self.controls.key(character):
            self.line.say(_help())

    def open_inputs(self, ports: list[Port]) -> str:
        """Open what is listened to. What the transport follows, for the first line; empty for our own clock."""
        followed = ""
        for name in dict.fromkeys(_inputs(self.options)):
            is_own = name == "virtual"
            opened = PortInput(f"{VIRTUAL_NAME} in" if is_own else name, self.session.receive, virtual=is_own)
            ports.append(opened)
            followed = opened.name if name == self.options.sync else followed
        return "JACK's transport" if self.options.sync == JACK else followed

    def play(self, output: MidiOutput, ports: Sequence[Port], followed: str) -> None:
        """Until the session ends."""
        engine, session, line = self.engine, self.session, self.line
        with (
            line,
            signals_stop(session) as self.signals,
            keys(self.pressed),
            watch_ports(ports, session, self.player, line.say),
        ):
            following = followed and f", following {followed}"
            line.say(f"{engine.parameter_value('style')} to {output.name}{following}")
            is_answering = self.settings.mode == "answer"
            if self.options.sync is None and not self.options.wait:
                session.start_when(
                    lambda: is_answering or (engine.is_ready and self._num_looks >= LOOKS_BEFORE_START)
                )
            look = self._look(bool(following) and not is_answering)
            session.run(look, playing_priority(self.options.realtime, ports))

    def _look(self, is_awaited: bool) -> Callable[[], None]:
        """What is done between blocks: notices are said, and once that the first phrase is written."""

        def look() -> None:
            nonlocal is_awaited
            self._num_looks += 1
            if self.engine.refusal:
                raise UsageError(self.engine.refusal)
            self.line.say_all(self.engine.notices())
            if is_awaited and self.engine.is_ready:
                is_awaited = False
                self.line.say("ready: the first phrase is written")

        return look

    def finish(self) -> None:
        """Save the recording and print the report, where they are asked for."""
        record = self.options.record
        if record is not None and self.session.played_quarters:
            count = self.recorder.save(record, overwrite=self.options.force)
            self.line.say(f"{record}: {count} notes")
        if self.options.json_:
            print(
                json.dumps(
                    _report(
                        self.engine, self.session, self.player, self.settings.music.first_phrase is not None
                    )
                )
            )


def run_live(options: LiveOptions) -> None:
    """Play. Raises UsageError before anything is loaded, PortError for ports, and what loading the models raises."""
    settings = _settings(options)
    with ExitStack() as slow:
        writer = _writer(options, settings)
        slow.callback(writer.close)
        # the ports are closed, and their guard let go, before anything that may take its time
        virtual = VIRTUAL_NAME if options.virtual or (options.ports_per_role and not options.port) else None
        outputs = open_outputs(options.port or [], virtual, settings.channels, options.ports_per_role)
        with outputs as (output, ports):
            clock = slow.enter_context(_clock(options.sync, settings.music.qpm, ports))
            for name in _inputs(options):
                if name != "virtual":
                    find_port(name, list_inputs(), "input")
            if not options.quiet:
                begins = "; a stored phrase begins" if settings.music.first_phrase is not None else ""
                print(f"loading the models{begins}", file=sys.stderr)
            live = _LiveRun(options, settings, writer, output, clock)
            slow.callback(live.close)
            live.play(output, ports, live.open_inputs(ports))
        live.finish()
    exit_as_told(live.signals)


def _writer(options: LiveOptions, settings: _Settings) -> ProcessWriter:
    """The process that writes; it loads the models while the ports are opened, and while a stored phrase plays."""
    names = options.models
    soundfont = None if names.soundfont is None else str(names.soundfont)
    return ProcessWriter(
        functools.partial(load_writer, names.model, names.classifier, names.renderer, soundfont),
        wait=False,
        styles=settings.styles,
    )


def _settings(options: LiveOptions) -> _Settings:
    standby = tuple(s for s in (options.standby or "").split(",") if s)
    music = check_live_music(options.parameters, standby, options.tempo, options.meter, options.models.model)
    check_range("latency", options.latency, -1000, 1000)
    check_range("count-in", options.count_in, 0, 8)
    check_range("save-bars", options.save_bars, 1, 1000)
    if options.until is not None:
        check_range("until", options.until, 1, 1_000_000)
    if options.parameters.get("mode", "play") != "play" and options.listen is None:
        raise UsageError(
            f"--mode {options.parameters['mode']} needs what it listens to: --input NAME (see 'melodygen ports')"
        )
    if options.sync is not None and options.count_in:
        raise UsageError("--count-in is for our own clock; with --sync the DAW counts")
    channels = {**CHANNELS, **_channels(options.channels)}
    if options.record is not None:
        check_writable([options.record], options.force)
        prepare_folder(options.record.parent, RECORD_BYTES)
    shipped = shipped_styles() if options.stored_opening and options.models == ModelNames() else ()
    opening = opening_of(music) if shipped else None
    return _Settings(
        replace(music, first_phrase=opening), channels, learned_controls(options.controls),
        None if opening is None else shipped,
    )  # fmt: skip


def _inputs(options: LiveOptions) -> list[str]:
    """Ports that are listened to: the clock, unless it is JACK's, and the instrument."""
    return [n for n in (None if options.sync == JACK else options.sync, options.listen) if n is not None]


@contextmanager
def _clock(sync: str | None, qpm: float, ports: Sequence[Port]) -> Iterator[Any]:
    """Our own, or one that follows; JACK's agrees with JACK's own ports on when a frame is."""
    if sync == JACK:
        from melodygen.live.jack_output import JackOutput
        from melodygen.live.jack_transport import JackClock

        clock = JackClock(qpm, next((p.frames for p in ports if isinstance(p, JackOutput)), None))
        try:
            yield clock
        finally:
            clock.close()
    else:
        yield InternalClock(qpm) if sync is None else ClockFollower(qpm)


def _channels(text: str | None) -> dict[str, int]:
    """``bass=3,drums=10``, channels from 1 as musicians count."""
    found = {}
    for part in (text or "").split(","):
        role, _, channel = part.strip().partition("=")
        if not role:
            continue
        if role not in ROLES:
            raise UsageError(f"channel of {role!r}: {nearest(role, ROLES)}")
        if not channel.isdecimal():
            raise UsageError(f"channels {part!r}: write ROLE=NUMBER, like drums=10")
        check_range(f"channel of {role}", int(channel), 1, 16)
        found[role] = int(channel) - 1
    return found


def _help() -> str:
    listed = {" ": "space"}
    return "\n".join(f"  {listed.get(m.key, m.key):<6} {m.description}" for m in MOVES if m.key)


def _where(engine: Any, session: Any, clock: Any) -> str:
    status = engine.status
    bar, beat = divmod(max(0.0, session.position_quarters), bar_quarters(*session.meter))
    parts = [
        status.state,
        f"bar {int(bar) + 1}.{int(beat * session.meter[1] / 4) + 1}",
        f"{clock.qpm:.1f} qpm",
        status.style + (f" {status.style_probability:.2f}" if status.style_probability is not None else ""),
        f"phrase {status.phrase_number}",
        *(["next is ready"] if status.num_ready else []),
        *(["stored opening"] if status.is_stored else []),
        *([status.hurry] if status.hurry else []),
        *(["loop"] if status.looping else []),
        *(["frozen"] if status.frozen else []),
        *([f"off: {', '.join(status.muted)}"] if status.muted else []),
        "? for keys",
    ]
    return "  ".join(parts)


def _report(engine: Any, session: Any, player: Any, stored: bool) -> dict[str, Any]:
    sent = player.punctuality()
    return {
        "quarters": round(session.played_quarters, 3),
        "phrases": engine.status.phrase_number,
        "notes_sent": sent.num_sent,
        "notes_dropped_late": sent.num_dropped,
        "lateness_ms": {
            "median": round(sent.median * 1000, 3),
            "p99": round(sent.p99 * 1000, 3),
            "max": round(sent.worst * 1000, 3),
        },
        "repeats": engine.status.num_repeats,
        "gaps": engine.status.num_gaps,
        "written": dict(sorted(engine.num_written.items())),
        "stored_opening": stored,
    }
