"""``melodygen live --learn``: which controller does what."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import typer


def controls_path(path: Path | None) -> Path:
    """Where learned controllers are kept: the file that was named, or one in the user's settings."""
    return path or Path(typer.get_app_dir("melodygen")) / "controls.json"


def learned_controls(path: Path | None) -> dict[tuple[int, int], str]:
    """What was learned before; UsageError for a file that was named and cannot be used."""
    from melodygen.live.moves import load_controls

    place = controls_path(path)
    return load_controls(place) if path is not None or place.exists() else {}


def learn_controls(listen: str | None, place: Path) -> None:
    """For each move, the next controller that moves is taken; Enter passes over it."""
    from melodygen.errors import UsageError
    from melodygen.live.moves import MOVES, load_controls, save_controls
    from melodygen.live.ports import PortInput
    from melodygen.live.transport import CONTROL_CHANGE

    if listen is None:
        raise UsageError("--learn needs --input NAME: the controller to learn from")
    learned = load_controls(place) if place.exists() else {}
    got: list[tuple[int, int]] = []
    moved = threading.Event()

    def received(message: tuple[int, ...], when: float) -> None:
        if message[0] & 0xF0 == CONTROL_CHANGE and not moved.is_set():
            got.append((message[0] & 0x0F, message[1]))
            moved.set()

    source = PortInput(listen, received)
    try:
        for move in MOVES:
            got.clear()
            moved.clear()
            print(
                f"{move.name} ({move.description}): move a controller, then Enter; Enter alone passes over it"
            )
            if not sys.stdin.readline():
                break
            if got:
                learned[got[0]] = move.name
                print(f"  channel {got[0][0] + 1}, controller {got[0][1]}")
    finally:
        source.close()
    save_controls(place, learned)
    print(place)
