"""A stream of audio blocks, a style estimate every second.

The last window (ten seconds) is classified each second, and estimates are smoothed over the last few. Blocks are raw
samples (interleaved, little-endian) or a WAV file whose header comes first, as ``arecord``, ``sox`` and ``ffmpeg``
send them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from melodygen.audio.block_resampler import BlockResampler
from melodygen.audio.buffer import uncancelled
from melodygen.audio.decode import LOUDEST
from melodygen.audio.features import Features
from melodygen.classification.recording import MIN_MUSIC
from melodygen.classification.result import Segment
from melodygen.classification.scoring import Scorer, is_silent, music_probability
from melodygen.contracts import StyleClassifier
from melodygen.errors import AudioError, UsageError

FORMATS = {
    "s16": ("<i2", 2**15),
    "s24": ("", 2**23),
    "s32": ("<i4", 2**31),
    "f32": ("<f4", 1),
    "u8": ("u1", 2**7),
}
"""Name -> numpy's type, full scale."""
LAG_SECONDS = 0.02
"""What the resampler may hold back."""
LEAST_LEFT_SECONDS = 0.1
"""Less than this at the end of a stream is not worth an estimate."""
SMOOTHING = 0.6
"""Share of an estimate that the next one keeps: a change of style shows after about three seconds."""


@dataclass(frozen=True)
class StreamFormat:
    """``encoding`` is one of ``FORMATS``."""

    sample_rate: int = 44_100
    num_channels: int = 2
    encoding: str = "s16"

    def __post_init__(self) -> None:
        if self.encoding not in FORMATS:
            raise UsageError(f"format {self.encoding!r} is not known; known: {', '.join(FORMATS)}")
        if not 1_000 <= self.sample_rate <= 768_000 or not 1 <= self.num_channels <= 64:
            raise UsageError(
                f"{self.sample_rate} Hz, {self.num_channels} channels: rates are 1000-768000 Hz, channels 1-64"
            )

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame: one sample of every channel."""
        return self.num_channels * {"s16": 2, "s24": 3, "s32": 4, "f32": 4, "u8": 1}[self.encoding]

    def to_mono(self, data: bytes) -> Features:
        """Whole frames as mono samples; what is no number is silence."""
        kind, scale = FORMATS[self.encoding]
        if self.encoding == "s24":
            raw = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3).astype(np.int32)
            value = raw[:, 0] | raw[:, 1] << 8 | raw[:, 2] << 16
            samples = (value - ((value & 0x800000) << 1)).astype(np.float32) / scale
        else:
            samples = np.frombuffer(data, dtype=kind).astype(np.float32)
            samples = (samples - 128) / scale if self.encoding == "u8" else samples / scale
        samples = np.where(np.abs(samples) < LOUDEST, samples, np.float32(0))
        frames = samples.reshape(-1, self.num_channels).astype(np.float32)
        return uncancelled(np.asarray(frames.mean(axis=1), dtype=np.float32), frames.T)


def begin_stream(stream: BinaryIO, asked: StreamFormat) -> tuple[StreamFormat, bytes]:
    """The format of a stream and the sound that was read with it: a WAV header is obeyed, else it is as asked."""
    head = _exactly(stream, 12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return asked, head
    found: StreamFormat | None = None
    while True:
        chunk = _exactly(stream, 8)
        if len(chunk) < 8:
            raise AudioError("the WAV header on stdin has no data chunk")
        name, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        if name == b"data":
            if found is None:
                raise AudioError("the WAV header on stdin has no format before its data")
            return found, b""
        body = _exactly(stream, min(size + size % 2, 2**20))
        if name == b"fmt " and len(body) >= 16:
            tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
            if tag == 0xFFFE and len(body) >= 26:
                tag = struct.unpack("<H", body[24:26])[0]
            encoding = {(1, 8): "u8", (1, 16): "s16", (1, 24): "s24", (1, 32): "s32", (3, 32): "f32"}.get(
                (tag, bits)
            )
            if encoding is None:
                raise AudioError(
                    f"WAV on stdin: type {tag} with {bits} bits is not read; use 16-bit PCM or float"
                )
            found = StreamFormat(rate, channels, encoding)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def classify_stream(
    stream: BinaryIO, classifier: StyleClassifier, asked: StreamFormat, every: float = 1.0
) -> Iterator[Segment]:
    """A Segment every ``every`` seconds of sound until the stream ends, and one for what is left at the end.

    Raises AudioError when there was nothing to hear in it.
    """
    form, begun = begin_stream(stream, asked)
    estimator = _Estimator(Scorer(classifier))
    rate, size = estimator.sample_rate, estimator.window_samples
    resampler = BlockResampler(form.sample_rate, rate)
    window = np.zeros(0, dtype=np.float32)
    reported, count, pending = 0.0, 0, begun
    while True:
        data = stream.read(max(1, round(form.sample_rate * every / 4)) * form.frame_bytes)
        pending += data
        whole = len(pending) // form.frame_bytes * form.frame_bytes
        fresh = resampler.push(form.to_mono(pending[:whole])) if whole else np.zeros(0, dtype=np.float32)
        pending = pending[whole:]
        if not data:
            fresh = np.concatenate((fresh, resampler.flush()))
        count += len(fresh)
        window = np.concatenate((window, fresh))[-size:]
        seconds = count / rate
        if not data and seconds > reported + LEAST_LEFT_SECONDS:
            reported = seconds
            yield estimator.estimate(window, reported)
        elif seconds + LAG_SECONDS >= reported + every:
            reported += every * max(1, int((seconds + LAG_SECONDS - reported) / every))
            yield estimator.estimate(window, reported)
        if not data and not reported:
            raise AudioError(
                "nothing was heard: stdin held no sound, or less than 0.1 s; send it audio, such as  "
                "ffmpeg -i FILE -f wav - | melodygen classify --stdin"
            )
        if not data:
            return


class _Estimator:
    """Estimates of the last window, smoothed over those before; silence begins anew."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._smooth: NDArray[np.float64] | None = None
        self.sample_rate, self.window_samples = scorer.sample_rate, scorer.window_samples

    def estimate(self, window: Features, now: float) -> Segment:
        """``now``: where the window ends, in seconds."""
        start = now - len(window) / self.sample_rate
        if is_silent(window):
            self._smooth = None
            return Segment(start, now, (), None)
        logits, music_logits = self._scorer.logits(window)
        music, latest = music_probability(music_logits), logits.mean(axis=0)
        before = self._smooth
        self._smooth = latest if before is None else SMOOTHING * before + (1 - SMOOTHING) * latest
        is_music = music is None or music >= MIN_MUSIC
        return Segment(start, now, self._scorer.styles(self._smooth) if is_music else (), music)


__all__ = ["FORMATS", "StreamFormat", "begin_stream", "classify_stream"]
