"""The last step of rendering: reverb, loudness, peak limit and the fade of the tail.

``full`` is stereo at -16 LUFS with no sample above -1 dBFS. ``draft`` is mono and dry at an RMS of -20 dBFS.
Arrays are float32 of shape (channels, num_samples).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import butter, sosfilt

from melodygen.audio.buffer import Audio
from melodygen.audio.loudness import integrated_loudness
from melodygen.rendering.mixing import Mix, Samples

TARGET_LUFS = -16.0
CEILING_DBFS = -1.5
"""Ceiling of the limiter. The promise is -1 dBFS; peaks between samples need the remaining half dB."""
DRAFT_RMS_DBFS = -20.0
TAIL_SECONDS = {"full": 3.0, "draft": 0.5}
"""Time after the last note, by quality."""
FADE_SECONDS = {"full": 1.2, "draft": 0.2}
REVERB_DB = -13.0
"""Level of the reverb."""
REVERB_SECONDS = 2.2
LIMITER_BLOCK = 32
LIMITER_PIECE = LIMITER_BLOCK * 8192
LOOKAHEAD_SECONDS = 0.004
RELEASE_SECONDS = 0.4
"""Time in which the limiter's gain rises from silence to full; after a peak 3 dB too high it takes a third of
it.
"""


def tail_seconds(quality: str) -> float:
    """Return how many seconds the recording goes on after the last note."""
    return TAIL_SECONDS[quality]


@lru_cache(maxsize=4)
def impulse_response(sample_rate: int) -> Samples:
    """Return the impulse response (2, n) of a small hall, made of seeded noise.

    Low bands ring longer than high ones, frequencies under 180 Hz stay dry, and the energy of each side is 1.
    """
    rng = np.random.default_rng(16)
    t = np.arange(round(REVERB_SECONDS * sample_rate)) / sample_rate
    total = np.zeros((2, len(t)))
    for low, high, rt60 in ((180, 500, 1.7), (500, 2000, 1.5), (2000, 5000, 1.05), (5000, 9000, 0.6)):
        top = min(high, 0.45 * sample_rate)
        if low >= top:
            continue
        band = butter(2, (low, top), "bandpass", fs=sample_rate, output="sos")
        noise = sosfilt(band, rng.standard_normal((2, len(t))))
        weight = 1.0 if low < 2000 else 0.7
        total += weight * noise / noise.std() * np.exp(-6.9 * t / rt60)
    total *= np.clip(t / 0.02, 0.0, 1.0)  # a soft start: the early reflections below are its edge
    delay = round(0.018 * sample_rate)
    total = np.concatenate([np.zeros((2, delay)), total], axis=1)
    total /= np.sqrt((total**2).sum(axis=1, keepdims=True))
    for side in range(2):
        for seconds in rng.uniform(0.009, 0.06, size=7):
            total[side, round(seconds * sample_rate)] += (
                rng.choice((-1.0, 1.0)) * 0.16 * np.exp(-seconds / 0.04)
            )
    total /= np.sqrt((total**2).sum(axis=1, keepdims=True))
    response: Samples = total.astype(np.float32)
    response.flags.writeable = False
    return response


def add_reverb(dry: Samples, send: Samples, sample_rate: int) -> None:
    """Add the hall's response to ``send`` (n,) to ``dry`` (2, n), in place and piece by piece.

    The spectrum of a piece serves both sides, that of the response all pieces of a length.
    """
    num_response = impulse_response(sample_rate).shape[1]
    step = 1 << 19
    gain = np.float32(10 ** (REVERB_DB / 20))
    for start in range(0, len(send), step):
        piece = send[start : start + step]
        length = len(piece) + num_response - 1
        size = next_fast_len(length, real=True)
        spectrum = rfft(piece, size)
        for side, response in enumerate(_response_spectra(sample_rate, size)):
            wet = irfft(spectrum * response, size)[: min(length, dry.shape[1] - start)]
            dry[side, start : start + len(wet)] += gain * wet


@lru_cache(maxsize=4)
def _response_spectra(sample_rate: int, size: int) -> tuple[NDArray[np.complex64], ...]:
    return tuple(rfft(side, size) for side in impulse_response(sample_rate))


@dataclass(frozen=True, eq=False)
class GainCurve:
    """A gain over time: ``gain`` times linear factors at the edges of blocks of ``LIMITER_BLOCK`` samples."""

    edges: NDArray[np.float64]
    gain: float = 1.0

    def applied(self, samples: Samples) -> Samples:
        """``samples`` (channels, n) times the gain. The work is done in pieces: only the result takes memory."""
        result = np.empty_like(samples)
        for start in range(0, samples.shape[1], LIMITER_PIECE):
            piece = samples[:, start : start + LIMITER_PIECE]
            place = (start + np.arange(piece.shape[1])) / LIMITER_BLOCK
            curve = np.interp(place, np.arange(len(self.edges)), self.edges) * self.gain
            np.multiply(piece, curve.astype(np.float32), out=result[:, start : start + LIMITER_PIECE])
        return result


def limiter(samples: Samples, ceiling: float, sample_rate: int, gain: float = 1.0) -> GainCurve:
    """The gain that brings ``samples`` times ``gain`` under ``ceiling`` at every peak.

    The level falls before a peak and rises slowly after it, equally in all channels.

    Args:
        samples: (channels, num_samples), at least one.
        ceiling: largest absolute sample, linear.
        sample_rate: in Hz.
        gain: linear.
    """
    starts = range(0, samples.shape[1], LIMITER_PIECE)
    highest = [
        np.maximum.reduceat(np.abs(piece).max(axis=0), np.arange(0, piece.shape[1], LIMITER_BLOCK))
        for piece in (samples[:, start : start + LIMITER_PIECE] for start in starts)
    ]
    wanted = np.minimum(1.0, ceiling / np.maximum(np.concatenate(highest) * gain, 1e-9)).astype(np.float64)
    rate = sample_rate / LIMITER_BLOCK
    ahead = max(1, round(LOOKAHEAD_SECONDS * rate))
    held = minimum_filter1d(wanted, size=2 * ahead + 3)
    rise = np.arange(len(wanted)) / (
        RELEASE_SECONDS * rate
    )  # a straight way back up from the lowest gain so far
    smooth = rise + np.minimum.accumulate(held - rise)
    smooth = np.minimum(uniform_filter1d(smooth, size=2 * ahead + 1), wanted)
    # Gains stand at block edges; each edge takes the smaller of its two blocks, so no block is exceeded.
    edges = np.minimum(np.concatenate(([smooth[0]], smooth)), np.concatenate((smooth, [smooth[-1]])))
    return GainCurve(edges, gain)


def limit(samples: Samples, ceiling: float, sample_rate: int, gain: float = 1.0) -> Samples:
    """Return ``samples`` times ``gain`` with every peak at or under ``ceiling``; see ``limiter``."""
    if not samples.shape[1]:
        return samples.copy()
    return limiter(samples, ceiling, sample_rate, gain).applied(samples)


def _fade(samples: Samples, seconds: float, sample_rate: int) -> None:
    num = min(round(seconds * sample_rate), samples.shape[1])
    if num:
        samples[:, -num:] *= (0.5 + 0.5 * np.cos(np.linspace(0, np.pi, num))).astype(np.float32)


def master(mixed: Mix, sample_rate: int, quality: str) -> Audio:
    """Return the finished recording. Silence stays silence.

    Args:
        mixed: the mix; its arrays are changed.
        sample_rate: in Hz.
        quality: ``full`` or ``draft``.
    """
    samples = _with_space(mixed, sample_rate, quality)
    return _frozen(
        _levelled(samples) if quality == "draft" else to_loudness(samples, sample_rate), sample_rate
    )


def master_stems(
    mix_of: Callable[[int | None], Mix], count: int, sample_rate: int
) -> tuple[Audio, Iterator[Audio]]:
    """The finished recording and, one after the other, the stem of each track.

    Reverb and fade are linear, and every stem gets the gain over time that loudness and limiter give the mix: the
    stems sum to the finished recording. ``mix_of`` gives the mix, or the stem of one of ``count`` tracks.
    """
    curve, mixed = _at_loudness(_with_space(mix_of(None), sample_rate), sample_rate, TARGET_LUFS)

    def stems() -> Iterator[Audio]:
        for index in range(count):
            yield _frozen(curve.applied(_with_space(mix_of(index), sample_rate)), sample_rate)

    return _frozen(mixed, sample_rate), stems()


def _with_space(mixed: Mix, sample_rate: int, quality: str = "full") -> Samples:
    """The mix, changed in place, with its reverb and the fade of its tail."""
    samples = mixed.dry
    if mixed.send is not None:
        add_reverb(samples, mixed.send, sample_rate)
    _fade(samples, FADE_SECONDS[quality], sample_rate)
    return samples


def _frozen(samples: Samples, sample_rate: int) -> Audio:
    samples.flags.writeable = False  # Audio need not copy it
    return Audio(samples, sample_rate)


def _levelled(samples: Samples) -> Samples:
    rms = float(np.sqrt(np.mean(np.square(samples), dtype=np.float64))) if samples.size else 0.0
    if rms < 1e-7:
        return samples
    peak = float(np.abs(samples).max())
    return samples * np.float32(min(10 ** (DRAFT_RMS_DBFS / 20) / rms, 10 ** (CEILING_DBFS / 20) / peak))


def to_loudness(samples: Samples, sample_rate: int, target_lufs: float = TARGET_LUFS) -> Samples:
    """Return ``samples`` at ``target_lufs`` under the ceiling. What the limiter takes is made up for, by 3 dB at most.
    Silence keeps its level."""
    return _at_loudness(samples, sample_rate, target_lufs)[1]


def _at_loudness(samples: Samples, sample_rate: int, target_lufs: float) -> tuple[GainCurve, Samples]:
    """The gain of ``to_loudness`` over time, and what it makes of ``samples``."""
    loudness = integrated_loudness(samples, sample_rate)
    if not np.isfinite(loudness):
        curve = GainCurve(np.ones(2 + samples.shape[1] // LIMITER_BLOCK))
        return curve, curve.applied(samples)
    ceiling = 10 ** (CEILING_DBFS / 20)
    gain_db = target_lufs - loudness
    most = gain_db + 3.0
    for _ in range(3):
        curve = limiter(samples, ceiling, sample_rate, 10 ** (gain_db / 20))
        limited = curve.applied(samples)
        missing = target_lufs - integrated_loudness(limited, sample_rate)
        if abs(missing) < 0.2 or gain_db >= most:
            break
        gain_db = min(gain_db + missing, most)
    return curve, limited
