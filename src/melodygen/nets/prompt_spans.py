"""A wrapper that feeds prompts in whole spans, for bfloat16, which torch multiplies with oneDNN.

oneDNN makes a kernel of half a megabyte for each new shape of a product; it keeps a thousand of them, and
parts of all later. Each prompt has its own length and needs four products, so a process that wrote for an
hour grew by megabytes a minute (float32 products through oneDNN: 230 MB for 100 lengths; no growth with whole
spans).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from melodygen.nets.kv_cache import SPAN
from melodygen.nets.sequence_net import SequenceNet


class ChunkedPrompt:
    """A ``SequenceNet`` around another that computes the same function.

    The first pass (all but its last token) is padded to whole spans with tokens that no row sees and that
    later steps overwrite; the last token is fed by itself.
    """

    def __init__(self, net: SequenceNet) -> None:
        self._net = net
        self.context = net.context

    def new_state(self, batch: int, capacity: int) -> Any:
        """Return an empty state with the capacity rounded up to whole spans."""
        return self._net.new_state(batch, -(-capacity // SPAN) * SPAN)

    def step(self, ids: Tensor, state: Any, at: int, starts: Tensor | None = None) -> Tensor:
        """Feed ids (B, T) and return the logits (B, V) of the next token; see ``TransformerDecoder.step``."""
        known = ids.shape[1] - 1
        if known:
            filled = min(-(-known // SPAN) * SPAN, self.context)
            self._net.step(functional.pad(ids[:, :known], (0, filled - known)), state, at)
        return self._net.step(ids[:, known:], state, at + known, starts)

    def merge_states(self, states: list[Any], lengths: list[int], capacity: int) -> Any:
        """Return one state made from states of one row each."""
        return self._net.merge_states(states, lengths, capacity)

    def keep_rows(self, state: Any, rows: list[int]) -> Any:
        """Return the state of the given rows only."""
        return self._net.keep_rows(state, rows)
