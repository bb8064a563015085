"""What a resumed run must know, on disk: ``state.pt`` and ``log.jsonl``, each whole or not at all."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from melodygen.atomic import atomic_path
from melodygen.errors import CheckpointError
from melodygen.training.generator.fine_tuning import Tuning


@dataclass
class Point:
    """One validation. Losses in nats a token: new music, and music the old model wrote (None where there is none)."""

    step: int
    train: float | None
    valid: float
    old: float | None


@dataclass
class TrainingState:
    """What a resumed run must know beside the net and the optimizer."""

    curve: list[Point] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_loss: float = float("inf")
    waited: int = 0
    losses: list[float] = field(default_factory=list)
    finished: bool = False


def save_progress(work: Path, tuning: Tuning, progress: TrainingState) -> None:
    """State and log, each whole or not at all."""
    told = {**vars(progress), "curve": [asdict(p) for p in progress.curve]}
    with atomic_path(work / "state.pt", overwrite=True) as temporary, disk_errors(work):
        torch.save({**tuning.state(), "progress": told}, temporary)
    rows = "".join(json.dumps(asdict(p)) + "\n" for p in progress.curve)
    with atomic_path(work / "log.jsonl", overwrite=True) as temporary:
        temporary.write_text(rows, encoding="utf-8")


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """torch and safetensors report a full disk as errors of their own."""
    from safetensors import SafetensorError

    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        raise OSError(errno.ENOSPC, str(error), str(folder)) from error


def load_progress(work: Path, tuning: Tuning) -> TrainingState | None:
    """The state a work folder holds, loaded into ``tuning``; None where there is none."""
    path = work / "state.pt"
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location=tuning.device, weights_only=True)
        told = state.pop("progress")
        tuning.load_state(state)
        return TrainingState(**{**told, "curve": [Point(**p) for p in told["curve"]]})
    except Exception as error:  # pickle, zip and torch have many ways to say that a file is broken
        raise CheckpointError(f"{path} cannot be resumed from ({error}); start again with --force") from error
