"""What a recipe says: one TOML file for each shipped model, found in ``recipes``.

A recipe names everything that decides the result: the net, how it is trained, how it is sampled, calibrated and what is
kept beside it. ``tiny`` gives the same recipe made small, which runs every step in seconds on a few files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from melodygen.classification.tag_evidence import TagEvidence
from melodygen.errors import RecipeError
from melodygen.io.toml_record import parse_record, read_toml
from melodygen.registry import nearest
from melodygen.rendering.soundfont_subset import SoundfontRecipe
from melodygen.resources import recipes_dir
from melodygen.training.classifier.music_head import MusicHeadRecipe
from melodygen.training.classifier.trainer import ClassifierRecipe
from melodygen.training.generator.trainer import GeneratorRecipe


@dataclass(frozen=True)
class SequenceNetRecipe:
    """Shape of a generator's net; ``heads`` and ``window`` belong to a Transformer, ``hidden`` to an LSTM."""

    type: str = field(metadata={"choices": ("transformer", "lstm")})
    width: int
    layers: int
    heads: int | None = None
    hidden: int | None = None
    context: int = 1024
    window: int = field(default=0, metadata={"low": 0})
    dropout: float = field(default=0.0, metadata={"low": 0.0, "high": 0.9})

    def arguments(self) -> dict[str, Any]:
        """What the net is made with, and what its checkpoint's config says (but for ``dropout``)."""
        own: dict[str, Any] = {"hidden": self.hidden}
        if self.type == "transformer":
            own = {"heads": self.heads} | ({"window": self.window} if self.window else {})
        return {"width": self.width, **own, "layers": self.layers, "context": self.context}


@dataclass(frozen=True)
class LogitBiasRecipe:
    """How much each style is biased: measured on ``pieces`` pieces of ``bars`` bars, but for what is ``fixed``."""

    pieces: int = 16
    bars: int = 16
    fixed: Mapping[str, Mapping[str, float]] = field(
        default_factory=dict, metadata={"low": -10.0, "high": 10.0}
    )


@dataclass(frozen=True)
class GeneratorModelRecipe:
    """A generator. ``styles`` are in the order of their slots in the vocabulary.

    Attributes:
        start: checkpoint (a name or a folder) whose weights the net begins with, of this or the earlier vocabulary;
            empty: from nothing.
        average_with: folders of checkpoints whose weights are averaged with the trained ones in equal parts, as ends of
            runs that went on from one another (Wortsman et al., Model soups, 2022).
        validate_every: steps between validations.
        validation_examples: examples of each style that the loss is measured on.
        density_examples: examples of each style whose densities give the quantiles that ``--density`` is mapped to.
        sampling: temperature and top_p by style; a style that is left out is drawn at the generator's default.
    """

    kind: str
    name: str
    summary: str
    styles: tuple[str, ...]
    net: SequenceNetRecipe
    training: GeneratorRecipe
    start: str = ""
    average_with: tuple[str, ...] = ()
    validate_every: int = field(default=150, metadata={"low": 1})
    validation_examples: int = 12
    density_examples: int = 200
    sampling: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    logit_bias: LogitBiasRecipe = LogitBiasRecipe()

    def tiny(self) -> GeneratorModelRecipe:
        """The same steps in seconds: a small net, few tokens, three pieces a style to measure."""
        heads, hidden = (2, None) if self.net.type == "transformer" else (None, 16)
        return replace(
            self, net=replace(self.net, width=16, layers=1, heads=heads, hidden=hidden),
            training=replace(self.training, steps=3, rows=2, length=256, warmup=1), start="", average_with=(),
            validate_every=3, validation_examples=1, density_examples=10,
            logit_bias=replace(self.logit_bias, pieces=1, bars=2),
        )  # fmt: skip


@dataclass(frozen=True)
class ViewsRecipe:
    """A store of rendered views.

    Attributes:
        name: what stages call it.
        count: views.
        seed: of all draws.
        grooves: backed by the MMA program; where a view has one version, never left as written.
        groove_share: how often a view that is not left as written is backed so.
        versions: how often the notes of a view are played, each time after the first on other instruments.
    """

    name: str
    count: int
    seed: int = 1
    grooves: bool = False
    groove_share: float = field(default=1.0, metadata={"low": 0.0, "high": 1.0})
    versions: int = field(default=1, metadata={"low": 1, "high": 6})


@dataclass(frozen=True)
class StageRecipe:
    """One step of a classifier's training.

    Attributes:
        name: what later stages call the net.
        views: the store it learns from; ``first_views`` of it, or all.
        start: the stage whose net it goes on from; empty: from nothing.
        voices: speech lies over some of the music, where speech is given.
        training: how it learns.
        blend: two stages whose weights are blended in place of training, with ``share`` of the second.
    """

    name: str
    views: str
    first_views: int | None = None
    start: str = ""
    voices: bool = False
    training: ClassifierRecipe = field(default_factory=ClassifierRecipe)
    blend: tuple[str, ...] = ()
    share: float = field(default=0.5, metadata={"low": 0.0, "high": 1.0})


@dataclass(frozen=True)
class CnnRecipe:
    """Shape of a classifier's net."""

    widths: tuple[int, ...]
    hidden: int
    dropout: float
    context: int


@dataclass(frozen=True)
class ClassifierModelRecipe:
    """A classifier.

    Attributes:
        fonts: file names of the soundfonts that the views are rendered with, for the report; their paths are inputs.
        calibration_pieces: validation pieces of each style that the temperature is fitted on.
        exemplar_windows: windows of each style that are kept for learning new styles later.
        unsure_below: probability of the likeliest style below which the classifier gives no verdict.
        tag_evidence: how the tagger's styles count beside the classifier's, where both hear a render.
    """

    kind: str
    name: str
    summary: str
    labels: tuple[str, ...]
    net: CnnRecipe
    views: tuple[ViewsRecipe, ...]
    stages: tuple[StageRecipe, ...]
    fonts: tuple[str, ...] = ()
    calibration_pieces: int = 40
    exemplar_windows: int = 150
    unsure_below: float = field(default=0.0, metadata={"low": 0.0, "high": 1.0})
    tag_evidence: TagEvidence | None = None
    music_head: MusicHeadRecipe = field(default_factory=MusicHeadRecipe)

    def tiny(self) -> ClassifierModelRecipe:
        """The same stages in seconds: an eighth of the net's width, one view a style, two steps a stage."""
        count = len(self.labels)
        stages = tuple(
            replace(s, first_views=None, training=replace(s.training, steps=2, rows=4, workers=0))
            for s in self.stages
        )
        return replace(
            self, net=replace(self.net, widths=tuple(w // 8 for w in self.net.widths), hidden=16),
            views=tuple(replace(v, count=count, grooves=False) for v in self.views), stages=stages,
            calibration_pieces=1, exemplar_windows=2, music_head=self.music_head.tiny(),
        )  # fmt: skip


Recipe = GeneratorModelRecipe | ClassifierModelRecipe | SoundfontRecipe
KINDS: dict[str, type[Any]] = {
    "generator": GeneratorModelRecipe, "classifier": ClassifierModelRecipe, "soundfont": SoundfontRecipe,
}  # fmt: skip


def read_recipe(path: Path) -> Recipe:
    """The recipe of a file. Raises RecipeError with the file, the key, the value and the way out."""
    table = read_toml(path, "recipe", RecipeError)
    kind = table.get("kind")
    if kind not in KINDS:
        raise RecipeError(f"recipe {path}: kind = {kind!r} is not possible; give one of {', '.join(KINDS)}")
    recipe: Recipe = parse_record(KINDS[kind], table, f"recipe {path}", RecipeError)
    if isinstance(recipe, ClassifierModelRecipe):
        _check_stages(recipe, f"recipe {path}")
    return recipe


def _check_stages(recipe: ClassifierModelRecipe, source: str) -> None:
    stores, done = {v.name for v in recipe.views}, set[str]()
    for stage in recipe.stages:
        if stage.views not in stores:
            raise RecipeError(f"{source}: stage {stage.name!r}: no views are called {stage.views!r}")
        for name in (*stage.blend, *([stage.start] if stage.start else [])):
            if name not in done:
                raise RecipeError(f"{source}: stage {stage.name!r}: no stage before it is called {name!r}")
        if len(stage.blend) not in (0, 2):
            raise RecipeError(f"{source}: stage {stage.name!r}: blend names two stages")
        done.add(stage.name)
    if not recipe.stages:
        raise RecipeError(f"{source}: a classifier needs at least one stage")
    odd = set() if recipe.tag_evidence is None else recipe.tag_evidence.labels.keys() - set(recipe.labels)
    if odd:
        raise RecipeError(f"{source}: tag_evidence.labels: {', '.join(sorted(odd))} is none of the labels")


def list_recipes(folder: Path | None = None) -> dict[str, Path]:
    """Files of the shipped recipes by name."""
    return {path.stem: path for path in sorted((folder or recipes_dir()).glob("*.toml"))}


def find_recipe(spec: str, folder: Path | None = None) -> Recipe:
    """A recipe by its name, or by the path of a TOML file."""
    known = list_recipes(folder)
    path = known.get(spec, Path(spec))
    if spec not in known and path.suffix != ".toml":
        raise RecipeError(
            f"no recipe is called {spec!r}; {nearest(spec, known)}; or give the path of a .toml file"
        )
    return read_recipe(path)


def find_generator_recipe(spec: str) -> GeneratorModelRecipe:
    """A recipe of a generator. Raises RecipeError where it is of something else."""
    recipe = find_recipe(spec)
    if not isinstance(recipe, GeneratorModelRecipe):
        raise RecipeError(f"recipe {spec!r} is of a {recipe.kind}, not of a generator")
    return recipe


def find_classifier_recipe(spec: str) -> ClassifierModelRecipe:
    """A recipe of a classifier. Raises RecipeError where it is of something else."""
    recipe = find_recipe(spec)
    if not isinstance(recipe, ClassifierModelRecipe):
        raise RecipeError(f"recipe {spec!r} is of a {recipe.kind}, not of a classifier")
    return recipe
