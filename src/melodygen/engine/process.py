"""A writer in a process of its own, so that the thread that plays keeps its time while models compute.

The child is ``python -m melodygen.engine``. Tasks and phrases go over its stdin and stdout as pickles between
two ends of one program. The child ends when its parent does; if it dies, the next task starts another.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, BinaryIO

from melodygen.engine.phrase import Phrase
from melodygen.engine.writer import Abandoned, PhraseRequest, Writer
from melodygen.errors import MelodygenError

_ABANDON = "abandon"
_ENDED = "the process that writes has ended; another is started"
NICENESS = 5
"""Niceness of the child: the player has priority."""


class ProcessWriter:
    """Runs a writer in a child process.

    Args:
        load: makes the writer in the child; a picklable callable, so a function of a module or a ``partial``
            of one.
        wait: wait until it is loaded, and raise what loading raised. Else ``styles`` does both.
        styles: the styles that it will know, where that is known before it is loaded; ``styles`` does not wait then.
    """

    def __init__(
        self, load: Callable[[], Writer], wait: bool = True, styles: tuple[str, ...] | None = None
    ) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._closed = False
        self._styles: tuple[str, ...] | None = None
        self._known = styles
        self._child = self._start()
        if wait:
            self._loaded()

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles that the writer knows. Waits until it is loaded, and raises what loading raised, unless they were
        known before."""
        if self._known is not None:
            return self._known
        with self._lock:
            return self._loaded()

    def write(self, task: PhraseRequest) -> Phrase:
        """Return the phrase of a task; see ``Writer``. Raises MelodygenError where the child has ended."""
        with self._lock:
            if self._closed:
                raise MelodygenError("the writer is closed")
            if self._child.poll() is not None:
                self._styles = None
                self._child = self._start()
            self._loaded()
            phrase = self._ask(task)
        assert isinstance(phrase, Phrase)
        return phrase

    def abandon(self) -> None:
        """Stop the present task; see ``Writer``."""
        with suppress(MelodygenError):
            self._send(_ABANDON)

    def close(self) -> None:
        """End the child; what it is writing is lost."""
        self._closed = True
        self._child.kill()
        with suppress(subprocess.TimeoutExpired):  # on a machine that is busy; it will end
            self._child.wait(timeout=10)
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a child and tell it what to load."""
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        self._child = subprocess.Popen(
            [sys.executable, "-m", "melodygen.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        try:
            self._send(self._load)
        except BaseException:
            self._child.kill()
            raise
        return self._child

    def _loaded(self) -> tuple[str, ...]:
        """Wait for the child's first answer and return it."""
        if self._styles is None:
            try:
                self._styles = tuple(self._answer())
            except BaseException:
                self._child.kill()
                raise
        return self._styles

    def _send(self, message: object) -> None:
        assert self._child.stdin is not None
        try:
            with self._asking:
                pickle.dump(message, self._child.stdin)
                self._child.stdin.flush()
        except (OSError, ValueError) as error:
            raise MelodygenError(_ENDED) from error

    def _ask(self, question: object) -> Any:
        self._send(question)
        return self._answer()

    def _answer(self) -> Any:
        assert self._child.stdout is not None
        try:
            answer = pickle.load(self._child.stdout)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise MelodygenError(_ENDED) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _serve(tasks: BinaryIO, answers: BinaryIO) -> None:
    def answer(value: object) -> None:
        pickle.dump(value, answers)
        answers.flush()

    try:
        writer: Writer = pickle.load(tasks)()
        answer(writer.styles)
    except Exception as error:
        answer(_plain(error))
        return
    inbox = _Inbox(tasks, writer)
    while (task := inbox.next()) is not None:
        try:
            if inbox.is_unwanted:
                raise Abandoned("no longer wanted")
            answer(writer.write(task))
        except Exception as error:
            answer(_plain(error))


class _Inbox:
    """Reads tasks in a thread of its own, so that a task is stopped when it is no longer needed or the parent
    has gone.
    """

    def __init__(self, tasks: BinaryIO, writer: Writer) -> None:
        self._tasks, self._writer = tasks, writer
        self._waiting: SimpleQueue[tuple[int, PhraseRequest] | None] = SimpleQueue()
        self._in_hand = self._unwanted = 0
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> PhraseRequest | None:
        """Wait for the next task and return it; None at the end."""
        found = self._waiting.get()
        if found is None:
            return None
        self._in_hand, task = found
        return task

    @property
    def is_unwanted(self) -> bool:
        """Whether the task was dropped before it was begun."""
        return self._in_hand <= self._unwanted

    def _read(self) -> None:
        count = 0
        while True:
            try:
                message = pickle.load(self._tasks)
            except (EOFError, OSError, pickle.UnpicklingError):
                message = None
            if isinstance(message, PhraseRequest):
                count += 1
                self._waiting.put((count, message))
                continue
            self._unwanted = count
            self._writer.abandon()
            if message is None:
                self._waiting.put(None)
                return


def _plain(error: Exception) -> Exception:
    """Return an error that can be pickled whatever it holds."""
    if isinstance(error, MelodygenError):
        return type(error)(str(error))
    return MelodygenError(f"{type(error).__name__}: {error}")


def serve() -> None:
    """Run the child: read tasks from stdin, write phrases to stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to end
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not break the pickles
    try:
        _serve(sys.stdin.buffer, answers)
    except BrokenPipeError:
        return
