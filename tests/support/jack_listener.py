"""A process that records a JACK MIDI input by JACK's own count of frames: ``jack_listener.py NAME``.

Writes ``ready`` when its input NAME:NAME is open and, on SIGTERM, one JSON line for each message:
[frame, whether the transport rolls, the transport's frame, bytes].
"""

from __future__ import annotations

import json
import signal
import sys
import threading

import jack


def main() -> None:
    client = jack.Client(sys.argv[1], no_start_server=True)
    port = client.midi_inports.register(sys.argv[1])
    got: list[tuple[int, bool, int, list[int]]] = []

    @client.set_process_callback  # type: ignore[untyped-decorator]
    def process(num_frames: int) -> None:
        state, position = client.transport_query_struct()
        first = client.last_frame_time
        for offset, message in port.incoming_midi_events():
            got.append((first + offset, state == jack.ROLLING, position.frame + offset, list(bytes(message))))

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    client.activate()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ended.wait()
    client.deactivate()
    client.close()
    for row in got:
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
