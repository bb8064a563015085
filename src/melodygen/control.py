"""A control of generation: what it is, what it may be, how it is read and how it is said.

``melodygen.request`` holds the table of all controls; everything that asks for one derives from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, replace
from operator import index
from typing import Any, SupportsFloat, SupportsIndex

from melodygen import parsing
from melodygen.errors import UsageError
from melodygen.music.form import NO_FORM
from melodygen.registry import nearest
from melodygen.styles.mixture import style_shares, style_text

BY_ROLE = ("instruments", "ranges", "densities")
"""Kinds with a value for each role, as rows (role, …)."""
TEXT_KINDS = ("roles", "key", "meter", "chords", "fill", *BY_ROLE)
"""Kinds of value that can also be written as a short text."""
_PARSERS: dict[str, Callable[[str], Any]] = {
    "roles": parsing.parse_tracks,
    "key": parsing.parse_key,
    "meter": parsing.parse_meter,
    "chords": parsing.parse_chords,
    "fill": parsing.parse_fill,
    "instruments": parsing.parse_instruments,
    "ranges": parsing.parse_ranges,
    "densities": parsing.parse_densities,
}
_EXAMPLES = {
    "bool": "true or false",
    "roles": "roles like melody,bass",
    "key": "a key like C, Am or 'F# minor'",
    "meter": "a meter like 4/4, 3/4 or 6/8",
    "chords": "chords like 'Dm7 G7 | Cmaj7'",
    "fill": "FIRST:COUNT with bars counted from 1, like 5:4",
    "score": "a MIDI, MusicXML or ABC file",
    "instruments": "instruments like melody=trumpet,bass=33",
    "ranges": "ranges like melody=C4:C6",
    "densities": "densities like chords=low,melody=0.8",
    "form": "letters of sections like AABA, or none",
    "progression": "a progression like 'ii-V-I in Bb', '12-bar blues in F', or auto",
}


@dataclass(frozen=True)
class Control:
    """One control: what it is, what it may be and when it may change.

    ``kind``           float, int, bool, choice, style, roles, key, meter, chords, fill or score.
    ``low, high``      range of a number, both allowed.
    ``knob``           the part of that range which a knob or fader covers; None is all of it.
    ``choices``        of a choice; empty where the models decide what there is.
    ``optional``       None is a value too: the style or the model chooses.
    ``option``         its option on the command line.
    ``while_playing``  the engine has it as a parameter that may change between two blocks of a playing transport.
    ``applies``        when a change is heard: ``now``, ``bar`` (next bar line), ``phrase`` (next phrase).
    ``rewrites``       phrases written before the change no longer fit and are written again.
    """

    name: str
    kind: str
    default: Any
    help: str
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    choices: tuple[str, ...] = ()
    optional: bool = False
    option: str = ""
    knob: tuple[float, float] | None = None
    while_playing: bool = True
    applies: str = "phrase"
    rewrites: bool = False

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return self.option or "--" + self.name.replace("_", "-")

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.flag.removeprefix("--")

    @property
    def span(self) -> tuple[float, float]:
        """What a knob covers from end to end."""
        return self.knob or (self.low, self.high)

    @property
    def range_text(self) -> str:
        """The range of a number with its unit."""
        low, high = (f"{v:.0f}" if self.kind == "int" else f"{v:g}" for v in (self.low, self.high))
        return f"{low} to {high}" + (f" {self.unit}" if self.unit else "")

    def check(self, value: Any) -> Any:
        """The value in its own type, read from text where it is one; an empty text is none. UsageError with what is
        allowed."""
        if value is None and self.optional:
            return None
        if value is None or value == "":
            raise UsageError(f"{self.label} needs a value: {self.allowed()}")
        if self.kind in _PARSERS:
            return self._check_music(value)
        if self.kind == "score":
            return value
        if self.kind == "form":
            return parsing.parse_form(str(value))
        if self.kind == "progression":
            return parsing.check_progression(str(value))
        if self.kind == "bool":
            return self._check_bool(value)
        if self.kind == "style":
            return self._check_style(value)
        if self.kind == "choice":
            return self._check_choice(value)
        return self._check_number(value)

    def text(self, value: Any) -> str:
        """A value as it is written on the command line; text stays as it is."""
        if isinstance(value, float):
            short = f"{value:g}"
            return short if float(short) == value else repr(value)  # read again, it must be the same number
        if self.kind == "form":
            return str(value) or NO_FORM
        if isinstance(value, str) or self.kind not in _PARSERS:
            return str(value)
        if self.kind == "roles":
            return ",".join(value)
        if self.kind in BY_ROLE:
            return ",".join(f"{row[0]}={':'.join(f'{v:g}' for v in row[1:])}" for row in value)
        if self.kind == "meter":
            return "{}/{}".format(*value)
        if self.kind == "fill":
            return f"{value[0] + 1}:{value[1]}"
        if self.kind == "key":
            from melodygen.music.key import key_name

            return key_name(value)
        return " | ".join(" ".join(bar) for bar in value)

    def allowed(self) -> str:
        """What may be given, as the end of a message."""
        if self.kind in ("float", "int"):
            return f"give {self.range_text}"
        listed = f"one of {', '.join(self.choices)}" if self.choices else f"a {self.kind}"
        return f"give {_EXAMPLES.get(self.kind, listed)}"

    def _check_number(self, value: object) -> float | int:
        if isinstance(value, bool) or not isinstance(value, (SupportsIndex, SupportsFloat)):
            raise UsageError(f"{self.label} {value!r} is not a number; {self.allowed()}")
        number = float(value)
        parsing.check_range(self.label, value if isinstance(value, int) else number, self.low, self.high)
        if self.kind == "float":
            return number
        if number != round(number):
            raise UsageError(f"{self.label} {number:g} is not a whole number; {self.allowed()}")
        return index(value) if isinstance(value, SupportsIndex) else round(number)

    def _check_bool(self, value: Any) -> bool:
        known = {True: True, False: False, "true": True, "false": False}
        if not isinstance(value, (bool, int, str)) or value not in known:
            raise UsageError(f"{self.label} {value!r} is not possible; {self.allowed()}")
        return known[value]

    def _check_choice(self, value: Any) -> str:
        if not isinstance(value, str):
            raise UsageError(f"{self.label} {value!r} is not possible; {self.allowed()}")
        if self.choices and value not in self.choices:
            raise UsageError(f"{self.label} {value!r} is not known; {nearest(value, self.choices)}")
        return value

    def _check_style(self, value: Any) -> str:
        """A style, or a mixture as ``style_text`` writes it."""
        if isinstance(value, str) and value not in self.choices:
            shares = style_shares(value)
            for name in shares:
                self._check_choice(name)
            return style_text(shares)
        return self._check_choice(value)

    def _check_music(self, value: Any) -> Any:
        if isinstance(value, str):
            value = _PARSERS[self.kind](value)
        elif not isinstance(value, (tuple, list)) or not value:
            raise UsageError(f"{self.label} {value!r} is not possible; {self.allowed()}")
        elif self.kind in BY_ROLE:
            value = _PARSERS[self.kind](self.text(value))
        elif self.kind == "roles":
            value = parsing.parse_tracks(",".join(map(str, value)))
        elif self.kind == "chords":
            value = tuple((bar,) if isinstance(bar, str) else tuple(bar) for bar in value)
        elif len(value) != 2:
            raise UsageError(f"{self.label} {value!r} is not possible; {self.allowed()}")
        else:
            value = tuple(value)
        if self.kind == "meter":
            parsing.check_meter(*value)
        if self.kind == "key" and not (value[0] in range(12) and value[1] in ("major", "minor")):
            raise UsageError(f"{self.label} {value!r} is not a pitch class of 0 to 11 and major or minor")
        return value

    def schema(self) -> dict[str, Any]:
        """JSON schema of the value in a form that JSON can hold."""
        types = {"float": "number", "int": "integer", "bool": "boolean"}
        found: dict[str, Any] = {"type": types.get(self.kind, "string"), "description": self.help}
        if self.kind in ("float", "int"):
            found |= {"minimum": self.low, "maximum": self.high}
        if self.choices and self.kind != "style":
            found["enum"] = list(self.choices)
        if self.optional:
            found["type"] = [found["type"], "null"]
        if self.kind in TEXT_KINDS:
            found["description"] += f": {_EXAMPLES[self.kind]}"
        if self.unit:
            found["x-unit"] = self.unit
        found["x-while-playing"] = self.while_playing
        return found


def described(kind: str, text: str, **more: Any) -> dict[str, Control]:
    """Metadata of a field that is a control; name and default are those of the field."""
    return {"control": Control("", kind, None, text, **{"while_playing": False, **more})}


def table_of(cls: type[Any]) -> dict[str, Control]:
    """The controls among the fields of a dataclass by name, in their order."""

    def named(found: Field[Any]) -> Control:
        default = None if found.default is MISSING else found.default
        is_open = found.default is None or found.default == ()
        control: Control = found.metadata["control"]
        return replace(control, name=found.name, default=default, optional=is_open)

    return {found.name: named(found) for found in fields(cls) if "control" in found.metadata}
