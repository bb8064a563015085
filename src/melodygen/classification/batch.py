"""Classifies many files in worker processes: each decodes and scores by itself, so that every core does both.

Results come in the order of the files. A file that crashes a worker is tried again alone, and named if it does it
again; the rest goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from melodygen import registry
from melodygen.classification.recognizer import RecognitionOptions, TrackClassifier
from melodygen.classification.result import TrackError, TrackResult
from melodygen.contracts import StyleClassifier
from melodygen.errors import reason_of
from melodygen.nets.checkpoint import CONFIG, DEFAULT_CLASSIFIER
from melodygen.resources import models_dir
from melodygen.worker_pool import in_processes

RECORDINGS_CLASSIFIER = "musicnn"
FILES_A_WORKER = 6
"""The process that is there is done with fewer sooner than one that must start first."""

_recognizer: list[TrackClassifier] = []
"""Of a worker process, made when it starts."""


def load_recognizer(spec: str | None = None) -> TrackClassifier:
    """``spec``: a checkpoint or plug-in for everything; None takes the shipped one that fits the kind of file."""
    if spec is not None:
        classifier = _load(spec)
        return TrackClassifier(classifier, classifier)
    renders = _load(DEFAULT_CLASSIFIER)
    is_there = (models_dir() / RECORDINGS_CLASSIFIER / CONFIG).is_file()
    return TrackClassifier(_load(RECORDINGS_CLASSIFIER) if is_there else renders, renders)


def _load(spec: str) -> StyleClassifier:
    return cast(StyleClassifier, registry.load_model("classifiers", spec))


def default_workers(num_files: int) -> int:
    """Return the default number of processes: one a core, where there are enough files."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, num_files // FILES_A_WORKER))


def classify_file(
    recognizer: TrackClassifier, path: Path, options: RecognitionOptions
) -> TrackResult | TrackError:
    """Every failure becomes a line: nothing that a file holds may stop a batch."""
    try:
        return recognizer.classify(path, options)
    except Exception as error:
        return TrackError(str(path), reason_of(error, path.name))


def classify_files(
    paths: Sequence[Path],
    options: RecognitionOptions,
    spec: str | None,
    workers: int,
    recognizer: TrackClassifier | None = None,
) -> Iterator[TrackResult | TrackError]:
    """A TrackResult or TrackError a path, in their order. With one worker ``recognizer`` does it here."""
    if workers <= 1:
        here = recognizer or load_recognizer(spec)
        for path in paths:
            yield classify_file(here, path, options)
        return
    work = partial(_classify_in_worker, options=options)
    yield from in_processes(paths, work, workers, _start_worker, (spec,), _crashed, in_order=True)


def _start_worker(spec: str | None) -> None:
    import torch

    torch.set_num_threads(1)
    _recognizer.append(load_recognizer(spec))


def _classify_in_worker(path: Path, options: RecognitionOptions) -> TrackResult | TrackError:
    return classify_file(_recognizer[0], path, options)


def _crashed(path: Path) -> TrackError:
    return TrackError(str(path), "the decoder crashed on this file")


__all__ = ["RECORDINGS_CLASSIFIER", "classify_file", "classify_files", "default_workers", "load_recognizer"]
