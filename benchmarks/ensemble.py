"""Two models together against either alone: what the loop chooses, what is written unchosen, and the time it takes.

    python benchmarks/ensemble.py --out figures.json [--model A --model B] [--style jazz ...] [--pieces 4]

Each model alone writes and rates a round of candidates for each style and seed. What both together give is put together
from these: candidate k is that of model k mod 2, as in a run. For the first seed of each style the run is made as well,
and the candidates that are not the same are counted (a model alone writes its streams in other groups, which can change
the last bits of a sum). Style probabilities of chosen pieces are biased upward in every arm, because the classifier
chose them; those of all candidates are not. Means with standard errors over pieces; times are of the processor.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from melodygen.evaluation.tables import write_json
from melodygen.generation.loop import CandidateRecord, candidate_seeds, rate
from melodygen.request import LoopOptions
from melodygen.services.models import load_classifier, load_generator, load_renderer
from melodygen.services.requests import build_request

MIN_STYLE = LoopOptions().min_style
QUALITY_STEP = 0.05


def rank(found: CandidateRecord) -> tuple[Any, ...]:
    """As the loop ranks candidates that were not moved to another key or tempo."""
    merit = (
        min(found.style_probability, MIN_STYLE),
        round(found.quality / QUALITY_STEP),
        found.style_probability,
    )
    return (found.playable, not found.flaw, *merit)


def told(rounds: Sequence[Sequence[CandidateRecord]], seconds: Sequence[float]) -> dict[str, Any]:
    """Means with standard errors over pieces, and which model wrote how many of the chosen ones."""
    best = [max(one, key=rank) for one in rounds]
    columns = {
        "style probability, chosen": [c.style_probability for c in best],
        "style probability, all": [np.mean([c.style_probability for c in one]) for one in rounds],
        "quality, chosen": [c.quality for c in best],
        "quality, all": [np.mean([c.quality for c in one]) for one in rounds],
        "accepted": [c.style_probability >= MIN_STYLE and not c.flaw for c in best],
        "candidates with a flaw": [np.mean([bool(c.flaw) for c in one]) for one in rounds],
        "processor seconds a candidate": seconds,
    }
    table = {
        n: f"{np.mean(v):.3f} ± {np.std(v, ddof=1) / np.sqrt(len(v)):.3f}"
        for n, v in columns.items()
        if len(v) > 1
    }
    return {"pieces": len(rounds), **table, "chosen by model": dict(Counter(c.model_id for c in best))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help="two; default: both shipped generators")
    parser.add_argument("--style", action="append", help="default: jazz, folk, classical, game, rock")
    parser.add_argument("--pieces", type=int, default=4, help="of each style")
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON; a run that was stopped goes on from it"
    )
    arguments = parser.parse_args()
    models = arguments.model or ["melodygen-transformer", "melodygen-lstm"]
    styles = arguments.style or ["jazz", "folk", "classical", "game", "rock"]
    together = ",".join(models)
    arms = {arm: load_generator(arm) for arm in (*models, together)}
    renderer, classifier = load_renderer(), load_classifier()
    rows: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    for seed in range(1, arguments.pieces + 1):
        seeds = candidate_seeds(seed, 1, arguments.candidates)
        for style in styles:
            for arm, generator in arms.items():
                key = f"{arm} {style} {seed}"
                if key in rows or (arm == together and seed > 1):
                    continue
                request = build_request({"style": style, "bars": arguments.bars}, generator)
                begun = time.process_time()
                found = rate(request, generator, renderer, classifier, seeds)
                rows[key] = {
                    "seconds": time.process_time() - begun,
                    "candidates": [asdict(c.record) for c in found],
                }
                write_json(arguments.out, rows)
    for row in rows.values():  # the first seeds of a round do not depend on their number
        row["seconds"] /= len(row["candidates"])
        row["candidates"] = row["candidates"][: arguments.candidates]
    report(rows, models, together)


def report(rows: dict[str, Any], models: Sequence[str], together: str) -> None:
    """Print the arms."""
    rounds = {key: [CandidateRecord(**c) for c in row["candidates"]] for key, row in rows.items()}
    keys = [key.split(" ", 1)[1] for key in rows if key.startswith(f"{models[0]} ")]
    keys = [key for key in keys if all(f"{model} {key}" in rows for model in models)]
    mixed = [
        [rounds[f"{models[k % len(models)]} {key}"][k] for k in range(len(rounds[f"{models[0]} {key}"]))]
        for key in keys
    ]
    for model in models:
        own = [f"{model} {key}" for key in keys]
        print(
            model,
            json.dumps(told([rounds[key] for key in own], [rows[key]["seconds"] for key in own]), indent=1),
        )
    really = [key for key in rows if key.startswith(f"{together} ")]
    print(together, json.dumps(told(mixed, [rows[key]["seconds"] for key in really]), indent=1))
    pairs = [
        (one, other)
        for key in really if (rest := key.split(" ", 1)[1]) in keys
        for one, other in zip(rounds[key], mixed[keys.index(rest)], strict=True)
    ]  # fmt: skip
    same = sum(abs(one.style_probability - other.style_probability) < 1e-4 for one, other in pairs)
    print(f"{same} of {len(pairs)} candidates of the runs together are as put together")


if __name__ == "__main__":
    main()
