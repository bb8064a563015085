"""A very small training run."""

from __future__ import annotations

from pathlib import Path

import torch

from melodygen.training.distributed import DistributedContext
from melodygen.training.generator.config import TrainingConfig
from melodygen.training.generator.record import RunRecord
from melodygen.training.generator.setup import begin_run

CPU = torch.device("cpu")
SMALL = TrainingConfig(source="none", size="tiny", steps=10, rows=2, length=128, classifier=False)


class Silent:
    def stage(self, text: str, done: float) -> None: ...

    def step(
        self, step: int, steps: int, loss: float, tokens_a_second: float, seconds_left: float
    ) -> None: ...

    def say(self, text: str) -> None: ...


def begun(folder: Path, work: Path, plan: TrainingConfig = SMALL) -> RunRecord:
    work.mkdir(parents=True, exist_ok=True)
    return begin_run(folder, work, plan, CPU, DistributedContext(), 1, Silent())
