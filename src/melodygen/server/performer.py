"""What plays on this machine for the server: one live session or one piece at a time, in a process of its own."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from melodygen.errors import UsageError
from melodygen.live.moves import BY_NAME
from melodygen.processes import ScriptlessContext
from melodygen.registry import nearest
from melodygen.request import CONTROLS
from melodygen.server.stage import Show, serve

KEPT_EVENTS = 400
STOP_SECONDS = 3.0
"""The process has so long to end its notes and save the take; then it is killed, and its guard ends them."""
OFF, LOADING, PLAYING = "off", "loading", "playing"


class Performer:
    """Starts, steers and stops what plays. All methods may be called from any thread.

    ``folder`` gets what the session saves, and loses it when the next one begins. ``clean`` removes paths of this
    machine from an error.
    """

    def __init__(self, folder: Path, clean: Callable[[str], str]) -> None:
        self.folder, self._clean = folder, clean
        self._lock = threading.RLock()
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._show: Show | None = None
        self._state, self._error = OFF, ""
        self._status: dict[str, Any] = {}
        self._events: deque[tuple[int, str, dict[str, Any]]] = deque(maxlen=KEPT_EVENTS)
        self._number = 0

    def start(self, show: Show) -> dict[str, Any]:
        """End what plays, and play this; the status."""
        self.stop()
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in self.folder.iterdir():
                old.unlink()
            context = ScriptlessContext()
            ours, theirs = context.Pipe()
            self._process = context.Process(target=serve, args=(show, str(self.folder), theirs), daemon=True)
            self._process.start()
            theirs.close()
            self._pipe, self._show = ours, show
            self._state, self._error, self._status = LOADING, "", {}
            self._add("status", self.status())
            threading.Thread(
                target=self._listen, args=(ours, self._process), name="melodygen-listen", daemon=True
            ).start()
            return self.status()

    def stop(self) -> dict[str, Any]:
        """End what plays, without a sounding note; the status. Nothing happens where nothing plays."""
        with self._lock:
            process, pipe = self._process, self._pipe
            is_loading = self._state == LOADING
            self._process = self._pipe = None
        if process is not None and pipe is not None:
            with contextlib.suppress(OSError):
                pipe.send(("stop",))
            process.join(0.2 if is_loading else STOP_SECONDS)
            if process.is_alive():
                process.kill()
                process.join(2.0)
            self._ended("")
        return self.status()

    def move(self, name: str, value: float) -> None:
        """Carry out a move of ``live.moves.MOVES``. Raises UsageError for an unknown one, or where nothing plays."""
        if name not in BY_NAME:
            raise UsageError(f"move {name!r} is not known; {nearest(name, BY_NAME)}")
        self._send("move", name, value)

    def set_parameters(self, values: dict[str, Any]) -> None:
        """Set parameters of the engine, and ``qpm``. Raises UsageError for what cannot be, or where nothing plays."""
        from melodygen.engine.parameters import TABLE

        table = {p.name: p for p in TABLE} | {"qpm": CONTROLS["qpm"]}
        for name, value in values.items():
            if name not in table:
                raise UsageError(f"parameter {name!r} is not known; {nearest(name, table)}")
            table[name].check(value)
        for name, value in values.items():
            self._send("set", name, value)

    def status(self) -> dict[str, Any]:
        """``state`` is off, loading, or what the engine does; the rest as it was told last."""
        with self._lock:
            kind = None if self._show is None else self._show.kind
            saved = sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []
            return {
                "state": self._state, **self._status, "is_on": self._state != OFF, "kind": kind,
                "error": self._error or None, "files": saved,
            }  # fmt: skip

    def events(self, after: int) -> list[tuple[int, str, dict[str, Any]]]:
        """(number, kind, data) of what happened after a number; the oldest are forgotten."""
        with self._lock:
            return [event for event in self._events if event[0] > after]

    @property
    def last_event(self) -> int:
        """Number of the newest event."""
        return self._number

    def _send(self, *command: Any) -> None:
        with self._lock:
            if self._pipe is None or self._state == OFF:
                raise UsageError("nothing plays: start with /v1/live/start")
            try:
                self._pipe.send(command)
            except OSError as error:
                raise UsageError("what played has just ended") from error

    def _listen(self, pipe: Connection, process: SpawnProcess) -> None:
        error = ""
        while True:
            try:
                what, data = pipe.recv()
            except (EOFError, OSError):
                break
            if what == "error":
                error = self._clean(str(data["error"]))
                continue
            with self._lock:
                if self._process is not process and what == "status":
                    continue
                if what == "status":
                    self._state, self._status = PLAYING, dict(data)
                    data = self.status()
                self._add(what, dict(data))
        process.join(STOP_SECONDS)
        with self._lock:
            if self._process is process:
                self._process = self._pipe = None
                if process.exitcode not in (0, None) and not error:
                    error = f"the process that played ended (exit code {process.exitcode})"
                self._ended(error)

    def _ended(self, error: str) -> None:
        with self._lock:
            self._state, self._error, self._status = OFF, error, {}
            self._add("status", self.status())

    def _add(self, kind: str, data: dict[str, Any]) -> None:
        self._number += 1
        self._events.append((self._number, kind, data))
