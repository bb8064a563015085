"""Ports that go away and come back: one thread looks each second, closes what is gone and opens what is there again.

A JACK server that ends takes all ports with it, our virtual ones too, and nothing of JACK says so: its clients go on
listing the ports there were, and RtMidi spins without end once its buffer is full. So where the ports are JACK's, the
server itself is watched (:mod:`melodygen.live.jack_server`). All clients of the dead server are closed before one of
the next is opened, else JACK's library mixes the two up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from melodygen.errors import PortError
from melodygen.live.jack_server import jack_server
from melodygen.live.ports import (
    CLIENT,
    Port,
    PortInput,
    list_inputs,
    list_outputs,
    load_backend,
    patiently,
    uses_jack,
)

WATCH_SECONDS = 1.0


class Roster:
    """Names of the ports there are, asked again and again. One client is kept: making one holds up every thread
    of Python for up to a quarter of a second (measured with JACK), which would be heard."""

    def __init__(self, outputs: bool) -> None:
        backend = load_backend()
        self._list = list_outputs if outputs else list_inputs
        self._client: Any = None
        if backend.backend.name == "mido.backends.rtmidi":
            import rtmidi

            api = backend.backend.api
            chosen = rtmidi.API_UNSPECIFIED if api is None else getattr(rtmidi, f"API_{api}")
            kind = rtmidi.MidiOut if outputs else rtmidi.MidiIn
            self._client = patiently(lambda: kind(chosen, f"{CLIENT} roster"))

    def names(self) -> list[str]:
        """Empty where the system has gone."""
        try:
            return self._list() if self._client is None else list(self._client.get_ports())
        except Exception:  # rtmidi raises its own kinds
            return []

    def close(self) -> None:
        if self._client is not None:
            self._client.delete()
            self._client = None


class PortWatch:
    """Watches ``ports`` until :meth:`close`. ``on_change(port, there)`` is called from the watching thread when a
    port was lost and when it is open again."""

    def __init__(
        self, ports: Sequence[Port], on_change: Callable[[Port, bool], None], seconds: float = WATCH_SECONDS
    ) -> None:
        self._ports, self._on_change, self._seconds = ports, on_change, seconds
        self._closing = threading.Event()
        self._is_jack = uses_jack()
        self._server = self._running()
        self._rosters: dict[bool, Roster] = {}
        self._open_rosters()
        self._thread = threading.Thread(target=self._run, name="melodygen-ports", daemon=True)
        self._thread.start()

    def __enter__(self) -> PortWatch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=5)
        for port in self._ports:
            if isinstance(port, PortInput):
                port.hush()
        self._close_rosters()

    def _run(self) -> None:
        while not self._closing.wait(self._seconds):
            server = self._running()
            if server != self._server:
                self._server = server
                for port in self._ports:
                    self._lose(port)
                self._close_rosters()
            elif server != "":
                self._look()

    def _running(self) -> str | None:
        return jack_server() if self._is_jack else None

    def _look(self) -> None:
        if not self._open_rosters():
            return
        names = {outputs: roster.names() for outputs, roster in self._rosters.items()}
        for port in self._ports:
            there = port.is_virtual or port.name in names[port.is_output]
            if port.is_open and not there:
                self._lose(port)
            elif there and not port.is_open:
                try:
                    port.open()
                except PortError:
                    continue  # not ready yet; the next look tries again
                self._on_change(port, True)

    def _lose(self, port: Port) -> None:
        if port.is_open:
            port.lose()
            self._on_change(port, False)

    def _open_rosters(self) -> bool:
        """Whether they are open; the next look tries again."""
        try:
            for outputs in {p.is_output for p in self._ports if not p.is_virtual} - set(self._rosters):
                self._rosters[outputs] = Roster(outputs)
        except Exception:  # rtmidi raises its own kinds
            return False
        return True

    def _close_rosters(self) -> None:
        for roster in self._rosters.values():
            roster.close()
        self._rosters.clear()
