"""Muon (Jordan 2024): momentum whose update is made orthogonal, for the hidden matrices of a net.

As ``torch.optim.Muon`` with ``match_rms_adamw``, but for one thing: torch makes updates orthogonal in bfloat16 on every
device, and where a processor only emulates that it takes twice as long as all the rest of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from melodygen.nets.precision import has_bf16

_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5
_NESTEROV = 0.95


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with singular values of about 1 (0.7 to 1.2), by Newton and Schulz's iteration."""
    x = matrix.to(torch.bfloat16 if has_bf16(matrix.device) else torch.float32)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=_B, alpha=_C), x, beta=_A)
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """For matrices alone. The rate is that of AdamW: an update has the size that AdamW's would have."""

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all matrices."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state: dict[str, Any] = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                momentum = state["momentum_buffer"]
                momentum.lerp_(matrix.grad, 1 - _NESTEROV)
                update = orthogonal(matrix.grad.lerp(momentum, _NESTEROV))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-0.2 * max(matrix.shape) ** 0.5 * group["lr"])
