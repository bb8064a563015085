"""Forms: which bars return, and which form a piece of some length has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melodygen.errors import ScoreError
from melodygen.music.form import MIN_USUAL_BARS, Form, form_of, parse_form, usual_form
from melodygen.music.score import Section
from melodygen.styles.loader import built_in_styles

LETTERS = st.text("ABCabc", min_size=1, max_size=12).map(lambda text: "A" + text)


def is_form(text: str) -> bool:
    try:
        return bool(parse_form(text))
    except ScoreError:
        return False


def test_letters_are_read() -> None:
    assert parse_form(" aaba ") == "AABA" and parse_form("AABAaabA") == "AABAaabA"
    assert parse_form("none") == parse_form("None") == ""
    for text in ("", "BA", "A1", "aB", "A" * 27):
        with pytest.raises(ScoreError, match="give 1 to 26 letters that begin with A, like AABA, or none"):
            parse_form(text)
    with pytest.raises(ScoreError, match="b is new music on the chords of B, which must come before it"):
        parse_form("AbB")


@given(LETTERS.filter(is_form), st.integers(1, 16))
def test_each_bar_returns_from_a_bar_at_the_same_place_of_the_same_section(letters: str, size: int) -> None:
    if letters.islower():
        letters = letters.upper()
    form = Form(letters, size)
    bars = form.bars()
    assert len(bars) == size * len(letters) and form_of(form.sections(range(len(letters)))) == letters
    for index, bar in enumerate(bars):
        letter, place = letters[index // size], index % size
        is_first = letter not in letters[: index // size] and letter.isupper()
        closes = index >= len(bars) - form.ending_bars
        assert (bar.source is None) == (is_first or closes)
        if bar.source is not None:
            assert bar.source < index - place, "from an earlier section"
            assert letters[bar.source // size] == letter.upper() and bar.source % size == place
        if bar.is_whole:
            assert letter.isupper() and place < size - form.varied_bars and not closes
        if letter.islower() or (is_first and index >= size):
            assert bar.fresh_from == index - place
    assert bars[0].source is None and not bars[-1].is_whole


@given(LETTERS.filter(is_form).map(parse_form), st.integers(1, 256), st.sampled_from([8, 12]))
def test_a_usual_form_divides_the_piece_and_can_be_asked_for(pattern: str, bars: int, section: int) -> None:
    letters = usual_form(pattern, bars, section)
    if not letters:
        assert bars < MIN_USUAL_BARS or all(
            bars % n or not 3 <= bars // n <= 26 for n in (section, *range(6, 17))
        )
        return
    assert bars >= MIN_USUAL_BARS and bars % len(letters) == 0
    assert 6 <= bars // len(letters) <= 16 and len(letters) >= 3
    assert bars % section or bars // section > 26 or bars // section < 3 or bars // len(letters) == section
    if not letters.islower():
        assert parse_form(letters) == letters


@pytest.mark.parametrize(
    ("style", "bars", "letters"),
    [
        ("jazz", 32, "AABA"), ("jazz", 64, "AABAaabA"), ("pop", 64, "ABABCBAB"), ("blues", 36, "AaA"),
        ("ragtime", 64, "AABBACCD"), ("folk", 50, "AABAB"), ("hymn", 56, "AABAABA"),
        ("jazz", 33, "ABA"), ("hymn", 24, ""), ("rock", 37, ""),
    ],
)  # fmt: skip
def test_styles_have_their_forms(style: str, bars: int, letters: str) -> None:
    known = built_in_styles()[style]
    assert usual_form(known.form, bars, known.dataset.chorus_bars or 8) == letters


def test_sections_of_others_are_no_form() -> None:
    assert form_of(()) == form_of((Section(0, "Verse"), Section(960, "Chorus"))) == ""
    assert form_of((Section(0, "Section A"), Section(960, "Chorus"))) == ""


def test_a_style_that_goes_through_has_no_form() -> None:
    assert usual_form("", 64) == ""
