"""Loads generators, classifiers and renderers by name, and knows which classifier belongs to which generator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from melodygen import registry
from melodygen.contracts import Generator, Renderer, StyleClassifier
from melodygen.resources import models_dir
from melodygen.styles.style import Style

if TYPE_CHECKING:
    from melodygen.engine.writer import ModelWriter

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class ModelNames:
    """Which models do the work: names or folders; None is the shipped one, or what belongs to the model."""

    model: str | None = None
    classifier: str | None = None
    renderer: str | None = None
    soundfont: Path | None = None


@dataclass(frozen=True, eq=False)
class LoadedModels:
    """Models that are loaded and can be used again and again."""

    generator: Generator
    renderer: Renderer
    classifier: StyleClassifier


def load_generator(model: PathLike | None = None) -> Generator:
    """A generator by the name of a checkpoint or plug-in, or by its folder; None is the shipped one."""
    return cast(Generator, registry.load_model("generators", "" if model is None else os.fspath(model)))


def load_classifier(classifier: PathLike | None = None) -> StyleClassifier:
    """A classifier by the name of a checkpoint or plug-in, or by its folder; None is the shipped one."""
    spec = "" if classifier is None else os.fspath(classifier)
    return cast(StyleClassifier, registry.load_model("classifiers", spec))


def load_renderer(name: str | None = None, soundfont: PathLike | None = None) -> Renderer:
    """A renderer by name; None is ``sampler``, or ``additive`` where no soundfont at all can be found.

    Raises RenderError for a soundfont that was named and cannot be used.
    """
    from melodygen.rendering import default

    return default.load_renderer(name, None if soundfont is None else Path(soundfont))


def load_models(names: ModelNames, generator: Generator | None = None) -> LoadedModels:
    """All three at once; a generator that is there already is kept."""
    return LoadedModels(
        generator or load_generator(names.model),
        load_renderer(names.renderer, names.soundfont),
        load_classifier(names.classifier or classifier_of(names.model)),
    )


def load_writer(
    model: str | None = None,
    classifier: str | None = None,
    renderer: str | None = None,
    soundfont: PathLike | None = None,
) -> ModelWriter:
    """What the engine writes with: the style loop over a generator, a renderer and a classifier; where none is named,
    the classifier that was trained with the model, if there is one."""
    from melodygen.engine.writer import ModelWriter

    path = None if soundfont is None else Path(soundfont)
    loaded = load_models(ModelNames(model, classifier, renderer, path))
    return ModelWriter(loaded.generator, loaded.renderer, loaded.classifier)


def classifier_of(model: PathLike | None) -> Path | None:
    """The classifier that was trained with a model and lies in its folder; None where there is none."""
    for folder in () if model is None else (Path(model), models_dir() / Path(model).name):
        if (folder / "classifier" / "config.json").is_file():
            return folder / "classifier"
    return None


def style_of(name: str, generator: Generator | None = None) -> Style:
    """Defaults of a style: the installed one, else what the generator's checkpoint carries, else bare."""
    carried: Mapping[str, Style] = getattr(generator, "style_info", {})
    return registry.list_styles().get(name) or carried.get(name) or Style(name, "known to the model only")


def random_seed() -> int:
    """32 bits from the operating system."""
    return int.from_bytes(os.urandom(4), "big")
