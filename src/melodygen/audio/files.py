"""Audio files: writes WAV, FLAC, Ogg Vorbis and MP3; reads these, Opus, AIFF and whatever else libsndfile
reads.

Tags are libsndfile's text fields (RIFF INFO, Vorbis comments, ID3). ``comment`` holds the provenance as a
JSON string in ASCII, because MP3's tags hold no more (other letters become their plain ones, or "?"). Files
appear whole or not at all.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile as sf

from melodygen.atomic import atomic_path
from melodygen.audio.buffer import Audio
from melodygen.audio.ogg import set_serial
from melodygen.audio.recovery import open_sound, quiet_decoder
from melodygen.errors import AudioError

FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Suffix -> libsndfile's names of container and encoding."""
BIT_DEPTHS = (16, 24)
TAGS = ("title", "artist", "comment", "software", "copyright", "date", "album", "genre")
MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
VORBIS_MAX_RATE = 192_000
CHUNK_FRAMES = 16_384
"""Frames written at once, because libsndfile's Vorbis encoder overflows its stack on long writes."""
MAX_TAG_BYTES = 8_000
WAV_MAX_BYTES = 2**32 - 2**16


def read_audio(path: str | os.PathLike[str]) -> Audio:
    """Return the recording at ``path``, with any sample rate and number of channels.

    Raises:
        AudioError: the file is missing, no audio, cut off, empty, or holds NaN or infinite samples.
    """
    path = Path(path)
    try:
        found = open_sound(path)
        with found.held, found.file as file, quiet_decoder(file.format == "MP3"):
            expected = file.frames
            samples = file.read(dtype="float32", always_2d=True)
            rate = file.samplerate
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror or error}") from error
    except (sf.LibsndfileError, RuntimeError, ValueError, MemoryError) as error:
        raise AudioError(f"{path} is not audio that can be read: {error}") from error
    if not len(samples):
        raise AudioError(
            f"{path} holds no samples" + (f", though its header says {expected}" if expected else "")
        )
    if not np.isfinite(samples).all():
        raise AudioError(f"{path} holds NaN or infinite samples; export it again")
    return Audio(np.ascontiguousarray(samples.T), rate)


def read_audio_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the text fields of ``TAGS`` that are set. Raises AudioError where the file cannot be read."""
    try:
        with sf.SoundFile(os.fspath(path)) as file:
            values = {name: getattr(file, name) for name in TAGS}
    except (sf.LibsndfileError, RuntimeError, OSError) as error:
        raise AudioError(f"{path} is not audio that can be read: {error}") from error
    return {name: value for name, value in values.items() if value}


def write_audio(
    path: str | os.PathLike[str],
    audio: Audio,
    tags: Mapping[str, str] | None = None,
    overwrite: bool = False,
    bit_depth: int | None = None,
) -> None:
    """Write a recording in the format of the suffix (``FORMATS``); samples beyond -1 to 1 are clipped.

    Args:
        path: the file; its suffix chooses the format.
        audio: the recording.
        tags: text fields by name, from ``TAGS``.
        overwrite: replace an existing file.
        bit_depth: bits a sample in WAV and FLAC, of ``BIT_DEPTHS``; None is 16 for WAV and 24 for FLAC.

    Raises:
        AudioError: the suffix, bit depth or a tag is unknown, the format cannot hold the audio, or the disk is full.
        OutputExistsError: the file exists and ``overwrite`` is false.
    """
    path = Path(path)
    container, subtype = _format(path, audio, bit_depth or 16)
    if bit_depth is not None and container in ("WAV", "FLAC"):
        if bit_depth not in BIT_DEPTHS:
            raise AudioError(f"{path.name}: a bit depth of {bit_depth} is not possible; use 16 or 24")
        subtype = f"PCM_{bit_depth}"
    tags = dict(tags or {})
    for name, value in tags.items():
        if name not in TAGS:
            raise AudioError(f"tag {name!r} is unknown; use {', '.join(TAGS)}")
        if len(value.encode()) > MAX_TAG_BYTES or "\0" in value:
            raise AudioError(
                f"tag {name!r} has {len(value.encode())} bytes; at most {MAX_TAG_BYTES}, without NUL"
            )
    frames = np.clip(audio.samples.T, -1.0, 1.0)
    try:
        with atomic_path(path, overwrite) as temporary:
            with sf.SoundFile(
                temporary, "w", audio.sample_rate, audio.num_channels, subtype, format=container
            ) as file:
                for name, value in tags.items():
                    setattr(file, name, _plain(value) if container == "MP3" else value)
                for start in range(0, len(frames), CHUNK_FRAMES):
                    file.write(frames[start : start + CHUNK_FRAMES])
            if container == "OGG":
                set_serial(temporary)  # libsndfile draws one: the same sound must make the same bytes
    except (OSError, sf.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{path} cannot be written: {reason}; choose another folder with --out") from error


def _plain(text: str) -> str:
    """Return ASCII text only: libsndfile puts UTF-8 where ID3 readers expect Latin-1."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return bare.encode("ascii", "replace").decode("ascii")


def _format(path: Path, audio: Audio, bit_depth: int) -> tuple[str, str]:
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise AudioError(f"{path.name}: the suffix {suffix!r} is no audio format; use {', '.join(FORMATS)}")
    if suffix == ".mp3" and audio.sample_rate not in MP3_RATES:
        raise AudioError(
            f"MP3 holds no {audio.sample_rate} Hz; use one of {', '.join(map(str, MP3_RATES))}, or WAV"
        )
    if suffix == ".mp3" and audio.num_channels > 2:
        raise AudioError(f"MP3 holds at most 2 channels, not {audio.num_channels}; use WAV")
    if suffix == ".ogg" and audio.sample_rate > VORBIS_MAX_RATE:
        raise AudioError(f"Ogg Vorbis holds at most {VORBIS_MAX_RATE} Hz, not {audio.sample_rate}; use WAV")
    if suffix == ".wav" and audio.samples.size * bit_depth // 8 > WAV_MAX_BYTES:
        raise AudioError(f"{audio.duration_seconds:.0f} s are too long for WAV (4 GiB); use FLAC")
    return FORMATS[suffix]
