"""Make the shipped generators again from the corpus: read, find near-duplicates, train, write the checkpoint.

    python scripts/train_shipped.py CORPUS WORK --out models/melodygen-transformer
    python scripts/train_shipped.py CORPUS WORK --out models/melodygen-lstm --net lstm

WORK keeps shards and state; called again with the same options, the run goes on from there. Both see 15.4 M tokens;
about an hour each on two cores with bfloat16. (The shipped Transformer's schedule was made for 3,400 steps and cut to
2,500 at step 400: see docs/experiments.md.)
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from melodygen.data.census import Census, read_census, write_report
from melodygen.data.dataset import PLAIN, ExampleSampler
from melodygen.data.scan import find_files
from melodygen.data.shards import Shards, ShardWriter, load_shards
from melodygen.generation.neural import NETS, style_to_json
from melodygen.nets.checkpoint import CONFIG, read_config, save_checkpoint
from melodygen.styles.loader import built_in_styles
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.generator.trainer import (
    GeneratorRecipe,
    GeneratorTraining,
    save_state,
    validation_loss,
)

STYLES = [
    built_in_styles()[n]
    for n in [
        "jazz",
        "blues",
        "classical",
        "baroque",
        "folk",
        "pop",
        "rock",
        "ragtime",
        "hymn",
        "game",
    ]
]
ORDER = tuple(s.name for s in STYLES)
ARGUMENTS = {
    "transformer": {"width": 256, "layers": 6, "heads": 4, "context": 1024},
    "lstm": {"width": 256, "hidden": 576, "layers": 2, "context": 1024},
}
RECIPES = {
    "transformer": GeneratorRecipe(
        steps=2500, rows=6, length=1024, learning_rate=4e-3, embedding_learning_rate=3e-3, optimizer="muon"
    ),
    "lstm": GeneratorRecipe(
        steps=1255, rows=24, length=512, learning_rate=3e-3, embedding_learning_rate=3e-3, optimizer="adamw"
    ),
}


def shards_of(corpus: Path, work: Path) -> Shards:
    folder = work / "shards"
    if not (folder / "pieces.json").is_file():
        writer, census = ShardWriter(folder), Census()
        for intake in read_census(find_files(corpus), 2):
            census.add(intake)
            if intake.info is not None and intake.encoded is not None:
                writer.add(intake.encoded, intake.info)
        writer.close()
        write_report(work / "files.csv", census.rows)
        print(json.dumps(census.summary()), flush=True)
    return load_shards(folder)


def density_quantiles(shards: Shards) -> dict[str, list[float]]:
    sampler = ExampleSampler(shards, "train", ORDER, PLAIN)
    rng, offset = np.random.default_rng(3), VOCABULARY.offsets["density"]
    found = {}
    for style in ORDER:
        levels = [int(sampler.draw(rng, style).ids[5]) - offset - 1 for _ in range(200)]
        known = [v for v in levels if v >= 0]
        found[style] = [float(np.quantile(known, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--net", default="transformer", choices=sorted(ARGUMENTS))
    parser.add_argument("--steps", type=int, help="in place of the recipe's")
    parser.add_argument("--every", type=int, default=150, help="steps between validations")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    shards = shards_of(arguments.corpus, arguments.work)
    torch.manual_seed(1)
    net = NETS[arguments.net](VOCABULARY.size, **ARGUMENTS[arguments.net])
    recipe = RECIPES[arguments.net]
    if arguments.steps is not None:
        recipe = replace(recipe, steps=arguments.steps)
    training = GeneratorTraining(net, ExampleSampler(shards, "train", ORDER), recipe)
    state = arguments.work / f"{arguments.net}.pt"
    if state.is_file():
        training.load_state(torch.load(state, weights_only=True))
    kept, rng = ExampleSampler(shards, "valid", ORDER), np.random.default_rng(7)
    valid = [kept.draw(rng, style) for style in (*ORDER, "drums") for _ in range(12)]
    judge = NETS[arguments.net](VOCABULARY.size, **ARGUMENTS[arguments.net])
    loss = float("nan")
    for record in training.run():
        if record.step % arguments.every == 0 or record.step == recipe.steps:
            judge.load_state_dict(training.average)
            loss = validation_loss(judge, valid, bf16=recipe.bf16)[0]
            told = {"step": record.step, "loss": record.loss, "valid": loss, "seconds": record.seconds}
            print(json.dumps(told), flush=True)
            save_state(state, training)
    net.load_state_dict(training.average)
    numbers = sum(p.numel() for p in net.parameters())
    by_name = {s.name: s for s in STYLES}
    config: dict[str, Any] = {
        "kind": "generator",
        "name": arguments.out.name,
        "summary": f"{arguments.net}, {numbers / 1e6:.1f} M parameters, ten styles",
        "net": {"type": arguments.net, **ARGUMENTS[arguments.net]},
        "vocabulary_id": VOCABULARY.vocabulary_id,
        "styles": [style_to_json(by_name[name]) for name in ORDER],
        "density_quantiles": density_quantiles(shards),
        "provenance": {
            "steps": training.step, "tokens": training.tokens, "recipe": asdict(recipe), "valid_nats_per_token": loss,
        },
    }  # fmt: skip
    card = arguments.out / "README.md"  # written by hand from the measurements; a new run keeps it
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {arguments.out.name}\n"
    if (arguments.out / CONFIG).is_file():
        read_config(arguments.out, "generator")  # do not write over something else
    save_checkpoint(arguments.out, net, config, text)


if __name__ == "__main__":
    main()
