"""The table of ``melodygen evaluate classifier``: a checkpoint as it is, baselines trained on the same tracks, what is
heard as music, and how much of it stays the same after changes that should not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from melodygen.classification.recording import MIN_MUSIC
from melodygen.errors import CorpusError
from melodygen.evaluation.baselines import TAGGER_NAME, cross_validated, has_sklearn, names_for
from melodygen.evaluation.folds import grouped_folds, grouped_interval
from melodygen.evaluation.labelled import ClassifiedItem, Item
from melodygen.evaluation.metrics import Report, report, softmax
from melodygen.evaluation.stability import CHANGES
from melodygen.styles.scores import StyleScores

WITHOUT_PROBABILITIES = ("SVM", "MFCC + SVM", TAGGER_NAME)
ALWAYS = ("MFCC + SVM", TAGGER_NAME)
"""Baselines that are shown unasked, where scikit-learn is there and the tracks allow it."""
AMONG = ", among these labels"
NO_MUSIC_LABELS = ("no music", "not music", "no_music", "not_music", "speech", "noise")
MUSIC_LABEL = "music"
"""Tracks with these labels are asked about music alone, not about a style."""


@dataclass(frozen=True, eq=False)
class Row:
    """``interval`` is a bootstrap over artists; ``is_probability`` is false for hard decisions."""

    report: Report
    interval: tuple[float, float]
    is_probability: bool


@dataclass(frozen=True)
class Share:
    """Of so many tracks, the share that is as it should be; ``interval`` is a bootstrap over artists."""

    num_tracks: int
    share: float
    interval: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Classifiers compared on labelled tracks: a summary line, a row by name, labels that no classifier knows, and by
    name the shares that are heard as music or keep their verdict."""

    told: str
    reports: dict[str, Row]
    unknown: tuple[str, ...]
    shares: dict[str, Share] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as JSON holds it."""
        return {
            "told": self.told,
            "labels_unknown_to_the_classifier": list(self.unknown),
            "results": {name: _to_dict(row) for name, row in self.reports.items()},
            "shares": {
                name: {
                    "tracks": found.num_tracks,
                    "share": round(found.share, 4),
                    "interval": [round(v, 4) for v in found.interval],
                }
                for name, found in self.shares.items()
            },
        }


def _to_dict(row: Row) -> dict[str, Any]:
    found = row.report
    there = [i for i, n in enumerate(found.confusion.sum(axis=1)) if n]
    return {
        "tracks": found.num_items,
        "accuracy": round(found.accuracy, 4),
        "interval": [round(v, 4) for v in row.interval],
        "balanced_accuracy": round(found.balanced_accuracy, 4),
        "macro_precision": round(float(np.mean([found.precision[i] for i in there])), 4),
        "macro_recall": round(float(np.mean([found.recall[i] for i in there])), 4),
        "macro_f1": round(found.macro_f1, 4),
        "calibration_error": round(found.calibration_error, 4) if row.is_probability else None,
        "labels": {
            found.labels[i]: {
                "tracks": int(found.confusion[i].sum()), "precision": round(float(found.precision[i]), 4),
                "recall": round(float(found.recall[i]), 4), "f1": round(float(found.f1[i]), 4),
                "heard_as": {found.labels[j]: int(n) for j, n in enumerate(found.confusion[i]) if n},
            }
            for i in there
        },
    }  # fmt: skip


def check_labels(labels: Iterable[str]) -> None:
    """Raises CorpusError for one style alone: nothing could be told from it."""
    names = set(labels)
    if len(names) == 1 and not names & {*NO_MUSIC_LABELS, MUSIC_LABEL}:
        raise CorpusError(f"all tracks are labelled {names.pop()!r}; at least two labels are needed")


def evaluate_labelled(
    heard: Sequence[ClassifiedItem],
    baselines: bool,
    folds: int,
    seed: int,
    progress: Callable[[str, float], None] | None = None,
) -> Evaluation:
    """Raises CorpusError for fewer than two labels, labels the classifier knows none of, or fewer artists than folds
    when baselines are wanted."""
    everything = _with_known_spelling(heard)
    shares = _music_shares(everything) | _kept_shares(everything)
    heard = [h for h in everything if h.item.label not in (*NO_MUSIC_LABELS, MUSIC_LABEL)]
    names = sorted({h.item.label for h in heard})
    check_labels(h.item.label for h in everything)
    reports = _verdict_rows(heard, names) | _classifier_rows(heard, names)
    known = {label for h in heard for label in h.classifier.labels}
    known |= {label for h in heard if h.said is not None for label in h.said.labels}
    if not reports and not baselines and len(heard) == len(everything):
        raise CorpusError(
            f"the classifier knows none of the labels {', '.join(names)}; it knows {', '.join(sorted(known))}"
        )
    unknown = tuple(n for n in names if n not in known)
    if len(names) > 1:
        reports |= _cross_validated_rows(heard, baselines, folds, seed, progress)
    groups = {h.item.group for h in everything}
    told = f"{len(everything)} tracks of {len(names)} labels and {len(groups)} artists or titles"
    if unknown:
        told += f"; the classifier does not know {', '.join(unknown)}: it is not asked about those"
    return Evaluation(told, reports, unknown, shares)


def _classifier_rows(heard: Sequence[ClassifiedItem], names: Sequence[str]) -> dict[str, Row]:
    """What each classifier that works by windows is worth: of all its labels, and of those of the tracks. It is called
    "alone" where ``classify`` does not leave a track to it."""
    reports: dict[str, Row] = {}
    for classifier in sorted(
        {id(h.classifier): h.classifier for h in heard}.values(), key=lambda j: j.classifier_id
    ):
        mine = [h for h in heard if h.classifier is classifier and h.item.label in classifier.labels]
        if not mine:
            continue
        targets = np.array([classifier.labels.index(h.item.label) for h in mine], dtype=np.int64)
        logits = np.stack([h.logits.mean(axis=0) for h in mine]) / classifier.temperature
        inside = np.isin(classifier.labels, names)
        owners = [h.item.group for h in mine]
        name = classifier.classifier_id + (" alone" if any(h.said is not None for h in mine) else "")
        for told, values in (("", logits), (AMONG, np.where(inside, logits, -1e9))):
            found = report(softmax(values), targets, classifier.labels)
            right = values.argmax(axis=1) == targets
            reports[name + told] = Row(found, grouped_interval(right, owners), True)
    return reports


def _cross_validated_rows(
    heard: Sequence[ClassifiedItem],
    baselines: bool,
    folds: int,
    seed: int,
    progress: Callable[[str, float], None] | None,
) -> dict[str, Row]:
    """Models that learned from the tracks of the other folds: all of them, or those of ``ALWAYS`` that these tracks
    allow. Raises CorpusError where all are wanted and there are fewer artists than folds."""
    groups = [h.item.group for h in heard]
    names = sorted({h.item.label for h in heard})
    if len(set(groups)) < folds:
        if baselines:
            raise CorpusError(
                f"{len(set(groups))} artists cannot be dealt to {folds} folds; give fewer --folds"
            )
        return {}
    targets = np.array([names.index(h.item.label) for h in heard], dtype=np.int64)
    fold = grouped_folds(groups, targets, folds, seed)
    can_learn = all(len(np.unique(targets[fold != f])) > 1 for f in range(folds))
    chosen = [name for name in names_for(heard) if baselines or name in ALWAYS]
    if not baselines and not (can_learn and has_sklearn()):
        return {}
    rows = {}
    for number, name in enumerate(chosen):
        if progress is not None:
            progress(name, number / len(chosen))
        probabilities = cross_validated(name, heard, targets, fold, len(names), seed)
        right = probabilities.argmax(axis=1) == targets
        is_probability = name not in WITHOUT_PROBABILITIES
        found = report(probabilities, targets, names)
        rows[f"{name} (cross-validated)"] = Row(found, grouped_interval(right, groups), is_probability)
    return rows


def _music_shares(heard: Sequence[ClassifiedItem]) -> dict[str, Share]:
    """How much of the music is heard as music, and how much of what is labelled no music is told."""
    asked = [
        (h.item, h.tags.music >= MIN_MUSIC) for h in heard if h.tags is not None and h.tags.music is not None
    ]
    sides = {
        "music, heard as music": [(item, said) for item, said in asked if item.label not in NO_MUSIC_LABELS],
        "no music, told": [(item, not said) for item, said in asked if item.label in NO_MUSIC_LABELS],
    }
    return {name: _share(rows) for name, rows in sides.items() if rows}


def _kept_shares(heard: Sequence[ClassifiedItem]) -> dict[str, Share]:
    """How many verdicts stay what they were after each change."""
    shares = {}
    for name in CHANGES:
        rows = [
            (h.item, h.after[name] == h.tags.styles.top(1)[0][0])
            for h in heard
            if h.tags is not None and name in h.after and h.item.label not in NO_MUSIC_LABELS
        ]
        if rows:
            shares[f"verdict kept: {name}"] = _share(rows)
    return shares


def _share(rows: Sequence[tuple[Item, bool]]) -> Share:
    right = np.array([good for _, good in rows], dtype=np.bool_)
    return Share(len(rows), float(right.mean()), grouped_interval(right, [item.group for item, _ in rows]))


def _verdict_rows(heard: Sequence[ClassifiedItem], names: Sequence[str]) -> dict[str, Row]:
    """What the verdicts of ``classify`` are worth that are not those of a classifier by windows alone: of all styles,
    and of those that are among the labels. Each source of verdicts has its rows."""
    rows: dict[str, Row] = {}
    said = [(h.item, h.said) for h in heard if h.said is not None]
    for source in sorted({scores.classifier_id for _, scores in said}):
        mine = [(item, scores) for item, scores in said if scores.classifier_id == source]
        rows |= _rows_of(source, mine, names)
    return rows


def _rows_of(source: str, said: Sequence[tuple[Item, StyleScores]], names: Sequence[str]) -> dict[str, Row]:
    """A style that is no label here counts for the one it is part of."""
    styles = said[0][1]
    labels = tuple(label for label in styles.labels if label in names or label not in styles.part_of)
    mine = [(item, scores) for item, scores in said if item.label in labels]
    if not mine:
        return {}
    to_label = np.array([[style == x or (style not in labels and styles.part_of.get(style) == x) for x in labels]
                         for style in styles.labels], dtype=np.float64)  # fmt: skip
    probabilities = np.stack([scores.probabilities for _, scores in mine]) @ to_label
    targets = np.array([labels.index(item.label) for item, _ in mine], dtype=np.int64)
    owners = [item.group for item, _ in mine]
    inside = np.isin(labels, names)
    rows = {}
    for told, kept in (("", probabilities), (AMONG, np.where(inside, probabilities, 0.0))):
        values = kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12)
        interval = grouped_interval(values.argmax(axis=1) == targets, owners)
        rows[source + told] = Row(report(values, targets, labels), interval, True)
    return rows


def _with_known_spelling(heard: Sequence[ClassifiedItem]) -> list[ClassifiedItem]:
    """The items with labels spelt as their classifier spells them: Jazz is jazz."""
    spelt = []
    for one in heard:
        both = (*one.classifier.labels, *(one.said.labels if one.said is not None else ()))
        known = {label.casefold(): label for label in (*both, *NO_MUSIC_LABELS, MUSIC_LABEL)}
        label = known.get(one.item.label.strip().casefold(), one.item.label)
        spelt.append(replace(one, item=replace(one.item, label=label)))
    return spelt


__all__ = ["Evaluation", "Row", "Share", "evaluate_labelled"]
