"""A piece in the formats one goes on with: sound, stems, notation, a DAW project, a MIDI file for each track."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from melodygen import __version__
from melodygen.atomic import atomic_path
from melodygen.contracts import Renderer
from melodygen.errors import UsageError
from melodygen.music.score import Score
from melodygen.services.output import AUDIO_FORMATS
from melodygen.services.saving import (
    OutputOptions,
    Sound,
    check_renderer,
    save_stems,
    track_folder,
    track_names,
)

NOTES_FORMATS = ("tracks", "musicxml", "dawproject", "abc")
"""Made of the notes alone; ``tracks`` is a ZIP with a MIDI file for each track."""
SOUND_FORMATS = (*AUDIO_FORMATS, "stems")
"""Need a renderer; ``stems`` is a ZIP with a WAV file for each track, which sum to the recording."""
FORMATS = (*SOUND_FORMATS, *NOTES_FORMATS)


def export_notes(score: Score, kind: str, folder: Path) -> str:
    """Write a score in one of ``NOTES_FORMATS``; the name of the file. Raises ScoreError for a score without notes."""
    if kind == "tracks":
        return _zipped(folder, "tracks", lambda inside: _split(score, inside))
    name = f"piece.{kind}"
    if kind == "musicxml":
        from melodygen.io.musicxml import write_musicxml

        write_musicxml(folder / name, score, overwrite=True)
    elif kind == "dawproject":
        from melodygen.io.dawproject import write_dawproject

        write_dawproject(folder / name, score, version=__version__, overwrite=True)
    else:
        from melodygen.io.abc_writer import abc_text

        with atomic_path(folder / name, overwrite=True) as temporary:
            temporary.write_text(abc_text(score), encoding="utf-8")
    return name


def export_sound(score: Score, kind: str, folder: Path, renderer: Renderer) -> tuple[str, float]:
    """Write a score in one of ``SOUND_FORMATS``; the name of the file and the seconds of sound. Raises UsageError for
    a renderer without stems."""
    from melodygen.audio.files import write_audio

    if kind == "stems":
        return _export_stems(score, folder, renderer), round(score.duration_seconds, 3)
    audio = renderer.render(score)
    write_audio(folder / f"render.{kind}", audio, overwrite=True)
    return f"render.{kind}", round(audio.duration_seconds, 3)


def _export_stems(score: Score, folder: Path, renderer: Renderer) -> str:
    try:
        check_renderer(renderer, OutputOptions(stems=True))
    except UsageError as error:
        raise UsageError(
            f"renderer {renderer.renderer_id} makes no stems: start the server with another"
        ) from error

    def fill(inside: Path) -> None:
        paths = {"wav": inside / "piece.wav"}
        save_stems(
            score, Sound.of(score, renderer, False, True), {"title": score.title}, paths, OutputOptions()
        )
        for file in track_folder(paths).iterdir():
            file.rename(inside / file.name)

    return _zipped(folder, "stems", fill)


def _split(score: Score, folder: Path) -> None:
    from melodygen.io.midi import write_midi

    for number, (name, track) in enumerate(zip(track_names(score), score.tracks, strict=True), 1):
        plain = "".join(c if c.isalnum() else "-" for c in name) or "track"
        write_midi(folder / f"{number}-{plain}.mid", replace(score, tracks=(track,)), overwrite=True)


def _zipped(folder: Path, name: str, fill: Callable[[Path], None]) -> str:
    """A ZIP of the files that ``fill`` puts into a folder, which goes again."""
    inside = folder / name
    inside.mkdir()
    try:
        fill(inside)
        with (
            atomic_path(folder / f"{name}.zip", overwrite=True) as temporary,
            zipfile.ZipFile(temporary, "w") as archive,
        ):
            for file in sorted(path for path in inside.iterdir() if path.is_file()):
                archive.write(file, file.name)
    finally:
        shutil.rmtree(inside, ignore_errors=True)
    return f"{name}.zip"
