"""A stream of audio blocks, a style estimate every second.

The last window (ten seconds) is heard each second, and estimates are smoothed over the last few. Blocks are raw samples
(interleaved, little-endian) or a WAV file whose header comes first, as ``arecord``, ``sox`` and ``ffmpeg`` send them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from melodygen.audio.buffer import Audio
from melodygen.audio.decode import LOUDEST, BlockResampler
from melodygen.audio.features import Features, FrontEndConfig, mono_features
from melodygen.classification.cnn import CnnClassifier
from melodygen.classification.recognizer import SILENCE_RMS, styles_of
from melodygen.classification.result import Segment
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
        return np.asarray(samples.reshape(-1, self.num_channels).mean(axis=1), dtype=np.float32)


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
    stream: BinaryIO, judge: StyleClassifier, asked: StreamFormat, every: float = 1.0
) -> Iterator[Segment]:
    """A Segment every ``every`` seconds of sound until the stream ends, and one for what is left at the end."""
    form, begun = begin_stream(stream, asked)
    config = judge.front_end if isinstance(judge, CnnClassifier) else FrontEndConfig()
    rate, size = config.sample_rate, config.num_samples
    resampler = BlockResampler(form.sample_rate, rate)
    window = np.zeros(0, dtype=np.float32)
    smooth: NDArray[np.float64] | None = None
    told, count, pending = 0.0, 0, begun
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
        at_end = not data and count / rate > told + 0.1
        if count / rate + LAG_SECONDS >= told + every or at_end:
            told = (
                count / rate
                if at_end
                else told + every * max(1, int((count / rate + LAG_SECONDS - told) / every))
            )
            segment, smooth = _estimate(window, judge, config, told, smooth)
            yield segment
        if not data:
            return


def _estimate(
    window: Features,
    judge: StyleClassifier,
    config: FrontEndConfig,
    now: float,
    smooth: NDArray[np.float64] | None,
) -> tuple[Segment, NDArray[np.float64] | None]:
    start = now - len(window) / config.sample_rate
    if float(window.std()) <= SILENCE_RMS:
        return Segment(start, now, (), None), None
    music = None
    if isinstance(judge, CnnClassifier):
        embedded, logits = judge.outputs(mono_features(window, config))
        told = judge.music_logits(embedded)
        music = None if told is None else float(1 / (1 + np.exp(-np.clip(told.mean(), -50, 50))))
        latest = logits.mean(axis=0)
    else:
        latest = np.log(
            np.maximum(judge.classify([Audio(window, config.sample_rate)])[0].probabilities, 1e-9)
        )
    smooth = latest if smooth is None else SMOOTHING * smooth + (1 - SMOOTHING) * latest
    styles = () if music is not None and music < 0.5 else styles_of(judge, smooth)
    return Segment(start, now, styles, music), smooth


__all__ = ["FORMATS", "StreamFormat", "begin_stream", "classify_stream"]
