"""A trained Transformer prepared for decoding token by token; it computes the same function.

Norm weights and scales are folded into the matrices behind them, and the pairs that rotate lie side by side,
so a rotation is one complex product. Memory traffic limits the speed of decoding. Matrices and cache are
therefore kept in 16 bits where the processor handles them well: float16 with AVX2 (products are summed in
float32), else bfloat16 where it is multiplied natively, else float32. The residual and the logits are float32 in
any case.

Letters: B batch, T steps, V vocabulary, D width, H heads.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from melodygen.nets.float16_step import scripted
from melodygen.nets.kv_cache import Cache, PlainCache, TiledCache
from melodygen.nets.precision import has_bf16
from melodygen.nets.transformer import Transformer, TransformerBlock

Product = Callable[[Tensor], Tensor]
"""A function that multiplies rows by a matrix, from float32 to float32."""


def quickest_dtype() -> torch.dtype:
    """Return the type of matrices and cache with which this processor decodes fastest.

    A step multiplies a few rows only. For that packed float16 takes less than half of the time of bfloat16, even
    where the processor multiplies bfloat16 natively.
    """
    probe = getattr(torch.cpu, "get_capabilities", None)  # torch 2.5 has no such question
    able = {} if probe is None else probe()
    packs = "fbgemm" in torch.backends.quantized.supported_engines and hasattr(
        torch, "fbgemm_pack_gemm_matrix_fp16"
    )
    if packs and able.get("avx2", False) and able.get("f16c", False):
        return torch.float16
    return torch.bfloat16 if has_bf16() else torch.float32


class _Packed:
    """A float16 matrix in the memory layout of FBGEMM."""

    def __init__(self, weight: Tensor) -> None:
        self.nothing = torch.zeros(len(weight))
        """To add to the product; it must be given."""
        with (
            warnings.catch_warnings()
        ):  # torch warns once that its quantised ops are to replace these; they are slower
            warnings.simplefilter("ignore", UserWarning)
            self.matrix = torch.fbgemm_pack_gemm_matrix_fp16(weight.detach().float())
            self(weight.detach().float()[:1])

    def __call__(self, x: Tensor) -> Tensor:
        return torch.fbgemm_linear_fp16_weight_fp32_activation(x, self.matrix, self.nothing)


def _product(weight: Tensor, dtype: torch.dtype) -> Product:
    if dtype == torch.float16:
        return _Packed(weight)
    kept = weight.detach().to(dtype).contiguous()
    if dtype == torch.float32:
        return lambda x: functional.linear(x, kept)
    return lambda x: functional.linear(x.to(dtype), kept).float()


class _Layer(NamedTuple):
    query_key_value: Product
    attention_out: Product
    mlp_in: Product
    mlp_out: Product


def _unit(x: Tensor) -> Tensor:
    """Return rows of length 1: an RMS norm without its scale, which the weights hold."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / norm


class TransformerDecoder:
    """A ``SequenceNet`` with a copy of the weights of a Transformer.

    Args:
        net: the trained net.
        dtype: type of matrices and cache; None takes ``quickest_dtype()``.
    """

    def __init__(self, net: Transformer, dtype: torch.dtype | None = None) -> None:
        dtype = dtype or quickest_dtype()
        self.context, self.heads, self.width = net.context, net.heads, net.width
        self._dtype = dtype
        self._cache = TiledCache if dtype == torch.float16 else PlainCache
        head = self.width // self.heads
        size = self.width**0.5
        with torch.no_grad():
            pairs = torch.arange(head).view(2, -1).T.reshape(-1)  # (a, b) halves -> a0 b0 a1 b1 …
            rows = torch.arange(2 * self.heads)[:, None] * head + pairs
            order = torch.cat([rows.reshape(-1), torch.arange(2 * self.width, 3 * self.width)])
            layers: list[_Layer] = []
            windows: list[int] = []
            for block in net.blocks:
                assert isinstance(block, TransformerBlock)
                attend = block.query_key_value.weight * block.norm_attention.weight * size
                attend = attend[order]
                attend[: self.width] *= head**-0.5
                think = block.mlp_in.weight * block.norm_mlp.weight * size
                weights = (attend, block.attention_out.weight, think, block.mlp_out.weight)
                layers.append(_Layer(*(_product(w, dtype) for w in weights)))
                windows.append(block.window)
            self._layers, self._windows = layers, windows
            self._table = (net.embedding.weight * size).detach().float().clone()
            head_dtype = torch.float32 if dtype == torch.bfloat16 else dtype
            self._head = _product(net.embedding.weight * net.norm.weight * size, head_dtype)
            products = [*(product for layer in layers for product in layer), self._head]
            packed = [product for product in products if isinstance(product, _Packed)]
            self._matrices = [p.matrix for p in packed], [p.nothing for p in packed]
            self._write_one = scripted()
            turns = torch.complex(net.get_buffer("cos").float(), net.get_buffer("sin").float())
            self._turns = turns[: self.context].repeat(1, 2 * self.heads)
            """Of queries and keys in each slot, (S, D)."""

    def new_state(self, batch: int, capacity: int) -> Cache:
        """Return an empty cache for ``batch`` rows of at most ``capacity`` tokens."""
        head = self.width // self.heads
        return self._cache.empty(self._windows, batch, self.heads, capacity, head, self._dtype)

    def step(self, ids: Tensor, state: Cache, at: int, starts: Tensor | None = None) -> Tensor:
        """Feed ids (B, T) into cache slots ``at`` to ``at + T`` and return the logits (B, V) of the next
        token.

        The cache is written in place. ``starts`` (B,) is the first slot each row uses: rows of unequal length
        end in the same slot. More than one step needs an empty cache and rows of equal length.
        """
        batch, steps = ids.shape
        if steps == 1 and isinstance(state, TiledCache):
            return self._write_one(
                ids[:, 0], at, starts, self._table, self._turns, *self._matrices, *state.tables, self._windows,
                self.heads,
            )  # fmt: skip
        heads, head = self.heads, self.width // self.heads
        state.begin(at, steps, starts)
        turns = self._turns[at : at + steps] if starts is None else self._turns[at - starts]
        if steps > 1:
            turns = turns.repeat(batch, 1)
        x = self._table[ids.view(-1)]
        for index, layer in enumerate(self._layers):
            qkv = layer.query_key_value(_unit(x))
            turned = (qkv.view(torch.complex64)[:, : self.width] * turns).view(torch.float32)
            query, keys = turned.view(batch, steps, 2, heads, head).unbind(2)
            values = qkv[:, 2 * self.width :].view(batch, steps, heads, head)
            attended = state.attend(index, query, keys, values)
            x += layer.attention_out(attended.reshape(x.shape).float())
            x += layer.mlp_out(layer.mlp_in(_unit(x)).relu_().square_())
        return self._head(_unit(x.view(batch, steps, self.width)[:, -1]))

    def merge_states(self, states: list[Cache], lengths: list[int], capacity: int) -> Cache:
        """Return one cache made from caches of one row each: row r fills the slots before
        ``max(lengths)``.
        """
        return self._cache.merged(states, lengths, capacity)

    def keep_rows(self, state: Cache, rows: list[int]) -> Cache:
        """Return the cache of the given rows only."""
        return state.rows(rows)
