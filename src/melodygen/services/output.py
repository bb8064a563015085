"""Where files go: names, formats, and what can be known to go wrong before any work is done."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from melodygen.errors import DiskSpaceError, OutputExistsError, UsageError, reason_of

AUDIO_FORMATS = ("wav", "flac", "ogg", "mp3")
FORMATS = ("mid", *AUDIO_FORMATS, "musicxml", "dawproject")
DEFAULT_FORMATS = ("mid", "wav")
_SUFFIXES = {"midi": "mid", "xml": "musicxml"}


@dataclass(frozen=True)
class Output:
    """``stem`` is None when the style and the seed name the files."""

    folder: Path
    stem: str | None
    formats: tuple[str, ...]

    def paths(self, default_stem: str, number: int = 1, count: int = 1) -> dict[str, Path]:
        """Format -> path of piece ``number`` of ``count``."""
        if self.stem is None:
            stem = default_stem
        else:
            stem = self.stem if count == 1 else f"{self.stem}-{number}"
        return {kind: self.folder / f"{stem}.{kind}" for kind in self.formats}


def plan_output(out: Path | None, formats: str | None) -> Output:
    """``out`` is a folder, or a file whose suffix is one of the formats (added to those asked for)."""
    wanted = DEFAULT_FORMATS if formats is None else _parse_formats(formats)
    if out is None:
        return Output(Path(), None, wanted)
    suffix = out.suffix.lower().lstrip(".")
    suffix = _SUFFIXES.get(suffix, suffix)
    if out.is_dir() or not suffix:
        return Output(out, None, wanted)
    if suffix not in FORMATS:
        raise UsageError(
            f"--out {out}: {out.suffix!r} is not a format; known: {', '.join(FORMATS)}, or give a folder"
        )
    if formats is None and suffix in AUDIO_FORMATS:
        wanted = ("mid", suffix)
    elif suffix not in wanted:
        wanted = (*wanted, suffix)
    return Output(out.parent, out.stem, wanted)


def _parse_formats(text: str) -> tuple[str, ...]:
    kinds = [_SUFFIXES.get(k, k) for k in (part.strip().lower().lstrip(".") for part in text.split(",")) if k]
    for kind in kinds:
        if kind not in FORMATS:
            raise UsageError(f"format {kind!r} is not known; known: {', '.join(FORMATS)}")
    if not kinds:
        raise UsageError(f"--formats {text!r} names no format; known: {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(kinds))


def check_writable(paths: list[Path], force: bool, hint: str = "name") -> None:
    """Raise before any work what would keep a file from being written; a folder that is missing is made with the file.

    ``hint`` names the options that help. Raises OutputExistsError for a file in the way, OSError for a folder in which
    nothing can be written.
    """
    for path in paths:
        there = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(there))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "cannot write in this folder", str(there))
        if path.is_dir():
            raise OutputExistsError(f"{path} is a folder; give another name with --out")
        if not force and os.path.lexists(path):
            raise OutputExistsError(
                f"{path} is already there: give another {hint}, or replace it with --force"
            )


def prepare_folder(folder: Path, needed_bytes: int) -> None:
    """Make the folder if it is missing; raise OSError or DiskSpaceError if ``needed_bytes`` cannot be written there."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, f"cannot write in this folder ({error.strerror})", str(folder)) from error
    check_free_space(folder, needed_bytes)


def check_folder(folder: Path) -> None:
    """Raise UsageError where no folder ``folder``, which may be missing still, can be written. None is made yet."""
    there = _nearest(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".melodygen-", dir=there):
            pass
    except OSError as error:
        why = "is not a folder" if not there.is_dir() else f"cannot be written to: {reason_of(error, '')}"
        raise UsageError(f"--out {folder}: {there} {why}; choose another --out") from error


def _nearest(folder: Path) -> Path:
    """What is there of a path: itself, or the folder in which the first of the missing ones would be made."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def check_free_space(folder: Path, needed_bytes: int) -> None:
    """Raise DiskSpaceError where the disk of a folder, which may be missing still, has less free."""
    free = shutil.disk_usage(_nearest(folder)).free
    if free < needed_bytes:
        raise DiskSpaceError(
            f"{folder}: {free / 2**20:.1f} MiB free, about {needed_bytes / 2**20:.1f} MiB needed; "
            "free some space or choose another folder with --out"
        )
