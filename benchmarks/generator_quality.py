"""Measure the generator on validation titles: loss beside an LSTM and a 5-gram, and whether it listens.

    python benchmarks/generator_quality.py --shards FOLDER [--transformer NAME|FOLDER|STATE.pt] [--lstm ...]

Writes the sections ``generator`` and ``listening`` of docs/evaluation.md, and docs/evaluation_generator.json beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from melodygen.data.dataset import Example, ExampleSampler
from melodygen.data.shards import load_shards
from melodygen.evaluation.conditioning import FULL, draw_cases, listen, token_losses
from melodygen.evaluation.ngram import Ngram, train_ngram
from melodygen.evaluation.tables import markdown_table, replace_section, write_json
from melodygen.generation.neural import NETS
from melodygen.nets.checkpoint import load_weights, read_config, resolve
from melodygen.nets.lstm import Lstm
from melodygen.nets.transformer import Transformer
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.recipes.recipe import find_generator_recipe

ROOT = Path(__file__).parent.parent
RECIPE = find_generator_recipe("melodygen-transformer")
NAMES = RECIPE.styles
Losses = list[NDArray[np.float64]]
"""Nats of each scored token, one array an example."""


def load_net(spec: str) -> nn.Module:
    """A checkpoint by name or folder, or the state of the recipe's training (its averaged weights)."""
    if not spec.endswith(".pt"):
        folder = resolve(spec, spec)
        arguments = dict(read_config(folder, "generator")["net"])
        held: nn.Module = NETS[arguments.pop("type")](VOCABULARY.size, **arguments)
        load_weights(folder, held)
        return held
    weights = torch.load(spec, map_location="cpu")["average"]
    if "lstm.weight_hh_l0" in weights:
        layers = sum(name.startswith("lstm.weight_hh") for name in weights)
        net: nn.Module = Lstm(VOCABULARY.size, weights["embedding.weight"].shape[1],
                              weights["lstm.weight_hh_l0"].shape[1], layers)  # fmt: skip
    else:
        net = Transformer(VOCABULARY.size, **RECIPE.net.arguments())
    net.load_state_dict(weights)
    return net


def count_parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def net_losses(net: nn.Module, examples: Sequence[Example]) -> Losses:
    """The tokens that training.generator.validation_loss scores: all after the header."""
    masked = [(e.ids.tolist(), [i >= e.header_length for i in range(len(e.ids))]) for e in examples]
    return token_losses(net, masked)


def ngram_losses(ngram: Ngram, examples: Sequence[Example]) -> Losses:
    return [-ngram.log_prob(e.ids)[e.header_length - 1 :] for e in examples]


def fit_ngram(sampler: ExampleSampler, num_tokens: int, seed: int) -> Ngram:
    """On the examples that the nets are trained on, seen in the same ways."""
    rng = np.random.default_rng(seed)
    sequences, count = [], 0
    while count < num_tokens:
        sequences.append(sampler.draw(rng).ids)
        count += len(sequences[-1])
    return train_ngram(sequences)


def count_notes(example: Example) -> int:
    kinds = np.array(VOCABULARY.kinds)[example.ids]
    return int(np.isin(kinds, ("pitch", "drum")).sum())


def figures(losses: Losses, notes: int, reference: Losses | None = None) -> dict[str, float]:
    """``lead``: nats a token that this model costs more than the reference, with its standard error over examples."""
    tokens = sum(map(len, losses))
    nats = sum(float(x.sum()) for x in losses)
    result = {"nats_per_token": nats / tokens, "bits_per_note": nats / math.log(2) / notes}
    if reference is not None:
        gaps = np.array([(ours - theirs).sum() for ours, theirs in zip(losses, reference, strict=True)])
        sizes = np.array([len(x) for x in losses], dtype=float)
        lead = gaps.sum() / sizes.sum()
        error = np.sqrt(((gaps - lead * sizes) ** 2).sum()) / sizes.sum()
        result |= {"lead": float(lead), "lead_error": float(error)}
    return result


def compare_models(models: dict[str, Losses], examples: dict[str, list[Example]]) -> dict[str, Any]:
    """Style (and ``all``) -> model -> figures. Examples are in the order of the styles."""
    reference = next(iter(models.values()))
    table: dict[str, Any] = {}
    spans, at = {}, 0
    for style, drawn in examples.items():
        spans[style] = slice(at, at + len(drawn))
        at += len(drawn)
    spans["all"] = slice(0, at)
    flat = [e for drawn in examples.values() for e in drawn]
    for style, span in spans.items():
        notes = sum(map(count_notes, flat[span]))
        table[style] = {"windows": len(flat[span]), "tokens": sum(map(len, reference[span])), "notes": notes}
        for name, losses in models.items():
            table[style][name] = figures(
                losses[span], notes, None if losses is reference else reference[span]
            )
    return table


def generator_section(table: dict[str, Any], sizes: dict[str, str], options: argparse.Namespace) -> str:
    names = list(sizes)
    header = [
        "style",
        "windows",
        "tokens",
        *(f"{n}, nats/token" for n in names),
        *(f"{n}, bits/note" for n in names),
    ]
    rows = [
        [
            style, row["windows"], row["tokens"],
            *(row[n]["nats_per_token"] for n in names), *(row[n]["bits_per_note"] for n in names),
        ]
        for style, row in table.items()
    ]  # fmt: skip
    whole = table["all"]
    text = [markdown_table(header, rows, 3), ""]
    text += [f"- {name}: {size}" for name, size in sizes.items()]
    for name in names[1:]:
        lead, error = whole[name]["lead"], whole[name]["lead_error"]
        text.append(
            f"- {name} minus {names[0]}: {lead:.3f} ± {error:.3f} nats a token (standard error over windows)"
        )
    note = (
        f"Windows drawn with seed {options.seed} from the validation titles, seen as in training (roles dropped, "
        "header parts hidden); the header is not scored. Bits per note count all scored tokens, bar lines too."
    )
    return "\n".join([*text, "", note])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shards", type=Path, required=True, help="token shards of the corpus")
    parser.add_argument("--transformer", default="melodygen-transformer")
    parser.add_argument("--lstm", default="melodygen-lstm", help="empty to leave it out")
    parser.add_argument("--windows", type=int, default=40, help="validation windows a style")
    parser.add_argument(
        "--listening-windows", type=int, default=12, help="windows a style; 0 leaves the table out"
    )
    parser.add_argument("--ngram-tokens", type=int, default=14_000_000, help="0 leaves the 5-gram out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "evaluation.md")
    options = parser.parse_args()

    started = time.monotonic()
    shards = load_shards(options.shards)
    valid = ExampleSampler(shards, "valid", NAMES)
    rng = np.random.default_rng(options.seed)
    examples = {s: [valid.draw(rng, s) for _ in range(options.windows)] for s in (*NAMES, "drums")}
    flat = [e for drawn in examples.values() for e in drawn]
    models, sizes = {}, {}
    transformer = load_net(options.transformer)
    for name, spec in (("Transformer", options.transformer), ("LSTM", options.lstm)):
        if spec:
            net = transformer if name == "Transformer" else load_net(spec)
            models[name] = net_losses(net, flat)
            sizes[name] = f"{count_parameters(net) / 1e6:.1f} million parameters"
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    if options.ngram_tokens:
        ngram = fit_ngram(ExampleSampler(shards, "train", NAMES), options.ngram_tokens, options.seed)
        models["5-gram"] = ngram_losses(ngram, flat)
        sizes["5-gram"] = (
            f"interpolated Kneser-Ney, {len(ngram.levels[-1].keys) / 1e6:.1f} million 5-grams of "
            f"{ngram.num_tokens / 1e6:.1f} million tokens"
        )
        print(f"5-gram: {time.monotonic() - started:.0f} s", flush=True)
    table = compare_models(models, examples)
    record: dict[str, Any] = {"seed": options.seed, "models": sizes, "styles": table}
    replace_section(options.out, "generator", generator_section(table, sizes, options))

    if options.listening_windows:
        full = ExampleSampler(shards, "valid", NAMES, views=FULL)
        cases = draw_cases(full, NAMES, options.listening_windows, np.random.default_rng(options.seed))
        rows = listen(transformer, cases)
        record["listening"] = [asdict(row) for row in rows]
        header = ["condition", "windows", "tokens", "true", "without", "wrong"]
        header += ["first 2 bars: true", "without", "wrong", "wrong costs more in"]
        body = [[r.condition, r.examples, r.tokens, *r.nats, *r.early, f"{r.heard:.0%}"] for r in rows]
        replace_section(options.out, "listening", markdown_table(header, body, 3))
        print(f"listening: {time.monotonic() - started:.0f} s", flush=True)
    figures = options.out.with_name("evaluation_generator.json")
    if "listening" not in record and figures.is_file():  # what was not measured anew stays as it was
        record["listening"] = json.loads(figures.read_text(encoding="utf-8")).get("listening")
    write_json(figures, record)


if __name__ == "__main__":
    main()
