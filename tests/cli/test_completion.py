"""What the shell completes, and what ``-v`` tells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from melodygen.cli import completion
from melodygen.cli.app import app
from melodygen.cli.completion import completer
from melodygen.cli.verbose import LOG


def completed(words: str) -> list[str]:
    """What the command itself answers to bash."""
    program = Path(sys.executable).with_name("melodygen")
    if not program.exists():
        pytest.skip("melodygen is not installed as a command")
    asked = {
        "_MELODYGEN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))
    }  # fmt: skip
    done = subprocess.run([program], env=os.environ | asked, capture_output=True, text=True, timeout=60)
    return done.stdout.split()


def test_bash_gets_the_names() -> None:
    assert completed("melodygen generate --style r") == ["ragtime", "rock"]
    assert completed("melodygen generate --model melodygen-t") == ["melodygen-transformer"]


def test_every_kind_of_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(completion.NAMES, "--port", lambda: ["Synth A", "Synth B", "Drums"])
    found = {flag: completer(flag) for flag in (*completion.NAMES, "--seed")}
    assert found["--seed"] is None
    for flag, begun, names in (
        ("--port", "Syn", ["Synth A", "Synth B"]), ("--style", "jazz,ra", ["jazz,ragtime"]),
        ("--classifier", "style", ["style-cnn"]), ("--renderer", "samp", ["sampler"]), ("--style", "x", []),
    ):  # fmt: skip
        complete = found[flag]
        assert complete is not None and complete(begun) == names


def test_no_midi_system_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[str]:
        raise OSError("no sound here")

    monkeypatch.setitem(completion.NAMES, "--port", broken)
    complete = completer("--port")
    assert complete is not None and complete("") == []


def test_verbose_tells_on_stderr_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        LOG, "disabled", False
    )  # import-linter's configuration disables all loggers that it finds
    plain = CliRunner().invoke(app, ["styles"])
    told = CliRunner().invoke(app, ["styles", "-v"])
    assert told.exit_code == plain.exit_code == 0
    assert told.stdout == plain.stdout
    assert "melodygen:" in told.stderr and "begun" in told.stderr and not plain.stderr
