"""Synthetic sounds that are no music (noises, tones, speech joined from utterances), for training the music
head.

Everything is mono at a given rate, at a level of about -20 dBFS, and random only through the given generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

from melodygen.audio.features import Features

Rng = np.random.Generator
Sound = NDArray[np.float64]


def coloured(rng: Rng, size: int, slope: float) -> Sound:
    """Return noise whose power falls by ``slope`` dB an octave: 0 white, 3 pink, 6 brown; negative slopes
    rise.
    """
    spectrum = np.fft.rfft(rng.standard_normal(size))
    spectrum[0] = 0.0
    frequency = np.maximum(np.arange(len(spectrum)), 1.0)
    return np.asarray(np.fft.irfft(spectrum * frequency ** (-slope / 6.02), size))


def _noise(rng: Rng, size: int, rate: int) -> Sound:
    return coloured(rng, size, float(rng.uniform(-3, 7)))


def _band(rng: Rng, size: int, rate: int) -> Sound:
    low = float(np.exp(rng.uniform(np.log(60), np.log(1500))))
    high = min(low * float(rng.uniform(1.3, 8)), 0.45 * rate)
    return np.asarray(
        sosfilt(butter(4, (low, high), "bandpass", fs=rate, output="sos"), rng.standard_normal(size))
    )


def _wind(rng: Rng, size: int, rate: int) -> Sound:
    points = np.arange(0, size / rate + 1.4, 0.7)
    swell = np.interp(np.arange(size) / rate, points, rng.uniform(0.1, 1, len(points)))
    return coloured(rng, size, float(rng.uniform(3, 7))) * swell**2


def _hum(rng: Rng, size: int, rate: int) -> Sound:
    base, t = float(rng.choice((50, 60, 100, 120, rng.uniform(40, 400)))), np.arange(size) / rate
    sound = sum(
        float(rng.uniform(0, 1)) / k * np.sin(2 * np.pi * base * k * t + rng.uniform(0, 6.3))
        for k in range(1, 12)
        if base * k < rate / 2
    )
    return np.asarray(sound) + 0.02 * rng.uniform(0, 1) * rng.standard_normal(size)


def _tone(rng: Rng, size: int, rate: int) -> Sound:
    t = np.arange(size) / rate
    start, end = np.exp(rng.uniform(np.log(100), np.log(3500), 2))
    if rng.random() < 0.5:
        end = start
    phase = 2 * np.pi * np.cumsum(np.linspace(start, end, size)) / rate
    sound = np.sin(phase) if rng.random() < 0.7 else np.sign(np.sin(phase))
    if rng.random() < 0.5:  # beeps
        sound = sound * (np.mod(t * rng.uniform(0.4, 4), 1) < rng.uniform(0.2, 0.8))
    return np.asarray(sound) + 0.003 * rng.standard_normal(size)


def _clicks(rng: Rng, size: int, rate: int) -> Sound:
    sound = np.zeros(size)
    count = max(1, round(float(np.exp(rng.uniform(np.log(1), np.log(60)))) * size / rate))
    sound[rng.integers(0, size, count)] = rng.normal(0, 1, count)
    decay = np.exp(-np.arange(rate // 10) / (rate * rng.uniform(0.001, 0.02))) * rng.standard_normal(
        rate // 10
    )
    return np.asarray(fftconvolve(sound, decay)[:size]) + 1e-3 * rng.standard_normal(size)


def _machine(rng: Rng, size: int, rate: int) -> Sound:
    t = np.arange(size) / rate
    pulse = 0.5 + 0.5 * np.sin(2 * np.pi * float(rng.uniform(3, 30)) * t)
    return coloured(rng, size, float(rng.uniform(0, 6))) * pulse ** float(rng.uniform(1, 6))


def _telephone(rng: Rng, size: int, rate: int) -> Sound:
    """Ringing, busy and dialling tones: one or two frequencies, on and off."""
    t = np.arange(size) / rate
    pairs = (
        (440, 480),
        (480, 620),
        (350, 440),
        (425, 425),
        (400, 450),
        (770, 1336),
        (852, 1209),
        (941, 1477),
        (1000, 1000),
    )
    low, high = pairs[int(rng.integers(len(pairs)))]
    on, off = float(rng.uniform(0.08, 2.0)), float(rng.uniform(0.05, 3.0))
    gate = np.mod(t + rng.uniform(0, on), on + off) < on
    tone = np.sin(2 * np.pi * low * t) + np.sin(2 * np.pi * high * t)
    return np.asarray(tone * gate + 0.01 * rng.uniform(0, 1) * rng.standard_normal(size))


def _siren(rng: Rng, size: int, rate: int) -> Sound:
    """A pitch that swings or jumps between two frequencies, plain or buzzing."""
    t = np.arange(size) / rate
    low = float(rng.uniform(300, 1500))
    high = low * float(rng.uniform(1.15, 2.5))
    swing = 0.5 + 0.5 * np.sin(2 * np.pi * float(rng.uniform(0.1, 6)) * t)
    swing = np.round(swing) if rng.random() < 0.5 else swing
    sound = np.sin(2 * np.pi * np.cumsum(low + (high - low) * swing) / rate)
    return np.asarray(np.sign(sound) * 0.5 if rng.random() < 0.4 else sound)


def _birds(rng: Rng, size: int, rate: int) -> Sound:
    """Short chirps over a soft noise."""
    sound = 0.02 * coloured(rng, size, 3.0)
    top = min(7_000.0, 0.42 * rate)
    at = 0
    while at < size:
        length = min(size - at, round(float(rng.uniform(0.03, 0.25)) * rate))
        start, end = rng.uniform(0.3 * top, top, 2)
        phase = np.cumsum(np.linspace(start, end, length)) * 2 * np.pi / rate
        sound[at : at + length] += np.sin(phase) * np.hanning(length) * float(rng.uniform(0.2, 1))
        at += length + round(float(rng.exponential(0.2)) * rate)
    return sound


NOISES: dict[str, Callable[[Rng, int, int], Sound]] = {
    "noise": _noise, "band": _band, "wind": _wind, "hum": _hum, "tone": _tone, "clicks": _clicks, "machine": _machine,
    "telephone": _telephone, "siren": _siren, "birds": _birds,
}  # fmt: skip


def make_noise(kind: str, rng: Rng, seconds: float, rate: int) -> Features:
    """Return ``seconds`` of one kind of ``NOISES`` at ``rate`` Hz."""
    return levelled(NOISES[kind](rng, round(seconds * rate), rate))


def make_speech(
    utterances: Sequence[Features], rng: Rng, seconds: float, rate: int, vary: bool = True
) -> Features:
    """Return utterances one after another with pauses, ``seconds`` long.

    Args:
        utterances: mono recordings of speech at ``rate``.
        rng: random generator.
        seconds: length of the result.
        rate: sample rate in Hz.
        vary: change the pitch of the voice, add a room and noise, and sometimes a second voice.
    """
    size = round(seconds * rate)
    sound = _strung(utterances, rng, size, rate, vary)
    if not vary:
        return levelled(sound)
    if rng.random() < 0.15:
        sound = sound + float(rng.uniform(0.2, 1)) * _strung(utterances, rng, size, rate, vary)
    if rng.random() < 0.5:
        tail = rng.standard_normal(rate // 2) * np.exp(
            -np.arange(rate // 2) / (rate * rng.uniform(0.02, 0.15))
        )
        tail *= float(rng.uniform(0.02, 0.3)) / np.sqrt((tail**2).sum())
        tail[0] += 1
        sound = fftconvolve(sound, tail)[:size]
    if rng.random() < 0.6:
        noise = levelled(coloured(rng, size, float(rng.uniform(0, 6))))
        sound = levelled(sound) + noise * 10 ** (rng.uniform(-50, -8) / 20)
    return levelled(sound)


def _strung(utterances: Sequence[Features], rng: Rng, size: int, rate: int, vary: bool) -> Sound:
    sound = np.zeros(size)
    at = round(rng.uniform(0, 0.4) * rate)
    steps = int(rng.integers(15, 27)) if vary else 20
    while at < size:
        spoken = np.asarray(utterances[int(rng.integers(len(utterances)))], dtype=np.float64)
        if steps != 20:
            spoken = resample_poly(spoken, steps, 20)
        part = spoken[: size - at]
        sound[at : at + len(part)] += part
        at += len(part) + round(rng.uniform(0.05, 0.7) * rate)
    return sound


def levelled(sound: NDArray[np.floating]) -> Features:
    """Return the sound at -20 dBFS (RMS)."""
    rms = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    return np.asarray(sound * (0.1 / max(rms, 1e-9)), dtype=np.float32)


__all__ = ["NOISES", "coloured", "levelled", "make_noise", "make_speech"]
