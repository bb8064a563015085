"""The generation request, and the one table of its controls.

A control is a field of ``Request`` with its range, default, unit and help. The options of ``melodygen
generate`` and ``live``, the parameters of the engine, the keyword arguments of ``melodygen.generate``, the JSON
schema and all checks derive from ``CONTROLS``. To add a control, add a field here and use it where music is
written. ``LOOP_CONTROLS`` holds the settings of the loop that chooses among candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from operator import index
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex

from melodygen import parsing
from melodygen.errors import ScoreError, UsageError
from melodygen.registry import nearest

if TYPE_CHECKING:
    from melodygen.music.score import Score

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
    "progression": "a progression like 'ii-V-I in Bb' or '12-bar blues in F'",
}


@dataclass(frozen=True)
class Control:
    """One control: what it is, what it may be and when it may change.

    ``kind``           float, int, bool, choice, roles, key, meter, chords, fill or score.
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
        """The value in its own type, read from text where it is one. UsageError with what is allowed."""
        if value is None or value == "":
            if self.optional:
                return None
            raise UsageError(f"{self.label} needs a value: {self.allowed()}")
        if self.kind in _PARSERS:
            return self._check_music(value)
        if self.kind == "score":
            return value
        if self.kind == "progression":
            return parsing.check_progression(str(value))
        if self.kind == "bool":
            return self._check_bool(value)
        if self.kind == "choice":
            return self._check_choice(value)
        return self._check_number(value)

    def text(self, value: Any) -> str:
        """A value as it is written on the command line; text stays as it is."""
        if isinstance(value, float):
            short = f"{value:g}"
            return short if float(short) == value else repr(value)  # read again, it must be the same number
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
        return f"give {_EXAMPLES.get(self.kind) or 'one of ' + ', '.join(self.choices)}"

    def _check_number(self, value: object) -> float | int:
        if isinstance(value, bool) or not isinstance(value, (SupportsIndex, SupportsFloat)):
            raise UsageError(f"{self.label} {value!r} is not a number; {self.allowed()}")
        number = float(value)
        parsing.check_range(self.label, number, self.low, self.high)
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
        if self.choices:
            found["enum"] = list(self.choices)
        if self.optional:
            found["type"] = [found["type"], "null"]
        if self.kind in TEXT_KINDS:
            found["description"] += f": {_EXAMPLES[self.kind]}"
        if self.unit:
            found["x-unit"] = self.unit
        found["x-while-playing"] = self.while_playing
        return found


def _control(kind: str, text: str, **more: Any) -> dict[str, Control]:
    """Metadata of a field that is a control; name and default are those of the field."""
    return {"control": Control("", kind, None, text, **{"while_playing": False, **more})}


@dataclass(frozen=True)
class Request:
    """What is asked of a generator. ``None`` leaves the choice to the style or the model.

    ``tracks``   roles in the order they are written in each bar; ``given`` roles come first.
    ``chords``   one list of Harte labels a bar, evenly spread over the bar.
    ``density``  0.0 (sparse) to 1.0 (dense), relative to the style.
    ``prompt``   a Score to continue: its bars stand before the new ones.
    ``given``    a Score whose roles are kept; the others are written to fit (accompaniment, melody over a bass).
    ``fill``     (first, count): which bars of ``given`` to rewrite, from 0; the rest is context.
    ``temperature``, ``top_p``  None: what suits the style in this model.
    ``raw``      only what the model predicts: without the bias to chords, repetition and ending.
    ``swing``, ``humanize``  how what is written is played; what is given stays as it is.
    ``flat``     parts that were written with one loudness keep it; else they are given one as people play.
    ``goes_on``  more will follow: the last bar does not end the piece.
    ``key_fifths``  sharps of the key's signature, flats below 0, where the key was named so: Gb is -6, F# is 6.
    """

    style: str = field(
        metadata=_control(
            "choice", "Style by name: see 'melodygen styles'",
            while_playing=True, applies="bar", rewrites=True,
        )
    )  # fmt: skip
    bars: int = field(default=16, metadata=_control("int", "Number of bars", low=1, high=256))
    qpm: float | None = field(
        default=None,
        metadata=_control(
            "float", "Tempo", low=20.0, high=300.0, unit="quarter notes a minute", option="--tempo"
        ),
    )
    meter: tuple[int, int] | None = field(
        default=None, metadata=_control("meter", "Meter like 4/4, 3/4, 6/8")
    )
    key: tuple[int, str] | None = field(
        default=None,
        metadata=_control("key", "Key like C, Am, 'F# minor'", while_playing=True, rewrites=True),
    )
    tracks: tuple[str, ...] = field(
        default=("melody", "chords", "bass", "drums"),
        metadata=_control(
            "roles", "Roles that are written: melody,chords,bass,drums", while_playing=True, rewrites=True
        ),
    )
    chords: tuple[tuple[str, ...], ...] | None = field(
        default=None,
        metadata=_control(
            "chords", "Chords with bars between |, as in 'Dm7 G7 | Cmaj7', repeated to fill all bars"
        ),
    )
    density: float | None = field(
        default=None,
        metadata=_control(
            "float", "Notes a bar, from sparse to dense for the style", while_playing=True, rewrites=True
        ),
    )
    prompt: Score | None = field(
        default=None, metadata=_control("score", "A MIDI, MusicXML or ABC file to continue")
    )
    given: Score | None = field(
        default=None,
        metadata=_control(
            "score", "A MIDI, MusicXML or ABC file to add to, with --given or --fill", option="--under"
        ),
    )
    given_roles: tuple[str, ...] = field(
        default=(),
        metadata=_control(
            "roles",
            "Roles of --under that are kept; the other tracks are written to fit them",
            option="--given",
        ),
    )
    fill: tuple[int, int] | None = field(
        default=None,
        metadata=_control("fill", "FIRST:COUNT, the bars of --under to rewrite, counted from 1"),
    )
    temperature: float | None = field(
        default=None,
        metadata=_control(
            "float", "Sampling temperature: above 1 more surprising, below 1 more predictable",
            low=0.01, high=10.0, knob=(0.1, 2.0), while_playing=True, rewrites=True,
        ),
    )  # fmt: skip
    top_p: float | None = field(
        default=None,
        metadata=_control(
            "float", "Nucleus sampling (top-p): only the likeliest notes, up to this total probability",
            low=0.01, high=1.0, knob=(0.05, 1.0), while_playing=True, rewrites=True,
        ),
    )  # fmt: skip
    top_k: int = field(
        default=0,
        metadata=_control("int", "Top-k sampling: only the k likeliest notes; 0 is all", high=100_000),
    )
    raw: bool = field(
        default=False,
        metadata=_control("bool", "Only what the model predicts: no rules for chords, repetition and ending"),
    )
    swing: float = field(
        default=0.5,
        metadata=_control(
            "float", "Position of the off-beat eighth note; 0.5 is straight, 0.67 triplet swing", low=0.5, high=0.75,
            unit="of a quarter", while_playing=True, applies="now",
        ),
    )  # fmt: skip
    humanize: float = field(
        default=0.0,
        metadata=_control(
            "float",
            "Random deviations of timing and loudness, as of a human player",
            while_playing=True,
            applies="now",
        ),
    )
    flat: bool = field(
        default=False,
        metadata=_control("bool", "No dynamics: parts that were written with one loudness keep it"),
    )
    progression: str | None = field(
        default=None,
        metadata=_control("progression", "Chords by degrees or name: 'ii-V-I in Bb', '12-bar blues in F'"),
    )
    instruments: tuple[tuple[str, int], ...] = field(
        default=(),
        metadata=_control(
            "instruments", "Instruments by name or number, as in melody=trumpet,bass=acoustic_bass"
        ),
    )
    ranges: tuple[tuple[str, int, int], ...] = field(
        default=(),
        metadata=_control("ranges", "Lowest and highest note, as in melody=C4:C6", option="--range"),
    )
    track_density: tuple[tuple[str, float], ...] = field(
        default=(),
        metadata=_control("densities", "Sparse to dense for single roles, as in chords=low,melody=0.8"),
    )
    ending: str = field(
        default="cadence",
        metadata=_control(
            "choice", "How the piece ends", choices=("cadence", "ritardando", "fade", "cold", "loop")
        ),
    )
    goes_on: bool = False
    key_fifths: int | None = None

    @classmethod
    def of(cls, style: str, **controls: Any) -> Request:
        """A request from controls by name, each typed or as text. UsageError for what cannot be."""
        values = {name: control_of(name).check(v) for name, v in {"style": style, **controls}.items()}
        values["key_fifths"] = fifths_of(controls.get("key"))
        request = cls(**with_progression(values))
        check_request(request)
        return request


def with_progression(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of controls with the chords of the progression, and its key where none is given."""
    values, text = dict(values), values.get("progression")
    if text is None:
        return values
    if values.get("chords"):
        raise UsageError("--progression and --chords cannot be combined: give one of them")
    from melodygen.music.key import key_name
    from melodygen.music.progression import read_progression

    key = values.get("key")
    try:
        found = read_progression(text, None if key is None else key_name(key, values.get("key_fifths")))
    except ScoreError as error:
        raise UsageError(str(error)) from error
    values["chords"] = found.bars
    if key is None:
        values |= {"key": parsing.parse_key(found.key), "key_fifths": fifths_of(found.key)}
    return values


def fifths_of(key: object) -> int | None:
    """The signature of a key that is given as text, so that it keeps its name; None for a key of another form."""
    if not isinstance(key, str) or not key.strip():
        return None
    from melodygen.music.key import parse_spelled_key

    return parse_spelled_key(key)[2]


@dataclass(frozen=True)
class LoopOptions:
    """How the loop chooses: see ``melodygen.generation.loop.compose``. ``seed`` None draws one."""

    seed: int | None = field(
        default=None,
        metadata=_control("int", "Random seed: the same seed writes the same music", low=0, high=2**63),
    )
    candidates: int = field(default=8, metadata=_control("int", "Candidates a round", low=1, high=64))
    min_style: float = field(
        default=0.7, metadata=_control("float", "Style probability that a candidate must reach")
    )
    max_rounds: int = field(
        default=3,
        metadata=_control("int", "Rounds until the best is taken; 1 for a single candidate", low=1, high=100),
    )
    pick: int = field(
        default=1,
        metadata=_control(
            "int", "Which candidate becomes the piece: 1 is the best, see --keep", low=1, high=6400
        ),
    )


def loop_options(values: Mapping[str, Any]) -> LoopOptions:
    """Loop settings by name; None is "not given". A single candidate is written in a single round, unless more rounds
    are asked for: there is nothing to choose, and its seed gives it."""
    given = {name: value for name, value in values.items() if value is not None}
    if given.get("candidates") == 1:
        given.setdefault("max_rounds", 1)
    return LoopOptions(**given)


def _table(cls: type[Request] | type[LoopOptions]) -> dict[str, Control]:
    def described(found: Field[Any]) -> Control:
        default = None if found.default is MISSING else found.default
        is_open = found.default is None or found.default == ()
        control: Control = found.metadata["control"]
        return replace(control, name=found.name, default=default, optional=is_open)

    return {found.name: described(found) for found in fields(cls) if "control" in found.metadata}


CONTROLS: Mapping[str, Control] = _table(Request)
"""Every control of a generation request by name, in the order of the fields."""
LOOP_CONTROLS: Mapping[str, Control] = _table(LoopOptions)
"""The settings of the loop by name."""


def control_of(name: str) -> Control:
    """A control of the request or the loop by name. UsageError with the nearest for an unknown one."""
    found = CONTROLS.get(name) or LOOP_CONTROLS.get(name)
    if found is None:
        raise UsageError(f"control {name!r} is not known; {nearest(name, [*CONTROLS, *LOOP_CONTROLS])}")
    return found


def json_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a generation request and its loop. Scores are not part of it."""
    table = {**CONTROLS, **LOOP_CONTROLS}
    properties = {}
    for name, control in table.items():
        if control.kind == "score":
            continue
        properties[name] = control.schema()
        if control.default is not None and control.default != ():
            given = control.default
            properties[name]["default"] = control.text(given) if control.kind in TEXT_KINDS else given
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "melodygen generation request",
        "type": "object",
        "properties": properties,
        "required": ["style"],
        "additionalProperties": False,
    }


def check_request(request: Request) -> None:
    """Raise UsageError for what no generator can write: 0 bars, a tempo of 0, a meter of 7/3."""
    for name, control in CONTROLS.items():
        value = getattr(request, name)
        if value in (None, (), ""):
            continue
        if isinstance(value, str) and control.kind in TEXT_KINDS:
            raise UsageError(f"{control.label} {value!r} is text: make the request with Request.of")
        control.check(value)
    if request.given_roles and request.given is None:
        raise UsageError("given roles need the piece they are taken from: --under FILE.mid")
    for role in request.given_roles:
        if request.given is not None and request.given.track_by_role(role) is None:
            there = sorted({track.role for track in request.given.tracks})
            raise UsageError(f"the given piece has no {role} track; it has {', '.join(there) or 'none'}")
    if request.fill is not None:
        _check_fill(request, *request.fill)


def _check_fill(request: Request, first: int, count: int) -> None:
    if request.given is None:
        raise UsageError("--fill needs the piece whose bars are rewritten: --under FILE.mid")
    there = len(request.given.bar_ticks()) - 1
    if first < 0 or count < 1 or first + count > there:
        raise UsageError(
            f"bars {first + 1} to {first + count} cannot be filled: the given piece has {there} bars"
        )


def check_loop(options: LoopOptions) -> None:
    """Raise UsageError for loop settings that cannot be."""
    for name, control in LOOP_CONTROLS.items():
        control.check(getattr(options, name))
    if options.pick > options.candidates:
        raise UsageError(
            f"pick {options.pick} is not possible: {options.candidates} candidates are written a round; "
            f"give 1 to {options.candidates}, or raise --candidates"
        )
