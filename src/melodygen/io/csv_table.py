"""Tables that people write: CSV with a header, as Excel, LibreOffice and editors save it.

A byte order mark is taken off, the delimiter is the comma, semicolon or tab of the header, column names are read
without regard to case and spaces around them.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from melodygen.errors import CorpusError

DELIMITERS = ",;\t"


def read_table(path: Path, required: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a table as dicts by column name in lower case; cells that are missing are empty.

    Raises CorpusError when it cannot be read, lacks a column of ``required`` or has no row.
    """
    text = _text(path)
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
        names = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        rows = [
            {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
            for row in reader
        ]
    except csv.Error as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error
    missing = [name for name in required if name not in names]
    if missing:
        found = ", ".join(name for name in names if name) or "no column"
        raise CorpusError(
            f"{path} must have the columns {' and '.join(required)}; it has {found}; correct it, or take it away"
        )
    rows = [row for row in rows if any(row.values())]
    if not rows:
        raise CorpusError(f"{path} has no row below its header; fill it, or take it away")
    return rows


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # Excel's "Unicode text"
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")


__all__ = ["read_table"]
