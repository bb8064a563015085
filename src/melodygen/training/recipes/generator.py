"""Builds a generator from its recipe: shards, training, density quantiles, logit bias, checkpoint, card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from melodygen.data.census import Census, read_census, write_report
from melodygen.data.dataset import PLAIN, Example, ExampleSampler
from melodygen.data.scan import find_files
from melodygen.data.shards import Shards, ShardWriter, load_shards
from melodygen.errors import CheckpointError, CorpusError
from melodygen.evaluation.logit_bias import MEASURES, measure_logit_bias
from melodygen.evaluation.tables import markdown_table
from melodygen.generation.neural import NETS, NeuralGenerator, style_to_json
from melodygen.nets.checkpoint import CARD, CONFIG, load_weights, read_config, resolve, save_checkpoint
from melodygen.registry import find_style
from melodygen.styles.style import Style
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.generator.density import density_quantiles
from melodygen.training.generator.trainer import GeneratorTraining, save_state, validation_loss
from melodygen.training.recipes.recipe import GeneratorModelRecipe

VALIDATION_SEED, WEIGHTS_SEED = 7, 1
NO_BIAS = dict.fromkeys(("chord", "back", "home", "comping", "cymbals"), 0.0)
DEFAULT_HOME = 2.5
Say = Callable[[str], None]


def build_generator(
    recipe: GeneratorModelRecipe, corpus: Path, work: Path, out: Path, say: Say, workers: int = 2
) -> dict[str, Any]:
    """Build the checkpoint of a recipe.

    Args:
        recipe: what to build.
        corpus: folder of music with a sub-folder for each style, or with manifest.csv.
        work: keeps shards and the state of training; called again with the same folder, the build goes on from there.
        out: the checkpoint folder.
        say: told what happens, a line at a time.
        workers: processes that read files.

    Returns:
        The config of the checkpoint.
    """
    if (out / CONFIG).is_file() and read_config(out)["kind"] != "generator":
        raise CheckpointError(f"{out} holds a classifier; choose another --out")
    shards = read_shards(corpus, work, say, workers)
    _check_styles(recipe, shards)
    net, training, loss = _trained(recipe, shards, work, say)
    trained = {"steps": training.step, "tokens": training.tokens, "valid_nats_per_token": round(loss, 4)}
    return finish_generator(recipe, shards, net, trained, out, say)


def finish_generator(
    recipe: GeneratorModelRecipe,
    shards: Shards,
    net: nn.Module,
    trained: Mapping[str, Any],
    out: Path,
    say: Say,
) -> dict[str, Any]:
    """Measure what a trained net of the recipe needs beside its weights, and write its checkpoint.

    Args:
        recipe: what the net was trained by.
        shards: what it was trained on.
        net: the trained net.
        trained: ``steps``, ``tokens`` and ``valid_nats_per_token`` of the training, for the provenance.
        out: the checkpoint folder.
        say: told what happens, a line at a time.

    Returns:
        The config of the checkpoint.
    """
    styles = [find_style(name) for name in recipe.styles]
    plain = ExampleSampler(shards, "train", recipe.styles, PLAIN)
    config: dict[str, Any] = {
        "kind": "generator", "name": out.name,
        "summary": recipe.summary.format(parameters=f"{sum(p.numel() for p in net.parameters()) / 1e6:.1f} M"),
        "net": {"type": recipe.net.type, **recipe.net.arguments()},
        "vocabulary_id": VOCABULARY.vocabulary_id,
        "styles": [style_to_json(style) for style in styles],
        "density_quantiles": density_quantiles(plain, recipe.styles, recipe.density_examples),
        "sampling": {name: dict(options) for name, options in recipe.sampling.items()},
    }  # fmt: skip
    biases = _logit_biases(recipe, shards, net, config, styles, say)
    config["logit_bias"] = {name: _given(recipe, name, found["bias"]) for name, found in biases.items()}
    config["provenance"] = {
        "melodygen": version("melodygen"), "recipe_name": recipe.name, "recipe": asdict(recipe.training),
        "start": recipe.start, "average_with": list(recipe.average_with),
        **trained,
        "logit_bias_shares": {n: {k: f[k] for k in ("generated", "human")} for n, f in biases.items()},
    }  # fmt: skip
    save_checkpoint(out, net, config, _card(recipe, config, shards, out))
    return read_config(out, "generator")


def read_shards(corpus: Path, work: Path, say: Say, workers: int) -> Shards:
    """The corpus as token shards in ``work/shards``, read where they are not there; ``files.csv`` lists every file."""
    folder = work / "shards"
    if not (folder / "pieces.json").is_file():
        writer, census, files = ShardWriter(folder), Census(), find_files(corpus)
        say(f"reading {len(files)} files of {corpus.name}")
        for summary in read_census(files, workers):
            census.add(summary)
            if summary.info is not None and summary.encoded is not None:
                writer.add(summary.encoded, summary.info)
        writer.close()
        write_report(work / "files.csv", census.rows)
        say(f"{len(writer.pieces)} pieces are usable")
    return load_shards(folder)


def _check_styles(recipe: GeneratorModelRecipe, shards: Shards) -> None:
    for split in ("train", "valid"):
        found = {p.style for p in shards.pieces if p.split == split and p.kind != "drums"}
        if missing := [name for name in recipe.styles if name not in found]:
            raise CorpusError(
                f"the corpus has no pieces of {', '.join(missing)} in the split {split!r}; put some there, or take the "
                "style out of the recipe"
            )


def _trained(
    recipe: GeneratorModelRecipe, shards: Shards, work: Path, say: Say
) -> tuple[nn.Module, GeneratorTraining, float]:
    """The net with averaged weights, the run, and the last validation loss in nats a token."""
    make, arguments = NETS[recipe.net.type], recipe.net.arguments()
    others = [
        resolve(name, name) for name in recipe.average_with
    ]  # what is missing is told before hours of training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(WEIGHTS_SEED)
        net = make(VOCABULARY.size, **arguments, dropout=recipe.net.dropout)
        averaged = make(VOCABULARY.size, **arguments)
    if recipe.start:
        load_weights(resolve(recipe.start, recipe.start), net)
    sampler = ExampleSampler(shards, "train", recipe.styles)
    training = GeneratorTraining(net, sampler, recipe.training)
    state = work / f"{recipe.name}.pt"
    if state.is_file():
        training.load_state(torch.load(state, weights_only=True))
        say(f"going on after step {training.step}")
    examples = _validation_examples(recipe, shards)
    loss = float("nan")
    for record in training.run():
        if record.step % recipe.validate_every == 0 or record.step == recipe.training.steps:
            averaged.load_state_dict(training.average)
            loss = validation_loss(averaged, examples, bf16=recipe.training.bf16)[0]
            say(
                f"step {record.step} of {recipe.training.steps}: loss {record.loss:.3f}, validation {loss:.3f}"
            )
            save_state(state, training)
    net.load_state_dict(training.average)
    if others:
        _average_weights(net, averaged, others)
    if others or not np.isfinite(loss):  # other weights, or nothing was left to train
        loss = validation_loss(net, examples, bf16=recipe.training.bf16)[0]
    return net, training, loss


def _average_weights(net: nn.Module, other: nn.Module, folders: Sequence[Path]) -> None:
    """Average the weights of ``net`` with those of checkpoints, read by way of ``other``, in equal parts."""
    summed = {name: value.clone() for name, value in net.state_dict().items()}
    for folder in folders:
        load_weights(folder, other)
        for name, value in other.state_dict().items():
            summed[name] += value
    net.load_state_dict({name: value / (1 + len(folders)) for name, value in summed.items()})


def _validation_examples(recipe: GeneratorModelRecipe, shards: Shards) -> list[Example]:
    sampler = ExampleSampler(shards, "valid", recipe.styles)
    rng = np.random.default_rng(VALIDATION_SEED)
    names = [name for name in (*recipe.styles, "drums") if name in sampler.style_names]
    return [sampler.draw(rng, name) for name in names for _ in range(recipe.validation_examples)]


def _logit_biases(
    recipe: GeneratorModelRecipe,
    shards: Shards,
    net: nn.Module,
    config: dict[str, Any],
    styles: list[Style],
    say: Say,
) -> dict[str, dict[str, Any]]:
    """What was measured for each style with an unbiased generator."""
    known, unbiased = {s.name: s for s in styles}, {s.name: NO_BIAS for s in styles}
    generator = NeuralGenerator(
        net, known, recipe.name, config["density_quantiles"], unbiased, config["sampling"]
    )
    found = {}
    for style in styles:
        found[style.name] = measure_logit_bias(
            generator, shards, style, recipe.logit_bias.pieces, recipe.logit_bias.bars
        )
        say(f"logit bias of {style.name}: {found[style.name]['bias']}")
    return found


def _given(recipe: GeneratorModelRecipe, style: str, measured: dict[str, float]) -> dict[str, float]:
    """Measured amounts, but for those that the recipe fixes."""
    return {"home": DEFAULT_HOME, **measured, **recipe.logit_bias.fixed.get(style, {})}


def _card(recipe: GeneratorModelRecipe, config: dict[str, Any], shards: Shards, out: Path) -> str:
    """The model card. A card that is there already, with figures measured later, is kept."""
    if (out / CARD).is_file():
        return (out / CARD).read_text(encoding="utf-8")
    provenance = config["provenance"]
    counts = {
        name: sum(p.style == name and p.kind != "drums" for p in shards.pieces) for name in recipe.styles
    }
    rows = [
        (name, counts[name], *(config["logit_bias"][name].get(k, "–") for k in ("home", *MEASURES)))
        for name in recipe.styles
    ]
    return f"""# {config["name"]}

{config["summary"]}. Built by `melodygen recipe run {recipe.name} --corpus DIR --out DIR`.

{provenance["steps"]} steps, {provenance["tokens"]:,} tokens; validation loss
{provenance["valid_nats_per_token"]:.4f} nats a token (averaged weights, validation titles of the corpus).

{markdown_table(("style", "pieces", "home", *MEASURES), rows)}

The amounts of logit bias are measured on this model ({recipe.logit_bias.pieces} pieces a style), but for those that the
recipe fixes. The terms of the corpus hold for what is made from it.
"""
