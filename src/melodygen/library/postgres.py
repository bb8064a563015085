"""PostgreSQL as a library's database, through psycopg (LGPL; the extra ``postgres``), in a schema of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from melodygen.errors import LibraryError

if TYPE_CHECKING:
    import psycopg

SCHEMA = "melodygen"
SCHEMES = ("postgresql://", "postgres://")
CONNECT_SECONDS = 10
MIN_PGVECTOR = (0, 7)
"""The first with half precision."""
_ALONE = 0x6D656C6F64796765  # "melodyge": the advisory lock of those who make a library


def shown(url: str) -> str:
    """An address without its password and its parameters."""
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    user = user.partition(":")[0]
    return f"{parts.scheme}://{user + '@' if user else ''}{place}{parts.path}"


class PostgresDatabase:
    """One connection. Statements outside of a transaction stand for themselves."""

    listed = "(SELECT value::bigint FROM json_array_elements_text(?::json) AS value)"
    types: Mapping[str, str] = {
        "SERIAL": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "BLOB": "BYTEA", "LEAN": "",
    }  # fmt: skip

    def __init__(self, url: str, create: bool = False) -> None:
        """``create`` makes the schema and the extension. Raises LibraryError when the server cannot be reached, or has
        no pgvector that is new enough."""
        try:
            import psycopg
        except ImportError as error:
            raise LibraryError(
                "a library in PostgreSQL needs psycopg: pip install 'melodygen[postgres]'"
            ) from error
        self.url, self.name = url, shown(url)
        try:
            self._db = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)
        except psycopg.Error as error:
            raise LibraryError(
                f"{self.name} cannot be reached: {_line(error)}; is the server up, and are the address and the "
                "password right?"
            ) from error
        self._prepare(create)

    def _prepare(self, create: bool) -> None:
        with self.alone():
            if create:
                self._make("CREATE EXTENSION IF NOT EXISTS vector", "the extension 'vector' (pgvector)")
                self._make(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}", f"the schema {SCHEMA!r}")
        found = self.rows(
            "SELECT extversion, nspname FROM pg_extension JOIN pg_namespace n ON extnamespace = n.oid "
            "WHERE extname = 'vector'"
        )
        if found:
            version, where = found[0]
            if tuple(int(part) for part in version.split(".")[:2]) < MIN_PGVECTOR:
                least = ".".join(map(str, MIN_PGVECTOR))
                raise LibraryError(
                    f"{self.name} has pgvector {version}; at least {least} is needed: update it, "
                    "then ALTER EXTENSION vector UPDATE"
                )
            self.change("SELECT set_config('search_path', ?, false)", (f'{SCHEMA}, "{where}"',))

    def _make(self, statement: str, what: str) -> None:
        try:
            self.change(statement)
        except LibraryError as error:
            raise LibraryError(
                f"{error}. melodygen could not make {what}: have the database's owner do it with: {statement}"
            ) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One at a time among all that make a library on this server."""
        self.rows("SELECT pg_advisory_lock(?)", (_ALONE,))
        try:
            yield
        finally:
            self.rows("SELECT pg_advisory_unlock(?)", (_ALONE,))

    def has_table(self, name: str) -> bool:
        return self.rows("SELECT to_regclass(?) IS NOT NULL", (f"{SCHEMA}.{name}",))[0][0] is True

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._told():
            return self._execute(query, values).fetchall()

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        with self._told():
            return self._execute(statement, values).rowcount

    def _execute(self, query: str, values: Sequence[Any]) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._db.execute(query.replace("?", "%s").encode(), values or None, binary=True)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._told(), self._db.transaction():
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the server says becomes a line."""
        import psycopg

        try:
            yield
        except psycopg.OperationalError as error:
            raise LibraryError(
                f"{self.name}: the database went away ({_line(error)}); run the command again when it is back: "
                "what was done is kept"
            ) from error
        except psycopg.Error as error:
            raise LibraryError(f"{self.name}: {_line(error)}") from error

    def close(self) -> None:
        self._db.close()


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


__all__ = ["SCHEMES", "PostgresDatabase", "shown"]
