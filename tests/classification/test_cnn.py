"""The CNN classifier, its checkpoints, and the figures that judge it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_classifier import NET, save_tiny_classifier

from melodygen.audio.buffer import Audio
from melodygen.classification.cnn import CnnClassifier
from melodygen.contracts import StyleClassifier
from melodygen.errors import AudioError, CheckpointError
from melodygen.evaluation.metrics import calibration_error, mean_by_group, plot_confusion, report, softmax
from melodygen.resources import models_dir
from melodygen.styles.loader import built_in_styles
from melodygen.training.classifier.trainer import fit_temperature

LABELS = ("jazz", "folk", "hymn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights whose logits differ widely."""
    return save_tiny_classifier(tmp_path_factory.mktemp("tiny"), LABELS, 2.0, temperature=1.5)


def sound(seed: int, seconds: float, rate: int = 22_050) -> Audio:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * hz * t) for hz in rng.uniform(100, 3000, 6))
    return Audio((0.05 * tones + 0.01 * rng.standard_normal(len(t))).astype(np.float32), rate)


def test_it_fills_the_contract(folder: Path) -> None:
    classifier = CnnClassifier.from_folder(folder)
    assert isinstance(classifier, StyleClassifier)
    assert classifier.classifier_id.startswith("tiny-") and len(classifier.classifier_id) == 13
    scores = classifier.classify([sound(1, 3.0), sound(2, 31.0), sound(3, 10.0, 44_100)])
    assert [s.labels for s in scores] == [LABELS] * 3
    assert len({s.top(1)[0][1] for s in scores}) == 3
    assert classifier.classify([]) == []


def test_equal_audio_equal_scores_in_any_company(folder: Path) -> None:
    classifier = CnnClassifier.from_folder(folder)
    one = sound(1, 17.0)
    alone = classifier.classify([one])[0].probabilities
    crowd = classifier.classify([sound(2, 42.0), sound(3, 4.0), one, sound(4, 80.0)])[2].probabilities
    again = (
        CnnClassifier.from_folder(folder)
        .classify([Audio(one.samples.copy(), one.sample_rate)])[0]
        .probabilities
    )
    assert alone.tobytes() == crowd.tobytes() == again.tobytes()


def test_temperature_flattens_without_changing_the_order(folder: Path, tmp_path: Path) -> None:
    hot = copied(folder, tmp_path / "hot", temperature=10.0)
    sharp = CnnClassifier.from_folder(folder).classify([sound(1, 10.0)])[0]
    flat = CnnClassifier.from_folder(hot).classify([sound(1, 10.0)])[0]
    assert [n for n, _ in sharp.top()] == [n for n, _ in flat.top()]
    assert flat.top(1)[0][1] < sharp.top(1)[0][1]


def test_the_threshold_of_a_verdict_is_read(folder: Path, tmp_path: Path) -> None:
    assert CnnClassifier.from_folder(folder).unsure_below == 0
    assert CnnClassifier.from_folder(copied(folder, tmp_path / "c", unsure_below=0.4)).unsure_below == 0.4


def test_no_samples(folder: Path) -> None:
    with pytest.raises(AudioError, match="no samples"):
        CnnClassifier.from_folder(folder).classify([Audio(np.zeros((2, 0), dtype=np.float32), 44_100)])


def copied(folder: Path, target: Path, **changes: Any) -> Path:
    shutil.copytree(folder, target)
    config = json.loads((folder / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | changes))
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "generator"}, "is a generator, not a classifier"),
        ({"format_version": 99}, "version 99"),
        ({"labels": ["jazz", "folk"]}, "do not fit"),
        ({"labels": ["jazz", "folk", "jazz"]}, "labels must differ"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": None}, "config.json is broken"),
        ({"net": {"type": "lstm", **NET}}, "'lstm' is not a cnn"),
        ({"net": {"type": "cnn", "depth": 3}}, "config.json is broken"),
        ({"net": {"type": "cnn", **NET, "hidden": 13}}, "do not fit"),
        ({"front_end": {"sample_rate": 8000}}, "front end"),
        ({"unsure_below": 1.5}, "unsure_below in config.json is 1.5, not 0-1"),
        ({"unsure_below": True}, "unsure_below in config.json is True, not 0-1"),
    ],
    ids=str,
)
def test_broken_config_is_refused(
    folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        CnnClassifier.from_folder(copied(folder, tmp_path / "copy", **changes))


def test_broken_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path / "copy")
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="missing or broken"):
        CnnClassifier.from_folder(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="missing or broken"):
        CnnClassifier.from_folder(copy)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        CnnClassifier.from_folder(tmp_path / "nowhere")


def test_report_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 4, 200)
    probabilities = softmax(rng.standard_normal((200, 5)) + 2 * np.eye(5)[targets])
    found = report(probabilities, targets, ("a", "b", "c", "d", "never"))
    heard = probabilities.argmax(axis=1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(targets, heard, labels=[0, 1, 2, 3])
    np.testing.assert_allclose(found.precision[:4], precision)
    np.testing.assert_allclose(found.recall[:4], recall)
    np.testing.assert_allclose(found.f1[:4], f1)
    assert found.balanced_accuracy == pytest.approx(
        metrics.recall_score(targets, heard, labels=[0, 1, 2, 3], average="macro")
    )
    assert found.accuracy == pytest.approx((heard == targets).mean())
    assert found.interval[0] < found.accuracy < found.interval[1]
    assert np.isnan(found.f1[4]) and found.confusion.sum() == 200


def test_calibration_error_of_known_cases() -> None:
    sure = np.tile([1.0, 0.0], (100, 1))
    assert calibration_error(sure, np.zeros(100, dtype=np.int64)) == 0
    assert calibration_error(sure, np.ones(100, dtype=np.int64)) == 1
    seven = np.tile([0.7, 0.3], (100, 1))
    assert calibration_error(seven, np.array([0] * 70 + [1] * 30)) == pytest.approx(0.0, abs=1e-9)


def test_temperature_is_found() -> None:
    """Logits three times too sure want 3."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4000, 5)) * 2
    targets = np.array([rng.choice(5, p=p) for p in softmax(logits)])
    assert fit_temperature((3 * logits).astype(np.float32), targets) == pytest.approx(3.0, rel=0.1)


def test_mean_by_group() -> None:
    mean = mean_by_group(np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 7.0]]), np.array([4, 4, 9]))
    np.testing.assert_array_equal(mean, [[2.0, 0.0], [5.0, 7.0]])


def test_confusion_picture(tmp_path: Path) -> None:
    targets = np.array([0, 0, 1, 1])
    found = report(np.eye(3)[[0, 1, 1, 1]], targets, ("$a_{$", "b", "c"))  # "$" would begin a formula
    plot_confusion(tmp_path / "images" / "c.png", found, "test")
    assert (tmp_path / "images" / "c.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.models
def test_shipped_classifier_knows_the_styles() -> None:
    folder = models_dir() / "style-cnn"
    if not (folder / "config.json").is_file():
        pytest.skip("no shipped classifier")
    classifier = CnnClassifier.from_folder(folder)
    assert set(classifier.labels) == set(built_in_styles())
    assert (folder / "model.safetensors").stat().st_size <= 4 * 2**20
    assert classifier.classify([sound(1, 12.0)])[0].labels == classifier.labels
