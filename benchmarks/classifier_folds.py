"""Leaves one collection of every style out in turn: what a style CNN says of collections it never met.

    python benchmarks/classifier_folds.py STORE [--steps 500] [--json FILE]

STORE holds views that ``melodygen recipe run style-cnn`` rendered (``OUT/.work/views/plain``).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch

from melodygen.audio.features import FrontEndConfig
from melodygen.data.views import TRAINING
from melodygen.training.classifier.trainer import ClassifierRecipe, Mixer, logits_of, plain_mix, train
from melodygen.training.classifier.view_store import Store, frames_in, open_store
from melodygen.training.recipes.classifier import new_net
from melodygen.training.recipes.recipe import find_classifier_recipe

RECIPE = find_classifier_recipe("style-cnn")
LABELS = RECIPE.labels


def fold_lists(store: Store, count: int = 5, least: int = 7) -> list[list[str]]:
    """Collections to leave out, fold by fold, of each style that has two or more of ``least`` pieces."""
    pieces: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in store.entries:
        pieces[entry.style, entry.collection].add(entry.path)
    by_style: dict[str, list[str]] = defaultdict(list)
    for (style, collection), paths in sorted(pieces.items()):
        if len(paths) >= least:
            by_style[style].append(collection)
    several = {s: c for s, c in by_style.items() if len(c) > 1}
    return [[name for c in several.values() for name in c[fold::count]] for fold in range(count)]


def leave_out(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    config = FrontEndConfig()
    store = open_store(arguments.store, config.num_bands, frames_in(TRAINING.seconds, config))
    results = {}
    for number, left in enumerate(fold_lists(store)):
        begun = time.monotonic()
        recipe = ClassifierRecipe(
            steps=arguments.steps, seed=arguments.seed + number, workers=arguments.workers
        )
        inside = [e for e in store.entries if e.collection not in left]
        net = train(
            new_net(RECIPE.net, len(LABELS), recipe.seed), Mixer(store, LABELS, config, inside), recipe
        )
        for collection in left:
            entries = [e for e in store.entries if e.collection == collection][:200]
            logits = logits_of(net, np.stack([plain_mix(store, e, config) for e in entries]))
            heard = [LABELS[i] for i in logits.argmax(axis=1)]
            right = [h == e.style for h, e in zip(heard, entries, strict=True)]
            wrong = Counter(h for h, r in zip(heard, right, strict=True) if not r).most_common(3)
            results[collection] = {
                "views": len(entries),
                "recall": round(float(np.mean(right)), 4),
                "heard_as": wrong,
            }
            print(json.dumps({"fold": number, collection: results[collection]}), flush=True)
        print(json.dumps({"fold": number, "seconds": round(time.monotonic() - begun)}), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    leave_out(parser.parse_args())


if __name__ == "__main__":
    main()
