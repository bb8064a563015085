"""Labelled folders: folds that do not cut through an artist, `evaluate classifier`, `map`, learning from clips."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pieces import tune
from tiny_classifier import NET, save_tiny_classifier
from typer.testing import CliRunner

from melodygen.audio.features import FrontEndConfig, conditioned, features, hz_to_mel, log_levels, mel_to_hz
from melodygen.audio.files import write_audio
from melodygen.audio.synthetic import NOISES, make_noise, make_speech
from melodygen.classification.batch import load_recognizer
from melodygen.classification.recognizer import RecognitionOptions, TrackClassifier
from melodygen.classification.symbolic import read_symbolic
from melodygen.cli.app import app
from melodygen.errors import CheckpointError, CorpusError, MelodygenError
from melodygen.evaluation.baselines import NAMES, cross_validated
from melodygen.evaluation.collection_map import page
from melodygen.evaluation.comparison import evaluate_labelled
from melodygen.evaluation.folds import grouped_folds, grouped_interval
from melodygen.evaluation.labelled import classify_labelled, read_labelled
from melodygen.evaluation.stability import CHANGES
from melodygen.io.midi import write_midi
from melodygen.nets.cnn import StyleCnn
from melodygen.rendering.draft import render_draft
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.training.classifier.recordings import AdaptRecipe, Clips, adapt, soup, widen

LABELS = ("low", "high", "other")
RATE = 8_000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_classifier(tmp_path_factory.mktemp("tiny"), LABELS)


def tone(seed: int, low: bool) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    t = np.arange(round(2.5 * RATE)) / RATE
    base = rng.uniform(100, 180) if low else rng.uniform(900, 1600)
    beat = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * rng.uniform(1, 4) * t))
    return 0.2 * beat * sum(
        np.sin(2 * np.pi * base * k * t) / k for k in (1, 2)
    ) + 0.005 * rng.standard_normal(len(t))


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labels that anything with ears can tell apart, six bands of two tracks each."""
    folder = tmp_path_factory.mktemp("collection")
    for label in ("low", "high"):
        for i in range(12):
            path = folder / label / f"band {i % 6}" / f"{i} <&>.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, tone(i + 100 * (label == "low"), label == "low"), RATE)
    return folder


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=12, max_size=80),
    folds=st.integers(2, 5),
    seed=st.integers(0, 3),
)
def test_folds_never_cut_through_a_group(rows: list[tuple[int, int]], folds: int, seed: int) -> None:
    groups = [f"artist {g}" for g, _ in rows]
    targets = np.array([t for _, t in rows], dtype=np.int64)
    fold = grouped_folds(groups, targets, folds, seed)
    assert set(fold) <= set(range(folds))
    for group in set(groups):
        assert len({int(f) for f, g in zip(fold, groups, strict=True) if g == group}) == 1


def test_folds_are_even_where_they_can_be() -> None:
    targets = np.array([i % 3 for i in range(90)], dtype=np.int64)
    fold = grouped_folds([str(i) for i in range(90)], targets, 5)
    counts = np.array([[((fold == f) & (targets == t)).sum() for t in range(3)] for f in range(5)])
    assert (counts == 6).all()


def test_interval_over_groups_is_wider_than_over_tracks() -> None:
    right = np.repeat(np.random.default_rng(1).random(20) < 0.7, 10)
    narrow = grouped_interval(right, [str(i) for i in range(200)])
    wide = grouped_interval(right, [str(i // 10) for i in range(200)])
    assert wide[1] - wide[0] > 1.8 * (narrow[1] - narrow[0])


def test_reading_labels(tmp_path: Path, collection: Path) -> None:
    items = read_labelled(collection)
    assert len(items) == 24 and {i.label for i in items} == {"low", "high"}
    assert len({i.group for i in items}) == 12
    (tmp_path / "labels.csv").write_text("path,label,artist\na.wav,jazz,x\nb.wav,blues,\n,jazz,y\n")
    table = read_labelled(tmp_path)
    assert [(i.label, i.group) for i in table] == [("jazz", "x"), ("blues", "b.wav")]
    (tmp_path / "labels.csv").write_text("file,style\na.wav,jazz\n")
    with pytest.raises(CorpusError, match="columns path and label"):
        read_labelled(tmp_path)


def test_one_label_alone_is_refused_before_anything_is_heard(tmp_path: Path) -> None:
    (tmp_path / "jazz").mkdir()
    (tmp_path / "jazz" / "a.wav").write_bytes(b"no sound at all")
    done = CliRunner().invoke(app, ["evaluate", "classifier", str(tmp_path)])
    assert done.exit_code == 1 and "all tracks are labelled 'jazz'" in done.stderr


def test_judge_and_baselines(checkpoint: Path, collection: Path) -> None:
    heard, failed = classify_labelled(read_labelled(collection), load_recognizer(str(checkpoint)))
    assert len(heard) == 24 and not failed
    result = evaluate_labelled(heard, True, 3, 0)
    assert not result.unknown and len(result.reports) == 2 + len(NAMES)
    for name in ("logistic regression", "random forest", "SVM", "MFCC + SVM", "LSTM"):
        row = result.reports[f"{name} (cross-validated)"]
        assert row.report.accuracy > 0.9, name
        assert row.interval[0] <= row.report.accuracy <= row.interval[1]
    told = result.to_dict()
    assert json.dumps(told)
    free, among = (r for n, r in result.reports.items() if n.startswith("tiny-"))
    assert among.report.accuracy >= free.report.accuracy
    assert among.report.confusion[:, 2].sum() == 0, "a label the folder does not hold"
    with pytest.raises(CorpusError, match="12 artists cannot be dealt to 13 folds"):
        evaluate_labelled(heard, True, 13, 0)
    with pytest.raises(CorpusError, match="at least two labels"):
        evaluate_labelled(heard[:1], False, 2, 0)


def test_music_and_what_changes_leave_alone_stand_in_the_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for number, label in enumerate(("Jazz", "blues", "jazz", "blues", "Noise", "speech")):
        path = tmp_path / label / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        is_noise = label in ("Noise", "speech")
        sound = make_noise("band", rng, 7.0, 16_000) if is_noise else np.tile(tone(number, True), 3)
        sf.write(path, sound, 16_000 if is_noise else RATE)
    done = CliRunner().invoke(app, ["evaluate", "classifier", str(tmp_path), "--json", "--folds", "2"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["told"].startswith("6 tracks of 2 labels")
    shares = report["shares"]
    assert shares["no music, told"]["tracks"] == 2 and shares["music, heard as music"]["tracks"] == 4
    kept = {name: part for name, part in shares.items() if name.startswith("verdict kept")}
    assert len(kept) == len(CHANGES) and all(part["tracks"] == 4 for part in kept.values())
    assert kept["verdict kept: gain - 20 dB"]["share"] == 1.0
    assert "musicnn's embedding + SVM (cross-validated)" in report["results"]
    shown = CliRunner().invoke(app, ["evaluate", "classifier", str(tmp_path), "--no-changes"])
    assert "no music, told" in shown.output and "verdict kept" not in shown.output
    for number in range(4):
        (tmp_path / ("Jazz", "blues", "jazz", "blues")[number] / f"{number}.wav").unlink()
    alone = CliRunner().invoke(app, ["evaluate", "classifier", str(tmp_path), "--json"])
    assert alone.exit_code == 0 and json.loads(alone.stdout)["results"] == {}, "labels of music alone"


@pytest.mark.models
def test_scores_are_judged_as_classify_judges_them_and_by_the_cnn_alone_beside(tmp_path: Path) -> None:
    for label, meter in (("folk", (6, 8)), ("hymn", (3, 4)), ("rock", (4, 4))):
        (tmp_path / label).mkdir()
        write_midi(tmp_path / label / "a.mid", tune(16, meter, ("melody", "chords", "bass", "drums")))
    shipped, renderer = load_recognizer(), Mock(wraps=SamplerRenderer())
    recognizer = TrackClassifier(shipped.for_recordings, shipped.for_renders, renderer)
    audio = render_draft(read_symbolic(tmp_path / "rock" / "a.mid"), SamplerRenderer())
    write_audio(tmp_path / "rock" / "b.flac", audio, {"software": "melodygen 1.0"})
    heard, failed = classify_labelled(read_labelled(tmp_path), recognizer, num_changed=4)
    assert len(heard) == 4 and not failed
    assert renderer.render.call_count == 3, "each score once"
    for one in heard:
        found = recognizer.classify(one.item.path, RecognitionOptions(rhythm=False))
        assert one.said is not None and one.said.classifier_id == found.classifier
        assert tuple(one.said.top(len(found.styles))) == found.styles
        assert one.tags is None and not one.after, "a render is no recording"
    rows = evaluate_labelled(heard, False, 5, 0).reports
    both, alone = heard[0].said.classifier_id, heard[0].classifier.classifier_id  # type: ignore[union-attr]
    among = ", among these labels"
    assert list(rows) == [both, both + among, f"{alone} alone", f"{alone} alone{among}"]
    assert rows[both].report.calibration_error != rows[f"{alone} alone"].report.calibration_error
    asked, _ = classify_labelled(read_labelled(tmp_path), load_recognizer("style-cnn"))
    assert list(evaluate_labelled(asked, False, 5, 0).reports) == [alone, alone + among]


def test_a_baseline_never_sees_its_own_fold(checkpoint: Path, collection: Path) -> None:
    """With labels dealt at random to artists there is nothing to learn but the tracks themselves."""
    heard, _ = classify_labelled(read_labelled(collection), load_recognizer(str(checkpoint)))
    targets = np.random.default_rng(3).integers(0, 2, 24)
    fold = np.arange(24) % 4
    said = cross_validated("decision tree", heard, targets, fold, 2).argmax(axis=1)
    assert (said == targets).mean() < 0.85


def test_without_scikit_learn_it_is_said_how_to_get_it(
    checkpoint: Path, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, _ = classify_labelled(read_labelled(collection)[:2], load_recognizer(str(checkpoint)))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MelodygenError, match=r"pip install 'melodygen\[eval\]'"):
        cross_validated("SVM", heard, np.array([0, 1]), np.array([0, 1]), 2)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.dots: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        if tag == "g":
            self.dots.append(held)
        self.links += [v for k, v in attrs if k in ("src", "href") and v]


def test_commands(checkpoint: Path, collection: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    where = [str(collection), "--classifier", str(checkpoint)]
    done = runner.invoke(app, ["evaluate", "classifier", *where, "--json", "--plot", str(tmp_path / "c.png")])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["failed"] == [] and report["shares"] == {}, "a CNN is asked about no changes"
    assert len(report["results"]) == 3 and report["results"]["MFCC + SVM (cross-validated)"]["accuracy"] > 0.9
    assert (tmp_path / "c.png").stat().st_size > 1000
    out = tmp_path / "map.html"
    done = runner.invoke(app, ["map", *where, "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    layout = json.loads(done.stdout)
    assert layout["clusters"] == 2 and layout["agreement"] == pytest.approx(1.0), "K-means finds low and high"
    text = out.read_text(encoding="utf-8")
    tags = Tags(text)
    assert len(tags.dots) == 24 and tags.links == []
    assert not re.search(r"https?://|@import|url\(", text), "nothing from a network"
    assert any(d["data-told"] and d["data-told"].startswith("0 <&>.wav: low") for d in tags.dots)
    again = runner.invoke(app, ["map", *where, "--out", str(out)])
    assert again.exit_code == 1
    png = runner.invoke(app, ["map", *where, "--out", str(tmp_path / "map.png"), "--quiet"])
    assert png.exit_code == 0 and (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    assert runner.invoke(app, ["map", *where, "--out", "map.svg"]).exit_code == 2
    assert callable(page)


# ---- learning from clips


@pytest.fixture(scope="module")
def clips(collection: Path) -> Clips:
    config = FrontEndConfig()
    items = read_labelled(collection)
    levels = np.concatenate([features_of(i.path, config) for i in items])
    power = (10 ** ((levels * 30 - 10) / 10)).astype(np.float32)
    targets = np.array([LABELS.index(i.label) for i in items], dtype=np.int64)
    return Clips(power, np.arange(len(items)), targets, config)


def features_of(path: Path, config: FrontEndConfig) -> Any:
    from melodygen.audio.files import read_audio

    return features(read_audio(path), config)


def test_adapting_learns_the_clips_that_are_kept_and_leaves_the_base_alone(clips: Clips) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        base = StyleCnn(2, 80, **NET)
    wide = widen(base, ["other", "low"], LABELS, NET, 80)
    assert torch.equal(wide.head.weight[0], base.head.weight[1]) and torch.equal(
        wide.head.weight[2], base.head.weight[0]
    )
    assert torch.allclose(wide.head.weight[1], base.head.weight.mean(dim=0))
    before = {k: v.clone() for k, v in wide.state_dict().items()}
    recipe = AdaptRecipe(
        steps=100, rows=16, learning_rate=3e-3, average=0.9, mixup=0.1, dropout=0.0, distort=0.3, bf16=False
    )
    kept = np.arange(24) % 4 != 0
    with torch.random.fork_rng():
        nets = [adapt(wide, clips, kept, None, AdaptRecipe(**{**vars(recipe), "seed": s})) for s in (1, 2)]
        same = adapt(wide, clips, kept, None, recipe)
    assert all(torch.equal(v, before[k]) for k, v in wide.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), nets[0].parameters(), strict=True))
    mean = soup(nets)
    halves = [(n.head.weight[0, 0].item()) for n in nets]
    assert mean.head.weight[0, 0].item() == pytest.approx(sum(halves) / 2, abs=1e-6)
    with torch.inference_mode():
        said = nets[0](torch.from_numpy(log_levels(clips.power, clips.config))).argmax(dim=1).numpy()
    assert (said[~kept] == clips.target[~kept]).mean() >= 0.8, "clips it did not learn from"


@pytest.mark.parametrize("kind", sorted(NOISES))
def test_noises_are_sound(kind: str) -> None:
    one = make_noise(kind, np.random.default_rng(1), 3.0, RATE)
    assert len(one) == 3 * RATE and np.isfinite(one).all() and one.std() == pytest.approx(0.1, rel=0.15)
    assert not np.array_equal(one, make_noise(kind, np.random.default_rng(2), 3.0, RATE))


def test_speech_is_strung_to_length() -> None:
    words = [np.sin(np.arange(n) / 5).astype(np.float32) for n in (3_000, 9_000)]
    for vary in (False, True):
        spoken = make_speech(words, np.random.default_rng(1), 6.0, RATE, vary)
        assert len(spoken) == 6 * RATE and np.isfinite(spoken).all()


# ---- the switches of the front end


def test_switches_off_change_nothing_and_are_not_written() -> None:
    assert set(FrontEndConfig().to_dict()).isdisjoint({"denoise_db", "band_hz"})
    config = FrontEndConfig(denoise_db=12.0, band_hz=(80.0, 3000.0))
    assert FrontEndConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    power = np.random.default_rng(1).random((2, 80, 50), dtype=np.float32)
    assert conditioned(power, FrontEndConfig()) is power
    with pytest.raises(CheckpointError):
        FrontEndConfig(band_hz=(3000.0, 80.0))
    with pytest.raises(CheckpointError):
        FrontEndConfig(denoise_db=-1.0)


def test_gate_turns_the_floor_down_and_leaves_the_music() -> None:
    power = np.full((80, 200), 1e-3, np.float32)
    power[20, 50:100] = 1.0
    gated = conditioned(power, FrontEndConfig(denoise_db=12.0))
    assert gated[20, 75] == pytest.approx(1.0) and gated[40, 75] == pytest.approx(1e-3 * 10**-1.2, rel=1e-3)


def test_band_pass_has_its_corners_at_half_the_power() -> None:
    config = FrontEndConfig(band_hz=(200.0, 2000.0))
    gain = conditioned(np.ones((80, 4), np.float32), config)[:, 0]
    edges = mel_to_hz(np.linspace(hz_to_mel(config.fmin_hz), hz_to_mel(config.fmax_hz), 82))[1:-1]
    for corner in (200.0, 2000.0):
        assert np.interp(corner, edges, gain) == pytest.approx(0.5, abs=0.06)
    assert gain[np.searchsorted(edges, 630.0)] > 0.98 and gain[0] < 1e-3
