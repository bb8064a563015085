"""Does a style classifier hear notes or instruments? The same notes on other instruments should keep their label.

    python benchmarks/orchestration_robustness.py prepare CACHE --corpus DIR --foreign DIR --unseen-font TimGM6mb.sf2
    python benchmarks/orchestration_robustness.py measure CACHE CHECKPOINT ... [--page docs/classifier.md]

`prepare` renders half a minute from the middle of validation titles and of MIDI from elsewhere (own tracks and
programs, the shipped soundfont), once as it is and once for each change of `CHANGES`, and keeps the windows. The files
from elsewhere are two sets: `foreign`, two thirds, and `foreign-seen`, every third file, which may be looked at while a
net is being made. "Kept" compares the label with the one of the piece as it is, whether that was right or wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.audio.features import FrontEndConfig, features
from melodygen.classification.cnn import CnnClassifier
from melodygen.classification.symbolic import as_heard, read_symbolic, stretch
from melodygen.data.reorchestration import reorchestrated
from melodygen.data.scan import find_files
from melodygen.errors import MelodygenError
from melodygen.evaluation.metrics import calibration_error, mean_by_group, softmax
from melodygen.evaluation.tables import markdown_table, replace_section
from melodygen.io.csv_table import read_table
from melodygen.music.score import Score
from melodygen.rendering.draft import render_draft
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.training.classifier.view_rendering import WindowSet, group_files
from melodygen.training.recipes.recipe import find_classifier_recipe

SECONDS = 30.0
SETS = ("validation", "foreign-seen", "foreign")
CHANGES = {
    "as it is": "same", "programs of the same family": "neighbours", "any programs that can play the role": "any",
    "all on piano, drums off": "piano", "all on one square or saw lead, drums off": "leads", "drums off": "no_drums",
    "another soundfont": "font",
}  # fmt: skip
LABELS = find_classifier_recipe("style-cnn").labels
SECTION = "orchestration-style-cnn"

Piece = tuple[Path, str, str, str]
"""Path, label, name, collection."""


def pieces_of(name: str, corpus: Path | None, foreign: Path | None, limit: int) -> Iterator[Piece]:
    """The pieces of a set; ``limit`` of a style of the corpus, from its collections alike."""
    if name == "validation" and corpus is not None:
        groups = group_files(find_files(corpus), "valid", LABELS)
        for number, style in enumerate(LABELS):
            rng = np.random.default_rng([31, number])
            own = groups.get(style, {})
            lists = [[own[c][i] for i in rng.permutation(len(own[c]))] for c in sorted(own)]
            longest = max(map(len, lists), default=0)
            turns = [found[i] for i in range(longest) for found in lists if i < len(found)]
            yield from ((f.path, style, f.name, "/".join(f.name.split("/")[:2])) for f in turns[:limit])
    elif name != "validation" and foreign is not None:
        for index, row in enumerate(read_table(foreign / "labels.csv", ("path", "label", "source"))):
            if (index % 3 == 0) == (name == "foreign-seen"):
                yield foreign / row["path"], row["label"], row["path"], row["source"]


def versions(half: Score, index: int, changes: Iterable[str]) -> Iterator[tuple[str, Score]]:
    """(change, what is played) of piece number ``index``; nothing of one that hardly holds a pitched note."""
    if sum(len(t) for t in half.tracks if not t.is_drum) < 5:
        return
    for change in changes:
        rng = np.random.default_rng([index, len(change)])
        yield change, half if change == "font" else reorchestrated(half, change, rng, held_out=True)


def among(scores: NDArray[np.floating], targets: NDArray[np.int64]) -> float:
    """Share right where labels that the set does not hold are ruled out; ``scores`` (N, labels) are of any kind."""
    there = np.isin(np.arange(scores.shape[1]), targets)
    return float(np.mean(np.where(there, scores, -np.inf).argmax(axis=1) == targets))


def prepare(arguments: argparse.Namespace) -> None:
    arguments.cache.mkdir(parents=True, exist_ok=True)
    usual, other, config = SamplerRenderer(), SamplerRenderer(arguments.unseen_font), FrontEndConfig()
    for name in arguments.sets:
        held: dict[str, list[tuple[NDArray[np.float32], str, str, str]]] = {c: [] for c in CHANGES.values()}
        for index, (path, label, told, collection) in enumerate(
            pieces_of(name, arguments.corpus, arguments.foreign, arguments.limit)
        ):
            try:
                made = {}
                for change, played in versions(stretch(read_symbolic(path), SECONDS), index, held):
                    audio = render_draft(as_heard(played), other if change == "font" else usual)
                    made[change] = features(audio, config)
            except MelodygenError as error:
                print(f"{told}: {error}", flush=True)
                continue
            for change, windows in made.items():
                held[change].append((windows, label, told, collection))
        for change, items in held.items():
            if items:
                WindowSet.of(items).save(arguments.cache / f"{name}-{change}.npz")
        print(f"{name}: {len(held['same'])} pieces", flush=True)


def table_of(judge: CnnClassifier, cache: Path, name: str) -> str | None:
    """The table of one set, or None where it was not prepared."""
    rows, before = [], np.zeros(0, dtype=np.int64)
    for told, change in CHANGES.items():
        path = cache / f"{name}-{change}.npz"
        if not path.is_file():
            return None
        found = WindowSet.load(path)
        targets = np.array([judge.labels.index(label) for label in found.label])
        logits = mean_by_group(judge.window_logits(found.windows), found.item)
        there = np.isin(np.arange(len(judge.labels)), targets)
        said = logits.argmax(axis=1)
        probability = softmax(logits / judge.temperature)
        before = before if rows else said
        rows.append(
            (
                told,
                f"{np.mean(said == before):.1%}" if rows else "–",
                f"{np.mean(said == targets):.1%}",
                f"{among(logits, targets):.1%}",
                f"{np.mean(said == judge.labels.index('game')):.1%}",
                f"{calibration_error(probability, targets):.3f}",
            )
        )
    head = ("change", "label kept", "right", "among its labels", "called game", "calibration error")
    return f"{name}, {len(before)} pieces of {int(there.sum())} labels:\n\n" + markdown_table(head, rows)


def measure(arguments: argparse.Namespace) -> None:
    texts = []
    for folder in arguments.checkpoints:
        judge = CnnClassifier.from_folder(folder)
        tables = [table_of(judge, arguments.cache, name) for name in arguments.sets]
        texts.append(f"`{judge.classifier_id}`, " + "\n\n".join(t for t in tables if t))
        print(texts[-1], flush=True)
    if arguments.page:
        replace_section(arguments.page, SECTION, "\n\n".join(texts))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare")
    one.add_argument("cache", type=Path)
    one.add_argument("--corpus", type=Path)
    one.add_argument("--foreign", type=Path)
    one.add_argument("--unseen-font", type=Path, required=True)
    one.add_argument("--limit", type=int, default=20, help="validation titles of a style")
    one.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    one.set_defaults(run=prepare)
    two = commands.add_parser("measure")
    two.add_argument("cache", type=Path)
    two.add_argument("checkpoints", type=Path, nargs="+")
    two.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    two.add_argument("--page", type=Path)
    two.set_defaults(run=measure)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
