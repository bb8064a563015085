"""What several test files share: the command as a subprocess, with a plug-in package installed beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fakeband
import pytest

HERE = Path(__file__).parent
BAND = ("--model", "fakeband", "--renderer", "fakeband", "--classifier", "fakeband")

AGAINST_THE_CLOCK = (
    "tests/live/",
    "tests/daw/",
    "tests/cli/test_live_run.py",
    "tests/server/test_live_routes.py",
)
"""Tests of real ports in real time."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Three takes of what runs against the clock: a machine that stalls does so once, a fault is always there."""
    for item in items:
        if item.nodeid.startswith(AGAINST_THE_CLOCK):
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=1))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that, on PYTHONPATH, is an installed third-party package with melodygen plug-ins."""
    return fakeband.install(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def env(site: Path) -> dict[str, str]:
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def melodygen(tmp_path: Path, env: dict[str, str]) -> Run:
    """Run the command in an empty folder."""

    def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "melodygen", *arguments]
        options: dict[str, object] = {
            "cwd": tmp_path,
            "env": env,
            "capture_output": True,
            "text": True,
            "timeout": 100,
        }
        return subprocess.run(command, **{**options, **more})  # type: ignore[call-overload,no-any-return]

    return run
