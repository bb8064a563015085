"""``melodygen render``: a MIDI file as sound."""

from __future__ import annotations

import json
import time
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
    started = time.monotonic()
    from melodygen import __version__, api
    from melodygen.audio.files import write_audio
    from melodygen.cli.output import AUDIO_FORMATS, prepare_folder, refuse_existing
    from melodygen.cli.progress import stage_progress
    from melodygen.errors import UsageError
    from melodygen.io.midi import read_midi

    target = Path(f"{midi.stem}.wav") if out is None else (out / f"{midi.stem}.wav" if out.is_dir() else out)
    if target.suffix.lower().lstrip(".") not in AUDIO_FORMATS:
        raise UsageError(f"--out {target}: the format must be one of {', '.join(AUDIO_FORMATS)}")
    refuse_existing([target], force)
    score = read_midi(midi)
    prepare_folder(target.parent, round((score.duration_seconds + 10) * 44_100 * 2 * 3))
    with stage_progress(visible=not quiet) as progress:
        progress("rendering", 0.0)
        sound = api.load_renderer(renderer, soundfont)
        audio = sound.render(score)
        tags = {
            "title": score.title or midi.stem,
            "software": f"melodygen {__version__}",
            "comment": f"renderer: {sound.renderer_id}",
        }
        write_audio(target, audio, tags, overwrite=force)
    seconds = time.monotonic() - started
    if json_:
        report = {
            "midi": str(midi),
            "audio": str(target),
            "duration_seconds": audio.duration_seconds,
            "sample_rate": audio.sample_rate,
            "renderer": sound.renderer_id,
            "seconds": round(seconds, 3),
        }
        print(json.dumps(report))
    elif not quiet:
        print(f"{target}: {audio.duration_seconds:.1f} s of sound in {seconds:.1f} s, {sound.renderer_id}")
