"""The tagger of recordings: what it must not hang on, and what its taxonomy says of tags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from melodygen.audio.decode import open_recording
from melodygen.audio.excerpts import levelled, sounding_frames, spread_starts, without_silence
from melodygen.audio.musicnn_mel import SAMPLE_RATE, WINDOW_SAMPLES
from melodygen.classification.recognizer import RecognitionOptions, TrackClassifier
from melodygen.classification.tagger import NUM_WINDOWS, Tagger, load_tagger
from melodygen.classification.taxonomy import STYLE_TAGS, mood_of, style_logits
from melodygen.errors import AudioError, CheckpointError
from melodygen.resources import models_dir

pytestmark = pytest.mark.models
PLAIN = RecognitionOptions(rhythm=False)


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    """Without its head for music: plucked sines are none."""
    found = load_tagger()
    found.music_head = found.events = None
    return found


def music(seconds: float, seed: int = 0, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Plucked chords, another every half second."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    sound = 0.001 * rng.standard_normal(t.size)
    for start in np.arange(0, seconds, 0.5):
        after = np.maximum(t - start, 0)
        for hz in 110 * 2 ** (rng.integers(0, 30, 3) / 12):
            sound += 0.1 * np.sin(2 * np.pi * hz * after) * np.exp(-4 * after) * (t >= start)
    return sound.astype(np.float32)


@given(st.integers(1, 400_000), st.integers(1, 60_000), st.integers(1, 20))
def test_windows_lie_inside_and_overlap_in_short_sound_alone(num_samples: int, size: int, count: int) -> None:
    starts = spread_starts(num_samples, size, count)
    assert 1 <= len(starts) <= count and starts[0] >= 0
    if num_samples >= size:
        assert starts[-1] + size <= num_samples
        assert (np.diff(starts) >= size).all() or (num_samples < 3 * size and (np.diff(starts) <= size).all())
    if len(starts) > 1:
        assert starts[0] == 0 and starts[-1] + size == num_samples


@given(st.floats(0, 3), st.floats(0, 3), st.floats(0.3, 6))
@settings(max_examples=20, deadline=None)
def test_silence_is_cut_and_nothing_else(before: float, after: float, seconds: float) -> None:
    sound = music(seconds)
    padded = np.concatenate(
        (np.zeros(round(before * SAMPLE_RATE)), sound, np.zeros(round(after * SAMPLE_RATE)))
    ).astype(np.float32)
    kept = without_silence(padded, SAMPLE_RATE)
    assert abs(len(kept) - len(sound)) <= 0.7 * SAMPLE_RATE
    assert np.isclose((kept**2).sum(), (sound**2).sum(), rtol=1e-3)
    assert not len(without_silence(np.zeros(20_000, np.float32), SAMPLE_RATE))
    assert sounding_frames(sound, SAMPLE_RATE).all()


def test_gain_and_silence_around_move_nothing(tagger: Tagger) -> None:
    sound = music(9.6)
    plain = tagger.tag(sound)
    for other in (
        sound * 0.02,
        np.concatenate((np.zeros(160_000), sound, np.zeros(160_000))).astype(np.float32),
    ):
        found = tagger.tag(other)
        assert np.abs(found.styles.probabilities - plain.styles.probabilities).max() < 0.1
        assert found.embedding @ plain.embedding > 0.98 * np.linalg.norm(found.embedding) * np.linalg.norm(
            plain.embedding
        )
    assert np.isclose(np.sqrt((levelled(sound * 0.02) ** 2).mean()), 0.14, rtol=1e-3)


@pytest.mark.parametrize("seconds", [0.1, 0.7, 2.9, 3.1, 30.0])
def test_any_length_gives_whole_tags(tagger: Tagger, seconds: float) -> None:
    windows = tagger.windows(music(seconds))
    assert len(windows) <= NUM_WINDOWS and {len(w) for w in windows} == {len(windows[0])}
    found = tagger.tag_windows(windows)
    assert set(tagger.tags["msd"]) <= set(found.probabilities)
    assert list(found.probabilities.values()) == sorted(found.probabilities.values(), reverse=True)
    assert all(0 <= p <= 1 for p in found.probabilities.values())
    assert found.styles.labels == tuple(STYLE_TAGS) and found.embedding.shape == (200,)
    assert -1 <= found.mood.valence <= 1 and -1 <= found.mood.arousal <= 1


def test_the_music_head_reads_the_embeddings_of_both_nets(
    tagger: Tagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = tagger.windows(music(12.0))
    heard = tagger.outputs(windows)
    assert tagger.embed(windows).shape == (len(windows), 400)
    for at, expected in ((7, heard.weights @ heard.embeddings), (203, heard.player_embeddings.mean(axis=0))):
        weights = np.zeros(400)
        weights[at] = 1.0
        monkeypatch.setattr(tagger, "music_head", (weights, 0.1))
        odds = np.exp(float(expected[at % 200]) + 0.1)
        assert tagger.summary(heard).music == pytest.approx(odds / (1 + odds), abs=1e-5)


def test_the_event_detector_is_asked_in_doubt_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_tagger()
    events, windows = whole.events, whole.windows(music(12.0))
    assert events is not None
    asked: list[int] = []
    monkeypatch.setattr(events, "evidence", lambda heard: asked.append(len(heard)) or -1.8)
    for logit, times in ((40.0, 0), (-40.0, 0), (1.1, 1)):
        asked.clear()
        monkeypatch.setattr(whole, "music_head", (np.zeros(400), logit))
        found = whole.tag_windows(windows).music
        assert asked == [len(windows)] * times and found is not None
        assert (found > 0.5) is (logit > 2.0)  # the detector says no where the head does not know


def test_silence_has_no_tags(tagger: Tagger) -> None:
    with pytest.raises(AudioError):
        tagger.tag(np.zeros(SAMPLE_RATE, np.float32))


def test_a_long_file_is_heard_in_excerpts_as_if_whole(tagger: Tagger, tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    sound = np.tile(music(12.0, rate=44_100), 10)
    sf.write(path, np.stack((sound, sound), axis=1), 44_100)
    here = TrackClassifier(tagger, tagger)
    found = here.classify(path, PLAIN)
    whole = here.classify(path, RecognitionOptions(rhythm=False, segments=True))
    assert found.seconds == pytest.approx(120.0) and found.styles[0][0] == whole.styles[0][0]
    assert len(whole.segments) == 24 and found.mood is not None and found.notes == ()
    with open_recording(path) as recording:
        span = recording.span(60.0, 2.0, SAMPLE_RATE)
        assert recording.signal.num_frames == 2 * 44_100 and abs(len(span) - 2 * SAMPLE_RATE) <= 1
    cut = tmp_path / "cut.flac"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    shorter = here.classify(cut, PLAIN)
    assert 80 < shorter.seconds < 110 and "ends early" in shorter.notes[0]


def test_styles_follow_their_tags(tagger: Tagger) -> None:
    quiet = dict.fromkeys(tagger.tags["msd"], 0.02), dict.fromkeys(tagger.tags["mtt"], 0.02)
    for style, tags in STYLE_TAGS.items():
        for tag in tags:
            listeners, players = {**quiet[0]}, {**quiet[1]}
            (players if style == "classical" else listeners)[tag] = 0.9
            logits = style_logits(listeners, players)
            assert max(logits, key=logits.__getitem__) == style


def test_mood_follows_tags_signal_and_mode(tagger: Tagger) -> None:
    listeners = dict.fromkeys(tagger.tags["msd"], 0.05)
    players = dict.fromkeys(tagger.tags["mtt"], 0.05)
    plain = mood_of(listeners, players, 0.0, None)
    assert mood_of({**listeners, "happy": 0.6}, players, 0.0, None).valence > plain.valence
    assert mood_of({**listeners, "sad": 0.6}, players, 0.0, None).valence < plain.valence
    assert mood_of({**listeners, "metal": 0.8}, players, 0.0, None).arousal > plain.arousal
    assert mood_of(listeners, {**players, "slow": 0.7}, 0.0, None).arousal < plain.arousal
    assert mood_of(listeners, players, 1.0, None).arousal > plain.arousal
    assert (
        mood_of(listeners, players, 0.0, "minor").valence < mood_of(listeners, players, 0.0, "major").valence
    )


def test_a_broken_folder_is_refused(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((models_dir() / "musicnn" / name).read_bytes())
    Tagger.from_folder(tmp_path)
    (tmp_path / "config.json").write_text(
        (models_dir() / "musicnn" / "config.json").read_text().replace('"blues"', '"jazz"')
    )
    with pytest.raises(CheckpointError, match="50 tags"):
        Tagger.from_folder(tmp_path)
    assert WINDOW_SAMPLES == 48_128
