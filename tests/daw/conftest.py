"""A JACK server for a DAW, and nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from liveports import end_started, jack_server


@pytest.fixture(scope="module")
def jack(env: dict[str, str]) -> Iterator[dict[str, str]]:
    """A JACK server as a studio has it; the environment in which ports are on it."""
    with jack_server(env, f"-daw{os.getpid()}", (), 256) as here:
        yield here


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """A test that fails leaves no process that plays on."""
    yield
    end_started()
