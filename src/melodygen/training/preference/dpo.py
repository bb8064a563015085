"""Direct preference optimisation of a sequence net, held near its start.

The loss is that of Rafailov et al. 2023 over whole pieces: of two pieces the net shall come to prefer the preferred one
more than the start does. Two things are added, because the loss alone is known to lower the probability of both pieces
and to leave the start far behind: a penalty where the preferred piece becomes less likely (Pal et al. 2024, as NotaGen
uses it), and the divergence from the start over all tokens, as the square of its share of the leash.

R rows, T steps, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from melodygen.data.dataset import Example
from melodygen.training.generator.trainer import pad_examples
from melodygen.training.preference.config import PreferenceConfig

DROP_PENALTY = 5.0
"""Weight of a fall of the preferred piece's log-probability, beside its gain over the rejected one."""
KEPT_ROWS = 2
"""Rows a step of other styles, on which the net is held to the start."""
CLIP = 1.0
AT_ONCE = 8
"""Rows that go through the net together where nothing is learned."""


@dataclass(frozen=True)
class Pair:
    """Two pieces on one request, the better and the worse."""

    preferred: Example
    rejected: Example


@dataclass(frozen=True)
class Preference:
    """How a net stands on pairs.

    Attributes:
        loss: mean preference loss in nats; ln 2 where it prefers as the start does.
        accuracy: share of pairs of which it has come to prefer the preferred.
        gain: mean log-probability of the preferred piece less the start's, in nats.
        margin: the same of the preferred less that of the rejected.
        divergence: mean Kullback-Leibler divergence from the start, in nats a token.
    """

    loss: float
    accuracy: float
    gain: float
    margin: float
    divergence: float


class PreferenceTraining:
    """Steps on pairs; a function of seed and step, so a resumed run learns what an unbroken one would have learned.

    Args:
        net: the net that learns; ``start`` is copied from it.
        pairs: what it learns from.
        kept: pieces of other styles.
        config: how it learns.
        bf16: multiply in bfloat16.
    """

    def __init__(
        self, net: nn.Module, pairs: Sequence[Pair], kept: Sequence[Example], config: PreferenceConfig, bf16: bool
    ) -> None:  # fmt: skip
        self.net = net.eval()  # no dropout: both nets are to see the same
        self.start = copy.deepcopy(net).requires_grad_(False)
        self.pairs, self.kept, self.config = pairs, kept, config
        self.step = 0
        self.rate = config.learning_rate
        self._bf16 = bf16
        self._optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.net.parameters(), lr=self.rate, betas=(0.9, 0.95), weight_decay=0.0)

    def learn(self) -> float:
        """Take one step; the loss before it, in nats."""
        rng = np.random.default_rng([self.config.seed, self.step])
        rows = rng.permutation(len(self.pairs))[: self.config.rows]
        others = rng.permutation(len(self.kept))[:KEPT_ROWS]
        warmup = max(1, self.config.steps // 10)
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, (self.step + 1) / warmup)
        self._optimizer.zero_grad(set_to_none=True)
        loss, total = self._loss([self.pairs[i] for i in rows], [self.kept[i] for i in others])
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self._optimizer.step()
        self.step += 1
        return float(loss.detach())

    def _loss(self, pairs: Sequence[Pair], kept: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """(preference loss, what is minimised)."""
        examples = [*(p.preferred for p in pairs), *(p.rejected for p in pairs), *kept]
        ratios, divergence, tokens = self._compare(examples)
        gain, rejected = ratios[: len(pairs)], ratios[len(pairs) : 2 * len(pairs)]
        loss = preference_loss(gain, rejected, self.config.beta).mean()
        away = divergence.sum() / tokens.sum()
        return loss, loss + 0.5 * (away / self.config.leash) ** 2

    def _compare(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor]:
        """Of each row: log-probability less the start's, divergence from the start summed over tokens, tokens."""
        ids, targets, _ = pad_examples(examples)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            logits = self.net(ids)
            with torch.no_grad():
                before = self.start(ids)
        log_probs = functional.log_softmax(logits.float(), dim=-1)
        said = functional.log_softmax(before.float(), dim=-1)
        scored = targets != -100
        index = targets.clamp_min(0)[..., None]
        change = (log_probs.gather(-1, index) - said.gather(-1, index))[..., 0]
        away = functional.kl_div(log_probs, said, reduction="none", log_target=True).sum(-1)
        return (change * scored).sum(1), (away * scored).sum(1), scored.sum(1)

    @torch.no_grad()
    def standing(self, pairs: Sequence[Pair]) -> Preference:
        """How the net stands on these pairs."""
        examples = [*(p.preferred for p in pairs), *(p.rejected for p in pairs)]
        ratios, divergence = self._ratios(examples)
        gain, rejected = ratios[: len(pairs)], ratios[len(pairs) :]
        return Preference(
            float(preference_loss(gain, rejected, self.config.beta).mean()),
            float((gain > rejected).double().mean()),
            float(gain.mean()),
            float((gain - rejected).mean()),
            divergence,
        )

    @torch.no_grad()
    def divergence(self, examples: Sequence[Example]) -> float:
        """Mean Kullback-Leibler divergence from the start on these pieces, in nats a token; 0 of none."""
        return self._ratios(examples)[1]

    def _ratios(self, examples: Sequence[Example]) -> tuple[Tensor, float]:
        parts = [self._compare(examples[at : at + AT_ONCE]) for at in range(0, len(examples), AT_ONCE)]
        if not parts:
            return torch.zeros(0), 0.0
        ratios, away, tokens = (torch.cat(column) for column in zip(*parts, strict=True))
        return ratios, float(away.sum() / tokens.sum())

    def turn_back(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from earlier weights at half the rate."""
        self.net.load_state_dict(weights)
        self.rate /= 2
        self._optimizer = self._new_optimizer()

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs."""
        return {
            "net": self.net.state_dict(), "optimizer": self._optimizer.state_dict(), "step": self.step,
            "rate": self.rate,
        }  # fmt: skip

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self.net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.rate = state["step"], state["rate"]


def preference_loss(gain: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """Loss of each pair, (R,), from the change of the log-probability of the preferred and of the rejected piece."""
    fall = functional.relu(-gain)
    return -functional.logsigmoid(beta * (gain - rejected - DROP_PENALTY * fall))
