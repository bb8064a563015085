"""Audio files: round trips, tags, reasons for refusal, and files that survive a failed write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from melodygen.audio import files as audiofile
from melodygen.audio.buffer import Audio
from melodygen.audio.files import FORMATS, read_audio, read_audio_tags, write_audio
from melodygen.errors import AudioError, OutputExistsError

RATE = 44_100
TAGS = {
    "title": "Blues in Ä",
    "artist": "melodygen",
    "comment": json.dumps({"style": "blues", "seed": 7, "command": "x" * 900}),
}


def tone(channels: int = 2, seconds: float = 1.0) -> Audio:
    t = np.arange(round(seconds * RATE)) / RATE
    sides = [0.5 * np.sin(2 * np.pi * (440 + 220 * c) * t) for c in range(channels)]
    return Audio(np.array(sides, dtype=np.float32), RATE)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_round_trip_with_tags(tmp_path: Path, suffix: str, channels: int) -> None:
    path, audio = tmp_path / f"a{suffix}", tone(channels)
    write_audio(path, audio, TAGS)
    back = read_audio(path)
    assert (back.sample_rate, back.num_channels) == (RATE, channels)
    slack = 3000 if suffix == ".mp3" else 0
    assert abs(back.num_samples - audio.num_samples) <= slack
    spectrum = np.abs(np.fft.rfft(back.samples[0]))
    assert np.argmax(spectrum) * RATE / back.num_samples == pytest.approx(440, abs=2)
    if suffix in (".wav", ".flac"):
        assert np.abs(back.samples - audio.samples).max() < 1 / 32_000
    expected = TAGS | {"title": "Blues in A"} if suffix == ".mp3" else TAGS
    assert {k: v for k, v in read_audio_tags(path).items() if k in TAGS} == expected
    assert list(tmp_path.iterdir()) == [path]


def test_samples_beyond_full_scale_are_clipped_not_wrapped(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", Audio(np.full((1, 10), 1.7, dtype=np.float32), RATE))
    assert read_audio(tmp_path / "a.wav").samples.min() > 0.99


def test_opus_and_aiff_are_read(tmp_path: Path) -> None:
    for name, container, subtype in (("a.opus", "OGG", "OPUS"), ("a.aiff", "AIFF", "PCM_16")):
        sf.write(tmp_path / name, tone().samples.T, 48_000, format=container, subtype=subtype)
        assert read_audio(tmp_path / name).num_channels == 2


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio at all")
    (tmp_path / "zero.ogg").write_bytes(b"")
    sf.write(tmp_path / "none.wav", np.zeros((0, 1)), RATE)
    sf.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    reasons = {
        "missing.wav": "No such file",
        "text.wav": "not audio",
        "zero.ogg": "not audio",
        "none.wav": "no samples",
        "nan.wav": "NaN",
        "": "cannot be read",
    }
    for name, reason in reasons.items():
        with pytest.raises(AudioError, match=reason):
            read_audio(tmp_path / name)
    with pytest.raises(AudioError, match="not audio"):
        read_audio_tags(tmp_path / "text.wav")


def test_cut_files_are_read_or_refused_but_never_crash(tmp_path: Path) -> None:
    for suffix in FORMATS:
        whole = tmp_path / f"a{suffix}"
        write_audio(whole, tone(), overwrite=True)
        data = whole.read_bytes()
        for share in (0.02, 0.3, 0.7):
            whole.write_bytes(data[: int(len(data) * share)])
            try:
                audio = read_audio(whole)
            except AudioError:
                continue
            assert 0 < audio.num_samples <= RATE + 3000


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    for name, tags, reason in (
        ("a.xyz", {}, "'.xyz' is no audio format"),
        ("a", {}, "is no audio format"),
        ("/dev/null/a.wav", {}, "cannot be written"),
        ("a.wav", {"mood": "blue"}, "'mood' is unknown"),
        ("a.wav", {"title": "y" * 9000}, "9000 bytes"),
    ):
        with pytest.raises(AudioError, match=reason):
            write_audio(tmp_path / name, tone(), tags)
    with pytest.raises(AudioError, match="MP3 holds no 96000 Hz"):
        write_audio(tmp_path / "a.mp3", Audio(tone().samples, 96_000))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_existing_file_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, tone())
    before = path.read_bytes()
    with pytest.raises(OutputExistsError):
        write_audio(path, tone(1))

    class Failing(sf.SoundFile):
        def write(self, data: object) -> None:
            super().write(data)
            raise failure

    monkeypatch.setattr(audiofile.sf, "SoundFile", Failing)
    with pytest.raises(AudioError if isinstance(failure, OSError) else KeyboardInterrupt):
        write_audio(path, tone(1), overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
