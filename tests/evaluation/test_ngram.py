"""The n-gram baseline is a probability, learns, and is scored like the nets; the cases of the listening table."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from melodygen.data.dataset import PLAIN, ExampleSampler
from melodygen.data.shards import PieceInfo, Shards, build_shards
from melodygen.evaluation.conditioning import Case, draw_cases, listen, put_together, take_apart, token_losses
from melodygen.evaluation.ngram import train_ngram
from melodygen.nets.lstm import Lstm
from melodygen.tokens.grid import GridBar, GridNote, Piece
from melodygen.tokens.vocabulary import DURATION_INDEX, FILL, VOCABULARY
from melodygen.training.generator.trainer import validation_loss

SEQUENCES = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=12), min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(SEQUENCES, st.lists(st.integers(1, 6), max_size=6), st.integers(1, 5))
def test_probabilities_sum_to_one_after_any_context(
    train: list[list[int]], context: list[int], order: int
) -> None:
    ngram = train_ngram([np.array(s) for s in train], order, vocabulary_size=7)
    total = sum(np.exp(ngram.log_prob(np.array([1, *context, token]))[-1]) for token in range(7))
    assert total == pytest.approx(1.0)


def test_kneser_ney_by_hand() -> None:
    # "san francisco": 2 follows only 1, however often; 3 follows two different tokens
    ngram = train_ngram([np.array([1, 2, 1, 2, 1, 2, 4, 3, 5, 3])], 2, vocabulary_size=7)
    after_unseen = np.exp([ngram.log_prob(np.array([6, token]))[-1] for token in (2, 3)])
    assert after_unseen[1] > after_unseen[0]


def test_higher_orders_learn_what_lower_ones_cannot() -> None:
    pattern = np.array([1, 2, 3, 1, 4, 5] * 50)
    losses = [-train_ngram([pattern], n, 7).log_prob(pattern).mean() for n in (1, 2, 3, 5)]
    assert all(a > b for a, b in pairwise(losses))
    assert losses[-1] < 0.05


def test_too_high_an_order_is_refused() -> None:
    with pytest.raises(ValueError, match="order 7"):
        train_ngram([np.array([1, 2])], 7)


@pytest.fixture(scope="module")
def shards() -> Shards:
    def piece(seed: int) -> Piece:
        rng = np.random.default_rng(seed)

        def part(low: int) -> tuple[GridNote, ...]:
            return tuple((12 * i, 2, DURATION_INDEX[12], low + int(rng.integers(12))) for i in range(4))

        def bar() -> GridBar:
            parts = {"melody": part(60), "chords": part(50), "bass": part(36)}
            return GridBar((4, 4), parts, ((0, int(rng.integers(12)), 0),))

        return Piece(tuple(bar() for _ in range(8)))

    info = PieceInfo("p.mid", "folk", "test", "valid", "piece", "Tune", 0, 0, 110.0, "", False)
    return build_shards(
        [(piece(i), PieceInfo(**{**info.__dict__, "path": f"a/b/{i}.mid"})) for i in range(6)]
    )


@pytest.fixture(scope="module")
def cases(shards: Shards) -> list[Case]:
    from melodygen.evaluation.conditioning import FULL

    sampler = ExampleSampler(shards, "valid", ("folk", "jazz"), views=FULL)
    return draw_cases(sampler, ("folk",), 4, np.random.default_rng(0))


def test_the_same_tokens_are_scored_as_in_training(shards: Shards) -> None:
    sampler = ExampleSampler(shards, "valid", ("folk",))
    rng = np.random.default_rng(3)
    examples = [sampler.draw(rng, "folk") for _ in range(6)]
    torch.manual_seed(0)
    net = Lstm(VOCABULARY.size, 8, 8, 1)
    masked = [(e.ids.tolist(), [i >= e.header_length for i in range(len(e.ids))]) for e in examples]
    losses = token_losses(net, masked)
    mean, count = validation_loss(net, examples)
    assert sum(map(len, losses)) == count
    assert np.concatenate(losses).mean() == pytest.approx(mean, rel=1e-5)


def test_taking_apart_and_putting_together(shards: Shards) -> None:
    sampler = ExampleSampler(shards, "valid", ("folk",), views=PLAIN)
    ids = sampler.draw(np.random.default_rng(1), "folk").ids.tolist()
    assert put_together(take_apart(ids), lambda role, token: True)[0] == ids


def test_every_condition_has_cases_with_the_same_scored_tokens(cases: list[Case]) -> None:
    assert {c.condition for c in cases} >= {
        "style", "meter", "tempo", "key", "density", "chord line, tritone", "chord line, other piece",
        "bass given melody", "melody given bass", "bars left", "bars after the gap",
    }  # fmt: skip
    for case in cases:
        scored = [
            [token for token, counts in zip(*version, strict=True) if counts]
            for version in (case.true, case.without, case.wrong)
        ]
        assert scored[0] and scored[0] == scored[1] == scored[2], case.condition
        assert case.true[0] != case.wrong[0] and case.true[0] != case.without[0], case.condition


def test_infill_moves_the_scored_bars_behind_the_mark(cases: list[Case]) -> None:
    ids, mask = next(c for c in cases if c.condition == "bars after the gap").true
    assert mask.index(True) > ids.index(FILL)


class OnlyHeader(torch.nn.Module):
    """Puts much probability on every token if the header's style is the right one, little if not."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        knows = (ids[:, 1] == VOCABULARY.id("style", 1)).float()
        logits = torch.zeros(*ids.shape, VOCABULARY.size)
        following = torch.roll(ids, -1, dims=1)[:, :-1]
        logits[:, :-1].scatter_(
            2, following[..., None], (5.0 * knows)[:, None, None].expand(-1, following.shape[1], 1)
        )
        return logits


def test_a_model_that_hears_only_style_is_found_out(cases: list[Case]) -> None:
    rows = {r.condition: r for r in listen(OnlyHeader(), cases)}
    style, tempo = rows["style"], rows["tempo"]
    assert style.nats[0] < style.nats[2] and style.heard == 1.0
    assert tempo.nats[0] == pytest.approx(tempo.nats[2]) and tempo.heard == 0.0
