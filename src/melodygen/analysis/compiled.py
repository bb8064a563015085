"""librosa's compiled functions, made ready by one process at a time.

librosa compiles some functions with numba when they are first called, and numba keeps them in files beside librosa.
Two processes that do this at once can leave files that crash every process that loads them later (a segmentation
fault in ``beat_track``, seen on a fresh installation after classifying with two workers). So the first call of a
process happens under a lock that all processes of a user share; afterwards nothing is compiled or written.
"""

from __future__ import annotations

import getpass
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout

MAX_WAIT_SECONDS = 180.0
"""Compiling takes some ten seconds. Who waits longer than this goes on without the lock."""


def lock_path() -> Path:
    """The lock file of this user, in the system's folder for temporary files."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        user = "user"
    return Path(tempfile.gettempdir()) / f"melodygen-compile-{user}.lock"


@lru_cache(maxsize=8)
def compile_once(first_call: Callable[[], object], wait_seconds: float = MAX_WAIT_SECONDS) -> None:
    """Call ``first_call`` under the lock, once in this process: it calls what numba compiles."""
    lock = FileLock(lock_path())
    try:
        with lock.acquire(timeout=wait_seconds):
            first_call()
    except (Timeout, OSError):
        first_call()
