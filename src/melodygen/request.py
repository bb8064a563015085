"""The generation request, and the one table of its controls.

A control is a field of ``Request`` with its range, default, unit and help. The options of ``melodygen
generate`` and ``live``, the parameters of the engine, the keyword arguments of ``melodygen.generate``, the JSON
schema and all checks derive from ``CONTROLS``. To add a control, add a field here and use it where music is
written. ``LOOP_CONTROLS`` holds the settings of the loop that chooses among candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from melodygen import parsing
from melodygen.control import TEXT_KINDS, Control, described, table_of
from melodygen.errors import ScoreError, UsageError
from melodygen.registry import nearest

if TYPE_CHECKING:
    from melodygen.music.score import Score


STEP_SEMITONES = 2
"""A melodic move up to this wide is a step, a wider one a leap."""


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
    ``syncopation``, ``leap``, ``leap_share``, ``intro``  of what is written; ``note_length`` of how it is played.
    ``goes_on``  more will follow: the last bar does not end the piece.
    ``key_fifths``  sharps of the key's signature, flats below 0, where the key was named so: Gb is -6, F# is 6.
    """

    style: str = field(
        metadata=described(
            "style", "Style by name, or a mixture like jazz:0.7,folk:0.3: see 'melodygen styles'",
            while_playing=True, applies="bar", rewrites=True,
        )
    )  # fmt: skip
    bars: int = field(default=16, metadata=described("int", "Number of bars", low=1, high=256))
    qpm: float | None = field(
        default=None,
        metadata=described(
            "float", "Tempo", low=20.0, high=300.0, unit="quarter notes a minute", option="--tempo"
        ),
    )
    meter: tuple[int, int] | None = field(
        default=None, metadata=described("meter", "Meter like 4/4, 3/4, 6/8")
    )
    key: tuple[int, str] | None = field(
        default=None,
        metadata=described("key", "Key like C, Am, 'F# minor'", while_playing=True, rewrites=True),
    )
    tracks: tuple[str, ...] = field(
        default=("melody", "chords", "bass", "drums"),
        metadata=described(
            "roles", "Roles that are written: melody,chords,bass,drums", while_playing=True, rewrites=True
        ),
    )
    chords: tuple[tuple[str, ...], ...] | None = field(
        default=None,
        metadata=described(
            "chords", "Chords with bars between |, as in 'Dm7 G7 | Cmaj7', repeated to fill all bars"
        ),
    )
    density: float | None = field(
        default=None,
        metadata=described(
            "float", "Notes a bar, from sparse to dense for the style", while_playing=True, rewrites=True
        ),
    )
    prompt: Score | None = field(
        default=None, metadata=described("score", "A MIDI, MusicXML or ABC file to continue")
    )
    given: Score | None = field(
        default=None,
        metadata=described(
            "score", "A MIDI, MusicXML or ABC file to add to, with --given or --fill", option="--under"
        ),
    )
    given_roles: tuple[str, ...] = field(
        default=(),
        metadata=described(
            "roles",
            "Roles of --under that are kept; the other tracks are written to fit them",
            option="--given",
        ),
    )
    fill: tuple[int, int] | None = field(
        default=None,
        metadata=described("fill", "FIRST:COUNT, the bars of --under to rewrite, counted from 1"),
    )
    temperature: float | None = field(
        default=None,
        metadata=described(
            "float", "Sampling temperature: above 1 more surprising, below 1 more predictable",
            low=0.01, high=10.0, knob=(0.1, 2.0), while_playing=True, rewrites=True,
        ),
    )  # fmt: skip
    top_p: float | None = field(
        default=None,
        metadata=described(
            "float", "Nucleus sampling (top-p): only the likeliest notes, up to this total probability",
            low=0.01, high=1.0, knob=(0.05, 1.0), while_playing=True, rewrites=True,
        ),
    )  # fmt: skip
    top_k: int = field(
        default=0,
        metadata=described("int", "Top-k sampling: only the k likeliest notes; 0 is all", high=100_000),
    )
    raw: bool = field(
        default=False,
        metadata=described(
            "bool", "Only what the model predicts: no rules for chords, repetition and ending"
        ),
    )
    swing: float = field(
        default=0.5,
        metadata=described(
            "float", "Position of the off-beat eighth note; 0.5 is straight, 0.67 triplet swing", low=0.5, high=0.75,
            unit="of a quarter", while_playing=True, applies="now",
        ),
    )  # fmt: skip
    humanize: float = field(
        default=0.0,
        metadata=described(
            "float",
            "Timing and loudness as people play: at 1 as far from the grid as in performed takes",
            while_playing=True,
            applies="now",
        ),
    )
    syncopation: float | None = field(
        default=None,
        metadata=described(
            "float", "Share of notes off the beat that hold or rest over the next beat", unit="of each pitched part",
            while_playing=True, rewrites=True,
        ),
    )  # fmt: skip
    note_length: float | None = field(
        default=None,
        metadata=described(
            "float", "How long notes are held, from staccato to legato", low=0.1, high=1.0,
            unit="of the time to the part's next note", while_playing=True, rewrites=True,
        ),
    )  # fmt: skip
    leap: int | None = field(
        default=None,
        metadata=described(
            "int", "Largest step from one note of the melody to the next", low=1, high=36, unit="semitones",
            while_playing=True, rewrites=True,
        ),
    )  # fmt: skip
    leap_share: float | None = field(
        default=None,
        metadata=described(
            "float", "Share of leaps, wider than a whole tone, among the moves of the melody", unit="of the melody",
            while_playing=True, rewrites=True,
        ),
    )  # fmt: skip
    intro: int = field(
        default=0,
        metadata=described("int", "Bars at the beginning, of --bars, in which the melody rests", high=64),
    )
    flat: bool = field(
        default=False,
        metadata=described("bool", "No dynamics: parts that were written with one loudness keep it"),
    )
    progression: str | None = field(
        default=None,
        metadata=described(
            "progression",
            "Chords by degrees or name: 'ii-V-I in Bb', '12-bar blues in F'; auto: one of the style's",
        ),
    )
    instruments: tuple[tuple[str, int], ...] = field(
        default=(),
        metadata=described(
            "instruments", "Instruments by name or number, as in melody=trumpet,bass=acoustic_bass"
        ),
    )
    ranges: tuple[tuple[str, int, int], ...] = field(
        default=(),
        metadata=described("ranges", "Lowest and highest note, as in melody=C4:C6", option="--range"),
    )
    track_density: tuple[tuple[str, float], ...] = field(
        default=(),
        metadata=described("densities", "Sparse to dense for single roles, as in chords=low,melody=0.8"),
    )
    form: str | None = field(
        default=None,
        metadata=described(
            "form",
            "Sections of equal length that return or contrast, as in AABA; a lower-case letter is new music on the "
            "section's chords; none: no form. Default: the style's, from 32 bars on",
        ),
    )
    ending: str = field(
        default="cadence",
        metadata=described(
            "choice", "How the piece ends", choices=("cadence", "ritardando", "fade", "cold", "loop")
        ),
    )
    goes_on: bool = False
    contrasts: bool = False
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
    if text == "auto":
        return values
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
        metadata=described("int", "Random seed: the same seed writes the same music", low=0, high=2**63),
    )
    candidates: int = field(default=6, metadata=described("int", "Candidates a round", low=1, high=64))
    min_style: float = field(
        default=0.7, metadata=described("float", "Style probability that a candidate must reach")
    )
    max_rounds: int = field(
        default=3,
        metadata=described(
            "int", "Rounds until the best is taken; 1 for a single candidate", low=1, high=100
        ),
    )
    pick: int = field(
        default=1,
        metadata=described(
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


CONTROLS: Mapping[str, Control] = table_of(Request)
"""Every control of a generation request by name, in the order of the fields."""
LOOP_CONTROLS: Mapping[str, Control] = table_of(LoopOptions)
"""The settings of the loop by name."""


def control_of(name: str) -> Control:
    """A control of the request or the loop by name. UsageError with the nearest for an unknown one."""
    found = CONTROLS.get(name) or LOOP_CONTROLS.get(name)
    if found is None:
        option = "--" + name.replace("_", "-")
        called = [control.name for control in CONTROLS.values() if control.flag == option]
        hint = f"{option} is called {called[0]!r} here; " if called else ""
        raise UsageError(f"control {name!r} is not known; {hint}{nearest(name, [*CONTROLS, *LOOP_CONTROLS])}")
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
    if request.progression == "auto" and (request.given is not None or request.prompt is not None):
        raise UsageError("--progression auto is for new pieces; leave it out with --under and --prompt")
    if request.form:
        _check_form(request, request.form)
    _check_leaning(request)


def _check_form(request: Request, form: str) -> None:
    letters = parsing.parse_form(form)
    if request.bars % len(letters):
        most = int(CONTROLS["bars"].high) // len(letters)
        near = len(letters) * min(max(1, round(request.bars / len(letters))), most)
        raise UsageError(
            f"form {letters} does not divide {request.bars} bars; give --bars {near}, or leave it out"
        )
    for name in ("given", "prompt", "chords", "progression", "intro"):
        if getattr(request, name):
            flag = CONTROLS[name].flag
            raise UsageError(
                f"--form and {flag} cannot be combined; leave one out (or see melodygen arrange)"
            )


def _check_leaning(request: Request) -> None:
    """What cannot be leant to."""
    for name in ("syncopation", "leap", "leap_share") if request.raw else ():
        if getattr(request, name) is not None:
            option = name.replace("_", "-")
            raise UsageError(f"--raw writes only what the model predicts; leave out --raw or --{option}")
    if request.raw and request.intro:
        raise UsageError("--raw writes only what the model predicts; leave out --raw or --intro")
    if request.leap is not None and request.leap < STEP_SEMITONES + 1 and request.leap_share:
        raise UsageError(
            f"--leap-share {request.leap_share:g} asks for leaps, and --leap {request.leap} allows none; "
            f"give --leap {STEP_SEMITONES + 1} or more, or leave one out"
        )
    if not request.intro:
        return
    if request.given is not None or request.prompt is not None:
        raise UsageError("--intro is for new pieces; leave it out with --under and --prompt")
    if request.intro >= request.bars:
        raise UsageError(
            f"intro {request.intro} is not possible in {request.bars} bars; give 0 to {request.bars - 1}"
        )
    if "melody" not in request.tracks or len(request.tracks) < 2:
        raise UsageError(
            "--intro needs a melody that comes later and another track that begins; see --tracks"
        )


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
