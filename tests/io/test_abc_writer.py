"""ABC that is written: read again, by our own reader and by music21, it is the music."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melodygen.errors import ScoreError
from melodygen.io.abc import read_tune, tunes_of
from melodygen.io.abc_writer import abc_text
from melodygen.music.score import Chord, KeySignature, Score, Tempo, TimeSignature, Track, note_array

SIXTEENTH = 120


def melody(seed: int, fifths: int, meter: tuple[int, int] = (4, 4)) -> Score:
    """Sixteenths to halves, one after the other."""
    rng = np.random.default_rng(seed)
    lengths = rng.choice([1, 2, 3, 4, 6, 8], 24)
    onsets = np.cumsum(lengths) - lengths
    pitches = np.clip(67 + np.cumsum(rng.integers(-5, 6, 24)), 40, 92)
    rows = [
        (int(o) * SIXTEENTH, int(n) * SIXTEENTH, int(p), 80)
        for o, n, p in zip(onsets, lengths, pitches, strict=True)
    ]
    tonic = (7 * fifths) % 12
    return Score(
        (Track(note_array(rows), role="melody", name="melody"),), (Tempo(0, 96.0),), (TimeSignature(0, *meter),),
        key_signatures=(KeySignature(0, tonic, "major", fifths),), chords=(Chord(0, "C:maj7"), Chord(960, "D:min7")),
        ticks_per_quarter=480,
    )  # fmt: skip


def sounding(score: Score) -> list[tuple[float, int]]:
    return sorted((n.onset_tick / score.ticks_per_quarter, n.pitch) for t in score.tracks for n in t)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), fifths=st.integers(-6, 6), meter=st.sampled_from([(4, 4), (3, 4), (6, 8)])
)
def test_a_melody_comes_back_note_for_note(seed: int, fifths: int, meter: tuple[int, int]) -> None:
    score = melody(seed, fifths, meter)
    read = read_tune(tunes_of(abc_text(score))[0])
    assert sounding(read) == sounding(score)
    assert str(read.time_signatures[0]) == "{}/{}".format(*meter)
    assert read.key_signatures[0].fifths == fifths
    assert [c.label for c in read.chords][:1] == ["C:maj7"]


def test_music21_reads_the_same_notes() -> None:
    import music21

    score = melody(3, 2)
    found = music21.converter.parse(abc_text(score), format="abc").flatten().stripTies()
    heard = [(float(n.offset), n.pitch.midi) for n in found.notes if isinstance(n, music21.note.Note)]
    assert sorted(heard) == sounding(score)


def test_a_band_has_a_voice_for_each_staff() -> None:
    """Triplets, drums, and a piano on two staves."""
    third = 160
    piano = [(i * 480, 480, p, 70) for i in range(8) for p in (43, 67, 71)]
    score = Score(
        (
            Track(
                note_array([(i * third, third, 72 + i % 3, 80) for i in range(12)]),
                role="melody",
                name="solo",
            ),
            Track(note_array(piano), role="chords", name="piano"),
            Track(
                note_array([(i * 240, 60, 42, 90) for i in range(16)]), is_drum=True, role="drums", name="kit"
            ),
        ),
        (Tempo(0, 120.0),),
        (TimeSignature(0, 4, 4),),
        ticks_per_quarter=480,
    )
    text = abc_text(score)
    assert "(3:2:3" in text and "clef=perc" in text and "%%score 1a1 {2a1 | 2b1} 3a1" in text
    read = read_tune(tunes_of(text)[0])
    pitched = [t for t in score.tracks if not t.is_drum]
    expected = sorted((n.onset_tick / 480, n.pitch) for t in pitched for n in t)
    drums = len(score.tracks[2])
    heard = sounding(read)
    assert len(heard) == len(expected) + drums and set(expected) <= set(heard)


def test_nothing_to_write() -> None:
    with pytest.raises(ScoreError, match="without notes"):
        abc_text(Score(()))
