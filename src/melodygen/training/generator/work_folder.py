"""``OUT/.work``, where a run lies while it goes on: ``run.json`` (what was asked, from what), ``shards`` and ``replay``
(tokens, memory-mapped), ``state.pt`` (written whole every few minutes)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from melodygen.errors import OutputExistsError, UsageError
from melodygen.nets import checkpoint as checkpoints


@contextmanager
def working_folder(out: Path, resume: bool, force: bool) -> Iterator[Path]:
    """``OUT/.work``, checked against what is there. Where nothing could begin, nothing is left behind."""
    work = out / ".work"
    begun = (work / "run.json").is_file()
    if resume and not begun:
        done = " (it is finished)" if (out / checkpoints.CONFIG).is_file() else ""
        raise UsageError(f"--resume: no run to go on with in {out}{done}; leave out --resume to start one")
    if begun and not resume and not force:
        raise OutputExistsError(
            f"{out} holds a run that did not finish: go on with --resume, or replace it with --force"
        )
    if not resume and not force and (out / checkpoints.CONFIG).is_file():
        raise OutputExistsError(
            f"{out} is already a checkpoint: choose another --out, or replace it with --force"
        )
    if out.exists() and not out.is_dir():
        raise OutputExistsError(f"{out} is a file; give a folder with --out")
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    new = [p for p in (out, *out.parents) if not p.exists()]
    work.mkdir(parents=True, exist_ok=True)
    try:
        yield work
    finally:
        if not (work / "run.json").is_file():
            shutil.rmtree(work, ignore_errors=True)
            for folder in new:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
