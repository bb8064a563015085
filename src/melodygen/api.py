"""melodygen in one call: what the commands do, for programs.

Models are loaded when a function is called. To write many pieces, load them once
(:func:`load_generator`, :func:`load_renderer`, :func:`load_classifier`) and pass the objects.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from melodygen import registry
from melodygen.audio.buffer import Audio
from melodygen.contracts import Generator, Renderer, StyleClassifier
from melodygen.generation.loop import Composition, ProgressCallback, compose
from melodygen.music.score import Score
from melodygen.request import Request
from melodygen.resources import models_dir
from melodygen.styles.style import Style

if TYPE_CHECKING:
    from melodygen.engine.writer import ModelWriter


def load_generator(model: str | os.PathLike[str] | None = None) -> Generator:
    """A generator by the name of a checkpoint or plug-in, or by its folder; None is the shipped one."""
    return cast(Generator, _load_model("generators", model))


def load_classifier(classifier: str | os.PathLike[str] | None = None) -> StyleClassifier:
    """A classifier by the name of a checkpoint or plug-in, or by its folder; None is the shipped one."""
    return cast(StyleClassifier, _load_model("classifiers", classifier))


def classifier_of(model: str | os.PathLike[str] | None) -> Path | None:
    """The classifier that was trained with a model and lies in its folder; None where there is none."""
    for folder in () if model is None else (Path(model), models_dir() / Path(model).name):
        if (folder / "classifier" / "config.json").is_file():
            return folder / "classifier"
    return None


def load_renderer(name: str | None = None, soundfont: str | os.PathLike[str] | None = None) -> Renderer:
    """A renderer by name; None is ``sampler``, or ``additive`` where no soundfont at all can be found.

    Raises RenderError for a soundfont that was named and cannot be used.
    """
    from melodygen.rendering import default as choice

    return choice.load_renderer(name, None if soundfont is None else Path(soundfont))


def load_writer(
    model: str | None = None,
    classifier: str | None = None,
    renderer: str | None = None,
    soundfont: str | None = None,
) -> ModelWriter:
    """What the engine writes with: the style loop over a generator, a renderer and a classifier; where none is named,
    the classifier that was trained with the model, if there is one."""
    from melodygen.engine.writer import ModelWriter

    judge = load_classifier(classifier or classifier_of(model))
    return ModelWriter(load_generator(model), load_renderer(renderer, soundfont), judge)


def style_of(name: str, generator: Generator | None = None) -> Style:
    """Defaults of a style: the installed one, else what the generator's checkpoint carries, else bare."""
    carried: Mapping[str, Style] = getattr(generator, "style_info", {})
    return registry.list_styles().get(name) or carried.get(name) or Style(name, "known to the model only")


def generate(
    style: str,
    *,
    bars: int = 16,
    qpm: float | None = None,
    meter: tuple[int, int] | None = None,
    key: tuple[int, str] | None = None,
    tracks: tuple[str, ...] | None = None,
    seed: int | None = None,
    candidates: int = 8,
    min_style: float = 0.7,
    max_rounds: int = 3,
    model: str | Generator | None = None,
    classifier: str | StyleClassifier | None = None,
    renderer: str | Renderer | None = None,
    progress: ProgressCallback | None = None,
) -> Composition:
    """Compose ``bars`` bars in ``style``; tempo, meter and tracks default to the style's own.

    For everything else a request can hold, make a :class:`~melodygen.contracts.Request` and call
    :func:`~melodygen.generation.loop.compose`.
    """
    writer = load_generator(model) if model is None or isinstance(model, str) else model
    if classifier is None and isinstance(model, str):
        trained = classifier_of(model)
        classifier = None if trained is None else str(trained)
    usual = style_of(style, writer)
    request = Request(
        style=style,
        bars=bars,
        qpm=usual.qpm if qpm is None else qpm,
        meter=usual.meter if meter is None else meter,
        key=key,
        tracks=usual.tracks if tracks is None else tracks,
    )
    return compose(
        request,
        writer,
        load_renderer(renderer) if renderer is None or isinstance(renderer, str) else renderer,
        load_classifier(classifier) if classifier is None or isinstance(classifier, str) else classifier,
        seed=random_seed() if seed is None else seed,
        candidates=candidates,
        min_style=min_style,
        max_rounds=max_rounds,
        progress=progress,
    )


def render(score: Score, *, renderer: str | None = None, soundfont: str | None = None) -> Audio:
    """Stereo sound at 44.1 kHz, loudness set, tail kept."""
    return load_renderer(renderer, soundfont).render(score)


def random_seed() -> int:
    """32 bits from the operating system."""
    return int.from_bytes(os.urandom(4), "big")


def _load_model(kind: str, spec: str | os.PathLike[str] | None) -> object:
    text = "" if spec is None else os.fspath(spec)
    name, _, rest = text.partition(":")
    if name != "checkpoint" and name in registry.names(kind):
        return registry.load(kind, name)(rest)
    return registry.load(kind, "checkpoint")(text)
