"""``melodygen generate``: write, render, classify, choose, save."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from melodygen.cli.controls import with_controls
from melodygen.request import CONTROLS, LOOP_CONTROLS

_ASK, _LOOP, _FILES = "What to write", "How to choose", "Files and output"
_STYLE = "the style's"


@with_controls(LOOP_CONTROLS.values(), panel=_LOOP, defaults={"seed": "random"})
@with_controls(
    [replace(c, optional=True) if c.name == "style" else c for c in CONTROLS.values()],
    panel=_ASK,
    shorts={"style": "-s"},
    defaults={
        "bars": "16 (blues 12), or as many as --chords", "qpm": _STYLE, "meter": _STYLE, "key": "the model's choice",
        "tracks": _STYLE, "temperature": _STYLE, "top_p": _STYLE,
    },
)  # fmt: skip
def generate(
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            help="A track whose style, tempo, meter, key and density are taken.",
            rich_help_panel=_ASK,
        ),
    ] = None,
    max_copy_bars: Annotated[
        float | None,
        typer.Option(help="Turn down what shares more bars with the library.", rich_help_panel=_LOOP),
    ] = None,
    library: Annotated[
        str | None,
        typer.Option(help="Which library: a folder or an address. Default: yours.", rich_help_panel=_LOOP),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail if no candidate reaches --min-style.", rich_help_panel=_LOOP),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="Generator: name or folder; several: A,B. See 'melodygen models'.", rich_help_panel=_LOOP
        ),
    ] = None,
    classifier: Annotated[
        str | None, typer.Option(help="Classifier: name or folder.", rich_help_panel=_LOOP)
    ] = None,
    renderer: Annotated[
        str | None, typer.Option(help="Renderer by name; see 'melodygen doctor'.", rich_help_panel=_LOOP)
    ] = None,
    soundfont: Annotated[
        Path | None, typer.Option(help="An SF2 or SF3 file to play with.", rich_help_panel=_LOOP)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder, or file that names the piece.", rich_help_panel=_FILES),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            help="mid,wav,flac,ogg,mp3,musicxml,dawproject. Default: mid,wav.", rich_help_panel=_FILES
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(help="Number of different pieces, 1-1000.", rich_help_panel=_FILES)
    ] = 1,
    plot: Annotated[
        bool, typer.Option("--plot", help="Also a piano roll as PNG.", rich_help_panel=_FILES)
    ] = False,
    keep: Annotated[
        int,
        typer.Option(
            help="Also write the N best candidates, numbered; then --pick one.", rich_help_panel=_FILES
        ),
    ] = 0,
    stems: Annotated[
        bool,
        typer.Option(
            "--stems", help="Also a sound file for each track; they sum to the mix.", rich_help_panel=_FILES
        ),
    ] = False,
    split: Annotated[
        bool, typer.Option("--split", help="Also a MIDI file for each track.", rich_help_panel=_FILES)
    ] = False,
    bit_depth: Annotated[
        int | None,
        typer.Option(
            help="Bits of WAV and FLAC: 16 or 24. Default: 16, FLAC and stems 24.", rich_help_panel=_FILES
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace existing files.", rich_help_panel=_FILES)
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.", rich_help_panel=_FILES)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, no report.", rich_help_panel=_FILES)
    ] = False,
    **controls: Any,
) -> None:
    """Write a piece in a style: a MIDI file and a recording.

    Candidates are written in a batch, rendered, and scored by a classifier; the best is kept, or another
    round is written. Each file carries the seed and the command that make it again.
    """
    # Small operations on many threads spin on a busy machine, and the number of threads changes the last bits of the
    # classifier's sums: with one, the same seed chooses the same candidate anywhere. Sampling has threads of its own.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from melodygen.cli.progress import stage_progress
    from melodygen.errors import UsageError
    from melodygen.request import loop_options
    from melodygen.services.copy_limit import CopyLimit
    from melodygen.services.generate import GenerateRequest, prepare, run
    from melodygen.services.models import ModelNames
    from melodygen.services.saving import OutputOptions

    if like is not None:
        from melodygen.services.like import controls_like

        controls |= {k: v for k, v in controls_like(like, model).items() if controls.get(k) is None}
    elif controls["style"] is None:
        raise UsageError("what to write is missing: give --style NAME, or --like FILE")
    loop = {name: controls.pop(name) for name in LOOP_CONTROLS}
    asked = GenerateRequest(
        controls,
        loop_options(loop),
        ModelNames(model, classifier, renderer, soundfont),
        OutputOptions(out, formats, plot, force, keep, stems, split, bit_depth),
        count,
        strict,
        None if max_copy_bars is None else CopyLimit(max_copy_bars, library),
    )
    prepared = prepare(asked)
    for warning in prepared.warnings:
        print(f"melodygen: {warning}", file=sys.stderr, flush=True)
    reports = []
    try:
        with stage_progress(visible=not quiet) as progress:
            for result in run(prepared, progress):
                reports.append(result.report.to_dict())
                if not (quiet or json_):
                    print(result.report.describe(), flush=True)
    finally:
        if json_ and reports:
            print(json.dumps(reports[0] if count == 1 else {"pieces": reports}))
