"""Processes that compile wait for each other."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from melodygen.analysis import compiled

FIRST_CALL = """
import sys, time
from pathlib import Path
from melodygen.analysis import compiled
compiled.tempfile.tempdir = sys.argv[1]
inside = Path(sys.argv[1]) / "inside"
def first_call():
    assert not inside.exists(), "two processes compile at once"
    inside.touch()
    time.sleep(0.3)
    inside.unlink()
    print("called")
for _ in range(3):
    compiled.compile_once(first_call)
"""


def test_only_one_process_compiles_at_a_time_and_each_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FIRST_CALL, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and said == "called\n"


def test_a_lock_that_is_never_free_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "lock_path", lambda: tmp_path / "held.lock")
    calls: list[float] = []
    with compiled.FileLock(tmp_path / "held.lock", is_singleton=False):
        compiled.compile_once(lambda: calls.append(time.monotonic()), 0.1)
    assert len(calls) == 1
