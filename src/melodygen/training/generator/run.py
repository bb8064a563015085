"""A training run from a folder of music to a checkpoint folder, that can be stopped, killed and resumed.

The steps, the batches and the moments of validation are fixed when the run begins (``training.begin``) and do not
depend on the clock, so a resumed run ends as an unbroken one.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from melodygen.data.dataset import Example, ExampleSampler, Views
from melodygen.data.shards import Shards, load_shards
from melodygen.errors import CheckpointError, MelodygenError
from melodygen.generation.neural import NETS
from melodygen.nets import checkpoint as checkpoints
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.distributed import DistributedContext
from melodygen.training.generator.config import TrainingConfig
from melodygen.training.generator.fine_tuning import Tuning, Watcher
from melodygen.training.generator.record import RunRecord
from melodygen.training.generator.state import Point, TrainingState, load_progress, save_progress
from melodygen.training.generator.trainer import GeneratorRecipe, validation_loss

VALIDATION_STREAM = 7
"""Random stream of the validation examples."""


class Stopped(MelodygenError):
    """The run was asked to stop, and can be resumed."""

    exit_code = 130


@dataclass(frozen=True)
class Prepared:
    """A run that may begin.

    Attributes:
        record: what was decided.
        recipe: how the net learns.
        shards: the new music.
        replay: what the old model wrote, or None.
        net: the net that learns.
        old_net: the base model, frozen, or None.
    """

    record: RunRecord
    recipe: GeneratorRecipe
    shards: Shards
    replay: Shards | None
    net: nn.Module
    old_net: nn.Module | None

    @property
    def config(self) -> TrainingConfig:
        """What was asked for."""
        return self.record.config

    @property
    def order(self) -> tuple[str, ...]:
        """Names of all styles, by slot."""
        return tuple(style.name for style in self.record.styles)

    @property
    def vocabulary_id(self) -> str:
        """Of the model: a model of an earlier vocabulary stays one."""
        base = self.record.base
        return VOCABULARY.vocabulary_id if base is None else base.vocabulary_id


def prepare(work: Path, record: RunRecord, device: torch.device, context: DistributedContext) -> Prepared:
    """The run of a record: nets, shards and recipe. Equal in all processes.

    Raises CheckpointError where the base model has changed.
    """
    config, base = record.config, record.base
    flat = {k: v for k, v in record.net.items() if k not in ("type", "dropout")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = NETS[record.net["type"]](VOCABULARY.size, **flat, dropout=record.dropout)
    old_net = None
    if base is not None:
        source = Path(base.path)
        if checkpoints.weights_sha256(source) != base.sha256:
            raise CheckpointError(
                f"checkpoint {source} has changed since the run began from it; start again with --force"
            )
        checkpoints.load_weights(source, net)
        old_net = copy.deepcopy(net)
        old_net.requires_grad_(False)
        old_net.to(device)
        give_slots(net, tuple(style.name for style in record.styles), base.nearest)
    net.to(device)
    recipe = GeneratorRecipe(
        steps=record.steps, rows=config.rows, length=config.length, learning_rate=record.learning_rate,
        embedding_learning_rate=record.learning_rate,
        weight_decay=config.weight_decay, warmup=max(1, min(60, record.steps // 10)),
        average=0.995 if config.fresh else 0.98, optimizer=record.optimizer, bf16=record.bf16,
        seed=config.seed, accumulate=record.accumulate,
    )  # fmt: skip
    replay = load_shards(work / "replay") if (work / "replay" / "pieces.json").is_file() else None
    return Prepared(record, recipe, load_shards(work / "shards"), replay, net, old_net)


@torch.no_grad()
def give_slots(net: nn.Module, order: Sequence[str], nearest: Mapping[str, str]) -> None:
    """A new style begins as the known one it is nearest to."""
    table = net.get_parameter("embedding.weight")
    first = VOCABULARY.offsets["style"] + 1
    for name, known in nearest.items():
        table[first + order.index(name)] = table[first + order.index(known)]


def views_of(run: Prepared) -> Views:
    """How the run sees its music. A model of an earlier vocabulary stays one: it has never seen a repeat in short."""
    return Views(transpose=run.config.transpose, again=run.vocabulary_id == VOCABULARY.vocabulary_id)


def make_tuning(run: Prepared, context: DistributedContext) -> Tuning:
    """The training of a run, its samplers and optimizers made."""
    views = views_of(run)
    longest = min(1000, run.config.length - 24)
    sampler = ExampleSampler(run.shards, "train", run.order, views, max_tokens=longest)
    replay = None
    if run.replay is not None and run.old_net is not None:
        replay = ExampleSampler(run.replay, "train", run.order, views, max_tokens=longest)
    return Tuning(run.net, sampler, run.recipe, context, run.old_net, replay, run.config.replay)


def validation_sets(run: Prepared) -> tuple[list[Example], list[Example]]:
    """(new music, the old model's own), the same in every run over the same data."""
    longest = min(1000, run.config.length - 24)
    sampler = ExampleSampler(
        run.shards, "valid", run.order, replace(views_of(run), transpose=True), max_tokens=longest
    )
    rng = np.random.default_rng(VALIDATION_STREAM)
    names = [n for n in sampler.style_names if n != "drums"]
    each = max(4, min(32, 96 // max(1, len(names))))
    new = [sampler.draw(rng, name) for name in names for _ in range(each)]
    old: list[Example] = []
    if run.replay is not None:
        kept = ExampleSampler(run.replay, "valid", run.order, sampler.views, max_tokens=longest)
        old = [kept.draw(rng, name) for name in kept.style_names for _ in range(4)]
    return new, old


def measure_pace(run: Prepared, steps: int = 2) -> float:
    """Seconds a step, the first (which warms up) left out. The run's net is left as it was."""
    tuning = make_tuning(replace(run, net=copy.deepcopy(run.net)), DistributedContext())
    seconds = [r.seconds for r, _ in zip(tuning.run(), range(steps + 1), strict=False)]
    return (
        max(1e-3, (seconds[-1] - seconds[0]) / max(1, len(seconds) - 1)) if len(seconds) > 1 else seconds[0]
    )


class Validator:
    """Losses of the averaged weights."""

    def __init__(self, run: Prepared) -> None:
        self._net = copy.deepcopy(run.net)
        self._new, self._old = validation_sets(run)
        self._bf16 = run.recipe.bf16

    def __call__(self, weights: dict[str, torch.Tensor]) -> tuple[float, float | None]:
        self._net.load_state_dict(weights)
        new = validation_loss(self._net, self._new, bf16=self._bf16)[0]
        old = validation_loss(self._net, self._old, bf16=self._bf16)[0] if self._old else None
        return new, old


def learn(
    run: Prepared,
    work: Path,
    context: DistributedContext,
    watcher: Watcher,
    save_seconds: float = 180.0,
    stop: Callable[[], bool] = lambda: False,
    each: Callable[[Point, Mapping[str, torch.Tensor]], None] = lambda point, weights: None,
) -> TrainingState:
    """Train to the end of the schedule or until validation says that no more is to be had; resumes where ``work``
    holds a state. ``each`` is called after a validation, with the averaged weights. Raises Stopped after saving when
    ``stop()`` says so."""
    tuning = make_tuning(run, context)
    progress = load_progress(work, tuning) or TrainingState()
    if progress.finished:
        return progress
    every = max(10, min(200, run.record.steps // 8))  # a validation costs some four steps
    validator = Validator(run) if context.leads else None
    if validator is not None and not progress.curve:
        new, old = validator(tuning.average)
        progress.curve.append(Point(0, None, new, old))
        each(progress.curve[-1], tuning.average)
    begun, first_step, first_tokens, saved_at = time.monotonic(), tuning.step, tuning.tokens, time.monotonic()
    for record in tuning.run():
        progress.losses.append(record.loss)
        spent = time.monotonic() - begun
        pace = spent / (record.step - first_step)
        if context.leads:
            watcher.step(
                record.step, run.record.steps, record.loss, (record.tokens - first_tokens) * context.size / spent,
                pace * (run.record.steps - record.step),
            )  # fmt: skip
        if record.step % every == 0 or record.step == run.record.steps:
            if validator is not None:
                _validate(validator, tuning, progress)
                each(progress.curve[-1], tuning.average)
            progress.losses.clear()
        progress.finished = context.any(
            progress.waited >= run.config.patience or record.step >= run.record.steps
        )
        stopping = context.any(stop())
        if context.leads and (stopping or progress.finished or time.monotonic() - saved_at > save_seconds):
            save_progress(work, tuning, progress)
            saved_at = time.monotonic()
        if progress.finished:
            break
        if stopping:
            raise Stopped(f"stopped after step {record.step} of {run.record.steps}; go on with --resume")
    return progress


def _validate(validator: Validator, tuning: Tuning, progress: TrainingState) -> None:
    new, old = validator(tuning.average)
    progress.curve.append(Point(tuning.step, float(np.mean(progress.losses)), new, old))
    if new < progress.best_loss - 1e-4:
        progress.best_loss, progress.waited = new, 0
        progress.best = {k: v.detach().clone() for k, v in tuning.average.items()}
    else:
        progress.waited += 1
