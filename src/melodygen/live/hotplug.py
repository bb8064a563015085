"""Ports that go away and come back: one thread checks each second, closes lost ports and reopens returned
ones.

A JACK server that ends takes all ports with it, our virtual ones too. JACK reports nothing: its clients go on
listing the old ports, and RtMidi spins without end once its buffer is full. Where the ports are JACK's, the
server itself is therefore watched (``melodygen.live.jack_server``). All clients of the dead server are closed
before one of the next server is opened, else JACK's library mixes the two up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from melodygen.errors import PortError
from melodygen.live.jack_output import JackRoster
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
    """Lists the names of the existing ports, again and again.

    One client is kept, because making a client holds up every Python thread for up to a quarter of a second
    (measured with JACK), which would be audible.
    """

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
        """Return the names of the ports; empty where the MIDI system has gone."""
        try:
            return self._list() if self._client is None else list(self._client.get_ports())
        except Exception:  # rtmidi raises its own kinds
            return []

    def close(self) -> None:
        """Give the client back."""
        if self._client is not None:
            self._client.delete()
            self._client = None


class PortWatch:
    """Watches ports in a thread of its own until ``close``; it is also a context manager.

    Args:
        ports: the ports to watch.
        on_change: called from the watching thread with (port, is_open) when a port was lost or is open again.
        seconds: time between two checks.
    """

    def __init__(
        self, ports: Sequence[Port], on_change: Callable[[Port, bool], None], seconds: float = WATCH_SECONDS
    ) -> None:
        self._ports, self._on_change, self._seconds = ports, on_change, seconds
        self._closing = threading.Event()
        self._is_jack = any(p.is_jack for p in ports) or (bool(ports) and uses_jack())
        self._server = self._running()
        self._rosters: dict[tuple[bool, bool], Roster | JackRoster] = {}
        """By what their ports are: outputs, and JACK's own."""
        self._open_rosters()
        self._thread = threading.Thread(target=self._run, name="melodygen-ports", daemon=True)
        self._thread.start()

    def __enter__(self) -> PortWatch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching, and stop the inputs from receiving."""
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
        names = {kind: roster.names() for kind, roster in self._rosters.items()}
        for port in self._ports:
            there = port.is_virtual or port.name in names[port.is_output, port.is_jack]
            if port.is_open and (port.has_ended or not there):
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
        """Open the rosters that are needed and return whether they are open; the next check tries again."""
        try:
            kinds = {(p.is_output, p.is_jack) for p in self._ports if not p.is_virtual}
            for outputs, is_jack in kinds - set(self._rosters):
                self._rosters[outputs, is_jack] = JackRoster() if is_jack else Roster(outputs)
        except Exception:  # rtmidi raises its own kinds
            return False
        return True

    def _close_rosters(self) -> None:
        for roster in self._rosters.values():
            roster.close()
        self._rosters.clear()
