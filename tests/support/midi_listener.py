"""A process that records a MIDI port with its own clock: ``midi_listener.py NAME SECONDS`` opens input NAME.

Writes ``ready`` when the port is open and at the end (or on SIGTERM) one JSON line for each message:
[seconds, bytes]. With ``--connect`` it connects to an existing output instead of opening a port of its own.
"""

from __future__ import annotations

import json
import signal
import sys
import time

import mido


def main() -> None:
    name, seconds = sys.argv[1], float(sys.argv[2])
    got: list[tuple[float, list[int]]] = []

    def take(message: mido.Message) -> None:
        got.append((time.perf_counter(), message.bytes()))

    if "--connect" in sys.argv:
        until = time.monotonic() + 20
        while not (found := [n for n in mido.get_input_names() if name in n]):
            if time.monotonic() > until:
                sys.exit(f"no port {name}")
            time.sleep(0.05)
        port = mido.open_input(found[0], callback=take)
    else:
        port = mido.open_input(name, virtual=True, client_name=name, callback=take)
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stopping:
        time.sleep(0.02)
        if "--until-quiet" in sys.argv and got and time.perf_counter() - got[-1][0] > 1.5:
            break
    port.close()
    for row in got:
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
