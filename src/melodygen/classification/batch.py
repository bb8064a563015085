"""Classifies many files in worker processes: each decodes and scores by itself, so that every core does both.

Results come in the order of the files. A file that crashes a worker is tried again alone, and named if it does it
again; the rest goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import cast

from melodygen import registry
from melodygen.classification.recognizer import RecognitionOptions, TrackClassifier
from melodygen.classification.result import TrackError, TrackResult
from melodygen.contracts import StyleClassifier
from melodygen.errors import reason_of
from melodygen.nets.checkpoint import CONFIG, DEFAULT_CLASSIFIER
from melodygen.resources import models_dir

RECORDINGS_CLASSIFIER = "musicnn"
FILES_A_WORKER = 6
"""The process that is there is done with fewer sooner than one that must start first."""
AHEAD = 3

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
    executor = _executor(workers, spec)
    waiting: deque[tuple[Path, Future[TrackResult | TrackError]]] = deque()
    todo = iter(paths)
    try:
        while True:
            while len(waiting) < workers * AHEAD and (more := next(todo, None)) is not None:
                waiting.append((more, executor.submit(_classify_in_worker, more, options)))
            if not waiting:
                return
            path, future = waiting.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                _stop(executor)
                suspects = [path, *(p for p, _ in waiting)]
                waiting.clear()
                for suspect in suspects:
                    yield _classify_apart(suspect, options, spec)
                executor = _executor(workers, spec)
    finally:
        _stop(executor)


def _executor(workers: int, spec: str | None) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(spec,)
    )


def _start_worker(spec: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    import torch

    torch.set_num_threads(1)
    _recognizer.append(load_recognizer(spec))


def _classify_in_worker(path: Path, options: RecognitionOptions) -> TrackResult | TrackError:
    return classify_file(_recognizer[0], path, options)


def _classify_apart(path: Path, options: RecognitionOptions, spec: str | None) -> TrackResult | TrackError:
    executor = _executor(1, spec)
    try:
        return executor.submit(_classify_in_worker, path, options).result()
    except BrokenProcessPool:
        return TrackError(str(path), "the decoder crashed on this file")
    finally:
        _stop(executor)


def _stop(executor: ProcessPoolExecutor) -> None:
    processes = list((executor._processes or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


__all__ = ["RECORDINGS_CLASSIFIER", "classify_file", "classify_files", "default_workers", "load_recognizer"]
