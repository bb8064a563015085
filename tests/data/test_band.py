"""Grooves, bass lines and bands: what is played belongs together, whatever the seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from slow_grid import canonical_notes

from melodygen.data.band import Bandleader, Song, broken, clear_of, swung
from melodygen.data.bassline import HIGH, LOW, BassPlayer, chord_spans, tones
from melodygen.data.groove import CRASH, KICK, SNARE, Groove, Strokes, felt_groove, jaccard, lend_fills, play
from melodygen.evaluation.band import band_figures
from melodygen.registry import list_styles
from melodygen.tokens.grid import GridBar, Piece
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, DURATION_INDEX

RIDE, HAT, TOM = 11, 4, 8
STYLES = list_styles()
ROCK: Strokes = tuple(
    sorted(
        [(at, HAT, 1, 0) for at in range(0, 48, 6)]
        + [(0, KICK, 2, 0), (30, KICK, 2, 0), (12, SNARE, 2, 0), (36, SNARE, 2, 0)]
    )
)
SWING: Strokes = tuple(
    sorted(
        [(12 * b + p, RIDE, 1, 0) for b, p in ((0, 0), (1, 0), (1, 8), (2, 0), (3, 0), (3, 8))]
        + [(0, KICK, 0, 0), (12, 5, 1, 0), (36, 5, 1, 0)]
    )
)
FILL: Strokes = tuple((at, TOM, 2, 0) for at in range(0, 48, 6))
SWUNG_FILL: Strokes = tuple((at, TOM, 2, 0) for at in range(0, 48, 4))
TWO_FIVE = [
    ((0, 2, CHORD_QUALITY_NAMES.index("min7")), (24, 7, CHORD_QUALITY_NAMES.index("7"))),
    ((0, 0, CHORD_QUALITY_NAMES.index("maj7")),),
]


def take(pattern: Strokes, rng: np.random.Generator, bars: int = 16) -> list[Strokes]:
    """As a drummer plays: a stroke missing or added here and there, a fill in every eighth bar."""
    played = []
    for number in range(bars):
        kept = [n for n in pattern if rng.random() > 0.06]
        kept += [(int(rng.integers(0, 8)) * 6, SNARE, 0, 0)] if rng.random() < 0.4 else []
        played.append(FILL if number % 8 == 7 else tuple(sorted(set(kept))))
    return played


def groove(pattern: Strokes, style: str, swings: bool) -> Groove:
    return Groove(style, 120.0, swings, (pattern,), (), (SWUNG_FILL if swings else FILL,))


@pytest.mark.parametrize(("pattern", "swings"), [(ROCK, False), (SWING, True)])
def test_the_groove_of_a_take_is_what_the_drummer_meant(pattern: Strokes, swings: bool) -> None:
    found = felt_groove(take(pattern, np.random.default_rng(1)), "rock", 100.0)
    assert found is not None and found.swings is swings
    assert all(jaccard(bar, pattern) < 0.12 for bar in found.pattern)
    assert any(jaccard(bar, FILL) == 0 for bar in found.fills)


def test_a_solo_has_no_groove() -> None:
    rng = np.random.default_rng(0)
    bars = [
        tuple(sorted({(int(a), int(d), 1, 0) for a, d in rng.integers(0, (48, 18), (20, 2))}))
        for _ in range(12)
    ]
    assert felt_groove(bars, "jazz", 200.0) is None
    assert felt_groove([ROCK], "rock", 100.0) is None


def test_played_grooves_repeat_and_fill_only_where_phrases_end() -> None:
    for seed in range(20):
        bars = play(groove(ROCK, "rock", False), 16, np.random.default_rng(seed))
        for number, bar in enumerate(bars):
            if number % 4 == 3:
                continue
            assert {n for n in bar if n[1] != CRASH} <= set(ROCK)
        assert bars[15] == ROCK, "the last bar closes"


def test_a_take_without_fills_borrows_those_of_the_nearest_of_its_kind() -> None:
    bare = Groove("rock", 100.0, False, (ROCK,), (), ())
    near, far = (Groove("rock", qpm, False, (ROCK,), (), (FILL[:n],)) for qpm, n in ((110.0, 5), (180.0, 4)))
    swing = Groove("rock", 101.0, True, (SWING,), (), (SWUNG_FILL,))
    alone = Groove("jazz", 100.0, True, (SWING,), (), ())
    lent = lend_fills([far, bare, swing, near, alone])
    assert [g.fills for g in lent] == [far.fills, near.fills, swing.fills, near.fills, ()]


def test_spans_hold_chords_until_they_change() -> None:
    spans = chord_spans([(), ((24, 5, 0),), ((0, -1, 0),)], [48, 48, 48], (0, 0))
    assert [(s.start, s.end, s.chord) for s in spans] == [(0, 72, (0, 0)), (72, 144, (5, 0))]
    assert chord_spans([(), ()], [48, 48], None) == []


def test_a_walking_bass_steps_to_its_chords() -> None:
    roots = repeats = notes = 0
    for seed in range(30):
        changes = TWO_FIVE * 4
        line = BassPlayer(np.random.default_rng(seed)).walk(chord_spans(changes, [48] * 8, None), [48] * 8)
        assert all(len([n for n in bar if n[0] % 12 == 0]) == 4 for bar in line)
        pitches = [n[3] for bar in line for n in bar if n[0] % 12 == 0]
        assert all(LOW - 6 <= p <= HIGH + 7 for p in pitches)
        repeats += sum(a == b for a, b in pairwise(pitches))
        notes += len(pitches)
        first = [(bar[0][3], chords[0]) for bar, chords in zip(line, changes, strict=True)]
        roots += sum(p % 12 == c[1] for p, c in first)
        assert all(p % 12 in tones((c[1], c[2])) for p, c in first)
    assert 0.45 < roots / 240 < 0.95
    assert repeats / notes < 0.1


@pytest.mark.parametrize("style", ["jazz", "blues", "pop", "rock"])
def test_a_band_plays_together(style: str) -> None:
    pool = [groove(SWING, "jazz", True), groove(ROCK, "rock", False)]
    leader = Bandleader(pool, STYLES)
    figures = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        band = leader.play(Song(STYLES[style], 120.0, TWO_FIVE * 8), rng)
        parts = band.parts
        bars = [
            GridBar((4, 4), {r: tuple(v[i]) for r, v in parts.items() if v[i]}, tuple(c))
            for i, c in enumerate(TWO_FIVE * 8)
        ]
        for bar in bars:
            for role, notes in bar.parts.items():
                assert canonical_notes(list(notes), role) == notes
        figures.append(band_figures(Piece(tuple(bars))))
    assert np.mean([f["kick_bass"] for f in figures]) > 0.6
    spread = [f["swing spread"] for f in figures]
    assert np.nanmean(spread) < 0.02 and np.nanmax(spread) < 0.1
    assert np.mean([f["bass root"] for f in figures]) > 0.4
    again = leader.play(Song(STYLES[style], 120.0, TWO_FIVE * 8), np.random.default_rng(3))
    assert (
        again.parts == leader.play(Song(STYLES[style], 120.0, TWO_FIVE * 8), np.random.default_rng(3)).parts
    )


def test_a_given_bass_gets_drums_that_fit_it() -> None:
    other = (*(n for n in ROCK if n[1] != KICK), (6, KICK, 2, 0), (18, KICK, 2, 0))
    leader = Bandleader([groove(tuple(sorted(other)), "rock", False), groove(ROCK, "rock", False)], STYLES)
    bass = [((0, 2, 5, 36), (30, 2, 5, 36))] * 8
    band = leader.play(Song(STYLES["rock"], 120.0, [()] * 8), np.random.default_rng(0), bass)
    assert "bass" not in band.parts and band.groove.kicks(0)[:1] == (0,)


def test_swing_moves_plain_off_beats_alone() -> None:
    eighth = DURATION_INDEX[6]
    notes = ((0, 2, eighth, 60), (6, 2, eighth, 62), (12, 2, 2, 64), (15, 2, 2, 65), (18, 2, eighth, 67))
    assert [n[0] for n in swung(notes)] == [0, 8, 12, 15, 18]
    assert [n[2] for n in swung(notes)][:2] == [DURATION_INDEX[8], DURATION_INDEX[4]]


def test_broken_chords_keep_their_notes_and_their_time() -> None:
    held = tuple((0, 2, DURATION_INDEX[36], p) for p in (52, 55, 60))
    notes = broken((*held, (36, 2, DURATION_INDEX[12], 52)))
    assert [n[0] for n in notes] == [0, 6, 12, 18, 24, 30, 36]
    assert [n[3] for n in notes] == [52, 55, 60, 55, 52, 55, 52]
    assert canonical_notes(list(notes), "chords") == notes


def test_comping_keeps_clear_of_the_tune_but_keeps_two_notes() -> None:
    chord = tuple((0, 2, 5, p) for p in (52, 55, 59, 60))
    assert [n[3] for n in clear_of(chord, ((0, 2, 11, 72),))] == [52, 55, 60]
    assert [n[3] for n in clear_of(((0, 2, 5, 52), (0, 2, 5, 60)), ((0, 2, 11, 65),))] == [52, 60]
