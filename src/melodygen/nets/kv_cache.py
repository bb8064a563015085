"""The key-value cache of a decoding Transformer: keys and values of every slot, and the attention of one
query to them.

Late in a piece a step reads mostly the cache, so the cache is kept in the form that the processor reads
fastest.

Letters: L layers, B batch, T steps, S slots, H heads, E width of a head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from melodygen.nets.transformer import seen

SPAN = 64
"""Attention covers whole spans of slots; slots not filled yet get weight 0.

oneDNN makes and keeps a kernel (half a megabyte) for each new shape of a product, and a length that grows
step by step would be a new shape each time.
"""


class Cache(ABC):
    """Keys and values (L, B, H, S, E); subclasses choose how they are stored.

    ``windows`` holds how many slots a query of each layer sees, its own among them; 0 is all. Of a layer with a
    window a step reads no span that ends before the window.
    """

    def __init__(self, keys: Tensor, values: Tensor, windows: Sequence[int]) -> None:
        self._keys, self._values = keys, values
        self._windows = tuple(windows)
        self._at = self._after = self._span = 0
        self._unused: Tensor | None = None
        self._masks: dict[int, Tensor | None] = {}

    @classmethod
    @abstractmethod
    def of(cls, keys: Tensor, values: Tensor, windows: Sequence[int]) -> Self:
        """Return a cache with these keys and values, both (L, B, H, S, E); S is a multiple of SPAN."""

    @abstractmethod
    def slots(self) -> tuple[Tensor, Tensor]:
        """Return keys and values, both (L, B, H, S, E)."""

    @classmethod
    def empty(
        cls, windows: Sequence[int], batch: int, heads: int, capacity: int, head: int, dtype: torch.dtype
    ) -> Self:
        """Return a cache of zeros with ``capacity`` slots, rounded up to whole spans, and one layer for each of
        ``windows``; ``head`` is the width of a head.
        """
        size = (len(windows), batch, heads, -(-capacity // SPAN) * SPAN, head)
        return cls.of(torch.zeros(size, dtype=dtype), torch.zeros(size, dtype=dtype), windows)

    @classmethod
    def merged(cls, caches: Sequence[Cache], lengths: Sequence[int], capacity: int) -> Self:
        """Return one cache made from caches of one row each: row r fills the slots before
        ``max(lengths)``.
        """
        parts = [cache.slots() for cache in caches]
        layers, _, heads, _, head = parts[0][0].shape
        new = torch.zeros(
            2, layers, len(caches), heads, -(-capacity // SPAN) * SPAN, head, dtype=parts[0][0].dtype
        )
        longest = max(lengths)
        for row, (part, length) in enumerate(zip(parts, lengths, strict=True)):
            for kind in range(2):
                new[kind, :, row, :, longest - length : longest] = part[kind][:, 0, :, :length]
        return cls.of(new[0], new[1], caches[0]._windows)

    def rows(self, rows: list[int]) -> Self:
        """Return the cache of the given rows only."""
        return type(self)(self._keys[:, rows], self._values[:, rows], self._windows)

    def begin(self, at: int, steps: int, starts: Tensor | None) -> None:
        """Prepare slots ``at`` to ``at + steps`` for the next pass; row b does not see the slots before
        ``starts[b]``.
        """
        self._at, self._after = at, at + steps
        self._span = -(-self._after // SPAN) * SPAN
        self._unused = None if starts is None else torch.arange(self._span)[None] < starts[:, None]
        if steps > 1:
            self._masks = {w: seen(steps, w) if 0 < w < steps else None for w in set(self._windows)}

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Store keys and values in the prepared slots and return what each query finds; all are (B, T, H, E).

        More than one step needs an empty cache and rows of equal length, because then a query sees only what
        comes with it.
        """
        query, keys, values = (part.transpose(1, 2).to(self._values.dtype) for part in (query, keys, values))
        self._put(layer, keys, values)
        mask = self._masks[self._windows[layer]]
        if mask is not None and query.dtype == torch.half:
            # a third of the time of torch's kernel for halves, which layers without windows keep: other bits
            query, keys, values = query.float(), keys.float(), values.float()
        return functional.scaled_dot_product_attention(
            query, keys, values, attn_mask=mask, is_causal=mask is None, scale=1.0
        ).transpose(1, 2)

    @abstractmethod
    def _put(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Store the keys and values (B, H, T, E) of a first pass."""


class PlainCache(Cache):
    """A cache in float32 or bfloat16 that stores keys and values as they are.

    A float32 query uses torch's own attention, a bfloat16 query two batched products: for its type each is
    several times as fast as the other.
    """

    @classmethod
    def of(cls, keys: Tensor, values: Tensor, windows: Sequence[int]) -> Self:
        """Return a cache with these keys and values."""
        return cls(keys, values, windows)

    def slots(self) -> tuple[Tensor, Tensor]:
        """Return keys and values, both (L, B, H, S, E)."""
        return self._keys, self._values

    def _put(self, layer: int, keys: Tensor, values: Tensor) -> None:
        self._keys[layer, :, :, : self._after] = keys
        self._values[layer, :, :, : self._after] = values

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Store keys and values and return what each query finds; see ``Cache.attend``."""
        if query.shape[1] > 1:  # a prompt: nothing earlier to look at
            return super().attend(layer, query, keys, values)
        batch, _, heads, head = query.shape
        all_keys, all_values = self._keys[layer], self._values[layer]
        all_keys[:, :, self._at], all_values[:, :, self._at] = keys[:, 0], values[:, 0]
        window = self._windows[layer]
        oldest = max(0, self._after - window) if window else 0
        if all_keys.dtype == torch.float32:
            unused = self._unused
            used = None if unused is None else ~unused[:, None, None, oldest : self._after]
            return functional.scaled_dot_product_attention(
                query.transpose(1, 2), all_keys[:, :, oldest : self._after], all_values[:, :, oldest : self._after],
                attn_mask=used, scale=1.0,
            )  # fmt: skip
        first = oldest // SPAN * SPAN
        rows, read = batch * heads, slice(first, self._span)
        query = query.to(all_keys.dtype).reshape(rows, head, 1)
        scores = torch.bmm(all_keys.flatten(0, 1)[:, read], query).float().view(batch, heads, -1)
        scores[:, :, : oldest - first] = -torch.inf
        scores[:, :, self._after - first :] = -torch.inf
        if self._unused is not None:
            scores.masked_fill_(self._unused[:, None, read], -torch.inf)
        weights = torch.softmax(scores, dim=-1).to(all_keys.dtype)
        return torch.bmm(weights.view(rows, 1, -1), all_values.flatten(0, 1)[:, read])


class TiledCache(Cache):
    """A cache in float16 with the keys in tiles: (L, B, H, S / SPAN, E, SPAN).

    Both products of one query are then weighted sums of short rows: the scores are a tile's rows weighted by
    the query, and the result is the values weighted by the scores. ``torch.embedding_bag`` sums float16 rows
    in float32; on processors without float16 arithmetic it takes a quarter of the time of float32 products.
    """

    def __init__(self, keys: Tensor, values: Tensor, windows: Sequence[int]) -> None:
        super().__init__(keys, values, windows)
        _, batch, heads, slots, head = values.shape
        places = torch.arange(batch * heads * slots, dtype=torch.int32)
        self._value_rows = places.view(batch * heads, slots)
        self._key_rows = places[: batch * heads * slots // SPAN * head].view(batch * heads, -1)

    @classmethod
    def of(cls, keys: Tensor, values: Tensor, windows: Sequence[int]) -> Self:
        """Return a cache with these keys and values, tiled and in float16."""
        layers, batch, heads, slots, head = keys.shape
        tiled = keys.half().reshape(layers, batch, heads, slots // SPAN, SPAN, head).transpose(4, 5)
        return cls(tiled.contiguous(), values.half().contiguous(), windows)

    def slots(self) -> tuple[Tensor, Tensor]:
        """Return keys and values, both (L, B, H, S, E)."""
        return self._keys.transpose(4, 5).flatten(3, 4), self._values

    @property
    def tables(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Keys, values and the numbers of their rows, as ``float16_step.write_one`` takes them."""
        return self._keys, self._values, self._key_rows, self._value_rows

    def _put(self, layer: int, keys: Tensor, values: Tensor) -> None:
        self._values[layer, :, :, : self._after] = values
        for first in range(0, self._after, SPAN):
            part = keys[:, :, first : first + SPAN].transpose(2, 3)
            self._keys[layer, :, :, first // SPAN, :, : part.shape[3]] = part
