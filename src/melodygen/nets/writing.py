"""A trained Transformer made ready to write: the same function, token by token.

Norm weights and scales are folded into the matrices behind them, and pairs that rotate lie side by side (a rotation is
then one complex product). Writing is bound by what is read at each step, so matrices and cache are bfloat16 where the
processor multiplies it natively, else float32; the residual and the logits are float32. One bfloat16 query attends by
two batched matrix-vector products: torch's own attention is several times slower there, and for float32 faster.

Letters: B batch, T steps, V vocabulary, D width, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from melodygen.nets.precision import quickest_dtype
from melodygen.nets.transformer import Block, Transformer

SPAN = 64
"""Slots are attended to in whole spans, those not filled yet with weight 0: for each new shape of a product oneDNN
makes and keeps a kernel (half a megabyte), and a length that grows step by step is a new shape each time."""
Cache = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, (B, H, capacity, D / H)."""


@dataclass(frozen=True, eq=False)
class _Layer:
    query_key_value: Tensor
    attention_out: Tensor
    mlp_in: Tensor
    mlp_out: Tensor


def _unit(x: Tensor) -> Tensor:
    """Rows of length 1: an RMS norm but for the scale, which the weights hold."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / norm


class TransformerWriter:
    """A ``sampling.SequenceNet`` over the weights of a Transformer, which it copies."""

    def __init__(self, net: Transformer, dtype: torch.dtype | None = None) -> None:
        dtype = dtype or quickest_dtype()
        self.context, self.heads, self.width = net.context, net.heads, net.width
        self._dtype = dtype
        head = self.width // self.heads
        size = self.width**0.5
        with torch.no_grad():
            pairs = torch.arange(head).view(2, -1).T.reshape(-1)  # (a, b) halves -> a0 b0 a1 b1 …
            rows = torch.arange(2 * self.heads)[:, None] * head + pairs
            order = torch.cat([rows.reshape(-1), torch.arange(2 * self.width, 3 * self.width)])
            layers = []
            for block in net.blocks:
                assert isinstance(block, Block)
                attend = block.query_key_value.weight * block.norm_attention.weight * size
                attend = attend[order]
                attend[: self.width] *= head**-0.5
                think = block.mlp_in.weight * block.norm_mlp.weight * size
                weights = (attend, block.attention_out.weight, think, block.mlp_out.weight)
                layers.append(_Layer(*(w.detach().to(dtype).contiguous() for w in weights)))
            self._layers = layers
            self._table = (net.embedding.weight * size).detach().float().clone()
            self._head = (net.embedding.weight * net.norm.weight * size).detach().float().clone()
            self._turns = torch.complex(net.get_buffer("cos").float(), net.get_buffer("sin").float())

    def new_state(self, batch: int, capacity: int) -> Cache:
        """An empty cache for ``capacity`` steps."""
        size = (batch, self.heads, capacity, self.width // self.heads)
        return [(torch.zeros(size, dtype=self._dtype), torch.zeros(size, dtype=self._dtype)) for _ in self._layers]

    def step(self, ids: Tensor, state: Cache, at: int, starts: Tensor | None = None) -> Tensor:
        """Logits (B, V) after feeding ids (B, T) into cache slots ``at`` .. ``at + T``; the cache is written in place.

        ``starts`` (B,) is the first slot each row uses: rows of unequal length end in the same slot. T > 1 needs an
        empty cache and rows of equal length.
        """
        batch, steps = ids.shape
        after, width, heads = at + steps, self.width, self.heads
        head = width // heads
        x = self._table[ids].view(batch * steps, width)
        hidden = None  # which slots a row must not see, as a term of its scores
        if starts is None:
            turns = self._turns[at:after].view(1, steps, 1, head // 2)
        else:
            turns = self._turns[at - starts].view(batch, 1, 1, head // 2)
            unused = torch.arange(after)[None] < starts[:, None]
            hidden = torch.zeros(batch, 1, after).masked_fill_(unused[:, None], -torch.inf)
        for layer, (keys, values) in zip(self._layers, state, strict=True):
            qkv = functional.linear(self._normed(x), layer.query_key_value).view(batch, steps, 3 * heads, head)
            turned = torch.view_as_complex(qkv[:, :, : 2 * heads].float().view(batch, steps, 2 * heads, -1, 2)) * turns
            both = torch.view_as_real(turned).view(batch, steps, 2 * heads, head)
            keys[:, :, at:after] = both[:, :, heads:].transpose(1, 2)
            values[:, :, at:after] = qkv[:, :, 2 * heads :].transpose(1, 2)
            query = both[:, :, :heads].to(self._dtype)
            if steps == 1 and self._dtype == torch.bfloat16:
                attended = self._attend_one(query, keys, values, after, hidden)
            else:
                attended = functional.scaled_dot_product_attention(
                    query.transpose(1, 2), keys[:, :, :after], values[:, :, :after],
                    attn_mask=None if hidden is None else hidden[:, None],
                    is_causal=steps > 1, scale=1.0,
                ).transpose(1, 2)  # fmt: skip
            x = x + functional.linear(attended.reshape(batch * steps, width), layer.attention_out)
            thought = functional.linear(self._normed(x), layer.mlp_in).relu_().square_()
            x = x + functional.linear(thought, layer.mlp_out)
        last = x.view(batch, steps, width)[:, -1]
        return functional.linear(_unit(last), self._head)

    def _normed(self, x: Tensor) -> Tensor:
        return _unit(x).to(self._dtype)

    def _attend_one(self, query: Tensor, keys: Tensor, values: Tensor, after: int, hidden: Tensor | None) -> Tensor:
        batch, heads, capacity, head = keys.shape
        rows = batch * heads
        span = min(-(-after // SPAN) * SPAN, capacity)
        scores = torch.bmm(keys.view(rows, capacity, head)[:, :span], query.view(rows, head, 1)).float()
        scores = scores.view(batch, heads, span)
        if hidden is not None:
            scores[:, :, :after] += hidden
        scores[:, :, after:] = -torch.inf
        weights = torch.softmax(scores.view(rows, 1, span), dim=-1).to(self._dtype)
        return torch.bmm(weights, values.view(rows, capacity, head)[:, :span])

    def merge_states(self, states: list[Cache], lengths: list[int], capacity: int) -> Cache:
        """One cache from caches of one row each: row r fills the slots before ``max(lengths)``."""
        longest = max(lengths)
        merged = self.new_state(len(states), capacity)
        for row, (state, length) in enumerate(zip(states, lengths, strict=True)):
            for (keys, values), (row_keys, row_values) in zip(merged, state, strict=True):
                keys[row, :, longest - length : longest] = row_keys[0, :, :length]
                values[row, :, longest - length : longest] = row_values[0, :, :length]
        return merged

    def keep_rows(self, state: Cache, rows: list[int]) -> Cache:
        """The cache of some of the rows."""
        return [(keys[rows], values[rows]) for keys, values in state]
