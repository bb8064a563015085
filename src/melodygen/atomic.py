"""Files that appear whole or not at all.

The writer gets a hidden temporary path in the target's own folder, which is made where it is missing; only a finished
file is moved to the target. An error, Ctrl-C or kill in mid-write leaves an old file as it was.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from melodygen.errors import OutputExistsError


@contextmanager
def atomic_path(target: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` (same suffix) and move it there when the block ends well.

    Raises OutputExistsError if ``target`` is already there and ``overwrite`` is false: before the block, and
    again if it has appeared meanwhile. What the block raises goes through, and the temporary file is removed.
    """
    target = Path(target)
    _refuse_existing(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{secrets.token_hex(6)}.part{target.suffix}")
    try:
        yield temporary
        if overwrite:
            temporary.replace(target)
        else:
            _move_new(temporary, target)
    except OSError as error:
        if error.filename == str(temporary):  # which nobody knows by this name
            error.filename = str(target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(target):
        raise OutputExistsError(f"{target} is already there: choose another name, or replace it with --force")


def _move_new(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)  # unlike rename, this fails if the target has appeared meanwhile
    except FileExistsError:
        _refuse_existing(target, overwrite=False)
        raise
    except OSError:  # a file system without hard links
        _refuse_existing(target, overwrite=False)
        temporary.replace(target)
