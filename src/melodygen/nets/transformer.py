"""A decoder-only Transformer: pre-norm, rotary positions, RMS norm, squared-ReLU MLP, tied embeddings, KV cache.

Letters: B batch, T steps, V vocabulary, D width, H heads. Rotary positions after Su et al. 2021; squared ReLU after
So et al. 2021 (Primer).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

KeyValues = list[tuple[Tensor, Tensor]]


def rotary_table(length: int, width: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """cos and sin, each (length, width / 2)."""
    frequency = base ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of (B, H, T, width); cos and sin (T, width / 2) or (B, 1, T, width / 2)."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.norm_attention = nn.RMSNorm(width, eps=1e-6)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.norm_mlp = nn.RMSNorm(width, eps=1e-6)
        self.mlp_in = nn.Linear(width, 4 * width, bias=False)
        self.mlp_out = nn.Linear(4 * width, width, bias=False)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        past: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        write_at: int = 0,
    ) -> Tensor:
        batch, steps, width = x.shape
        q, k, v = (
            self.query_key_value(self.norm_attention(x))
            .view(batch, steps, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        drop = self.dropout if self.training else 0.0
        if past is None:
            q, k = q.to(v.dtype), k.to(v.dtype)
        else:
            # the cache is float32: for one query torch's bfloat16 attention is several times slower than float32's
            keys, values = past
            keys[:, :, write_at : write_at + steps] = k
            values[:, :, write_at : write_at + steps] = v
            k, v = keys[:, :, : write_at + steps], values[:, :, : write_at + steps]
            q = q.float()
        attended = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None and steps > 1, dropout_p=drop
        ).to(x.dtype)
        attended = attended.transpose(1, 2).reshape(batch, steps, width)
        x = x + functional.dropout(self.attention_out(attended), drop)
        hidden = functional.relu(self.mlp_in(self.norm_mlp(x))).square()
        return x + functional.dropout(self.mlp_out(hidden), drop)


class Transformer(nn.Module):
    """ids (B, T) -> logits (B, T, V)."""

    def __init__(
        self,
        vocabulary_size: int,
        width: int = 256,
        layers: int = 6,
        heads: int = 4,
        context: int = 1024,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"width {width} for {heads} heads: it must be a multiple of {2 * heads}")
        self.context = context
        self.heads = heads
        self.width = width
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        cos, sin = rotary_table(max(context, 4096), width // heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:
            assert isinstance(block, Block)
            for linear in (block.query_key_value, block.mlp_in):
                nn.init.normal_(linear.weight, std=self.width**-0.5)
            for linear in (block.attention_out, block.mlp_out):
                nn.init.zeros_(linear.weight)  # each block begins as the identity

    def logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(self.norm(hidden), self.embedding.weight)

    def forward(self, ids: Tensor) -> Tensor:
        steps = ids.shape[1]
        x = self.embedding(ids) * self.width**0.5
        cos, sin = self.get_buffer("cos")[:steps], self.get_buffer("sin")[:steps]
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.logits(x)

    def new_state(self, batch: int, capacity: int) -> KeyValues:
        """An empty cache for ``capacity`` steps."""
        size = (batch, self.heads, capacity, self.width // self.heads)
        return [(torch.zeros(size), torch.zeros(size)) for _ in self.blocks]

    def step(self, ids: Tensor, state: KeyValues, at: int, starts: Tensor | None = None) -> Tensor:
        """Logits (B, V) after feeding ids (B, T) into cache slots ``at`` .. ``at + T``; the cache is written in place.

        ``starts`` (B,) is the first slot each row uses: rows of unequal length end in the same slot. T > 1 needs rows
        of equal length.
        """
        steps = ids.shape[1]
        x = self.embedding(ids) * self.width**0.5
        cos, sin = self.get_buffer("cos"), self.get_buffer("sin")
        mask = None
        if starts is None:
            cos, sin = cos[at : at + steps], sin[at : at + steps]
            if steps > 1 and at > 0:
                mask = torch.ones(steps, at + steps, dtype=torch.bool).tril(at)
        else:
            positions = at - starts
            cos, sin = cos[positions][:, None, None], sin[positions][:, None, None]
            mask = (torch.arange(at + 1)[None] >= starts[:, None])[:, None, None]
        for block, past in zip(self.blocks, state, strict=True):
            x = block(x, cos, sin, past, mask, at)
        return self.logits(x[:, -1])

    def merge_states(self, states: list[KeyValues], lengths: list[int], capacity: int) -> KeyValues:
        """One cache from caches of one row each: row r fills the slots before ``max(lengths)``."""
        longest = max(lengths)
        merged = self.new_state(len(states), capacity)
        for row, (state, length) in enumerate(zip(states, lengths, strict=True)):
            for (keys, values), (row_keys, row_values) in zip(merged, state, strict=True):
                keys[row, :, longest - length : longest] = row_keys[0, :, :length]
                values[row, :, longest - length : longest] = row_values[0, :, :length]
        return merged
