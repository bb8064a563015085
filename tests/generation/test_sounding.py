"""What sounds beside the next note: against the tune, a semitone off is told by how long it would last."""

from __future__ import annotations

import numpy as np

from melodygen.generation.sounding import Sounding
from melodygen.tokens.vocabulary import DURATIONS, VOCABULARY

QUARTER = DURATIONS.index(12)
HALF = DURATIONS.index(24)


def say(sounding: Sounding, role: str, position: int, duration: int, pitch: int | None = None) -> None:
    for kind, value in (("position", position), ("duration", duration), ("pitch", pitch)):
        if value is not None:
            sounding.take(VOCABULARY.id(kind, value), role)


def beside_a_tune() -> Sounding:
    sounding = Sounding("melody")
    sounding.begin_bar(None)
    say(sounding, "melody", 0, HALF, 60)
    sounding.begin_part()
    return sounding


def test_a_part_hears_how_long_it_would_clash_with_the_tune() -> None:
    sounding = beside_a_tune()
    say(sounding, "chords", 12, HALF)
    quarters = sounding.clashes("chords")
    assert quarters is not None
    assert set(np.flatnonzero(quarters) % 12) == {11, 1}  # B and C#, in every octave
    assert quarters[59] == quarters[61] == quarters[35] == 1.0  # of its two quarters the tune sounds in one


def test_what_is_over_does_not_clash() -> None:
    sounding = beside_a_tune()
    say(sounding, "chords", 24, QUARTER)
    assert sounding.clashes("chords") is None
    sounding.begin_bar((4, 4))
    say(sounding, "chords", 0, QUARTER)
    assert sounding.clashes("chords") is None


def test_what_is_held_over_the_bar_line_clashes() -> None:
    sounding = Sounding("melody")
    sounding.begin_bar(None)
    say(sounding, "chords", 36, HALF, 64)
    sounding.begin_bar((4, 4))
    sounding.begin_part()
    say(sounding, "melody", 0, HALF)
    quarters = sounding.clashes("melody")
    assert quarters is not None and quarters[65] == 1.0


def test_only_the_tune_counts_and_only_where_a_pitch_comes_next() -> None:
    sounding = beside_a_tune()
    say(sounding, "chords", 0, HALF, 67)
    sounding.begin_part()
    assert sounding.clashes("bass") is None  # a position comes next
    say(sounding, "bass", 0, HALF)
    quarters = sounding.clashes("bass")
    assert quarters is not None and set(np.flatnonzero(quarters) % 12) == {11, 1}  # F# stands off G, no tune


def test_a_repeated_segment_sounds_too() -> None:
    sounding = Sounding("melody")
    sounding.begin_bar(None)
    ids = [
        VOCABULARY.id(k, v) for k, v in (("position", 0), ("velocity", 2), ("duration", HALF), ("pitch", 60))
    ]
    sounding.repeat(ids, "melody")
    assert sounding.clashes("bass") is None
    say(sounding, "bass", 0, QUARTER)
    assert sounding.clashes("bass") is not None
