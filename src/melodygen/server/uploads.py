"""Files that users sent, kept under names of our own for as long as results are kept."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from melodygen.errors import UsageError
from melodygen.io.formats import MUSIC_SUFFIXES
from melodygen.server.jobs import new_id

_ID = re.compile(r"[0-9a-f]{32}")
MAX_NAME_LENGTH = 120


@dataclass(frozen=True)
class Upload:
    """A file that was sent. ``name`` is what its user calls it: shown, never used as a path."""

    id: str
    name: str
    num_bytes: int
    path: Path


class UploadStore:
    """Uploads below ``folder``, each in a folder of its own. ``clock`` gives seconds since 1970."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = folder, clock
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, stream: BinaryIO, name: str) -> Upload:
        """Copy a stream to the disk. Raises UsageError for an empty one."""
        upload_id = new_id()
        shown = PurePosixPath(name.replace("\\", "/")).name[:MAX_NAME_LENGTH] or "upload"
        suffix = Path(shown).suffix.lower()
        path = self._folder / upload_id / f"upload{suffix if suffix in MUSIC_SUFFIXES else '.bin'}"
        path.parent.mkdir()
        with path.open("wb") as target:
            shutil.copyfileobj(stream, target)
        size = path.stat().st_size
        if not size:
            shutil.rmtree(path.parent)
            raise UsageError(f"{shown} is empty: send a file with at least one byte")
        (path.parent / "name.json").write_text(json.dumps(shown), encoding="utf-8")
        return Upload(upload_id, shown, size, path)

    def get(self, upload_id: str) -> Upload:
        """Raises KeyError for an unknown id."""
        folder = self._folder / upload_id
        if not _ID.fullmatch(upload_id) or not (folder / "name.json").is_file():
            raise KeyError(upload_id)
        path = next(path for path in folder.iterdir() if path.name.startswith("upload"))
        name = json.loads((folder / "name.json").read_text(encoding="utf-8"))
        return Upload(upload_id, name, path.stat().st_size, path)

    def prune(self, max_age_seconds: float) -> int:
        """Remove uploads older than that; how many went."""
        old = [f for f in self._folder.iterdir() if self._clock() - f.stat().st_mtime > max_age_seconds]
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        return len(old)
