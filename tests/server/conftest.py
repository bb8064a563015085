"""One server for all tests of the API: quick models, a small library, OSC on a free port."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the server extra is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")
from fastapi.testclient import TestClient
from small_library import make_library

from melodygen.server.app import ServerSettings, create_app
from melodygen.services.models import ModelNames

BAND = ModelNames("fakeband", "fakeband", "fakeband")
HOST = "127.0.0.1"


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hidden") / "music"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, music: Path) -> Path:
    return make_library(tmp_path_factory.mktemp("collection") / "library", music)


@pytest.fixture(scope="session")
def osc_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="session")
def client(
    site: Path, tmp_path_factory: pytest.TempPathFactory, library: Path, osc_port: int
) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)  # processes that are spawned get it from here
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        settings = ServerSettings(
            tmp_path_factory.mktemp("data"), models=BAND, max_upload_bytes=200_000, max_waiting=4,
            library=library, osc_port=osc_port,
        )  # fmt: skip
        with TestClient(create_app(settings), base_url=f"http://{HOST}") as found:
            yield found
