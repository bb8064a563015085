"""Teaching the tagger of recordings a user's own styles: a logistic regression on what both of its nets make of a file.

Files are heard as ``classify`` hears them, MIDI and scores as renders. How right the head is, how sure it may be and
from which probability on it gives a verdict is told by folds that never cut through an artist
(``evaluation.labelled`` says how artists are known). The logits of tags beside the embeddings gained nothing on
labelled clips (docs/hearing.md).
"""

from __future__ import annotations

import json
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from melodygen.classification.batch import default_workers
from melodygen.classification.recognizer import TrackClassifier
from melodygen.classification.recording import MIN_MUSIC
from melodygen.classification.style_head import HEAD_NET, INPUTS
from melodygen.classification.symbolic import is_symbolic
from melodygen.classification.tagger import Tagger
from melodygen.classification.taxonomy import UNSURE_BELOW
from melodygen.errors import CorpusError, reason_of
from melodygen.evaluation.folds import grouped_interval
from melodygen.evaluation.labelled import Item, read_labelled
from melodygen.evaluation.metrics import report, softmax
from melodygen.nets.checkpoint import CONFIG, save_checkpoint, weights_sha256
from melodygen.nets.linear_head import LinearHead
from melodygen.resources import models_dir
from melodygen.training.classifier.logistic import Logistic, Tested, best_penalty, cross_validated, fit_path
from melodygen.training.classifier.trainer import fit_temperature
from melodygen.training.generator.fine_tuning import Watcher
from melodygen.worker_pool import in_processes

Floats = NDArray[np.float64]
Targets = NDArray[np.int64]

MIN_FILES = 3
"""Of a label: fewer cannot be learned from and tested on."""
MAX_LABEL = 80
"""Characters of a label, which stands in lines and columns of a terminal."""
UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories of control characters, bytes that are not UTF-8, and breaks of lines."""
TAKEN_LABELS = ("unsure", "not music")
"""What a verdict says where it names no style."""
FEW_FILES = 30
"""Fewer tested files give a rough figure."""
SURE_AIM = 0.9
"""Share of verdicts that shall be right where one is given, as with the tagger's own styles."""
MOST_UNSURE = 0.25
"""Share of files that may be without a verdict for that aim."""


@dataclass(frozen=True, eq=False)
class HeardItem:
    """A labelled file: ``embedding`` (400,) of both nets, and the probability that it is music, if that is known."""

    item: Item
    embedding: Floats
    music: float | None


@dataclass(frozen=True, eq=False)
class Fitted:
    """A head and what it is worth: ``figures`` as they are reported, and kept in the checkpoint."""

    head: Logistic
    temperature: float
    unsure_below: float
    figures: dict[str, Any]


def train_style_head(folder: Path, out: Path, tagger: Path, seed: int, watcher: Watcher) -> dict[str, Any]:
    """Learn the labels of a folder and write the checkpoint.

    Args:
        folder: sub-folders named by label, or ``labels.csv``.
        out: the checkpoint folder.
        tagger: the folder of the tagger that the head rests on.
        seed: of the folds and the bootstrap.
        watcher: is told how far it is.

    Returns:
        The figures, and the files that were not used with the reasons.

    Raises:
        CorpusError: fewer than two labels, a label with too few files, labels that differ in case alone or cannot
            be shown.
        CheckpointError: the tagger is broken.
    """
    items = read_labelled(folder)
    _check_labels(folder, items)
    told = f"{len(items)} files of {len({i.label for i in items})} labels"
    watcher.say(f"{told}; hearing them with {tagger.name}")
    heard, rejected = [], []
    for found in _heard(items, tagger, watcher):
        if isinstance(found, HeardItem):
            heard.append(found)
        else:
            item, reason = found
            rejected.append({"file": _name(item.path, folder), "reason": reason})
    kept, left_out = _with_enough(folder, items, heard, rejected)
    watcher.stage("learning", 0.0)
    fitted = fit(kept, seed, watcher)
    figures = fitted.figures
    figures["left_out"] = left_out
    if left_out:
        figures["notes"].insert(
            0, f"left out, because fewer than {MIN_FILES} of their files can be heard: {', '.join(left_out)}"
        )
    record = _record(out, tagger, fitted, seed)
    save_checkpoint(out, _net(fitted.head), record, card(record, tagger.name), half=False)
    return {**figures, "rejected": rejected}


def fit(heard: Sequence[HeardItem], seed: int, watcher: Watcher) -> Fitted:
    """Fit a head to files of two labels or more, and test it on artists that it did not learn from."""
    labels = sorted({h.item.label for h in heard})
    targets = np.array([labels.index(h.item.label) for h in heard], dtype=np.int64)
    groups = [h.item.group for h in heard]
    rows = np.stack([h.embedding for h in heard])
    tested = cross_validated(
        rows, targets, groups, len(labels), seed, lambda done: watcher.stage("learning", done)
    )
    penalty = best_penalty(rows, targets, groups, len(labels), seed)
    head = fit_path(rows, targets, len(labels), (penalty,))[0]
    kept = tested.is_tested
    untested = [name for i, name in enumerate(labels) if not (kept & (targets == i)).any()]
    figures: dict[str, Any] = {
        "labels": labels,
        "files_by_label": {name: int((targets == i).sum()) for i, name in enumerate(labels)},
        "files": len(heard),
        "groups": len(set(groups)),
        "penalty": penalty,
        "untested": untested,
    }
    temperature, unsure_below = 1.0, UNSURE_BELOW
    if len(labels) - len(untested) > 1:
        temperature = fit_temperature(tested.logits[kept].astype(np.float32), targets[kept])
        probabilities = softmax(tested.logits[kept] / temperature)
        right = probabilities.argmax(axis=1) == targets[kept]
        unsure_below = unsure_threshold(probabilities.max(axis=1), right, len(labels))
        figures |= _measured(tested, targets, groups, labels, temperature, unsure_below, seed)
    else:
        figures |= {
            "tested": 0,
            "told": f"learned from {len(heard)} files; no figure can be had, because the files of "
            f"{', '.join(untested)} are all of one artist or folder",
        }
    figures |= {"temperature": round(temperature, 4), "unsure_below": unsure_below}
    figures["notes"] = _notes(heard, figures)
    return Fitted(head, temperature, unsure_below, figures)


def unsure_threshold(top: Floats, right: NDArray[np.bool_], num_labels: int) -> float:
    """Return the probability of the likeliest label below which no verdict is given.

    It is the least of a grid from which on ``SURE_AIM`` of the verdicts are right; where that would leave more than
    ``MOST_UNSURE`` of the files without one, the greatest that does not.

    Args:
        top: (N,) probability of the likeliest label, of files that were not learned from.
        right: (N,) whether that was the label.
        num_labels: with two, the likeliest has at least a half, so the grid begins higher.
    """
    least = max(UNSURE_BELOW, 1 / num_labels + 0.1)
    chosen = least
    for threshold in np.round(np.arange(least, 0.901, 0.05), 2).tolist():
        sure = top >= threshold
        if 1 - sure.mean() > MOST_UNSURE:
            break
        chosen = threshold
        if right[sure].mean() >= SURE_AIM:
            break
    return round(float(chosen), 2)


def _measured(
    tested: Tested,
    targets: Targets,
    groups: Sequence[str],
    labels: Sequence[str],
    temperature: float,
    unsure_below: float,
    seed: int,
) -> dict[str, Any]:
    """The figures of the folds."""
    kept = np.flatnonzero(tested.is_tested)
    owners = [groups[int(i)] for i in kept]
    probabilities = softmax(tested.logits[kept] / temperature)
    found = report(probabilities, targets[kept], labels)
    right = probabilities.argmax(axis=1) == targets[kept]
    sure = probabilities.max(axis=1) >= unsure_below
    low, high = grouped_interval(right, owners, seed)
    there = [i for i, n in enumerate(found.confusion.sum(axis=1)) if n]
    return {
        "tested": len(kept),
        "accuracy": round(found.accuracy, 4),
        "interval": [round(low, 4), round(high, 4)],
        "balanced_accuracy": round(found.balanced_accuracy, 4),
        "calibration_error": round(found.calibration_error, 4),
        "recall": {labels[i]: round(float(found.recall[i]), 4) for i in there},
        "heard_as": {
            labels[i]: {labels[j]: int(n) for j, n in enumerate(found.confusion[i]) if n} for i in there
        },
        "unsure": {
            "share": round(float(1 - sure.mean()), 4),
            "right": round(float(right[~sure].mean()), 4) if not sure.all() else None,
            "sure_right": round(float(right[sure].mean()), 4) if sure.any() else None,
        },
        "told": f"right on {found.accuracy:.1%} ({low:.0%}-{high:.0%}) of {len(kept)} files, each judged by a head "
        "that learned from none of its artist or folder",
    }


def _notes(heard: Sequence[HeardItem], figures: dict[str, Any]) -> list[str]:
    """What somebody who reads the figures must know."""
    notes = []
    if figures["untested"] and figures["tested"]:
        notes.append(
            f"not in the figures, because all their files are of one artist or folder: "
            f"{', '.join(figures['untested'])}"
        )
    if figures["groups"] == figures["files"]:
        notes.append(
            "no artists are known: where several files are of one artist, the figures are too good; name artists in "
            "labels.csv (path,label,artist), or make a sub-folder for each"
        )
    if 0 < figures["tested"] < FEW_FILES:
        notes.append(f"{figures['tested']} files are few: the figures are rough")
    doubted = sum(h.music is not None and h.music < MIN_MUSIC for h in heard if not is_symbolic(h.item.path))
    if doubted:
        notes.append(f"{doubted} files are heard as speech or noise: classify names no style for such")
    notes += _copies(heard)
    kinds: dict[str, set[bool]] = {}
    for h in heard:
        kinds.setdefault(h.item.label, set()).add(is_symbolic(h.item.path))
    if {True} in kinds.values() and {False} in kinds.values():
        notes.append(
            "some labels have recordings alone, others MIDI or scores alone: the figures may be of telling renders "
            "from recordings"
        )
    return notes


def _copies(heard: Sequence[HeardItem]) -> list[str]:
    """Notes on files that are heard exactly as another one: under two labels, or where folds part them."""
    same: dict[bytes, list[HeardItem]] = {}
    for h in heard:
        same.setdefault(h.embedding.tobytes(), []).append(h)
    notes = []
    torn = [hs for hs in same.values() if len({h.item.label for h in hs}) > 1]
    if torn:
        named = f"{torn[0][0].item.path.name} ({', '.join(sorted({h.item.label for h in torn[0]}))})"
        notes.append(
            f"{len(torn)} recordings stand under more than one label, such as {named}: keep each under one label"
        )
    parted = sum(len(hs) - 1 for hs in same.values() if len({h.item.group for h in hs}) > 1)
    if parted > sum(len(hs) - 1 for hs in torn):
        notes.append(
            f"{parted} files are copies of one under another artist or folder, from which the figures are too good: "
            "take the copies away"
        )
    return notes


def _check_labels(folder: Path, items: Sequence[Item]) -> None:
    """Raise CorpusError for what can be known before hours of hearing."""
    counts = Counter(item.label for item in items)
    for label in sorted(counts):
        if any(unicodedata.category(c) in UNPRINTABLE for c in label):
            raise CorpusError(
                f"{folder}: the label {label!a} holds characters that cannot be shown or are not UTF-8; rename it"
            )
        if len(label) > MAX_LABEL:
            raise CorpusError(
                f"{folder}: the label {label[:20]!r}… has {len(label)} characters, more than {MAX_LABEL}; shorten it"
            )
        if label.casefold() in TAKEN_LABELS:
            raise CorpusError(
                f"{folder}: the label {label!r} is what classify says where it names no style; rename it"
            )
    by_case: dict[str, str] = {}
    for label in sorted(counts):
        other = by_case.setdefault(label.casefold(), label)
        if other != label:
            raise CorpusError(
                f"{folder}: the labels {other!r} and {label!r} differ in case alone; make them one"
            )
    if len(counts) < 2:
        raise CorpusError(
            f"{folder}: all files are labelled {next(iter(counts))!r}; at least two labels are needed, each in a "
            "folder of its own or in labels.csv"
        )
    short = [f"{label} ({n})" for label, n in sorted(counts.items()) if n < MIN_FILES]
    if short:
        raise CorpusError(
            f"{folder}: too few files: {', '.join(short)}; each label needs at least {MIN_FILES}: add some, or take "
            "the label away"
        )


def _with_enough(
    folder: Path, items: Sequence[Item], heard: Sequence[HeardItem], rejected: Sequence[dict[str, str]]
) -> tuple[list[HeardItem], list[str]]:
    """Files of labels that have enough of them, and the labels that have not. Raises CorpusError for fewer than two."""
    counts = Counter(h.item.label for h in heard)
    kept = [h for h in heard if counts[h.item.label] >= MIN_FILES]
    if len({h.item.label for h in kept}) < 2:
        reasons = "; ".join(f"{r['file']}: {r['reason']}" for r in rejected[:4])
        raise CorpusError(
            f"{folder}: fewer than two labels have {MIN_FILES} files that can be heard"
            + (f"; {reasons}" if reasons else "")
        )
    return kept, sorted({i.label for i in items if counts[i.label] < MIN_FILES})


def _heard(items: Sequence[Item], tagger: Path, watcher: Watcher) -> Iterator[HeardItem | tuple[Item, str]]:
    """Each file as the tagger hears it, or why it cannot be heard, in order; on all cores where there are many."""
    workers = default_workers(len(items))
    started = time.monotonic()
    if workers > 1:
        found: Iterator[HeardItem | tuple[Item, str]] = in_processes(
            items, _hear_there, workers, _begin, (tagger,), _crashed, in_order=True
        )
    else:
        here = _ears(tagger)
        found = (_hear(here, item) for item in items)
    for number, one in enumerate(found, 1):
        left = (time.monotonic() - started) / number * (len(items) - number)
        text = f"hearing {number}/{len(items)}"
        if number >= 2 * workers:
            text += f", {int(left) // 60}:{int(left) % 60:02} left"
        watcher.stage(text, number / len(items))
        yield one


def _ears(tagger: Path) -> TrackClassifier:
    loaded = Tagger.from_folder(tagger)
    return TrackClassifier(loaded, loaded)


def _hear(ears: TrackClassifier, item: Item) -> HeardItem | tuple[Item, str]:
    """Nothing that a file holds may stop the others."""
    try:
        outputs = ears.tagger_outputs(item.path)
    except Exception as error:
        return item, reason_of(error, item.path.name)
    tagger = ears.for_recordings
    assert isinstance(tagger, Tagger)
    return HeardItem(item, tagger.both_embeddings(outputs), tagger.summary(outputs).music)


_here: list[TrackClassifier] = []
"""Of a worker process, made when it starts."""


def _begin(tagger: Path) -> None:
    torch.set_num_threads(1)
    _here.append(_ears(tagger))


def _hear_there(item: Item) -> HeardItem | tuple[Item, str]:
    return _hear(_here[0], item)


def _crashed(item: Item) -> HeardItem | tuple[Item, str]:
    return item, "the decoder crashed on this file"


def _name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _net(head: Logistic) -> LinearHead:
    net = LinearHead(INPUTS, len(head.bias))
    tensors = {
        "mean": head.mean,
        "scale": head.scale,
        "linear.weight": head.weights,
        "linear.bias": head.bias,
    }
    net.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in tensors.items()})
    return net


def _record(out: Path, tagger: Path, fitted: Fitted, seed: int) -> dict[str, Any]:
    """The config of the checkpoint. The tagger is named; one outside the models folder by its path."""
    labels = fitted.figures["labels"]
    is_listed = (
        models_dir() / tagger.name / CONFIG
    ).is_file() and tagger.resolve().parent == models_dir().resolve()
    return {
        "kind": "classifier",
        "name": out.resolve().name,
        "summary": f"Hears {', '.join(labels)} in recordings (a head on {tagger.name})",
        "net": {"type": HEAD_NET, "inputs": INPUTS},
        "labels": labels,
        "temperature": fitted.temperature,
        "unsure_below": fitted.unsure_below,
        "tagger": {
            "checkpoint": tagger.name if is_listed else str(tagger.resolve()),
            "sha256": weights_sha256(tagger),
        },
        "provenance": {"melodygen": version("melodygen"), "seed": seed, "figures": fitted.figures},
    }


def card(record: dict[str, Any], tagger: str) -> str:
    """The model card."""
    figures = record["provenance"]["figures"]
    recall, heard_as = figures.get("recall", {}), figures.get("heard_as", {})
    rows = ""
    for label, count in figures["files_by_label"].items():
        share = f"{recall[label]:.0%}" if label in recall else "–"
        others = ", ".join(f"{other} {n}" for other, n in heard_as.get(label, {}).items() if other != label)
        rows += f"| {label} | {count} | {share} | {others} |\n"
    more = ""
    if figures["tested"]:
        unsure = figures["unsure"]
        more = (
            f" Balanced over labels: {figures['balanced_accuracy']:.1%}; calibration error "
            f"{figures['calibration_error']:.3f}. Below a probability of {record['unsure_below']:g} the verdict is "
            f'"unsure": {unsure["share"]:.0%} of these files.'
        )
    notes = "".join(f"- {note}\n" for note in figures["notes"])
    return f"""# {record["name"]}

{record["summary"]}. Written by melodygen {version("melodygen")}; this card is the program's, from what it measured.

    melodygen classify FILES --classifier FOLDER

Learned from {figures["files"]} files of {len(figures["labels"])} labels, {figures["groups"]} artists or folders: a
logistic regression on the embeddings of both nets of {tagger}, penalty {figures["penalty"]:g}. The tagger is not in
this folder.

Measured: {figures["told"]}.{more}

| label | files | right | taken for |
|---|---|---|---|
{rows}
{notes}
The terms of the recordings that it learned from hold for this checkpoint: pass it on only where they allow that.

```json
{json.dumps(record["provenance"], indent=1)}
```
"""


__all__ = ["MIN_FILES", "Fitted", "HeardItem", "fit", "train_style_head", "unsure_threshold"]
