"""Train style-cnn further on labelled recordings: cross-validate by artist, then make models/style-cnn-recordings.

    python scripts/train_recordings.py CLIPS --base models/style-cnn --views STORE --known known.npz \
        --out models/style-cnn-recordings --json recordings_cv.json

CLIPS holds labels.csv (path,label,source,artist). Folds are by artist, and the same for the baseline (MFCC mean and
deviation, RBF-SVM). A fold's net is the mean of ``--soup`` runs of different seeds. ``--repeats`` deals the folds anew.
``--views`` (a folder in ``views`` of the work folder of ``melodygen recipe run style-cnn``) keeps renders in the mix.
``--cv-only`` / ``--final-only`` do one half. The checkpoint is no part of the package: docs/hearing.md has its figures.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from melodygen.audio.decode import read_mono
from melodygen.audio.features import cut_windows, log_levels, mel_power
from melodygen.classification.cnn import CnnClassifier
from melodygen.data.views import TRAINING
from melodygen.evaluation.folds import grouped_folds, grouped_interval
from melodygen.evaluation.metrics import calibration_error, mean_by_group, report, softmax
from melodygen.evaluation.tables import write_json
from melodygen.nets.checkpoint import load_weights, read_config, save_checkpoint, weights_sha256
from melodygen.nets.cnn import StyleCnn
from melodygen.training.classifier.recordings import AdaptRecipe, Clips, adapt, soup, widen
from melodygen.training.classifier.trainer import Mixer, fit_temperature, logits_of
from melodygen.training.classifier.view_rendering import WindowSet
from melodygen.training.classifier.view_store import frames_in, open_store

NEW = "electronic"
CORE = ("blues", "electronic", "jazz")
Rows = list[dict[str, str]]


def read_clips(folder: Path, labels: tuple[str, ...], config: Any) -> tuple[Clips, Rows]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        rows = [r for r in csv.DictReader(stream) if r["label"] in labels]
    power, item = [], []
    for i, row in enumerate(rows):
        windows = cut_windows(read_mono(folder / row["path"], config.sample_rate), config)
        power += [mel_power(w, config) for w in windows]
        item += [i] * len(windows)
    target = np.array([labels.index(r["label"]) for r in rows], dtype=np.int64)
    return Clips(np.stack(power), np.array(item, dtype=np.int64), target, config), rows


def recipe_of(arguments: argparse.Namespace, seed: int) -> AdaptRecipe:
    return AdaptRecipe(
        steps=arguments.steps, views=arguments.views_share, learning_rate=arguments.rate, vary=arguments.vary,
        distort=arguments.distort, fresh_head=arguments.fresh_head, seed=seed,
    )  # fmt: skip


def trained(base: StyleCnn, clips: Clips, kept: NDArray[np.bool_], mixer: Mixer | None, arguments: argparse.Namespace,
            seed: int) -> StyleCnn:  # fmt: skip
    nets = []
    for k in range(arguments.soup):
        recipe = recipe_of(arguments, seed * 100 + k)
        nets.append(adapt(base, clips, kept, mixer, recipe))
    return soup(nets)


def mfcc_svm(clips: Clips, fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """What MFCC mean and deviation with an RBF-SVM say, trained inside the set on the same folds."""
    from scipy.fft import dct
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    mfcc = dct(log_levels(clips.power, clips.config), axis=1, norm="ortho")[:, :20]
    rows = mean_by_group(np.concatenate((mfcc.mean(axis=2), mfcc.std(axis=2)), axis=1), clips.item)
    said = np.zeros(len(rows), dtype=np.int64)
    for f in np.unique(fold):
        model = make_pipeline(StandardScaler(), SVC(C=3.0)).fit(rows[fold != f], clips.target[fold != f])
        said[fold == f] = model.predict(rows[fold == f])
    return said


def cross_validate(
    base: StyleCnn,
    clips: Clips,
    rows: Rows,
    labels: tuple[str, ...],
    mixer: Mixer | None,
    arguments: argparse.Namespace,
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    artists = [r["artist"] or r["path"] for r in rows]
    levels = log_levels(clips.power, clips.config)
    core = np.isin([r["label"] for r in rows], CORE)
    allowed = np.isin(labels, CORE)
    figures: dict[str, Any] = {"repeats": []}
    total = np.zeros((len(rows), len(labels)))
    for repeat in range(arguments.repeats):
        fold = grouped_folds(artists, clips.target, arguments.folds, repeat)
        logits = np.zeros((len(rows), len(labels)))
        for f in range(arguments.folds):
            began = time.monotonic()
            net = trained(base, clips, fold != f, mixer, arguments, seed=1 + repeat * 10 + f)
            out = np.flatnonzero(fold == f)
            inside = np.isin(clips.item, out)
            logits[out] = mean_by_group(logits_of(net, levels[inside]), clips.item[inside])
            right = logits[out].argmax(axis=1) == clips.target[out]
            print(
                f"repeat {repeat} fold {f}: {right.mean():.3f} of {len(out)}, {time.monotonic() - began:.0f} s",
                flush=True,
            )
        total += logits / arguments.repeats
        svm = mfcc_svm(clips, fold)
        among = np.where(allowed, logits, -1e9)[core].argmax(axis=1) == clips.target[core]
        free = logits.argmax(axis=1) == clips.target
        core_artists = [a for a, c in zip(artists, core, strict=True) if c]
        svm_core = mfcc_svm(
            Clips(clips.power[core[clips.item]], np.unique(clips.item[core[clips.item]], return_inverse=True)[1],
                  clips.target[core], clips.config), fold[core],
        ) == clips.target[core]  # fmt: skip
        one = {
            "core_among_three": among.mean(), "core_among_three_interval": grouped_interval(among, core_artists),
            "core_of_all_labels": free[core].mean(),
            "core_of_all_labels_interval": grouped_interval(free[core], core_artists),
            "five_labels": free.mean(), "five_labels_interval": grouped_interval(free, artists),
            "mfcc_svm_core": svm_core.mean(), "mfcc_svm_core_interval": grouped_interval(svm_core, core_artists),
            "mfcc_svm_five": (svm == clips.target).mean(),
        }  # fmt: skip
        print(json.dumps({k: np.round(v, 3).tolist() for k, v in one.items()}), flush=True)
        figures["repeats"].append(one)
        figures["last"] = per_label(logits, clips.target, labels)
    for key in ("core_among_three", "core_of_all_labels", "five_labels", "mfcc_svm_core", "mfcc_svm_five"):
        values = [r[key] for r in figures["repeats"]]
        figures[key] = {"mean": float(np.mean(values)), "deviation": float(np.std(values))}
    return figures, total


def per_label(
    logits: NDArray[np.float64], target: NDArray[np.int64], labels: tuple[str, ...]
) -> dict[str, Any]:
    found = report(softmax(logits), target, labels)
    there = [i for i, n in enumerate(found.confusion.sum(axis=1)) if n]
    return {
        "macro_f1": found.macro_f1, "balanced_accuracy": found.balanced_accuracy,
        "labels": {labels[i]: {"n": int(found.confusion[i].sum()), "precision": found.precision[i],
                               "recall": found.recall[i], "f1": found.f1[i]} for i in there},
        "confusion": {labels[i]: {labels[j]: int(c) for j, c in enumerate(found.confusion[i]) if c} for i in there},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path)
    parser.add_argument("--base", type=Path, default=Path("models/style-cnn"))
    parser.add_argument("--views", type=Path)
    parser.add_argument(
        "--known", type=Path, help="known.npz of benchmarks/classifier_quality.py: what was forgotten"
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--soup", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--vary", type=float, default=1.0)
    parser.add_argument("--distort", type=float, default=1.0)
    parser.add_argument("--fresh-head", action="store_true")
    parser.add_argument("--views-share", type=float, default=0.25)
    parser.add_argument("--cv-only", action="store_true")
    parser.add_argument("--final-only", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    judge = CnnClassifier.from_folder(arguments.base)
    record = read_config(arguments.base, "classifier")
    spec = {k: v for k, v in record["net"].items() if k != "type"}
    net = StyleCnn(len(judge.labels), judge.front_end.num_bands, **spec)
    load_weights(arguments.base, net)
    labels = (*judge.labels, *([NEW] if NEW not in judge.labels else []))
    base = widen(net, list(judge.labels), labels, spec, judge.front_end.num_bands)
    config = judge.front_end
    clips, rows = read_clips(arguments.clips, labels, config)
    mixer = None
    if arguments.views is not None:
        store = open_store(arguments.views, config.n_mels, frames_in(TRAINING.seconds, config))
        mixer = Mixer(store, judge.labels, config, store.entries)
    figures: dict[str, Any] = {"base": judge.classifier_id, "arguments": {k: str(getattr(arguments, k)) for k in (
        "folds", "repeats", "steps", "soup", "rate", "views_share", "vary", "distort", "fresh_head")}}  # fmt: skip
    temperature = judge.temperature
    if not arguments.final_only:
        found, logits = cross_validate(base, clips, rows, labels, mixer, arguments)
        temperature = fit_temperature(logits.astype(np.float32), clips.target)
        found["temperature"] = temperature
        found["calibration_error"] = calibration_error(softmax(logits / temperature), clips.target)
        figures["cross_validation"] = found
    if arguments.out is not None and not arguments.cv_only:
        final = trained(base, clips, np.ones(len(rows), dtype=bool), mixer, arguments, seed=1000)
        final.half().float()
        if arguments.known is not None:
            held = WindowSet.load(arguments.known)
            target = np.array([labels.index(n) for n in held.label])
            for name, net_of in (("known_renders_before", base), ("known_renders_after", final)):
                mean = mean_by_group(logits_of(net_of, held.windows), held.item)
                if name == "known_renders_before":
                    mean = mean[:, : len(judge.labels)]
                figures[name] = float((mean.argmax(axis=1) == target).mean())
        recipe = recipe_of(arguments, 1000 * 100)
        config_json = {
            "kind": "classifier", "name": "style-cnn-recordings",
            "summary": "Hears one of eleven styles in recordings; for research use (learned from CC BY-NC-SA clips)",
            "net": record["net"], "labels": list(labels), "front_end": config.to_dict(), "temperature": temperature,
            "provenance": {
                "from": {"name": record.get("name"), "sha256": weights_sha256(arguments.base)},
                "clips": {label: sum(r["label"] == label for r in rows) for label in labels},
                "artists": len({r["artist"] for r in rows}), "recipe": asdict(recipe), "soup": arguments.soup,
            },
        }  # fmt: skip
        save_checkpoint(arguments.out, final, config_json, card(figures, rows, labels))
    print(json.dumps({k: v for k, v in figures.items() if k != "cross_validation"}, indent=1, default=str))
    if arguments.json is not None:
        write_json(arguments.json, figures)


def card(figures: dict[str, Any], rows: Rows, labels: tuple[str, ...]) -> str:
    """The model card."""
    count = {n: sum(r["label"] == n for r in rows) for n in labels}
    counts = ", ".join(f"{c} {n}" for n, c in count.items() if c)
    found = figures.get("cross_validation")
    told = "Not cross-validated in this run.\n"
    warmth = (
        "was fitted on the cross-validated logits" if found else "is that of the checkpoint it began from"
    )
    if found:
        low, high = found["repeats"][0]["core_among_three_interval"]
        dealt = f"{len(found['repeats'])} x {figures['arguments']['folds']} folds"
        told = "\n".join((
            f"| cross-validated over artists ({dealt}) | right |", "|---|---|",
            f"| blues, electronic, jazz, among these three | {found['core_among_three']['mean']:.1%} "
            f"(95 % interval {low:.1%}-{high:.1%}) |",
            f"| the same clips, any of the eleven labels | {found['core_of_all_labels']['mean']:.1%} |",
            f"| all five labels of the clips, any of the eleven | {found['five_labels']['mean']:.1%} |",
            f"| MFCC + SVM on the same folds: blues, electronic, jazz | {found['mfcc_svm_core']['mean']:.1%} |", "",
        ))  # fmt: skip
    if "known_renders_after" in figures:
        told += (
            f"\nOn renders of validation titles: {figures['known_renders_before']:.1%} before, "
            f"{figures['known_renders_after']:.1%} after. For renders and MIDI use `style-cnn`.\n"
        )
    return f"""# style-cnn-recordings

`style-cnn` trained further on {len(rows)} labelled clips of recordings, with `electronic` as one more label.

**For research use.** The clips are under CC BY-NC-SA 4.0 (non-commercial, share alike) or of unstated terms (GTZAN), so
these weights are not under this repository's licence but CC BY-NC-SA 4.0. Nothing uses
them unless they are named: `melodygen classify --classifier FOLDER`.

It heard: {counts}; 10 or 30 s each, 8 kHz mono, from part of the Dortmund music data set (unsigned artists),
historic orchestral recordings of an archive, and GTZAN (metal as rock, classical). Its blues, electronic and jazz have
one source, so they are what that source calls so; classical and rock come from others, and may be told by their sound.
Folk, pop, ragtime, hymn, game and baroque it knows from renders alone. No clip is in this repository.

{told}
The temperature {warmth}, so the calibration on music from elsewhere is not known. Made by
`scripts/train_recordings.py` from `{figures["base"]}` ({figures["arguments"]["steps"]} steps, mean of
{figures["arguments"]["soup"]} runs).
"""


if __name__ == "__main__":
    main()
