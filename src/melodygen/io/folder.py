"""Which files of a folder may be music."""

from __future__ import annotations

import os
from pathlib import Path

from melodygen.io.formats import MUSIC_SUFFIXES


def music_files(folder: Path, recursive: bool = False) -> list[Path]:
    """By suffix, in the order of their names; hidden ones are left out, links that loop are not followed twice."""
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
            if not name.startswith(".") and Path(name).suffix.lower() in MUSIC_SUFFIXES
        ]
    return found


def stamp_of(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None for a file that is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
