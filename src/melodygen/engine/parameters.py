"""The parameters of the engine: the controls that may change while it plays, and those that only it has.

The controls of a request come from ``melodygen.request.CONTROLS``, those of the loop from ``LOOP_CONTROLS`` with
defaults and ranges that leave time to write ahead. Checks, defaults and every host's controls derive from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from melodygen.control import Control
from melodygen.errors import UsageError
from melodygen.registry import nearest
from melodygen.request import CONTROLS, LOOP_CONTROLS

Parameter = Control
Value = Any
"""A number, a truth value, text, a tuple, or None: what the control's ``check`` gives back."""


def _loop(name: str, default: float, high: float, **more: Any) -> Control:
    return replace(LOOP_CONTROLS[name], default=default, high=high, optional=False, **more)


REQUEST_PARAMETERS = tuple(control for control in CONTROLS.values() if control.while_playing)
"""Controls of a request that may change between two blocks."""
ENGINE_PARAMETERS = (
    Control("mode", "choice", "play", "Play on, answer what comes in, or accompany it",
            choices=("play", "answer", "accompany"), applies="bar", rewrites=True),
    Control("bars_per_phrase", "int", 4, "Length of what is written at once", 1, 16, "bars",
            option="--bars", rewrites=True),
    Control("linked", "bool", True, "Each phrase goes on from the one before", rewrites=True),
    Control("opening", "bool", True, "What must begin now begins with a bar that no classifier heard"),
    Control("late", "choice", "repeat", "What is played when nothing new is ready", choices=("repeat", "rest")),
    Control("answer_rest", "float", 1.0, "A rest this long ends the phrase that is answered", 0.25, 8.0, "quarters"),
    Control("program_changes", "bool", True, "Send the instruments of the style", option="--programs"),
    _loop("min_style", 0.5, 1.0, while_playing=True, rewrites=True),
    _loop("candidates", 3, 16, while_playing=True),
    _loop("max_rounds", 1, 5, while_playing=True),
    _loop("seed", 0, 2**32 - 1, rewrites=True),
)  # fmt: skip
"""Controls that only the engine has, and the settings of the loop for phrases."""
TABLE = (*REQUEST_PARAMETERS, *ENGINE_PARAMETERS)


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
        """Return the value of a numeric parameter."""
        value = self._values[name]
        assert isinstance(value, (int, float))
        return value

    def request_controls(self) -> dict[str, Value]:
        """Return the values of the controls for which a request is written, by the name of the field."""
        return {p.name: self._values[p.name] for p in REQUEST_PARAMETERS if p.rewrites}

    def parameter(self, name: str) -> Parameter:
        """Return a parameter by name. Raises UsageError for an unknown name."""
        if name not in self.table:
            raise UsageError(f"parameter {name!r} is not known; {nearest(name, self.table)}")
        return self.table[name]

    def set(self, name: str, value: Value) -> bool:
        """Set a value and return whether it changed. Raises UsageError for an unknown name or a value out of
        range.
        """
        checked = self.parameter(name).check(value)
        if checked == self._values[name]:
            return False
        self._values = {**self._values, name: checked}
        return True
