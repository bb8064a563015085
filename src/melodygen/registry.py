"""What is installed under which name: generators, renderers, classifiers and styles.

Everything is found through entry points; melodygen's own come in the same way as those of other packages.
What an entry point of each group (``melodygen.<kind>``) must be:

    generators   callable(spec: str) -> Generator          ``checkpoint`` takes a name or a folder
    classifiers  callable(spec: str) -> StyleClassifier    ``checkpoint`` takes a name or a folder
    renderers    callable(soundfont: Path | None) -> Renderer
    styles       a Style

``spec`` is what follows ``NAME:`` on the command line (``--model markov:order=3``), empty if nothing does.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from melodygen.errors import PluginError
from melodygen.styles.style import Style

KINDS = ("generators", "renderers", "classifiers", "styles")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: what was perhaps meant, and what is known."""
    listed = sorted(known)
    close = difflib.get_close_matches(name.lower(), listed, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(listed) or 'none'}"


def names(kind: str) -> tuple[str, ...]:
    """The names that can be loaded, in alphabetical order."""
    return tuple(sorted(_found(kind)))


def load(kind: str, name: str) -> Any:
    """The object an entry point names.

    Raises PluginError if the name is unknown, offered by two packages, or cannot be imported.
    """
    found = _found(kind)
    if name not in found:
        raise PluginError(f"no {kind.removesuffix('s')} is called {name!r}; {nearest(name, found)}")
    entry = found[name]
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{kind.removesuffix('s')} {name!r} ({entry.value}) cannot be loaded: {error}; "
            "reinstall the package it comes from"
        ) from error


def list_styles() -> dict[str, Style]:
    """Every installed style by name, in alphabetical order."""
    loaded = {}
    for name in names("styles"):
        style = load("styles", name)
        if not isinstance(style, Style) or style.name != name:
            raise PluginError(
                f"entry point {name!r} in melodygen.styles is {style!r}, not a Style of that name"
            )
        loaded[name] = style
    return loaded


def _found(kind: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"melodygen.{kind}"):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise PluginError(
                f"two packages offer the {kind.removesuffix('s')} {entry.name!r} "
                f"({other.value} and {entry.value}); uninstall one"
            )
    return found
