"""Chords and sections as markers: what players read is there, and what was written comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mido
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pieces import tune

from melodygen.io.markers import chord_flags, label_of
from melodygen.io.midi import read_midi, write_midi
from melodygen.io.midi_document import read_midi_document
from melodygen.music.chord_symbol import QUALITIES
from melodygen.music.harmony import chord_pitch_classes, usual_name
from melodygen.music.score import Chord, Section

ROOTS = ("C", "F#", "Bb", "Eb", "A", "B", "Db", "G#")
NAMES = (
    "A",
    "B",
    "Section A",
    "A1",
    "B2",
    "Coda",
    "Verse",
    "Chorus 2",
    "Fade",
    "Ending",
    "Bridge",
    "Add drums",
)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("F#:min", "F#m"), ("C:maj", "C"), ("Bb:min7", "Bbm7"), ("G:7", "G7"), ("B:hdim7", "Bm7b5"),
        ("D:maj7", "Dmaj7"),
        ("G:7(b9)", "G7(b9)"), ("C:maj(9)", "C(add9)"), ("F:maj/3", "F/A"), ("A:min/b3", "Am/C"), ("N", "N.C."),
        ("not a chord", "not a chord"), ("E:minmaj7", "Emmaj7"),
    ],
)  # fmt: skip
def test_usual_names(label: str, name: str) -> None:
    assert usual_name(label) == name


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_chord_is_read_again_from_its_usual_name(quality: str) -> None:
    for root in ROOTS:
        name = usual_name(f"{root}:{quality}")
        assert ":" not in name and label_of(name) == f"{root}:{quality}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    labels=st.lists(
        st.sampled_from(
            [*(f"{r}:{q}" for r in ROOTS for q in QUALITIES), "N", "C:maj", "C:7(b9)", "F:maj/3"]
        ),
        max_size=6,
    ),
    names=st.lists(st.sampled_from(NAMES), max_size=4),
)
def test_chords_and_sections_come_back(labels: list[str], names: list[str], tmp_path: Path) -> None:
    score = replace(
        tune(8),
        chords=tuple(Chord(1920 * i, label) for i, label in enumerate(labels)),
        sections=tuple(Section(960 + 1920 * i, name) for i, name in enumerate(names)),
    )
    write_midi(tmp_path / "a.mid", score, overwrite=True)
    again = read_midi(tmp_path / "a.mid")
    assert [(s.tick, s.name) for s in again.sections] == [(s.tick, s.name) for s in score.sections]
    assert [c.tick for c in again.chords] == [c.tick for c in score.chords]
    assert [chord_pitch_classes(c.label) for c in again.chords] == [
        chord_pitch_classes(c.label) for c in score.chords
    ]


def test_another_reader_finds_usual_names_in_the_first_track_with_notes(tmp_path: Path) -> None:
    score = replace(
        tune(4), chords=(Chord(0, "F#:min"), Chord(1920, "D:maj")), sections=(Section(0, "Section A"),)
    )
    write_midi(tmp_path / "a.mid", score)
    tracks = mido.MidiFile(tmp_path / "a.mid").tracks
    for track in tracks[:2]:
        assert sorted(m.text for m in track if m.type == "marker") == ["D", "F#m", "Section A"]
    assert not any(m.type == "marker" for track in tracks[2:] for m in track)
    assert any(m.type == "note_on" for m in tracks[1])


def test_a_letter_is_a_section_unless_the_file_has_chords() -> None:
    assert chord_flags(["A", "A", "B", "A", "Coda"]) == [False] * 5
    assert chord_flags(["Am", "F", "C", "G", "Verse"]) == [True, True, True, True, False]
    assert chord_flags(["A:min", "F", "A", "N"]) == [True, False, False, True]
    assert chord_flags(["Bass", "Drums", "Ab", "E"]) == [False, False, True, True]


def test_markers_of_a_file_are_transposed_in_their_own_form(tmp_path: Path) -> None:
    score = replace(
        tune(4), chords=(Chord(0, "A:min"), Chord(1920, "F:maj")), sections=(Section(0, "Section A"),)
    )
    write_midi(tmp_path / "a.mid", score)
    moved = read_midi_document(tmp_path / "a.mid").transposed(2)
    assert [c.label for c in moved.score.chords] == ["B:min", "G:maj"]
    assert [s.name for s in moved.score.sections] == ["Section A"]
    assert b"Bm" in moved.to_bytes() and b":min" not in moved.to_bytes()
