"""The fallback renderer: sums of sines and noise, without a soundfont or a library.

Instruments differ by their General MIDI family only. The renderer makes every score audible; the shipped
sound is the sampler's.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.audio.buffer import Audio
from melodygen.music.score import Score, Track
from melodygen.music.units import midi_to_hz
from melodygen.rendering import mastering
from melodygen.rendering.mixing import BEND_BLOCK, Desk, Samples, Voice, check_quality, desk

HI_HATS = (42, 44, 46)


@dataclass(frozen=True)
class _Timbre:
    """The timbre of one instrument family.

    Attributes:
        partials: amplitudes of 1, 2, 3 ... times the frequency.
        attack: seconds to full level.
        decay: seconds to fall by 60 dB at middle C; 0 for a sound that does not decay.
        release: seconds to fall by 96 dB after the note.
    """

    partials: tuple[float, ...]
    attack: float
    decay: float
    release: float


_PLUCKED = (1.0, 0.55, 0.35, 0.2, 0.12, 0.08, 0.05)
_BOWED = (1.0, 0.6, 0.45, 0.35, 0.2, 0.15, 0.1, 0.08)
FAMILIES = (
    _Timbre((1.0, 0.5, 0.3, 0.15, 0.1, 0.06), 0.003, 3.0, 0.3),  # piano
    _Timbre((1.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.1), 0.002, 2.0, 0.6),  # chromatic percussion
    _Timbre((1.0, 0.8, 0.4, 0.5, 0.1, 0.2, 0.0, 0.2), 0.01, 0.0, 0.15),  # organ
    _Timbre(_PLUCKED, 0.003, 2.0, 0.25),  # guitar
    _Timbre((1.0, 0.5, 0.25, 0.1), 0.005, 2.5, 0.15),  # bass
    _Timbre(_BOWED, 0.06, 0.0, 0.3),  # strings
    _Timbre(_BOWED, 0.08, 0.0, 0.4),  # ensemble
    _Timbre((0.8, 1.0, 0.8, 0.6, 0.4, 0.3, 0.2), 0.04, 0.0, 0.2),  # brass
    _Timbre((1.0, 0.3, 0.6, 0.2, 0.3, 0.1, 0.1), 0.03, 0.0, 0.15),  # reed
    _Timbre((1.0, 0.25, 0.1, 0.03), 0.04, 0.0, 0.15),  # pipe
    _Timbre((1.0, 0.0, 0.33, 0.0, 0.2, 0.0, 0.14, 0.0, 0.11), 0.005, 0.0, 0.1),  # synth lead
    _Timbre((1.0, 0.5, 0.3, 0.2), 0.3, 0.0, 0.6),  # synth pad
    _Timbre((1.0, 0.4, 0.4, 0.2), 0.05, 3.0, 0.5),  # synth effects
    _Timbre(_PLUCKED, 0.003, 1.5, 0.2),  # folk
    _Timbre((1.0, 0.2, 0.3, 0.0, 0.2), 0.001, 0.6, 0.3),  # percussive
    _Timbre((1.0, 0.7, 0.5, 0.4), 0.01, 1.0, 0.3),  # noises
)
"""One timbre for each General MIDI family of eight programs."""

Layer = tuple[int, bool, int]
"""Family, is_drum, pitch."""


def _drum(key: int, rate: int) -> NDArray[np.float64]:
    """Return one drum by its General MIDI key: skins are falling sines, cymbals bright noise, the rest
    clicks.
    """
    rng = np.random.default_rng(key)
    if key in (35, 36) or key in (41, 43, 45, 47, 48, 50) or key in range(60, 69):
        low = 50.0 if key < 37 else 70.0 * 2 ** ((key - 41) / 12)
        t = np.arange(round(0.45 * rate)) / rate
        phase = 2 * np.pi * (low * t + low * 1.5 * 0.03 * (1 - np.exp(-t / 0.03)))
        return np.sin(phase) * np.exp(-t / 0.1)
    if key in (37, 38, 39, 40):
        t = np.arange(round(0.3 * rate)) / rate
        skin = 0.5 * np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.04)
        return skin + 0.35 * rng.standard_normal(len(t)) * np.exp(-t / 0.06)
    seconds = {42: 0.08, 44: 0.06, 46: 0.5, 49: 1.6, 51: 1.0, 52: 1.4, 53: 0.8, 55: 0.8, 57: 1.6, 59: 1.0}
    t = np.arange(round(seconds.get(key, 0.1) * rate)) / rate
    noise = np.diff(rng.standard_normal(len(t) + 2), n=2) * 0.12
    return noise * np.exp(-t / (seconds.get(key, 0.1) / 4))


class AdditiveBank:
    """Voices of ``FAMILIES`` at one sample rate; nothing is cached."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate

    def layer(self, track: Track, pitch: int, velocity: int) -> Layer:
        """Return (family, is_drum, pitch); velocity changes only the gain."""
        return (0 if track.is_drum else track.program // 8, track.is_drum, pitch)

    def choke_group(self, layer: Hashable) -> int:
        """Return 1 for hi-hats, else 0."""
        assert isinstance(layer, tuple)
        return 1 if layer[1] and layer[2] in HI_HATS else 0

    def voice(self, layer: Hashable, num_held: int, bend: NDArray[np.float64] | None = None) -> Voice:
        """Return the voice of a layer; see ``VoiceBank.voice``."""
        assert isinstance(layer, tuple)
        family, is_drum, pitch = layer
        if is_drum:
            sound = _drum(pitch, self._rate) * 0.5
            return Voice(sound.astype(np.float32)[None], 4 * self._rate)
        timbre = FAMILIES[family]
        release = round(timbre.release * self._rate)
        t = np.arange(num_held + release) / self._rate
        frequency, phase = midi_to_hz(pitch), t
        if bend is not None and len(bend) == 1:
            frequency *= 2 ** (float(bend[0]) / 1200)
        elif bend is not None:
            cents = np.interp(np.arange(len(t)), np.arange(len(bend)) * BEND_BLOCK, bend)
            phase = np.concatenate(([0.0], np.cumsum(2 ** (cents[:-1] / 1200)))) / self._rate
        total = np.zeros(len(t))
        fall = 6.9 / (timbre.decay * 2 ** ((60 - pitch) / 24)) if timbre.decay else 0.0
        for number, amplitude in enumerate(timbre.partials, start=1):
            if amplitude and number * frequency < 0.45 * self._rate:
                wave = np.sin(2 * np.pi * number * frequency * phase)
                total += amplitude * (wave * np.exp(-fall * number**0.5 * t) if fall else wave)
        total *= 0.25 * np.clip(t / timbre.attack, 0.0, 1.0)
        samples: Samples = total.astype(np.float32)[None]
        return Voice(samples, release)


class AdditiveRenderer:
    """Renders without any asset. ``soundfont`` is ignored; all renderers are made with this argument."""

    renderer_id = "additive"

    def __init__(self, soundfont: Path | None = None) -> None:
        del soundfont

    def render(self, score: Score, sample_rate: int = 44_100, quality: str = "full") -> Audio:
        """Return the recording of a score; see ``melodygen.contracts.Renderer``."""
        check_quality(quality)
        return mastering.master(self._desk(score, sample_rate, quality).mix(), sample_rate, quality)

    def render_stems(self, score: Score, sample_rate: int = 44_100) -> tuple[Audio, Iterator[Audio]]:
        """The recording and the stem of each track; see ``melodygen.contracts.StemRenderer``."""
        made = self._desk(score, sample_rate, "full")
        return mastering.master_stems(made.mix, len(made.channels), sample_rate)

    @staticmethod
    def _desk(score: Score, sample_rate: int, quality: str) -> Desk:
        tail = mastering.tail_seconds(quality)
        return desk(score, AdditiveBank(sample_rate), sample_rate, tail, stereo=quality == "full")
