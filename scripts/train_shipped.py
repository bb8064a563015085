"""Make the shipped generators again from the corpus: read, find near-duplicates, train, write the checkpoint.

    python scripts/train_shipped.py CORPUS WORK --out models/melodygen-transformer
    python scripts/train_shipped.py CORPUS WORK --out models/melodygen-lstm --net lstm
    python scripts/train_shipped.py CORPUS WORK --out RUN --base models/melodygen-transformer --steps 4000

With ``--base`` a net goes on from a checkpoint, which may be of the earlier vocabulary, at half the rates; these stay
level until the last 30 % of the steps. WORK keeps shards and state; called again with the same options, the run goes on
from there. Both shipped nets saw 15.4 M tokens, about an hour each on two cores with bfloat16. (The schedule of the
shipped Transformer was made for 3,400 steps and cut to 2,500 at step 400: see docs/experiments.md.)
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from melodygen.data.census import Census, read_census, write_report
from melodygen.data.dataset import PLAIN, Example, ExampleSampler
from melodygen.data.scan import find_files
from melodygen.data.shards import Shards, ShardWriter, load_shards
from melodygen.generation.neural import NETS, style_to_json
from melodygen.nets.checkpoint import CONFIG, load_weights, read_config, save_checkpoint
from melodygen.styles.loader import built_in_styles
from melodygen.tokens.codec import decode, decode_header, encode
from melodygen.tokens.vocabulary import END, VOCABULARY
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


def paired_windows(shards: Shards, count: int = 8) -> tuple[list[Example], list[Example]]:
    """Return the same music twice, as the corpus has it: every repeat spelled out, and in short.

    What a net gives for all of it in nats compares nets of both vocabularies.
    """
    views = replace(PLAIN, again=False)
    sampler, rng = ExampleSampler(shards, "valid", ORDER, views), np.random.default_rng(11)
    spelled = [sampler.draw(rng, style) for style in ORDER for _ in range(count)]
    short = []
    for example in spelled:
        ids = example.ids.tolist()
        header, at = decode_header(ids)
        piece = decode(ids)
        after = VOCABULARY.values[ids[at]] + 1 - len(piece.bars)
        coded = encode(piece, header, None, after, ids[-1] == END, again=True)
        short.append(replace(example, ids=np.array(coded, dtype=np.int16)))
    return spelled, short


def warm_net(arguments: argparse.Namespace) -> nn.Module:
    torch.manual_seed(1)
    net: nn.Module = NETS[arguments.net](VOCABULARY.size, **ARGUMENTS[arguments.net])
    if arguments.base is not None:
        load_weights(arguments.base, net)
    return net


def chosen_recipe(arguments: argparse.Namespace) -> GeneratorRecipe:
    recipe = RECIPES[arguments.net]
    if arguments.steps is not None:
        recipe = replace(recipe, steps=arguments.steps)
    if arguments.base is not None:
        recipe = replace(
            recipe,
            decay=0.3,
            learning_rate=recipe.learning_rate / 2,
            embedding_learning_rate=recipe.embedding_learning_rate / 2,
        )
    return recipe


def write_checkpoint(
    folder: Path, net: nn.Module, shards: Shards, arguments: argparse.Namespace, told: dict[str, Any]
) -> None:
    numbers = sum(p.numel() for p in net.parameters())
    by_name = {s.name: s for s in STYLES}
    config: dict[str, Any] = {
        "kind": "generator",
        "name": folder.name,
        "summary": f"{arguments.net}, {numbers / 1e6:.1f} M parameters, ten styles",
        "net": {"type": arguments.net, **ARGUMENTS[arguments.net]},
        "vocabulary_id": VOCABULARY.vocabulary_id,
        "styles": [style_to_json(by_name[name]) for name in ORDER],
        "density_quantiles": density_quantiles(shards),
        "provenance": told,
    }  # fmt: skip
    card = folder / "README.md"  # written by hand from the measurements; a new run keeps it
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {folder.name}\n"
    if (folder / CONFIG).is_file():
        config = {
            **read_config(folder, "generator"),
            **config,
        }  # leaning and sampling were measured; they stay
    save_checkpoint(folder, net, config, text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--net", default="transformer", choices=sorted(ARGUMENTS))
    parser.add_argument(
        "--base", type=Path, help="begin with the weights of this checkpoint, at half the rates"
    )
    parser.add_argument("--steps", type=int, help="in place of the recipe's")
    parser.add_argument("--minutes", type=float, default=5.0, help="between saved states")
    parser.add_argument(
        "--every", type=int, default=150, help="steps between validations and written checkpoints"
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    shards = shards_of(arguments.corpus, arguments.work)
    net, recipe = warm_net(arguments), chosen_recipe(arguments)
    training = GeneratorTraining(net, ExampleSampler(shards, "train", ORDER), recipe)
    state = arguments.work / f"{arguments.out.name}.pt"
    if state.is_file():
        training.load_state(torch.load(state, weights_only=True))
    kept, rng = ExampleSampler(shards, "valid", ORDER), np.random.default_rng(7)
    valid = [kept.draw(rng, style) for style in (*ORDER, "drums") for _ in range(8)]
    spelled, short = paired_windows(shards)
    music = sum(len(e.ids) - e.header_length for e in spelled)
    judge = NETS[arguments.net](VOCABULARY.size, **ARGUMENTS[arguments.net])

    def judged() -> dict[str, float]:
        judge.load_state_dict(training.average)
        mine = validation_loss(judge, valid, bf16=recipe.bf16)[0]
        nats, count = validation_loss(judge, short, bf16=recipe.bf16)
        return {"valid": mine, "spelled": nats * count / music}

    told: dict[str, float] = {} if training.step else judged()
    print(json.dumps({"step": training.step, **told}), flush=True)
    saved, losses = time.monotonic(), []
    for record in training.run():
        losses.append(record.loss)
        if record.step % arguments.every == 0 or record.step == recipe.steps:
            told = judged()
            line = {"step": record.step, "loss": float(np.mean(losses)), **told, "seconds": record.seconds}
            print(json.dumps(line), flush=True)
            losses = []
            provenance = {
                "steps": training.step, "tokens": training.tokens, "recipe": asdict(recipe),
                "base": str(arguments.base or ""),
                "valid_nats_per_token": told["valid"], "nats_per_spelled_token": told["spelled"],
            }  # fmt: skip
            write_checkpoint(arguments.out, judge, shards, arguments, provenance)
        if time.monotonic() - saved > 60 * arguments.minutes or record.step == recipe.steps:
            save_state(state, training)
            saved = time.monotonic()


if __name__ == "__main__":
    main()
