"""A TOML file as a dataclass: keys are fields, tables are nested dataclasses.

Limits stand in the metadata of a field: ``low`` and ``high`` for numbers, ``choices`` for text, ``keys`` for the names
of a table. Everything that is refused is named with the file, the key, the value and what may stand there.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from melodygen.errors import MelodygenError

MAX_FILE_BYTES = 1_000_000
Record = TypeVar("Record")


def read_toml(path: Path, what: str, error: type[MelodygenError]) -> dict[str, Any]:
    """The tables of a file.

    Args:
        path: the file.
        what: what it is, for messages: ``style file``.
        error: raised where the file cannot be read or is not TOML.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise error(f"{what} {path}: more than {MAX_FILE_BYTES} bytes; give a smaller file")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise error(f"{what} {path} cannot be read: {(reason.strerror or str(reason)).lower()}") from reason
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as reason:
        raise error(f"{what} {path} is not TOML: {reason}; mend that line") from reason


def parse_record(
    kind: type[Record], table: Mapping[str, Any], source: str, error: type[MelodygenError]
) -> Record:
    """A ``kind`` (a dataclass) from parsed TOML. ``source`` begins the message of every ``error``."""
    record: Record = _Parser(source, error).record(kind, table, "")
    return record


class _Parser:
    def __init__(self, source: str, error: type[MelodygenError]) -> None:
        self._source, self._error = source, error

    def record(self, kind: type[Any], table: Any, where: str) -> Any:
        """A dataclass from a table; ``where`` is the dotted key of the table."""
        if not isinstance(table, Mapping):
            self._refuse(where, table, f"a table, like [{where}]")
        known, hints = {f.name: f for f in fields(kind)}, get_type_hints(kind)
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                raise self._error(
                    f"{self._source}: {_joined(where, key)} is not a key; {hint}known: {', '.join(known)}"
                )
        missing = [f.name for f in known.values() if _needed(f) and f.name not in table]
        if missing:
            raise self._error(
                f"{self._source}: {' and '.join(_joined(where, m) for m in missing)} must be given"
            )
        return kind(
            **{k: self._value(hints[k], v, known[k].metadata, _joined(where, k)) for k, v in table.items()}
        )

    def _value(self, hint: Any, value: Any, limits: Mapping[str, Any], where: str) -> Any:
        origin, parts = get_origin(hint), get_args(hint)
        if origin is UnionType:  # "number or None": TOML has no None
            hint, origin, parts = parts[0], get_origin(parts[0]), get_args(parts[0])
        if isinstance(hint, type) and is_dataclass(hint):
            return self.record(hint, value, where)
        if hint == tuple[int, int]:
            return self._meter(value, where)
        if origin is tuple:
            if not isinstance(value, list):
                self._refuse(where, value, "a list, like [1, 2]")
            return tuple(self._value(parts[0], item, limits, where) for item in value)
        if origin is not None:
            return self._mapping(parts[1], value, limits, where)
        return self._scalar(hint, value, limits, where)

    def _mapping(self, hint: Any, value: Any, limits: Mapping[str, Any], where: str) -> dict[str, Any]:
        """A table whose keys are names."""
        if not isinstance(value, Mapping):
            self._refuse(where, value, "a table")
        keys = limits.get("keys")
        for key in value:
            if keys is not None and key not in keys:
                self._refuse(where, key, f"one of {', '.join(keys)}")
        return {k: self._value(hint, item, limits, _joined(where, k)) for k, item in value.items()}

    def _scalar(self, hint: Any, value: Any, limits: Mapping[str, Any], where: str) -> Any:
        """A number within its limits, one of the choices, or any text."""
        if hint is bool:
            return value if isinstance(value, bool) else self._refuse(where, value, "true or false")
        if hint is str:
            choices = limits.get("choices")
            if not isinstance(value, str):
                self._refuse(where, value, 'text, in "quotes"')
            if choices is not None and value not in choices:
                self._refuse(where, value, f"one of {', '.join(choices)}")
            return value
        low, high = limits.get("low", 0), limits.get("high", 1e9)
        number = (int,) if hint is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, number) or not low <= value <= high:
            kind = "a whole number" if hint is int else "a number"
            self._refuse(where, value, f"{kind}, {low:g} to {high:g}")
        return value if hint is int else float(value)

    def _meter(self, value: Any, where: str) -> tuple[int, int]:
        match = re.fullmatch(r"([1-9]\d?)/(1|2|4|8|16)", value) if isinstance(value, str) else None
        if match is None:
            self._refuse(where, value, 'a meter, like "3/4"')
        assert match is not None
        return int(match[1]), int(match[2])

    def _refuse(self, where: str, value: Any, wanted: str) -> Any:
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        raise self._error(f"{self._source}: {where} = {shown} is not possible; give {wanted}")


def _needed(spec: Field[Any]) -> bool:
    return spec.default is MISSING and spec.default_factory is MISSING


def _joined(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
