"""The shipped recipes can be read, and a tiny run of each makes a checkpoint with the keys of the shipped one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pieces import tune
from safetensors.torch import load_file

from melodygen.classification.cnn import CnnClassifier
from melodygen.errors import CheckpointError, CorpusError, RecipeError, UsageError
from melodygen.evaluation.logit_bias import bias_from_shares
from melodygen.generation.logit_bias import LogitBiasConfig
from melodygen.generation.neural import NeuralGenerator
from melodygen.io.midi import write_midi
from melodygen.nets.checkpoint import read_config
from melodygen.rendering.soundfont import SoundFont
from melodygen.resources import models_dir, recipes_dir
from melodygen.training.classifier.exemplars import load_exemplars
from melodygen.training.classifier.trainer import ClassifierRecipe
from melodygen.training.recipes.classifier import ClassifierInputs
from melodygen.training.recipes.recipe import (
    ClassifierModelRecipe,
    GeneratorModelRecipe,
    StageRecipe,
    ViewsRecipe,
    find_recipe,
    list_recipes,
)
from melodygen.training.recipes.run import run_recipe

STYLES = ("jazz", "folk")
SHIPPED = models_dir() / "soundfont" / "melodygen.sf3"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pieces of two styles, two of them for validation, and a drum take."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = ["path,style,split,title,kind"]
    for style in STYLES:
        (folder / style / "set").mkdir(parents=True)
        for split, bars in (("train", 8), ("valid", 9)):
            name = f"{style}/set/{split}.mid"
            roles = ("melody", "chords", "bass") if style == "jazz" else ("melody", "chords")
            meter = (4, 4) if style == "jazz" else (3, 4)  # else they were near-duplicates
            write_midi(folder / name, tune(bars, meter, roles))
            rows.append(f"{name},{style},{split},{split} {style},piece")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["melodygen-transformer", "melodygen-lstm"])
def test_a_generator_is_built_with_all_its_keys(name: str, corpus: Path, tmp_path: Path) -> None:
    recipe = find_recipe(name)
    assert isinstance(recipe, GeneratorModelRecipe) and len(recipe.styles) == 10
    recipe = replace(recipe, styles=STYLES)
    said: list[str] = []
    result = run_recipe(recipe, ClassifierInputs(corpus), tmp_path / "a", said.append, tiny=True, workers=1)
    config = read_config(result.path, "generator")
    assert set(read_config(models_dir() / name)) <= set(config) and {"sampling", "logit_bias"} <= set(config)
    assert config["logit_bias"].keys() == set(STYLES) and "home" in config["logit_bias"]["jazz"]
    assert "summary" in config and "{" not in config["summary"] and any("validation" in line for line in said)
    generator = NeuralGenerator.from_folder(result.path)
    assert generator.styles == STYLES and isinstance(generator._logit_bias["folk"], LogitBiasConfig)
    assert (result.path / "README.md").read_text().startswith("# a\n")

    again = run_recipe(
        recipe, ClassifierInputs(corpus), tmp_path / "b" / "a", said.append, tiny=True, workers=1
    )
    assert digest(again.path / "model.safetensors") == digest(result.path / "model.safetensors")

    small = recipe.tiny()
    later = replace(small, start=str(result.path), training=replace(small.training, steps=0))
    begun = run_recipe(later, ClassifierInputs(corpus), tmp_path / "c", said.append, workers=1)
    assert digest(begun.path / "model.safetensors") == digest(result.path / "model.safetensors")
    assert read_config(again.path)["logit_bias"] == config["logit_bias"]

    other = replace(small, training=replace(small.training, seed=small.training.seed + 1))
    second = run_recipe(other, ClassifierInputs(corpus), tmp_path / "d", said.append, workers=1)
    both = replace(later, average_with=(str(second.path),))
    with pytest.raises(CheckpointError, match="nowhere"):  # before anything is trained
        run_recipe(
            replace(small, average_with=("nowhere",)),
            ClassifierInputs(corpus),
            tmp_path / "f",
            print,
            workers=1,
        )
    assert not list((tmp_path / "f").rglob("*.pt"))
    mean = run_recipe(both, ClassifierInputs(corpus), tmp_path / "e", said.append, workers=1)
    one, two, mixed = (
        load_file(folder / "model.safetensors") for folder in (result.path, second.path, mean.path)
    )
    assert all(
        torch.allclose(mixed[k].float(), (one[k].float() + two[k].float()) / 2, atol=1e-3) for k in one
    )
    assert any((one[k] != two[k]).any() for k in one)


def test_a_classifier_is_built_with_all_its_keys(corpus: Path, tmp_path: Path) -> None:
    recipe = find_recipe("style-cnn")
    assert isinstance(recipe, ClassifierModelRecipe) and len(recipe.stages) == 6
    recipe = replace(recipe, labels=STYLES)
    views = ViewsRecipe("versions", 8, grooves=True, groove_share=0.5, versions=2)  # as run 7 added it
    pairs = ClassifierRecipe(consistency=1.0, usual_first=True)
    stage = StageRecipe("pairs", "versions", start=recipe.stages[-1].name, training=pairs)
    recipe = replace(recipe, views=(*recipe.views, views), stages=(*recipe.stages, stage), unsure_below=0.25)
    said: list[str] = []
    result = run_recipe(recipe, ClassifierInputs(corpus), tmp_path / "cnn", said.append, tiny=True)
    config = read_config(result.path, "classifier")
    assert set(read_config(models_dir() / "style-cnn")) <= set(config)
    classifier = CnnClassifier.from_folder(result.path)
    assert classifier.labels == STYLES and classifier.music_head is not None
    kept = load_exemplars(result.path)
    assert kept is not None and set(kept.label.tolist()) == {0, 1}
    assert {s["name"] for s in config["provenance"]["stages"]} == {s.name for s in recipe.stages}
    assert config["provenance"]["views"]["versions"] == 4 and classifier.unsure_below == 0.25
    before = digest(result.path / "model.safetensors")
    said.clear()
    run_recipe(recipe, ClassifierInputs(corpus), tmp_path / "cnn", said.append, tiny=True)
    assert digest(result.path / "model.safetensors") == before and not any("stage" in line for line in said)


def test_a_soundfont_is_cut(tmp_path: Path) -> None:
    recipe = find_recipe("soundfont")
    inputs = ClassifierInputs(Path(), (SHIPPED,))
    result = run_recipe(recipe, inputs, tmp_path, lambda line: None, tiny=True)
    cut = SoundFont(result.path)
    assert sorted(cut.presets) == [(0, 0), (0, 1), (128, 0)]
    whole = SoundFont(SHIPPED)
    assert len(cut.tables["shdr"]) < len(whole.tables["shdr"]) and result.path.stat().st_size > 10_000
    names = {bytes(row["name"]) for row in whole.tables["shdr"]}
    for number, row in enumerate(cut.tables["shdr"][:-1]):
        assert bytes(row["name"]) in names and np.abs(cut.read_sample(number)).max() > 0
    with pytest.raises(RecipeError, match=r"give FluidR3_GM\.sf2 with --font"):
        run_recipe(recipe, ClassifierInputs(Path()), tmp_path / "x", lambda line: None)


def test_every_recipe_can_be_read_and_mistakes_are_named(tmp_path: Path) -> None:
    assert {"melodygen-lstm", "melodygen-transformer", "soundfont", "style-cnn"} <= set(list_recipes())
    for name in list_recipes():
        find_recipe(name).tiny()
    with pytest.raises(RecipeError, match="did you mean 'style-cnn'"):
        find_recipe("style-cn")
    text = (recipes_dir() / "style-cnn.toml").read_text()
    for old, new, message in (
        ('start = "first"', 'start = "none"', "no stage before it is called 'none'"),
        ('views = "arranged"', 'views = "else"', "no views are called 'else'"),
        ("dropout = 0.3", "drop = 0.3", r"net\.drop is not a key; did you mean 'dropout'"),
        ('kind = "classifier"', 'kind = "choir"', "kind = 'choir' is not possible; give one of generator"),
        ('blend = ["long", "short"]', 'blend = ["long"]', "blend names two stages"),
    ):
        path = tmp_path / "mine.toml"
        path.write_text(text.replace(old, new))
        with pytest.raises(RecipeError, match=message):
            find_recipe(str(path))


def test_a_corpus_that_lacks_a_style_is_refused(corpus: Path, tmp_path: Path) -> None:
    for name in ("melodygen-lstm", "style-cnn"):
        with pytest.raises((CorpusError, UsageError), match=r"no pieces of .*blues"):
            run_recipe(find_recipe(name), ClassifierInputs(corpus), tmp_path / name, lambda _: None, True, 1)


def test_bias_closes_the_gap_between_shares() -> None:
    human = {"chord": 0.9, "back": 0.3, "comping": 0.1, "cymbals": 0.4}
    found = bias_from_shares({"chord": 0.7, "back": 0.0, "comping": 0.4, "cymbals": 0.6}, human)
    assert found == {"chord": 1.35, "back": 0.3, "comping": 1.8, "cymbals": 0.0}
    assert bias_from_shares({"chord": 1.0}, {"chord": 0.0}) == {"chord": 0.0}
    assert bias_from_shares({"chord": 0.0, "comping": 1.0}, {"chord": 1.0, "comping": 0.0}) == {
        "chord": 3.0, "comping": 4.0,
    }  # fmt: skip
