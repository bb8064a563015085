"""Chord labels, keys, and harmony heard from notes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pieces import tune

from melodygen.analysis.chords import harmonise
from melodygen.errors import ScoreError
from melodygen.music.harmony import (
    CHORD_QUALITIES,
    chord_label,
    chord_pitch_classes,
    parse_chord,
    transpose_label,
)
from melodygen.music.key import estimate_key, key_name, parse_key
from melodygen.music.score import Score, Track, note_array
from melodygen.tokens.grid import score_to_piece
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES


def test_tokens_and_labels_know_the_same_qualities() -> None:
    assert tuple(CHORD_QUALITIES) == CHORD_QUALITY_NAMES
    for root in range(12):
        for quality in CHORD_QUALITIES:
            assert parse_chord(chord_label(root, quality)) == (root, quality)


@pytest.mark.parametrize(
    ("label", "parsed"),
    [
        ("Bb:min7", (10, "min7")), ("N", None), ("N.C.", None), ("C", (0, "maj")), ("Bbm7", (10, "min7")),
        ("F#ø", (6, "hdim7")), ("G7/B", (7, "7")), ("Ab:maj7/3", (8, "maj7")), ("C6/9", (0, "maj6")),
        ("Cb:maj", (11, "maj")), ("G:7(b9)", (7, "7")), ("E-7", (4, "min7")), ("D^7", (2, "maj7")),
        ("Gsus", (7, "sus4")), ("  A:min ", (9, "min")), ("B##", (1, "maj")),
    ],
)  # fmt: skip
def test_labels_people_write(label: str, parsed: tuple[int, str] | None) -> None:
    assert parse_chord(label) == parsed


@pytest.mark.parametrize("label", ["", "H:7", "C:blue", "c", "7"])
def test_labels_that_mean_nothing(label: str) -> None:
    with pytest.raises(ScoreError, match="chord"):
        parse_chord(label)


def test_pitch_classes_and_transposition_agree() -> None:
    assert chord_pitch_classes("G:7") == {7, 11, 2, 5}
    assert chord_pitch_classes("N") == frozenset()
    for shift in range(-12, 13):
        moved = chord_pitch_classes(transpose_label("Eb:min7", shift))
        assert moved == {(p + shift) % 12 for p in chord_pitch_classes("Eb:min7")}
    assert transpose_label("N", 3) == "N"


def test_keys_are_read_and_named() -> None:
    for text, key in {
        "C": (0, "major"), "Am": (9, "minor"), "F# minor": (6, "minor"), "Bb:min": (10, "minor"),
        "e♭": (3, "major"), "Cb": (11, "major"), " g  major ": (7, "major"),
    }.items():  # fmt: skip
        assert parse_key(text) == key
    for tonic in range(12):
        for mode in ("major", "minor"):
            assert parse_key(key_name((tonic, mode))) == (tonic, mode)
    for text in ("", "H", "C dorian", "Cmm"):
        with pytest.raises(ScoreError, match="is not known"):
            parse_key(text)


def test_keys_are_heard_in_every_transposition() -> None:
    major = np.array([4, 0, 2, 0, 3, 2, 0, 4, 0, 2, 0, 1.0])
    minor = np.array([4, 0, 2, 3, 0, 2, 0, 4, 2, 0, 1, 1.0])
    for tonic in range(12):
        assert estimate_key(np.roll(major, tonic)) == (tonic, "major")
        assert estimate_key(np.roll(minor, tonic)) == (tonic, "minor")
    assert estimate_key(np.zeros(12)) is None
    assert estimate_key(np.ones(12)) is None


def blocks(*chords: tuple[int, ...]) -> Score:
    rows = [(i * 1920, 1920, p, 80) for i, pitches in enumerate(chords) for p in pitches]
    return Score((Track(note_array(rows), role="chords"),))


def test_clear_chords_are_heard() -> None:
    score = blocks((48, 52, 55), (45, 52, 57, 60), (50, 53, 57, 60), (43, 50, 53, 59))
    heard = [b.chords for b in harmonise(score_to_piece(score)).bars]
    names = [[(root, CHORD_QUALITY_NAMES[q]) for _, root, q in chords] for chords in heard]
    assert names == [[(0, "maj")], [(9, "min")], [(2, "min7")], [(7, "7")]]


def test_symbols_that_are_there_stay_and_a_single_voice_gets_none() -> None:
    marked = score_to_piece(tune(4))
    assert harmonise(marked) == marked
    alone = score_to_piece(replace(tune(4, roles=("melody",)), chords=()))
    assert harmonise(alone) == alone
    drums = score_to_piece(replace(tune(4, roles=("drums",)), chords=()))
    assert harmonise(drums) == drums
