"""``melodygen play``: a MIDI file into a port."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer


def play(
    midi: Annotated[Path, typer.Argument(help="A MIDI file.")],
    port: Annotated[
        list[str] | None,
        typer.Option(
            "--port",
            "-p",
            help="Name, beginning or number: see 'melodygen ports'. 'jack' or 'jack:NAME' is JACK's own.",
        ),
    ] = None,
    virtual: Annotated[bool, typer.Option("--virtual", help="Open a new port, 'melodygen'.")] = False,
    start: Annotated[float, typer.Option(help="Bar to begin with, from 1.")] = 1.0,
    loop: Annotated[str | None, typer.Option(help="FIRST:COUNT, bars to repeat, from 1.")] = None,
    tempo_factor: Annotated[float, typer.Option(help="2 is twice as fast.")] = 1.0,
    clock_out: Annotated[bool, typer.Option("--clock-out", help="Send MIDI clock, Start and Stop.")] = False,
    latency: Annotated[float, typer.Option(help="Milliseconds by which everything goes out earlier.")] = 0.0,
    realtime: Annotated[
        bool | None,
        typer.Option(
            "--realtime/--no-realtime",
            help="Real-time priority, where it is granted. Default: with JACK's own port, if JACK has it.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Play a MIDI file in time: from any bar, in a loop, slower or faster. The space bar pauses.

    The file's own events go out on the file's own channels.
    """
    from melodygen.cli.live_session import Line, exit_as_told, signals_stop
    from melodygen.live.clock import InternalClock
    from melodygen.live.player import Player
    from melodygen.live.session import Session, SessionOptions
    from melodygen.live.terminal import keys
    from melodygen.parsing import check_range
    from melodygen.services.performance import read_playable
    from melodygen.services.ports import VIRTUAL_NAME, open_outputs, playing_priority, watch_ports

    check_range("tempo-factor", tempo_factor, 0.1, 10.0)
    check_range("latency", latency, -1000, 1000)
    processor, score, warnings = read_playable(midi)
    for warning in () if quiet else warnings:
        print(f"melodygen: {midi.name}: {warning}", file=sys.stderr)
    position, looped = _places(processor.bars, start, loop)
    meter = score.time_signatures[0]
    with open_outputs(port or [], VIRTUAL_NAME if virtual else None, {}) as (output, ports):
        clock = InternalClock(tempos=processor.tempos, factor=tempo_factor)
        player = Player(output)
        options = SessionOptions(
            meter=(meter.numerator, meter.denominator),
            latency_seconds=latency / 1000,
            clock_out=clock_out,
            loop=looped,
            until=math.inf if looped else processor.length_quarters + 1e-6,
        )
        session = Session(processor, player, clock, options)

        def where() -> str:
            return f"{midi.name}  quarter {session.position_quarters:7.2f}  {session.qpm:.1f} qpm"

        def pressed(key: str) -> None:
            if key == " ":
                session.toggle()
            elif key == "q":
                session.stop()

        line = Line(where, quiet)
        session.on_notice = line.say
        with (
            line,
            signals_stop(session) as signals,
            keys(pressed),
            watch_ports(ports, session, player, line.say),
        ):
            line.say(f"playing {midi.name} to {output.name}")
            clock.seek(0.0, position)
            session.start_when(lambda: True)
            session.run(priority=playing_priority(realtime, ports))
    exit_as_told(signals)


def _places(
    bars: Sequence[float], start: float, loop: str | None
) -> tuple[float, tuple[float, float] | None]:
    """Where to begin and what to repeat, in quarters. UsageError for bars that are not there."""
    from melodygen.errors import UsageError
    from melodygen.parsing import check_range, parse_fill

    check_range("start", start, 1, len(bars) - 1)
    first = int(start) - 1
    position = bars[first] + (start % 1) * (bars[first + 1] - bars[first])
    if loop is None:
        return position, None
    begin, count = parse_fill(loop)
    if begin + count >= len(bars):
        raise UsageError(
            f"bars {begin + 1} to {begin + count} cannot be looped: there are {len(bars) - 1} bars"
        )
    looped = (bars[begin], bars[begin + count])
    return max(position, looped[0]) if start > 1 else looped[0], looped
