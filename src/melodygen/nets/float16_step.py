"""One decoding step of a Transformer in float16: all layers in one function, which TorchScript runs without
Python.

When two groups of streams are written side by side, each operation that Python calls makes them wait for each
other. A scripted function avoids that, and a step takes two thirds of the time. Where torch cannot script,
the same function runs as plain Python and computes the same bits.

Letters: B batch, D width, S slots, E width of a head.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


def write_one(
    x: Tensor,
    turns: Tensor,
    packed: list[Tensor],
    nothing: list[Tensor],
    key_slots: list[Tensor],
    value_slots: list[Tensor],
    key_tables: list[Tensor],
    value_tables: list[Tensor],
    key_rows: list[Tensor],
    key_bags: list[Tensor],
    value_rows: list[Tensor],
    value_bags: list[Tensor],
    oldest: list[int],
    unused: Tensor,
    heads: int,
) -> Tensor:
    """Run all layers for one token of each row. ``x`` is changed in place.

    Keys are summed as SPAN slots of each dimension, values as E dimensions of each slot: see
    ``kv_cache.TiledCache``, which supplies the tables, rows and bags.

    Args:
        x: (B, D) embeddings of the tokens.
        turns: (B, D) complex rotations of queries and keys (rotary positions).
        packed: four matrices a layer (query, key and value; attention out; MLP in; MLP out), packed by
            FBGEMM.
        nothing: a zero bias for each packed matrix, because FBGEMM requires one.
        key_slots: of each layer, where the new keys go.
        value_slots: of each layer, where the new values go.
        key_tables: of each layer, the rows of the key cache.
        value_tables: of each layer, the rows of the value cache.
        key_rows: of each layer, indices of the key rows to sum.
        key_bags: of each layer, index at which each sum of key rows begins.
        value_rows: of each layer, indices of the value rows to sum.
        value_bags: of each layer, index at which each sum of value rows begins.
        oldest: of each layer, the first slot that is seen; older slots of its tile are summed and left out.
        unused: (B, S) True for slots that a row must not see, or (0,) when all rows see all slots.
        heads: number of heads.

    Returns:
        (B, D) the output of the last layer.
    """
    batch, width = x.shape
    head = width // heads
    for layer in range(len(key_slots)):
        unit = x / torch.linalg.vector_norm(x, 2.0, [-1], True)
        qkv = torch.fbgemm_linear_fp16_weight_fp32_activation(unit, packed[4 * layer], nothing[4 * layer])
        pairs = torch.view_as_complex(qkv.view(batch, -1, 2))[:, :width]
        turned = torch.view_as_real(pairs * turns).view(batch, 2, heads, head)
        query, keys = turned.unbind(1)
        key_slots[layer].copy_(keys)
        value_slots[layer].copy_(qkv[:, 2 * width :].view(batch, heads, head))
        tiles = key_bags[layer].shape[0] // (batch * heads)
        before = oldest[layer] % key_tables[layer].shape[1]
        count = value_rows[layer].shape[0] // (batch * heads)
        asked = query[:, :, None].expand(batch, heads, tiles, head).to(torch.half).view(-1)
        scores = torch.embedding_bag(
            key_tables[layer], key_rows[layer], key_bags[layer], False, 0, False, asked
        )[0]
        scores = scores.view(batch, heads, -1)[:, :, before : before + count]
        if unused.dim() == 2:
            scores.masked_fill_(unused[:, None, oldest[layer] : oldest[layer] + count], -float("inf"))
        weights = torch.softmax(scores, dim=-1).view(-1)
        found = torch.embedding_bag(
            value_tables[layer], value_rows[layer], value_bags[layer], False, 0, False, weights
        )[0]
        x += torch.fbgemm_linear_fp16_weight_fp32_activation(
            found.view(batch, width).to(torch.float32), packed[4 * layer + 1], nothing[4 * layer + 1]
        )
        unit = x / torch.linalg.vector_norm(x, 2.0, [-1], True)
        thought = torch.fbgemm_linear_fp16_weight_fp32_activation(
            unit, packed[4 * layer + 2], nothing[4 * layer + 2]
        )
        x += torch.fbgemm_linear_fp16_weight_fp32_activation(
            thought.relu_().square_(), packed[4 * layer + 3], nothing[4 * layer + 3]
        )
    return x


@cache
def scripted() -> Callable[..., Tensor]:
    """Return ``write_one`` compiled by TorchScript, or ``write_one`` itself where torch cannot script it."""
    with warnings.catch_warnings():
        for told in (DeprecationWarning, FutureWarning):  # which of them it is depends on torch's version
            warnings.simplefilter("ignore", told)
        try:
            made: Callable[..., Tensor] = torch.jit.script(write_one)
            return made
        except (
            RuntimeError,
            AttributeError,
            TypeError,
            OSError,
        ):  # OSError: without source nothing can be scripted
            return write_one
