"""Recordings that a decoder refuses as they are: behind other bytes, cut into, unfinished, cancelling."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from melodygen.audio.buffer import Audio, uncancelled
from melodygen.audio.decode import open_recording
from melodygen.audio.files import read_audio, write_audio
from melodygen.audio.ogg import SERIAL, page_checksum
from melodygen.audio.recovery import mpeg_frames, quiet_decoder
from melodygen.errors import AudioError

RATE = 22_050
SECONDS = 2
TIME = np.arange(RATE * SECONDS) / RATE
TONE = (0.3 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32)
STEREO = np.stack((TONE, 0.8 * TONE))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A tone of two seconds as MP3 and WAV."""
    folder = tmp_path_factory.mktemp("sound")
    found = {}
    for kind in ("mp3", "wav"):
        sf.write(folder / f"x.{kind}", STEREO.T, RATE)
        found[kind] = (folder / f"x.{kind}").read_bytes()
    return found


def heard(path: Path) -> tuple[float, float, list[str]]:
    """(seconds, RMS, notes)."""
    with open_recording(path) as recording:
        mono = np.concatenate(list(recording.mono_blocks(RATE)))
        return len(mono) / RATE, float(np.sqrt(np.mean(mono**2))), recording.notes


def with_sizes(wav: bytes, riff: int, data: int) -> bytes:
    return wav[:4] + struct.pack("<I", riff) + wav[8:40] + struct.pack("<I", data) + wav[44:]


@pytest.mark.parametrize(
    "junk", [b"\0" * 5000, b"\0" * 200_000, np.random.default_rng(1).bytes(7000), b"<html>no sound</html>" * 300],
    ids=["zeros", "many zeros", "noise", "text"],
)  # fmt: skip
def test_an_mp3_behind_other_bytes_is_heard(
    recordings: dict[str, bytes], tmp_path: Path, junk: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(junk + recordings["mp3"])
    seconds, level, _ = heard(path)
    assert seconds == pytest.approx(SECONDS, abs=0.1) and level == pytest.approx(0.19, abs=0.01)
    assert read_audio(path).duration_seconds == pytest.approx(SECONDS, abs=0.1)
    assert capfd.readouterr().err == "", "libmpg123 says nothing on stderr"


def test_a_stream_that_was_cut_into_or_has_a_hole_is_heard(
    recordings: dict[str, bytes], tmp_path: Path
) -> None:
    mp3 = recordings["mp3"]
    third = len(mp3) // 3
    path = tmp_path / "x.mp3"
    path.write_bytes(mp3[third + 17 :])
    seconds, _, notes = heard(path)
    assert seconds == pytest.approx(SECONDS * 2 / 3, abs=0.3) and "no MP3 were passed over" in notes[0]
    path.write_bytes(mp3[:third] + b"\0" * 3000 + mp3[third + 100 :])
    assert heard(path)[0] == pytest.approx(SECONDS, abs=0.2)


@pytest.mark.parametrize(("riff", "data"), [(0, 0), (36, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0, 0x7FFFFFFF)])
def test_a_wav_whose_header_was_never_finished_is_read_to_its_end(
    recordings: dict[str, bytes], tmp_path: Path, riff: int, data: int
) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(with_sizes(recordings["wav"], riff, data))
    seconds, level, notes = heard(path)
    assert seconds == pytest.approx(SECONDS) and level == pytest.approx(0.19, abs=0.01)
    assert notes == ["its header was never finished: read to the end of the file"]
    np.testing.assert_array_equal(read_audio(path).samples.shape, STEREO.shape)


def test_whole_files_are_opened_as_they_are(recordings: dict[str, bytes], tmp_path: Path) -> None:
    for kind, data in recordings.items():
        path = tmp_path / f"x.{kind}"
        path.write_bytes(data)
        assert heard(path)[2] == []
    path = tmp_path / "behind.wav"
    path.write_bytes(b"\0" * 300 + recordings["wav"])
    assert heard(path)[2] == ["300 bytes before the sound were passed over"]
    empty = tmp_path / "empty.wav"
    sf.write(empty, np.zeros((0, 2)), RATE)
    with pytest.raises(AudioError):
        heard(empty)


@given(st.binary(max_size=400))
def test_frames_are_found_in_any_bytes(data: bytes) -> None:
    frames, left_out = mpeg_frames(data)
    assert len(frames) + left_out == len(data)


def test_channels_that_cancel_are_heard(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    write_audio(path, Audio(np.stack((TONE, -TONE)), RATE))
    _, level, notes = heard(path)
    assert level == pytest.approx(0.21, abs=0.01) and "cancel" in notes[0]
    mono = read_audio(path).to_mono().samples
    assert float(np.abs(mono).max()) == pytest.approx(0.3, abs=0.01)
    mean = STEREO.mean(axis=0)
    assert uncancelled(mean, STEREO) is mean, "where nothing cancels nothing changes"
    silence = np.zeros((2, 9), dtype=np.float32)
    assert not uncancelled(silence.mean(axis=0), silence).any()


def test_the_same_sound_makes_the_same_ogg(tmp_path: Path) -> None:
    digests = set()
    for name in ("a.ogg", "b.ogg"):
        write_audio(tmp_path / name, Audio(STEREO, RATE), {"title": "tone"})
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1
    data = (tmp_path / "a.ogg").read_bytes()
    assert struct.unpack_from("<I", data, 14)[0] == SERIAL
    found = read_audio(tmp_path / "a.ogg")  # libvorbis checks every page
    assert found.num_samples == len(TONE) and float(np.abs(found.samples[0] - TONE).mean()) < 0.02


def test_the_checksum_is_that_of_the_specification() -> None:
    """Bit by bit: CRC-32, polynomial 0x04C11DB7, most significant bit first, nothing inverted."""
    page = bytes(range(256)) * 3
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
            register &= 0xFFFFFFFF
    assert page_checksum(page) == register


def test_what_others_say_on_stderr_is_heard_again_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_decoder():
        os.write(2, b"a decoder's words")
    os.write(2, b"ours")
    assert capfd.readouterr().err == "ours"


def test_a_wav_that_breaks_off_is_heard_and_said(recordings: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    whole = recordings["wav"]
    path.write_bytes(whole[: 44 + (len(whole) - 44) // 4])
    seconds, _, notes = heard(path)
    assert seconds == pytest.approx(SECONDS / 4, abs=0.01)
    assert notes == ["ends early: 25% of its sound is there"]
    path.write_bytes(whole + b"LIST\x04\0\0\0abcd")
    assert heard(path)[2] == []


def test_an_mp3_without_frames_is_refused_in_words(
    recordings: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # where ffmpeg is installed, it is asked, and has words of its own
    path = tmp_path / "x.mp3"
    path.write_bytes(recordings["mp3"][:40])
    with pytest.raises(AudioError, match="not audio that can be read: no sound was found in it"):
        open_recording(path)
