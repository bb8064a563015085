"""Reads styles from TOML files: the built-in ones, and those of folders that users fill.

The keys of a file are the fields of :class:`~melodygen.styles.style.Style`; its tables are the nested classes there.
Types and limits stand in those classes alone: what is read, checked and refused here is derived from them.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from melodygen.errors import StyleError
from melodygen.styles.style import Style

BUILT_IN = Path(__file__).parent / "data"
ROLES = ("melody", "chords", "bass", "drums", "other")
MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True)
class StyleFiles:
    """The styles of some folders by name, and for each file that cannot be used the reason."""

    styles: Mapping[str, Style] = field(default_factory=dict)
    errors: Mapping[str, StyleError] = field(default_factory=dict)


@lru_cache(maxsize=1)
def built_in_styles() -> Mapping[str, Style]:
    """The styles melodygen comes with, by name, in alphabetical order."""
    read = (read_style(path) for path in sorted(BUILT_IN.glob("*.toml")))
    return MappingProxyType({style.name: style for style in read})


def style_folders(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where users put styles: the folders in ``$MELODYGEN_STYLES``, and ``styles`` in the configuration folder."""
    import platformdirs

    named = environ.get("MELODYGEN_STYLES", "").split(os.pathsep)
    folders = [Path(part) for part in named if part]
    return (*folders, platformdirs.user_config_path("melodygen") / "styles")


def read_style_folders(folders: Iterable[Path], taken: Iterable[str] = ()) -> StyleFiles:
    """The styles of all ``*.toml`` files in ``folders``.

    A file that cannot be used is among the errors, by the name of the style it would have been; the others are read.
    ``taken`` are names that a file may not use.
    """
    styles: dict[str, Style] = {}
    errors: dict[str, StyleError] = {}
    used = set(taken)
    for folder in folders:
        for path in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
            try:
                style = read_style(path)
                if style.name in used:
                    raise StyleError(
                        f"style file {path}: name = {style.name!r} is taken by another style; choose another name"
                    )
                styles[style.name] = style
                used.add(style.name)
            except StyleError as error:
                errors[path.stem] = error
    return StyleFiles(styles, errors)


def read_style(path: Path) -> Style:
    """The style of one file. Raises StyleError with the file, the key, the value and the way out."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise StyleError(f"style file {path}: more than {MAX_FILE_BYTES} bytes are not a style")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StyleError(
            f"style file {path} cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StyleError(f"style file {path} is not TOML: {error}; mend that line") from error
    return parse_style(table, f"style file {path}")


def parse_style(table: Mapping[str, Any], source: str) -> Style:
    """The style a parsed file describes; ``source`` begins every error message."""
    style = _Reader(source).record(Style, table, "")
    assert isinstance(style, Style)
    if not re.fullmatch(r"[a-z0-9][a-z0-9 _&'.-]{0,39}", style.name):
        raise StyleError(
            f"{source}: name = {style.name!r} is not possible; use 1 to 40 of a-z, 0-9, space and _&'.-, in lower case"
        )
    for role in (*style.tracks, *style.programs):
        if role not in ROLES:
            raise StyleError(f"{source}: {role!r} is not a role; use {', '.join(ROLES)}")
    if not style.tracks or len(set(style.tracks)) != len(style.tracks):
        raise StyleError(f"{source}: tracks = {list(style.tracks)}: name at least one role, each once")
    try:
        re.compile(style.arrangement.mma_files)
    except re.error as error:
        raise StyleError(f"{source}: arrangement.mma_files is not a regular expression: {error}") from error
    return style


class _Reader:
    """Turns parsed TOML into a dataclass, field by field."""

    def __init__(self, source: str) -> None:
        self._source = source

    def record(self, kind: type[Any], table: Any, where: str) -> Any:
        if not isinstance(table, Mapping):
            self._refuse(where, table, "a table, like [" + where + "]")
        known = {f.name: f for f in fields(kind)}
        hints = get_type_hints(kind)
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                raise StyleError(
                    f"{self._source}: {_joined(where, key)} is not a key; {hint}known: {', '.join(known)}"
                )
        given = {
            key: self._value(hints[key], value, known[key], _joined(where, key))
            for key, value in table.items()
        }
        try:
            return kind(**given)
        except TypeError as error:  # a field without default is missing
            missing = [n for n in ("name", "description") if n not in given]
            raise StyleError(f"{self._source}: {' and '.join(missing)} must be given") from error

    def _value(self, hint: Any, value: Any, spec: Field[Any], where: str) -> Any:
        origin, parts = get_origin(hint), get_args(hint)
        if origin is UnionType:  # "number or None": TOML has no None
            hint, origin, parts = parts[0], None, ()
        if isinstance(hint, type) and is_dataclass(hint):
            return self.record(hint, value, where)
        if hint == tuple[int, int]:
            return self._meter(value, where)
        if origin is tuple:
            if not isinstance(value, list):
                self._refuse(where, value, "a list, like [1, 2]")
            return tuple(self._value(parts[0], item, spec, where) for item in value)
        if origin is not None:  # a mapping from names
            if not isinstance(value, Mapping):
                self._refuse(where, value, "a table")
            keys = spec.metadata.get("keys")
            for key in value:
                if keys is not None and key not in keys:
                    self._refuse(where, key, f"one of {', '.join(keys)}")
            return {k: self._value(parts[1], item, spec, _joined(where, k)) for k, item in value.items()}
        return self._scalar(hint, value, spec, where)

    def _scalar(self, hint: Any, value: Any, spec: Field[Any], where: str) -> Any:
        """A number within its limits, one of the choices, or any text."""
        if hint is bool:
            return value if isinstance(value, bool) else self._refuse(where, value, "true or false")
        if hint is str:
            choices = spec.metadata.get("choices")
            if not isinstance(value, str):
                self._refuse(where, value, 'text, in "quotes"')
            if choices is not None and value not in choices:
                self._refuse(where, value, f"one of {', '.join(choices)}")
            return value
        low, high = spec.metadata["low"], spec.metadata["high"]
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
        raise StyleError(f"{self._source}: {where} = {shown} is not possible; give {wanted}")


def _joined(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
