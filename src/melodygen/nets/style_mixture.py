"""A net that writes in several styles at once: the same tokens under several headers, their logits averaged.

The average of log-probabilities by share is a product of experts (Hinton 2002): a token is likely where each style
finds it likely, and what one style rules out is out. Each style costs as much as one stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from melodygen.nets.sequence_net import SequenceNet


class StyleMixture:
    """A ``SequenceNet`` around another.

    Args:
        net: the net.
        written: token of the style in the sequences that are fed.
        shares: token of each style -> its share; they sum to 1.
    """

    def __init__(self, net: SequenceNet, written: int, shares: Mapping[int, float]) -> None:
        self._net, self._written, self._shares = net, written, dict(shares)
        self.context = net.context

    def new_state(self, batch: int, capacity: int) -> Any:
        """Return an empty state: one of the net for each style."""
        return [self._net.new_state(batch, capacity) for _ in self._shares]

    def step(self, ids: Tensor, state: Any, at: int, starts: Tensor | None = None) -> Tensor:
        """Feed ids (B, T) at position ``at`` under each header and return the averaged logits (B, V)."""
        total: Tensor | None = None
        for own, (token, share) in zip(state, self._shares.items(), strict=True):
            headed = torch.where(ids == self._written, token, ids)
            logits = share * torch.log_softmax(self._net.step(headed, own, at, starts).float(), dim=-1)
            total = logits if total is None else total + logits
        assert total is not None
        return total

    def merge_states(self, states: list[Any], lengths: list[int], capacity: int) -> Any:
        """Return one state made from states of one row each."""
        each = zip(*states, strict=True)
        return [self._net.merge_states(list(own), lengths, capacity) for own in each]

    def keep_rows(self, state: Any, rows: list[int]) -> Any:
        """Return the state of the given rows only."""
        return [self._net.keep_rows(own, rows) for own in state]


__all__ = ["StyleMixture"]
