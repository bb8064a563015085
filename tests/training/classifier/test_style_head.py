"""A user's own styles: taught from a folder, heard by every command that takes a classifier, and refused plainly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile as sf
from training_folder import tune
from training_run import Silent
from typer.testing import CliRunner

from melodygen.audio.files import write_audio
from melodygen.classification.batch import load_recognizer
from melodygen.classification.cnn import load_classifier
from melodygen.classification.recognizer import RecognitionOptions
from melodygen.classification.tagger import Tagger, load_tagger
from melodygen.cli.app import app
from melodygen.errors import CheckpointError, CorpusError
from melodygen.evaluation.labelled import Item
from melodygen.io.midi import write_midi
from melodygen.music.score import Score, Tempo, Track
from melodygen.nets.checkpoint import read_config, weights_sha256
from melodygen.rendering.draft import render_draft
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.resources import models_dir
from melodygen.services.describing import Describer
from melodygen.training.classifier import style_head
from melodygen.training.classifier.style_head import HeardItem, train_style_head, unsure_threshold

pytestmark = pytest.mark.models
PROGRAMS = {"ballads": 0, "Riffs": 30, "strings": 48}
FILES = 4
PLAIN = RecognitionOptions(rhythm=False)


def played(seed: int, program: int) -> Score:
    notes = tune(seed, up=seed % 2 == 0, bars=2).tracks[0].notes
    return Score((Track(notes, program, False, "melody", "melody"),), (Tempo(0, 120.0),))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of four seconds; two of each label are of one artist; one file is broken."""
    root = tmp_path_factory.mktemp("music") / "labelled"
    renderer = SamplerRenderer()
    for label, program in PROGRAMS.items():
        (root / label / "a band").mkdir(parents=True)
        for number in range(FILES):
            folder = root / label / ("a band" if number < 2 else "")
            audio = render_draft(played(number, program), renderer)
            sf.write(folder / f"{number}.wav", audio.samples.T, audio.sample_rate)
    (root / "Riffs" / "broken.wav").write_bytes(b"RIFF")
    return root


@pytest.fixture(scope="module")
def taught(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The command, in processes as it works on many files."""
    out = tmp_path_factory.mktemp("taught") / "my-styles"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style_head, "default_workers", lambda count: 2)
        done = CliRunner().invoke(
            app, ["train", "classifier", str(labelled), "--from", "musicnn", "-o", str(out), "--json"]
        )
    assert done.exit_code == 0, done.output
    return out, json.loads(done.stdout)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are heard in this process."""
    monkeypatch.setattr(style_head, "default_workers", lambda count: 1)


def test_what_is_reported_and_written(taught: tuple[Path, dict[str, Any]]) -> None:
    out, report = taught
    assert report["labels"] == sorted(PROGRAMS) and report["files"] == 12 and report["groups"] == 9
    assert [row["file"] for row in report["rejected"]] == ["Riffs/broken.wav"] and report["rejected"][0][
        "reason"
    ]
    assert report["tested"] == 12 and report["untested"] == [] and report["accuracy"] >= 0.75
    low, high = report["interval"]
    assert low <= report["accuracy"] <= high and 0 < report["balanced_accuracy"] <= 1
    assert 0.45 <= report["unsure_below"] <= 0.9 and report["temperature"] > 0
    assert any("few" in note for note in report["notes"])
    config = read_config(out, "classifier")
    assert config["tagger"] == {"checkpoint": "musicnn", "sha256": weights_sha256(models_dir() / "musicnn")}
    assert config["labels"] == report["labels"]
    assert config["provenance"]["figures"]["accuracy"] == report["accuracy"]
    text = (out / "README.md").read_text()
    assert "12 files of 3 labels" in text and f"{report['accuracy']:.1%}" in text and "terms" in text
    assert (out / "model.safetensors").stat().st_size < 20_000, "the tagger is not in it"


def test_recordings_get_the_users_styles_and_all_that_the_tagger_tells(
    taught: tuple[Path, dict[str, Any]], labelled: Path, tmp_path: Path
) -> None:
    out, _ = taught
    own, plain = load_recognizer(str(out)), load_recognizer("musicnn")
    for label in PROGRAMS:
        path = labelled / label / "3.wav"
        found, known = own.classify(path), plain.classify(path)
        assert found.styles[0][0] == label
        assert sorted(name for name, _ in found.styles) == sorted(PROGRAMS)
        assert sum(p for _, p in found.styles) == pytest.approx(1)
        assert found.tags == known.tags and found.mood == known.mood and found.music == known.music
        assert found.rhythm == known.rhythm and found.classifier.startswith("my-styles-")
        assert found.unsure == (found.styles[0][1] < load_tagger(str(out)).unsure_below)
    score, render = tmp_path / "a.mid", tmp_path / "a.wav"
    write_midi(score, played(3, 48))
    write_audio(render, render_draft(played(3, 48), SamplerRenderer()), tags={"software": "melodygen"})
    for path in (score, render):
        assert own.classify(path, PLAIN).styles[0][0] == "strings", path
    shown = CliRunner().invoke(
        app,
        ["classify", str(labelled / "Riffs" / "3.wav"), "--classifier", str(out), "--tags", "--no-rhythm"],
    )
    assert shown.exit_code == 0 and "Riffs" in shown.output and "valence" in shown.output


def test_it_can_be_evaluated_and_fill_a_library(
    taught: tuple[Path, dict[str, Any]], labelled: Path, tmp_path: Path
) -> None:
    out, _ = taught
    for label, program in PROGRAMS.items():
        (tmp_path / label).mkdir()
        (tmp_path / label / "2.wav").write_bytes((labelled / label / "2.wav").read_bytes())
        write_midi(tmp_path / label / "a.mid", played(3, program))
    words = ["evaluate", "classifier", str(tmp_path), "--classifier", str(out), "--no-changes", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)["results"]
    mine = next(row for name, row in results.items() if name.startswith("my-styles-"))
    assert mine["tracks"] == 6 and set(mine["labels"]) == set(PROGRAMS) and mine["accuracy"] > 0.6
    describer, plain = Describer.load(str(out)), Describer.load()
    for path in (tmp_path / "strings" / "2.wav", tmp_path / "strings" / "a.mid"):
        found, known = describer.describe(path), plain.describe(path)
        assert {name for name, _ in found.facts.styles} == set(PROGRAMS)
        assert np.array_equal(found.vector, known.vector), "whose styles they are changes no vector"
    assert describer.embedder_id == f"{plain.embedder_id}; styles of {load_tagger(str(out)).classifier_id}"


@pytest.mark.usefixtures("here")
def test_the_same_seed_gives_the_same_bytes_and_force_replaces(labelled: Path, tmp_path: Path) -> None:
    class Told(Silent):
        stages: ClassVar[list[str]] = []

        def stage(self, text: str, done: float) -> None:
            assert 0 <= done <= 1
            self.stages.append(text)

    tagger = models_dir() / "musicnn"
    for name in ("one", "two"):
        train_style_head(labelled, tmp_path / name / "ears", tagger, 3, Told())
    assert "hearing 13/13, 0:00 left" in Told.stages and Told.stages[-1] == "learning"
    for file in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "one" / "ears" / file).read_bytes() == (
            tmp_path / "two" / "ears" / file
        ).read_bytes()
    words = ["train", "classifier", str(labelled), "--from", "musicnn", "-o", str(tmp_path / "one" / "ears")]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 1 and "--force" in refused.output
    again = CliRunner().invoke(app, [*words, "--force", "--seed", "4"])
    assert again.exit_code == 0 and "balanced over labels" in again.output
    assert "Riffs/broken.wav: " in again.output
    assert read_config(tmp_path / "one" / "ears")["provenance"]["seed"] == 4


def test_other_weights_than_it_rests_on_are_refused(
    taught: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, _ = taught
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in out.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    config = json.loads((broken / "config.json").read_text())

    def write(**change: object) -> None:
        (broken / "config.json").write_text(json.dumps(config | change))

    write(tagger={"checkpoint": "musicnn", "sha256": "0" * 64})
    with pytest.raises(CheckpointError, match=r"rests on weights 0{8} of the tagger musicnn.*train again"):
        load_classifier(str(broken))
    write(tagger={"checkpoint": "gone", "sha256": "0" * 64})
    with pytest.raises(CheckpointError, match="rests on the tagger gone, which is not there"):
        Tagger.from_folder(broken)
    for change in ({"labels": ["a", "a", "b"]}, {"labels": ["a", "b"]}, {"temperature": 0}, {"tagger": {}}):
        write(**change)
        with pytest.raises(CheckpointError):
            Tagger.from_folder(broken)
    write()
    assert load_classifier(str(broken)).labels == tuple(sorted(PROGRAMS))


def test_what_a_head_cannot_do_is_said(
    taught: tuple[Path, dict[str, Any]], labelled: Path, tmp_path: Path
) -> None:
    out = str(taught[0])
    for command, said in (
        (["export", out], "only generators and style CNNs can be written as ONNX"),
        (["map", str(labelled), "--classifier", out], "does not classify by windows"),
    ):
        done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "x.html")])
        assert done.exit_code == 1 and said in " ".join(done.output.split()), done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--from", "musicnn", "--steps", "600"], 2, "--steps 600 does not go with --from musicnn"),
        (["--from", "{out}"], 1, "is a head on a tagger, which does not go on learning"),
        (["--from", "nothing"], 1, "no checkpoint is called 'nothing'"),
    ],
)
def test_wrong_words(
    taught: tuple[Path, dict[str, Any]], labelled: Path, tmp_path: Path, more: list[str], code: int, said: str
) -> None:
    words = [word.format(out=taught[0]) for word in more]
    done = CliRunner().invoke(app, ["train", "classifier", str(labelled), "-o", str(tmp_path / "x"), *words])
    assert done.exit_code == code and said in " ".join(done.output.split()), done.output
    assert not (tmp_path / "x").exists()


@pytest.mark.usefixtures("here")
def test_too_few_files_are_said(labelled: Path, tmp_path: Path) -> None:
    tagger = models_dir() / "musicnn"

    def refused(rows: str) -> str:
        (tmp_path / "labels.csv").write_text("path,label,artist\n" + rows)
        with pytest.raises(CorpusError) as error:
            train_style_head(tmp_path, tmp_path / "out", tagger, 1, Silent())
        return str(error.value)

    def row(label: str, number: int, artist: str = "", as_label: str = "") -> str:
        folder = labelled / label / ("a band" if number < 2 else "")
        return f"{folder / str(number)}.wav,{as_label or label},{artist}\n"

    ballads = "".join(row("ballads", n) for n in range(4))
    assert "at least two labels" in refused(ballads)
    assert "Riffs (2); each label needs at least 3" in refused(ballads + row("Riffs", 0) + row("Riffs", 1))
    assert "'Ballads' and 'ballads' differ in case alone" in refused(
        ballads + "".join(row("Riffs", n, as_label="Ballads") for n in range(4))
    )
    missing = "".join(f"missing{n}.wav,Riffs,\n" for n in range(3))
    assert "missing0.wav: " in refused(ballads + missing)
    assert not (tmp_path / "out").exists()

    strings = "".join(row("strings", n, "an orchestra") for n in range(4))
    (tmp_path / "labels.csv").write_text("path,label,artist\n" + ballads + strings + missing)
    told = train_style_head(tmp_path, tmp_path / "out", tagger, 1, Silent())
    assert told["left_out"] == ["Riffs"] and told["labels"] == ["ballads", "strings"]
    assert (
        told["untested"] == ["strings"] and "accuracy" not in told and "no figure can be had" in told["told"]
    )
    assert load_tagger(str(tmp_path / "out")).labels == ("ballads", "strings")
    shown = CliRunner().invoke(
        app,
        ["train", "classifier", str(tmp_path), "--from", "musicnn", "-o", str(tmp_path / "out"), "--force"],
    )
    assert shown.exit_code == 0 and "no figure can be had" in shown.output


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (os.fsdecode(b"\xff\xfe"), "not UTF-8"),
        ("a\x1b[31m", "cannot be shown"),
        ("x" * 81, "81 characters, more than 80"),
        ("Unsure", "where it names no style"),
    ],
)
def test_labels_that_no_report_can_hold_are_refused(label: str, said: str, tmp_path: Path) -> None:
    for name in ("rock", label):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.wav").touch()
    with pytest.raises(CorpusError, match=said) as error:
        train_style_head(tmp_path, tmp_path / "out", models_dir() / "musicnn", 1, Silent())
    assert str(error.value).isprintable() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", ["musicnn", "none"])
def test_an_out_that_cannot_be_written_is_refused_before_hearing(
    labelled: Path, tmp_path: Path, source: str
) -> None:
    (tmp_path / "file").touch()
    for words in (
        ["-o", str(tmp_path / "file" / "deep"), "--force"],
        ["-o", str(tmp_path / "x"), "--seed", "-1"],
    ):
        done = CliRunner().invoke(app, ["train", "classifier", str(labelled), "--from", source, *words])
        assert done.exit_code == 2 and "hearing" not in done.output and "rendering" not in done.output, (
            done.output
        )
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_copies_are_told() -> None:
    def heard(name: str, label: str, group: str, value: float) -> HeardItem:
        return HeardItem(Item(Path(name), label, group), np.full(400, value), None)

    both = [heard("a.wav", "x", "p", 1.0), heard("b.wav", "y", "q", 1.0)]
    (note,) = style_head._copies(both)
    assert "1 recordings stand under more than one label, such as a.wav (x, y)" in note
    (note,) = style_head._copies([heard("a.wav", "x", "p", 1.0), heard("b.wav", "x", "q", 1.0)])
    assert "1 files are copies" in note
    assert style_head._copies([heard("a.wav", "x", "p", 1.0), heard("b.wav", "x", "p", 1.0)]) == []


def test_below_the_threshold_stand_the_doubtful() -> None:
    rng = np.random.default_rng(0)
    top = rng.uniform(0.3, 1.0, 2000)
    right = rng.random(2000) < top
    found = unsure_threshold(top, right, 5)
    sure = top >= found
    assert right[sure].mean() > right.mean() and 0 < (~sure).mean() <= 0.25
    assert unsure_threshold(top, np.ones(2000, dtype=bool), 5) == 0.45, "nothing to doubt"
    assert unsure_threshold(np.full(9, 0.95), np.ones(9, dtype=bool), 2) == 0.6


def test_ctrl_c_leaves_nothing(labelled: Path, tmp_path: Path, env: dict[str, str]) -> None:
    words = ["train", "classifier", str(labelled), "--from", "musicnn", "-o", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "melodygen", *words],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,  # noqa: PLW1509
    )
    assert process.stderr is not None and b"hearing them with musicnn" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert b"Traceback" not in complaint and not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir()) == []
