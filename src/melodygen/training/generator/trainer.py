"""Train a sequence net on token shards.

Muon (orthogonalised momentum, Jordan 2024) for the hidden matrices, AdamW for the rest; cosine schedule with warm-up;
exponential moving average of the weights, which is what is validated and shipped. Batches are a function
of (seed, step),
so a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from melodygen.atomic import atomic_path
from melodygen.data.dataset import Example, ExampleSampler, pack
from melodygen.nets.precision import has_bf16
from melodygen.tokens.vocabulary import PAD
from melodygen.training.muon import Muon


@dataclass(frozen=True)
class GeneratorRecipe:
    """How to train. A step learns from ``rows`` rows of ``length`` tokens, ``accumulate`` parts one after another."""

    steps: int = 2000
    rows: int = 8
    length: int = 1024
    learning_rate: float = 2e-3
    embedding_learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warmup: int = 60
    decay: float = 1.0
    """The last share of the steps, in which the rate falls; before, it stays."""
    final_fraction: float = 0.04
    average: float = 0.995
    clip: float = 1.0
    optimizer: str = "muon"
    bf16: bool = field(default_factory=has_bf16)
    seed: int = 1
    accumulate: int = 1


@dataclass(frozen=True)
class Record:
    """One line of the training log. Losses in nats a token."""

    step: int
    loss: float
    valid_loss: float | None
    tokens: int
    seconds: float
    learning_rate: float


def make_optimizers(net: nn.Module, recipe: GeneratorRecipe) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices and AdamW for the rest, or AdamW for all."""
    matrices = [
        p for n, p in net.named_parameters() if p.ndim == 2 and "embedding" not in n and "lstm" not in n
    ]
    hidden = {id(p) for p in matrices}
    rest = [p for p in net.parameters() if id(p) not in hidden]
    if recipe.optimizer == "adamw":
        return [
            torch.optim.AdamW(
                [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}],
                lr=recipe.learning_rate, betas=(0.9, 0.95),
            )
        ]  # fmt: skip
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(Muon(matrices, recipe.learning_rate, recipe.weight_decay))
    optimizers.append(
        torch.optim.AdamW(rest, lr=recipe.embedding_learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    )
    return optimizers


def schedule(step: int, recipe: GeneratorRecipe) -> float:
    """Factor of the peak learning rate: linear warm-up, level, cosine to ``final_fraction`` in the share ``decay``."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    falls = max(recipe.warmup, round((1 - recipe.decay) * recipe.steps))
    done = min(1.0, max(0, step - falls) / max(1, recipe.steps - falls))
    return recipe.final_fraction + (1 - recipe.final_fraction) * 0.5 * (1 + math.cos(math.pi * done))


def pad_examples(examples: Sequence[Example], score_header: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """ids (B, T), targets (B, T) with -100 where nothing is scored, and notes a row (B,)."""
    longest = max(len(e.ids) for e in examples) - 1
    ids = torch.full((len(examples), longest), PAD, dtype=torch.long)
    targets = torch.full((len(examples), longest), -100, dtype=torch.long)
    for row, example in enumerate(examples):
        tokens = torch.from_numpy(example.ids.astype(np.int64))
        ids[row, : len(tokens) - 1] = tokens[:-1]
        first = 0 if score_header else example.header_length - 1
        targets[row, first : len(tokens) - 1] = tokens[1:][first:]
    return ids, targets, torch.tensor([e.num_notes for e in examples])


@torch.no_grad()
def validation_loss(
    net: nn.Module, examples: Sequence[Example], rows: int = 8, bf16: bool = False
) -> tuple[float, int]:
    """(nats a token without the header, tokens)."""
    net.eval()
    device = next(net.parameters()).device
    total, count = 0.0, 0
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    for at in range(0, len(order), rows):
        ids, targets, _ = pad_examples([examples[i] for i in order[at : at + rows]])
        ids, targets = ids.to(device), targets.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = net(ids)
        flat = logits.float().flatten(0, 1)
        loss = functional.cross_entropy(flat, targets.flatten(), ignore_index=-100, reduction="sum")
        total += float(loss)
        count += int((targets != -100).sum())
    return total / max(count, 1), count


class GeneratorTraining:
    """A run that can stop and go on: ``run()`` yields a Record a step; ``state()``/``load_state()`` hold everything.

    ``forward`` is the net as it is called to learn: itself, or wrapped for several processes.
    """

    def __init__(
        self,
        net: nn.Module,
        sampler: ExampleSampler,
        recipe: GeneratorRecipe,
        forward: nn.Module | None = None,
    ) -> None:
        self.net = net
        self.forward = net if forward is None else forward
        self.device = next(net.parameters()).device
        self.sampler = sampler
        self.recipe = recipe
        self.optimizers = make_optimizers(net, recipe)
        self.average = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0

    def batch(self, step: int) -> NDArray[np.int16]:
        """Token ids (rows, length + 1) of a step."""
        rng = np.random.default_rng([self.recipe.seed, step])
        return pack(self.sampler, self.recipe.rows, self.recipe.length, rng)

    def loss(self, tokens: Tensor, first_row: int) -> Tensor:
        """Mean nats a token of rows ``first_row`` .. of the batch (R, T + 1)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16):
            logits = self.forward(tokens[:, :-1])
        return functional.cross_entropy(
            logits.float().flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD
        )

    def learn(self, tokens: Tensor) -> Tensor:
        """Gradients of the mean loss over all rows, a part at a time. Return that loss (), in nats a token."""
        total, at = torch.zeros((), device=self.device), 0
        parts = tokens.tensor_split(min(self.recipe.accumulate, len(tokens)))
        for part in parts:
            loss = self.loss(part, at) * (len(part) / len(tokens))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
            at += len(part)
        return total

    def advance(self, tokens: Tensor, factor: float) -> Tensor:
        """One step on ``tokens`` (rows, length + 1) at ``factor`` of the peak learning rates.

        Return the loss (), in nats a token. It stays on the device: to read it is to wait for the step.
        """
        recipe = self.recipe
        peaks = [recipe.learning_rate] * len(self.optimizers)
        if recipe.optimizer == "muon":
            peaks[-1] = recipe.embedding_learning_rate
        self.net.train()
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)  # dropout: the same after a resume
        for optimizer, peak in zip(self.optimizers, peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
            optimizer.zero_grad(set_to_none=True)
        loss = self.learn(tokens)
        nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        decay = min(recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.net.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, 1 - decay)
        self.step += 1
        self.tokens += tokens[:, 1:].numel()
        return loss

    def run(self, until: Callable[[int, float], bool] | None = None) -> Iterator[Record]:
        """Steps until the schedule (or ``until(step, seconds)``) ends."""
        recipe = self.recipe
        while self.step < recipe.steps:
            begun = time.monotonic()
            factor = schedule(self.step, recipe)
            tokens = torch.from_numpy(self.batch(self.step).astype(np.int64)).to(self.device)
            loss = float(self.advance(tokens, factor))
            self.seconds += time.monotonic() - begun
            yield Record(self.step, loss, None, self.tokens, self.seconds, recipe.learning_rate * factor)
            if until is not None and until(self.step, self.seconds):
                return

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs, as tensors and numbers."""
        return {
            "net": self.net.state_dict(),
            "average": self.average,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self.net.load_state_dict(state["net"])
        self.average = {k: v.to(self.device) for k, v in state["average"].items()}
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]


def save_state(path: Path, training: GeneratorTraining) -> None:
    """Write the state of training, whole or not at all."""
    with atomic_path(path, overwrite=True) as temporary:
        torch.save(training.state(), temporary)
