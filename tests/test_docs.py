"""The documents are true: their commands exist, and the site builds without a warning."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from melodygen.cli.app import app

ROOT = Path(__file__).parent.parent
EXAMPLES = ("count", "--accent")
"""A command and an option that docs/extending.md shows how to add."""
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").glob("*/README.md")]


def commands(page: Path) -> list[list[str]]:
    """Words after ``melodygen`` of each command in a page's code, comments left out."""
    text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
    lines = re.findall(r"^    .*$", text, re.MULTILINE) + re.findall(r"`(melodygen [^`]*)`", text)
    found = []
    for line in lines:
        for part in re.split(r"\s{3,}|#", line.strip()):
            words = part.split()
            if words[:1] == ["melodygen"] and len(words) > 1:
                found.append(words[1:])
    return found


def unknown(words: list[str]) -> str:
    """The first word of a command that melodygen does not know; empty if it knows them all."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return words[0]
        command, words = command.commands[words[0]], words[1:]
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {
        "--help",
        "-h",
    }
    options = [word.split("=")[0].rstrip(",.;:") for word in words if re.match(r"--?[a-z]", word)]
    return next((option for option in options if option not in known), "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_a_page_exist(page: Path) -> None:
    wrong = [" ".join(words) for words in commands(page) if unknown(words) not in ("", *EXAMPLES)]
    assert not wrong, f"unknown commands or options in {page.name}"


def test_a_wrong_command_would_be_found() -> None:
    assert unknown(["generate", "--styel", "jazz"]) == "--styel"
    assert unknown(["compose"]) == "compose"
    assert sum(len(commands(page)) for page in PAGES) > 50


@pytest.mark.timeout(300)
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings", reason="the docs extra is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=290)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "encode_header" in (tmp_path / "api" / "tokens" / "index.html").read_text(encoding="utf-8")
