"""MIDI ports by name: found, opened, waited for when they go away, and found again.

mido ports on python-rtmidi, an extra that is imported when a port is first asked for. Another mido backend is chosen
with ``$MIDO_BACKEND``, for JACK ``mido.backends.rtmidi/UNIX_JACK``.
"""

from __future__ import annotations

import os
import platform
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from melodygen.errors import PortError
from melodygen.live.transport import MidiBytes

_WINDOWS = os.name == "nt"
CLIENT = "melodygen"
WATCH_SECONDS = 1.0
NO_BACKEND = (
    "no MIDI backend: install python-rtmidi with  pip install 'melodygen[live]'  (wheels are there for Python up to "
    "3.12; on newer ones it is compiled, or use Python 3.12)"
)
NO_LIBRARY = "python-rtmidi cannot be loaded; it needs ALSA's library (Debian, Ubuntu: apt-get install libasound2)"
NO_VIRTUAL = (
    "Windows has no virtual MIDI ports. Make a loopback: loopMIDI (tobias-erichsen.de), or the 'Default App Loopback' "
    "of Windows MIDI Services; then --port with its name here and the same loopback as input in the DAW"
)
_ALSA_NUMBER = re.compile(r"\s\d+:\d+$")

Received = Callable[[MidiBytes, float], None]
"""A message and when it came, in seconds of ``time.perf_counter``."""


def load_backend() -> Any:
    """mido with a backend that works, or PortError that says how to get one."""
    import mido

    try:
        mido.backend.load()
    except ModuleNotFoundError as error:
        raise PortError(f"{NO_BACKEND} [{error}]") from error
    except ImportError as error:  # it is there, but something it is linked to is not
        raise PortError(f"{NO_LIBRARY} [{error}]") from error
    return mido


def list_outputs() -> list[str]:
    return _listed("get_output_names")


def list_inputs() -> list[str]:
    return _listed("get_input_names")


def _listed(function: str) -> list[str]:
    backend = load_backend()
    try:
        return list(getattr(backend, function)())
    except Exception as error:  # rtmidi raises its own kinds where there is no sound system
        raise PortError(f"MIDI ports cannot be listed: {_first_line(error)}; {_no_system()}") from error


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
            self._client = (rtmidi.MidiOut if outputs else rtmidi.MidiIn)(chosen, f"{CLIENT} roster")

    def names(self) -> list[str]:
        """Empty where the system has gone."""
        try:
            return self._list() if self._client is None else list(self._client.get_ports())
        except Exception:  # rtmidi raises its own kinds
            return []


def _no_system() -> str:
    if platform.system() == "Linux":
        return (
            "on Linux ALSA (/dev/snd/seq: modprobe snd-seq) or JACK "
            "(MIDO_BACKEND=mido.backends.rtmidi/UNIX_JACK) must be there"
        )
    return "is the system's MIDI service running?"


def find_port(wanted: str, names: list[str], kind: str = "output") -> str:
    """The port that ``wanted`` names: exactly, else as the only one that begins so, else by its number in
    the list, from 1. ALSA's changing numbers at the end need not be given. Raises PortError with the list."""
    plain = [_ALSA_NUMBER.sub("", n) for n in names]
    exact = [n for n, p in zip(names, plain, strict=True) if wanted in (n, p)]
    if exact:
        return _only(wanted, exact, names, kind)
    begin = [n for n in names if n.lower().startswith(wanted.lower())]
    if begin:
        return _only(wanted, begin, names, kind)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return names[int(wanted) - 1]
    raise PortError(f"no MIDI {kind} is called {wanted!r} or begins so; {_there_are(names, kind)}")


def _only(wanted: str, found: list[str], names: list[str], kind: str) -> str:
    if len(set(found)) == 1:
        return found[0]
    raise PortError(f"{wanted!r} could be several: {', '.join(map(repr, found))}; {_there_are(names, kind)}")


def _there_are(names: list[str], kind: str) -> str:
    if not names:
        hint = NO_VIRTUAL if _WINDOWS else "open one of your own with --virtual"
        return f"there is no {kind} at all; {hint}"
    return "there are " + ", ".join(f"{i}: {n!r}" for i, n in enumerate(names, 1))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class Output(Protocol):
    """Where messages go. ``send`` never raises; it says whether the message went out."""

    name: str

    def send(self, message: MidiBytes) -> bool: ...

    def close(self) -> None: ...


class PortOutput:
    """An output port that is waited for when it goes away.

    ``on_change(there)`` is called from another thread when the port is lost and when it is back. Virtual
    ports are our own and cannot be lost.
    """

    def __init__(
        self,
        name: str,
        virtual: bool = False,
        on_change: Callable[[bool], None] | None = None,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self._backend = load_backend()
        self._virtual = virtual
        self._from_bytes = self._backend.Message.from_bytes
        self.name = name if virtual else find_port(name, list_outputs())
        self.is_virtual = virtual
        self._lock = threading.Lock()
        self._port: Any = open_port(self._backend, "open_output", self.name, virtual)
        self.on_change = on_change
        self._closing = threading.Event()
        self._watch_seconds = watch_seconds
        self._watcher = threading.Thread(target=self._watch, name="melodygen-port", daemon=True)
        if not virtual:
            self._roster = Roster(outputs=True)
            self._watcher.start()

    def send(self, message: MidiBytes) -> bool:
        with self._lock:
            if self._port is None:
                return False
            try:
                self._port.send(self._from_bytes(message))
            except Exception:  # the device went away between two looks
                return False
            return True

    def close(self) -> None:
        """Give the port back once what was sent has gone out."""
        self._closing.set()
        if self._watcher.is_alive() and threading.current_thread() is not self._watcher:
            self._watcher.join(timeout=5)
        with self._lock:
            port, self._port = self._port, None
        if port is not None:
            time.sleep(0.03)  # JACK takes messages from a buffer, a period at a time
            port.close()

    def _watch(self) -> None:
        while not self._closing.wait(self._watch_seconds):
            there = self.name in self._roster.names()
            if there and self._port is None:
                self._reopen()
            elif not there and self._port is not None:
                with self._lock:
                    port, self._port = self._port, None
                port.close()
                self._tell(False)

    def _reopen(self) -> None:
        try:
            port = open_port(self._backend, "open_output", self.name, False)
        except PortError:
            return  # not ready yet; the next look tries again
        with self._lock:
            self._port = port
        self._tell(True)

    def _tell(self, there: bool) -> None:
        if self.on_change is not None:
            self.on_change(there)


class PortInput:
    """An input port; ``received`` is called from the backend's thread. A lost port is waited for."""

    def __init__(self, name: str, received: Received, virtual: bool = False) -> None:
        self._backend = load_backend()
        self._received = received
        self.name = name if virtual else find_port(name, list_inputs(), "input")
        self._port: Any = open_port(self._backend, "open_input", self.name, virtual, self._take)
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="melodygen-input", daemon=True)
        if not virtual:
            self._roster = Roster(outputs=False)
            self._watcher.start()

    def close(self) -> None:
        self._closing.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=5)
        if self._port is not None:
            self._port.close()
            self._port = None

    def _take(self, message: Any) -> None:
        self._received(tuple(message.bytes()), time.perf_counter())

    def _watch(self) -> None:
        while not self._closing.wait(WATCH_SECONDS):
            try:
                there = self.name in self._roster.names()
                if there and self._port is None:
                    self._port = open_port(self._backend, "open_input", self.name, False, self._take)
                elif not there and self._port is not None:
                    port, self._port = self._port, None
                    port.close()
            except PortError:
                continue


def open_port(backend: Any, function: str, name: str, virtual: bool, callback: Any = None) -> Any:
    """A mido port, or PortError with the reason in plain words."""
    if virtual and _WINDOWS:
        raise PortError(NO_VIRTUAL)
    options: dict[str, Any] = {"client_name": CLIENT} if virtual else {}
    if callback is not None:
        options["callback"] = callback
    try:
        return getattr(backend, function)(name, virtual=virtual, **options)
    except Exception as error:  # rtmidi and mido raise many kinds
        raise PortError(
            f"MIDI port {name!r} cannot be opened: {_first_line(error)}; if another program holds it "
            "(Windows lets only one), close that or use another port"
        ) from error


class RoutedOutput:
    """Several outputs as one: messages on a channel go to the port of that channel, all else to all."""

    def __init__(self, main: Output, by_channel: dict[int, Output]) -> None:
        self._main, self._by_channel = main, by_channel
        self._all = list({id(o): o for o in (main, *by_channel.values())}.values())
        self.name = " + ".join(o.name for o in self._all)

    def send(self, message: MidiBytes) -> bool:
        if message[0] < 0xF0:
            return self._by_channel.get(message[0] & 0x0F, self._main).send(message)
        return all([o.send(message) for o in self._all])

    def close(self) -> None:
        for output in self._all:
            output.close()
