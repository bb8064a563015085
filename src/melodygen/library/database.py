"""The database of a library: what the catalogue asks of one, and SQLite as one.

The catalogue's statements are written once, in SQL that SQLite and PostgreSQL both understand, with ``?`` for values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from melodygen.errors import LibraryError

BUSY_SECONDS = 30.0


class Database(Protocol):
    """One connection.

    Attributes:
        name: where it lies, for messages; without a password.
        listed: SQL for the numbers of a JSON array that is given as one value.
        types: what the schema's own type names are called here.
    """

    name: str
    listed: str
    types: Mapping[str, str]

    def has_table(self, name: str) -> bool:
        """Whether a table of that name is there."""
        ...

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        ...

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Carry out one statement; the number of rows it touched."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class SqliteDatabase:
    """One file. Its journal is a write-ahead log: readers never wait for the writer."""

    listed = "(SELECT value FROM json_each(?))"
    types: Mapping[str, str] = {
        "SERIAL": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "BLOB": "BLOB",
        "LEAN": "WITHOUT ROWID",
    }

    def __init__(self, path: Path, create: bool = False) -> None:
        """Raises LibraryError for a file that is missing or no database."""
        if not create and not path.is_file():
            raise LibraryError(
                f"{path.parent}: no library there; make one with: melodygen library add FOLDER"
            )
        self.name = str(path)
        try:
            self._db = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
        except sqlite3.DatabaseError as error:
            raise LibraryError(f"{path} is not a library's catalogue ({error})") from error

    def has_table(self, name: str) -> bool:
        return bool(self.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)))

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(query, values).fetchall()

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        return self._db.execute(statement, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


__all__ = ["Database", "SqliteDatabase"]
