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
_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and give the command again",
    sqlite3.SQLITE_READONLY: "it may not be written; see its permissions, or choose another --library",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; see its permissions, or choose another --library",
    sqlite3.SQLITE_BUSY: "another process is writing to it; try again",
    sqlite3.SQLITE_NOTADB: "it is not a library's catalogue",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move the folder away and add the music again",
}


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
        with self._in_words():
            self._db = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")

    def has_table(self, name: str) -> bool:
        return bool(self.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)))

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._in_words():
            return self._db.execute(query, values).fetchall()

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        with self._in_words():
            return self._db.execute(statement, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.change("BEGIN IMMEDIATE")
        try:
            yield
            self.change("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk may have ended it already
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """What the disk or the file does to SQLite, as a LibraryError; a wrong statement stays what it is."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if type(error) not in (sqlite3.DatabaseError, sqlite3.OperationalError):
                raise
            said = _REASONS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "it cannot be used")
            raise LibraryError(f"{self.name}: {said} ({error})") from error

    def close(self) -> None:
        self._db.close()


__all__ = ["Database", "SqliteDatabase"]
