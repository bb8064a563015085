"""``melodygen.toml``: defaults of the commands, from the user's folder and from this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import BAND, Run

from melodygen.cli.app import app
from melodygen.cli.config import defaults_of
from melodygen.errors import UsageError


def test_defaults_of_the_folder_stand_unless_given(melodygen: Run, tmp_path: Path) -> None:
    (tmp_path / "melodygen.toml").write_text(
        '[generate]\nstyle = "jazz"\ntempo = 96\nbars = 2\nformats = "mid"\nseed = 3\n'
    )
    report = json.loads(melodygen("generate", *BAND, "--bars", "4", "--json").stdout)
    assert (report["style"], report["qpm"], report["bars"], report["seed"]) == ("jazz", 96.0, 4, 3)
    assert "--tempo 96" in report["command"], "the command in the file needs no melodygen.toml"
    (tmp_path / "melodygen.toml").write_text('[generate]\nstlye = "jazz"\n')
    wrong = melodygen("styles")
    assert wrong.returncode == 2 and "'stlye' is no option of generate; did you mean 'style'?" in wrong.stderr


def test_later_files_win_and_faults_are_named(tmp_path: Path) -> None:
    from typer.main import get_command

    group, files = get_command(app), [tmp_path / "a.toml", tmp_path / "none.toml", tmp_path / "b.toml"]
    files[0].write_text("[generate]\ntempo = 90\nbars = 8\n[train.generator]\nminutes = 5\n")
    files[2].write_text("[generate]\ntempo = 120\n")
    found = defaults_of(group, files)
    assert found["generate"] == {"qpm": 120, "bars": 8}
    for text, words in (
        ("tempo = 3", "no command"),
        ("[compose]\n", "'compose' is no command"),
        ("generate = 3", r"'generate' is a command: write its options below \[generate\]"),
        ("[x", "cannot be read"),
    ):
        files[0].write_text(text)
        with pytest.raises(UsageError, match=words):
            defaults_of(group, files[:1])
