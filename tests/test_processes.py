"""Processes of a script that has no guard: the script runs once, whatever it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import gc
from math import sqrt
from melodygen.data.scan import read_folder
from melodygen.worker_pool import in_processes
print("the script runs")
print(sorted(in_processes([1.0, 4.0, 9.0], sqrt, 2, gc.collect, (), str)))
print(list(read_folder([1.0, 4.0], 2, read=sqrt, reject=pow)))
"""


def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    said = ["the script runs", "[1.0, 2.0, 3.0]", "[1.0, 2.0]"]
    assert done.stdout.splitlines() == said and done.returncode == 0, done.stderr
