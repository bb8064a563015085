"""Draft renders: quick, mono, and at the rate of the renders that the style CNN learned from."""

from __future__ import annotations

from melodygen.audio.buffer import Audio
from melodygen.contracts import Renderer
from melodygen.music.score import Score

DRAFT_SAMPLE_RATE = 22_050


def render_draft(score: Score, renderer: Renderer) -> Audio:
    """Return the sound of a score as classifiers hear it: mono at 22,050 Hz."""
    return renderer.render(score, DRAFT_SAMPLE_RATE, "draft")


__all__ = ["DRAFT_SAMPLE_RATE", "render_draft"]
