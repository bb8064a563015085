"""The steps: what is preferred becomes likelier, the rest stays where it was, and a stop changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_generator
import torch

from melodygen.data.dataset import Example
from melodygen.nets.lstm import Lstm
from melodygen.nets.transformer import Transformer
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.preference.candidates import usual_request, write_plain
from melodygen.training.preference.config import PreferenceConfig
from melodygen.training.preference.dpo import Pair, PreferenceTraining, preference_loss

CONFIG = PreferenceConfig("polka", bars=2, steps=12, rows=3, learning_rate=3e-3, leash=0.2)


def tiny_net(kind: type[Transformer] | type[Lstm] = Transformer) -> torch.nn.Module:
    """The net of the tiny generator, before it became a decoder."""
    torch.manual_seed(5)
    if kind is Lstm:
        return Lstm(VOCABULARY.size, 16, hidden=16, layers=1, context=512)
    net = Transformer(VOCABULARY.size, 16, layers=1, heads=2, context=512)
    torch.nn.init.normal_(net.blocks[0].attention_out.weight, std=0.5)  # type: ignore[union-attr, arg-type]
    return net


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    generator = tiny_generator.make()
    written = write_plain(generator, usual_request(generator, "polka", 2), list(range(1, 15)))
    return [r.example("polka", 512) for r in written]


@pytest.fixture(scope="module")
def pairs(examples: list[Example]) -> list[Pair]:
    return [Pair(one, other) for one, other in zip(examples[:12:2], examples[1:12:2], strict=True)]


def learned(training: PreferenceTraining, steps: int) -> list[float]:
    return [training.learn() for _ in range(steps)]


@pytest.mark.parametrize("kind", [Transformer, Lstm])
def test_the_preferred_become_likelier_under_the_leash(
    kind: type[Transformer] | type[Lstm], pairs: list[Pair], examples: list[Example]
) -> None:
    training = PreferenceTraining(tiny_net(kind), pairs, examples[12:], CONFIG, bf16=False)
    start = training.standing(pairs)
    assert (start.loss, start.gain, start.divergence) == (
        pytest.approx(np.log(2)),
        0.0,
        pytest.approx(0, abs=1e-9),
    )
    losses = learned(training, CONFIG.steps)
    after = training.standing(pairs)
    assert np.mean(losses[-3:]) < losses[0] - 0.2 and after.loss < 0.5
    assert after.accuracy == 1.0 and after.margin > 3 and after.gain > 0
    assert 0 < after.divergence < CONFIG.leash
    assert 0 <= training.divergence(examples[12:]) < CONFIG.leash


def test_with_the_pairs_turned_round_it_learns_the_reverse(
    pairs: list[Pair], examples: list[Example]
) -> None:
    turned = [Pair(pair.rejected, pair.preferred) for pair in pairs]
    training = PreferenceTraining(tiny_net(), turned, examples[12:], CONFIG, bf16=False)
    learned(training, CONFIG.steps)
    assert training.standing(pairs).accuracy == 0.0 and training.standing(pairs).margin < -3


def test_a_shorter_leash_keeps_it_nearer(pairs: list[Pair], examples: list[Example]) -> None:
    away = []
    for leash in (0.002, 10.0):
        training = PreferenceTraining(
            tiny_net(), pairs, examples[12:], replace(CONFIG, leash=leash), bf16=False
        )
        learned(training, CONFIG.steps)
        away.append(training.standing(pairs).divergence)
    assert away[0] < away[1] / 2


def test_only_the_music_counts_not_the_header(pairs: list[Pair]) -> None:
    training = PreferenceTraining(tiny_net(), pairs, [], CONFIG, bf16=False)
    learned(training, 2)
    with torch.no_grad():
        one = pairs[0].preferred
        ids = torch.from_numpy(one.ids.astype(np.int64))[None]
        now, before = (net(ids[:, :-1]).log_softmax(-1) for net in (training.net, training.start))
        change = (now - before).gather(-1, ids[:, 1:, None])[0, one.header_length - 1 :, 0].sum()
    assert training.standing(pairs[:1]).gain == pytest.approx(float(change), abs=1e-4)


def test_a_fall_of_the_preferred_costs_even_where_the_rejected_falls_more() -> None:
    both_fall, one_rises = torch.tensor([-2.0]), torch.tensor([0.0])
    worse = preference_loss(both_fall, torch.tensor([-6.0]), 0.1)
    better = preference_loss(one_rises, torch.tensor([-4.0]), 0.1)
    assert float(worse) > float(better) + 0.3
    assert float(preference_loss(torch.tensor([5.0]), torch.tensor([-5.0]), 0.1)) < np.log(2)


def test_a_stop_in_between_changes_nothing(pairs: list[Pair], examples: list[Example]) -> None:
    unbroken = PreferenceTraining(tiny_net(), pairs, examples[12:], CONFIG, bf16=False)
    learned(unbroken, 6)
    first = PreferenceTraining(tiny_net(), pairs, examples[12:], CONFIG, bf16=False)
    learned(first, 2)
    again = PreferenceTraining(tiny_net(), pairs, examples[12:], CONFIG, bf16=False)
    again.load_state(first.state())
    learned(again, 4)
    for name, weight in unbroken.net.state_dict().items():
        assert torch.equal(weight, again.net.state_dict()[name]), name
