"""Opens recordings that a decoder refuses as they are: behind other bytes, cut into, or with an unfinished header.

A WAV whose recorder never wrote its sizes is read to the end of the file. An MP3 is brought to its frames: a frame
counts where another one follows where it ends, so bytes before, between and behind are passed over. WAV, FLAC and Ogg
are found behind other bytes by their first ones. Each of these comes with a note that says what was done.

Source of the frame header: ISO/IEC 11172-3 and 13818-3, and the MPEG 2.5 extension.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile as sf

SEARCH_BYTES = 2**20
"""How far into a file the beginning of a sound is looked for."""
MAX_MP3_BYTES = 2**29
CHAINED_FRAMES = 4
"""Frames in a row that make an MP3; fewer occur by chance."""
COMPLETE_SHARE = 0.98
"""A recording that holds less of what its header promises ends early."""
UNFINISHED_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFFFFE, 0x80000000)
_CHUNK_NAMES = (
    b"LIST",
    b"id3 ",
    b"ID3 ",
    b"cue ",
    b"smpl",
    b"bext",
    b"fact",
    b"JUNK",
    b"PAD ",
    b"inst",
    b"acid",
)
_CONTAINERS = (b"RIFF", b"fLaC", b"OggS", b"FORM")
_MPEG_SUFFIXES = (".mp3", ".mp2", ".mp1", ".mpga")
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits a second by (MPEG version 1 or 2, layer)."""
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Sample rates by the header's two version bits."""


@dataclass(frozen=True)
class OpenSound:
    """An open file. ``notes`` say what had to be passed over or mended; ``held`` is to be closed with it."""

    file: sf.SoundFile
    held: io.FileIO
    notes: tuple[str, ...] = ()


def open_sound(path: Path) -> OpenSound:
    """Open a recording by its content. Raises what soundfile raises when nothing in it can be read, or OSError."""
    handle = path.open("rb", buffering=0)  # libsndfile reads from the same file descriptor
    try:
        if not handle.seekable():
            return OpenSound(sf.SoundFile(handle.fileno(), closefd=False), handle)
        wav = _wav_data(handle)
        mended = None if wav is None else _unfinished_wav(handle, wav)
        if mended is not None:
            return OpenSound(
                sf.SoundFile(mended), handle, ("its header was never finished: read to the end of the file",)
            )
        handle.seek(0)
        with quiet_decoder(looks_like_mpeg(path, handle)):
            try:
                notes = () if wav is None else _cut_wav(wav)
                return OpenSound(sf.SoundFile(handle.fileno(), closefd=False), handle, notes)
            except (sf.LibsndfileError, RuntimeError, ValueError, TypeError) as error:
                handle.seek(0)
                found = _found_inside(handle)
                if found is None:
                    raise error
                return OpenSound(sf.SoundFile(found[0]), handle, (found[1],))
    except BaseException:
        handle.close()
        raise


def looks_like_mpeg(path: Path, handle: io.FileIO) -> bool:
    """Whether libmpg123 is likely to decode it; the position in ``handle`` stays."""
    at = handle.tell()
    head = handle.read(3)
    handle.seek(at)
    return path.suffix.lower() in _MPEG_SUFFIXES or head == b"ID3" or head[:1] == b"\xff"


@contextmanager
def quiet_decoder(is_mpeg: bool = True) -> Iterator[None]:
    """libmpg123 writes to the process's stderr whatever it meets; its words are no one's to read."""
    if not is_mpeg:
        yield
        return
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


class _Window(io.RawIOBase):
    """A file from ``start`` on, its first bytes being ``head`` instead of its own."""

    def __init__(self, handle: io.FileIO, start: int = 0, head: bytes = b"") -> None:
        super().__init__()
        self._handle, self._start, self._head = handle, start, head
        self._size = handle.seek(0, os.SEEK_END) - start
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if self._at < len(self._head):
            part = self._head[self._at : self._at + len(view)]
        else:
            self._handle.seek(self._start + self._at)
            part = self._handle.read(len(view))
        view[: len(part)] = part
        self._at += len(part)
        return len(part)


@dataclass(frozen=True)
class _WavData:
    """Where the sound of a WAV lies: the ``head`` of the file, the place ``at`` of the data chunk in it, the ``length``
    of the sound that the chunk promises, and the bytes that the file holds behind it."""

    head: bytes
    at: int
    length: int
    rest: int


def _wav_data(handle: io.FileIO) -> _WavData | None:
    """None for a file that is no WAV."""
    handle.seek(0)
    head = handle.read(4096)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    size = handle.seek(0, os.SEEK_END)
    at = 12
    while at + 8 <= len(head) and head[at : at + 4] != b"data":
        at += 8 + (length := struct.unpack_from("<I", head, at + 4)[0]) + length % 2
    rest = size - at - 8
    if at + 8 > len(head) or rest < 2:
        return None
    return _WavData(head, at, struct.unpack_from("<I", head, at + 4)[0], rest)


def _cut_wav(wav: _WavData) -> tuple[str, ...]:
    """What to say of a WAV of which a part is missing; libsndfile says nothing of it."""
    if wav.length in UNFINISHED_SIZES or wav.rest >= COMPLETE_SHARE * wav.length:
        return ()
    return (f"ends early: {wav.rest / wav.length:.0%} of its sound is there",)


def _unfinished_wav(handle: io.FileIO, wav: _WavData) -> _Window | None:
    """A WAV whose sizes were never written, with sizes that fit; None for a finished one."""
    head, at, rest = wav.head, wav.at, wav.rest
    following = head[at + 8 : at + 12]
    if (
        wav.length not in UNFINISHED_SIZES
        or wav.length == rest
        or (wav.length == 0 and following in _CHUNK_NAMES)
    ):
        return None
    whole = min(rest, 0xFFFFFFF0 - at)
    patched = bytearray(head[: at + 8])
    struct.pack_into("<I", patched, 4, min(at + whole, 0xFFFFFFFF))
    struct.pack_into("<I", patched, at + 4, whole)
    return _Window(handle, 0, bytes(patched))


def _found_inside(handle: io.FileIO) -> tuple[Any, str] | None:
    """A readable sound behind or between other bytes, and a note; None where there is none."""
    data = handle.read(SEARCH_BYTES)
    for name in _CONTAINERS:
        at = data.find(name)
        if at > 0:
            return _Window(handle, at), f"{at} bytes before the sound were passed over"
    handle.seek(0)
    if handle.seek(0, os.SEEK_END) > MAX_MP3_BYTES:
        return None
    handle.seek(0)
    frames, passed = mpeg_frames(handle.read())
    if not frames:
        return None
    return io.BytesIO(frames), f"{passed} bytes that are no MP3 were passed over"


def mended_mpeg(handle: io.FileIO, num_frames: int) -> tuple[sf.SoundFile, str] | None:
    """(a sound of an MP3's frames alone, at sample ``num_frames``; a note), for a file that a decoder broke off in;
    None where that leads no further."""
    size = handle.seek(0, os.SEEK_END)
    if size > MAX_MP3_BYTES:
        return None
    handle.seek(0)
    frames, passed = mpeg_frames(handle.read())
    if not frames or not passed:
        return None
    try:
        with quiet_decoder():
            file = sf.SoundFile(io.BytesIO(frames))
            if file.seek(num_frames) != num_frames:
                raise RuntimeError
    except (sf.LibsndfileError, RuntimeError, ValueError):
        return None
    return file, f"{passed} bytes that are no MP3 were passed over"


def mpeg_frames(data: bytes) -> tuple[bytes, int]:
    """(the MPEG audio frames in ``data``, one after another; how many bytes were left out)."""
    parts: list[bytes] = []
    at = kept = 0
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            break
        end, count = at, 0
        kind = _frame(data, at)
        while (frame := _frame(data, end)) is not None and kind is not None and frame[1:] == kind[1:]:
            end += frame[0]
            count += 1
        if count >= CHAINED_FRAMES:
            end = min(end, len(data))
            parts.append(data[at:end])
            kept += end - at
            at = end
        else:
            at += 1
    return b"".join(parts), len(data) - kept


def _frame(data: bytes, at: int) -> tuple[int, int, int, int] | None:
    """(length in bytes, version bits, layer, sample rate) of the frame whose header is there; None where none is."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    bitrate, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    kilobits = _BITRATES[1 if version == 3 else 2, layer][bitrate - 1]
    hertz = _RATES[version][rate]
    padding = data[at + 2] >> 1 & 1
    if layer == 1:
        return (12_000 * kilobits // hertz + padding) * 4, version, layer, hertz
    samples = 72_000 if layer == 3 and version != 3 else 144_000
    return samples * kilobits // hertz + padding, version, layer, hertz


__all__ = ["OpenSound", "looks_like_mpeg", "mended_mpeg", "mpeg_frames", "open_sound", "quiet_decoder"]
