"""Writers of phrases, and the worker that runs one beside the thread that plays.

A writer is any object with the methods of ``Writer``; ``ModelWriter``, the loop over models, is one. The
thread that plays never writes: a ``Worker`` runs the writer ahead of the playhead.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol, TypeVar

from melodygen.contracts import Generator, Renderer, StyleClassifier
from melodygen.engine.phrase import Phrase
from melodygen.errors import MelodygenError, UsageError
from melodygen.generation.loop import compose
from melodygen.music.units import bar_quarters
from melodygen.rendering.deferred import DeferredRenderer
from melodygen.request import Request

T = TypeVar("T")


@dataclass(frozen=True)
class PhraseRequest:
    """A task for a writer.

    Attributes:
        request: what to write.
        seed: seed of the phrase.
        candidates: number of candidates in a round.
        min_style: style probability that is good enough.
        max_rounds: largest number of rounds.
        purpose: what the phrase is for.
        version: state of the parameters for which it was requested.
        quick: it has to begin now: one candidate, not classified.
        posted: when the worker got it, in samples of the host.
    """

    request: Request
    seed: int
    candidates: int = 1
    min_style: float = 0.0
    max_rounds: int = 1
    purpose: str = "next"
    version: int = 0
    quick: bool = False
    posted: int = 0

    @property
    def quarters(self) -> float:
        """Length in quarters, where the meter is the requested one."""
        beats, unit = self.request.meter or (4, 4)
        return self.request.bars * bar_quarters(beats, unit)


class Writer(Protocol):
    """Writes one phrase for a task. It may take long and may raise; one thread calls it at a time."""

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles that it knows."""
        ...

    def write(self, task: PhraseRequest) -> Phrase:
        """Return the phrase of a task. Raises Abandoned after ``abandon``, or another MelodygenError."""
        ...

    def abandon(self) -> None:
        """Stop the present task: ``write`` shall raise Abandoned soon. May be called from any thread."""
        ...

    def close(self) -> None:
        """Give everything back; the writer is not used afterwards."""
        ...


class Abandoned(MelodygenError):
    """The phrase is no longer needed."""


class ModelWriter:
    """Writes with the loop over a generator, a renderer and a classifier, in this process."""

    def __init__(self, generator: Generator, renderer: Renderer, classifier: StyleClassifier) -> None:
        self._generator, self._renderer, self._classifier = generator, renderer, classifier
        self.styles = tuple(s for s in generator.styles if s in classifier.labels)
        self._abandoned = False

    def write(self, task: PhraseRequest) -> Phrase:
        """See ``Writer``."""
        self._abandoned = False
        if task.quick:
            draft = self._generator.generate(task.request, [task.seed], self._go_on)[0]
            if isinstance(self._renderer, DeferredRenderer):
                self._renderer.load_soon()  # the next phrase is classified
            if not draft.score.num_notes:
                raise MelodygenError("an empty phrase was written")
            return Phrase(draft.score, task.request, task.seed)
        found = compose(
            task.request,
            self._generator,
            self._renderer,
            self._classifier,
            seed=task.seed,
            candidates=task.candidates,
            min_style=task.min_style,
            max_rounds=task.max_rounds,
            progress=lambda step, share: self._go_on(),
        )
        return Phrase(found.score, task.request, task.seed, found.style_probability)

    def abandon(self) -> None:
        """Stop the present task; see ``Writer.abandon``."""
        self._abandoned = True

    def _go_on(self, share: float = 0.0) -> None:
        if self._abandoned:
            raise Abandoned("no longer wanted")

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True, eq=False)
class Result:
    """A phrase, or why there is none. ``is_hopeless``: the writer can never write what the task asks for."""

    task: PhraseRequest
    phrase: Phrase | None
    error: str = ""
    abandoned: bool = False
    is_hopeless: bool = False


def drained(queue: SimpleQueue[T]) -> list[T]:
    """Return and remove everything that waits in a queue. Never blocks."""
    found: list[T] = []
    with suppress(Empty):
        while True:
            found.append(queue.get_nowait())
    return found


class Worker:
    """Runs a writer in a thread of its own. ``post`` and ``poll`` never block."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._tasks: SimpleQueue[PhraseRequest | None] = SimpleQueue()
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def post(self, task: PhraseRequest) -> None:
        """Queue a task."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="melodygen-writer", daemon=True)
            self._thread.start()
        self._tasks.put(task)

    def drop(self) -> None:
        """Drop all waiting tasks and stop the present one."""
        drained(self._tasks)
        self._writer.abandon()

    def poll(self) -> Result | None:
        """Return the next result, or None."""
        try:
            return self._results.get_nowait()
        except Empty:
            return None

    def now(self, task: PhraseRequest) -> Result:
        """Return the result of a task written in the caller's thread, for hosts that bounce offline and may
        wait.
        """
        try:
            return Result(task, self._writer.write(task))
        except Abandoned:
            return Result(task, None, abandoned=True)
        except Exception as error:  # a plug-in's fault must not stop the music
            told = " ".join(f"{error}".split()) or type(error).__name__
            return Result(task, None, told, is_hopeless=isinstance(error, UsageError))

    def close(self) -> None:
        """End the thread after the present phrase, and close the writer."""
        if self._thread is not None:
            self._tasks.put(None)
        self._writer.close()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._results.put(self.now(task))
