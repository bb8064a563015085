"""``melodygen train preference``: tune a model towards a style by preference among its own candidates."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from melodygen.cli.train import (
    RUN,
    Force,
    Json,
    Quiet,
    Resume,
    Seed,
    is_given,
    shown_progress,
    stopping,
)

_WHAT, _HOW = "What to tune", "How to tune"


def preference(
    ctx: typer.Context,
    style: Annotated[str, typer.Option("--style", "-s", help="The style to tune.", rich_help_panel=_WHAT)],
    model: Annotated[
        str | None, typer.Option(help="Generator: name or folder.", rich_help_panel=_WHAT)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The checkpoint folder. Default: MODEL-STYLE.", rich_help_panel=_WHAT
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="A folder of human music by style, for the band measures and a second judge.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    bars: Annotated[int, typer.Option(help="Length of the candidates.", rich_help_panel=_HOW)] = 8,
    pairs: Annotated[
        int, typer.Option(help="Number of preference pairs, at most.", rich_help_panel=_HOW)
    ] = 96,
    steps: Annotated[int, typer.Option(help="Number of optimizer steps.", rich_help_panel=_HOW)] = 60,
    time: Annotated[
        str | None,
        typer.Option(
            help="Time such as 30m, 90s or 1h, instead of --pairs and --steps.", rich_help_panel=_HOW
        ),
    ] = None,
    beta: Annotated[
        float, typer.Option(help="How strongly a preference is learned.", rich_help_panel=_HOW)
    ] = 0.1,
    leash: Annotated[
        float, typer.Option(help="Largest divergence from the start, in nats a token.", rich_help_panel=_HOW)
    ] = 0.05,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.", rich_help_panel=_HOW)] = 3e-5,
    classifier: Annotated[
        str | None, typer.Option(help="Classifier: name or folder.", rich_help_panel=RUN)
    ] = None,
    renderer: Annotated[str | None, typer.Option(help="Renderer by name.", rich_help_panel=RUN)] = None,
    seed: Seed = 1,
    resume: Resume = False,
    keep_anyway: Annotated[
        bool,
        typer.Option(
            "--keep-anyway", help="Write the checkpoint although it is not better.", rich_help_panel=RUN
        ),
    ] = False,
    force: Force = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tune a model towards a style by preference among its own candidates.

    The candidates are ranked by the style classifier, the quality measure and the band measures. The net is held near
    its start, and its music must stay diverse. A second judge and other measures that nothing is tuned by are taken
    before and after; where one of them falls, the model is not called better and not written. Ctrl-C saves; --resume
    goes on.
    """
    from melodygen.services.train_preference import TrainPreferenceRequest, train_preference
    from melodygen.training.preference.config import PreferenceConfig
    from melodygen.training.preference.run import NotBetterError

    options = {f.name: ctx.params[f.name] for f in fields(PreferenceConfig) if f.name in ctx.params}
    given = {name for name in options if is_given(ctx, name)} | ({"minutes"} if time is not None else set())
    asked = TrainPreferenceRequest(
        PreferenceConfig(**options, minutes=None if time is None else _minutes(time)),
        model, out, reference, classifier, renderer, frozenset(given), resume, force, keep_anyway,
    )  # fmt: skip
    result = train_preference(asked, functools.partial(shown_progress, quiet=quiet), stopping)
    if json_:
        print(json.dumps(result.to_dict()))
    elif not quiet:
        print(result.describe())
    if not result.written:
        raise NotBetterError(
            f"{result.outcome.verdict}; nothing was written (to write it all the same: --resume --keep-anyway)"
        )


def _minutes(text: str) -> float:
    """``30m``, ``90s``, ``1h`` or a number of minutes."""
    from melodygen.errors import UsageError

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if match is None:
        raise UsageError(f"--time {text!r} is not a time; give one like 30m, 90s or 1h")
    return float(match[1]) * {"s": 1 / 60, "h": 60.0}.get(match[2], 1.0)
