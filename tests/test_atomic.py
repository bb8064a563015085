from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from melodygen.atomic import atomic_path
from melodygen.errors import OutputExistsError


def test_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.wav"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".wav"
        temporary.write_text("half")
        assert not target.exists()
    assert [f.name for f in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_error_leaves_the_old_file_and_no_other(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.mid"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target, overwrite=True) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_failure_names_the_target_in_a_folder_that_is_made(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.wav"
    with pytest.raises(IsADirectoryError) as said, atomic_path(target) as temporary:
        temporary.mkdir()
        try:
            temporary.open("w")
        finally:
            temporary.rmdir()
    assert said.value.filename == str(target) and not list(target.parent.iterdir())


def test_existing_file_is_refused_before_any_work(tmp_path: Path) -> None:
    target = tmp_path / "a.mid"
    target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputExistsError, match="--force"), atomic_path(target):
        pytest.fail("the block must not run")


def test_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a.mid"
    with pytest.raises(OutputExistsError), atomic_path(target) as temporary:
        temporary.write_text("mine")
        target.write_text("theirs")
    assert target.read_text() == "theirs" and len(list(tmp_path.iterdir())) == 1


def test_works_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    with atomic_path(tmp_path / "a.mid") as temporary:
        temporary.write_text("new")
    assert [f.read_text() for f in tmp_path.iterdir()] == ["new"]


def test_kill_in_mid_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.wav"
    target.write_text("old")
    code = """
import os, signal, sys
from melodygen.atomic import atomic_path
with atomic_path(sys.argv[1], overwrite=True) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(target)], timeout=30)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
