"""Silence on a JACK input, soon: for a process that has just started and has nothing to keep in time.

The output port of ``melodygen.live.jack_output`` takes a second to compile its callback. This one is plain Python.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from melodygen.errors import PortError
from melodygen.live.jack_library import load_jack, open_client
from melodygen.live.sounding import panic

DEADLINE_SECONDS = 10.0
"""A server that does not take the messages in this time is given up."""
SETTLE_SECONDS = 0.1
"""JACK takes some periods until a new connection carries messages, and until the last ones have arrived."""


def panic_on(destination: str) -> None:
    """Send everything that may end a sound, on all channels.

    Args:
        destination: full name of the input on the server.

    Raises:
        PortError: there is no server, or no such input.
    """
    jack = load_jack()
    client = open_client("melodygen guard")
    waiting: deque[bytes] = deque()
    is_done = threading.Event()
    try:
        port = client.midi_outports.register("out", is_terminal=True)

        def process(num_frames: int) -> None:
            port.clear_buffer()
            while waiting:
                try:
                    port.write_midi_event(0, waiting[0])
                except jack.JackError:
                    return  # the period is full
                waiting.popleft()
                if not waiting:
                    is_done.set()

        client.set_process_callback(process)
        client.activate()
        client.connect(port, destination)
        time.sleep(SETTLE_SECONDS)
        waiting.extend(bytes(message) for message in panic())
        is_done.wait(DEADLINE_SECONDS)
        time.sleep(SETTLE_SECONDS)
    except jack.JackError as error:
        raise PortError(f"JACK input {destination!r} cannot be silenced: {error}") from error
    finally:
        _close(client)


def _close(client: Any) -> None:
    client.deactivate(ignore_errors=True)
    client.close()
