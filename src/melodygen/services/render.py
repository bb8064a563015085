"""Renders a MIDI file to an audio file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from melodygen import __version__
from melodygen.audio.buffer import Audio
from melodygen.audio.files import write_audio
from melodygen.errors import UsageError
from melodygen.generation.loop import ProgressCallback
from melodygen.io.midi import read_midi
from melodygen.music.score import Score
from melodygen.services.models import load_renderer
from melodygen.services.output import AUDIO_FORMATS, prepare_folder, refuse_existing


@dataclass(frozen=True)
class RenderRequest:
    """``out`` is a folder or an audio file; None is the name of the MIDI file in .wav, in the current folder."""

    midi: Path
    out: Path | None = None
    soundfont: Path | None = None
    renderer: str | None = None
    force: bool = False


@dataclass(frozen=True)
class RenderResult:
    """What ``melodygen render --json`` prints. ``seconds``: how long it took."""

    midi: str
    audio: str
    duration_seconds: float
    sample_rate: int
    renderer: str
    seconds: float


def render_file(asked: RenderRequest, progress: ProgressCallback) -> RenderResult:
    """Render with General MIDI instruments: stereo, 44.1 kHz, loudness set.

    Raises UsageError for another suffix, OutputExistsError, MidiReadError, RenderError.
    """
    started = time.monotonic()
    midi, out = asked.midi, asked.out
    target = Path(f"{midi.stem}.wav") if out is None else (out / f"{midi.stem}.wav" if out.is_dir() else out)
    if target.suffix.lower().lstrip(".") not in AUDIO_FORMATS:
        raise UsageError(f"--out {target}: the format must be one of {', '.join(AUDIO_FORMATS)}")
    refuse_existing([target], asked.force)
    score = read_midi(midi)
    prepare_folder(target.parent, round((score.duration_seconds + 10) * 44_100 * 2 * 3))
    progress("rendering", 0.0)
    renderer = load_renderer(asked.renderer, asked.soundfont)
    audio = renderer.render(score)
    tags = {
        "title": score.title or midi.stem,
        "software": f"melodygen {__version__}",
        "comment": f"renderer: {renderer.renderer_id}",
    }
    write_audio(target, audio, tags, overwrite=asked.force)
    seconds = round(time.monotonic() - started, 3)
    return RenderResult(
        str(midi), str(target), audio.duration_seconds, audio.sample_rate, renderer.renderer_id, seconds
    )


def render(score: Score, *, renderer: str | None = None, soundfont: str | None = None) -> Audio:
    """Stereo sound at 44.1 kHz, loudness set, tail kept."""
    return load_renderer(renderer, soundfont).render(score)
