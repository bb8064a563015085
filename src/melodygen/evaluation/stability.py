"""Changes of a recording that should leave its verdict alone: silence around it, another level, a part of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from melodygen.audio.features import Features
from melodygen.classification.tagger import Tagger

SILENCE_SECONDS = 10.0
EXCERPT_SECONDS = 5.0

Change = Callable[[Features, int], Features]


def _silence(sample_rate: int) -> Features:
    return np.zeros(round(SILENCE_SECONDS * sample_rate), dtype=np.float32)


def middle(mono: Features, sample_rate: int, seconds: float = EXCERPT_SECONDS) -> Features:
    """So many seconds around the middle of mono sound (num_samples,), all of it where it is shorter."""
    size = round(seconds * sample_rate)
    at = max(0, (len(mono) - size) // 2)
    return mono[at : at + size]


CHANGES: dict[str, Change] = {
    "10 s of silence behind": lambda y, rate: np.concatenate((y, _silence(rate))),
    "10 s of silence before": lambda y, rate: np.concatenate((_silence(rate), y)),
    "gain - 20 dB": lambda y, rate: y * np.float32(0.1),
    "gain + 12 dB": lambda y, rate: y * np.float32(4.0),
    "5 s from the middle": middle,
}


def verdicts_after(mono: Features, tagger: Tagger) -> dict[str, str]:
    """The likeliest style after each of ``CHANGES`` of mono sound at the tagger's rate; changes that leave the sound as
    it is are left out. Raises AudioError where nothing sounds."""
    changed = {name: change(mono, tagger.sample_rate) for name, change in CHANGES.items()}
    return {
        name: tagger.tag(sound).styles.top(1)[0][0]
        for name, sound in changed.items()
        if len(sound) != len(mono) or not np.array_equal(sound, mono)
    }


__all__ = ["CHANGES", "middle", "verdicts_after"]
