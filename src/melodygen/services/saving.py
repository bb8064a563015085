"""Writes the files of a piece: formats, candidates to choose from, a file for each track, each with its provenance."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from melodygen import __version__
from melodygen.audio.buffer import Audio
from melodygen.audio.files import BIT_DEPTHS, write_audio
from melodygen.contracts import ProgressRenderer, Renderer, StemRenderer
from melodygen.errors import UsageError
from melodygen.generation.loop import Composition
from melodygen.io.provenance import Provenance
from melodygen.music.score import Score
from melodygen.services.output import AUDIO_FORMATS
from melodygen.services.user_file import UserFile

LOSSLESS = ("wav", "flac")


@dataclass(frozen=True)
class OutputOptions:
    """Which files are written. ``out`` is a folder or a file, ``formats`` a list like ``mid,wav``; None is default.

    ``keep``       so many of the best candidates are written too, numbered from 1; 0 writes the piece alone.
    ``stems``      a sound file for each track, which sum to the recording; ``split`` a MIDI file for each track.
    ``bit_depth``  bits a sample in WAV and FLAC: 16 or 24; None is 16 for WAV and 24 for FLAC and stems.
    """

    out: Path | None = None
    formats: str | None = None
    plot: bool = False
    force: bool = False
    keep: int = 0
    stems: bool = False
    split: bool = False
    bit_depth: int | None = None


def check_output(output: OutputOptions, candidates: int) -> None:
    """Raise UsageError for output that cannot be, before anything is written."""
    if not 0 <= output.keep <= candidates:
        raise UsageError(
            f"keep {output.keep} is not possible: {candidates} candidates are written a round; "
            f"give 1 to {candidates}, or raise --candidates"
        )
    if output.bit_depth not in (None, *BIT_DEPTHS):
        raise UsageError(f"bit depth {output.bit_depth} is not possible; give 16 or 24")


def kept_paths(paths: Mapping[str, Path], keep: int) -> list[dict[str, Path]]:
    """The paths of the candidates that are kept: ``jazz-7-candidate-1.mid``."""
    return [
        {kind: path.with_name(f"{path.stem}-candidate-{number}{path.suffix}") for kind, path in paths.items()}
        for number in range(1, keep + 1)
    ]


def track_folder(paths: Mapping[str, Path]) -> Path:
    """The folder of a piece's stems and MIDI files for single tracks: ``jazz-7-tracks``."""
    first = next(iter(paths.values()))
    return first.with_name(f"{first.stem}-tracks")


def check_renderer(renderer: Renderer, output: OutputOptions) -> None:
    """Raise UsageError where stems are asked of a renderer that makes none."""
    if output.stems and not isinstance(renderer, StemRenderer):
        raise UsageError(
            f"renderer {renderer.renderer_id} makes no stems; use --renderer sampler, or leave out --stems"
        )


def provenance_of(piece: Composition, renderer: Renderer, command: str) -> Provenance:
    """What the files of a piece say about it."""
    return Provenance(
        style=piece.request.style,
        seed=piece.seed,
        candidate_seed=piece.chosen.seed,
        style_probability=piece.style_probability,
        model=piece.chosen.model_id,
        classifier=piece.classifier_id,
        renderer=renderer.renderer_id,
        version=__version__,
        command=command,
    )


def save(
    piece: Composition,
    renderer: Renderer,
    command: str,
    paths: Mapping[str, Path],
    output: OutputOptions,
    under: UserFile | None = None,
) -> list[Path]:
    """Write a piece in every format of ``paths``, each file with its provenance and each whole or not at all. Returns
    the files of single tracks.

    ``under``: the user's file that the piece was written into; its MIDI is that file with the new notes.
    """
    origin, force, score = provenance_of(piece, renderer, command), output.force, piece.score
    sound = Sound.of(score, renderer, any(kind in AUDIO_FORMATS for kind in paths), output.stems)
    of_tracks: list[Path] = []
    if output.split:
        of_tracks += _save_split(score, origin, paths, output)
    if output.stems:
        files, sound = save_stems(score, sound, origin.tags(), paths, output)
        of_tracks += files
    for kind, path in paths.items():
        if kind == "mid" and under is not None:
            under.write(path, score, piece.request, origin.texts(), force)
        elif kind == "mid":
            from melodygen.io.midi import write_midi

            write_midi(path, score, origin.texts(), overwrite=force)
        elif kind == "musicxml":
            from melodygen.io.musicxml import write_musicxml

            write_musicxml(path, score, overwrite=force)
        elif kind == "dawproject":
            from melodygen.io.dawproject import write_dawproject

            stems = dict(zip(track_names(score), sound.stems, strict=False))
            write_dawproject(path, score, stems, comment=command, version=__version__, overwrite=force)
        elif kind == "png":
            from melodygen.plots.piano_roll import plot_score

            title = f"{origin.style}, seed {origin.seed}, style probability {origin.style_probability:.2f}"
            plot_score(path, score, title, overwrite=force)
        elif sound.mix is not None:
            write_audio(path, sound.mix, origin.tags(), overwrite=force, bit_depth=output.bit_depth)
    return of_tracks


@dataclass(frozen=True, eq=False)
class Sound:
    """The recording of a piece and its stems; the stems are made as they are taken."""

    mix: Audio | None
    stems: Iterator[Audio] | tuple[Audio, ...] = ()

    @classmethod
    def of(
        cls,
        score: Score,
        renderer: Renderer,
        mix: bool,
        stems: bool,
        progress: Callable[[float], None] | None = None,
    ) -> Sound:
        """``progress`` gets 0.0-1.0 of the recording alone, where the renderer tells how far it is."""
        if stems:
            assert isinstance(renderer, StemRenderer)
            return cls(*renderer.render_stems(score))
        if not mix:
            return cls(None)
        if progress is not None and isinstance(renderer, ProgressRenderer):
            return cls(renderer.render_with_progress(score, progress))
        return cls(renderer.render(score))


def _save_split(
    score: Score, origin: Provenance, paths: Mapping[str, Path], output: OutputOptions
) -> list[Path]:
    """A MIDI file for each track, each with tempo, meter, key and chords of the piece."""
    from melodygen.io.midi import write_midi

    files = []
    for stem, track in zip(_track_files(score, paths), score.tracks, strict=True):
        files.append(stem.with_name(f"{stem.name}.mid"))
        write_midi(files[-1], replace(score, tracks=(track,)), origin.texts(), overwrite=output.force)
    return files


def save_stems(
    score: Score, sound: Sound, tags: Mapping[str, str], paths: Mapping[str, Path], output: OutputOptions
) -> tuple[list[Path], Sound]:
    """Write the stems; they stay in the memory only where a DAW project will hold them."""
    files: list[Path] = []
    kind = next((k for k in paths if k in LOSSLESS), "wav")
    kept: list[Audio] = []
    for file, name, stem in zip(_track_files(score, paths), track_names(score), sound.stems, strict=True):
        files.append(file.with_name(f"{file.name}.{kind}"))
        own = {**tags, "title": f"{tags['title']}: {name}"}
        write_audio(files[-1], stem, own, overwrite=output.force, bit_depth=output.bit_depth or 24)
        if "dawproject" in paths:
            kept.append(stem)
    return files, Sound(sound.mix, tuple(kept))


def track_names(score: Score) -> list[str]:
    """A name for each track, each once: its own, else its role, numbered where it comes again."""
    names: list[str] = []
    for track in score.tracks:
        name, count = track.name or track.role, 1
        while (found := name if count == 1 else f"{name} {count}") in names:
            count += 1
        names.append(found)
    return names


def _track_files(score: Score, paths: Mapping[str, Path]) -> list[Path]:
    """The file of each track, without suffix, in a folder that is made."""
    folder = track_folder(paths)
    folder.mkdir(exist_ok=True)
    return [folder / f"{number}-{_file_name(name)}" for number, name in enumerate(track_names(score), 1)]


def _file_name(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name).strip("-") or "track"


__all__ = [
    "OutputOptions",
    "Sound",
    "check_output",
    "check_renderer",
    "kept_paths",
    "provenance_of",
    "save",
    "save_stems",
    "track_folder",
    "track_names",
]
