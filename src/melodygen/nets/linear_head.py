"""A linear layer on standardised inputs: what is taught on top of another net's embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearHead(nn.Module):
    """(B, inputs) -> (B, outputs) logits. ``mean`` and ``scale`` are those of the inputs that it learned from."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, outputs) of inputs (B, inputs)."""
        standard = (x - self.get_buffer("mean")) / self.get_buffer("scale")
        logits: Tensor = self.linear(standard)
        return logits


__all__ = ["LinearHead"]
