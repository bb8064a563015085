"""``melodygen live``: freshly written music into a port, in time."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

_MUSIC, _TIME, _PORTS, _HANDS, _MODELS = "What is played", "Time", "Ports", "Hands on", "Models"
JACK = "jack"


def live(
    style: Annotated[
        str, typer.Option("--style", "-s", help="See 'melodygen styles'.", rich_help_panel=_MUSIC)
    ] = "jazz",
    mode: Annotated[
        str, typer.Option(help="play on, answer what comes in, or accompany it.", rich_help_panel=_MUSIC)
    ] = "play",
    tracks: Annotated[
        str | None,
        typer.Option(help="Roles: melody,chords,bass,drums. Default: the style's.", rich_help_panel=_MUSIC),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Key like C, Am.", rich_help_panel=_MUSIC)] = None,
    bars: Annotated[int, typer.Option(help="Bars written at once, 1-16.", rich_help_panel=_MUSIC)] = 4,
    density: Annotated[
        float | None, typer.Option(help="0 (sparse) to 1 (dense).", rich_help_panel=_MUSIC)
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="0.1-2.", rich_help_panel=_MUSIC)] = None,
    swing: Annotated[
        float, typer.Option(help="Off-beat at 0.5 (as written) to 0.75.", rich_help_panel=_MUSIC)
    ] = 0.5,
    humanize: Annotated[float, typer.Option(help="0-1.", rich_help_panel=_MUSIC)] = 0.0,
    late: Annotated[
        str, typer.Option(help="When nothing new is ready: repeat or rest.", rich_help_panel=_MUSIC)
    ] = "repeat",
    opening: Annotated[
        bool,
        typer.Option(
            "--opening/--no-opening",
            help="Begin at once with a bar no classifier heard, or wait for a whole phrase that was.",
            rich_help_panel=_MUSIC,
        ),
    ] = True,
    standby: Annotated[
        str | None,
        typer.Option(help="Styles kept ready, so that changing to them is quick.", rich_help_panel=_MUSIC),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Default: random.", rich_help_panel=_MUSIC)] = None,
    until: Annotated[
        int | None, typer.Option(help="Leave after so many bars.", rich_help_panel=_MUSIC)
    ] = None,
    tempo: Annotated[
        float | None, typer.Option(help="Own clock, 20-300 qpm. Default: the style's.", rich_help_panel=_TIME)
    ] = None,
    meter: Annotated[str | None, typer.Option(help="4/4, 3/4, 6/8.", rich_help_panel=_TIME)] = None,
    sync: Annotated[
        str | None,
        typer.Option(
            help="Follow MIDI clock from this input; 'virtual' opens one, 'jack' is JACK's transport.",
            rich_help_panel=_TIME,
        ),
    ] = None,
    clock_out: Annotated[
        bool, typer.Option("--clock-out", help="Send MIDI clock, Start, Stop.", rich_help_panel=_TIME)
    ] = False,
    latency: Annotated[
        float, typer.Option(help="Milliseconds by which music goes out earlier.", rich_help_panel=_TIME)
    ] = 0.0,
    count_in: Annotated[int, typer.Option(help="Bars of clicks first.", rich_help_panel=_TIME)] = 0,
    wait: Annotated[
        bool, typer.Option("--wait", help="Do not start until the space bar.", rich_help_panel=_TIME)
    ] = False,
    realtime: Annotated[
        bool,
        typer.Option("--realtime", help="Real-time priority, where it is granted.", rich_help_panel=_TIME),
    ] = False,
    port: Annotated[
        list[str] | None,
        typer.Option(
            "--port", "-p", help="Name, beginning or number; ROLE=NAME for one role.", rich_help_panel=_PORTS
        ),
    ] = None,
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Open a port of our own, 'melodygen'.", rich_help_panel=_PORTS)
    ] = False,
    listen: Annotated[
        str | None,
        typer.Option("--input", help="Keyboard or controller; 'virtual' opens one.", rich_help_panel=_PORTS),
    ] = None,
    thru: Annotated[bool, typer.Option("--thru", help="Pass --input on.", rich_help_panel=_PORTS)] = False,
    channels: Annotated[
        str | None,
        typer.Option(help="melody=1,chords=2,bass=3,other=4,drums=10.", rich_help_panel=_PORTS),
    ] = None,
    programs: Annotated[
        bool, typer.Option("--programs/--no-programs", help="Send program changes.", rich_help_panel=_PORTS)
    ] = True,
    record: Annotated[
        Path | None, typer.Option(help="Keep all that is played in this file.", rich_help_panel=_HANDS)
    ] = None,
    save_bars: Annotated[int, typer.Option(help="What the save key saves.", rich_help_panel=_HANDS)] = 8,
    learn: Annotated[
        bool, typer.Option("--learn", help="Teach controllers, then leave.", rich_help_panel=_HANDS)
    ] = False,
    controls: Annotated[
        Path | None,
        typer.Option(help="File of learned controllers. Default: in your settings.", rich_help_panel=_HANDS),
    ] = None,
    candidates: Annotated[
        int, typer.Option(help="Phrases to choose from, 1-16.", rich_help_panel=_MODELS)
    ] = 3,
    min_style: Annotated[float, typer.Option(help="Good enough, 0-1.", rich_help_panel=_MODELS)] = 0.5,
    model: Annotated[str | None, typer.Option(help="Generator.", rich_help_panel=_MODELS)] = None,
    classifier: Annotated[str | None, typer.Option(help="Classifier.", rich_help_panel=_MODELS)] = None,
    renderer: Annotated[str | None, typer.Option(help="Renderer.", rich_help_panel=_MODELS)] = None,
    soundfont: Annotated[Path | None, typer.Option(help="SF2 or SF3.", rich_help_panel=_MODELS)] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace --record.", rich_help_panel=_HANDS)] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing.", rich_help_panel=_HANDS)
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="At the end one JSON object.", rich_help_panel=_HANDS)
    ] = False,
) -> None:
    """Play freshly written music into a DAW, in time with it.

    Phrases are written ahead and heard by the classifier in a process of their own while this one plays.
    Press ? for the keys.
    """
    from melodygen.services import models as services
    from melodygen.cli.learn import controls_path, learn_controls, learned_controls
    from melodygen.cli.live_session import VIRTUAL_NAME, Line, open_outputs, signals_stop, watch_ports
    from melodygen.services.output import prepare_folder, refuse_existing
    from melodygen.engine import Engine, ProcessWriter
    from melodygen.engine.actions import LiveActions
    from melodygen.engine.core import CHANNELS
    from melodygen.engine.parameters import Parameters
    from melodygen.errors import UsageError
    from melodygen import parsing
    from melodygen.request import CONTROLS
    from melodygen.live.moves import Controls
    from melodygen.live.player import Player
    from melodygen.live.ports import PortInput, find_port, list_inputs
    from melodygen.live.recorder import Recorder
    from melodygen.live.session import Session, SessionOptions
    from melodygen.live.terminal import keys
    from melodygen.registry import list_styles

    if learn:
        learn_controls(listen, controls_path(controls))
        return
    kept_ready = tuple(s for s in (standby or "").split(",") if s)
    for name in (style, *kept_ready) if model is None else ():
        parsing.check_style(name, list_styles())
    usual = services.style_of(style)
    qpm = usual.qpm if tempo is None else tempo
    CONTROLS["qpm"].check(qpm)
    parsing.check_range("latency", latency, -1000, 1000)
    parsing.check_range("count-in", count_in, 0, 8)
    parsing.check_range("save-bars", save_bars, 1, 1000)
    if until is not None:
        parsing.check_range("until", until, 1, 1_000_000)
    if mode != "play" and listen is None:
        raise UsageError(f"--mode {mode} needs what it is to hear: --input NAME (see 'melodygen ports')")
    if sync is not None and count_in:
        raise UsageError("--count-in is for our own clock; with --sync the DAW counts")
    beats = usual.meter if meter is None else parsing.parse_meter(meter)
    roles = usual.tracks if tracks is None else parsing.parse_tracks(tracks)
    to_channel = {**CHANNELS, **_channels(channels)}
    if record is not None:
        refuse_existing([record], force)
        prepare_folder(record.parent, 1 << 20)
    learned = learned_controls(controls)
    knobs: dict[str, Any] = {
        "style": style, "mode": mode, "tracks": roles, "key": key, "bars_per_phrase": bars, "density": density,
        "temperature": temperature, "swing": swing, "humanize": humanize, "late": late, "opening": opening,
        "candidates": candidates, "min_style": min_style, "program_changes": programs,
        "seed": services.random_seed() if seed is None else seed,
    }  # fmt: skip
    Parameters((style,), **knobs)  # what cannot be is said before the models are loaded
    load = functools.partial(
        services.load_writer, model, classifier, renderer, None if soundfont is None else str(soundfont)
    )
    recorder = Recorder(record is not None, {c: r for r, c in to_channel.items()})

    with ExitStack() as slow:
        # the ports are closed, and their guard let go, before anything that may take its time
        with open_outputs(port or [], VIRTUAL_NAME if virtual else None, to_channel) as (output, ports):
            clock = slow.enter_context(_clock(sync, qpm))
            wanted = [n for n in (None if sync == JACK else sync, listen) if n is not None]
            for name in wanted:
                if name != "virtual":
                    find_port(name, list_inputs(), "input")
            if not quiet:
                print("loading the models", file=sys.stderr)
            writer = ProcessWriter(load)
            slow.callback(writer.close)
            engine = Engine(
                writer,
                channels=to_channel,
                standby=kept_ready,
                **knobs,
            )
            slow.callback(engine.close)
            player = Player(output)
            session = Session(
                engine,
                player,
                clock,
                SessionOptions(
                    meter=beats,
                    latency_seconds=latency / 1000,
                    clock_out=clock_out,
                    count_in_bars=count_in,
                    thru=thru,
                    until=float("inf") if until is None else until * beats[0] * 4.0 / beats[1],
                ),
                recorder=recorder,
            )
            line = Line(lambda: _where(engine, session, clock), quiet)
            session.on_notice = line.say
            stage = LiveActions(engine, session, player, clock, recorder, writer.styles, save_bars, line.say)
            hands = Controls(stage.do, learned)
            session.on_control = hands.control

            def pressed(character: str) -> None:
                if not hands.key(character):
                    line.say(_help())

            heard = {}
            for name in dict.fromkeys(wanted):
                is_own = name == "virtual"
                own = f"{VIRTUAL_NAME} in"
                heard[name] = PortInput(own if is_own else name, session.receive, virtual=is_own)
                ports.append(heard[name])
            followed = "JACK's transport" if sync == JACK else "" if sync is None else heard[sync].name
            following = followed and f", following {followed}"
            with line, signals_stop(session), keys(pressed), watch_ports(ports, session, player, line.say):
                line.say(f"{style} to {output.name}{following}")
                if sync is None and not wait:
                    session.start_when(lambda: mode == "answer" or engine.is_ready)

                is_awaited = bool(following) and mode != "answer"

                def look() -> None:
                    nonlocal is_awaited
                    if engine.refusal:
                        raise UsageError(engine.refusal)
                    line.say_all(engine.notices())
                    if is_awaited and engine.is_ready:
                        is_awaited = False
                        line.say("ready: the first phrase is written")

                session.run(look, realtime)
        if record is not None and session.played_quarters:
            count = recorder.save(record, overwrite=force)
            line.say(f"{record}: {count} notes")
        if json_:
            print(json.dumps(_report(engine, session, player)))


@contextmanager
def _clock(sync: str | None, qpm: float) -> Iterator[Any]:
    """Our own, or one that follows."""
    from melodygen.live.clock import ClockFollower, InternalClock

    if sync == JACK:
        from melodygen.live.jack_transport import JackClock

        clock = JackClock(qpm)
        try:
            yield clock
        finally:
            clock.close()
    else:
        yield InternalClock(qpm) if sync is None else ClockFollower(qpm)


def _channels(text: str | None) -> dict[str, int]:
    """``bass=3,drums=10``, channels from 1 as musicians count."""
    from melodygen.errors import UsageError
    from melodygen.parsing import check_range
    from melodygen.music.score import ROLES
    from melodygen.registry import nearest

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
    from melodygen.live.moves import MOVES

    listed = {" ": "space"}
    return "\n".join(f"  {listed.get(m.key, m.key):<6} {m.description}" for m in MOVES if m.key)


def _where(engine: Any, session: Any, clock: Any) -> str:
    status = engine.status
    bar_quarters = session.meter[0] * 4.0 / session.meter[1]
    bar, beat = divmod(max(0.0, session.position_quarters), bar_quarters)
    parts = [
        status.state,
        f"bar {int(bar) + 1}.{int(beat * session.meter[1] / 4) + 1}",
        f"{clock.qpm:.1f} qpm",
        status.style + (f" {status.style_probability:.2f}" if status.style_probability is not None else ""),
        f"phrase {status.phrase_number}",
        *(["next is ready"] if status.num_ready else []),
        *([status.hurry] if status.hurry else []),
        *(["loop"] if status.looping else []),
        *(["frozen"] if status.frozen else []),
        *([f"off: {', '.join(status.muted)}"] if status.muted else []),
        "? for keys",
    ]
    return "  ".join(parts)


def _report(engine: Any, session: Any, player: Any) -> dict[str, Any]:
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
    }
