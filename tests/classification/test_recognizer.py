"""`melodygen classify`: whatever a music folder holds gives a result or a reason, and the rest goes on."""

from __future__ import annotations

import csv
import json
import os
import signal
import struct
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_classifier import save_tiny_classifier

from melodygen import worker_pool
from melodygen.analysis.rhythm import read_rhythm
from melodygen.audio.block_resampler import BlockResampler
from melodygen.audio.buffer import Audio
from melodygen.audio.decode import open_recording, read_mono
from melodygen.audio.features import mono_features, to_mono_at
from melodygen.classification import batch, recognizer
from melodygen.classification.batch import classify_file, classify_files, load_recognizer
from melodygen.classification.cnn import CnnClassifier
from melodygen.classification.recognizer import RecognitionOptions, TrackClassifier
from melodygen.classification.result import TrackError, TrackResult
from melodygen.classification.stream import StreamFormat, classify_stream
from melodygen.classification.symbolic import score_rhythm, stretch
from melodygen.errors import AudioError, CheckpointError, MelodygenError, MidiReadError
from melodygen.io.midi import write_midi
from melodygen.music.score import KeySignature, Score, Tempo, TimeSignature, Track, note_array
from melodygen.nets.checkpoint import read_config
from melodygen.resources import models_dir

LABELS = ("jazz", "folk", "hymn")
PLAIN = RecognitionOptions(rhythm=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights, whose music head calls everything music."""
    head = {"weights": [0.0] * 24, "bias": 3.0}
    return save_tiny_classifier(
        tmp_path_factory.mktemp("tiny"), LABELS, 2.0, temperature=1.5, music_head=head
    )


@pytest.fixture(scope="module")
def listener(folder: Path) -> TrackClassifier:
    return load_recognizer(str(folder))


def sound(
    seconds: float, rate: int = 22_050, channels: int = 1, seed: int = 1
) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    t = np.arange(max(1, round(seconds * rate))) / rate
    tones = sum(np.sin(2 * np.pi * hz * t) for hz in rng.uniform(100, 1500, 6))
    mono = 0.05 * tones * (0.6 + 0.4 * np.sign(np.sin(2 * np.pi * 2 * t)))
    return np.repeat(mono[:, None], channels, axis=1).astype(np.float32)


def wav(path: Path, samples: Any, rate: int = 22_050, **how: str) -> Path:
    sf.write(path, samples, rate, **how)
    return path


# ---- decoding


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from((8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 44_056, 192_000)),
    size=st.integers(1, 30_000),
    cuts=st.lists(st.integers(1, 9_000), min_size=1, max_size=12),
)
def test_resampling_by_blocks_equals_resampling_at_once(rate: int, size: int, cuts: list[int]) -> None:
    mono = np.random.default_rng(size).standard_normal(size).astype(np.float32) * 0.1
    whole = to_mono_at(Audio(mono, rate), 8_000)
    resampler, parts, at = BlockResampler(rate, 8_000), [], 0
    while at < size:
        step = cuts[len(parts) % len(cuts)]
        parts.append(resampler.push(mono[at : at + step]))
        at += step
    parts.append(resampler.flush())
    joined = np.concatenate(parts)
    assert len(joined) == len(whole)
    assert np.abs(joined - whole).max() < 1e-5


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 96_000, 192_000])
def test_channels_and_rates(listener: TrackClassifier, tmp_path: Path, channels: int, rate: int) -> None:
    found = listener.classify(wav(tmp_path / "a.wav", sound(2.0, rate, channels), rate), PLAIN)
    assert found.seconds == pytest.approx(2.0, abs=0.01)
    assert sum(p for _, p in found.styles) == pytest.approx(1.0)
    assert found.styles[0][0] in LABELS


def test_number_of_channels_and_depth_do_not_change_the_verdict(
    listener: TrackClassifier, tmp_path: Path
) -> None:
    mono = sound(12.0)
    reference = dict(listener.classify(wav(tmp_path / "f.wav", mono, subtype="FLOAT"), PLAIN).styles)
    others = [
        wav(tmp_path / f"{s}.wav", mono, subtype=s)
        for s in ("PCM_16", "PCM_24", "PCM_32", "DOUBLE", "PCM_U8")
    ]
    others += [wav(tmp_path / "many.wav", np.repeat(mono, 8, axis=1)), wav(tmp_path / "a.flac", mono)]
    others += [wav(tmp_path / "a.aiff", mono)]
    for path in others:
        other = dict(listener.classify(path, PLAIN).styles)
        assert max(abs(other[n] - reference[n]) for n in LABELS) < 0.05, path.name


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.flac", "a.opus"])
def test_compressed(listener: TrackClassifier, tmp_path: Path, name: str) -> None:
    how = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    found = listener.classify(wav(tmp_path / name, sound(3.0, 48_000), 48_000, **how), PLAIN)
    assert found.seconds == pytest.approx(3.0, abs=0.2) and found.styles


def test_as_the_classifier_in_memory(listener: TrackClassifier, tmp_path: Path, folder: Path) -> None:
    samples = sound(33.0, 44_100, 2)
    path = wav(tmp_path / "a.wav", samples, 44_100, subtype="FLOAT")
    expected = CnnClassifier.from_folder(folder).classify([Audio(samples.T.copy(), 44_100)])[0]
    for label, probability in listener.classify(path, PLAIN).styles:
        assert probability == pytest.approx(expected[label], abs=1e-3)


def test_long_tracks_are_heard_in_chapters(
    listener: TrackClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wav(tmp_path / "long.flac", sound(200.0, 8_000), 8_000)
    whole = listener.classify(path, RecognitionOptions(rhythm=False, segments=True))
    monkeypatch.setattr("melodygen.classification.recognizer.CHAPTER_SECONDS", 30.0)
    parts = listener.classify(path, RecognitionOptions(rhythm=False, segments=True))
    assert parts.seconds == whole.seconds == pytest.approx(200.0)
    assert parts.segments[0].start_seconds == 0 and parts.segments[-1].end_seconds == pytest.approx(200.0)
    starts = [s.start_seconds for s in parts.segments]
    assert starts == sorted(starts) and max(np.diff(starts)) <= 10.0
    assert dict(parts.styles)[whole.styles[0][0]] == pytest.approx(whole.styles[0][1], abs=0.1)


# ---- what may be wrong with a file


@pytest.mark.parametrize("seconds", [0.1, 0.5])
def test_short(listener: TrackClassifier, tmp_path: Path, seconds: float) -> None:
    assert listener.classify(wav(tmp_path / "a.wav", sound(seconds)), PLAIN).styles


def test_too_short(listener: TrackClassifier, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"45 ms are too short.*at least 0.1 s"):
        listener.classify(wav(tmp_path / "a.wav", sound(0.045)), PLAIN)


@pytest.mark.parametrize("level", [0.0, 0.5], ids=["silence", "DC"])
def test_silence_and_dc_are_no_music(listener: TrackClassifier, tmp_path: Path, level: float) -> None:
    found = listener.classify(wav(tmp_path / "a.wav", np.full((50_000, 2), level, np.float32)))
    assert found.not_music == "silence" and not found.styles and found.rhythm.qpm is None


def test_dc_below_music_is_not_heard(listener: TrackClassifier, tmp_path: Path) -> None:
    music = sound(10.0)
    one = listener.classify(wav(tmp_path / "a.wav", music, subtype="FLOAT"), PLAIN)
    two = listener.classify(wav(tmp_path / "b.wav", music + 0.25, subtype="FLOAT"), PLAIN)
    assert dict(two.styles)[one.styles[0][0]] == pytest.approx(one.styles[0][1], abs=0.02)


def test_nan_is_passed_over_or_refused(listener: TrackClassifier, tmp_path: Path) -> None:
    samples = sound(5.0)
    samples[100:120] = np.nan
    samples[200] = np.inf
    samples[300] = 1e30
    found = listener.classify(wav(tmp_path / "few.wav", samples, subtype="FLOAT"), PLAIN)
    assert found.styles and any("22 samples" in n for n in found.notes)
    samples[::3] = np.nan
    with pytest.raises(AudioError, match="NaN, infinite or beyond"):
        listener.classify(wav(tmp_path / "many.wav", samples, subtype="FLOAT"), PLAIN)


def test_clipping_is_told(listener: TrackClassifier, tmp_path: Path) -> None:
    found = listener.classify(wav(tmp_path / "a.wav", np.clip(sound(3.0) * 40, -1, 1)), PLAIN)
    assert found.styles and any("clipped" in n for n in found.notes)


def test_truncated(listener: TrackClassifier, tmp_path: Path) -> None:
    whole = wav(tmp_path / "a.flac", sound(20.0)).read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    found = listener.classify(tmp_path / "cut.flac", PLAIN)
    assert 3 < found.seconds < 17 and any("ends early" in n for n in found.notes)
    (tmp_path / "head.flac").write_bytes(whole[:50])
    with pytest.raises(MelodygenError):
        listener.classify(tmp_path / "head.flac", PLAIN)


def test_wrong_extension(listener: TrackClassifier, tmp_path: Path) -> None:
    flac = wav(tmp_path / "a.flac", sound(2.0))
    assert listener.classify(flac.rename(tmp_path / "a.mp3"), PLAIN).styles
    write_midi(tmp_path / "b.mid", tune())
    assert listener.classify((tmp_path / "b.mid").rename(tmp_path / "b.wav"), PLAIN).kind == "score"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello there", "not audio"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "not audio"),
        (bytes(4000), "not audio"),
    ],
    ids=["empty", "text", "header", "zeros"],
)
def test_no_audio(listener: TrackClassifier, tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    failure = classify_file(listener, tmp_path / "a.wav", PLAIN)
    assert isinstance(failure, TrackError) and reason in failure.reason and "\n" not in failure.reason


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_corrupt_bytes_never_escape(
    listener: TrackClassifier, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any bytes changed in a file give a result or a one-line reason."""
    kind = data.draw(st.sampled_from(("WAV", "FLAC", "AIFF", "OGG")))
    buffer = BytesIO()
    sf.write(buffer, sound(0.3, 8_000), 8_000, format=kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content) - 1, 120)))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "a.bin"
    path.write_bytes(content)
    result = classify_file(listener, path, PLAIN)
    assert isinstance(result, TrackResult) or ("cannot be heard" not in result.reason and result.reason)


@pytest.mark.parametrize(
    "name", ["Чайковский — Лебединое озеро.wav", "🎷 blues 🎸.flac", "a b'c\"d.wav", "x" * 200 + ".wav"]
)
def test_names(listener: TrackClassifier, tmp_path: Path, name: str) -> None:
    assert listener.classify(wav(tmp_path / name, sound(0.5)), PLAIN).path.endswith(name)


def test_missing_folder_and_unreadable(listener: TrackClassifier, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.wav", tmp_path):
        assert isinstance(classify_file(listener, path, PLAIN), TrackError)
    closed = wav(tmp_path / "closed.wav", sound(0.5))
    closed.chmod(0)
    if not os.access(closed, os.R_OK):
        failure = classify_file(listener, closed, PLAIN)
        assert isinstance(failure, TrackError) and "ermission" in failure.reason


# ---- music or not, rhythm


def test_music_head(folder: Path, tmp_path: Path) -> None:
    judge = CnnClassifier.from_folder(folder)
    path = wav(tmp_path / "a.wav", sound(3.0))
    assert TrackClassifier(judge, judge).classify(path, PLAIN).music == pytest.approx(1 / (1 + np.exp(-3.0)))
    judge.music_head = (np.zeros(24), -3.0)
    found = TrackClassifier(judge, judge).classify(path, RecognitionOptions())
    assert found.not_music == "speech or noise" and not found.styles and found.rhythm.key is None
    judge.music_head = None
    assert TrackClassifier(judge, judge).classify(path, PLAIN).music is None


def test_broken_music_head_is_refused(folder: Path, tmp_path: Path) -> None:
    for head in ({"weights": [1.0], "bias": 0.0}, {"bias": 1.0}, {"weights": ["a"] * 24, "bias": 0.0}):
        copy = tmp_path / f"c{len(str(head))}"
        copy.mkdir()
        (copy / "config.json").write_text(json.dumps(read_config(folder) | {"music_head": head}))
        (copy / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
        with pytest.raises(CheckpointError, match="music_head"):
            CnnClassifier.from_folder(copy)


@pytest.mark.parametrize(("qpm", "beats"), [(120.0, 4), (96.0, 3)])
def test_rhythm_of_a_clear_signal(qpm: float, beats: int) -> None:
    """Clicks with an accent and a chord: tempo (or twice, or half of it), meter and key."""
    rate, seconds = 8_000, 40.0
    rng = np.random.default_rng(1)
    t = np.arange(round(rate * seconds)) / rate
    mono = 0.03 * sum(np.sin(2 * np.pi * hz * t) for hz in (220.0, 261.63, 329.63, 440.0))
    burst = rng.standard_normal(rate // 25) * np.exp(-np.arange(rate // 25) / 60)
    low = np.sin(2 * np.pi * 90 * np.arange(rate // 5) / rate) * np.exp(-np.arange(rate // 5) / 400)
    for n, at in enumerate(np.arange(0, seconds - 0.5, 60 / qpm)):
        start = round(at * rate)
        mono[start : start + len(burst)] += 0.25 * burst
        if n % beats == 0:
            mono[start : start + len(low)] += 0.8 * low
    found = read_rhythm(mono.astype(np.float32), rate)
    assert found.qpm is not None and min(abs(found.qpm - qpm * f) / qpm for f in (0.5, 1, 2)) < 0.04
    assert found.meter == (beats, 4)
    assert found.key == (9, "minor")


def test_rhythm_of_nothing() -> None:
    assert read_rhythm(np.zeros(80_000, np.float32), 8_000).qpm is None
    assert read_rhythm(np.ones(80, np.float32), 8_000).qpm is None


def tune(minutes: float = 0.2, **more: Any) -> Score:
    pitches = (62, 66, 69, 74)
    count = round(minutes * 60 * 2)
    rows = [(i * 480, 400, pitches[i % 4], 80) for i in range(count)]
    return Score((Track(note_array(rows), 0, False, "melody", "tune"),), (Tempo(0, 120.0),), **more)


def test_scores(listener: TrackClassifier, tmp_path: Path) -> None:
    write_midi(tmp_path / "a.mid", tune(3.0, time_signatures=(TimeSignature(0, 3, 4),)))
    found = listener.classify(tmp_path / "a.mid")
    assert found.kind == "score" and found.seconds == pytest.approx(180, abs=1)
    assert found.rhythm.qpm == 120 and found.rhythm.meter == (3, 4) and found.rhythm.key == (2, "major")
    assert any("a minute from the middle" in n for n in found.notes)


def test_a_verdict_below_the_threshold_of_the_checkpoint_is_unsure(folder: Path, tmp_path: Path) -> None:
    write_midi(tmp_path / "a.mid", tune(3.0))
    judge = CnnClassifier.from_folder(folder)
    assert judge.unsure_below == 0
    found = TrackClassifier(judge, judge).classify(tmp_path / "a.mid", PLAIN)
    assert not found.unsure
    for threshold, unsure in ((found.styles[0][1] - 0.01, False), (found.styles[0][1] + 0.01, True)):
        judge.unsure_below = threshold
        again = TrackClassifier(judge, judge).classify(tmp_path / "a.mid", PLAIN)
        assert again.unsure == unsure and again.styles == found.styles


def test_the_key_of_notes_is_told_by_music21s_profiles() -> None:
    """C major that dwells on its fifth: Krumhansl and Kessler's profiles call it G major."""
    weights = [(7, 34), (0, 18), (4, 14), (2, 14), (5, 8), (9, 6), (11, 10)]
    notes, at = [], 0
    for pitch_class, quarters in weights:
        notes.append((at * 480, quarters * 480, 60 + pitch_class, 80))
        at += quarters
    score = Score(
        (Track(note_array(notes), 0, False, "melody", "m"),), (Tempo(0, 120.0),), ticks_per_quarter=480
    )
    assert score_rhythm(score).key == (0, "major")


def test_a_signature_is_evidence_and_not_proof() -> None:
    """The tune is in D major beyond doubt: no signature, least of all a default C major, makes it another key."""
    for signature in (KeySignature(0, 2, "major"), KeySignature(0, 0, "major"), KeySignature(0, 11, "minor")):
        assert score_rhythm(tune(key_signatures=(signature,))).key == (2, "major")


def test_stretch_keeps_time() -> None:
    cut = stretch(tune(4.0), 60.0)
    assert cut.duration_seconds == pytest.approx(60.0, abs=0.6)
    assert abs(cut.num_notes - 120) <= 1


def test_empty_and_broken_midi(listener: TrackClassifier, tmp_path: Path) -> None:
    write_midi(tmp_path / "a.mid", Score((), (Tempo(0, 120.0),)))
    (tmp_path / "b.mid").write_bytes(b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\xffxx")
    for name in ("a.mid", "b.mid"):
        with pytest.raises(MidiReadError):
            listener.classify(tmp_path / name)


# ---- batches


def test_a_crash_in_a_worker_is_named_and_the_rest_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is kept. (Workers are threads of this process here; the real ones are tried by the command.)"""
    from concurrent.futures import ThreadPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    here = load_recognizer(str(folder))

    class Pool(ThreadPoolExecutor):
        _processes: dict[int, Any] = {}  # noqa: RUF012

    def hear(path: Path, options: RecognitionOptions) -> Any:
        if path.name == "3.wav":
            raise BrokenProcessPool("gone")
        return classify_file(here, path, options)

    monkeypatch.setattr(worker_pool, "_executor", lambda workers, *begin: Pool(workers))
    monkeypatch.setattr(batch, "_classify_in_worker", hear)
    paths = [wav(tmp_path / f"{i}.wav", sound(0.3, seed=i)) for i in range(8)]
    results = list(classify_files(paths, PLAIN, str(folder), 2))
    assert [Path(r.path).name for r in results] == [p.name for p in paths]
    assert [isinstance(r, TrackError) for r in results] == [i == 3 for i in range(8)]


def command(folder: Path, *arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "melodygen", "classify", "--classifier", str(folder), *arguments],
        capture_output=True, timeout=100, env={**os.environ, "OMP_NUM_THREADS": "1"}, **more,
    )  # fmt: skip


def test_command(folder: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    (music / "deep").mkdir(parents=True)
    for i in range(2):
        wav(music / f"{i} ж.wav", sound(6.0, seed=i))
    wav(music / "deep" / "d.flac", sound(1.0))
    wav(music / "silence.wav", np.zeros(40_000))
    (music / "bad.mp3").write_bytes(b"nothing")
    (music / "cover.jpg").write_bytes(b"jpg")
    table, pictures = tmp_path / "out.csv", tmp_path / "pictures"
    done = command(
        folder, str(music), "-r", "--json", "--csv", str(table), "--workers", "2", "--segments",
        "--plot", str(pictures), "--no-rhythm",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    by_name = {Path(t["path"]).name: t for t in report["tracks"]}
    assert (
        set(by_name) == {"0 ж.wav", "1 ж.wav", "bad.mp3", "d.flac", "silence.wav"} and report["failed"] == 1
    )
    assert "not audio" in by_name["bad.mp3"]["error"]
    assert by_name["silence.wav"]["not_music"] == "silence"
    assert by_name["0 ж.wav"]["segments"] and set(by_name["0 ж.wav"]["styles"]) == set(LABELS)
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 5 and {r["style1"] for r in rows if r["style1"]} <= set(LABELS)
    assert (pictures / "0 ж.wav.png").read_bytes()[:4] == b"\x89PNG"
    again = command(folder, str(music), "--csv", str(table))
    assert again.returncode == 1 and b"already there" in again.stderr and not again.stdout


def test_usage(folder: Path, tmp_path: Path) -> None:
    empty = command(folder, str(tmp_path))
    assert (
        empty.returncode == 2
        and b"no audio, MIDI or score file" in empty.stderr
        and b"--recursive" in empty.stderr
    )
    dash = command(folder, "-")
    assert dash.returncode == 2 and b"give --stdin" in dash.stderr


# ---- live


def raw(seconds: float) -> bytes:
    return (sound(seconds, 16_000) * 32_767).astype("<i2").tobytes()


def test_stream_gives_an_estimate_every_second(folder: Path) -> None:
    judge = CnnClassifier.from_folder(folder)
    found = list(classify_stream(BytesIO(raw(14.5)), judge, StreamFormat(16_000, 1)))
    assert [round(s.end_seconds) for s in found[:-1]] == list(range(1, len(found)))
    assert len(found) == 15 and found[-1].end_seconds == pytest.approx(14.5, abs=0.05)
    assert found[-1].end_seconds - found[-1].start_seconds == pytest.approx(10.0, abs=0.01)
    assert all(sum(p for _, p in s.styles) == pytest.approx(1.0) for s in found)


def test_wav_header_on_a_stream_is_obeyed(folder: Path, tmp_path: Path) -> None:
    judge = CnnClassifier.from_folder(folder)
    content = wav(tmp_path / "a.wav", sound(3.0, 16_000), 16_000, subtype="PCM_16").read_bytes()
    endless = content[:40] + struct.pack("<I", 0xFFFFFFFF) + content[44:]
    plain = list(classify_stream(BytesIO(content[44:]), judge, StreamFormat(16_000, 1)))
    for data in (content, endless):
        found = list(classify_stream(BytesIO(data), judge, StreamFormat(44_100, 2, "f32")))
        assert [s.end_seconds for s in found] == pytest.approx([s.end_seconds for s in plain], abs=0.01)
        for one, two in zip(found, plain, strict=True):
            assert dict(one.styles) == pytest.approx(dict(two.styles), abs=0.01)


@pytest.mark.parametrize(
    ("encoding", "data"),
    [("s24", b"\x00\x00\x40\x00\x00\xc0"), ("s16", b"\x00\x40\x00\xc0"), ("u8", b"\xc0\x40"),
     ("f32", struct.pack("<2f", 0.5, -0.5)), ("s32", struct.pack("<2i", 2**30, -(2**30)))],
)  # fmt: skip
def test_encodings(encoding: str, data: bytes) -> None:
    assert StreamFormat(8_000, 1, encoding).to_mono(data).tolist() == [0.5, -0.5]


def test_stream_of_nothing_and_of_silence(folder: Path) -> None:
    judge = CnnClassifier.from_folder(folder)
    with pytest.raises(AudioError, match="nothing was heard"):
        list(classify_stream(BytesIO(b""), judge, StreamFormat()))
    silent = list(classify_stream(BytesIO(bytes(16_000 * 4)), judge, StreamFormat(16_000, 1)))
    assert [s.styles for s in silent] == [(), ()]


def test_watch_hears_what_arrives_and_leaves_on_ctrl_c(folder: Path, tmp_path: Path) -> None:
    wav(tmp_path / "old.wav", sound(0.5))
    arguments = ["classify", "--classifier", str(folder), "--watch", str(tmp_path), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "melodygen", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509  pytest may run behind a `&`
    )  # fmt: skip
    try:
        assert process.stderr is not None and process.stdout is not None
        assert b"watching" in process.stderr.readline()
        time.sleep(0.5)
        wav(tmp_path / "new.wav", sound(0.5))
        record = json.loads(process.stdout.readline())
        assert record["path"].endswith("new.wav") and record["styles"]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.communicate()


# ---- the shipped checkpoint


@pytest.mark.models
@pytest.mark.skipif(not (models_dir() / "style-cnn" / "config.json").is_file(), reason="no weights here")
def test_the_one_that_fits_is_taken(tmp_path: Path) -> None:
    here = load_recognizer()
    write_midi(tmp_path / "a.mid", tune())
    wav(tmp_path / "a.wav", sound(3.0))
    assert here.classify(tmp_path / "a.mid").classifier.startswith("style-cnn-")
    assert here.classify(tmp_path / "a.wav", PLAIN).classifier.startswith("musicnn-")


def test_reading_stops_where_asked(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", sound(30.0, 8_000), 8_000)
    assert len(read_mono(path, 8_000, 7.5)) == 60_000
    with open_recording(path) as recording:
        assert recording.expected_frames == 240_000 and recording.decoder == "libsndfile"


@pytest.mark.parametrize("seconds", [5.0, 600.0])
def test_one_reading_gives_what_a_reading_at_each_rate_gives(tmp_path: Path, seconds: float) -> None:
    path = wav(tmp_path / "a.wav", sound(11.3, 44_100, 2), 44_100)
    with open_recording(path) as recording:
        sounds, is_all = recording.mono_at((8_000, 16_000), seconds)
    assert is_all == (seconds > 11.3)
    for rate, mono in zip((8_000, 16_000), sounds, strict=True):
        assert np.array_equal(mono, read_mono(path, rate, seconds))


@pytest.mark.models
def test_a_recording_is_opened_once_for_all_who_hear_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wav(tmp_path / "a.wav", sound(4.0, 44_100, 2), 44_100)
    opened: list[Path] = []
    monkeypatch.setattr(
        recognizer, "open_recording", lambda path: opened.append(path) or open_recording(path)
    )
    found = load_recognizer().listen(path)
    assert opened == [path] and found.fused is None and found.recording is not None
    tagger, mono = found.recording
    assert np.array_equal(mono, read_mono(path, tagger.sample_rate))
    front_end = found.classifier.front_end
    assert np.array_equal(found.windows, mono_features(read_mono(path, front_end.sample_rate), front_end))
