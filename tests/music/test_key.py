"""The key of notes and signatures: evidence on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from melodygen.io.midi import read_midi, write_midi
from melodygen.io.midi_document import read_midi_document
from melodygen.music.key import estimate_key, key_at_end, key_of
from melodygen.music.score import Chord, KeySignature, Score, Track, note_array
from melodygen.music.spelling import key_fifths

CASES = Path(__file__).parents[1] / "cases"
MAJOR = np.array([4, 0, 2, 0, 3, 2, 0, 4, 0, 2, 0, 1.0])


@pytest.mark.parametrize("name", ["eb_with_C_sig.mid", "eb_no_sig.mid"])
def test_a_default_signature_does_not_beat_the_notes(name: str) -> None:
    key = key_of(read_midi(CASES / name))
    assert key is not None and (key.tonic, key.mode, key.fifths) == (3, "major", -3)


@pytest.mark.parametrize("tonic", range(12))
def test_notes_beat_a_default_and_a_chosen_signature_tells_related_keys_apart(tonic: int) -> None:
    weights = np.roll(MAJOR, tonic)
    assert estimate_key(weights) == estimate_key(weights, KeySignature(0, 0)) == (tonic, "major")
    chosen = KeySignature(0, (tonic + 7) % 12)  # a fifth above, without the raised fourth that would show it
    pentatonic = np.roll(np.array([2, 0, 2, 0, 2, 0, 0, 3, 0, 1, 0, 0.5]), tonic)
    if chosen.fifths:
        assert estimate_key(pentatonic, chosen) == ((tonic + 7) % 12, "major") != estimate_key(pentatonic)


def test_nothing_to_go_by() -> None:
    assert estimate_key(np.ones(12)) is None
    assert estimate_key(np.ones(12), KeySignature(0, 2, "minor")) == (2, "minor")
    assert key_of(Score()) is None


def test_a_piece_that_modulates_ends_in_its_last_key() -> None:
    scale = [0, 2, 4, 5, 7, 9, 11, 12]
    rows = [(i * 480, 480, 60 + step, 90) for i, step in enumerate(scale * 3)]
    rows += [((24 + i) * 480, 480, 62 + step, 90) for i, step in enumerate(scale)]
    signatures = (KeySignature(0, 0), KeySignature(24 * 480, 2))
    score = Score((Track(note_array(rows)),), key_signatures=signatures)
    first, last = key_of(score), key_at_end(score)
    assert first is not None and key_fifths(first.tonic, first.mode) == 0
    assert last is not None and (last.tonic, last.mode) == (2, "major")


def test_the_signature_gives_a_key_its_name() -> None:
    rows = [(i * 480, 480, 66 + step, 90) for i, step in enumerate((0, 4, 7, 11, 12, 5, 2, 0))]
    for fifths in (-6, 6):
        key = key_of(Score((Track(note_array(rows)),), key_signatures=(KeySignature(0, 6, "major", fifths),)))
        assert key is not None and (key.tonic, key.mode, key.fifths) == (6, "major", fifths)


def test_transposed_music_is_spelled_in_its_new_key() -> None:
    rows = [(i * 480, 480, 60 + step, 90) for i, step in enumerate((0, 2, 4, 5, 7, 9, 11, 12))]
    chords = (Chord(0, "C:maj"), Chord(960, "D:min7/A"))
    score = Score((Track(note_array(rows)),), key_signatures=(KeySignature(0, 0),), chords=chords)
    up = score.transposed(4)
    assert up.key_signatures[0].fifths == 4
    assert [c.label for c in up.chords] == ["E:maj", "F#:min7/C#"]
    down = score.transposed(-2)
    assert down.key_signatures[0].fifths == -2
    assert [c.label for c in down.chords] == ["Bb:maj", "C:min7/G"]


def test_transposed_files_spell_their_markers_too(tmp_path: Path) -> None:
    rows = [(i * 480, 480, 60 + step, 90) for i, step in enumerate((0, 2, 4, 5, 7, 9, 11, 12))]
    score = Score(
        (Track(note_array(rows)),), key_signatures=(KeySignature(0, 0),), chords=(Chord(0, "D:min7"),)
    )
    write_midi(tmp_path / "c.mid", score)
    moved = read_midi_document(tmp_path / "c.mid").transposed(4).score
    assert moved.key_signatures[0].fifths == 4 and moved.chords[0].label == "F#:min7"
