"""Phrases: found in any key and tempo, with errors; the aligner against a plain recursion."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from melodygen.errors import LibraryError, UsageError
from melodygen.library.lines import BREAK, Phrase, lines_of, phrase_of_names
from melodygen.library.phrase import ELSE, HOPELESS, WRONG, find_phrase, scan
from melodygen.library.rows import Rows
from melodygen.music.score import Score, Tempo, Track, note_array


def tune(seed: int, count: int = 80) -> Score:
    rng = np.random.default_rng(seed)
    pitch = np.clip(67 + np.cumsum(rng.integers(-4, 5, count)), 40, 95)
    gap = rng.choice([120, 240, 480], count)
    onset = np.cumsum(gap) - gap
    rows = [(int(o), int(d), int(p), 80) for o, d, p in zip(onset, gap, pitch, strict=True)]
    return Score((Track(note_array(rows)),))


def library(scores: list[Score]) -> Rows:
    steps = [lines_of(score)[1] for score in scores]
    count = np.array([len(s) for s in steps])
    return Rows(np.concatenate(steps), np.cumsum(count) - count, count, np.arange(len(steps)))


TUNES = [tune(seed) for seed in range(40)]
ROWS = library(TUNES)


@settings(max_examples=30, deadline=None)
@given(
    which=st.integers(0, 39), at=st.integers(0, 60), size=st.integers(12, 16), key=st.integers(-11, 11),
    tempo=st.floats(0.5, 2.0), error=st.sampled_from(["none", "wrong", "missing", "extra"]), where=st.integers(2, 6),
)  # fmt: skip
def test_a_phrase_is_found_in_any_key_and_tempo_with_an_error(
    which: int, at: int, size: int, key: int, tempo: float, error: str, where: int
) -> None:
    notes, _ = lines_of(TUNES[which])
    part = notes[at : at + size]
    pitches, onsets = (part["pitch"].astype(int) + key).tolist(), (part["second"] * tempo).tolist()
    assume(len(set(np.diff(pitches).tolist())) >= 4)  # where a tune rests on one pitch, others rest as well
    if error == "wrong":
        pitches[where] += 1
    elif error == "missing":
        del pitches[where], onsets[where]
    elif error == "extra":
        pitches.insert(where, pitches[where] + 2)
        onsets.insert(where, (onsets[where - 1] + onsets[where]) / 2)
    hits = find_phrase(Phrase(tuple(pitches), tuple(onsets)), ROWS, 3)
    assert which in [hit.track_id for hit in hits]
    hit = hits[0]
    if error == "none":
        assert hit.cost < 1 and (hit.first_row, hit.last_row) == (at, at + len(part) - 1)


@settings(max_examples=60, deadline=None)
@given(
    asked=st.lists(st.integers(-3, 3), min_size=2, max_size=5),
    text=st.lists(st.sampled_from([-3, -2, -1, 0, 1, 2, 3, BREAK]), min_size=1, max_size=12),
)
def test_the_scan_is_the_recursion(asked: list[int], text: list[int]) -> None:
    @cache
    def cost(j: int, i: int) -> float:
        """Of the first j intervals asked, ending before text row i."""
        if j == 0:
            return 0
        ways = [np.inf]
        if i >= 1 and text[i - 1] != BREAK:
            end = j in (1, len(asked))
            ways.append(cost(j - 1, i - 1) + (0 if text[i - 1] == asked[j - 1] else WRONG if end else ELSE))
            if j >= 2 and asked[j - 1] + asked[j - 2] == text[i - 1]:
                ways.append(cost(j - 2, i - 1) + WRONG)
        if i >= 2 and BREAK not in text[i - 2 : i]:
            if text[i - 1] + text[i - 2] == asked[j - 1]:
                ways.append(cost(j - 1, i - 2) + WRONG)
            if j >= 2 and text[i - 1] + text[i - 2] == asked[j - 1] + asked[j - 2]:
                ways.append(cost(j - 2, i - 2) + WRONG)
        return min(ways)

    table = np.array([[a, 0] for a in asked], dtype=np.int8)
    found = scan(table, np.array([[t, 0] for t in text], dtype=np.int8), timed=False)
    expected = [min(cost(len(asked), i + 1), HOPELESS) for i in range(len(text))]
    assert found.tolist() == expected


def test_lines_are_the_highest_notes_and_of_chords_the_lowest_too() -> None:
    chords = [(t * 480, 400, p, 80) for t in range(6) for p in (48 + t, 60, 64 + t)]
    drums = Track(note_array([(0, 10, 36, 90)] * 1), is_drum=True)
    score = Score((Track(note_array(chords)), drums), tempos=(Tempo(0, 60.0), Tempo(480 * 3, 120.0)))
    notes, steps = lines_of(score)
    assert notes["line"].tolist() == [0] * 6 + [1] * 6
    assert notes["pitch"][:6].tolist() == [64 + t for t in range(6)]
    assert notes["pitch"][6:].tolist() == [48 + t for t in range(6)]
    assert notes["second"][:6].tolist() == [0, 1, 2, 3, 3.5, 4]
    assert notes["bar"][4] == 1.0
    assert steps[:, 0].tolist() == [1, 1, 1, 1, 1, BREAK] * 2


def test_note_names() -> None:
    assert phrase_of_names("C4, e4 G#4 Bb4 60").pitches == (60, 64, 68, 70, 60)
    for text, reason in (("C4", "at least"), ("C4 D4 H4 E4", "no note"), ("C4 D4 G10 A9", "no note")):
        with pytest.raises(UsageError, match=reason):
            phrase_of_names(text)


def test_an_empty_library_is_said() -> None:
    nothing = Rows(np.zeros((0, 2), np.int8), *(np.zeros(0, np.int64),) * 3)
    with pytest.raises(LibraryError, match="no melodic line"):
        find_phrase(Phrase((60, 62, 64, 65)), nothing, 3)
