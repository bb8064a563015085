"""What instruments say of a style: from the styles' own files, by families, and nothing where they were not chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melodygen.classification.instrument_evidence import instrument_evidence
from melodygen.music.score import Score, Track, note_array
from melodygen.styles.loader import built_in_styles

STYLES = tuple(built_in_styles())
PIANOS_AND_LEADS = (*range(8), *range(80, 88))


def band(*programs: int, drums: bool = False) -> Score:
    notes = note_array([(0, 480, 60, 80)])
    tracks = [Track(notes, program, False, "melody", "") for program in programs]
    return Score((*tracks, *((Track(notes, 0, True, "drums", ""),) if drums else ())))


@pytest.mark.parametrize(
    ("programs", "style"),
    [
        ((105, 73, 25, 0), "folk"),
        ((66, 56, 0, 32), "jazz"),
        ((29, 30, 33), "rock"),
        ((40, 42, 68, 60), "classical"),
        ((19, 52), "hymn"),
    ],
    ids=str,
)
def test_a_band_speaks_for_the_style_that_is_played_on_it(programs: tuple[int, ...], style: str) -> None:
    found = instrument_evidence(band(*programs), STYLES)
    assert max(found, key=found.__getitem__) == style and found[style] > 1


@given(st.lists(st.integers(0, 127), min_size=1, max_size=6), st.data())
def test_programs_of_a_family_and_their_number_count_alike(programs: list[int], data: st.DataObject) -> None:
    same = [p // 8 * 8 + data.draw(st.integers(0, 7)) for p in programs]
    found = instrument_evidence(band(*programs), STYLES)
    assert instrument_evidence(band(*same, *programs, drums=True), STYLES) == found
    assert sum(found.values()) == pytest.approx(0, abs=1e-9), "it is measured from the mean of the styles"


def test_instruments_that_no_style_is_played_on_leave_the_verdict_to_the_ears() -> None:
    """Every family at once is likelier as anything than as a band of any style: all styles are spoken for alike."""
    found = instrument_evidence(band(*range(0, 128, 8)), STYLES)
    assert max(found.values()) - min(found.values()) < 1
    few = instrument_evidence(band(29, 30), STYLES)
    assert few["rock"] - min(few.values()) > 1


@given(st.lists(st.sampled_from(PIANOS_AND_LEADS), max_size=4))
def test_pianos_and_leads_say_nothing(programs: list[int]) -> None:
    assert set(instrument_evidence(band(*programs, drums=True), (*STYLES, "tango")).values()) == {0.0}


def test_a_silent_track_and_a_style_without_a_file_say_nothing() -> None:
    silent = Track(note_array([]), 105, False, "melody", "")
    plain = band(33, 25)
    more = Score((*plain.tracks, silent))
    assert instrument_evidence(more, STYLES) == instrument_evidence(plain, STYLES)
    assert instrument_evidence(band(105), ("tango", "folk"))["tango"] == 0.0
