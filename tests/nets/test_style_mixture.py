"""A net under several headers: the average of what it says under each, step by step, as one net would batch it."""

from __future__ import annotations

import numpy as np
import torch
from tiny_generator import STYLES

from melodygen.generation.neural import NeuralGenerator
from melodygen.nets.style_mixture import StyleMixture
from melodygen.nets.transformer import Transformer
from melodygen.request import Request
from melodygen.styles.style import Style
from melodygen.tokens.vocabulary import VOCABULARY


def test_logits_are_the_mean_under_each_header() -> None:
    plain = _transformer()
    with torch.no_grad():  # the styles differ much
        plain.embedding.weight[VOCABULARY.slice("style")] *= 50
    net = NeuralGenerator(plain, STYLES, "tiny", {}).net
    first, second = (VOCABULARY.id("style", n) for n in (1, 2))
    mixture = StyleMixture(net, first, {first: 0.75, second: 0.25})
    ids = torch.tensor([[1, first, 60, 61, 62]])
    with torch.inference_mode():
        state = mixture.new_state(1, 16)
        mixture.step(ids[:, :4], state, 0)
        found = mixture.step(ids[:, 4:], state, 4)
        expected = torch.zeros_like(found)
        for token, share in ((first, 0.75), (second, 0.25)):
            own = torch.where(ids == first, token, ids)
            expected += share * torch.log_softmax(net.step(own, net.new_state(1, 16), 0), dim=-1)
    assert torch.allclose(found, expected, atol=0.05)  # the cache may hold half precision
    assert not torch.allclose(
        found, torch.log_softmax(net.step(ids, net.new_state(1, 16), 0), dim=-1), atol=0.05
    )


def test_a_mixture_is_written_by_both_styles_and_the_same_each_time() -> None:
    styles = {**STYLES, "waltz": Style("waltz", "three beats", 180.0, (3, 4), programs={"melody": 40})}
    generator = NeuralGenerator(
        _transformer(), styles, "tiny", {"polka": (1, 2, 3, 4, 5), "waltz": (0, 1, 2, 3, 4)}
    )
    asked = Request.of("polka:0.6,waltz:0.4", bars=3, meter="2/4")
    seeds = [1, 2, 3, 4, 5]
    first = [d.score for d in generator.generate(asked, seeds)]
    assert first == [d.score for d in generator.generate(asked, seeds)]
    alone = [d.score for d in generator.generate(Request.of("polka", bars=3, meter="2/4"), seeds)]
    assert first != alone
    assert all(t.program == 40 for s in first for t in s.tracks if t.role == "melody")
    assert np.allclose([s.qpm for s in first], (110**0.6) * 180**0.4, atol=0.1)


def _transformer() -> Transformer:
    torch.manual_seed(6)
    net = Transformer(VOCABULARY.size, 16, layers=1, heads=2, context=512)
    with torch.no_grad():
        net.embedding.weight[VOCABULARY.slice("position")] *= 0.1
        torch.nn.init.normal_(net.blocks[0].attention_out.weight, std=0.5)
    return net
