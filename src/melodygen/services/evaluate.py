"""Measures a classifier on labelled tracks, and lays a collection out as a map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melodygen.classification.batch import load_recognizer
from melodygen.classification.cnn import load_classifier
from melodygen.classification.recognizer import TrackClassifier
from melodygen.classification.result import TrackError
from melodygen.classification.scoring import window_classifier
from melodygen.classification.tagger import Tagger
from melodygen.errors import CorpusError, UsageError
from melodygen.evaluation.collection_map import Layout, collection_items, lay_out, write_map
from melodygen.evaluation.comparison import Evaluation, check_labels, evaluate_labelled
from melodygen.evaluation.labelled import ClassifiedItem, Item, classify_labelled, read_labelled
from melodygen.evaluation.metrics import plot_confusion
from melodygen.generation.loop import ProgressCallback
from melodygen.nets.checkpoint import DEFAULT_CLASSIFIER
from melodygen.services.output import check_writable

MIN_MAP_TRACKS = 4
CHANGED_TRACKS = 200
"""Of more tracks, so many at most are heard again after changes."""
MAX_STAGE_LETTERS = 20
"""The column of the progress line."""


@dataclass(frozen=True)
class EvaluateRequest:
    """What ``melodygen evaluate classifier`` is asked for. ``folds``: of the cross-validation of the baselines;
    ``changes``: whether recordings are also heard with silence around them, at another level and in part."""

    folder: Path
    classifier: str | None = None
    baselines: bool = False
    folds: int = 5
    seed: int = 0
    plot: Path | None = None
    force: bool = False
    changes: bool = True


@dataclass(frozen=True, eq=False)
class EvaluateResult:
    """``failed``: tracks that could not be read, and why."""

    folder: str
    evaluation: Evaluation
    failed: Sequence[TrackError]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        failed = [failure.to_dict() for failure in self.failed]
        return self.evaluation.to_dict() | {"folder": self.folder, "failed": failed}


@dataclass(frozen=True)
class MapRequest:
    """What ``melodygen map`` is asked for. ``clusters`` None: as many as there are labels."""

    folder: Path
    out: Path = Path("map.html")
    clusters: int | None = None
    classifier: str | None = None
    seed: int = 0
    force: bool = False


@dataclass(frozen=True, eq=False)
class MapResult:
    """``failed``: tracks that could not be read, and why."""

    out: str
    layout: Layout
    num_tracks: int
    failed: Sequence[TrackError]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self.layout.to_dict() | {"out": self.out, "failed": [f.to_dict() for f in self.failed]}


def evaluate(asked: EvaluateRequest, progress: ProgressCallback) -> EvaluateResult:
    """Accuracy, F1, confusion and calibration, with intervals. Raises CorpusError where no track can be read."""
    check_writable([asked.plot] if asked.plot is not None else [], asked.force)
    items = read_labelled(asked.folder)
    check_labels(item.label for item in items)  # before all of them are heard
    num_changed = CHANGED_TRACKS if asked.changes else 0
    classified, failed = _classified(items, _measured(asked.classifier), progress, num_changed)
    if not classified:
        raise CorpusError(f"{asked.folder}: none of {len(items)} tracks can be heard{_first_reason(failed)}")
    evaluation = evaluate_labelled(
        classified,
        asked.baselines,
        asked.folds,
        asked.seed,
        lambda stage, done: progress(stage[:MAX_STAGE_LETTERS], done),
    )
    if asked.plot is not None and evaluation.reports:
        first = next(iter(evaluation.reports))
        plot_confusion(asked.plot, evaluation.reports[first].report, first)
    return EvaluateResult(str(asked.folder), evaluation, failed)


def map_collection(asked: MapRequest, progress: ProgressCallback) -> MapResult:
    """Lay a collection out in two dimensions and write it. Raises CorpusError for fewer than four tracks,
    ClassifierError for a classifier that does not work by windows."""
    if asked.out.suffix.lower() not in (".html", ".png"):
        raise UsageError(f"--out {asked.out}: give a name that ends in .html or .png")
    check_writable([asked.out], asked.force)
    items = collection_items(asked.folder)
    recognizer = load_recognizer(asked.classifier or DEFAULT_CLASSIFIER)
    window_classifier(recognizer.for_renders)  # before all of them are read
    classified, failed = _classified(items, recognizer, progress)
    if len(classified) < MIN_MAP_TRACKS:
        raise CorpusError(
            f"{asked.folder}: {len(classified)} tracks can be heard; a map needs at least {MIN_MAP_TRACKS}"
            + _first_reason(failed)
        )
    progress("laying out", 0.9)
    layout = lay_out(classified, asked.clusters, asked.seed)
    write_map(asked.out, layout, asked.folder.resolve().name, asked.force)
    return MapResult(str(asked.out), layout, len(classified), failed)


def _measured(classifier: str | None) -> TrackClassifier:
    """What is named; a tagger with the shipped style CNN beside it, which the baselines need."""
    named = load_recognizer(classifier)
    if not isinstance(named.for_renders, Tagger):
        return named
    return TrackClassifier(named.for_recordings, named.for_renders, by_windows=load_classifier())


def _classified(
    items: Sequence[Item], recognizer: TrackClassifier, progress: ProgressCallback, num_changed: int = 0
) -> tuple[list[ClassifiedItem], list[TrackError]]:
    count = len(items)
    on_item: Callable[[int], None] = lambda n: progress(f"classifying {n}/{count}", n / count)  # noqa: E731
    return classify_labelled(items, recognizer, on_item, num_changed)


def _first_reason(failed: Sequence[TrackError]) -> str:
    return f"; {failed[0].path}: {failed[0].reason}" if failed else ""
