"""Defaults of the commands from ``melodygen.toml``, in the user's configuration folder and in this one, which wins.

    [generate]
    style = "blues"
    tempo = 96

A table is a command, a key is an option without its dashes. What is given on the command line stands.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from melodygen.errors import UsageError

NAME = "melodygen.toml"


def defaults_of(group: Any, files: list[Path]) -> dict[str, Any]:
    """Defaults by command and parameter, as Click takes them (``Context.default_map``); later files win.

    Raises UsageError for a file that is no TOML, and for a command or an option that is not there.
    """
    found: dict[str, Any] = {}
    for path in files:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{path} cannot be read: {error}; mend it or move it away") from error
        _merge(found, _named(group, table, path, ()))
    return found


def _named(command: Any, table: dict[str, Any], path: Path, where: tuple[str, ...]) -> dict[str, Any]:
    from melodygen.registry import nearest

    commands: dict[str, Any] = getattr(command, "commands", {})
    options = {
        word.lstrip("-").replace("-", "_"): parameter.name
        for parameter in command.params
        for word in getattr(parameter, "opts", ())
        if word.startswith("--")
    }
    named: dict[str, Any] = {}
    for key, value in table.items():
        word = key.replace("-", "_")
        if isinstance(value, dict) and key in commands:
            named[key] = _named(commands[key], value, path, (*where, key))
        elif where and word in options and not isinstance(value, dict):
            named[options[word]] = value
        elif key in commands:
            raise UsageError(
                f"{path}: {key!r} is a command: write its options below [{'.'.join((*where, key))}]"
            )
        else:
            what = (
                f"option of {' '.join(where)}"
                if where
                else "command; options stand in a table like [generate]"
            )
            known = sorted(options) if where and not commands else sorted(commands)
            raise UsageError(f"{path}: {key!r} is no {what}; {nearest(key, known)}")
    return named


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


__all__ = ["NAME", "defaults_of"]
