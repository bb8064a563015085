from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import melodygen

HEAVY = {
    "torch",
    "librosa",
    "symusic",
    "music21",
    "matplotlib",
    "scipy",
    "sklearn",
    "soundfile",
    "pretty_midi",
    "mido",
}
ROOT = Path(__file__).parent.parent


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after ``code``."""
    tail = "\nimport sys, json; print('\\n' + json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_is_light() -> None:
    assert not loaded_after("import melodygen") & (HEAVY | {"numpy", "typer"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["generate", "--help"]], ids=" ".join)
def test_help_is_light(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["melodygen", *{arguments!r}]
from melodygen.cli import main
try:
    main()
except SystemExit as leaving:
    assert not leaving.code
"""
    loaded = loaded_after(code)
    assert "typer" in loaded and not loaded & (HEAVY | {"numpy"})


@pytest.mark.parametrize("name", melodygen.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(melodygen, name) is not None
    assert name in dir(melodygen)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'compsoe'"):
        _ = melodygen.compsoe


def test_imports_point_only_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS
