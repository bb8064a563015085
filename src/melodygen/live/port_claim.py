"""Which ports another melodygen plays to: a lock file for each, which the system gives back however a process ends."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import platformdirs
from filelock import FileLock, Timeout


@contextmanager
def claimed(name: str) -> Iterator[bool]:
    """Claim an output port while the block runs.

    Args:
        name: full name of the port.

    Yields:
        Whether nobody else has claimed it. True where locks cannot be kept.
    """
    place = (platform.node(), os.environ.get("JACK_DEFAULT_SERVER", ""), name.removeprefix("jack:"))
    digest = hashlib.sha256("\n".join(place).encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("melodygen") / "ports"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{digest}.lock", blocking=False)
        lock.acquire()
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError):
        yield True
        return
    try:
        yield True
    finally:
        with suppress(OSError):
            lock.release()
