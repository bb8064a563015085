"""A JACK server for a DAW, and nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from liveports import end_started, on_server, start_server


@pytest.fixture(scope="module")
def jack(env: dict[str, str]) -> Iterator[dict[str, str]]:
    """A JACK server as a studio has it; the environment in which ports are on it."""
    here = on_server(env, f"-daw{os.getpid()}")
    server = start_server(here, (), 256)
    try:
        yield here
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """A test that fails leaves no process that plays on."""
    yield
    end_started()
