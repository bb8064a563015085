"""Craft: a piece in its key that comes home is better made than the same piece spoilt."""

from __future__ import annotations

from dataclasses import replace

from melodygen.craft import craft
from melodygen.score import Chord, KeySignature, Score, Track

BAR = 1920


def cadence(final_bass: int = 36, final_melody: int = 72) -> Score:
    """Four bars of C major: C F G C."""
    roots, tune = (36, 41, 43, final_bass), (64, 65, 67, final_melody)
    chords = tuple(Chord(i * BAR, f"{n}:maj") for i, n in enumerate("CFGC"))
    tracks = (
        Track([(i * BAR, BAR, p, 90) for i, p in enumerate(tune)], role="melody"),
        Track([(i * BAR, BAR, p, 90) for i, p in enumerate(roots)], 32, role="bass"),
    )
    return Score(tracks, key_signatures=(KeySignature(0, 0),), chords=chords)


def test_a_clean_cadence_is_perfect() -> None:
    # every note is in the key and on its chord, and both voices come home
    assert craft(cadence()) == 1.0


def test_an_ending_off_the_tonic_costs() -> None:
    assert craft(cadence(final_bass=43)) < craft(cadence())
    assert craft(cadence(final_melody=74)) < craft(cadence())


def test_wrong_notes_cost() -> None:
    score = cadence()
    sour = replace(
        score,
        tracks=(
            Track([(i * BAR, BAR, p, 90) for i, p in enumerate((61, 66, 68, 72))], role="melody"),
            score.tracks[1],
        ),
    )
    assert craft(sour) < craft(score) - 0.1


def test_a_tune_that_stops_costs() -> None:
    score = cadence()
    short = replace(score, tracks=(Track([(3 * BAR, BAR, 72, 90)], role="melody"), score.tracks[1]))
    assert craft(short) < craft(score)


def test_no_notes_is_nothing() -> None:
    assert craft(Score()) == 0.0
    assert 0.0 <= craft(Score((Track([(0, 10, 36, 90)], is_drum=True, role="drums"),))) <= 1.0
