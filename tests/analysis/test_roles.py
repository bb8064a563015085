"""Who plays what: names, programs, ranges; keyboards split into hands."""

from __future__ import annotations

import pytest

from melodygen.analysis.roles import assign_roles, is_blocks, polyphony, split_bass
from melodygen.music.score import Chord, Score, Track, note_array


def line(base: int, name: str = "", program: int = 0, count: int = 16, drum: bool = False) -> Track:
    rows = [(i * 240, 240, base + (i * 5) % 12, 80) for i in range(count)]
    return Track(note_array(rows), program, drum, "other", name)


def chords(base: int, name: str = "", program: int = 0) -> Track:
    rows = [(i * 480, 480, base + p, 80) for i in range(8) for p in (0, 4, 7)]
    return Track(note_array(rows), program, False, "other", name)


def roles(*tracks: Track) -> list[str]:
    return [t.role for t in assign_roles(Score(tracks)).tracks]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Lead Vocals", "melody"), ("MELODY", "melody"), ("Violin I", "melody"), ("Acoustic Bass", "bass"),
        ("Violoncello", "bass"), ("Piano left", "chords"), ("Rhythm Guitar", "chords"), ("Viola", "chords"),
        ("bass guitar", "bass"), ("Counter melody", "other"), ("Bridge", "other"),
    ],
)  # fmt: skip
def test_names_say_it(name: str, role: str) -> None:
    assert roles(line(60, name), line(72, "Melody"))[0] == role


def test_without_names_range_and_polyphony_say_it() -> None:
    assert roles(chords(55), line(72), line(36), line(40, drum=True)) == ["chords", "melody", "bass", "drums"]
    assert roles(line(36, program=33), line(67, program=56)) == ["bass", "melody"]


def test_the_drum_channel_is_stronger_than_any_name() -> None:
    assert roles(line(36, "Melody", drum=True), line(72)) == ["drums", "melody"]
    assert roles(line(48, "Timpani percussion"), line(72, "tune"))[0] != "drums"


def test_one_voice_is_the_melody_and_silent_tracks_go() -> None:
    assert roles(line(40)) == ["melody"]
    assert roles(Track(name="Melody"), line(72)) == ["melody"]
    assert roles() == []


def test_a_keyboard_is_split_into_bass_and_chords_and_loses_no_note() -> None:
    rows = []
    for i in range(8):
        rows += [(i * 960, 480, 36 + i % 3, 80), *((i * 960 + 480, 480, p, 80) for p in (60, 64, 67))]
    keyboard = Track(note_array(rows), name="Piano")
    given = Score((line(72, "Melody"), keyboard))
    assigned = assign_roles(given)
    assert [t.role for t in assigned.tracks] == ["melody", "chords", "bass"]
    assert sorted(n for t in assigned.tracks for n in t) == sorted(n for t in given.tracks for n in t)
    assert assigned.tracks[2].name == "Piano bass"
    assert split_bass(chords(60)) == [chords(60)]


def test_block_chords_of_a_lead_sheet_are_told_from_playing() -> None:
    blocks = chords(60, "Chords")
    markers = tuple(Chord(i * 480, "C:maj") for i in range(8))
    assert is_blocks(blocks, Score((blocks,), chords=markers))
    assert not is_blocks(blocks, Score((blocks,)))
    assert not is_blocks(blocks, Score((blocks,), chords=markers[:2]))
    assert not is_blocks(line(60), Score((line(60),), chords=markers))
    assert polyphony(blocks) == 3.0
    assert polyphony(Track()) == 0.0
