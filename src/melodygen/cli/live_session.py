"""What ``live`` and ``play`` share: ending well on signals, the line that shows where it is."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from melodygen.live.session import Session

LINE_SECONDS = 0.2


@contextmanager
def signals_stop(session: Session) -> Iterator[list[int]]:
    """Ctrl-C, SIGTERM and a closed terminal stop the session instead of raising somewhere in it. Yields the signals
    that have come."""
    came: list[int] = []
    wanted = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n)]

    def stop(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        session.stop()

    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_as_told(signals: list[int]) -> None:
    """End with 128 and the number of the first signal, 130 after Ctrl-C, as every command does; nothing without one."""
    if signals:
        raise typer.Exit(128 + signals[0])


class Line:
    """A line at the bottom of the terminal that is rewritten; sayings go above it. Silent when ``quiet``."""

    def __init__(self, show: Callable[[], str], quiet: bool) -> None:
        self._show, self._quiet = show, quiet
        self._is_terminal = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="melodygen-line", daemon=True)

    def say(self, text: str) -> None:
        """Print a message above the line."""
        if self._quiet:
            return
        with self._lock:
            print(f"\r\033[K{text}" if self._is_terminal else text, file=sys.stderr, flush=True)

    def say_all(self, texts: list[str]) -> None:
        """Print several messages above the line."""
        for text in texts:
            self.say(text)

    def __enter__(self) -> Line:
        if self._is_terminal and not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _run(self) -> None:
        while not self._ending.wait(LINE_SECONDS):
            with self._lock:
                print(f"\r\033[K{self._show()}", end="", file=sys.stderr, flush=True)
