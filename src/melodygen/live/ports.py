"""MIDI ports by name: finding, opening, losing and reopening them (``melodygen.live.hotplug`` says when).

The ports are mido's on python-rtmidi, an optional package that is imported when a port is first asked for.
The environment variable ``MIDO_BACKEND`` chooses another mido backend; JACK's is
``mido.backends.rtmidi/UNIX_JACK``.
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
from melodygen.live.jack_server import jack_server
from melodygen.live.transport import MidiBytes

_WINDOWS = os.name == "nt"
CLIENT = "melodygen"
JACK_BACKEND = "mido.backends.rtmidi/UNIX_JACK"
JACK_PREFIX = "jack"
"""How a port of JACK's own is asked for (``melodygen.live.jack_output``): ``jack`` opens one that others connect to,
``jack:NAME`` connects it to NAME.
"""
JACK_ATTEMPTS, JACK_PAUSE_SECONDS = 5, 0.3
NO_BACKEND = (
    "no MIDI backend: install python-rtmidi with  pip install 'melodygen[live]'  (wheels are there for Python up to "
    "3.12; on newer ones it is compiled, or use Python 3.12)"
)
NO_SERVER = "no JACK server runs that this program could use: start one (jackd -d alsa; without a sound card -d dummy)"
NO_LIBRARY = (
    "python-rtmidi cannot be loaded; it needs ALSA's library (Debian, Ubuntu: apt-get install libasound2)"
)
NO_VIRTUAL = (
    "Windows has no virtual MIDI ports. Make a loopback: loopMIDI (tobias-erichsen.de), or the 'Default App Loopback' "
    "of Windows MIDI Services; then --port with its name here and the same loopback as input in the DAW"
)
_ALSA_NUMBER = re.compile(r"\s\d+:\d+$")

Received = Callable[[MidiBytes, float], None]
"""Function that takes a message and its arrival in seconds of ``time.perf_counter``."""


def is_jack(name: str) -> bool:
    """Return whether a port's name asks for a port of JACK's own."""
    return name == JACK_PREFIX or name.startswith(f"{JACK_PREFIX}:")


def load_backend() -> Any:
    """Return mido with a working backend. Raises PortError that says how to get one."""
    import mido

    if os.environ.get("MIDO_BACKEND") == "":
        mido.set_backend("mido.backends.rtmidi")  # set to nothing is as good as not set
    chosen = os.environ.get("MIDO_BACKEND", "").partition("/")[0]
    try:
        mido.backend.load()
    except ModuleNotFoundError as error:
        if chosen and error.name and f"{chosen}.".startswith(f"{error.name}."):
            raise PortError(
                f"MIDO_BACKEND names {chosen!r}, which is not there; unset it, or for JACK say {JACK_BACKEND}"
            ) from error
        raise PortError(f"{NO_BACKEND} [{error}]") from error
    except ImportError as error:  # it is there, but something it is linked to is not
        raise PortError(f"{NO_LIBRARY} [{error}]") from error
    return mido


def list_outputs() -> list[str]:
    """Return the names of the output ports. Raises PortError where there is no MIDI system."""
    return _listed("get_output_names")


def list_inputs() -> list[str]:
    """Return the names of the input ports. Raises PortError where there is no MIDI system."""
    return _listed("get_input_names")


def _listed(function: str) -> list[str]:
    backend = load_backend()
    _need_server()
    try:
        return list(patiently(getattr(backend, function)))
    except Exception as error:  # rtmidi raises its own kinds where there is no sound system
        raise PortError(f"MIDI ports cannot be listed: {_first_line(error)}; {_no_system()}") from error


def uses_jack() -> bool:
    """Return whether the backend is JACK."""
    return getattr(load_backend().backend, "api", None) == "UNIX_JACK"


def _need_server() -> None:
    """Raise PortError without a JACK server; JACK's own library would print five lines about it."""
    if uses_jack() and jack_server() == "":
        raise PortError(NO_SERVER)


def patiently(act: Callable[[], Any]) -> Any:
    """Call ``act`` and return its result, with some retries, because a busy JACK server refuses clients now
    and then.
    """
    for _ in range(JACK_ATTEMPTS - 1 if uses_jack() and jack_server() else 0):
        try:
            return act()
        except Exception:  # rtmidi raises its own kinds
            time.sleep(JACK_PAUSE_SECONDS)
    return act()


def _no_system() -> str:
    if platform.system() == "Linux":
        return (
            "on Linux ALSA (/dev/snd/seq: modprobe snd-seq) or JACK "
            "(MIDO_BACKEND=mido.backends.rtmidi/UNIX_JACK) must be there"
        )
    return "is the system's MIDI service running?"


def find_port(wanted: str, names: list[str], kind: str = "output") -> str:
    """Return the port that ``wanted`` names.

    A full name wins, then the only name that begins so, then the number in the list, from 1. ALSA's changing
    numbers at the end of a name may be left out.

    Raises:
        PortError: no port or several ports fit; the message lists the ports.
    """
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


class MidiOutput(Protocol):
    """Where messages go."""

    name: str

    @property
    def lead_seconds(self) -> float:
        """How long before its time a message is to be handed over."""
        ...

    def send(self, message: MidiBytes, at: float | None = None) -> bool:
        """Send a message and return whether it went out. Never raises.

        Args:
            message: the message.
            at: its time in seconds of ``time.perf_counter``, for outputs with a lead; None is now.
        """
        ...

    def keep_time(self) -> None:
        """Look at the clock that the output keeps, where it has one. Called every few milliseconds."""
        ...

    def recall(self, is_stop: bool) -> None:
        """Take back the note-ons that were handed over ahead of their time.

        Args:
            is_stop: take back the ticks of the clock too, and let the rest go out at once.
        """
        ...


class Port(Protocol):
    """What ``hotplug.PortWatch`` watches."""

    name: str
    is_virtual: bool
    is_output: bool
    is_jack: bool
    """Whether it is JACK's own (``jack_output``)."""

    @property
    def is_open(self) -> bool:
        """Whether the port can be used."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether the MIDI system has told the port that it ends."""
        ...

    def open(self) -> None:
        """Open the port. Raises PortError where that fails."""
        ...

    def lose(self) -> None:
        """Give the handle back, because the device or the server has gone."""
        ...

    def close(self) -> None:
        """Give the port back."""
        ...


class PortOutput:
    """An output port. Messages sent while the port is lost are dropped.

    Args:
        name: full name, beginning or number of a port; for a virtual port its new name.
        virtual: open a port of our own that other programs connect to.

    Raises:
        PortError: the port cannot be opened.
    """

    is_output = True
    is_jack = has_ended = False
    lead_seconds = 0.0

    def __init__(self, name: str, virtual: bool = False) -> None:
        self._backend = load_backend()
        self._from_bytes = self._backend.Message.from_bytes
        self.name = name if virtual else find_port(name, list_outputs())
        self.is_virtual = virtual
        self._lock = threading.Lock()
        self._port: Any = None
        self.open()

    @property
    def is_open(self) -> bool:
        """Whether the port can be used."""
        return self._port is not None

    def open(self) -> None:
        """Open the port. Raises PortError where that fails."""
        port = open_port(self._backend, "open_output", self.name, self.is_virtual)
        with self._lock:
            self._port = port

    def lose(self) -> None:
        """Give the handle back, because the device or the server has gone."""
        with self._lock:
            port, self._port = self._port, None
        if port is not None:
            port.close()

    def send(self, message: MidiBytes, at: float | None = None) -> bool:
        """Send a message now, whatever its time, and return whether it went out."""
        with self._lock:
            if self._port is None:
                return False
            try:
                self._port.send(self._from_bytes(message))
            except Exception:  # the device went away between two looks
                return False
            return True

    def keep_time(self) -> None:
        """Do nothing, because there is no clock."""

    def recall(self, is_stop: bool) -> None:
        """Do nothing, because nothing is handed over ahead of its time."""

    def close(self) -> None:
        """Give the port back after everything sent has gone out."""
        if self.is_open:
            time.sleep(0.03)  # JACK takes messages from a buffer, a period at a time
        self.lose()


class PortInput:
    """An input port.

    Args:
        name: full name, beginning or number of a port; for a virtual port its new name.
        received: called with each message, from the backend's thread.
        virtual: open a port of our own that other programs connect to.

    Raises:
        PortError: the port cannot be opened.
    """

    is_output = False
    is_jack = has_ended = False

    def __init__(self, name: str, received: Received, virtual: bool = False) -> None:
        self._backend = load_backend()
        self._received = received
        self.name = name if virtual else find_port(name, list_inputs(), "input")
        self.is_virtual = virtual
        self._port: Any = None
        self.open()

    @property
    def is_open(self) -> bool:
        """Whether the port can be used."""
        return self._port is not None

    def open(self) -> None:
        """Open the port. Raises PortError where that fails."""
        self._port = open_port(self._backend, "open_input", self.name, self.is_virtual, self._take)

    def hush(self) -> None:
        """Stop receiving. To be called before any JACK client is closed.

        Closing holds Python while the JACK server waits for messages in delivery, and those wait for Python.
        """
        receiver = getattr(
            self._port, "_rt", None
        )  # mido can only change the callback, rtmidi can take it away
        if receiver is not None:
            receiver.cancel_callback()
            time.sleep(0.02)  # what is on its way gets through

    def lose(self) -> None:
        """Give the handle back, because the device or the server has gone."""
        self.hush()
        port, self._port = self._port, None
        if port is not None:
            port.close()

    def close(self) -> None:
        """Give the port back."""
        self.lose()

    def _take(self, message: Any) -> None:
        self._received(tuple(message.bytes()), time.perf_counter())


def open_port(backend: Any, function: str, name: str, virtual: bool, callback: Any = None) -> Any:
    """Return an open mido port. Raises PortError with the reason in plain words."""
    if virtual and _WINDOWS:
        raise PortError(NO_VIRTUAL)
    _need_server()
    options: dict[str, Any] = {"client_name": CLIENT} if virtual else {}
    if callback is not None:
        options["callback"] = callback
    try:
        return patiently(lambda: getattr(backend, function)(name, virtual=virtual, **options))
    except Exception as error:  # rtmidi and mido raise many kinds
        raise PortError(
            f"MIDI port {name!r} cannot be opened: {_first_line(error)}; if another program holds it "
            "(Windows lets only one), close that or use another port"
        ) from error


class RoutedOutput:
    """Several outputs as one: a message on a channel goes to that channel's port, any other message to all
    ports.
    """

    def __init__(self, main: MidiOutput, by_channel: dict[int, MidiOutput]) -> None:
        self._main, self._by_channel = main, by_channel
        self._all = list({id(o): o for o in (main, *by_channel.values())}.values())
        self.name = " + ".join(o.name for o in self._all)

    @property
    def lead_seconds(self) -> float:
        """How long before its time a message is to be handed over; one for all."""
        return max(o.lead_seconds for o in self._all)

    def send(self, message: MidiBytes, at: float | None = None) -> bool:
        """Send a message and return whether it went out everywhere."""
        if message[0] < 0xF0:
            return self._by_channel.get(message[0] & 0x0F, self._main).send(message, at)
        return all([o.send(message, at) for o in self._all])

    def keep_time(self) -> None:
        """Look at the clock of the main output; the others share it."""
        self._main.keep_time()

    def recall(self, is_stop: bool) -> None:
        """Take back what was handed over to each of them."""
        for output in self._all:
            output.recall(is_stop)
