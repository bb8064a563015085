"""What was decided when a preference run began, and how far it has come: files in its work folder, each whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from melodygen.atomic import atomic_path
from melodygen.errors import CheckpointError
from melodygen.training.generator.state import disk_errors
from melodygen.training.preference.config import PreferenceConfig
from melodygen.training.preference.dpo import PreferenceTraining

RECORD, STATE = "run.json", "state.pt"


@dataclass(frozen=True)
class PreferenceRecord:
    """Everything that decides a run.

    Attributes:
        asked: what was asked for.
        config: the same with pairs and steps as they were decided.
        source, model_id, sha256: the checkpoint it begins from.
        classifier_id, renderer_id: who hears the candidates.
        reference, reference_id: folder of human music, and a hash that changes when a file of it does; empty for none.
        bf16: whether the net learns in bfloat16.
    """

    asked: PreferenceConfig
    config: PreferenceConfig
    source: str
    model_id: str
    sha256: str
    classifier_id: str
    renderer_id: str
    reference: str
    reference_id: str
    bf16: bool

    def write(self, work: Path) -> None:
        """Write ``run.json``."""
        with atomic_path(work / RECORD, overwrite=True) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, work: Path) -> PreferenceRecord:
        """Read ``run.json``. Raises CheckpointError where it is not one of a preference run."""
        path = work / RECORD
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            asked, config = (PreferenceConfig(**record.pop(name)) for name in ("asked", "config"))
            return cls(asked=asked, config=config, **record)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(
                f"{path} is not of a preference run of this version ({error}); start again with --force"
            ) from error


@dataclass(frozen=True)
class Check:
    """One look at the net while it learns.

    Attributes:
        step: after so many steps.
        train_loss: mean preference loss of the steps since the last look, in nats.
        loss: the same on pairs kept back.
        accuracy: share of those pairs that it has come to prefer rightly.
        gain: change of the log-probability of the preferred piece of those pairs, in nats.
        margin: by how much it rose more than that of the rejected.
        divergence: from the start, in nats a token: the larger of this style's and the other styles'.
        distinct, entropy, likeness: ``melodygen.evaluation.diversity`` of what it writes.
        refused: why it was turned back here; empty if it was not.
    """

    step: int
    train_loss: float
    loss: float
    accuracy: float
    gain: float
    margin: float
    divergence: float
    distinct: float
    entropy: float
    likeness: float
    refused: str = ""


@dataclass
class Progress:
    """How far learning has come. ``best`` are the weights of the accepted check with the least loss; empty for none."""

    curve: list[Check] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_loss: float = float("inf")
    turned_back: int = 0
    finished: bool = False


def save_state(work: Path, training: PreferenceTraining, progress: Progress) -> None:
    """Write the state of training and progress."""
    told = {**vars(progress), "curve": [asdict(check) for check in progress.curve]}
    with atomic_path(work / STATE, overwrite=True) as temporary, disk_errors(work):
        torch.save({**training.state(), "progress": told}, temporary)


def load_state(work: Path, training: PreferenceTraining) -> Progress:
    """Load the state of a work folder into ``training``; a new Progress where there is none."""
    path = work / STATE
    if not path.is_file():
        return Progress()
    try:
        state: Mapping[str, Any] = torch.load(path, weights_only=True)
        told = dict(state["progress"])
        training.load_state(state)
        return Progress(**{**told, "curve": [Check(**check) for check in told["curve"]]})
    except Exception as error:  # pickle, zip and torch have many ways to say that a file is broken
        raise CheckpointError(f"{path} cannot be resumed from ({error}); start again with --force") from error
