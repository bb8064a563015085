"""Craft: a piece in its key that comes home is better made than the same piece spoilt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from melodygen.generation.quality import UNHEARD_KEY, clash_share, heard_lead, quality
from melodygen.music.score import Chord, KeySignature, Score, Track

BAR = 1920


def cadence(final_bass: int = 36, final_melody: int = 72) -> Score:
    """Four bars of C major: C F G C, two notes of the tune in each."""
    roots, tune = (36, 41, 43, final_bass), (60, 64, 65, 69, 67, 71, 72, final_melody)
    chords = tuple(Chord(i * BAR, f"{n}:maj") for i, n in enumerate("CFGC"))
    tracks = (
        Track([(i * BAR // 2, BAR // 2, p, 90) for i, p in enumerate(tune)], role="melody"),
        Track([(i * BAR, BAR, p, 90) for i, p in enumerate(roots)], 32, role="bass"),
    )
    return Score(tracks, key_signatures=(KeySignature(0, 0),), chords=chords)


def test_a_clean_cadence_is_perfect() -> None:
    # every note is in the key and on its chord, and both voices come home; four bars say a key less plainly than many
    assert 0.8 < quality(cadence()) <= 1.0


def test_an_ending_off_the_tonic_costs() -> None:
    assert quality(cadence(final_bass=43)) < quality(cadence())
    assert quality(cadence(final_melody=74)) < quality(cadence())


def test_wrong_notes_cost() -> None:
    score = cadence()
    sour = replace(
        score,
        tracks=(
            Track([(i * BAR, BAR, p, 90) for i, p in enumerate((61, 66, 68, 72))], role="melody"),
            score.tracks[1],
        ),
    )
    assert quality(sour) < quality(score) - 0.1


def test_a_tune_that_stops_costs() -> None:
    score = cadence()
    short = replace(score, tracks=(Track([(3 * BAR, BAR, 72, 90)], role="melody"), score.tracks[1]))
    assert quality(short) < 0.5 * quality(score)


SCALE = (0, 2, 4, 5, 7, 9, 11)
STEPS = (0, 1, 2, 3, 4, 3, 2, 1)


def tune(bars: list[list[int]], last: int = 2) -> Score:
    """Eighths in C major that end on C; the last note of every fourth bar is as long as ``last`` of them."""
    rows = []
    for index, pitches in enumerate(bars):
        held = last if index % 4 == 3 else 1
        rows += [(index * BAR + i * 240, 240 * (held if i == 8 - held else 1), p, 90)
                 for i, p in enumerate(pitches[: 9 - held])]  # fmt: skip
    rows[-1] = (*rows[-1][:2], 60, 90)
    return Score((Track(rows, role="melody"),), key_signatures=(KeySignature(0, 0),))


LINE = [[60 + 12 * ((s + bar) // 7) + SCALE[(s + bar) % 7] for s in STEPS] for bar in range(8)]


def test_a_tune_without_shape_costs() -> None:
    whole = quality(tune(LINE, 3))
    assert quality(tune([LINE[0]] * 8, 3)) < whole  # one bar over and over
    assert quality(tune([[(60, 62, 64)[p % 3] for p in bar] for bar in LINE], 3)) < whole  # three notes
    assert (
        quality(tune([[p + 12 * (i % 2) for i, p in enumerate(bar)] for bar in LINE], 3)) < whole
    )  # all leaps
    assert quality(tune(LINE, 1)) < whole  # never takes a breath
    assert quality(tune([bar[:1] for bar in LINE])) < whole  # one note a bar


def test_a_tune_under_its_chords_costs() -> None:
    line = tune(LINE, 3)

    def over(pitches: tuple[int, ...]) -> float:
        rows = [(bar * BAR, BAR, p, 60) for bar in range(8) for p in pitches]
        return quality(replace(line, tracks=(*line.tracks, Track(rows, role="chords"))))

    assert over((72, 76, 79)) < over((48, 52, 55))


def test_staying_on_one_chord_costs() -> None:
    score = cadence()
    still = tuple(Chord(c.tick, "C:maj") for c in score.chords)
    on_it = tuple(
        Track([(i * BAR, BAR, p, 90) for i in range(4)], role=r) for r, p in (("melody", 72), ("bass", 36))
    )
    changing = replace(
        score, tracks=on_it, chords=(*still[:1], Chord(0, "A:min"), Chord(0, "F:maj7"), *still[1:])
    )
    assert quality(replace(score, tracks=on_it, chords=still)) < quality(changing)


def test_one_bar_of_another_chord_is_no_progression() -> None:
    line = tune(LINE, 3)
    hardly = tuple(Chord(bar * BAR, "F:maj" if bar == 4 else "C:maj") for bar in range(8))
    moving = tuple(Chord(bar * BAR, ("C:maj", "A:min", "F:maj", "G:maj")[bar % 4]) for bar in range(8))
    # B alone is on none of these chords, so that what differs is their motion
    off = replace(line, tracks=(Track([(i * 240, 240, 71, 90) for i in range(60)], role="other"),))
    assert quality(replace(off, chords=hardly)) < quality(replace(off, chords=moving))


def test_a_band_that_falls_silent_costs() -> None:
    line = replace(tune(LINE, 3), key_signatures=())  # the held chord would say another key

    def over(bars: int, length: int = 1) -> float:
        rows = [
            (bar * BAR, length * BAR, 55, 60) for bar in range(bars)
        ]  # G, off which nothing of the scale stands
        return quality(replace(line, tracks=(*line.tracks, Track(rows, role="chords"))))

    assert over(3) < over(5) < over(6) == over(8)
    assert over(2, 7) == over(8)  # held on, it sounds


def test_no_notes_is_nothing() -> None:
    assert quality(Score()) == 0.0
    assert 0.0 <= quality(Score((Track([(0, 10, 36, 90)], is_drum=True, role="drums"),))) <= 1.0


def test_one_bar_over_and_over_is_no_tune() -> None:
    """Its shape is good: an octave, steps, above the chords. Bars that come back in a row of phrases cost nothing."""
    good = quality(tune(LINE))
    assert quality(tune([*LINE, *LINE])) > 0.95 * good
    ostinato = [[60 + p for p in (0, 4, 7, 12, 9, 7, 4, 2)]] * 16
    assert quality(tune(ostinato)) < 0.8 * good


def band(strokes: tuple[int, ...], struck: int = 2) -> Score:
    """The cadence with a drummer who goes round ``strokes`` in eighths, and chords struck so often a bar."""
    score = cadence()
    drums = Track(
        [(i * 240, 60, strokes[i % len(strokes)], 90) for i in range(32)], is_drum=True, role="drums"
    )
    triads = ((60, 64, 67), (60, 65, 69), (59, 62, 67), (60, 64, 67))
    length = BAR // struck
    rows = [(i * length, length, p - 12, 70) for i in range(4 * struck) for p in triads[i // struck]]
    return replace(score, tracks=(*score.tracks, Track(rows, role="chords"), drums))


def test_a_band_keeps_time_and_comps() -> None:
    good = quality(band((36, 42, 38, 42)))
    assert good == quality(band((36, 51, 51, 51), struck=4)), "enough is enough"
    assert quality(band((38,))) < good - 0.1, "a snare alone"
    assert quality(band((51,))) < good - 0.1, "a ride alone"
    assert quality(band((36, 42, 38, 42), struck=1)) < good - 0.05, "a lead sheet read aloud"


def test_a_drummer_who_plays_one_bar_throughout_costs() -> None:
    score = band((36, 42, 38, 42))
    one_bar = [(i * 240, 60, (36, 42, 38, 42)[i % 4], 90) for i in range(64)]
    fills = [(t, d, 41 if t // BAR in (3, 7) and t % BAR >= BAR // 2 else p, v) for t, d, p, v in one_bar]
    dull, lively = (
        replace(score, tracks=(*score.tracks[:-1], Track(rows, is_drum=True, role="drums")))
        for rows in (one_bar, fills)
    )
    assert quality(lively) > quality(dull) + 0.02
    louder = [(t, d, p, 100 if t % BAR == 0 else 60) for t, d, p, _ in one_bar]
    same = replace(score, tracks=(*score.tracks[:-1], Track(louder, is_drum=True, role="drums")))
    assert quality(same) == quality(dull), "loudness alone is no other bar"


def test_without_drums_nothing_need_groove() -> None:
    score = band((38,), struck=1)
    quiet = replace(score, tracks=score.tracks[:-1])
    more = band((38,), struck=2)
    assert quality(quiet) == quality(replace(more, tracks=more.tracks[:-1])) > quality(score)


def test_a_piece_that_is_heard_in_another_key_costs() -> None:
    plain = cadence()
    said = replace(plain, key_signatures=(KeySignature(0, 7),))  # a melody in C that says G
    lead, other = heard_lead(plain), heard_lead(said)
    assert lead is not None and other is not None
    assert lead > 0 > other
    # scale and ending count as well, and so it costs more than the key alone
    assert quality(said) < UNHEARD_KEY * quality(plain) + 0.2
    assert heard_lead(replace(plain, key_signatures=())) is None


def test_a_tune_that_clashes_costs() -> None:
    def over(pitch: int) -> Score:
        melody = Track([(i * BAR, BAR, p, 90) for i, p in enumerate((60, 65, 67, 72))], role="melody")
        chords = Track([(BAR, BAR // 2, pitch, 90)], role="chords")
        return Score((melody, chords), key_signatures=(KeySignature(0, 0),))

    assert clash_share(over(57)) == 0.0
    # half a bar of four, octaves aside
    assert clash_share(over(64)) == clash_share(over(40)) == pytest.approx(0.125, abs=0.01)
    assert clash_share(Score(over(57).tracks[1:])) is None
    melody = over(57).tracks[0]
    sour = Track([(i * BAR, BAR, p - 1, 90) for i, p in enumerate((60, 65, 67, 72))], role="chords")
    sweet = Track([(i * BAR, BAR, p - 12, 90) for i, p in enumerate((60, 65, 67, 72))], role="chords")
    signature = (KeySignature(0, 0),)
    assert quality(Score((melody, sour), key_signatures=signature)) < 0.7 * quality(
        Score((melody, sweet), key_signatures=signature)
    )
