"""One speller: a key's own notes have seven letters, and no key has a name that players do not use."""

from __future__ import annotations

import pytest

from melodygen.music.harmony import chord_label
from melodygen.music.key import key_name, parse_spelled_key
from melodygen.music.score import KeySignature
from melodygen.music.spelling import key_fifths, name_of, pitch_class_of, spell_name, spell_root

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}


@pytest.mark.parametrize("mode", ["major", "minor"])
def test_every_scale_uses_each_letter_once(mode: str) -> None:
    for tonic in range(12):
        fifths = key_fifths(tonic, mode)
        assert -6 <= fifths <= 5
        names = [spell_name((tonic + step) % 12, fifths, mode) for step in SCALES[mode]]
        assert {name[0] for name in names} == set("ABCDEFG")
        assert sum(name.count("#") - name[1:].count("b") for name in names) == fifths


def test_scales_chords_and_keys_as_the_books_have_them() -> None:
    assert [spell_name(p, -4) for p in (8, 10, 0, 1, 3, 5, 7)] == ["Ab", "Bb", "C", "Db", "Eb", "F", "G"]
    assert (key_fifths(1, "minor"), key_fifths(6, "minor"), key_fifths(3, "minor")) == (4, 3, -6)
    assert chord_label(6, "min7", 4) == "F#:min7"  # in E major
    assert spell_name(8, 0, "minor") == "G#" and spell_name(8, 0, "major") == "Ab"  # leading tone; borrowed
    assert spell_name(2, -6, "minor") == "D" and spell_name(7, 5, "minor") == "F##"


@pytest.mark.parametrize(
    ("text", "name", "fifths"),
    [
        ("Gb", "Gb major", -6), ("F#", "F# major", 6), ("C Major", "C major", 0), ("C MINOR", "C minor", -3),
        ("F♯ Minor", "F# minor", 3), ("Ebm", "Eb minor", -6), ("D#m", "D# minor", 6), ("e♭", "Eb major", -3),
        ("B flat minor", "Bb minor", -5), ("G# major", "Ab major", -4), ("Cb", "Cb major", -7),
    ],
)  # fmt: skip
def test_a_key_keeps_the_name_it_was_given(text: str, name: str, fifths: int) -> None:
    tonic, mode, found = parse_spelled_key(text)
    assert found == fifths
    assert key_name((tonic, mode), found) == name
    assert KeySignature(0, tonic, mode, found).fifths == fifths


@pytest.mark.parametrize("fifths", range(-7, 8))
def test_roots_of_the_scale_are_its_notes_and_others_are_plain(fifths: int) -> None:
    scale = {pitch_class_of(place): place for place in range(fifths - 1, fifths + 6)}
    for mode in ("major", "minor"):
        for pitch_class in range(12):
            root = spell_root(pitch_class, fifths, mode)
            assert root == scale.get(pitch_class, root)
            assert -8 <= root <= 12 and (pitch_class in scale or -7 <= root <= 11)
    assert name_of(spell_root(8, 0, "minor")) == "G#" and name_of(spell_root(1, 0)) == "Db"
    assert name_of(spell_root(0, 5, "minor")) == "C" and name_of(spell_root(11, -6)) == "Cb"
