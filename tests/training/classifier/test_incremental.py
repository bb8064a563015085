"""A known classifier learns a new style: what it heard it still hears, and its exemplars are its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_folder import tune, write_folder
from training_run import CPU, SMALL, Silent, begun

from melodygen.audio.features import FrontEndConfig
from melodygen.classification.cnn import CnnClassifier
from melodygen.data.scan import SourceFile
from melodygen.errors import CheckpointError, CorpusError
from melodygen.io.midi import write_midi
from melodygen.nets.checkpoint import CONFIG, load_weights, read_config, save_checkpoint
from melodygen.nets.cnn import RATES, StyleCnn
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.training.classifier import exemplars
from melodygen.training.classifier import incremental as teaching
from melodygen.training.classifier.exemplars import (
    Exemplars,
    embed_files,
    joined,
    load_exemplars,
    save_exemplars,
)
from melodygen.training.distributed import DistributedContext
from melodygen.training.generator.run import prepare

NET: dict[str, Any] = {"widths": [4, 6, 8, 8], "hidden": 12, "dropout": 0.1}
WIDTH = 24
DETAILS = WIDTH + 36 + RATES


@pytest.fixture
def known(tmp_path: Path) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = StyleCnn(2, 80, **NET)
    folder = tmp_path / "known"
    config = {
        "kind": "classifier", "name": "known", "net": {"type": "cnn", **NET}, "labels": ["jazz", "folk"],
        "front_end": FrontEndConfig().to_dict(), "temperature": 1.5,
        "music_head": {"weights": [0.0] * WIDTH, "bias": 1.0},
    }  # fmt: skip
    save_checkpoint(folder, net, config, "# card")
    return folder


def cloud(label: int, centre: float, count: int = 40) -> Exemplars:
    rng = np.random.default_rng(label)
    embedded = rng.normal(0, 1, (count, DETAILS)).astype(np.float32)
    embedded[:, 0] += centre
    return Exemplars(embedded, np.full(count, label), np.arange(count) // 2)


def test_new_rows_hear_the_new_style_and_leave_the_old_ones_alone(known: Path) -> None:
    evidence = {"weight": 0.5, "temperature": 1.0, "labels": {"jazz": {"styles": ["jazz"], "usual": -2.0}}}
    config = read_config(known, "classifier") | {"tag_evidence": evidence}
    (known / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    judge = CnnClassifier.from_folder(known)
    music = joined([cloud(0, 0.0), cloud(1, 0.0), cloud(2, 4.0)])
    assert len(set(music.piece.tolist())) == 60
    train, valid = teaching.split_by_piece(music)
    assert not set(train.piece.tolist()) & set(valid.piece.tolist()) and len(valid) == 30
    net, record = teaching.with_new_rows(known, judge, ["reel"], train, valid)
    assert record["labels"] == ["jazz", "folk", "reel"] and record["music_head"]["bias"] == 1.0
    figures = record["provenance"]["figures"]
    assert figures["new_recall"] > 0.8 and figures["recall"].keys() == {"jazz", "folk", "reel"}
    old = StyleCnn(2, 80, **NET)
    load_weights(known, old)
    for name, value in old.state_dict().items():
        now = net.state_dict()[name]
        if name == "head.weight":
            assert torch.equal(now[:2, :WIDTH], value) and not now[:2, WIDTH:].any()
        else:
            assert torch.equal(now[:2] if name == "head.bias" else now, value), name
    windows = np.random.default_rng(1).normal(size=(3, 80, 247)).astype(np.float32)
    save_checkpoint(known.parent / "taught", net, record, "# card")
    taught = CnnClassifier.from_folder(known.parent / "taught")
    assert judge.tag_evidence is not None and taught.tag_evidence is None  # it was not fitted with reels
    embedded, logits = taught.outputs(windows)
    assert np.allclose(logits[:, :2], judge.window_logits(windows), atol=1e-5)
    assert np.array_equal(embedded, taught.details(windows)) and np.array_equal(
        embedded, judge.details(windows)
    )
    heard, before = taught.music_logits(embedded), judge.music_logits(judge.outputs(windows)[0])
    assert heard is not None and before is not None and np.allclose(heard, before)


def test_a_style_heard_as_a_known_one_is_part_of_it(known: Path) -> None:
    """Whoever asks for the whole is judged as before; whoever asks for the part, by the part."""
    before = np.array(
        [[0.0, 2.0]] * 6 + [[2.0, 0.0]] * 4 + [[2.0, 0.0]] * 5 + [[0.0, 2.0]] * 5, dtype=np.float32
    )
    labels = ["jazz", "folk", "jig", "swing"]
    assert teaching.wholes(before, np.array([2] * 10 + [3] * 10), labels) == {
        "jig": "folk"
    }  # swing: neither, half
    judge = CnnClassifier.from_folder(known)
    music = joined([cloud(0, 0.0), cloud(1, 0.0), cloud(2, 4.0)])
    net, record = teaching.with_new_rows(known, judge, ["reel"], *teaching.split_by_piece(music))
    save_checkpoint(known.parent / "taught", net, {**record, "part_of": {"reel": "folk"}}, "# card")
    taught = CnnClassifier.from_folder(known.parent / "taught")
    scores = taught.scores(np.array([0.0, 1.0, 2.0]))
    jazz, folk, reel = scores.probabilities.tolist()
    assert scores["folk"] == pytest.approx(folk + reel) and scores["reel"] == reel and scores["jazz"] == jazz
    save_checkpoint(known.parent / "odd", net, {**record, "part_of": {"reel": "polka"}}, "# card")
    with pytest.raises(CheckpointError, match="part_of"):
        CnnClassifier.from_folder(known.parent / "odd")


def test_exemplars_of_other_weights_are_not_used(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_exemplars(known) is None
    monkeypatch.setattr(exemplars, "KEPT", "less")
    save_exemplars(known, joined([cloud(0, 0.0), cloud(1, 2.0)]))
    monkeypatch.undo()
    assert load_exemplars(known) is None  # of an older version
    music = joined([cloud(0, 0.0), cloud(1, 2.0)])
    save_exemplars(known, music)
    found = load_exemplars(known)
    assert found is not None and np.array_equal(found.label, music.label)
    assert np.array_equal(found.piece, music.piece) and np.allclose(found.embedded, music.embedded, atol=4e-3)
    weights = known / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-2] + b"\0\0")
    assert load_exemplars(known) is None
    (known / "exemplars.safetensors").write_bytes(b"not tensors")
    assert load_exemplars(known) is None


def test_files_are_heard_in_windows(known: Path, tmp_path: Path) -> None:
    judge = CnnClassifier.from_folder(known)
    write_midi(tmp_path / "a.mid", tune(1, True, 16))
    files = [SourceFile(tmp_path / "a.mid", "a.mid", "folk")]
    heard = embed_files(judge, AdditiveRenderer(None), files, 5, 4)
    assert len(heard) >= 4 and set(heard.label.tolist()) == {5} and heard.embedded.shape[1] == DETAILS
    again = embed_files(judge, AdditiveRenderer(None), files, 5, 4)
    assert np.array_equal(heard.embedded, again.embedded)
    for none in ([], [SourceFile(tmp_path / "gone.mid", "gone.mid", "folk")]):
        with pytest.raises(CorpusError, match="nothing to hear"):
            embed_files(judge, AdditiveRenderer(None), none, 5, 4)


@pytest.mark.parametrize("kept", [True, False])
def test_a_run_teaches_the_classifier(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr(teaching, "WINDOWS", {"train": 6, "valid": 3})
    monkeypatch.setattr(teaching, "load_renderer", lambda: AdditiveRenderer(None))
    monkeypatch.setattr(teaching.checkpoints, "resolve", lambda spec, default: known)
    folder = write_folder(tmp_path / "music", "falling", 4, up=False)
    work = tmp_path / "w"
    run = prepare(work, begun(folder, work), CPU, DistributedContext())
    if kept:
        save_exemplars(known, joined([cloud(0, 0.0), cloud(1, 2.0)]))
    else:  # what an old generator left for replay
        for style in ("jazz", "folk"):
            write_folder(work / "replay-midi", style, 3, seed=20)
        rows = [
            f"{s}/{s}-{n}.mid,{s},{'valid' if n == 'a' else 'train'}" for s in ("jazz", "folk") for n in "abc"
        ]
        (work / "replay-midi" / "manifest.csv").write_text("\n".join(["path,style,split", *rows]))
    figures = teaching.add_styles_to_classifier(run, folder, work, tmp_path / "out", Silent())
    assert set(figures["recall"]) == {"jazz", "folk", "falling"} and "falling" in figures["told"]
    taught = CnnClassifier.from_folder(tmp_path / "out" / "classifier")
    assert taught.labels == ("jazz", "folk", "falling") and taught.music_head is not None
    record = read_config(tmp_path / "out" / "classifier", "classifier")
    assert record["provenance"]["known_styles_from"].startswith("exemplars" if kept else "music")
    again = load_exemplars(tmp_path / "out" / "classifier")
    assert (again is not None and set(again.label.tolist()) == {0, 1, 2}) if kept else again is None
    assert (tmp_path / "out" / "classifier" / "README.md").read_text().count("falling")


def test_a_second_lesson_after_a_first(known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A style that was itself learned from a folder, and that nobody knows how to arrange in."""
    monkeypatch.setattr(teaching, "WINDOWS", {"train": 4, "valid": 3})
    monkeypatch.setattr(teaching, "load_renderer", lambda: AdditiveRenderer(None))
    monkeypatch.setattr(teaching.checkpoints, "resolve", lambda spec, default: known)
    config = known / CONFIG
    config.write_text(config.read_text(encoding="utf-8").replace('"folk"', '"reel"'), encoding="utf-8")
    folder, work = write_folder(tmp_path / "music", "falling", 3, up=False), tmp_path / "w"
    run = prepare(work, begun(folder, work), CPU, DistributedContext())
    for style in ("jazz", "reel"):
        write_folder(work / "replay-midi", style, 3, seed=20)
    rows = [
        f"{s}/{s}-{n}.mid,{s},{'valid' if n == 'a' else 'train'}" for s in ("jazz", "reel") for n in "abc"
    ]
    (work / "replay-midi" / "manifest.csv").write_text("\n".join(["path,style,split", *rows]))
    figures = teaching.add_styles_to_classifier(run, folder, work, tmp_path / "out", Silent())
    assert set(figures["recall"]) == {"jazz", "reel", "falling"}


def test_a_style_that_is_known_needs_no_lesson(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teaching.checkpoints, "resolve", lambda spec, default: known)
    work = tmp_path / "w"
    folder = write_folder(tmp_path / "music", "folk", 3)
    run = prepare(work, begun(folder, work, SMALL), CPU, DistributedContext())
    told = teaching.add_styles_to_classifier(run, folder, work, tmp_path / "out", Silent())
    assert told == {"told": "the known one hears folk already"} and not (tmp_path / "out").exists()
    assert (known / CONFIG).is_file()
