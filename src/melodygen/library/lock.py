"""One writer at a time: an advisory lock on a file. The system lets go of it when the process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from melodygen.errors import LibraryError


@contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the lock for the block. Raises LibraryError that names the process that holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            _take(handle)
        except OSError as error:
            who = os.read(handle, 32).decode("ascii", "replace").strip("\0 ")
            raise LibraryError(
                f"{path.parent}: process {who or '?'} is writing to this library; wait until it is done. "
                "Reading (similar, find, identify, recommend) goes on meanwhile"
            ) from error
        os.truncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)


if os.name == "nt":  # pragma: no cover

    def _take(handle: int) -> None:
        import msvcrt

        os.lseek(handle, 1_000, os.SEEK_SET)  # a byte behind the text, which others may then read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(handle, 0, os.SEEK_SET)

else:

    def _take(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


__all__ = ["writer_lock"]
