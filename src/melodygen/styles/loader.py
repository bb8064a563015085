"""Reads styles from TOML files: the built-in ones, and those of folders that users fill.

The keys of a file are the fields of ``Style``; its tables are the nested classes there.
Types and limits stand in those classes alone: what is read, checked and refused here is derived from them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from melodygen.errors import ScoreError, StyleError
from melodygen.io.toml_record import parse_record, read_toml
from melodygen.music.form import NO_FORM, parse_form
from melodygen.styles.style import Style

BUILT_IN = Path(__file__).parent / "data"
ROLES = ("melody", "chords", "bass", "drums", "other")


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
    table = read_toml(path, "style file", StyleError)
    return parse_style(table, f"style file {path}")


def parse_style(table: Mapping[str, Any], source: str) -> Style:
    """The style a parsed file describes; ``source`` begins every error message."""
    style = parse_record(Style, table, source, StyleError)
    if not re.fullmatch(r"[a-z0-9][a-z0-9 _&'.-]{0,39}", style.name):
        raise StyleError(
            f"{source}: name = {style.name!r} is not possible; use 1 to 40 of a-z, 0-9, space and _&'.-, in lower case"
        )
    for role in (*style.tracks, *style.programs):
        if role not in ROLES:
            raise StyleError(f"{source}: {role!r} is not a role; use {', '.join(ROLES)}")
    if not style.tracks or len(set(style.tracks)) != len(style.tracks):
        raise StyleError(f"{source}: tracks = {list(style.tracks)}: name at least one role, each once")
    for text in style.progressions:
        from melodygen.music.progression import read_progression

        try:
            read_progression(text, "C")
        except ScoreError as error:
            raise StyleError(f"{source}: progressions: {error}") from error
    try:
        parse_form(style.form or NO_FORM)
    except ScoreError as error:
        raise StyleError(f"{source}: {error}") from error
    try:
        re.compile(style.arrangement.mma_files)
    except re.error as error:
        raise StyleError(f"{source}: arrangement.mma_files is not a regular expression: {error}") from error
    return style
