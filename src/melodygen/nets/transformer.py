"""A decoder-only Transformer: pre-norm, rotary positions, RMS norm, squared-ReLU MLP, tied embeddings.

This is the net as it is trained; ``melodygen.nets.decoder`` runs it token by token. Rotary positions after Su
et al. 2021; squared ReLU after So et al. 2021 (Primer).

Letters: B batch, T steps, V vocabulary, D width, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

GLOBAL_EVERY = 3
"""Of so many layers the last one sees all tokens where the others have a window."""


def rotary_table(length: int, width: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the rotary angles, each (length, width / 2). ``base`` sets the longest
    wavelength.
    """
    frequency = base ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs of x (B, H, T, width); ``cos`` and ``sin`` are (T, width / 2) or (B, 1, T, width /
    2).
    """
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def seen(steps: int, window: int = 0, device: torch.device | None = None) -> Tensor:
    """Return (T, T) True where a query (row) sees a key: itself and what came before, with ``window`` the
    last ``window`` tokens of that.
    """
    mask = torch.ones(steps, steps, dtype=torch.bool, device=device).tril()
    return mask.triu(1 - window) if window else mask


def attend(q: Tensor, k: Tensor, v: Tensor, window: int = 0, span: int = 256) -> Tensor:
    """Return causal attention of q, k, v (B, H, T, width), the same function as torch's own.

    With ``window`` a query sees the last ``window`` keys only, its own among them.

    In bfloat16 on a CPU, torch's flash kernel takes more than half of a training step, most of it in the
    backward pass. Plain products over what each ``span`` of queries sees take two thirds of its time.
    They round scores to bfloat16, where the kernel keeps float32.
    """
    steps = q.shape[2]
    window = 0 if window >= steps else window
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        mask = seen(steps, window, q.device) if window else None
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
    size = min(span, steps)
    places = torch.arange(steps)
    found = []
    with torch.autocast("cpu", enabled=False):  # it would make float32 of the softmax
        q = q * q.shape[-1] ** -0.5
        for begin in range(0, steps, size):
            end = min(steps, begin + size)
            oldest = max(0, begin + 1 - window) if window else 0
            scores = q[:, :, begin:end] @ k[:, :, oldest:end].transpose(-1, -2)
            age = places[begin:end, None] - places[oldest:end]
            hidden = (age < 0) | (age >= window) if window else age < 0
            scores = scores.masked_fill(hidden, -torch.inf)
            found.append(scores.softmax(dim=-1) @ v[:, :, oldest:end])
    return torch.cat(found, dim=2)


class TransformerBlock(nn.Module):
    """One Transformer layer: attention and MLP, each behind an RMS norm and beside a shortcut.

    ``window``: how many tokens a query sees, its own among them; 0 is all.
    """

    def __init__(self, width: int, heads: int, dropout: float, window: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.dropout = dropout
        self.norm_attention = nn.RMSNorm(width, eps=1e-6)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.norm_mlp = nn.RMSNorm(width, eps=1e-6)
        self.mlp_in = nn.Linear(width, 4 * width, bias=False)
        self.mlp_out = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the output (B, T, D) for x (B, T, D); ``cos`` and ``sin`` are rows of the rotary table.

        ``mask`` (T, T), True where a query sees a key, replaces the causal rule. The ONNX export needs it,
        because tracing turns lengths into tensors.
        """
        batch, steps, width = x.shape
        q, k, v = (
            self.query_key_value(self.norm_attention(x))
            .view(batch, steps, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        drop = self.dropout if self.training else 0.0
        # the tables are float32, the rest may not be
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        if mask is None:
            attended = attend(q, k, v, self.window)
        else:
            attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        attended = attended.transpose(1, 2).reshape(batch, steps, width)
        x = x + functional.dropout(self.attention_out(attended), drop)
        hidden = functional.relu(self.mlp_in(self.norm_mlp(x))).square()
        return x + functional.dropout(self.mlp_out(hidden), drop)


class Transformer(nn.Module):
    """The language model: ids (B, T) -> logits (B, T, V).

    Args:
        vocabulary_size: number of token ids.
        width: width D of the residual, a multiple of ``2 * heads``.
        layers: number of layers.
        heads: number of attention heads.
        context: largest number of tokens in a training window.
        dropout: probability 0-1 after each branch. Attention itself drops nothing: on a CPU that costs a
            quarter of a step.
        window: how many tokens the layers before every third one see (Beltagy et al. 2020), so that decoding
            reads less; 0: every layer sees all.

    Raises:
        ValueError: ``width`` does not fit ``heads``, or ``window`` is negative.
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int = 256,
        layers: int = 6,
        heads: int = 4,
        context: int = 1024,
        dropout: float = 0.0,
        window: int = 0,
    ) -> None:
        super().__init__()
        if window < 0:
            raise ValueError(f"window {window}: it must be 0 or more")
        if width % (2 * heads):
            raise ValueError(f"width {width} for {heads} heads: it must be a multiple of {2 * heads}")
        self.context = context
        self.heads = heads
        self.width = width
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, dropout, 0 if layer % GLOBAL_EVERY == GLOBAL_EVERY - 1 else window)
            for layer in range(layers)
        )
        self.norm = nn.RMSNorm(width, eps=1e-6)
        cos, sin = rotary_table(max(context, 4096), width // heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the weights: normal embeddings and inputs of branches, zero outputs of branches."""
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:
            assert isinstance(block, TransformerBlock)
            for linear in (block.query_key_value, block.mlp_in):
                nn.init.normal_(linear.weight, std=self.width**-0.5)
            for linear in (block.attention_out, block.mlp_out):
                nn.init.zeros_(linear.weight)  # each block begins as the identity

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits (B, T, V) of the last layer's output (B, T, D)."""
        return functional.linear(self.norm(hidden), self.embedding.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, T, V) of ids (B, T)."""
        steps = ids.shape[1]
        x = self.embedding(ids) * self.width**0.5
        cos, sin = self.get_buffer("cos")[:steps], self.get_buffer("sin")[:steps]
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.logits(x)
