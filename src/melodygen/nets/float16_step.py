"""One decoding step of a Transformer in float16, from tokens to logits in one function, which TorchScript runs
without Python.

When two groups of streams are written side by side, each operation that Python calls makes them wait for each
other. A scripted function avoids that, and a step takes two thirds of the time. Where torch cannot script,
the same function runs as plain Python and computes the same bits.

Letters: L layers, B batch, V vocabulary, D width, H heads, S slots, E width of a head.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


def write_one(
    ids: Tensor,
    at: int,
    starts: Tensor | None,
    table: Tensor,
    turns: Tensor,
    packed: list[Tensor],
    nothing: list[Tensor],
    keys: Tensor,
    values: Tensor,
    key_rows: Tensor,
    value_rows: Tensor,
    windows: list[int],
    heads: int,
) -> Tensor:
    """Feed one token of each row and return the logits (B, V) of the next.

    Keys are summed as SPAN slots of each dimension, values as E dimensions of each slot: see
    ``kv_cache.TiledCache``, which supplies the cache and the numbers of its rows.

    Args:
        ids: (B,) tokens.
        at: the slot they are in; keys and values are stored there.
        starts: (B,) first slot that each row sees; None when all rows see all slots.
        table: (V, D) embeddings.
        turns: (S, D) complex rotations of queries and keys in each slot (rotary positions).
        packed: four matrices a layer (query, key and value; attention out; MLP in; MLP out), and the head, packed
            by FBGEMM.
        nothing: a zero bias for each packed matrix, because FBGEMM requires one.
        keys: (L, B, H, S / SPAN, E, SPAN) the key cache.
        values: (L, B, H, S, E) the value cache.
        key_rows: (B * H, S / SPAN * E) numbers of the rows of one layer's keys, seen as a table of rows (SPAN,).
        value_rows: (B * H, S) the same for values and rows (E,).
        windows: of each layer, how many slots a query sees, its own among them; 0 is all.
        heads: number of heads.
    """
    batch, layers = ids.shape[0], len(windows)
    width = table.shape[1]
    head, span = width // heads, keys.shape[5]
    tile, after = at // span, at + 1
    key_slots = keys[:, :, :, tile, :, at % span].unbind()
    value_slots = values[:, :, :, at].unbind()
    key_tables, value_tables = keys.view(layers, -1, span).unbind(), values.view(layers, -1, head).unbind()
    x = table[ids]
    turn = turns[at : at + 1]
    unused = torch.empty(0, dtype=torch.bool)
    if starts is not None:
        turn = turns[at - starts]
        unused = (torch.arange(after)[None] < starts[:, None])[:, None]
    known: list[int] = []
    oldest_slots: list[int] = []
    key_places: list[Tensor] = []
    value_places: list[Tensor] = []
    key_bags: list[Tensor] = []
    value_bags: list[Tensor] = []
    for window in windows:
        if window not in known:
            known.append(window)
            oldest = max(0, after - window) if window > 0 else 0
            oldest_slots.append(oldest)
            first = oldest // span
            key_places.append(key_rows[:, first * head : (tile + 1) * head].reshape(-1))
            value_places.append(value_rows[:, oldest:after].reshape(-1))
            key_bags.append(torch.arange(0, key_places[-1].shape[0], head, dtype=torch.int32))
            value_bags.append(torch.arange(0, value_places[-1].shape[0], after - oldest, dtype=torch.int32))
    for layer in range(layers):
        unit = x / torch.linalg.vector_norm(x, 2.0, [-1], True)
        qkv = torch.fbgemm_linear_fp16_weight_fp32_activation(unit, packed[4 * layer], nothing[4 * layer])
        pairs = torch.view_as_complex(qkv.view(batch, -1, 2))[:, :width]
        turned = torch.view_as_real(pairs * turn).view(batch, 2, heads, head)
        query, new_keys = turned.unbind(1)
        key_slots[layer].copy_(new_keys)
        value_slots[layer].copy_(qkv[:, 2 * width :].view(batch, heads, head))
        which = known.index(windows[layer])
        oldest = oldest_slots[which]
        tiles = tile + 1 - oldest // span
        asked = query[:, :, None].expand(batch, heads, tiles, head).to(torch.half).view(-1)
        scores = torch.embedding_bag(
            key_tables[layer], key_places[which], key_bags[which], False, 0, False, asked
        )[0]
        before = oldest % span  # slots of the oldest tile that the window has left
        scores = scores.view(batch, heads, -1)[:, :, before : before + after - oldest]
        if starts is not None:
            scores.masked_fill_(unused[:, :, oldest:], -float("inf"))
        weights = torch.softmax(scores, dim=-1).view(-1)
        found = torch.embedding_bag(
            value_tables[layer], value_places[which], value_bags[which], False, 0, False, weights
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
    unit = x / torch.linalg.vector_norm(x, 2.0, [-1], True)
    return torch.fbgemm_linear_fp16_weight_fp32_activation(unit, packed[-1], nothing[-1])


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
