"""Two models together against either alone: what the loop chooses, what is written unchosen, and the time it takes.

    python benchmarks/ensemble.py [--model A --model B] [--style jazz ...] [--pieces 4] [--out figures.json]

Every arm gets the same styles, seeds and number of candidates, one round each. Style probabilities of chosen pieces are
biased upward in every arm (the classifier chose them), those of all candidates are not. Means with standard errors over
pieces; times are of the processor, models loaded before.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from melodygen.generation.loop import Composition
from melodygen.services.generate import generate
from melodygen.services.models import load_classifier, load_generator, load_renderer


def summary(values: Sequence[float]) -> list[float]:
    """Mean and standard error."""
    return [round(float(np.mean(values)), 3), round(float(np.std(values, ddof=1) / np.sqrt(len(values))), 3)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help="default: both shipped generators")
    parser.add_argument("--style", action="append", help="default: jazz, folk, classical, game, rock")
    parser.add_argument("--pieces", type=int, default=4, help="of each style and arm")
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--arm", action="append", help="only these arms: a model, or A,B")
    parser.add_argument("--out", type=Path, help="JSON; arms that are there already stay")
    arguments = parser.parse_args()
    models = arguments.model or ["melodygen-transformer", "melodygen-lstm"]
    styles = arguments.style or ["jazz", "folk", "classical", "game", "rock"]
    renderer, classifier = load_renderer(), load_classifier()
    there = arguments.out is not None and arguments.out.is_file()
    report = json.loads(arguments.out.read_text()) if there else {}
    for arm in arguments.arm or [*models, ",".join(models)]:
        generator = load_generator(arm)
        pieces: list[Composition] = []
        seconds: list[float] = []
        for style in styles:
            for seed in range(1, arguments.pieces + 1):
                begun = time.process_time()
                pieces.append(
                    generate(style, model=generator, renderer=renderer, classifier=classifier, bars=arguments.bars,
                             candidates=arguments.candidates, max_rounds=1, seed=seed)
                )  # fmt: skip
                seconds.append(time.process_time() - begun)
        wrote: dict[str, int] = {}
        for piece in pieces:
            wrote[piece.chosen.model_id] = wrote.get(piece.chosen.model_id, 0) + 1
        report[arm] = {
            "pieces": len(pieces),
            "style probability, chosen": summary([p.style_probability for p in pieces]),
            "style probability, all": summary([p.unselected_mean_probability for p in pieces]),
            "quality, chosen": summary([p.chosen.quality for p in pieces]),
            "quality, all": summary([float(np.mean([c.quality for c in p.candidates])) for p in pieces]),
            "accepted": sum(p.accepted for p in pieces),
            "candidates with a flaw": summary(
                [float(np.mean([bool(c.flaw) for c in p.candidates])) for p in pieces]
            ),
            "processor seconds": summary(seconds),
            "chosen pieces by model": wrote,
        }
        print(arm, json.dumps(report[arm], indent=1), flush=True)
        if arguments.out is not None:
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
