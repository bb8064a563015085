"""``melodygen render``: a MIDI file as sound."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def render(
    midi: Annotated[Path, typer.Argument(help="A MIDI file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="wav, flac, ogg or mp3. Default: the name in .wav, here."),
    ] = None,
    soundfont: Annotated[Path | None, typer.Option(help="An SF2 or SF3 file to play with.")] = None,
    renderer: Annotated[str | None, typer.Option(help="Renderer by name; see 'melodygen doctor'.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")] = False,
) -> None:
    """Render a MIDI file with General MIDI instruments: stereo, 44.1 kHz, loudness set."""
    from melodygen.cli.progress import stage_progress
    from melodygen.services.render import RenderRequest, render_file

    with stage_progress(visible=not quiet) as progress:
        result = render_file(RenderRequest(midi, out, soundfont, renderer, force), progress)
    if json_:
        print(json.dumps(asdict(result)))
    elif not quiet:
        print(
            f"{result.audio}: {result.duration_seconds:.1f} s of sound in {result.seconds:.1f} s, {result.renderer}"
        )
