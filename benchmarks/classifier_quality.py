"""Measure a style classifier: `prepare` caches the test features once, `measure` judges a checkpoint by them.

    python benchmarks/classifier_quality.py prepare CACHE --corpus DIR --foreign DIR --recordings DIR \
        --font A.sf2 --font B.sf2 --unseen-font C.sf2
    python benchmarks/classifier_quality.py measure CACHE models/style-cnn --out docs

Sets: `as_is` (validation titles as they are written, shipped soundfont), `known` (the same, arranged and instrumented
as the product would, training soundfonts), `unknown` (arranged, a soundfont and instruments never trained on),
`foreign` (MIDI from elsewhere), `recordings` (labelled clips). A cached set is an .npz of windows (W, F, T) as float16,
with the item, label, group and collection of each window.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.audio.buffer import Audio
from melodygen.audio.features import Features, FrontEndConfig, features
from melodygen.classification.cnn import CnnClassifier
from melodygen.classification.symbolic import stretch
from melodygen.data.scan import find_files, prepare_score
from melodygen.data.views import AS_IS, PLAIN, UNKNOWN_INSTRUMENTS, ViewMaker, ViewStyle
from melodygen.errors import MelodygenError
from melodygen.evaluation.metrics import calibration_error, mean_by_group, plot_confusion, report, softmax
from melodygen.io.csv_table import read_table
from melodygen.io.midi import read_midi
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.training.classifier.view_rendering import (
    ViewSource,
    WindowSet,
    group_files,
    read_takes,
    validation_windows,
)
from melodygen.training.recipes.classifier import in_calibration_half
from melodygen.training.recipes.recipe import find_classifier_recipe

RECIPE = find_classifier_recipe("style-cnn")
LABELS, PIECES_A_STYLE = RECIPE.labels, RECIPE.calibration_pieces
FOREIGN_SECONDS = 60.0
SETS = ("as_is", "known", "unknown", "foreign", "recordings")


def save_set(path: Path, items: list[tuple[Features, str, str, str]]) -> None:
    """items: windows, label, name, collection."""
    found = WindowSet.of(items)
    found.save(path)
    print(f"{path.name}: {len(items)} items, {len(found.item)} windows", flush=True)


def prepare_views(path: Path, arguments: argparse.Namespace, how: ViewStyle, fonts: list[Path]) -> None:
    files = find_files(arguments.corpus)
    maker = ViewMaker(read_takes(files, "valid"))
    renderers = [SamplerRenderer(f) for f in fonts] or [SamplerRenderer()]
    source = ViewSource(group_files(files, "valid", LABELS), LABELS, maker, renderers)
    validation_windows(source, how, PIECES_A_STYLE).save(path)


def prepare_foreign(path: Path, folder: Path) -> None:
    """As `classify` would hear them: the shipped soundfont, the file's own tracks."""
    renderer, config = SamplerRenderer(), FrontEndConfig()
    items = []
    rows = read_table(folder / "labels.csv", ("path", "label", "source"))
    failed = 0
    for row in rows:
        try:
            score = stretch(prepare_score(read_midi(folder / row["path"])), FOREIGN_SECONDS)
            if not score.num_notes:
                continue
            items.append(
                (
                    features(renderer.render(score, 22_050, "draft"), config),
                    row["label"],
                    row["path"],
                    row["source"],
                )
            )
        except MelodygenError as error:
            failed += 1
            print(f"{row['path']}: {error}", file=sys.stderr)
    print(f"foreign: {failed} of {len(rows)} files could not be read")
    save_set(path, items)


def prepare_recordings(path: Path, folder: Path) -> None:
    import soundfile

    config = FrontEndConfig()
    items = []
    for row in read_table(folder / "labels.csv", ("path", "label", "source")):
        if row["label"] not in LABELS:
            continue
        samples, rate = soundfile.read(folder / row["path"], dtype="float32", always_2d=True)
        items.append((features(Audio(samples.T, rate), config), row["label"], row["path"], row["source"]))
    save_set(path, items)


def prepare(arguments: argparse.Namespace) -> None:
    arguments.cache.mkdir(parents=True, exist_ok=True)
    wanted = arguments.sets or SETS
    if "recordings" in wanted and arguments.recordings:
        prepare_recordings(arguments.cache / "recordings.npz", arguments.recordings)
    if "as_is" in wanted:
        prepare_views(arguments.cache / "as_is.npz", arguments, AS_IS, [])
    if "known" in wanted:
        prepare_views(arguments.cache / "known.npz", arguments, PLAIN, arguments.font)
    if "unknown" in wanted:
        prepare_views(
            arguments.cache / "unknown.npz", arguments, UNKNOWN_INSTRUMENTS, [arguments.unseen_font]
        )
    if "foreign" in wanted and arguments.foreign:
        prepare_foreign(arguments.cache / "foreign.npz", arguments.foreign)


def load_set(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], dict[str, Any]]:
    """windows, item of each window, target of each item, and the rest."""
    held = WindowSet.load(path)
    targets = np.array([LABELS.index(label) for label in held.label])
    return (
        held.windows,
        held.item,
        targets,
        {"name": np.array(held.name), "collection": np.array(held.collection)},
    )


def restricted(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Logits with the labels that the set does not hold ruled out."""
    there = np.isin(np.arange(logits.shape[1]), np.unique(targets))
    return np.where(there, logits, -1e9)


def measure(arguments: argparse.Namespace) -> None:
    classifier = CnnClassifier.from_folder(arguments.checkpoint)
    figures: dict[str, Any] = {"classifier": classifier.classifier_id}
    for name in SETS:
        path = arguments.cache / f"{name}.npz"
        if not path.is_file():
            continue
        windows, item, targets, extra = load_set(path)
        raw = classifier.window_logits(windows)
        by_window = report(softmax(raw / classifier.temperature), targets[item], LABELS)
        mean = mean_by_group(raw, item)
        # The temperature was fitted on one half of the validation titles: calibration is told on the other.
        other = (
            ~in_calibration_half(extra["name"].tolist())
            if name in ("as_is", "known", "unknown")
            else np.ones(len(mean), bool)
        )
        whole = report(softmax(mean / classifier.temperature), targets, LABELS)
        some = report(softmax(restricted(mean, targets) / classifier.temperature), targets, LABELS)
        figures[name] = {
            "items": whole.num_items,
            "windows": by_window.num_items,
            "window_accuracy": round(by_window.accuracy, 4),
            "accuracy": round(whole.accuracy, 4),
            "interval": [round(v, 3) for v in whole.interval],
            "balanced_accuracy": round(whole.balanced_accuracy, 4),
            "macro_f1": round(whole.macro_f1, 4),
            "calibration_error": round(
                calibration_error(softmax(mean[other] / classifier.temperature), targets[other]), 4
            ),
            "accuracy_among_its_labels": round(some.accuracy, 4),
            "balanced_accuracy_among_its_labels": round(some.balanced_accuracy, 4),
            "styles": {
                label: {
                    "precision": round(float(p), 3),
                    "recall": round(float(r), 3),
                    "f1": round(float(f), 3),
                    "n": int(n),
                }
                for label, p, r, f, n in zip(
                    LABELS, whole.precision, whole.recall, whole.f1, whole.confusion.sum(axis=1), strict=True
                )
                if n
            },
        }
        if arguments.out is not None:
            shown = {
                "as_is": "validation titles as written",
                "known": "validation titles arranged, known soundfonts",
                "unknown": "unknown soundfont and instruments",
            }
            plot_confusion(arguments.out / "images" / f"confusion_{name}.png", whole, shown.get(name, name))
        brief = {k: v for k, v in figures[name].items() if k != "styles"}
        print(name, json.dumps(brief))
        print("   recall", {k: v["recall"] for k, v in figures[name]["styles"].items()})
    if arguments.out is not None:
        write_figures(arguments.out / "classifier.md", figures)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


BEGIN, END = "<!-- figures: written by benchmarks/classifier_quality.py -->", "<!-- end of figures -->"


def figures_text(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"Measured for `{figures['classifier']}`.", "",
        "| set | items | windows right | items right | 95 % interval | balanced | macro F1 "
        "| among its own styles | calibration error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name in [s for s in SETS if s in figures]:
        f = figures[name]
        lines.append(
            f"| {name} | {f['items']} | {f['window_accuracy']:.1%} | {f['accuracy']:.1%} | "
            f"{f['interval'][0]:.1%}–{f['interval'][1]:.1%} | {f['balanced_accuracy']:.1%} | {f['macro_f1']:.3f} | "
            f"{f['accuracy_among_its_labels']:.1%} | {f['calibration_error']:.3f} |"
        )
    for name in [s for s in SETS if s in figures]:
        lines += [
            "",
            f"**{name}**",
            "",
            "| style | items | precision | recall | F1 |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {style} | {v['n']} | {v['precision']:.2f} | {v['recall']:.2f} | {v['f1']:.2f} |"
            for style, v in figures[name]["styles"].items()
        ]
        lines += ["", f"![confusion matrix, {name}](images/confusion_{name}.png)"]
    return "\n".join(lines)


def write_figures(page: Path, figures: dict[str, Any]) -> None:
    """Replace what lies between the marks in ``page``."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    with atomic_path(page, overwrite=True) as temporary:
        temporary.write_text(
            f"{before}{BEGIN}\n\n{figures_text(figures)}\n\n{END}{rest.split(END, 1)[1]}", encoding="utf-8"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare")
    one.add_argument("cache", type=Path)
    one.add_argument("--corpus", type=Path, required=True)
    one.add_argument("--foreign", type=Path)
    one.add_argument("--recordings", type=Path)
    one.add_argument("--font", type=Path, action="append", default=[])
    one.add_argument("--unseen-font", type=Path)
    one.add_argument("--sets", nargs="*", choices=SETS)
    one.set_defaults(run=prepare)
    two = commands.add_parser("measure")
    two.add_argument("cache", type=Path)
    two.add_argument("checkpoint", type=Path)
    two.add_argument("--out", type=Path)
    two.add_argument("--json", type=Path)
    two.set_defaults(run=measure)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
