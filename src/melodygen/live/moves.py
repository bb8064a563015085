"""The live controls for musical moves, by key or controller: one table for keys, help and MIDI learn."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from melodygen.atomic import atomic_path
from melodygen.errors import UsageError
from melodygen.registry import nearest

PRESSED = 64
"""A controller value at or above this is a button that is down."""


@dataclass(frozen=True)
class Move:
    """One move.

    Attributes:
        name: name in the controls file.
        key: key in the terminal, empty for none.
        description: one line of help.
        kind: ``press`` acts once; ``turn`` follows a controller from 0 to 1.
    """

    name: str
    key: str
    description: str
    kind: str = "press"


MOVES = (
    Move("start", " ", "start or stop; join a running MIDI clock"),
    Move("next", "n", "on to the next phrase at the bar line"),
    Move("loop", "l", "repeat this phrase, or go on"),
    Move("vary", "v", "a variation of this phrase next"),
    Move("freeze", "f", "write nothing new: the last phrases go round"),
    Move("undo", "u", "back to the phrase before"),
    Move("style", "y", "the next style at the bar line"),
    Move("style_back", "Y", "the style before"),
    Move("denser", "+", "more notes"),
    Move("sparser", "-", "fewer notes"),
    Move("mute_melody", "1", "melody off or on"),
    Move("mute_chords", "2", "chords off or on"),
    Move("mute_bass", "3", "bass off or on"),
    Move("mute_drums", "4", "drums off or on"),
    Move("faster", ">", "1 qpm faster (own clock)"),
    Move("slower", "<", "1 qpm slower (own clock)"),
    Move("end_call", "e", "your phrase is over: answer"),
    Move("save", "s", "save the last bars as a MIDI file"),
    Move("panic", "p", "end every sound on all channels"),
    Move("quit", "q", "stop and leave"),
    Move("density", "", "sparse to dense", "turn"),
    Move("temperature", "", "safe to bold", "turn"),
    Move("swing", "", "straight to shuffle", "turn"),
    Move("humanize", "", "tight to loose", "turn"),
    Move("pick_style", "", "the styles in a row", "turn"),
)
BY_NAME = {move.name: move for move in MOVES}
BY_KEY = {move.key: move for move in MOVES if move.key}

Do = Callable[[str, float], None]
"""Function that carries out a move by name, with 1.0 for a press or 0.0 to 1.0 for a turn."""


class Controls:
    """Maps keys and controllers to moves. A button acts when it goes down.

    Args:
        do: carries out a move.
        learned: (channel 0-15 or -1 for any, controller) -> name of the move.
    """

    def __init__(self, do: Do, learned: Mapping[tuple[int, int], str] | None = None) -> None:
        self._do = do
        self._learned = dict(learned or {})
        self._down: set[tuple[int, int]] = set()

    def key(self, character: str) -> bool:
        """Carry out the move of a key and return True, or return False for a key without a move."""
        move = BY_KEY.get(character)
        if move is None:
            return False
        self._do(move.name, 1.0)
        return True

    def control(self, channel: int, controller: int, value: int) -> None:
        """Carry out the move of a controller message, if it has one."""
        name = self._learned.get((channel, controller)) or self._learned.get((-1, controller))
        if name is None:
            return
        if BY_NAME[name].kind == "turn":
            self._do(name, value / 127.0)
            return
        key = (channel, controller)
        if value >= PRESSED and key not in self._down:
            self._down.add(key)
            self._do(name, 1.0)
        elif value < PRESSED:
            self._down.discard(key)


def load_controls(path: Path) -> dict[tuple[int, int], str]:
    """Return the controls of a file such as ``{"1:21": "next", "*:74": "density"}``.

    A place is a channel from 1, or ``*`` for any, and a controller number.

    Raises:
        UsageError: the file cannot be read or names an unknown move.
    """
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        learned = {}
        for place, name in written.items():
            channel, _, controller = place.partition(":")
            learned[-1 if channel == "*" else int(channel) - 1, int(controller)] = name
    except OSError as error:
        raise UsageError(
            f"controls {path} cannot be read: {error.strerror}; learn them with --learn"
        ) from error
    except (ValueError, AttributeError) as error:
        raise UsageError(f'controls {path} are not like {{"1:21": "next"}}: {error}') from error
    for (channel, controller), name in learned.items():
        if name not in BY_NAME:
            raise UsageError(f"controls {path}: move {name!r} is not known; {nearest(str(name), BY_NAME)}")
        if not (-1 <= channel <= 15 and 0 <= controller <= 127):
            raise UsageError(f"controls {path}: channel 1-16 or *, controller 0-127")
    return learned


def save_controls(path: Path, learned: Mapping[tuple[int, int], str]) -> None:
    """Write controls to a file that ``load_controls`` reads."""
    written = {f"{'*' if channel < 0 else channel + 1}:{cc}": name for (channel, cc), name in learned.items()}
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
