"""Leanings of the draw: a bar that is repeated as one token weighs what its notes would."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from melodygen.generation.leaning import Leaning
from melodygen.tokens.vocabulary import POSITIONS_PER_QUARTER, VOCABULARY

ON_THE_BEAT = [VOCABULARY.id("position", beat * POSITIONS_PER_QUARTER) for beat in range(4)]
OFF_THE_BEAT = [token + POSITIONS_PER_QUARTER // 2 for token in ON_THE_BEAT]


@pytest.mark.parametrize(("asked", "shunned"), [(0.0, "off"), (0.9, "on")])
def test_syncopation_speaks_against_repeating_a_bar_without_it(asked: float, shunned: str) -> None:
    """The bar before the last is on the beat, the last one off it."""
    bars: list[dict[str, list[int]]] = [{"bass": ON_THE_BEAT}, {"bass": OFF_THE_BEAT}, {}]
    grammar: Any = SimpleNamespace(role="bass", meter=(4, 4), position=0)
    leaning = Leaning({}, asked)
    added = np.zeros(VOCABULARY.size)
    leaning.add(grammar, bars, added)
    last, before_it = (added[VOCABULARY.id("again", n)] for n in (0, 1))
    each = min(added[ON_THE_BEAT[0]], added[OFF_THE_BEAT[0]])
    assert each < 0
    assert (last, before_it) == pytest.approx((4 * each, 0.0) if shunned == "off" else (0.0, 4 * each))
    leaning.take(ON_THE_BEAT[0], "bass")  # it is being spelled out: nothing to repeat any more
    leaning.add(grammar, bars, again := np.zeros(VOCABULARY.size))
    assert not again[VOCABULARY.slice("again")].any()
