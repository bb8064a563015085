"""A net whose prompts are fed in whole spans: for bfloat16, which torch multiplies with oneDNN.

oneDNN makes a kernel for each new shape of a product, half a megabyte, and keeps a thousand of them and parts of all.
Each prompt has a length of its own and four products, so a process that wrote for an hour grew by megabytes a minute
(products of float32 through oneDNN: 230 MB for 100 lengths, nothing in whole spans).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from melodygen.nets.kv_cache import SPAN
from melodygen.nets.sequence_net import SequenceNet


class ChunkedPrompt:
    """A ``sampling.SequenceNet`` over another: the same function. A first pass, all but its last token, is filled up to
    whole spans with what nobody sees and later steps write over; the last token is fed by itself."""

    def __init__(self, net: SequenceNet) -> None:
        self._net = net
        self.context = net.context

    def new_state(self, batch: int, capacity: int) -> Any:
        return self._net.new_state(batch, -(-capacity // SPAN) * SPAN)

    def step(self, ids: Tensor, state: Any, at: int, starts: Tensor | None = None) -> Tensor:
        """See ``TransformerDecoder.step``."""
        known = ids.shape[1] - 1
        if known:
            filled = min(-(-known // SPAN) * SPAN, self.context)
            self._net.step(functional.pad(ids[:, :known], (0, filled - known)), state, at)
        return self._net.step(ids[:, known:], state, at + known, starts)

    def merge_states(self, states: list[Any], lengths: list[int], capacity: int) -> Any:
        return self._net.merge_states(states, lengths, capacity)

    def keep_rows(self, state: Any, rows: list[int]) -> Any:
        return self._net.keep_rows(state, rows)
