"""Runs a recipe of any kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melodygen.errors import RecipeError
from melodygen.rendering.soundfont_subset import SoundfontRecipe, cut_soundfont
from melodygen.training.recipes.classifier import ClassifierInputs, build_classifier
from melodygen.training.recipes.generator import build_generator
from melodygen.training.recipes.recipe import ClassifierModelRecipe, Recipe


@dataclass(frozen=True)
class RecipeResult:
    """What was made: its kind, where it lies, and the keys of its config (none for a soundfont)."""

    kind: str
    path: Path
    keys: tuple[str, ...] = ()


def run_recipe(
    recipe: Recipe,
    inputs: ClassifierInputs,
    out: Path,
    say: Callable[[str], None],
    tiny: bool = False,
    workers: int = 2,
) -> RecipeResult:
    """Build what the recipe says.

    Args:
        recipe: what to build.
        inputs: the corpus; for a classifier what else it learns from; for a soundfont the font that is cut.
        out: the folder of the checkpoint, or of the soundfont. ``out/.work`` keeps what a later call goes on from.
        say: told what happens, a line at a time.
        tiny: the small variant, to try the steps.
        workers: processes that read files.
    """
    recipe = recipe.tiny() if tiny else recipe
    work = out / (".work-tiny" if tiny else ".work")
    work.mkdir(parents=True, exist_ok=True)
    if isinstance(recipe, SoundfontRecipe):
        if len(inputs.fonts) != 1:
            raise RecipeError(f"recipe {recipe.name} cuts one soundfont: give {recipe.source} with --font")
        target = out / f"{recipe.name}.sf3"
        cut_soundfont(inputs.fonts[0], target, recipe)
        work.rmdir()
        return RecipeResult("soundfont", target)
    config: dict[str, Any]
    if isinstance(recipe, ClassifierModelRecipe):
        config = build_classifier(recipe, inputs, work, out, say)
    else:
        config = build_generator(recipe, inputs.corpus, work, out, say, workers)
    return RecipeResult(recipe.kind, out, tuple(config))
