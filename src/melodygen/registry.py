"""What is installed under which name: generators, renderers, classifiers and styles.

Generators, renderers and classifiers are found through entry points; melodygen's own come in the same way as those of
other packages. Styles are TOML files (``melodygen.styles.loader``): the built-in ones, those in the user's
folders, and those that other packages offer as an entry point.

What an entry point of each group (``melodygen.<kind>``) must be:

    generators   callable(spec: str) -> Generator          ``checkpoint`` takes a name or a folder
    classifiers  callable(spec: str) -> StyleClassifier    ``checkpoint`` takes a name or a folder
    renderers    callable(soundfont: Path | None) -> Renderer
    styles       a Style

``spec`` is what follows ``NAME:`` on the command line (``--model markov:order=3``), empty if nothing does. It holds no
comma: ``--model A,B`` names two models.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from melodygen.errors import PluginError, StyleError
from melodygen.styles.loader import StyleFiles, built_in_styles, read_style_folders, style_folders
from melodygen.styles.style import Style

LOG = logging.getLogger("melodygen")
KINDS = ("generators", "renderers", "classifiers", "styles")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: what was perhaps meant, and what is known."""
    listed = sorted(known)
    close = difflib.get_close_matches(name.lower(), listed, n=1, cutoff=0.7)
    close += [known for known in listed if len(name) >= 4 and known.lower()[:4] == name.lower()[:4]]
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(listed) or 'none'}"


def names(kind: str) -> tuple[str, ...]:
    """The names that can be loaded, in alphabetical order."""
    return tuple(sorted(list_styles() if kind == "styles" else _entries(kind)))


def load(kind: str, name: str) -> Any:
    """The style of that name, or the object that an entry point of another kind names.

    Raises PluginError if the name is unknown, offered by two packages, or cannot be imported; StyleError for a style
    whose file cannot be used.
    """
    if kind == "styles":
        return find_style(name)
    found = _entries(kind)
    if name not in found:
        raise PluginError(f"no {kind.removesuffix('s')} is called {name!r}; {nearest(name, found)}")
    return _loaded(kind, found[name])


def load_model(kind: str, spec: str = "") -> Any:
    """A generator or classifier by ``NAME:REST`` of a plug-in, else by the name or the folder of a checkpoint."""
    name, _, rest = spec.partition(":")
    is_plugin = name != "checkpoint" and name in names(kind)
    model = load(kind, name)(rest) if is_plugin else load(kind, "checkpoint")(spec)
    LOG.info("loaded %s", getattr(model, "model_id", None) or getattr(model, "classifier_id", None) or spec)
    return model


def list_styles() -> dict[str, Style]:
    """Every usable style by name, in alphabetical order."""
    styles = {**_fixed_styles(), **user_styles().styles}
    return dict(sorted(styles.items()))


def find_style(name: str) -> Style:
    """The style of that name. Raises PluginError where there is none, StyleError where its file cannot be used."""
    styles = list_styles()
    if name in styles:
        return styles[name]
    if (error := broken_styles().get(name)) is not None:
        raise error
    raise PluginError(f"no style is called {name!r}; {nearest(name, styles)}")


def user_styles() -> StyleFiles:
    """What the user's style folders hold; a name that is taken elsewhere is among the errors."""
    return read_style_folders(style_folders(), _fixed_styles())


def broken_styles() -> dict[str, StyleError]:
    """Style files that cannot be used: the reason by the file's name without ``.toml``."""
    return dict(user_styles().errors)


def _fixed_styles() -> dict[str, Style]:
    """Built-in styles and those of other packages."""
    styles = dict(built_in_styles())
    for name, entry in _entries("styles").items():
        if entry.value.startswith("melodygen."):
            continue  # left by an installation of before 0.3, when built-in styles were entry points too
        if name in styles:
            raise PluginError(
                f"two packages offer the style {name!r} (melodygen and {entry.value}); uninstall one"
            )
        style = _loaded("styles", entry)
        if not isinstance(style, Style) or style.name != name:
            raise PluginError(
                f"entry point {name!r} in melodygen.styles is {style!r}, not a Style of that name"
            )
        styles[name] = style
    return styles


def _loaded(kind: str, entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{kind.removesuffix('s')} {entry.name!r} ({entry.value}) cannot be loaded: {error}; "
            "reinstall the package it comes from"
        ) from error


def _entries(kind: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"melodygen.{kind}"):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise PluginError(
                f"two packages offer the {kind.removesuffix('s')} {entry.name!r} "
                f"({other.value} and {entry.value}); uninstall one"
            )
    return found
