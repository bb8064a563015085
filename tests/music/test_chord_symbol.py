"""Chord symbols as people write them; nothing of them is dropped."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from melodygen.errors import ScoreError
from melodygen.music.chord_symbol import QUALITIES, ChordSymbol, read_chord_symbol, semitones_of
from melodygen.music.spelling import name_of, pitch_class_of

WRITTEN = {
    "CmMaj7": "C:minmaj7", "C-Δ7": "C:minmaj7", "Cm(maj7)": "C:minmaj7", "CminM7": "C:minmaj7", "CΔ": "C:maj7",
    "C2": "C:maj(9)", "Cadd9": "C:maj(9)", "C(9)": "C:maj(9)", "C4": "C:sus4", "C5": "C:maj(*3)",
    "Cm7-5": "C:hdim7", "Cm7(b5)": "C:hdim7", "C-7b5": "C:hdim7", "F♯ø": "F#:hdim7", "Cø7": "C:hdim7",
    "C7-9": "C:7(b9)", "C7(♭9)": "C:7(b9)", "C7+5": "C:aug7", "C+7": "C:aug7", "C7#5#9": "C:aug7(#9)",
    "A7b13": "A:7(b13)", "Gm7add11": "G:min7(11)", "D7(sus4)": "D:7sus4", "D7sus": "D:7sus4",
    "C♯m": "C#:min", "E♭7": "Eb:7", "B♭maj7": "Bb:maj7", "C°7": "C:dim7", "CMAJ7": "C:maj7", "CMIN7": "C:min7",
    "CMI7": "C:min7", "CMA7": "C:maj7", "CM7": "C:maj7", "Cm7": "C:min7", "C6/9": "C:maj6(9)",
    "C6/9/E": "C:maj6(9)/E", "C7b5": "C:7(*5,b5)", "Cmaj7#5": "C:aug(7)", "C13": "C:13", "C9": "C:9",
    "Cm11": "C:min9(11)", "C11": "C:7sus4(9)", "C7alt": "C:7(#9,b9,b13)", "Cmaj7(#11)": "C:maj7(#11)",
    "D/F#": "D:maj/F#", "C:(1,b3,5)": "C:min", "Bb:min7/b3": "Bb:min7/b3",
}  # fmt: skip


@pytest.mark.parametrize(("text", "label"), WRITTEN.items())
def test_symbols_people_write(text: str, label: str) -> None:
    symbol = read_chord_symbol(text)
    assert symbol is not None and symbol.label == label
    assert read_chord_symbol(label) == symbol  # the label says the same


@pytest.mark.parametrize("text", ["N", "N.C.", "NC", "n.c.", "X"])
def test_no_chord(text: str) -> None:
    assert read_chord_symbol(text) is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Cwat", "wat"),
        ("Cm7b5x", "x"),
        ("C7(b9", "bracket"),
        ("H7", "root"),
        ("", "root"),
        ("C7/H", "/H"),
        ("C77", "7"),
    ],
)
def test_what_is_not_understood_is_named(text: str, part: str) -> None:
    with pytest.raises(ScoreError, match="chord") as caught:
        read_chord_symbol(text)
    assert part in str(caught.value) and "Cm7" in str(caught.value)


degrees = st.sampled_from(["b9", "9", "#9", "11", "#11", "b13", "13", "6"])


@given(st.integers(-7, 9), st.sampled_from(list(QUALITIES)), st.lists(degrees, unique=True, max_size=2))
def test_a_label_holds_every_tone_and_is_read_back(root: int, quality: str, added: list[str]) -> None:
    numbers = [d.lstrip("#b").replace("6", "13") for d in added] + [n for n in ("9", "13") if n in quality]
    numbers += ["13"] if "6" in quality else []
    assume(len(set(numbers)) == len(numbers))  # an altered ninth takes the place of the ninth
    symbol = read_chord_symbol(f"{name_of(root)}:{quality}" + (f"({','.join(added)})" if added else ""))
    assert isinstance(symbol, ChordSymbol) and symbol.root_pitch_class == pitch_class_of(root)
    tones = set(QUALITIES[symbol.quality]) | {semitones_of(d) for d in symbol.added}
    tones -= {semitones_of(d) for d in symbol.omitted}
    assert tones == set(QUALITIES[quality]) | {semitones_of(d) for d in added}
    again = read_chord_symbol(symbol.label)
    assert again is not None and again.label == symbol.label
