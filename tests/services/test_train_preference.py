"""``melodygen train preference`` as a user meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Run
from training_folder import write_model
from training_run import Silent

from melodygen.errors import OutputExistsError, UsageError
from melodygen.nets.checkpoint import read_config
from melodygen.services.train_preference import TrainPreferenceRequest, train_preference
from melodygen.training.preference.config import PreferenceConfig

SMALL = (
    "--style",
    "jazz",
    "--bars",
    "2",
    "--pairs",
    "9",
    "--steps",
    "4",
    "--learning-rate",
    "1e-3",
    "--leash",
    "0.5",
)
EARS = ("--classifier", "fakeband", "--renderer", "fakeband")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny", seed=3, plays=True)


def test_the_command_says_plainly_whether_it_is_better(melodygen: Run, model: Path, tmp_path: Path) -> None:
    asked = ("train", "preference", "--model", str(model), *SMALL, *EARS, "--json")
    done = melodygen(*asked)
    report = json.loads(done.stdout)
    out = tmp_path / "tiny-jazz"
    assert report["out"] == "tiny-jazz" and report["better"] == (done.returncode == 0) == report["written"]
    if not report["better"]:
        assert done.returncode == 1 and "not better" in done.stderr and "--keep-anyway" in done.stderr
        assert not (out / "config.json").exists() and not (out / "model.safetensors").exists()
        done = melodygen(*asked, "--resume", "--keep-anyway")
        again = json.loads(done.stdout)
        assert done.returncode == 0 and again["written"] and again["measures"] == report["measures"]
    assert read_config(out, "generator")["provenance"]["figures"]["better"] is report["better"]
    assert not (out / ".work").exists()


def test_ctrl_c_saves_and_resume_goes_on(model: Path, tmp_path: Path, env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "melodygen", "train", "preference", "--model", str(model), *SMALL, *EARS]
    running = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    work = tmp_path / "tiny-jazz" / ".work"
    while not list(work.glob("candidates/*.json")) and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert "go on with --resume" in told.strip().splitlines()[-1]
    assert (work / "run.json").is_file() and not (tmp_path / "tiny-jazz" / "config.json").exists()
    for path in work.rglob("*.json"):
        json.loads(path.read_text())


@contextmanager
def silent(leads: bool) -> Iterator[Silent]:
    yield Silent()


@contextmanager
def never() -> Iterator[object]:
    yield lambda: False


def asked(model: Path, out: Path, **more: object) -> TrainPreferenceRequest:
    plain = TrainPreferenceRequest(PreferenceConfig("jazz", bars=2), str(model), out)
    return replace(plain, **more)  # type: ignore[arg-type]


def test_what_cannot_be_is_said_before_anything_is_written(model: Path, tmp_path: Path) -> None:
    wrong = (
        (asked(model, tmp_path / "a", resume=True, force=True), "give one"),
        (asked(model, tmp_path / "b", resume=True), "no run to go on with"),
        (TrainPreferenceRequest(PreferenceConfig("samba"), str(model), tmp_path / "c"), "'samba' is not known"),
        (
            asked(model, tmp_path / "d", config=PreferenceConfig("jazz", minutes=3), given=frozenset({"pairs"})),
            "leave out --time, or --pairs",
        ),
    )  # fmt: skip
    for request, told in wrong:
        with pytest.raises(UsageError, match=told):
            train_preference(request, silent, never)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("dear")
    with pytest.raises(OutputExistsError, match="is a file"):
        train_preference(asked(model, tmp_path / "file"), silent, never)  # type: ignore[arg-type]
    assert (tmp_path / "file").read_text() == "dear"
