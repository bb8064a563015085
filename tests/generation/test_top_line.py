"""The top line of a part, followed token by token and read from a bar at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from melodygen.generation.top_line import TopLine, top_pitches
from melodygen.tokens.vocabulary import VOCABULARY

onset = st.lists(st.integers(21, 108), min_size=1, max_size=4)


@given(onsets=st.lists(onset, min_size=1, max_size=8), before=st.integers(-1, 127))
def test_following_a_bar_and_reading_it_tell_the_same(onsets: list[list[int]], before: int) -> None:
    line, seen, tokens = TopLine(before), [before], []
    for position, pitches in enumerate(onsets):
        group = [VOCABULARY.id("position", position), *(VOCABULARY.id("pitch", pitch) for pitch in pitches)]
        for token in group:
            line.take(token)
        assert (line.before, line.here) == (seen[-1], max(pitches))
        seen.append(line.here)
        tokens += group
    assert top_pitches(tokens) == seen[1:]
