"""Mixtures of styles: how they are written, and when a piece is one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melodygen.errors import UsageError
from melodygen.request import Request
from melodygen.styles.mixture import mixed_style, style_probability, style_shares, style_text
from melodygen.styles.scores import StyleScores
from melodygen.styles.style import Style

LABELS = ("jazz", "folk", "pop")


def scores(*probabilities: float) -> StyleScores:
    return StyleScores(LABELS, np.array(probabilities), "test")


def test_a_mixture_is_nearest_where_the_probabilities_are_the_shares() -> None:
    asked = "jazz:0.7,folk:0.3"
    assert style_probability(scores(0.7, 0.3, 0.0), asked) == pytest.approx(1.0)
    even, pure = (style_probability(scores(*p), asked) for p in ((0.5, 0.5, 0.0), (0.999, 0.001, 0.0)))
    assert pure < 0.3 and even > 0.85
    assert style_probability(scores(0.35, 0.15, 0.5), asked) == pytest.approx(0.5)
    assert style_probability(scores(0.2, 0.3, 0.5), "jazz") == 0.2


@given(st.lists(st.floats(0.05, 50.0), min_size=2, max_size=3))
def test_text_says_the_shares_again(numbers: list[float]) -> None:
    shares = style_shares(
        ",".join(f"{name}:{share:.3f}" for name, share in zip(LABELS, numbers, strict=False))
    )
    assert sum(shares.values()) == pytest.approx(1.0)
    again = style_shares(style_text(shares))
    assert list(again) == list(shares)
    assert all(again[name] == pytest.approx(shares[name], rel=0.01) for name in shares)


def test_a_request_holds_a_mixture_in_one_form() -> None:
    assert Request.of("folk:3, jazz:7").style == "jazz:0.7,folk:0.3"
    assert Request.of("jazz,folk").style == "jazz:0.5,folk:0.5"
    assert style_shares("jazz") == {"jazz": 1.0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jazz:x,folk:1", "is no mixture; write it like jazz:0.7,folk:0.3"),
        ("jazz:0,folk:1", "is no mixture"),
        ("jazz,", "is no mixture"),
        ("jazz:0.5,folk", "give every style a share, or none"),
        ("jazz,jazz", "names jazz twice"),
        ("a,b,c,d,e", "mixes 5 styles; give 1 to 4"),
    ],
)
def test_what_is_no_mixture_is_said(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        style_shares(text)


def test_the_usual_tempo_and_instruments_lie_between() -> None:
    first = Style(
        "jazz", "", 200.0, tracks=("melody", "bass"), programs={"melody": 66, "bass": 32}, swing=0.66
    )
    second = Style("folk", "", 100.0, tracks=("melody",), programs={"melody": 40, "chords": 24})
    mixed = mixed_style("jazz:0.5,folk:0.5", [first, second])
    assert 100 < mixed.qpm < 200 and mixed.tracks == first.tracks and mixed.swing == pytest.approx(0.58)
    assert mixed.programs == {"melody": 40, "bass": 32, "chords": 24}
