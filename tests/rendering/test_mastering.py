"""Stems: they sum to the recording, whatever limiter, reverb and moving levels do to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from melodygen.contracts import StemRenderer
from melodygen.music.score import EXPRESSION, PAN, Score, Track, control_array
from melodygen.rendering import mastering
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.rendering.sampler import SamplerRenderer


def loud_band() -> Score:
    """Chords struck together so that the limiter has to work, a drum among them, and one track that moves."""
    chord = [(beat * 480, 400, pitch, 127) for beat in range(8) for pitch in (48, 55, 60, 64, 67)]
    drums = [(beat * 480, 60, 36, 127) for beat in range(8)]
    moves = control_array(
        [(0, EXPRESSION, 40.0), (960, EXPRESSION, 127.0), (480, PAN, 10.0), (1920, PAN, 120.0)]
    )
    return Score(
        (
            Track(chord, 0, role="chords"),
            Track([(0, 3600, 72, 100)], 56, role="melody", controls=moves),
            Track(drums, is_drum=True, role="drums"),
        )
    )


@pytest.mark.parametrize("make", [AdditiveRenderer, SamplerRenderer])
def test_stems_sum_to_the_recording(
    make: type[AdditiveRenderer] | type[SamplerRenderer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mastering, "CEILING_DBFS", -12.0)  # so that the limiter has work
    renderer, score = make(), loud_band()
    assert isinstance(renderer, StemRenderer)
    mix, stems = renderer.render_stems(score, 22_050)
    parts = [stem.samples for stem in stems]
    assert np.array_equal(mix.samples, renderer.render(score, 22_050).samples)
    assert len(parts) == 3 and all(np.abs(part).max() > 0.01 for part in parts)
    assert np.abs(np.sum(parts, axis=0) - mix.samples).max() < 1e-5
    assert np.abs(mix.samples).max() == pytest.approx(10 ** (-12 / 20), rel=0.02)


def test_stems_of_fluidsynth_sum_too(tmp_path: Path) -> None:
    from melodygen.errors import RenderError
    from melodygen.rendering.fluidsynth import FluidSynthRenderer

    try:
        renderer = FluidSynthRenderer()
    except RenderError as error:
        pytest.skip(str(error))
    mix, stems = renderer.render_stems(loud_band(), 22_050)
    total = np.sum([stem.samples for stem in stems], axis=0)
    level_db = 20 * np.log10(np.std(total) / np.std(mix.samples))
    assert abs(level_db) < 0.1 and np.std(total - mix.samples) < 0.01 * np.std(mix.samples)
