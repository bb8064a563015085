"""A MIDI output of JACK's own: every message lies on its frame, clock ticks too.

python-rtmidi's JACK port sends everything at the start of the next period (5.3 ms at 256 frames). Here a message is
handed over before its time, and the server's thread writes it at its frame (``melodygen.live.jack_callback``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from melodygen.errors import PortError
from melodygen.live.clock import TICK
from melodygen.live.jack_callback import KIND_NOTE, KIND_OTHER, KIND_TICK, OutputCallback
from melodygen.live.jack_library import FrameClock, load_jack, open_client, realtime_priority, wrapped
from melodygen.live.ports import JACK_PREFIX, find_port
from melodygen.live.transport import NOTE_ON, MidiBytes

MARGIN_SECONDS = 0.02
"""Beside a period, how long before its time a message is handed over: the thread that plays may be held up this long
without being late."""
ROOM = 1 << 16
"""Bytes that may wait; panic on all channels is 23 KB."""
CLOSE_SECONDS = 0.5
"""The port is closed after this time even if messages wait."""

Cable = Callable[[str, bool], None]
"""Function that takes the name of the other port and whether it is connected now."""


def list_destinations() -> list[str]:
    """Return the names of the MIDI inputs on the JACK server. Raises PortError without JACK."""
    roster = JackRoster()
    try:
        return roster.names()
    finally:
        roster.close()


class JackRoster:
    """Lists the destinations on the server again and again; its client is kept."""

    def __init__(self) -> None:
        self._client: Any = open_client("melodygen roster")

    def names(self) -> list[str]:
        """Return the destinations as ``jack:NAME``."""
        found = self._client.get_ports(is_midi=True, is_input=True)
        return [f"{JACK_PREFIX}:{port.name}" for port in found]

    def close(self) -> None:
        """Give the client back."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


class JackOutput:
    """An output port of JACK's own.

    Args:
        name: ``jack``, or ``jack:`` and a MIDI input on the server: its full name, a beginning or its number.
        client_name: name of the client; its port is ``out``.
        frames: JACK's time, where other ports have it already.

    Raises:
        PortError: JACK or its Python package is missing, no server runs, or there is no such input.
    """

    is_output = True
    is_jack = True

    def __init__(self, name: str, client_name: str, frames: FrameClock | None = None) -> None:
        self.frames = frames or FrameClock()
        self.is_virtual = name in (JACK_PREFIX, f"{JACK_PREFIX}:")
        self._client_name = client_name
        if not self.is_virtual:
            names = [n.partition(":")[2] for n in list_destinations()]
            name = f"{JACK_PREFIX}:{find_port(name.partition(':')[2], names)}"
        self.name = name
        self.lead_seconds = 0.0
        """How long before its time a message is to be handed over."""
        self.realtime_priority = 0
        """Priority of a thread that plays to this server; 0 where the server does not run in real time."""
        self.on_cable: Cable = lambda other, connected: None
        """Told of each cable that is put in or pulled, in a thread of JACK's."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._client: Any = None
        self._callback: Any = None
        self._last_frame = 0
        self.open()

    @property
    def is_open(self) -> bool:
        """Whether the port is open. It stays so when the server ends, until ``lose``."""
        return self._client is not None

    @property
    def has_ended(self) -> bool:
        """Whether the server has said that it ends."""
        return self._ended.is_set()

    def open(self) -> None:
        """Open the port. Raises PortError where that fails."""
        jack = load_jack()
        self._ended.clear()
        client = open_client(self._client_name)
        try:
            port = client.midi_outports.register("out", is_terminal=True)
            callback = OutputCallback(client, port, ROOM)
            client.set_shutdown_callback(lambda status, reason: self._ended.set())
            client.set_port_connect_callback(self._cable, only_available=False)
            client.activate()
            if not self.is_virtual:
                client.connect(port, self.name.partition(":")[2])
        except jack.JackError as error:
            client.close()
            raise PortError(f"JACK port {self.name!r} cannot be opened: {error}") from error
        self.realtime_priority = realtime_priority(client)
        self.lead_seconds = client.blocksize / client.samplerate + MARGIN_SECONDS
        if self.is_virtual:
            self.name = port.name
        with self._lock:
            self._client, self._callback = client, callback
            self._last_frame = self.frames.read(client).frame

    def lose(self) -> None:
        """Give the client back, because the input or the server has gone."""
        with self._lock:
            client, self._client = self._client, None
            if client is not None:
                client.close()  # the callback's memory is given back only after this
                self._callback = None

    def keep_time(self) -> None:
        """Look at JACK's time; see ``ports.MidiOutput``."""
        with self._lock:
            if self._client is not None and not self._ended.is_set():
                self.frames.read(self._client)

    def send(self, message: MidiBytes, at: float | None = None) -> bool:
        """Hand over a message and return whether there was room.

        Messages go out in the order in which they are handed over.

        Args:
            message: the message.
            at: its time in seconds; None is now.
        """
        with self._lock:
            if self._client is None or self._ended.is_set():
                return False
            frame = self.frames.frame_at(time.perf_counter() if at is None else at)
            if wrapped(frame - self._last_frame) < 0:
                frame = self._last_frame
            kind = KIND_NOTE if message[0] & 0xF0 == NOTE_ON and message[2] > 0 else KIND_OTHER
            kind = KIND_TICK if message[0] == TICK else kind
            if not self._callback.write(frame, bytes(message), kind):
                return False
            self._last_frame = frame
            return True

    def recall(self, is_stop: bool) -> None:
        """Take back the note-ons that have not gone out; see ``ports.MidiOutput``."""
        with self._lock:
            if self._client is None:
                return
            self._callback.recall(is_stop)
            if is_stop:
                self._last_frame = self.frames.frame_at(time.perf_counter())

    def close(self) -> None:
        """Give the port back after everything sent has gone out."""
        until = time.monotonic() + CLOSE_SECONDS
        while self.is_open and not self.has_ended and self._callback.num_waiting and time.monotonic() < until:
            time.sleep(0.005)
        if self.is_open and not self.has_ended:
            time.sleep(2 * self.lead_seconds)  # the last period reaches those who are connected
        self.lose()

    def _cable(self, source: Any, target: Any, connected: bool) -> None:
        client = self._client
        if client is not None and source is not None and target is not None and client.owns(source):
            self.on_cable(target.name, connected)
