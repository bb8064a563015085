"""One step of a Transformer that writes in float16: all layers in one function, which torch runs without Python.

Two groups of streams that are written side by side wait for each other at every operation that Python calls; inside a
scripted function they do not, and a step takes two thirds of the time. Where torch cannot script (it means to stop) the
same function runs as it stands and computes the same bits.

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
    key_rows: Tensor,
    key_bags: Tensor,
    value_rows: Tensor,
    value_bags: Tensor,
    unused: Tensor,
    heads: int,
) -> Tensor:
    """What the layers make of one token a row, x (B, D), which is changed.

    ``packed``: four matrices a layer (query, key and value; attention out; MLP in; MLP out), with ``nothing`` to add to
    their products. Keys are summed as SPAN slots of each dimension, values as E dimensions of each slot: see
    caching.TiledCache. ``unused`` (B, S) or (0,): slots that a row must not see.
    """
    batch, width = x.shape
    head = width // heads
    after = value_rows.shape[0] // (batch * heads)
    for layer in range(len(key_slots)):
        unit = x / torch.linalg.vector_norm(x, 2.0, [-1], True)
        qkv = torch.fbgemm_linear_fp16_weight_fp32_activation(unit, packed[4 * layer], nothing[4 * layer])
        pairs = torch.view_as_complex(qkv.view(batch, -1, 2))[:, :width]
        turned = torch.view_as_real(pairs * turns).view(batch, 2, heads, head)
        query, keys = turned.unbind(1)
        key_slots[layer].copy_(keys)
        value_slots[layer].copy_(qkv[:, 2 * width :].view(batch, heads, head))
        tiles = key_bags.shape[0] // (batch * heads)
        asked = query[:, :, None].expand(batch, heads, tiles, head).to(torch.half).view(-1)
        scores = torch.embedding_bag(key_tables[layer], key_rows, key_bags, False, 0, False, asked)[0]
        scores = scores.view(batch, heads, -1)[:, :, :after]
        if unused.dim() == 2:
            scores.masked_fill_(unused[:, None, :after], -float("inf"))
        weights = torch.softmax(scores, dim=-1).view(-1)
        found = torch.embedding_bag(value_tables[layer], value_rows, value_bags, False, 0, False, weights)[0]
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
    """``write_one``, without Python where torch can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
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
