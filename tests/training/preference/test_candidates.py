"""Which candidates become pairs."""

from __future__ import annotations

import math

import pytest

from melodygen.evaluation.band import closeness, human_quartiles
from melodygen.evaluation.diversity import diversity, with_errors
from melodygen.tokens.grid import GridBar, Piece
from melodygen.training.preference.candidates import OTHER_BAND, TUNED_BAND, Rated, make_pairs, merits


def rated(seed: int, style: float, quality: float, flaw: str = "", length: int = 30) -> Rated:
    return Rated((seed,) * length, 9, seed, style, quality, flaw)


def seeds(group: list[Rated]) -> list[tuple[int, int]]:
    pairs = make_pairs(group, {}, "jazz", 1024)
    return [(int(p.preferred.ids[0]), int(p.rejected.ids[0])) for p in pairs]


def test_the_best_against_the_worst_and_so_on_inwards() -> None:
    group = [rated(i, 0.1 * i, 0.1 * i) for i in (3, 8, 1, 6, 2, 7, 4, 5)]
    assert seeds(group) == [(8, 1), (7, 2), (6, 3)]


def test_a_flaw_is_never_preferred_and_always_the_worst() -> None:
    group = [rated(1, 0.99, 0.99, "no notes"), rated(2, 0.3, 0.4), rated(3, 0.29, 0.39), rated(4, 0.31, 0.41)]
    assert seeds(group)[0] == (4, 1)
    assert seeds([rated(1, 0.9, 0.9, "x"), rated(2, 0.1, 0.1, "x")]) == []


def test_style_is_not_traded_for_quality() -> None:
    group = [rated(1, 0.5, 0.9), rated(2, 0.9, 0.1), rated(3, 0.7, 0.5), rated(4, 0.6, 0.6)]
    assert all(group[one - 1].style >= group[other - 1].style - 0.02 for one, other in seeds(group))


def test_what_differs_in_length_or_by_little_makes_no_pair() -> None:
    assert seeds([rated(1, 0.9, 0.9, length=100), rated(2, 0.1, 0.1, length=50)]) == []
    assert seeds([rated(1, 0.5, 0.5), rated(2, 0.5, 0.5)]) == []


def test_each_mark_counts_alike_whatever_its_scale() -> None:
    group = [rated(1, 0.9999, 0.5), rated(2, 0.5, 0.52), rated(3, 0.5, 0.5), rated(4, 0.5, 0.48)]
    merit = merits(group, {})
    assert merit.argmax() == 0 and merit[1] > merit[2] > merit[3]


def test_closeness_and_the_shipped_yardsticks() -> None:
    human = {"a": (0.2, 0.3, 0.4), "b": (0.0, 0.0, 0.0)}
    assert closeness({"a": 0.25, "b": 0.0}, human) == 1.0
    assert closeness({"a": 0.5, "b": math.nan}, human) == pytest.approx(0.5)
    assert closeness({"a": 0.1}, human) == pytest.approx(0.5) and closeness({"a": 5.0}, human) == 0.0
    assert math.isnan(closeness({}, human))
    assert not set(TUNED_BAND) & set(OTHER_BAND)
    for style in ("jazz", "classical", "game", "rock"):
        assert set(human_quartiles(style)) & set(TUNED_BAND) and set(human_quartiles(style)) & set(OTHER_BAND)
    assert human_quartiles("a style of mine") == {}


def tune(*pitches: int) -> Piece:
    bars = [pitches[i : i + 4] for i in range(0, len(pitches), 4)]
    return Piece(
        tuple(GridBar((4, 4), {"melody": tuple((12 * at, 2, 5, p) for at, p in enumerate(b))}) for b in bars), 120.0
    )  # fmt: skip


def test_diversity_falls_where_pieces_repeat_one_another_or_themselves() -> None:
    one = tune(60, 62, 64, 65, 67, 65, 69, 60, 71, 60, 62, 72)
    other = tune(72, 71, 60, 67, 72, 64, 62, 60, 59, 72, 55, 60)
    different, same = diversity([one, other]), diversity([one, one])
    moved = diversity([one, tune(*(n[3] + 5 for b in one.bars for n in b.parts["melody"]))])
    assert different.likeness < 0.2
    assert same.likeness == moved.likeness == 1.0  # the same in another key is the same
    assert same.distinct == different.distinct / 2 == 0.5 and same.entropy < different.entropy
    dull = diversity([tune(*[60] * 12), tune(*[64] * 12)])
    assert dull.entropy == 0.0 and dull.distinct < 0.1 and dull.likeness == 1.0
    assert math.isnan(diversity([]).entropy)
    value, error = with_errors([one, other, one])
    assert value == diversity([one, other, one]) and error.likeness > 0
