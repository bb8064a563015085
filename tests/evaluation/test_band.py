"""Band figures on pieces whose values are known by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from melodygen.evaluation.band import band_figures, medians
from melodygen.evaluation.generator import alike, compare_style, summary, told_apart
from melodygen.tokens.grid import GridBar, Piece
from melodygen.tokens.vocabulary import DURATION_INDEX

KICK, SNARE, HAT = 0, 1, 4
QUARTER, HALF = DURATION_INDEX[12], DURATION_INDEX[24]
C_MAJOR = ((0, 0, 0),)


def bar(**parts: tuple[tuple[int, int, int, int], ...]) -> GridBar:
    return GridBar((4, 4), parts, C_MAJOR)


def test_a_band_that_plays_together() -> None:
    """A kick on 1 with the bass, one without; two snares; a bass on the root, then on its fifth."""
    one = bar(
        melody=((0, 2, QUARTER, 64), (12, 3, QUARTER, 64), (18, 2, QUARTER, 65), (36, 2, QUARTER, 67)),
        bass=((0, 2, HALF, 36), (24, 2, HALF, 43)),
        chords=((0, 2, HALF, 60), (0, 2, HALF, 64), (0, 2, HALF, 67)),
        drums=((0, KICK, 2, 0), (12, SNARE, 2, 0), (30, KICK, 1, 0), (36, SNARE, 2, 0)),
    )
    found = band_figures(Piece((one, one), 120.0, (0, "major")))
    assert found["kick_bass"] == 0.5
    assert (found["snare a bar"], found["kick on 1"]) == (2.0, 1.0)
    assert (found["bass in chord"], found["bass root"], found["bass repeats"]) == (1.0, 1.0, 0.0)
    assert found["repeats, drums"] == found["repeats, bass"] == found["tune returns"] == 0.5
    assert found["top line repeats"] == pytest.approx(2 / 7)
    assert found["top line on beat"] == 0.75
    assert found["shaped"] == pytest.approx(1 / 3)
    assert found["tune clash"] == pytest.approx(6 / 48)  # the F over the chord's E, until the chord ends
    assert found["longest silence"] == 0.0


def test_a_transposed_tune_returns_and_a_repeated_bar_does_not_differ_by_loudness() -> None:
    tune = ((0, 2, QUARTER, 60), (12, 2, QUARTER, 62), (24, 2, HALF, 64))
    up = tuple((a, 3, d, p + 5) for a, _, d, p in tune)
    found = band_figures(Piece((bar(melody=tune), bar(melody=up), bar(melody=up)), 120.0, None))
    assert found["tune returns"] == pytest.approx(2 / 3)
    assert found["repeats, melody"] == pytest.approx(1 / 3)
    assert (
        math.isnan(found["kick_bass"]) and math.isnan(found["bass root"]) and math.isnan(found["key heard"])
    )


@pytest.mark.parametrize(("place", "swing"), [(6, 0.0), (8, 1.0)])
def test_swing_is_where_off_beats_fall(place: int, swing: float) -> None:
    line = tuple((12 * b + p, 2, 3, 60 + b) for b in range(4) for p in (0, place))
    drums = tuple((12 * b + p, HAT, 1, 0) for b in range(4) for p in (0, 8))
    found = band_figures(Piece((bar(melody=line, drums=drums),) * 2, 120.0, None))
    assert found["swing spread"] == 1.0 - swing
    assert found["swing"] == (1.0 + swing) / 2


def test_a_fill_at_the_end_of_each_phrase_is_seen() -> None:
    beat = ((0, KICK, 2, 0), (12, SNARE, 2, 0), (24, KICK, 2, 0), (36, SNARE, 2, 0))
    fill = ((0, SNARE, 2, 0), (6, SNARE, 2, 0), (12, SNARE, 2, 0), (18, SNARE, 2, 0))
    bars = tuple(bar(drums=fill if i % 4 == 3 else beat) for i in range(8))
    assert band_figures(Piece(bars, 120.0, None))["phrase ends"] > 0.4
    silent = replace(bars[0], parts={})
    gone = Piece((bars[0], silent, silent, bars[0]), 120.0, None)
    assert band_figures(gone)["longest silence"] == 2.0


def changes(roots: str) -> Piece:
    """Bars with the chords of these degrees in semitones above C, of which x is none."""
    symbols = [() if r == "x" else ((0, int(r, 12), 0),) for r in roots]
    return Piece(tuple(GridBar((4, 4), {}, chords) for chords in symbols), 120.0, (0, "major"))


@pytest.mark.parametrize(("roots", "home"), [("0570", 1.0), ("057", 0.0), ("0510", 0.0), ("07x0x", 1.0)])
def test_a_cadence_comes_home(roots: str, home: float) -> None:
    assert band_figures(changes(roots))["cadence"] == home


@pytest.mark.parametrize(
    ("roots", "share"),
    [("0xxx5x0x7577", 0.8), ("0xxx5x0x750x", 1.0), ("0xxxxxxxxxxx", 0.6), ("0xxx5x0x750x" * 2, 1.0)],
)
def test_the_form_of_a_blues(roots: str, share: float) -> None:
    assert band_figures(changes(roots))["blues form"] == pytest.approx(share)
    assert math.isnan(band_figures(changes(roots[:11]))["blues form"])


def test_medians_and_intervals_hold_what_they_should() -> None:
    rows = [{"x": float(v), "y": math.nan} for v in range(9)]
    assert medians(rows) == {"x": (2.0, 4.0, 6.0)}
    figure = summary([r["x"] for r in rows], [1.0, 2.0, 3.0], np.random.default_rng(0))
    assert figure.median == 4.0 and figure.low is not None and figure.high is not None
    assert figure.low <= 4.0 <= figure.high
    assert figure.reference == (1.5, 2.0, 2.5) and figure.is_inside is False
    assert summary([math.nan], [], np.random.default_rng(0)).median is None


def test_what_differs_is_told_apart_and_what_does_not_is_not() -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    one, two = rng.normal(0, 1, (30, 5)), rng.normal(0, 1, (30, 5))
    assert told_apart(one, two) < 0.75
    assert told_apart(one, two + 4) > 0.95
    tune = bar(melody=((0, 2, QUARTER, 60), (12, 2, QUARTER, 62), (24, 2, HALF, 64)))
    report = compare_style("x", [Piece((tune,) * 4)] * 3, [Piece((tune,) * 4)] * 3)
    assert report.told_apart is None and report.figures["tune returns"].is_inside


def test_pieces_are_compared_in_what_both_sets_have() -> None:
    """Our pieces have drums and dynamics, theirs neither; one of theirs is short, one of ours has no melody."""
    tune = tuple((12 * beat, 1 + beat % 2, QUARTER, 60 + beat) for beat in range(4))
    even = tuple((12 * beat, 2, QUARTER, 48) for beat in range(4))
    ours = Piece((bar(melody=tune, bass=even, drums=((0, 0, 3, 0),)),) * 4)
    theirs = Piece((bar(melody=even, bass=even),) * 4)
    odd = Piece((bar(bass=even, drums=((0, 0, 3, 0),)),) * 4)
    one, two = alike([ours, ours, ours, odd], [theirs, theirs, theirs, replace(theirs, bars=theirs.bars[:2])])
    assert [p.roles for p in one] == [("melody", "bass")] * 3 and [p.roles for p in two] == [
        ("melody", "bass")
    ] * 3
    assert {n[1] for p in (*one, *two) for b in p.bars for notes in b.parts.values() for n in notes} == {2}
    loud, _ = alike([ours] * 3, [ours] * 3)
    assert loud[0] == ours, "where both have loudness it is compared too"
    assert alike([ours], []) == ([], [])
