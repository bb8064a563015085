"""The examples of docs/extending.md work as they stand there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"


def example(name: str) -> str:
    """The code block whose first line names ``name``."""
    blocks = re.findall(r"^```\w+\n(# .*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return next(block for block in blocks if name in block.splitlines()[0])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The style file in a folder of styles, and the package as pip would install it."""
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "tango.toml").write_text(example("tango.toml"), encoding="utf-8")
    site = tmp_path / "site"
    info = site / "plainband-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "plainband.py").write_text(example("plainband.py"), encoding="utf-8")
    groups = tomllib.loads(example("pyproject.toml"))["project"]["entry-points"]
    lines = [
        f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in names.items()) for group, names in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plainband\nVersion: 1.0\n")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "MELODYGEN_STYLES": str(tmp_path / "styles"),
        "OMP_NUM_THREADS": "1",
    }


def melodygen(*words: str, environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "melodygen", *words], env=environment, cwd=folder, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_style_file_and_a_plug_in_package_work(tmp_path: Path, environment: dict[str, str]) -> None:
    assert "tango" in melodygen("styles", environment=environment, folder=tmp_path)
    command = re.search(
        r"^    melodygen (generate .*--classifier undecided.*)$", PAGE.read_text(), re.MULTILINE
    )
    assert command is not None
    words = [*command[1].split(), "--bars", "4", "--seed", "1", "--json", "--out", "piece.mid"]
    report = json.loads(melodygen(*words, environment=environment, folder=tmp_path))
    assert (report["style"], report["model"], report["renderer"]) == ("tango", "scales@1", "beep")
    assert report["accepted"] and report["meter"] == "4/4" and (tmp_path / "piece.mid").is_file()
