"""Keys and chords keep the names that they were asked for by."""

from __future__ import annotations

import pytest

from melodygen.generation.naming import chord_notes, named_as_asked
from melodygen.music.score import Chord, KeySignature, Score, Track, note_array
from melodygen.request import Request


def written(*labels: str, tonic: int = 6) -> Score:
    notes = note_array([(0, 1920 * 2, 66, 90)])
    chords = tuple(Chord(i * 960, label) for i, label in enumerate(labels))
    return Score((Track(notes, role="melody"),), key_signatures=(KeySignature(0, tonic),), chords=chords)


@pytest.mark.parametrize(
    ("key", "fifths", "labels"),
    [("Gb", -6, ["Gb:maj", "Cb:maj", "N"]), ("F#", 6, ["F#:maj", "B:maj", "N"])],
)
def test_a_key_with_two_names_keeps_its_own_and_chords_follow(
    key: str, fifths: int, labels: list[str]
) -> None:
    named = named_as_asked(written("Gb:maj", "B:maj", "N"), Request.of("pop", key=key))
    assert named.key_signatures[0].fifths == fifths
    assert [c.label for c in named.chords] == labels


def test_chords_keep_what_was_asked_beyond_the_models_qualities() -> None:
    request = Request.of("pop", bars=2, chords="C7#9 Cm7(b5) | Gm7add11 N.C.")
    assert request.chords == (("C:7(#9)", "C:hdim7"), ("G:min7(11)", "N"))
    named = named_as_asked(written("C:7", "C:hdim7", "G:min7", "N", tonic=0), request)
    assert [c.label for c in named.chords] == ["C:7(#9)", "C:hdim7", "G:min7(11)", "N"]
    notes = chord_notes(request)
    assert len(notes) == 2 and "C:7(#9) is played as C:7" in notes[0]


def test_what_was_given_keeps_its_names() -> None:
    score = written("A#:maj")
    assert named_as_asked(score, Request("pop", given=score)) is score
