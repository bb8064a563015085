"""Synthesiser leads that stand for instruments nobody chose are heard on a piano; a console's lines are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melodygen.classification.batch import load_recognizer
from melodygen.classification.recognizer import RecognitionOptions
from melodygen.classification.symbolic import as_heard, leads_are_placeholders
from melodygen.io.midi import write_midi
from melodygen.music.score import Score, Tempo, Track, note_array

LINE = tuple((i * 240, 220, 60 + i % 7, 80) for i in range(64))
CHORDS = tuple((i * 960, 900, pitch, 70) for i in range(16) for pitch in (48, 52, 55))
DRUMS = Track(note_array([(i * 480, 60, 36, 90) for i in range(16)]), 0, True, "drums", "")


def score(*tracks: tuple[tuple[tuple[int, int, int, int], ...], int], drums: bool = False) -> Score:
    made = tuple(Track(note_array(list(rows)), program, False, "melody", "") for rows, program in tracks)
    return Score((*made, *((DRUMS,) if drums else ())), (Tempo(0, 120.0),))


@pytest.mark.parametrize("drums", [False, True])
@pytest.mark.parametrize(
    ("tracks", "expected"),
    [
        (((LINE, 80), (LINE, 81), (LINE, 80)), False),  # three lines: a console can play it
        (((LINE, 80), (LINE, 80), (LINE, 80), (LINE, 80)), True),
        (((LINE, 80), (CHORDS, 80)), True),
        (((LINE, 80), (CHORDS, 0)), False),  # another instrument was chosen
        (((LINE, 80), (CHORDS, 88)), False),
        (((LINE, 80), (CHORDS, 79)), False),
        ((), False),
    ],
)
def test_what_a_console_cannot_play_has_placeholders(tracks: tuple, expected: bool, drums: bool) -> None:  # type: ignore[type-arg]
    assert leads_are_placeholders(score(*tracks, drums=drums)) is expected


def test_grace_notes_make_no_chords() -> None:
    graces = (*LINE, *((i * 2400, 60, 72, 60) for i in range(5)))
    assert not leads_are_placeholders(score((graces, 80)))
    assert leads_are_placeholders(score(((*LINE, *((i * 480, 60, 72, 60) for i in range(20))), 80)))


@given(st.lists(st.integers(0, 127), min_size=1, max_size=5), st.booleans())
def test_only_placeholders_are_heard_on_a_piano(programs: list[int], drums: bool) -> None:
    made = score(*((CHORDS, program) for program in programs), drums=drums)
    heard = as_heard(made)
    if leads_are_placeholders(made):
        made = replace(made, tracks=tuple(t if t.is_drum else replace(t, program=0) for t in made.tracks))
    assert heard.tracks == made.tracks and heard.tempos == made.tempos


@pytest.mark.models
def test_classify_hears_placeholders_as_a_piano_and_says_so(tmp_path: Path) -> None:
    for name, program in (("leads", 80), ("piano", 0)):
        write_midi(tmp_path / f"{name}.mid", score((LINE, program), (CHORDS, program)))
    judge, plain = load_recognizer(), RecognitionOptions(rhythm=False)
    leads, piano = (judge.classify(tmp_path / f"{n}.mid", plain) for n in ("leads", "piano"))
    assert leads.styles == piano.styles and leads.music == piano.music
    assert "it names no instruments but synthesiser leads and was heard on a piano" in leads.notes
    assert not piano.notes
