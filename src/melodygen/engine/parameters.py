"""The knobs of the engine: one table from which checks, defaults and every host's controls derive."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from melodygen.errors import UsageError
from melodygen.generation.parsing import parse_key
from melodygen.music.score import ROLES
from melodygen.registry import nearest

Value = float | int | bool | str | tuple[str, ...] | None


@dataclass(frozen=True)
class Parameter:
    """One knob.

    ``kind``           float, int, bool, choice, roles or key.
    ``low, high``      range of a number, both allowed.
    ``optional``       None is a value too: the model chooses.
    ``while_playing``  may be set between two blocks of a playing transport.
    ``applies``        when a change is heard: ``now``, ``bar`` (next bar line), ``phrase`` (next phrase).
    ``rewrites``       phrases written before the change no longer fit and are written again.
    """

    name: str
    kind: str
    default: Value
    description: str
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    choices: tuple[str, ...] = ()
    optional: bool = False
    while_playing: bool = True
    applies: str = "phrase"
    rewrites: bool = False

    def check(self, value: Value) -> Value:
        """The value in its own type, or UsageError with the range."""
        if value is None or value == "":
            if self.optional:
                return None
            raise UsageError(f"{self.name} needs a value: {self._range()}")
        if self.kind == "bool":
            if isinstance(value, (bool, int)):
                return bool(value)
        elif self.kind in ("float", "int"):
            if isinstance(value, (int, float)) and math.isfinite(value) and self.low <= value <= self.high:
                return round(value) if self.kind == "int" else float(value)
        elif self.kind == "roles":
            roles = tuple(value.split(",")) if isinstance(value, str) else value
            if isinstance(roles, tuple) and roles and set(roles) <= set(ROLES):
                return tuple(dict.fromkeys(roles))
        elif self.kind == "key":
            if isinstance(value, str):
                parse_key(value)
                return value
        elif value in self.choices:
            return value
        elif isinstance(value, str):
            raise UsageError(f"{self.name} {value!r} is not known; {nearest(value, self.choices)}")
        raise UsageError(f"{self.name} cannot be {value!r}: {self._range()}")

    def _range(self) -> str:
        if self.kind in ("float", "int"):
            return f"give {self.low:g} to {self.high:g}" + (f" {self.unit}" if self.unit else "")
        listed = {"bool": "true, false", "roles": ", ".join(ROLES), "key": "C, Am, 'F# minor'"}
        return f"give one of {listed.get(self.kind) or ', '.join(self.choices)}"


TABLE = (
    Parameter("style", "choice", "jazz", "What is written", applies="bar", rewrites=True),
    Parameter("mode", "choice", "play", "Play on, answer what comes in, or accompany it",
              choices=("play", "answer", "accompany"), applies="bar", rewrites=True),
    Parameter("temperature", "float", 1.0, "Above 1 bolder, below 1 safer", 0.1, 2.0, rewrites=True),
    Parameter("top_p", "float", 0.97, "Sample from this share of probability", 0.05, 1.0, rewrites=True),
    Parameter("density", "float", None, "Sparse to dense, for the style", optional=True, rewrites=True),
    Parameter("key", "key", None, "Key of what is written", optional=True, rewrites=True),
    Parameter("tracks", "roles", ("melody", "chords", "bass", "drums"), "Roles that are written", rewrites=True),
    Parameter("bars_per_phrase", "int", 4, "Length of what is written at once", 1, 16, "bars", rewrites=True),
    Parameter("linked", "bool", True, "Each phrase goes on from the one before", rewrites=True),
    Parameter("swing", "float", 0.5, "Where the off-beat eighth is put; 0.5 as written", 0.5, 0.75, "of a quarter"),
    Parameter("humanize", "float", 0.0, "Looser time and touch"),
    Parameter("min_style", "float", 0.5, "Style probability that is good enough", rewrites=True),
    Parameter("candidates", "int", 3, "Phrases written at once, of which the best is played", 1, 16),
    Parameter("max_rounds", "int", 1, "Rounds until the best is taken", 1, 5),
    Parameter("opening", "bool", True, "What must begin now begins with a bar that no classifier heard"),
    Parameter("late", "choice", "repeat", "When nothing new is ready", choices=("repeat", "rest")),
    Parameter("answer_rest", "float", 1.0, "A rest this long ends what is answered", 0.25, 8.0, "quarters"),
    Parameter("program_changes", "bool", True, "Send the instruments of the style", applies="phrase"),
    Parameter("seed", "int", 0, "The same seed writes the same", 0, 2**32 - 1, while_playing=False, rewrites=True),
)  # fmt: skip


class Parameters:
    """The current values, all valid. Replaced whole, so that any thread may read them."""

    def __init__(self, styles: tuple[str, ...], **values: Value) -> None:
        self.table = {
            p.name: replace(p, choices=styles, default=styles[0]) if p.name == "style" else p for p in TABLE
        }
        self._values: Mapping[str, Value] = {name: p.default for name, p in self.table.items()}
        for name, value in values.items():
            self.set(name, value)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def number(self, name: str) -> float:
        value = self._values[name]
        assert isinstance(value, (int, float))
        return value

    def parameter(self, name: str) -> Parameter:
        if name not in self.table:
            raise UsageError(f"parameter {name!r} is not known; {nearest(name, self.table)}")
        return self.table[name]

    def set(self, name: str, value: Value) -> bool:
        """Whether it changed. UsageError for an unknown name or a value out of range."""
        checked = self.parameter(name).check(value)
        if checked == self._values[name]:
            return False
        self._values = {**self._values, name: checked}
        return True
