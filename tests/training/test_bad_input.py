"""Folders as users have them: every kind of file that cannot be learned from is named with its reason, the rest is
learned, and nothing half-written is left. And ``train classifier`` on folders of sound and of notes."""

from __future__ import annotations

import csv
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_folder import tune, write_folder
from training_run import SMALL, Silent, begun
from typer.testing import CliRunner

from melodygen.audio.buffer import Audio
from melodygen.audio.features import FrontEndConfig
from melodygen.audio.files import write_audio
from melodygen.classification.cnn import CnnClassifier
from melodygen.cli.app import app
from melodygen.data.scan import find_files
from melodygen.errors import CorpusError
from melodygen.io.midi import write_midi
from melodygen.music.score import Score, Track, note_array
from melodygen.nets.checkpoint import read_config, save_checkpoint
from melodygen.nets.cnn import StyleCnn
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.training.classifier import fine_tuning as hearing


def track_chunk(body: bytes) -> bytes:
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(body)) + body


END = b"\x00\xff\x2f\x00"
FAR = b"\xff\xff\xff\x7f"
"""A delta time of 2^28 - 1 ticks."""


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("messy")
    write_folder(root, "rising", 4)
    folder = root / "rising"
    good = (folder / "rising-a.mid").read_bytes()
    (folder / "zero.mid").write_bytes(b"")
    (folder / "letter.mid").write_text("dear reader")
    (folder / "truncated.mid").write_bytes(good[: len(good) // 2])
    with (folder / "huge.mid").open("wb") as stream:
        stream.write(good)
        stream.truncate(100 * 2**20)  # a hole: nothing is written
    note = b"\x90\x40\x50"
    far = b"".join(FAR + (note if i % 2 else b"\x80\x40\x00") for i in range(20))
    (folder / "far.mid").write_bytes(track_chunk(b"\x00" + note + far + END))
    (folder / "silent.mid").write_bytes(track_chunk(END))
    beat = note_array([(i * 480, 60, 36 + i % 3, 90) for i in range(32)])
    write_midi(folder / "drums.mid", Score((Track(beat, 0, True, "drums", "drums"),)))
    (folder / "copy.mid").write_bytes(good)
    write_midi(folder / "Чардаш 漢字 🎻.mid", tune(90, True))
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "dangling.mid").symlink_to(folder / "nowhere")
    (folder / "cover.jpg").write_bytes(b"not music")
    return root


def test_every_bad_file_is_named_and_the_rest_is_learned(messy: Path, tmp_path: Path) -> None:
    record = begun(messy, tmp_path / "w")
    rows = {
        Path(r["file"]).name: r for r in csv.DictReader((tmp_path / "w" / "files.csv").open(encoding="utf-8"))
    }
    used = {name for name, row in rows.items() if row["used"] == "True"}
    # of two equal files the first in order is used
    assert used == {
        "copy.mid",
        "rising-b.mid",
        "rising-c.mid",
        "rising-d.mid",
        "truncated.mid",
        "Чардаш 漢字 🎻.mid",
    }
    assert record.summary["used"] == 6 and "cover.jpg" not in rows
    told = {
        "zero.mid": "empty", "letter.mid": "not a MIDI file", "huge.mid": "32 MiB",
        "far.mid": "", "silent.mid": "0 notes", "drums.mid": "only drums", "dangling.mid": "cannot be read",
        "rising-a.mid": "near-duplicate of rising/copy.mid",
    }  # fmt: skip
    for name, words in told.items():
        assert rows[name]["reason"] and words in rows[name]["reason"], rows[name]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "m", "rising", 3)
    (tmp_path / "m" / "rising" / "rising-a.mid").chmod(0)
    record = begun(tmp_path / "m", tmp_path / "w")
    assert record.summary["reasons"] == {"cannot be read: Permission denied": 1}


def test_a_name_that_is_no_text_is_read_and_reported(tmp_path: Path) -> None:
    write_folder(tmp_path / "m", "rising", 3)
    folder = tmp_path / "m" / "rising"
    try:
        (folder / "rising-c.mid").rename(folder / os.fsdecode(b"caf\xe9.mid"))
    except OSError:
        pytest.skip("this file system takes no such names")
    begun(tmp_path / "m", tmp_path / "w")
    assert "udce9" in (tmp_path / "w" / "files.csv").read_text(encoding="utf-8")


def test_the_command_says_it_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "letter.mid").write_text("dear reader")
    (tmp_path / "empty").mkdir()
    told = {"text": "none of 1 files can be used", "empty": "no file ends in", "gone": "not a folder"}
    for folder, words in told.items():
        given = ["train", "generator", str(tmp_path / folder), "-o", str(tmp_path / "out"), "--from", "none"]
        done = CliRunner().invoke(app, [*given, "--workers", "1", "--quiet"])
        assert done.exit_code == 1 and words in done.output, done.output
        assert not (tmp_path / "out").exists()


def tone(path: Path, rate_hz: float, seed: int) -> None:
    """Beats of a plucked tone, this many a second."""
    rng = np.random.default_rng(seed)
    t = np.arange(22_050 * 11) / 22_050
    sound = 0.3 * np.sin(2 * np.pi * rng.uniform(200, 800) * t) * np.exp(-8 * ((t * rate_hz) % 1.0))
    write_audio(path, Audio(sound[None].astype(np.float32), 22_050), overwrite=True)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    root = tmp_path / "labelled"
    for label, rate in (("slow", 1.0), ("fast", 7.0)):
        (root / label).mkdir(parents=True)
        for index in range(4):
            tone(root / label / f"{index}.wav", rate, index)
    (root / "slow" / "broken.wav").write_bytes(b"RIFF")
    return root


def test_a_classifier_from_folders_of_sound(labelled: Path, tmp_path: Path) -> None:
    words = [
        "train",
        "classifier",
        str(labelled),
        "-o",
        str(tmp_path / "ears"),
        "--from",
        "none",
        "--steps",
        "3",
    ]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.output.strip().splitlines()[-1])
    assert report["labels"] == ["fast", "slow"] and [r["file"] for r in report["rejected"]] == [
        "slow/broken.wav"
    ]
    ears = CnnClassifier.from_folder(tmp_path / "ears")
    assert ears.labels == ("fast", "slow")
    again = CliRunner().invoke(app, words)
    assert again.exit_code != 0 and "--force" in again.output


def test_a_classifier_goes_on_from_one_with_context_and_can_be_loaded(labelled: Path, tmp_path: Path) -> None:
    shape: dict[str, Any] = {"widths": [4, 6, 8, 8], "hidden": 12, "dropout": 0.1, "context": 2}
    config = {
        "kind": "classifier", "name": "known", "net": {"type": "cnn", **shape}, "labels": ["slow", "other"],
        "front_end": FrontEndConfig().to_dict(), "temperature": 1.0,
    }  # fmt: skip
    save_checkpoint(tmp_path / "known", StyleCnn(2, 80, **shape), config, "# card")
    words = [
        "train",
        "classifier",
        str(labelled),
        "-o",
        str(tmp_path / "ears"),
        "--from",
        str(tmp_path / "known"),
    ]
    done = CliRunner().invoke(app, [*words, "--steps", "2", "--quiet"])
    assert done.exit_code == 0, done.output
    assert CnnClassifier.from_folder(tmp_path / "ears").labels == ("fast", "slow")
    written = read_config(tmp_path / "ears", "classifier")
    assert (
        written["net"] == {"type": "cnn", **shape, "detail": False}
        and written["provenance"]["recipe"]["steps"] == 2
    )


def test_a_classifier_from_folders_of_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "load_renderer", lambda: AdditiveRenderer(None))
    for style, up in (("rising", True), ("falling", False)):
        write_folder(tmp_path / "m", style, 3, up)
    figures = hearing.train_classifier(
        tmp_path / "m", tmp_path / "ears", "none", 2, 1, Silent(), tmp_path / "w"
    )
    assert figures["labels"] == ["falling", "rising"] and figures["rejected"] == []
    assert read_config(tmp_path / "ears", "classifier")["provenance"]["figures"]["views"] > 0


def test_a_label_with_one_file_is_refused(labelled: Path, tmp_path: Path) -> None:
    for path in sorted((labelled / "fast").iterdir())[1:]:
        path.unlink()
    with pytest.raises(CorpusError, match="fast has fewer than 2 usable files"):
        hearing.train_classifier(labelled, tmp_path / "ears", "none", 2, 1, Silent(), tmp_path / "w")
    assert not (tmp_path / "ears").exists()
    with pytest.raises(CorpusError, match="at least 2 are needed"):
        hearing.train_classifier(
            labelled / "slow", tmp_path / "ears", "none", 2, 1, Silent(), tmp_path / "w2"
        )


def test_links_that_loop_are_followed_once(messy: Path) -> None:
    names = [f.name for f in find_files(messy)]
    assert len(names) == len(set(names)) and not any("loop" in n for n in names)
    assert SMALL.fresh
