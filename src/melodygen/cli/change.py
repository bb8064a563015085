"""``melodygen vary``, ``rewrite``, ``extend``, ``arrange`` and ``transpose``: change one thing of a piece."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from melodygen.services.change import ChangeRequest

_HOW, _FILES = "How to choose", "Files and output"
File = Annotated[Path, typer.Argument(help="A MIDI file of melodygen's or any other, or a score.")]
Style = Annotated[
    str | None,
    typer.Option(
        "--style", "-s", help="Default: what the file says of itself, else what the classifier hears."
    ),
]
Tracks = Annotated[str | None, typer.Option(help="Tracks by name or role, as in drums or 'Rhodes,bass'.")]
Bars = Annotated[str | None, typer.Option(help="FIRST-LAST, counted from 1, as in 5-8. Default: all.")]
Seed = Annotated[int | None, typer.Option(help="The same seed makes the same change.", rich_help_panel=_HOW)]
Candidates = Annotated[int, typer.Option(help="Drafts to choose from.", rich_help_panel=_HOW)]
Pick = Annotated[
    int, typer.Option(help="Which candidate becomes the piece: 1 is the best.", rich_help_panel=_HOW)
]
Model = Annotated[str | None, typer.Option(help="Generator: name or folder.", rich_help_panel=_HOW)]
Classifier = Annotated[str | None, typer.Option(help="Classifier: name or folder.", rich_help_panel=_HOW)]
Renderer = Annotated[str | None, typer.Option(help="Renderer by name.", rich_help_panel=_HOW)]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder, or file that names the piece.", rich_help_panel=_FILES),
]
Formats = Annotated[
    str | None, typer.Option(help="As of generate. Default: mid,wav.", rich_help_panel=_FILES)
]
Keep = Annotated[int, typer.Option(help="Also write the N best candidates.", rich_help_panel=_FILES)]
Plot = Annotated[bool, typer.Option("--plot", help="Also a piano roll as PNG.", rich_help_panel=_FILES)]
Stems = Annotated[
    bool, typer.Option("--stems", help="Also a sound file for each track.", rich_help_panel=_FILES)
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.", rich_help_panel=_FILES)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.", rich_help_panel=_FILES)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.", rich_help_panel=_FILES)]


def vary(
    file: File,
    amount: Annotated[
        float, typer.Option(help="0 changes one bar, 1 all; from the ends of the phrases.")
    ] = 0.5,
    tracks: Tracks = None,
    bars: Bars = None,
    style: Style = None,
    seed: Seed = None,
    candidates: Candidates = 4,
    pick: Pick = 1,
    model: Model = None,
    classifier: Classifier = None,
    renderer: Renderer = None,
    out: Out = None,
    formats: Formats = None,
    keep: Keep = 0,
    plot: Plot = False,
    stems: Stems = False,
    force: Force = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the ends of the phrases anew: a variation of a piece.

    Without --tracks, bass and drums stay. What is not named stays as it is, event by event.
    """
    asked = _request("vary", file, style, seed, candidates, pick, (model, classifier, renderer),
                     (out, formats, plot, force, keep, stems), amount=amount, tracks=tracks, bars=bars)  # fmt: skip
    _run(asked, json_, quiet)


def rewrite(
    file: File,
    tracks: Annotated[
        str | None, typer.Option(help="Tracks by name or role, as in drums or 'Rhodes,bass'.")
    ] = None,
    bars: Bars = None,
    style: Style = None,
    seed: Seed = None,
    candidates: Candidates = 4,
    pick: Pick = 1,
    model: Model = None,
    classifier: Classifier = None,
    renderer: Renderer = None,
    out: Out = None,
    formats: Formats = None,
    keep: Keep = 0,
    plot: Plot = False,
    stems: Stems = False,
    force: Force = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write some tracks anew, in some bars or all; everything else stays as it is, event by event."""
    asked = _request("rewrite", file, style, seed, candidates, pick, (model, classifier, renderer),
                     (out, formats, plot, force, keep, stems), tracks=tracks, bars=bars)  # fmt: skip
    _run(asked, json_, quiet)


def extend(
    file: File,
    bars: Annotated[int, typer.Option(help="Number of bars to add, 1-256.")] = 8,
    style: Style = None,
    seed: Seed = None,
    candidates: Candidates = 4,
    pick: Pick = 1,
    model: Model = None,
    classifier: Classifier = None,
    renderer: Renderer = None,
    out: Out = None,
    formats: Formats = None,
    keep: Keep = 0,
    plot: Plot = False,
    stems: Stems = False,
    force: Force = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go on behind the last bar line: one file with the piece and the new bars, in the same tracks."""
    asked = _request("extend", file, style, seed, candidates, pick, (model, classifier, renderer),
                     (out, formats, plot, force, keep, stems), num_bars=bars)  # fmt: skip
    _run(asked, json_, quiet)


def arrange(
    file: File,
    form: Annotated[
        str, typer.Option(help="Letters of the sections; A is the beginning of the file.")
    ] = "AABA",
    section_bars: Annotated[int, typer.Option(help="Bars of a section, 1-64.")] = 8,
    loop: Annotated[bool, typer.Option("--loop", help="The end leads back to the beginning.")] = False,
    style: Style = None,
    seed: Seed = None,
    candidates: Candidates = 1,
    pick: Pick = 1,
    model: Model = None,
    classifier: Classifier = None,
    renderer: Renderer = None,
    out: Out = None,
    formats: Formats = None,
    keep: Keep = 0,
    plot: Plot = False,
    stems: Stems = False,
    force: Force = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring a theme into a form: it returns with a varied end, a bridge contrasts, and the last bars end the piece."""
    asked = _request("arrange", file, style, seed, candidates, pick, (model, classifier, renderer),
                     (out, formats, plot, force, keep, stems), form=form, section_bars=section_bars,
                     loop_back=loop)  # fmt: skip
    _run(asked, json_, quiet)


def transpose(
    file: File,
    by: Annotated[int | None, typer.Option(help="Semitones, -24 to 24.")] = None,
    key: Annotated[str | None, typer.Option(help="Or the key to move it to, like D or Bbm.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Default: FILE-KEY.mid or FILE-transposed+N.mid.")
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Move a MIDI file to another key: notes, key signatures and chord markers; drums and all else stay."""
    from melodygen.services.transpose import transpose_file

    done = transpose_file(file, by, key, out, force)
    for warning in done.warnings:
        print(f"melodygen: {warning}", file=sys.stderr)
    if not quiet:
        print(f"{done.path}: {done.semitones:+d} semitones")


def _request(
    kind: str,
    file: Path,
    style: str | None,
    seed: int | None,
    candidates: int,
    pick: int,
    models: tuple[str | None, str | None, str | None],
    output: tuple[Path | None, str | None, bool, bool, int, bool],
    **more: object,
) -> ChangeRequest:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # see cli/generate.py
    from melodygen.request import LoopOptions
    from melodygen.services.change import ChangeRequest
    from melodygen.services.models import ModelNames
    from melodygen.services.saving import OutputOptions

    loop = LoopOptions(seed=seed, candidates=candidates, max_rounds=1, pick=pick)
    return ChangeRequest(
        kind, file, style, loop=loop, models=ModelNames(*models, None), output=OutputOptions(*output), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def _run(asked: ChangeRequest, as_json: bool, quiet: bool) -> None:
    from melodygen.cli.progress import stage_progress
    from melodygen.services.change import change

    with stage_progress(visible=not quiet) as progress:
        result = change(asked, progress)
    for warning in result.warnings:
        print(f"melodygen: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(result.report.to_dict()))
    elif not quiet:
        print(result.report.describe())
