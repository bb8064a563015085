"""Log-mel windows of audio: the one front end of training and use.

All audio becomes 8 kHz mono, so that renders, recordings and old records have one bandwidth. A window is cut
into frames (Hann, 1024 samples, hop 320: 25 frames a second). The power spectrum of a frame is summed into
mel bands (HTK scale, triangles of unit height) and expressed in dB relative to the window's mean power, so
gain has no effect. numpy and scipy alone, float32, no randomness: equal audio gives equal features.

Letters: W windows, F bands, T frames.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, rfft

from melodygen.audio.buffer import Audio
from melodygen.errors import AudioError, CheckpointError

Features = NDArray[np.float32]

FLOOR_POWER = 1e-10
KINDS = ("log_mel", "mfcc")
SWITCHES = ("denoise_db", "band_hz")
"""Fields that a checkpoint need not have; they are off where they are missing."""


@dataclass(frozen=True)
class FrontEndConfig:
    """Everything that decides the features; the checkpoint holds it.

    Attributes:
        sample_rate: in Hz.
        n_fft: length of a frame in samples.
        hop_length: distance of frames in samples.
        n_mels: number of mel bands.
        fmin_hz: lower edge of the lowest band.
        fmax_hz: upper edge of the highest band.
        window_seconds: length of a window; shorter audio is repeated, longer audio gives several windows.
        step_seconds: distance of window starts in longer audio.
        range_db: levels further below the window's mean power than this count as silence.
        headroom_db: levels further above the window's mean power than this are cut.
        kind: ``log_mel``, or ``mfcc``, its orthonormal cosine transform over bands.
        num_mfcc: number of coefficients kept for ``mfcc``.
        denoise_db: spectral gate: by how much a band is turned down while it is near its own floor; 0 is off.
        band_hz: band-pass: corners of a 4th-order Butterworth response over the bands; None is off.

    Raises:
        CheckpointError: a value is out of range.
    """

    sample_rate: int = 8_000
    n_fft: int = 1024
    hop_length: int = 320
    n_mels: int = 80
    fmin_hz: float = 30.0
    fmax_hz: float = 3_900.0
    window_seconds: float = 10.0
    step_seconds: float = 5.0
    range_db: float = 50.0
    headroom_db: float = 30.0
    kind: str = "log_mel"
    num_mfcc: int = 24
    denoise_db: float = 0.0
    band_hz: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CheckpointError(f"front end {self.kind!r} is unknown; known: {', '.join(KINDS)}")
        sizes = (self.sample_rate, self.n_fft, self.hop_length, self.n_mels, self.num_mfcc)
        if min(sizes) < 1 or not 0 <= self.fmin_hz < self.fmax_hz <= self.sample_rate / 2:
            raise CheckpointError(
                f"front end {self}: sizes must be positive and fmin < fmax <= sample_rate / 2"
            )
        if self.denoise_db < 0 or (self.band_hz is not None and not 0 < self.band_hz[0] < self.band_hz[1]):
            raise CheckpointError(f"front end {self}: denoise_db must be 0 or more and band_hz rise")
        if self.num_frames < 1 or self.step_seconds <= 0:
            raise CheckpointError(
                f"a window of {self.window_seconds} s holds no frame of {self.n_fft} samples"
            )

    @property
    def num_samples(self) -> int:
        """Number of samples in a window."""
        return round(self.window_seconds * self.sample_rate)

    @property
    def num_frames(self) -> int:
        """T: number of frames that lie whole inside a window."""
        return 1 + (self.num_samples - self.n_fft) // self.hop_length

    @property
    def num_bands(self) -> int:
        """F: number of rows of the features."""
        return self.n_mels if self.kind == "log_mel" else self.num_mfcc

    def to_dict(self) -> dict[str, Any]:
        """Return the fields without switches that are off, so that older versions can read such
        checkpoints.
        """
        return {k: v for k, v in asdict(self).items() if k not in SWITCHES or v}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FrontEndConfig:
        """Return the config of a checkpoint's fields. Raises CheckpointError for a missing or unknown
        field.
        """
        odd = sorted((set(values) ^ set(asdict(cls()))) - ({*SWITCHES} - set(values)))
        if odd:
            raise CheckpointError(
                f"front end: {', '.join(odd)} missing or unknown; use the version that wrote it"
            )
        band = values.get("band_hz")
        return cls(**{**values, "band_hz": None if band is None else (float(band[0]), float(band[1]))})


def hz_to_mel(hz: float) -> float:
    """Return a frequency on HTK's mel scale."""
    return float(2595.0 * np.log10(1.0 + hz / 700.0))


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return frequencies in Hz of values on HTK's mel scale."""
    result: NDArray[np.float64] = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return result


def band_edges_hz(n_mels: int, fmin_hz: float, fmax_hz: float) -> NDArray[np.float64]:
    """Return the edges of mel bands in Hz (n_mels + 2,): band k rises from edge k, peaks at k + 1, ends at k + 2."""
    return mel_to_hz(np.linspace(hz_to_mel(fmin_hz), hz_to_mel(fmax_hz), n_mels + 2))


@lru_cache(maxsize=8)
def mel_filters(sample_rate: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float) -> Features:
    """Return the mel filter bank (n_fft / 2 + 1, n_mels): triangles whose peak is 1."""
    edges = band_edges_hz(n_mels, fmin_hz, fmax_hz)
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    # A low band may be narrower than a bin: each triangle is at least one bin wide to each side.
    width = sample_rate / n_fft
    low = np.minimum(edges[:-2], edges[1:-1] - width)
    high = np.maximum(edges[2:], edges[1:-1] + width)
    rising = (bins[:, None] - low) / (edges[1:-1] - low)
    falling = (high - bins[:, None]) / (high - edges[1:-1])
    filters: Features = np.clip(np.minimum(rising, falling), 0.0, None).astype(np.float32)
    filters.flags.writeable = False
    return filters


@lru_cache(maxsize=8)
def _hann(n_fft: int) -> Features:
    window: Features = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    window.flags.writeable = False
    return window


def to_mono_at(audio: Audio, sample_rate: int) -> Features:
    """Return mono samples (num_samples,) at ``sample_rate``, anti-aliased. Raises AudioError for empty
    audio.
    """
    if audio.num_samples == 0:
        raise AudioError("the audio holds no samples; there is nothing to classify")
    mono = audio.to_mono().samples[0]
    if audio.sample_rate == sample_rate:
        samples: Features = mono
        return samples
    from scipy.signal import resample_poly  # most of a second; a classifier can be loaded without it

    resampled: Features = resample_poly(mono, *resampling_ratio(audio.sample_rate, sample_rate)).astype(
        np.float32
    )
    return resampled


def resampling_ratio(rate_in: int, rate_out: int) -> tuple[int, int]:
    """Return (up, down) for polyphase resampling; odd ratios are rounded by at most 1 in 1000."""
    common = gcd(rate_in, rate_out)
    up, down = rate_out // common, rate_in // common
    if max(up, down) > 4_000:  # an odd rate: no one hears a deviation of 1 in 1000
        up, down = 1_000, round(1_000 * rate_in / rate_out)
    return up, down


def mel_power(mono: Features, config: FrontEndConfig) -> Features:
    """Return the power (F mel bands, T frames) of mono samples at the front end's rate; frames lie whole
    inside.
    """
    frames = np.lib.stride_tricks.sliding_window_view(mono, config.n_fft)[:: config.hop_length]
    spectrum = rfft(frames * _hann(config.n_fft), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    filters = mel_filters(config.sample_rate, config.n_fft, config.n_mels, config.fmin_hz, config.fmax_hz)
    result: Features = np.ascontiguousarray((power @ filters).T, dtype=np.float32)
    return result


def conditioned(power: Features, config: FrontEndConfig) -> Features:
    """Return mel power (…, F, T) after the optional band-pass and spectral gate.

    The gate takes a band's floor to be its 10th percentile over the window. It turns the band down, by up to
    ``denoise_db``, where the band is less than 6 dB above that floor.
    """
    if config.band_hz is not None:
        low, high = config.band_hz
        centre = band_edges_hz(config.n_mels, config.fmin_hz, config.fmax_hz)[1:-1]
        gain = 1 / ((1 + (low / centre) ** 8) * (1 + (centre / high) ** 8))
        power = power * gain.astype(np.float32)[:, None]
    if config.denoise_db:
        floor = np.maximum(np.quantile(power, 0.1, axis=-1, keepdims=True), FLOOR_POWER)
        above = np.clip(10 * np.log10(np.maximum(power / floor, 1e-9)) / 6.0, 0.0, 1.0)
        power = power * (10 ** (-config.denoise_db * (1 - above) / 10)).astype(np.float32)
    return power


def log_levels(power: Features, config: FrontEndConfig) -> Features:
    """Return mel power (…, F, T) in dB over the window's mean power, cut to the range and scaled to about -1
    to 1.
    """
    power = conditioned(power, config)
    reference = np.maximum(power.mean(axis=(-2, -1), keepdims=True, dtype=np.float64), FLOOR_POWER)
    level = 10.0 * np.log10(np.maximum(power / reference, 1e-9))
    level = np.clip(level, -config.range_db, config.headroom_db)
    scaled: Features = ((level + 10.0) / 30.0).astype(np.float32)
    return scaled


def cut_windows(mono: Features, config: FrontEndConfig) -> Features:
    """Return overlapping windows (W, num_samples) that reach the end; audio that is too short is repeated."""
    size = config.num_samples
    if len(mono) <= size:
        return np.resize(mono, size)[None, :]
    return np.stack([mono[s : s + size] for s in window_starts(len(mono), config)])


def window_starts(num_samples: int, config: FrontEndConfig) -> NDArray[np.int64]:
    """Return the first sample (W,) of each window of ``num_samples`` mono samples."""
    last = max(0, num_samples - config.num_samples)
    count = -(-last // round(config.step_seconds * config.sample_rate)) + 1
    return np.rint(np.linspace(0, last, count)).astype(np.int64)


def mono_features(mono: Features, config: FrontEndConfig) -> Features:
    """Return the features (W, F, T) of mono samples at the front end's rate."""
    power = np.stack([mel_power(w, config) for w in cut_windows(mono, config)])
    return transform(log_levels(power, config), config)


def features(audio: Audio, config: FrontEndConfig) -> Features:
    """Return the features (W, F, T) of a recording of any length and rate. Raises AudioError for empty
    audio.
    """
    return mono_features(to_mono_at(audio, config.sample_rate), config)


def transform(levels: Features, config: FrontEndConfig) -> Features:
    """Return levels (…, F, T) unchanged for ``log_mel``, or their MFCC."""
    if config.kind == "log_mel":
        return levels
    coefficients: Features = dct(levels, axis=-2, norm="ortho")[..., : config.num_mfcc, :].astype(np.float32)
    return coefficients
