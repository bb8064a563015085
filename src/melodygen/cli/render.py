"""``melodygen render``: a MIDI file as sound."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def render(
    midi: Annotated[Path, typer.Argument(help="A MIDI file, or a score in MusicXML or ABC.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="wav, flac, ogg or mp3. Default: the name in .wav, here."),
    ] = None,
    soundfont: Annotated[Path | None, typer.Option(help="An SF2 or SF3 file to play with.")] = None,
    renderer: Annotated[str | None, typer.Option(help="Renderer by name; see 'melodygen doctor'.")] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            help="file: as loud as the file plays its tracks; role: each as loud as its role. "
            "Default: role for files that melodygen wrote, else file."
        ),
    ] = None,
    stems: Annotated[
        bool, typer.Option("--stems", help="Also a file for each track; they sum to the mix.")
    ] = False,
    bit_depth: Annotated[
        int | None, typer.Option(help="Bits of WAV and FLAC: 16 or 24. Default: 16, FLAC 24.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")] = False,
) -> None:
    """Render a MIDI file with General MIDI instruments: stereo, 44.1 kHz, loudness set.

    Volume, expression, pan, sustain pedal, pitch bend and program changes of the file are played.
    """
    from melodygen.cli.progress import stage_progress
    from melodygen.services.render import RenderRequest, render_file

    with stage_progress(visible=not quiet) as progress:
        result = render_file(
            RenderRequest(midi, out, soundfont, renderer, force, balance, stems, bit_depth), progress
        )
    for warning in result.warnings:
        print(f"melodygen: {midi.name}: {warning}", file=sys.stderr)
    if json_:
        print(json.dumps(asdict(result)))
    elif not quiet:
        print(
            f"{result.audio}: {result.duration_seconds:.1f} s of sound in {result.seconds:.1f} s, {result.renderer}"
        )
        for stem in result.stems:
            print(f"  {stem}")
