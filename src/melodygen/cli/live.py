"""``melodygen live``: freshly written music into a port, in time."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from melodygen.cli.controls import with_controls
from melodygen.engine.parameters import ENGINE_PARAMETERS, REQUEST_PARAMETERS

_MUSIC, _TIME, _PORTS, _HANDS, _MODELS = "What is played", "Time", "Ports", "Hands on", "Models"
_STYLE = "the style's"
DEFAULT_STYLE = "jazz"
_CONTROLS = [
    replace(
        c, default=DEFAULT_STYLE if c.name == "style" else c.default, optional=c.optional or c.name == "seed"
    )
    for c in (*REQUEST_PARAMETERS, *ENGINE_PARAMETERS)
]


@with_controls(
    _CONTROLS,
    panel=_MUSIC,
    shorts={"style": "-s"},
    defaults={"tracks": _STYLE, "temperature": _STYLE, "top_p": _STYLE, "seed": "random"},
)
def live(
    ctx: typer.Context,
    standby: Annotated[
        str | None,
        typer.Option(help="Styles kept ready, so that changing to them is quick.", rich_help_panel=_MUSIC),
    ] = None,
    stored_opening: Annotated[
        bool,
        typer.Option(
            "--stored-opening/--no-stored-opening",
            help="Begin with a stored phrase while the models load, where one fits.",
            rich_help_panel=_MUSIC,
        ),
    ] = True,
    until: Annotated[
        int | None, typer.Option(help="Stop after this many bars.", rich_help_panel=_MUSIC)
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
    count_in: Annotated[int, typer.Option(help="Bars of count-in clicks.", rich_help_panel=_TIME)] = 0,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the space bar before starting.", rich_help_panel=_TIME)
    ] = False,
    realtime: Annotated[
        bool | None,
        typer.Option(
            "--realtime/--no-realtime",
            help="Real-time priority, where it is granted. Default: with JACK's own port, if JACK has it.",
            rich_help_panel=_TIME,
        ),
    ] = None,
    port: Annotated[
        list[str] | None,
        typer.Option(
            "--port",
            "-p",
            help="Name, beginning or number; 'jack' or 'jack:NAME' is JACK's own; ROLE=NAME for one role.",
            rich_help_panel=_PORTS,
        ),
    ] = None,
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Open a new port, 'melodygen'.", rich_help_panel=_PORTS)
    ] = False,
    ports_per_role: Annotated[
        bool,
        typer.Option(
            "--ports-per-role", help="A new port for each role, 'melodygen drums'.", rich_help_panel=_PORTS
        ),
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
    record: Annotated[
        Path | None, typer.Option(help="Record everything played to this file.", rich_help_panel=_HANDS)
    ] = None,
    save_bars: Annotated[
        int, typer.Option(help="Number of bars that the save key saves.", rich_help_panel=_HANDS)
    ] = 8,
    learn: Annotated[
        bool, typer.Option("--learn", help="Learn controllers, then quit.", rich_help_panel=_HANDS)
    ] = False,
    controls: Annotated[
        Path | None,
        typer.Option(help="File of learned controllers. Default: in your settings.", rich_help_panel=_HANDS),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Generator.", rich_help_panel=_MODELS)] = None,
    classifier: Annotated[str | None, typer.Option(help="Classifier.", rich_help_panel=_MODELS)] = None,
    renderer: Annotated[str | None, typer.Option(help="Renderer.", rich_help_panel=_MODELS)] = None,
    soundfont: Annotated[Path | None, typer.Option(help="SF2 or SF3.", rich_help_panel=_MODELS)] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing --record file.", rich_help_panel=_HANDS)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing.", rich_help_panel=_HANDS)
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON object at the end.", rich_help_panel=_HANDS)
    ] = False,
    **parameters: Any,
) -> None:
    """Play freshly written music into a DAW, in time with it.

    Phrases are written ahead and scored by the classifier in a process of their own while this one plays.
    Press ? for the keys.
    """
    from melodygen.cli.learn import controls_path, learn_controls
    from melodygen.cli.live_run import LiveOptions, run_live
    from melodygen.services.models import ModelNames

    if learn:
        learn_controls(listen, controls_path(controls))
        return
    options = LiveOptions(
        models=ModelNames(model, classifier, renderer, soundfont),
        parameters={"style": DEFAULT_STYLE} | {n: v for n, v in parameters.items() if v is not None},
        **{f.name: ctx.params[f.name] for f in fields(LiveOptions) if f.name in ctx.params},
    )
    run_live(options)
