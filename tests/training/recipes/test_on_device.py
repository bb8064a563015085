"""What is packed for a lent accelerator trains there as the recipe does here, with no more than that machine has."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from drawn_examples import small_shards

from melodygen.data.dataset import ExampleSampler
from melodygen.data.shards import Shards, save_shards
from melodygen.errors import RecipeError
from melodygen.nets.checkpoint import load_weights, read_config
from melodygen.nets.transformer import Transformer
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.recipes.recipe import find_generator_recipe

ROOT = Path(__file__).resolve().parents[3]
NET = {"width": 16, "layers": 3, "heads": 2, "context": 256, "window": 32}
RECIPE = """
kind = "generator"
name = "small"
summary = "small"
styles = ["jazz", "folk"]
start = "{start}"
density_examples = 4
[net]
type = "transformer"
width = 16
layers = 3
heads = 2
context = 256
window = 32
dropout = 0.25
[training]
rows = 2
length = 256
learning_rate = 0.002
optimizer = "muon"
seed = 5
[logit_bias]
pieces = 1
bars = 2
"""
ELSEWHERE = """
import re, runpy, sys
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

def plain(name):
    return re.sub("[-_.]+", "-", name).lower()

def with_needs(names, found):
    for name in names - found:
        found.add(name)
        try:
            needs = {plain(re.match("[A-Za-z0-9._-]+", n)[0]) for n in requires(name) or () if "extra ==" not in n}
        except PackageNotFoundError:
            continue
        with_needs(needs, found)
    return found

there = with_needs({"torch", "numpy", "safetensors"}, set())
lacking = {m for m, owners in packages_distributions().items() if not there & {plain(o) for o in owners}}

class There(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in lacking - {"melodygen"}
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = There
sys.path.insert(0, "src")
sys.argv[0] = "recipes/on_device.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def on_device() -> ModuleType:
    spec = importlib.util.spec_from_file_location("on_device", ROOT / "recipes" / "on_device.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shards() -> Shards:
    """A few pieces of each style, half of them for validation; one style of two sources, whose tempos are a default."""
    made = small_shards()
    infos = [
        replace(p, split=("train", "valid")[i % 2], qpm=120.0, source=f"source {i % 2}")
        for i, p in enumerate(made.pieces)
    ]
    return Shards(made.arrays, tuple(infos))


def test_packed_shards_give_the_examples_of_the_shards(
    on_device: ModuleType, shards: Shards, tmp_path: Path
) -> None:
    save_shards(tmp_path / "shards", shards)
    on_device.pack_shards(tmp_path / "shards", tmp_path / "shards.xz")
    unpacked = on_device.unpack_shards(tmp_path / "shards.xz")
    styles = find_generator_recipe("melodygen-transformer").styles
    here, there = (ExampleSampler(s, "train", styles) for s in (shards, unpacked))
    assert here._unstated, "the fixture has a source whose tempo is its convention"
    for seed in range(200):
        a, b = (s.draw(np.random.default_rng(seed)) for s in (here, there))
        assert np.array_equal(a.ids, b.ids) and a.style == b.style


def test_a_recipe_is_trained_on_a_lent_machine(on_device: ModuleType, shards: Shards, tmp_path: Path) -> None:
    """Only src, recipes and what was packed are there, and of packages only torch, numpy and safetensors."""
    from melodygen.nets.checkpoint import save_checkpoint

    start = tmp_path / "start"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = Transformer(VOCABULARY.size, **NET)
    save_checkpoint(start, net, {"kind": "generator"}, "# start\n")
    (tmp_path / "small.toml").write_text(RECIPE.format(start=start))
    save_shards(tmp_path / "shards", shards)

    lent = tmp_path / "lent"
    shutil.copytree(ROOT / "src", lent / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "recipes", lent / "recipes")
    on_device.pack_all(str(tmp_path / "small.toml"), tmp_path / "shards", lent / "device")
    assert sorted(p.name for p in (lent / "device").iterdir()) == [
        "model.safetensors", "recipe.json", "shards.xz"]  # fmt: skip

    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    command = [sys.executable, tmp_path / "elsewhere.py", "train", "--out", "out"]
    short = [
        "--seconds",
        "90",
        "--steps",
        "3",
        "--workers",
        "1",
        "--rows",
        "2",
        "--valid",
        "1",
        "--show",
        "1",
    ]
    done = subprocess.run([*command, *short], cwd=lent, env={**os.environ, "PYTHONPATH": ""},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = sorted((lent / "out").iterdir())
    assert [p.name for p in files] == ["run.json", "weights.0"]
    record = json.loads((lent / "out" / "run.json").read_text())
    assert record["net"]["window"] == 32 and record["net"]["dropout"] == 0.25
    assert record["training"]["learning_rate"] == 0.002 and record["training"]["seed"] == 5
    assert record["steps"] == 3 and 0 < record["valid"] < 10 and 0 < record["plain"] < 10

    on_device.join(lent / "out", tmp_path / "shards", tmp_path / "made")
    config = read_config(tmp_path / "made", "generator")
    assert (
        config["net"] == {"type": "transformer", **NET} and config["provenance"]["tokens"] == record["tokens"]
    )
    assert config["density_quantiles"] and config["logit_bias"].keys() == {"jazz", "folk"}
    learned = Transformer(VOCABULARY.size, **NET)
    load_weights(tmp_path / "made", learned)
    moved = (learned.embedding.weight - net.embedding.weight).abs().mean()
    assert 0 < moved < 0.3 * net.embedding.weight.abs().mean()  # it went on from the start


def test_dropout_is_on_while_it_learns_and_off_while_it_is_judged(
    on_device: ModuleType, shards: Shards, tmp_path: Path
) -> None:
    asked = on_device.parsed(["train", "--device", str(tmp_path), "--valid", "1"])
    packed = {"net": {"type": "transformer", **NET, "dropout": 0.25}, "styles": ["jazz"], "start": ""}
    recipe = on_device.GeneratorRecipe(rows=2, length=64)
    run = on_device.Run(asked, packed, recipe, ExampleSampler(shards, "train", ["jazz"]))
    run.training.advance(torch.from_numpy(run.training.batch(0).astype(np.int64)), 0.1)
    assert run.training.net.training and run.training.net.blocks[0].dropout == 0.25
    assert run.training.net.blocks[0].window == 32 and run.training.net.blocks[2].window == 0
    assert run.judged() == run.judged() and not run.judge.training


def test_the_rate_rises_stays_and_falls_by_the_clock(on_device: ModuleType) -> None:
    recipe = on_device.GeneratorRecipe(decay=0.5, final_fraction=0.04)
    rates = [on_device.rate(recipe, share) for share in (0.0, 0.02, 0.5, 0.75, 1.0)]
    assert (
        rates[0] < 0.1
        and rates[1] == rates[2] == 1.0
        and 0.4 < rates[3] < 0.6
        and rates[4] == pytest.approx(0.04)
    )


def test_what_is_too_large_to_travel_is_refused(
    on_device: ModuleType, shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_shards(tmp_path / "shards", shards)
    monkeypatch.setattr(on_device, "MAX_SHARDS_BYTES", 1000)
    with pytest.raises(SystemExit, match="is larger than"):
        on_device.pack_shards(tmp_path / "shards", tmp_path / "shards.xz")
    monkeypatch.setattr(on_device, "PART_BYTES", 1000)
    asked = on_device.parsed(["train", "--device", str(tmp_path)])
    packed = {"net": {"type": "transformer", **NET}, "styles": ["jazz"], "start": ""}
    with pytest.raises(SystemExit, match="cannot come back"):
        on_device.Run(asked, packed, on_device.GeneratorRecipe(), ExampleSampler(shards, "train", ["jazz"]))
    with pytest.raises(RecipeError):
        on_device.pack_all("style-cnn", tmp_path / "shards", tmp_path / "device")
