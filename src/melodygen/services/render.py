"""Renders a MIDI file to an audio file."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from melodygen import __version__
from melodygen.analysis.roles import assign_roles
from melodygen.audio.buffer import Audio
from melodygen.audio.files import write_audio
from melodygen.errors import MidiReadError, UsageError
from melodygen.generation.loop import ProgressCallback
from melodygen.io.midi_document import read_midi_document
from melodygen.io.provenance import MADE_BY
from melodygen.io.read import is_notation, read_score
from melodygen.music.score import Score
from melodygen.services.models import load_renderer
from melodygen.services.output import AUDIO_FORMATS, check_writable, prepare_folder
from melodygen.services.saving import (
    OutputOptions,
    Sound,
    check_output,
    check_renderer,
    save_stems,
    track_folder,
)

BALANCES = ("role", "file")


@dataclass(frozen=True)
class RenderRequest:
    """``out`` is a folder or an audio file; None is the name of the MIDI file in .wav, in the current folder.

    ``balance``  ``file``: tracks sound as loud as the file plays them; ``role``: each is brought to the loudness of its
                 role; None: ``role`` for files that melodygen wrote, ``file`` for all others.
    ``stems``    also a file for each track; they sum to the recording. ``bit_depth``: 16 or 24 for WAV and FLAC.
    """

    midi: Path
    out: Path | None = None
    soundfont: Path | None = None
    renderer: str | None = None
    force: bool = False
    balance: str | None = None
    stems: bool = False
    bit_depth: int | None = None


@dataclass(frozen=True)
class RenderResult:
    """What ``melodygen render --json`` prints. ``seconds``: how long it took. ``warnings``: what of the file had to be
    mended."""

    midi: str
    audio: str
    duration_seconds: float
    sample_rate: int
    renderer: str
    seconds: float
    balance: str
    warnings: tuple[str, ...] = ()
    stems: tuple[str, ...] = ()


def render_file(asked: RenderRequest, progress: ProgressCallback) -> RenderResult:
    """Render with General MIDI instruments: stereo, 44.1 kHz, loudness set.

    Raises UsageError for another suffix, OutputExistsError, MidiReadError, RenderError.
    """
    started = time.monotonic()
    midi, out = asked.midi, asked.out
    target = Path(f"{midi.stem}.wav") if out is None else (out / f"{midi.stem}.wav" if out.is_dir() else out)
    if target.suffix.lower().lstrip(".") not in AUDIO_FORMATS:
        raise UsageError(f"--out {target}: the format must be one of {', '.join(AUDIO_FORMATS)}")
    check_writable([target], asked.force, hint="--out")
    check_output(OutputOptions(bit_depth=asked.bit_depth), 1)
    if asked.stems:
        check_writable([track_folder({"": target})] if not asked.force else [], False, "--out")
    if asked.balance not in (None, *BALANCES):
        raise UsageError(f"--balance {asked.balance}: is not known; known: {', '.join(BALANCES)}")
    warnings: list[str] = []
    score, balance = read_balanced(midi, asked.balance, warnings)
    prepare_folder(target.parent, round((score.duration_seconds + 10) * 44_100 * 2 * 3))
    progress("rendering", 0.0)
    renderer = load_renderer(asked.renderer, asked.soundfont)
    output = OutputOptions(force=asked.force, stems=asked.stems, bit_depth=asked.bit_depth)
    check_renderer(renderer, output)
    sound = Sound.of(score, renderer, True, asked.stems, lambda done: progress("rendering", done))
    audio = sound.mix
    assert audio is not None
    tags = {
        "title": score.title or midi.stem,
        "software": f"melodygen {__version__}",
        "comment": f"renderer: {renderer.renderer_id}",
    }
    stems: list[Path] = []
    if asked.stems:
        stems, _ = save_stems(score, sound, tags, {target.suffix[1:].lower(): target}, output)
    write_audio(target, audio, tags, overwrite=asked.force, bit_depth=asked.bit_depth)
    seconds = round(time.monotonic() - started, 3)
    return RenderResult(
        str(midi), str(target), audio.duration_seconds, audio.sample_rate, renderer.renderer_id, seconds, balance,
        tuple(warnings), tuple(map(str, stems)),
    )  # fmt: skip


def read_balanced(path: Path, balance: str | None, warnings: list[str]) -> tuple[Score, str]:
    """The score of a file, ready to be rendered, and its balance; see `RenderRequest`. Raises MidiReadError."""
    score, is_ours = _read(path, warnings)
    if not score.num_notes:
        raise MidiReadError(f"{path.name}: there is no note in the file")
    balance = balance or ("role" if is_ours else "file")
    return (assign_roles(score, split=False) if balance == "role" else without_roles(score)), balance


def _read(path: Path, warnings: list[str]) -> tuple[Score, bool]:
    """The score of a file, and whether melodygen wrote it."""
    if is_notation(path):
        return read_score(path, warnings), False
    document = read_midi_document(path)
    warnings += document.warnings
    return document.score, any(text.startswith(MADE_BY) for text in document.texts())


def without_roles(score: Score) -> Score:
    """The score with no track in a role, so that no renderer balances it."""
    return replace(score, tracks=tuple(replace(t, role="other") for t in score.tracks))


def render(score: Score, *, renderer: str | None = None, soundfont: str | None = None) -> Audio:
    """Stereo sound at 44.1 kHz, loudness set, tail kept."""
    return load_renderer(renderer, soundfont).render(score)
