"""Loads generators, classifiers and renderers by name, and knows which classifier belongs to which generator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from melodygen import registry
from melodygen.contracts import Generator, Renderer, StyleClassifier
from melodygen.errors import MelodygenError, UsageError
from melodygen.nets.checkpoint import read_config, resolve
from melodygen.resources import models_dir
from melodygen.styles.mixture import mixed_style, style_shares
from melodygen.styles.style import Style

if TYPE_CHECKING:
    from melodygen.engine.writer import ModelWriter

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class ModelNames:
    """Which models do the work: names or folders; None is the shipped one, or what belongs to the model.

    ``model``  may name several generators, ``A,B``, that write together.
    """

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
    """A generator by the name of a checkpoint or plug-in, or by its folder; None is the shipped one.

    ``A,B`` is an ``Ensemble`` of several: the candidates come from each in turn.
    """
    loaded = [cast(Generator, registry.load_model("generators", name)) for name in model_names(model)]
    if len(loaded) == 1:
        return loaded[0]
    from melodygen.generation.ensemble import Ensemble

    return Ensemble(tuple(loaded))


def model_names(model: PathLike | None) -> tuple[str, ...]:
    """The single models that ``A,B`` names. A folder whose name holds a comma is one. Raises UsageError for an empty
    name among several.
    """
    text = "" if model is None else os.fspath(model)
    if "," not in text or Path(text).exists():
        return (text,)
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(f"model {text!r} holds an empty name; give names or folders like A,B")
    return names


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


def check_names(asked: ModelNames) -> None:
    """Tell at once of models that could not be loaded later, without reading any weights.

    Raises:
        CheckpointError: no generator or classifier, of a plug-in or as a checkpoint, is called so.
        PluginError: no renderer is called so.
    """
    models = [("generators", name) for name in model_names(asked.model) if name]
    models += [("classifiers", asked.classifier)] if asked.classifier else []
    for kind, spec in models:
        if spec.partition(":")[0] not in registry.names(kind):
            read_config(resolve(spec, spec), kind.removesuffix("s"))
    if asked.renderer is not None:
        registry.load("renderers", asked.renderer)


def load_models(
    names: ModelNames, generator: Generator | None = None, renderer_soon: bool = False
) -> LoadedModels:
    """All three at once; a generator that is there already is kept. With ``renderer_soon`` a renderer that nobody named
    is loaded in a thread of its own: what it imports takes a second, and nothing is rendered before pieces are written.
    """
    generator = generator or load_generator(names.model)
    # before the renderer: two threads that import parts of scipy at once can find it half made
    classifier = load_classifier(names.classifier or classifier_of(names.model))
    load = partial(_renderer_later, soon=True) if renderer_soon else load_renderer
    return LoadedModels(generator, load(names.renderer, names.soundfont), classifier)


def _renderer_later(name: str | None, soundfont: PathLike | None, soon: bool = False) -> Renderer:
    """A renderer that is loaded when it is needed, or ``soon``, in a thread; one that was named is loaded at once, so
    that a fault is told."""
    if name is not None or soundfont is not None:
        return load_renderer(name, soundfont)
    from melodygen.rendering.deferred import DeferredRenderer

    deferred = DeferredRenderer(load_renderer)
    if soon:
        deferred.load_soon()
    return cast(Renderer, deferred)


def load_writer(
    model: str | None = None,
    classifier: str | None = None,
    renderer: str | None = None,
    soundfont: PathLike | None = None,
) -> ModelWriter:
    """What the engine writes with: the style loop over a generator, a renderer and a classifier; where none is named,
    the classifier that was trained with the model, if there is one. A renderer that nobody named is loaded when it is
    needed, because the first phrase is not rendered."""
    from melodygen.engine.writer import ModelWriter

    sound = _renderer_later(renderer, soundfont)
    return ModelWriter(load_generator(model), sound, load_classifier(classifier or classifier_of(model)))


def shipped_styles() -> tuple[str, ...]:
    """The styles that the shipped models know together, read without loading weights; empty without the models."""
    from melodygen.nets import checkpoint

    try:
        generator = checkpoint.read_config(checkpoint.resolve("", checkpoint.DEFAULT_GENERATOR), "generator")
        classifier = checkpoint.read_config(
            checkpoint.resolve("", checkpoint.DEFAULT_CLASSIFIER), "classifier"
        )
    except MelodygenError:
        return ()
    return tuple(s["name"] for s in generator["styles"] if s["name"] in classifier["labels"])


def styles_in_checkpoint(model: PathLike | None) -> dict[str, Mapping[str, Any]]:
    """The styles of ``config.json`` by name, read without loading weights; of several models those of all; empty for a
    plug-in."""
    from melodygen.nets import checkpoint

    found: dict[str, Mapping[str, Any]] = {}
    for name in model_names(model):
        try:
            folder = checkpoint.resolve(name, checkpoint.DEFAULT_GENERATOR)
            found |= {s["name"]: s for s in checkpoint.read_config(folder, "generator")["styles"]}
        except MelodygenError:
            continue
    return found


def classifier_of(model: PathLike | None) -> Path | None:
    """The classifier that was trained with a model and lies in its folder, of several models the first there is; None
    where there is none.
    """
    for name in () if model is None else model_names(model):
        for folder in (Path(name), models_dir() / Path(name).name):
            if (folder / "classifier" / "config.json").is_file():
                return folder / "classifier"
    return None


def style_of(name: str, generator: Generator | None = None) -> Style:
    """Defaults of a style: the installed one, else what the generator's checkpoint carries, else bare."""
    carried: Mapping[str, Style] = getattr(generator, "style_info", {})
    known = {**carried, **registry.list_styles()}
    return mixed_style(
        name, [known.get(n) or Style(n, "known to the model only") for n in style_shares(name)]
    )


def random_seed() -> int:
    """32 bits from the operating system."""
    return int.from_bytes(os.urandom(4), "big")
