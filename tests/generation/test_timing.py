"""Humanized parts deviate as the fitted takes do: as far, drifting, with chords held together."""

from __future__ import annotations

import numpy as np
import pytest

from melodygen.generation.timing import deviations, models, place_of

QPM = 100.0


def milliseconds(
    quarters: np.ndarray, role: str, strength: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    shift, touch = deviations(quarters, role, QPM, strength, np.random.default_rng(seed))
    return shift * 60_000 / QPM, touch


@pytest.mark.parametrize("role", ["melody", "chords", "bass", "drums"])
def test_deviations_have_the_size_and_the_drift_of_the_takes(role: str) -> None:
    model = models()[role]
    ms, touch = milliseconds(np.arange(8000) / 2, role, 1.0, 1)
    rest = ms - np.array(model.means)[place_of(np.arange(8000) / 2)]
    assert 0.85 * model.drift < rest.std() < 1.1 * model.drift
    assert abs(np.corrcoef(rest[:-1], rest[1:])[0, 1] - model.memory) < 0.08
    assert abs(ms[::2].mean() - model.means[0]) < 2 and abs(ms[1::2].mean() - model.means[1]) < 2
    assert 0.9 * model.loudness < touch.std() < 1.1 * model.loudness
    half, soft = milliseconds(np.arange(8000) / 2, role, 0.5, 1)
    assert np.allclose(half, ms / 2) and np.allclose(soft, touch / 2)


def test_notes_of_a_chord_stay_together_and_a_drummers_hands_do_not() -> None:
    chord = np.repeat(np.arange(16.0), 3)
    ms, _ = milliseconds(chord, "chords", 1.0, 2)
    assert len(np.unique(ms.round(6))) == 16
    hands, _ = milliseconds(chord, "drums", 1.0, 2)
    assert len(np.unique(hands.round(6))) == 48


def test_places_in_the_beat() -> None:
    assert place_of(np.array([0.0, 0.99, 1.01, 0.5, 1.52, 0.25, 2 / 3])).tolist() == [0, 0, 0, 1, 1, 2, 2]
