"""Which files of a folder may be music."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from melodygen.io.formats import MUSIC_SUFFIXES
from melodygen.io.notation import split_tune


def music_files(
    folder: Path, recursive: bool = False, suffixes: Collection[str] = MUSIC_SUFFIXES
) -> list[Path]:
    """Files by suffix (lower case, with the dot), in the order of their names, a folder's own before its sub-folders'.

    Hidden files and folders (``.trash``, ``._name``) are left out, and pipes, which whoever reads them would wait for;
    links that loop are not followed twice; a link to nowhere counts, so that whoever reads it says so.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(at)
        folders[:] = (
            sorted(f for f in folders if not f.startswith(".")) if recursive and real not in seen else []
        )
        if real in seen:
            continue
        seen.add(real)
        found += [
            Path(at) / name
            for name in sorted(names)
            if not name.startswith(".")
            and Path(name).suffix.lower() in suffixes
            and _may_be_read(Path(at) / name)
        ]
    return found


def _may_be_read(path: Path) -> bool:
    return path.is_file() or not path.exists()


def stamp_of(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of change in nanoseconds; of its book for ``book.abc#2``; None for a file that is gone."""
    try:
        status = split_tune(path)[0].stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
