"""Tunes by ear: a voice that glides, repeats notes and sings out of tune; recordings of one voice, and of several."""

from __future__ import annotations

import numpy as np
import pytest

from melodygen.errors import LibraryError
from melodygen.library.hum import SAMPLE_RATE, notes_of_contour, phrase_of_hum
from melodygen.library.lines import BREAK, Phrase
from melodygen.library.phrase import find_phrase
from melodygen.library.pitch import has_swift_f0, pitch_contour
from melodygen.library.rows import Rows
from melodygen.library.tune import tune_of_sound

needs_swift_f0 = pytest.mark.skipif(not has_swift_f0(), reason="swift-f0 is not installed")
PITCHES = (57, 57, 60, 62, 64, 62, 60, 57, 55, 57)


def voice(pitches: tuple[int, ...], seconds: float = 0.45, cents: float = 0.0) -> np.ndarray:
    """One voice with overtones: it glides into each note, and repeated notes are attacked anew without a gap."""
    frames = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch, level, before = [], [], float(pitches[0])
    for number, p in enumerate(pitches):
        vibrato = 0.25 * np.sin(2 * np.pi * 5.5 * frames) * (frames > 0.2)
        pitch.append(p + (before - p) * np.exp(-frames / 0.015) + vibrato)
        level.append(np.clip(frames / 0.06, 0.15 if number else 0.0, 1.0))
        before = p
    hertz = 440 * 2 ** ((np.concatenate(pitch) + cents / 100 - 69) / 12)
    phase = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE
    tone = sum(np.sin(k * phase) / k**1.5 for k in range(1, 7))
    return (0.2 * tone * np.concatenate(level)).astype(np.float32)


@pytest.mark.parametrize(
    ("swift", "cents"),
    [
        pytest.param(True, 0.0, marks=needs_swift_f0),
        pytest.param(True, -45.0, marks=needs_swift_f0),
        (False, -45.0),  # pYIN takes seconds
    ],
)
def test_a_gliding_voice_out_of_tune_is_heard_note_by_note(swift: bool, cents: float) -> None:
    heard = notes_of_contour(pitch_contour(voice(PITCHES, cents=cents), swift))
    assert np.diff([p for p, _ in heard]).tolist() == np.diff(PITCHES).tolist()
    assert np.allclose(np.diff([s for _, s in heard]), 0.45, atol=0.08)


def test_no_voice_is_no_phrase() -> None:
    with pytest.raises(LibraryError, match="silent"):
        phrase_of_hum(np.zeros(3 * SAMPLE_RATE, np.float32))
    with pytest.raises(LibraryError, match="one note"):
        phrase_of_hum(voice((60,), 2.0))
    noise = np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32) * 0.1
    with pytest.raises(LibraryError, match="can be made out"):
        phrase_of_hum(noise)


@needs_swift_f0
def test_the_tune_of_a_lone_voice_is_kept_and_found() -> None:
    pause = np.zeros(4 * SAMPLE_RATE, np.float32)
    notes, steps = tune_of_sound(np.concatenate((voice(PITCHES), pause, voice(PITCHES[::-1]))), 120.0, (3, 4))
    assert (steps[:, 0] == BREAK).sum() == 2 and set(notes["line"].tolist()) == {0, 1}
    first = notes[notes["line"] == 0]
    assert first["bar"][-1] == pytest.approx(first["second"][-1] * 2 / 3)
    rows = Rows(steps, np.array([0]), np.array([len(steps)]), np.array([7]))
    hit = find_phrase(Phrase(tuple(p + 5 for p in PITCHES[2:])), rows, 1)[0]
    assert hit.track_id == 7 and hit.cost == 0


@needs_swift_f0
def test_where_several_voices_sound_no_tune_is_made_up() -> None:
    together = (
        voice(PITCHES) + voice(tuple(p + 7 for p in PITCHES[::-1])) + voice(tuple(p - 8 for p in PITCHES))
    )
    for sound in (together, np.zeros(5 * SAMPLE_RATE, np.float32), np.zeros(10, np.float32)):
        notes, steps = tune_of_sound(sound, None, None)
        assert len(notes) == len(steps) == 0
