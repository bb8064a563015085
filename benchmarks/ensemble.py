"""Two models together against either alone: what the loop chooses, what is written unchosen, and the time it takes.

    python benchmarks/ensemble.py [--model A --model B] [--style jazz ...] [--pieces 4] --out figures.json

Every arm gets the same styles, seeds and number of candidates, one round each. Style probabilities of chosen pieces are
biased upward in every arm (the classifier chose them), those of all candidates are not. Means with standard errors over
pieces; times are of the processor, models loaded before.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from melodygen.evaluation.tables import write_json
from melodygen.generation.loop import Composition
from melodygen.services.generate import generate
from melodygen.services.models import load_classifier, load_generator, load_renderer

Row = dict[str, Any]
"""What is kept of one composition."""


def composed(piece: Composition, seconds: float) -> Row:
    """The figures of one composition."""
    chosen, all_ = piece.chosen, piece.candidates
    return {
        "style probability, chosen": chosen.style_probability,
        "style probability, all": piece.unselected_mean_probability,
        "quality, chosen": chosen.quality,
        "quality, all": float(np.mean([c.quality for c in all_])),
        "accepted": float(piece.accepted),
        "candidates with a flaw": float(np.mean([bool(c.flaw) for c in all_])),
        "processor seconds": seconds,
        "chosen model": chosen.model_id,
    }


def told(rows: Sequence[Row]) -> dict[str, Any]:
    """Means with standard errors, and which model wrote how many of the chosen pieces."""
    table: dict[str, Any] = {"pieces": len(rows)}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name == "chosen model":
            table[name] = dict(Counter(values))
        else:
            error = np.std(values, ddof=1) / np.sqrt(len(values))
            table[name] = f"{np.mean(values):.3f} ± {error:.3f}"
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help="default: both shipped generators")
    parser.add_argument("--style", action="append", help="default: jazz, folk, classical, game, rock")
    parser.add_argument("--pieces", type=int, default=4, help="of each style and arm")
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON; a run that was stopped goes on from it"
    )
    arguments = parser.parse_args()
    models = arguments.model or ["melodygen-transformer", "melodygen-lstm"]
    styles = arguments.style or ["jazz", "folk", "classical", "game", "rock"]
    arms = {arm: load_generator(arm) for arm in (*models, ",".join(models))}
    renderer, classifier = load_renderer(), load_classifier()
    rows: dict[str, Row] = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    for seed in range(1, arguments.pieces + 1):
        for style in styles:
            for arm, generator in arms.items():
                if (key := f"{arm} {style} {seed}") in rows:
                    continue
                begun = time.process_time()
                piece = generate(style, model=generator, renderer=renderer, classifier=classifier, bars=arguments.bars,
                                 candidates=arguments.candidates, max_rounds=1, seed=seed)  # fmt: skip
                rows[key] = composed(piece, time.process_time() - begun)
                write_json(arguments.out, rows)
    for arm in arms:
        print(arm, json.dumps(told([row for key, row in rows.items() if key.split(" ")[0] == arm]), indent=1))


if __name__ == "__main__":
    main()
