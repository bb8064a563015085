"""Which parts of a recording are heard: without silence, evenly spread, at one loudness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SILENCE_RMS = 10 ** (-65 / 20)
"""Of full scale, DC taken off: below the noise of any medium that holds music."""
BELOW_LOUDEST = 10 ** (-50 / 20)
FRAME_SECONDS = 0.1
MARGIN_FRAMES = 2
"""What decays into silence is kept for so long."""
REFERENCE_RMS = 0.14
"""The level of loud masters, on which the tagger learned. At 0.03 or 0.4 it is right in 8 to 14 points less."""


def sounding_frames(mono: Floats, sample_rate: int) -> NDArray[np.bool_]:
    """(frames of 0.1 s,): whether they sound, or stand between two that do, within 0.2 s of one. The rest of a frame
    at the end counts with the last."""
    size = round(FRAME_SECONDS * sample_rate)
    count = max(1, len(mono) // size)
    if len(mono) < size:
        return np.array([float(mono.std()) > SILENCE_RMS if len(mono) else False])
    level = mono[: count * size].reshape(count, size).std(axis=1)
    loud = level > max(SILENCE_RMS, BELOW_LOUDEST * float(level.max()))
    near = np.convolve(loud, np.ones(2 * MARGIN_FRAMES + 1))  # longer by the margin at both ends
    heard = near[MARGIN_FRAMES : MARGIN_FRAMES + count] > 0
    if loud.any():  # no margin at the ends: silence around it must not move what is heard
        first, last = np.flatnonzero(loud)[[0, -1]]
        heard[:first] = heard[last + 1 :] = False
    return heard


def without_silence(mono: Floats, sample_rate: int) -> Floats:
    """What sounds of a recording, end to end; nothing at all for silence."""
    size = round(FRAME_SECONDS * sample_rate)
    heard = sounding_frames(mono, sample_rate)
    if heard.all():
        return mono
    keep = np.repeat(heard, size)[: len(mono)]
    keep = np.concatenate((keep, np.full(len(mono) - len(keep), bool(heard[-1]))))
    return np.ascontiguousarray(mono[keep])


def spread_starts(num_samples: int, size: int, count: int) -> NDArray[np.int64]:
    """First samples of at most ``count`` windows of ``size``, from the first sample to the last. They do not overlap,
    but where there is room for one or two alone: then one more is taken, so that everything is heard."""
    room = num_samples // size
    count = max(1, min(count, room if room > 2 else -(-num_samples // size)))
    if count == 1:
        return np.array([max(0, (num_samples - size) // 2)], dtype=np.int64)
    return np.rint(np.linspace(0, num_samples - size, count)).astype(np.int64)


def levelled(mono: Floats) -> Floats:
    """At the reference loudness: what a net hears must not hang on a fader."""
    rms = float(np.sqrt(np.mean(np.square(mono, dtype=np.float64)))) if mono.size else 0.0
    return mono if rms <= SILENCE_RMS else np.asarray(mono * np.float32(REFERENCE_RMS / rms))


__all__ = ["SILENCE_RMS", "levelled", "sounding_frames", "spread_starts", "without_silence"]
