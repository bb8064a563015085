"""The command with the models that are shipped: the main job, end to end, in a folder far from the repository."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Run

from melodygen.io.midi import read_midi

if find_spec("melodygen.nets.checkpoint") is None:
    pytest.skip("melodygen.nets.checkpoint is not written yet", allow_module_level=True)

from melodygen.nets.checkpoint import list_checkpoints

KINDS = {checkpoint.kind for checkpoint in list_checkpoints()}
shipped = pytest.mark.skipif(
    not {"generator", "classifier"} <= KINDS, reason="models/ holds no generator and classifier"
)
QUICK = ("--seed", "3", "--bars", "8", "--candidates", "3", "--max-rounds", "1", "--json")


@shipped
@pytest.mark.models
@pytest.mark.parametrize("style", ["jazz", "baroque", "game"])
def test_writes_music_in_a_style(melodygen: Run, tmp_path: Path, style: str) -> None:
    done = melodygen("generate", "--style", style, *QUICK)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert 0 <= report["style_probability"] <= 1 and len(report["candidates"]) == 3
    score = read_midi(tmp_path / report["midi"])
    assert score.qpm == pytest.approx(report["qpm"], rel=1e-3)
    assert {track.role for track in score.tracks if len(track)} <= set(report["tracks"])
    melody = score.track_by_role("melody")
    assert melody is not None and len(melody) >= 4
    assert 4 <= len(score.bar_ticks()) - 1 <= 8
    sound, rate = soundfile.read(tmp_path / report["audio"])
    assert rate == 44_100 and sound.shape[1] == 2
    assert 0.05 < np.abs(sound).max() <= 10 ** (-1 / 20) + 1e-3
    assert len(sound) / rate > score.duration_seconds


@shipped
@pytest.mark.models
def test_same_seed_same_bytes(melodygen: Run, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        done = melodygen("generate", "--style", "folk", *QUICK, "--out", folder)
        assert done.returncode == 0, done.stderr
    for name in ("folk-3.mid", "folk-3.wav"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


@shipped
@pytest.mark.models
def test_doctor_finds_everything_needed(melodygen: Run) -> None:
    done = melodygen("doctor", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["ok"], report


@pytest.mark.parametrize("content", [None, "not json"], ids=["missing", "broken"])
def test_broken_checkpoint_is_one_line(melodygen: Run, tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "mine"
    if content is not None:
        folder.mkdir()
        (folder / "config.json").write_text(content)
    done = melodygen("generate", "--style", "jazz", *QUICK, "--model", str(folder), "--out", "there")
    assert done.returncode == 1 and done.stdout == "", done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "mine" in done.stderr


def test_unreadable_soundfont_is_one_line(melodygen: Run, tmp_path: Path) -> None:
    (tmp_path / "noise.sf2").write_bytes(b"RIFF" + bytes(200))
    note = b"\0\x90\x3c\x40\x60\x80\x3c\0\0\xff\x2f\0"
    (tmp_path / "one.mid").write_bytes(b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0" + bytes([len(note)]) + note)
    done = melodygen("render", "one.mid", "--soundfont", "noise.sf2")
    assert done.returncode == 1 and "noise.sf2" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "one.wav").exists()
