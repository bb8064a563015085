"""Recordings in blocks: any length in little memory, converted to mono at the front end's rate while they are
read.

libsndfile reads WAV, FLAC, MP3, Ogg, Opus, AIFF and more, by content and not by name. Other formats (M4A,
WMA) go through the ``ffmpeg`` program where it is installed. Samples that are not finite count as silence; a
file with many of them is refused.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from melodygen.audio.block_resampler import BlockResampler
from melodygen.audio.buffer import uncancelled
from melodygen.audio.features import Features
from melodygen.audio.recovery import COMPLETE_SHARE, mended_mpeg, open_sound, quiet_decoder
from melodygen.errors import AudioError
from melodygen.io.formats import FFMPEG_SUFFIXES

BLOCK_SECONDS = 4.0
"""Length of a block."""
MAX_CHANNELS = 64
LOUDEST = 1e4
"""Float files may hold any value; a sample beyond this is treated as broken."""
CLIPPED = 0.9999
"""A sample at or beyond this counts as clipped."""
MAX_BAD_SHARE = 0.01
"""Largest share of broken samples that a file may have."""
CLIPPED_SHARE = 0.01
"""A recording with more clipped samples is said to be clipped."""
FFMPEG_RATE = 44_100
SALVAGE_FRAMES = 1152
"""Step in which the last sound before a broken place is read."""
CANCELLED = "the channels cancel each other; the louder one was heard"


@dataclass
class Signal:
    """What was found while decoding.

    Attributes:
        num_frames: samples in each channel.
        num_samples: samples in all channels.
        num_bad: samples that are NaN, infinite or beyond ``LOUDEST``.
        num_clipped: samples at full scale.
        peak: largest absolute sample, 1.0 is full scale.
        total: sum of the samples.
        squares: sum of their squares.
    """

    num_frames: int = 0
    num_samples: int = 0
    num_bad: int = 0
    num_clipped: int = 0
    peak: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, block: Features, num_bad: int) -> None:
        """Count a block (frames, channels) whose broken samples were set to 0."""
        self.num_frames += len(block)
        self.num_samples += block.size
        self.num_bad += num_bad
        flat = block.reshape(-1)
        peak = max(float(flat.max(initial=0.0)), -float(flat.min(initial=0.0)))
        if peak >= CLIPPED:
            self.num_clipped += int((np.abs(flat) >= CLIPPED).sum())
        self.peak = max(self.peak, peak)
        self.total += float(flat.sum())
        self.squares += float(np.vdot(flat, flat))

    @property
    def rms(self) -> float:
        """RMS of the samples without their DC offset, 1.0 is full scale."""
        if not self.num_samples:
            return 0.0
        mean = self.total / self.num_samples
        return float(np.sqrt(max(0.0, self.squares / self.num_samples - mean * mean)))


@dataclass
class Recording:
    """An open recording, used in a ``with`` block.

    Attributes:
        path: the file.
        sample_rate: in Hz.
        num_channels: number of channels.
        expected_frames: length according to the header, None where it says none.
        decoder: ``libsndfile`` or ``ffmpeg``.
        tags: the text fields that tell where a file comes from (``software``, ``comment``).
        signal: what was found so far.
        notes: what was mended or passed over, in plain words.
    """

    path: Path
    sample_rate: int
    num_channels: int
    expected_frames: int | None
    decoder: str
    tags: dict[str, str]
    signal: Signal = field(default_factory=Signal)
    notes: list[str] = field(default_factory=list)
    _file: Any = None
    _handle: Any = None
    _process: subprocess.Popen[bytes] | None = None
    _errors: Any = None

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        for held in (self._file, self._handle, self._errors):
            if held is not None:
                held.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def mono_blocks(self, sample_rate: int) -> Iterator[Features]:
        """Yield mono blocks at ``sample_rate``. Raises AudioError where the file cannot be read or holds no
        sound.
        """
        resampler = BlockResampler(self.sample_rate, sample_rate)
        for block in self._mono_blocks():
            yield resampler.push(block)
        yield resampler.flush()

    def mono(self, sample_rate: int, max_seconds: float) -> tuple[Features, bool]:
        """(the first ``max_seconds`` as mono samples at ``sample_rate``, whether that is all of it).

        Raises AudioError where the file cannot be read or holds no sound.
        """
        (sound,), is_all = self.mono_at((sample_rate,), max_seconds)
        return sound, is_all

    def mono_at(self, sample_rates: Sequence[int], max_seconds: float) -> tuple[list[Features], bool]:
        """The same at several rates at once: the file is decoded once."""
        most = [round(max_seconds * rate) for rate in sample_rates]
        resamplers = [BlockResampler(self.sample_rate, rate) for rate in sample_rates]
        parts: list[list[Features]] = [[] for _ in sample_rates]

        def is_enough() -> bool:
            return all(sum(map(len, part)) > count for part, count in zip(parts, most, strict=True))

        for block in self._mono_blocks():
            for part, resampler in zip(parts, resamplers, strict=True):
                part.append(resampler.push(block))
            if is_enough():
                break
        else:
            for part, resampler in zip(parts, resamplers, strict=True):
                part.append(resampler.flush())
        cut = [np.concatenate(part)[:count] for part, count in zip(parts, most, strict=True)]
        return cut, not is_enough()

    def remarks(self, seconds: float) -> tuple[str, ...]:
        """What is odd about the recording, of which ``seconds`` could be heard, and what was mended or passed over."""
        signal, found = self.signal, []
        expected = self.expected_frames
        if expected is not None and seconds * self.sample_rate < COMPLETE_SHARE * expected:
            found.append(f"ends early: {seconds:.1f} of {expected / self.sample_rate:.1f} s")
        if signal.num_bad:
            found.append(f"{signal.num_bad} samples that are no numbers were passed over")
        if signal.num_samples and signal.num_clipped > CLIPPED_SHARE * signal.num_samples:
            found.append(f"clipped ({signal.num_clipped / signal.num_samples:.0%} of samples)")
        if self.decoder != "libsndfile":
            found.append(f"decoded by {self.decoder}")
        return (*found, *self.notes)

    @property
    def can_seek(self) -> bool:
        """Whether ``span`` can go to any place: the length is known and the decoder seeks."""
        return self._file is not None and self.expected_frames is not None and bool(self._file.seekable())

    def span(self, start_seconds: float, seconds: float, sample_rate: int) -> Features:
        """Mono sound at ``sample_rate`` from any place of a recording that can seek; what is read counts in ``signal``.

        Raises AudioError where the file cannot be read, or ends, before the span does.
        """
        import soundfile as sf

        first = max(0, round(start_seconds * self.sample_rate))
        count = round(seconds * self.sample_rate)
        try:
            self._file.seek(first)
            block = self._file.read(count, dtype="float32", always_2d=True)
        except (sf.LibsndfileError, RuntimeError, ValueError, OSError) as error:
            raise AudioError(f"{self.path.name} cannot be decoded: {_reason(error)}") from error
        if len(block) < count:
            raise AudioError(
                f"{self.path.name} ends early, at {(first + len(block)) / self.sample_rate:.1f} s"
            )
        mono = self._clean(block) @ np.full(block.shape[1], 1.0 / block.shape[1], dtype=np.float32)
        resampler = BlockResampler(self.sample_rate, sample_rate)
        return np.concatenate((resampler.push(mono), resampler.flush()))

    def rewind(self) -> None:
        """To the first sample, with nothing counted yet. The file is opened anew: a decoder that lost its way in a
        broken file may not find back."""
        import soundfile as sf

        self._file.close()
        self._handle.seek(0)
        self._file = sf.SoundFile(self._handle.fileno(), closefd=False)
        self.signal = Signal()

    def _mono_blocks(self) -> Iterator[Features]:
        """Mono blocks at the file's own rate."""
        for block in self._blocks():
            # a product with the channels' shares: ten times as fast as a mean along them
            shares = np.full(block.shape[1], 1.0 / block.shape[1], dtype=np.float32)
            clean = self._clean(block)
            mean = clean @ shares
            mono = uncancelled(mean, clean.T) if block.shape[1] > 1 else mean
            if mono is not mean and CANCELLED not in self.notes:
                self.notes.append(CANCELLED)
            yield mono
        signal = self.signal
        if not signal.num_frames:
            said = f", though its header says {self.expected_frames}" if self.expected_frames else ""
            raise AudioError(f"{self.path.name} holds no samples{said}")
        if signal.num_bad > MAX_BAD_SHARE * signal.num_samples:
            raise AudioError(
                f"{self.path.name}: {signal.num_bad} of {signal.num_samples} samples are NaN, infinite or beyond "
                f"{LOUDEST:g}; at most {MAX_BAD_SHARE:.0%} can be passed over: export it again"
            )

    def _clean(self, block: Features) -> Features:
        num_bad = 0
        if block.size and not (block.max() < LOUDEST and block.min() > -LOUDEST):  # NaN is neither
            bad = ~(np.abs(block) < LOUDEST)
            num_bad = int(bad.sum())
            block = np.where(bad, np.float32(0), block)
        self.signal.add(block, num_bad)
        return block

    def _blocks(self) -> Iterator[Features]:
        import soundfile as sf

        size = max(1, round(BLOCK_SECONDS * self.sample_rate))
        if self._process is not None:
            yield from self._piped(size)
            return
        while True:
            try:
                with quiet_decoder(self._file.format == "MP3"):
                    block = self._file.read(size, dtype="float32", always_2d=True)
            except (sf.LibsndfileError, RuntimeError, ValueError, OSError) as error:
                if self._file.format == "MP3" and self._mended(self.signal.num_frames):
                    continue
                yield from self._last_frames()
                if not self.signal.num_frames:
                    raise AudioError(f"{self.path.name} cannot be decoded: {_reason(error)}") from error
                return  # keep what was read; the caller reports that the file ends early
            if not len(block):
                return
            yield block

    def _last_frames(self) -> Iterator[Features]:
        """What can still be had before the place where decoding broke off: read anew, in small steps."""
        import soundfile as sf

        position, done = 0, self.signal.num_frames
        try:
            fresh = open_sound(self.path)
            with fresh.held, fresh.file as file, quiet_decoder(file.format == "MP3"):
                while len(block := file.read(SALVAGE_FRAMES, dtype="float32", always_2d=True)):
                    position += len(block)
                    if position > done:
                        yield block[max(0, len(block) - (position - done)) :]
        except (sf.LibsndfileError, RuntimeError, ValueError, OSError):
            return

    def _mended(self, num_frames: int) -> bool:
        """Go on behind ``num_frames`` with the frames of an MP3 alone; once, and only where there are any."""
        if self._handle is None:
            return False
        found = mended_mpeg(self._handle, num_frames)
        self._handle.close()
        self._handle = None
        if found is None:
            return False
        self._file.close()
        self._file = found[0]
        self.notes.append(found[1])
        return True

    def _piped(self, size: int) -> Iterator[Features]:
        assert self._process is not None and self._process.stdout is not None
        width = 4 * self.num_channels
        while data := self._process.stdout.read(size * width):
            whole = len(data) // width * width
            yield np.frombuffer(data[:whole], dtype="<f4").reshape(-1, self.num_channels)
        if not self.signal.num_frames:
            self._errors.seek(0)
            lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            reason = lines[-1].rpartition(": ")[2] if lines else "ffmpeg found no sound in it"
            raise AudioError(f"{self.path.name} is not audio that can be read: {reason}")


def open_recording(path: Path) -> Recording:
    """Open a recording by its content, for use in a ``with`` block. Raises AudioError with the reason."""
    import soundfile as sf

    try:
        size = path.stat().st_size
        if not size and path.is_file():
            raise AudioError(f"{path.name} is empty (0 bytes)")
        found = open_sound(path)
    except OSError as error:
        raise AudioError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except (sf.LibsndfileError, RuntimeError, ValueError, TypeError) as error:
        if shutil.which("ffmpeg") is not None:
            return _through_ffmpeg(path)
        way = "; install ffmpeg to read this kind of file" if path.suffix.lower() in FFMPEG_SUFFIXES else ""
        raise AudioError(f"{path.name} is not audio that can be read: {_reason(error)}{way}") from error
    file, handle = found.file, found.held
    if not 1_000 <= file.samplerate <= 768_000 or not 1 <= file.channels <= MAX_CHANNELS:
        rate, channels = file.samplerate, file.channels
        file.close()
        handle.close()
        raise AudioError(
            f"{path.name}: {rate} Hz and {channels} channels; 1000-768000 Hz and 1-{MAX_CHANNELS} channels can be heard"
        )
    tags = {name: text for name in ("software", "comment") if (text := getattr(file, name, ""))}
    frames = int(file.frames) if 0 < file.frames < 2**62 else None
    return Recording(
        path, file.samplerate, file.channels, frames, "libsndfile", tags, notes=list(found.notes), _file=file,
        _handle=handle,
    )  # fmt: skip


def _through_ffmpeg(path: Path) -> Recording:
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the recording
    process = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-nostdin", "-i", f"file:{path}", "-vn", "-ac", "2", "-ar", str(FFMPEG_RATE),
         "-f", "f32le", "-"],
        stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Recording(path, FFMPEG_RATE, 2, None, "ffmpeg", {}, _process=process, _errors=errors)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "is not a regular file" in text:  # what libsndfile says of bytes in which libmpg123 finds no frame
        return "no sound was found in it"
    return text.split("Error opening", 1)[-1].split(": ", 1)[-1] or type(error).__name__


def read_mono(path: Path, sample_rate: int, max_seconds: float = 3600.0) -> Features:
    """Return a recording as mono samples at ``sample_rate``, at most the first ``max_seconds``.

    Raises:
        AudioError: the file cannot be read or holds no sound.
    """
    with open_recording(path) as recording:
        return recording.mono(sample_rate, max_seconds)[0]


__all__ = ["Recording", "Signal", "open_recording", "read_mono"]
