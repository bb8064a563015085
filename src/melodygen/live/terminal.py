"""Single keys from the terminal, without waiting for Enter; the terminal is restored however the block
ends.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

POLL_SECONDS = 0.1


@contextmanager
def keys(pressed: Callable[[str], None]) -> Iterator[bool]:
    """Call ``pressed`` with each key, from a thread, while the block runs.

    Yields:
        Whether keys are read; False where stdin is no terminal.
    """
    if not sys.stdin or not sys.stdin.isatty():
        yield False
        return
    ending = threading.Event()
    wait = _windows_keys if os.name == "nt" else _posix_keys
    restore = _no_echo()
    thread = threading.Thread(target=wait, args=(pressed, ending), name="melodygen-keys", daemon=True)
    thread.start()
    try:
        yield True
    finally:
        ending.set()
        thread.join(timeout=1)
        restore()


def _no_echo() -> Callable[[], None]:
    if os.name == "nt":
        return lambda: None
    import termios

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    quiet = termios.tcgetattr(descriptor)
    quiet[3] &= ~(termios.ICANON | termios.ECHO)  # signals stay: Ctrl-C is Ctrl-C
    termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
    return lambda: termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _posix_keys(pressed: Callable[[str], None], ending: threading.Event) -> None:
    descriptor = sys.stdin.fileno()
    while not ending.is_set():
        ready, _, _ = select.select([descriptor], [], [], POLL_SECONDS)
        if not ready:
            continue
        read = os.read(descriptor, 32)
        if not read:
            return
        for character in read.decode("utf-8", "ignore"):
            pressed(character)


def _windows_keys(pressed: Callable[[str], None], ending: threading.Event) -> None:
    import importlib

    msvcrt = importlib.import_module("msvcrt")
    while not ending.wait(POLL_SECONDS / 2):
        while msvcrt.kbhit():
            pressed(msvcrt.getwch())
