"""Nets: stepping with a cache says what the full pass says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from melodygen.generation import neural
from melodygen.generation.sampling import Stepper
from melodygen.nets.decoder import TransformerDecoder, quickest_dtype
from melodygen.nets.float16_step import write_one
from melodygen.nets.lstm import Lstm
from melodygen.nets.precision import has_bf16
from melodygen.nets.prompt_spans import ChunkedPrompt
from melodygen.nets.transformer import Transformer, attend, rotary_table, rotate

SIZE = 50


def make(kind: str, context: int = 64, layers: int = 2, window: int = 0) -> Any:
    torch.manual_seed(1)
    net: Any
    if kind == "transformer":
        net = Transformer(SIZE, width=32, layers=layers, heads=4, context=context, window=window)
        for block in net.blocks:  # fresh blocks are the identity; these must do something
            torch.nn.init.normal_(block.attention_out.weight, std=0.3)
            torch.nn.init.normal_(block.mlp_out.weight, std=0.3)
        for norm in (net.norm, *(n for b in net.blocks for n in (b.norm_attention, b.norm_mlp))):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    else:
        net = Lstm(SIZE, width=32, hidden=24, layers=2, context=64)
    return net.eval()


@pytest.fixture(params=["transformer", "lstm"])
def net(request: pytest.FixtureRequest) -> Any:
    return make(request.param)


@torch.inference_mode()
def full(net: Any, ids: list[int]) -> torch.Tensor:
    logits: torch.Tensor = net(torch.tensor([ids]))[0, -1]
    return logits


def writing(net: Any) -> Any:
    return TransformerDecoder(net, torch.float32) if isinstance(net, Transformer) else net


def needs(dtype: torch.dtype) -> None:
    if dtype == torch.float16 and "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this torch packs no float16")


@torch.inference_mode()
@pytest.mark.parametrize("lengths", [(7, 7, 7), (1, 9, 4), (5,), (2, 3)])
def test_stepping_equals_the_full_pass_with_prefixes_of_any_length(
    net: Any, lengths: tuple[int, ...]
) -> None:
    rows = [torch.randint(SIZE, (n + 6,), generator=torch.Generator().manual_seed(n + i)).tolist()
            for i, n in enumerate(lengths)]  # fmt: skip
    stepper = Stepper(writing(net), capacity=40)
    logits = stepper.start([r[:n] for r, n in zip(rows, lengths, strict=True)])
    for step in range(7):
        expected = torch.stack([full(net, r[: n + step]) for r, n in zip(rows, lengths, strict=True)])
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
        if step < 6:
            logits = stepper.feed([r[n + step] for r, n in zip(rows, lengths, strict=True)])


@torch.inference_mode()
def test_equal_prefixes_share_one_pass_but_not_their_cache(net: Any) -> None:
    prefix = [3, 1, 4, 1, 5]
    stepper = Stepper(writing(net), capacity=20)
    first = stepper.start([prefix, prefix])
    torch.testing.assert_close(first, torch.stack([full(net, prefix)] * 2), rtol=1e-4, atol=1e-4)
    logits = stepper.feed([9, 2])
    expected = torch.stack([full(net, [*prefix, 9]), full(net, [*prefix, 2])])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_rows_that_stay_go_on_as_they_were(net: Any) -> None:
    stepper = Stepper(writing(net), capacity=20)
    stepper.start([[3, 1, 4], [1, 5], [9, 2, 6, 5]])
    stepper.keep([2, 0])
    logits = stepper.feed([7, 8])
    expected = torch.stack([full(net, [9, 2, 6, 5, 7]), full(net, [3, 1, 4, 8])])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_for_devices_that_multiply_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": native})
    assert has_bf16() is has_bf16(torch.device("cpu")) is native
    assert quickest_dtype() is (torch.bfloat16 if native else torch.float32)
    emulated_too: list[bool] = []

    def supported(including_emulation: bool = True) -> bool:
        emulated_too.append(including_emulation)
        return native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert has_bf16("cuda:1") is native and emulated_too == [False]
    assert not has_bf16("mps")
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as in torch 2.5
    assert not has_bf16()


@pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="this torch packs no float16"
)
def test_decoding_is_in_float16_where_it_can_be_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    able = {"avx2": True, "f16c": True, "avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert quickest_dtype() is torch.float16


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "likeness"), [(torch.bfloat16, 0.999), (torch.float16, 0.99999)])
def test_sixteen_bits_write_nearly_the_same(dtype: torch.dtype, likeness: float) -> None:
    """Past the first span of the cache, rows of unequal length, and one that leaves."""
    needs(dtype)
    net = make("transformer", context=160)
    ids = torch.randint(SIZE, (3, 150), generator=torch.Generator().manual_seed(2)).tolist()
    rows = [ids[0][:70], ids[1][:4], ids[2][:60]]
    stepper = Stepper(TransformerDecoder(net, dtype), 150)
    near = stepper.start(rows)
    for step in range(70):
        if step == 20:
            stepper.keep([2, 0])
            rows = [rows[2], rows[0]]
        if step:
            fed = [ids[0][step], ids[1][step], ids[2][step]][: len(rows)]
            near = stepper.feed(fed)
            rows = [[*row, token] for row, token in zip(rows, fed, strict=True)]
        exact = torch.stack([full(net, row) for row in rows])
        for got, wanted in zip(near, exact, strict=True):
            assert torch.corrcoef(torch.stack([got, wanted]))[0, 1] > likeness


WINDOWED = {"layers": 4, "context": 300}
"""Layers 0, 1 and 3 have the window, layer 2 sees all."""


@torch.inference_mode()
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 3e-3), (torch.float16, 0.02), (torch.bfloat16, 0.3)]
)
@pytest.mark.parametrize("window", [0, 1, 20, 64, 100])
@pytest.mark.parametrize("lengths", [(3,), (130, 130), (130, 5, 61)])
def test_layers_with_a_window_write_what_the_full_pass_says(
    dtype: torch.dtype, tolerance: float, window: int, lengths: tuple[int, ...]
) -> None:
    """Prompts below and beyond the window, steps far past it, rows of unequal length, and one that leaves."""
    needs(dtype)
    net = make("transformer", window=window, **WINDOWED)
    ids = [torch.randint(SIZE, (290,), generator=torch.Generator().manual_seed(n + i)).tolist()
           for i, n in enumerate(lengths)]  # fmt: skip
    decoder = TransformerDecoder(net, dtype)
    stepper = Stepper(ChunkedPrompt(decoder) if dtype == torch.bfloat16 else decoder, 300)
    ends = list(lengths)
    exact = [net(torch.tensor([row]))[0] for row in ids]
    near = stepper.start([row[:end] for row, end in zip(ids, ends, strict=True)])
    for step in range(155):
        if step == 80:
            stepper.keep([*range(1, len(ids)), 0][:2])
            order = [*range(1, len(ids)), 0][:2]
            ids, exact, ends = ([part[i] for i in order] for part in (ids, exact, ends))
        if step:
            near = stepper.feed([row[end] for row, end in zip(ids, ends, strict=True)])
            ends = [end + 1 for end in ends]
        wanted = torch.stack([row[end - 1] for row, end in zip(exact, ends, strict=True)])
        scale = tolerance * float(wanted.std())
        torch.testing.assert_close(near, wanted, rtol=0, atol=scale)


@torch.inference_mode()
def test_a_window_that_holds_all_is_no_window() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        if dtype == torch.float16 and "fbgemm" not in torch.backends.quantized.supported_engines:
            continue
        found = []
        for window in (0, 300):
            stepper = Stepper(TransformerDecoder(make("transformer", window=window, **WINDOWED), dtype), 300)
            rows = [stepper.start([[3, 1, 4] * 30, [1, 5] * 40])]
            found.append(torch.stack([*rows, *(stepper.feed([step % 50, 7]) for step in range(50))]))
        assert torch.equal(*found)


@torch.inference_mode()
@pytest.mark.parametrize("window", [0, 20, 100])
def test_a_row_is_written_the_same_whatever_its_neighbours_are(window: int) -> None:
    needs(torch.float16)
    decoder = TransformerDecoder(make("transformer", window=window, **WINDOWED), torch.float16)
    found = []
    for neighbour in ([2, 7, 1] * 30, [8, 2, 8] * 30):
        stepper = Stepper(decoder, 300)
        rows = [stepper.start([neighbour, [3, 1, 4] * 30, [5] * 4])[1]]
        rows += [stepper.feed([neighbour[step % 3], step % 50, 9])[1] for step in range(120)]
        found.append(torch.stack(rows))
    assert torch.equal(*found)


@torch.inference_mode()
@pytest.mark.parametrize("lengths", [(64, 64), (65, 3, 130), (1, 1), (129,)])
def test_in_whole_spans_the_same_is_written(lengths: tuple[int, ...]) -> None:
    net = make("transformer", context=160)
    rows = [torch.randint(SIZE, (n,), generator=torch.Generator().manual_seed(n + i)).tolist()
            for i, n in enumerate(lengths)]  # fmt: skip
    steppers = [Stepper(w, 150) for w in (writing(net), ChunkedPrompt(writing(net)))]
    plain, spanned = (s.start(rows) for s in steppers)
    for token in range(6):
        torch.testing.assert_close(spanned, plain, rtol=1e-4, atol=1e-4)
        plain, spanned = (s.feed([token] * len(rows)) for s in steppers)


def test_prompts_of_any_length_are_products_of_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN, which multiplies bfloat16, keeps half a megabyte for each shape: a live writer grew by the prompt."""
    monkeypatch.setattr(neural, "quickest_dtype", lambda: torch.bfloat16)
    generator = neural.NeuralGenerator(make("transformer", context=160), {}, "test", {})
    shapes = set()
    linear = torch.nn.functional.linear

    def noted(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if x.dtype == torch.bfloat16:
            shapes.add((*x.shape, *weight.shape))
        return linear(x, weight)

    monkeypatch.setattr(torch.nn.functional, "linear", noted)
    with torch.inference_mode():
        for length in range(2, 140):
            Stepper(generator.net, 150).start([[1] * length])
    assert 0 < len(shapes) <= 4 * 4, "four matrices; rows in one to three spans, or one alone"


@torch.inference_mode()
def test_no_step_sees_what_comes_after_it(net: Any) -> None:
    ids = torch.randint(SIZE, (1, 12), generator=torch.Generator().manual_seed(6))
    other = ids.clone()
    other[0, 8:] = (other[0, 8:] + 1) % SIZE
    torch.testing.assert_close(net(ids)[:, :8], net(other)[:, :8])
    assert not torch.allclose(net(ids)[:, 8:], net(other)[:, 8:])


def test_gradients_reach_every_weight(net: Any) -> None:
    net.train()
    net(torch.randint(SIZE, (2, 9))).logsumexp(-1).sum().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


def test_rotation_depends_on_the_distance_alone() -> None:
    cos, sin = rotary_table(32, 8)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))

    def score(a: int, b: int) -> float:
        return float(
            (rotate(q, cos[a : a + 1], sin[a : a + 1]) * rotate(k, cos[b : b + 1], sin[b : b + 1])).sum()
        )

    assert score(9, 4) == pytest.approx(score(25, 20), abs=1e-5)
    assert score(9, 4) != pytest.approx(score(9, 5), abs=1e-3)


@pytest.mark.parametrize("window", [0, 1, 100, 256])
@pytest.mark.parametrize("steps", [1, 5, 256, 300, 513])
def test_attention_in_bfloat16_is_attention(steps: int, window: int) -> None:
    """Forward and back within what bfloat16 can say, torch's float32 kernel as the judge."""
    generator = torch.Generator().manual_seed(steps)
    exact = [torch.randn(2, 2, steps, 16, generator=generator, requires_grad=True) for _ in range(3)]
    rough = [x.detach().bfloat16().requires_grad_() for x in exact]
    weight = torch.randn(2, 2, steps, 16, generator=generator)
    places = torch.arange(steps)
    age = places[:, None] - places
    mask = (age >= 0) & (age < (window or steps))
    judge = functional.scaled_dot_product_attention(*exact, attn_mask=mask)
    assert torch.allclose(attend(*exact, window=window), judge, atol=1e-5)
    found = [attend(*rough, window=window).float(), judge]
    for out in found:
        (out * weight).sum().backward()
    assert torch.allclose(found[0], found[1], atol=0.05)
    for a, b in zip(rough, exact, strict=True):
        assert a.grad is not None and b.grad is not None
        assert torch.allclose(a.grad.float(), b.grad, atol=0.03 * float(b.grad.abs().max()) + 1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("window", [0, 5])
def test_a_scripted_step_computes_the_same_bits(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(torch.float16)
    net = make("transformer", context=160, window=window)

    def run(writer: TransformerDecoder) -> list[torch.Tensor]:
        stepper = Stepper(writer, 150)
        first = stepper.start([[3, 1, 4], [1, 5], [9, 2, 6, 5]])
        return [first, *(stepper.feed([step % 50, 7, 8]) for step in range(140))]

    scripted = TransformerDecoder(net, torch.float16)
    assert scripted._write_one is not write_one, "torch scripts no more: is write_one still worth its form?"
    plain = TransformerDecoder(net, torch.float16)
    monkeypatch.setattr(plain, "_write_one", write_one)
    assert all(torch.equal(a, b) for a, b in zip(run(scripted), run(plain), strict=True))
