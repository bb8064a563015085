"""Moves a MIDI file to another key, event by event."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from melodygen.errors import ScoreError, UsageError
from melodygen.io.midi import write_midi
from melodygen.io.midi_document import write_midi_document
from melodygen.music.key import key_name
from melodygen.parsing import check_range, parse_key
from melodygen.services.output import check_writable, prepare_folder
from melodygen.services.user_file import UserFile, key_of_file, read_user_file

MAX_SEMITONES = 24


@dataclass(frozen=True)
class Transposed:
    """Where it was written, by how many semitones, and what had to be mended in the file."""

    path: Path
    semitones: int
    warnings: tuple[str, ...]


def transpose_file(
    file: Path, semitones: int | None, key: str | None, out: Path | None = None, force: bool = False
) -> Transposed:
    """Move all notes but drums by ``semitones``, or the shortest way to ``key``.

    Raises UsageError where both or none are given, or a note would leave the MIDI range.
    """
    if (semitones is None) == (key is None):
        raise UsageError("transpose needs --by SEMITONES or --key KEY, one of them")
    if semitones is not None:
        check_range("by", semitones, -MAX_SEMITONES, MAX_SEMITONES)
    read = read_user_file(file)
    if key is not None:
        semitones = _way_to(parse_key(key), read)
    assert semitones is not None
    name = (
        f"{file.stem}-{key_name(parse_key(key)).replace(' ', '-')}"
        if key
        else f"{file.stem}-transposed{semitones:+d}"
    )
    target = Path(f"{name}.mid") if out is None else (out / f"{name}.mid" if out.is_dir() else out)
    if target.suffix.lower() not in (".mid", ".midi"):
        raise UsageError(f"--out {target}: the suffix must be .mid")
    check_writable([target], force, "--out")
    prepare_folder(target.parent, 2**20)
    try:
        if read.document is None:
            write_midi(target, read.score.transposed(semitones), overwrite=force)
        else:
            write_midi_document(target, read.document.transposed(semitones), overwrite=force)
    except ScoreError as error:
        raise UsageError(f"{file.name}: {error}; give fewer semitones") from error
    return Transposed(target, semitones, tuple(f"{file.name}: {text}" for text in read.warnings))


def _way_to(wanted: tuple[int, str], file: UserFile) -> int:
    """Semitones from -5 to 6 to the tonic of a key of the same mode."""
    found = key_of_file(file)
    if found is None:
        raise UsageError(f"{file.path.name}: its key cannot be told; give --by SEMITONES")
    if found.mode != wanted[1]:
        own = key_name((found.tonic, found.mode), found.fifths)
        raise UsageError(
            f"{file.path.name} is in {own}; {key_name(wanted)} is of the other mode: transposing keeps the mode"
        )
    return (wanted[0] - found.tonic + 5) % 12 - 5


__all__ = ["Transposed", "transpose_file"]
