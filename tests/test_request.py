"""One table of controls: text and typed values agree everywhere, and every face derives from the table."""

from __future__ import annotations

import inspect
import math
import shlex
from dataclasses import fields, replace
from typing import Any

import pytest
from fakeband import Beeper, Judge, Writer
from hypothesis import given
from hypothesis import strategies as st
from livehost import Scribe

import melodygen
from melodygen.cli.generate import generate as generate_command
from melodygen.engine import Engine
from melodygen.errors import UsageError
from melodygen.request import (
    CONTROLS,
    LOOP_CONTROLS,
    LoopOptions,
    Request,
    check_loop,
    check_request,
    control_of,
    json_schema,
)
from melodygen.services.models import ModelNames
from melodygen.services.requests import build_request, command_of

TEXTS: dict[str, tuple[str, Any]] = {
    "key": ("Ebm", (3, "minor")),
    "meter": ("3/4", (3, 4)),
    "tracks": ("melody,bass", ("melody", "bass")),
    "chords": ("Dm7 G7 | Cmaj7 | %", (("D:min7", "G:7"), ("C:maj7",), ("C:maj7",))),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_read_alike_by_request_python_and_engine(name: str) -> None:
    text, value = TEXTS[name]
    assert getattr(Request.of("jazz", **{name: text}), name) == value
    assert getattr(Request.of("jazz", **{name: value}), name) == value
    piece = melodygen.generate(
        "jazz", model=Writer(), renderer=Beeper(), classifier=Judge(), seed=1, candidates=1, max_rounds=1,
        **{name: text},
    )  # fmt: skip
    assert getattr(piece.request, name) == value
    if CONTROLS[name].while_playing:
        engine = Engine(Scribe(), **{name: text})
        assert engine.parameter_value(name) == value
        engine.close()


@given(value=st.floats(allow_nan=True, allow_infinity=True), name=st.sampled_from(sorted(CONTROLS)))
def test_numbers_are_in_range_or_refused_with_the_range(value: float, name: str) -> None:
    control = CONTROLS[name]
    if control.kind not in ("float", "int"):
        return
    if math.isfinite(value) and control.low <= value <= control.high and control.kind == "float":
        assert control.check(value) == value
    elif not (math.isfinite(value) and control.low <= value <= control.high):
        with pytest.raises(UsageError, match=control.label):
            control.check(value)


def test_every_control_is_an_option_and_in_the_schema() -> None:
    options = inspect.signature(generate_command).parameters
    schema = json_schema()
    for name, control in {**CONTROLS, **LOOP_CONTROLS}.items():
        assert name in options, name
        assert (name in schema["properties"]) == (control.kind != "score"), name
    assert {f.name for f in fields(Request)} - set(CONTROLS) == {"goes_on", "key_fifths", "contrasts"}


def test_defaults_of_the_schema_are_accepted() -> None:
    properties = json_schema()["properties"]
    given = {n: p["default"] for n, p in properties.items() if "default" in p and n in CONTROLS}
    assert Request.of("jazz", **given) == Request("jazz")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("bars", 2.5, "bars 2.5 is not a whole number; give 1 to 256"),
        ("bars", "many", "bars 'many' is not a number"),
        ("bars", True, "not a number"),
        ("qpm", 10, "tempo 10 is not possible; give 20 to 300"),
        ("meter", (7, 3), "denominator must be one of"),
        ("meter", 3, "give a meter like"),
        ("key", (12, "major"), "pitch class"),
        ("tracks", ("tuba",), "is an instrument; tracks are named by role"),
        ("tracks", ("solo",), "not a role"),
        ("raw", "perhaps", "true or false"),
        ("swing", 0.4, "swing 0.4 is not possible; give 0.5 to 0.75"),
        ("swung", 0.6, "control 'swung' is not known; did you mean 'swing'"),
        ("tempo", 96, "control 'tempo' is not known; --tempo is called 'qpm' here;"),
    ],
)
def test_what_cannot_be_is_said(name: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        control_of(name).check(value)


def test_text_in_a_typed_request_is_refused() -> None:
    with pytest.raises(UsageError, match=r"make the request with Request\.of"):
        check_request(Request("jazz", key="Am"))  # type: ignore[arg-type]


def test_the_command_asks_for_the_same_request_again() -> None:
    controls = {"style": "jazz", "bars": 3, "key": (3, "minor"), "chords": TEXTS["chords"][1], "swing": 2 / 3}
    command = command_of(controls, melodygen.request.LoopOptions(), ModelNames(), 7)
    assert command == (
        "melodygen generate --style jazz --bars 3 --key 'Eb minor' "
        "--chords 'D:min7 G:7 | C:maj7 | C:maj7' --swing 0.6666666666666666 --seed 7"
    )
    words = shlex.split(command)[2:-2]
    texts = {word.removeprefix("--"): text for word, text in zip(words[::2], words[1::2], strict=True)}
    again = build_request(texts | {"bars": int(texts["bars"]), "swing": float(texts["swing"])})
    assert replace(again, key_fifths=None) == build_request(controls)  # text spells its key, a pair does not


def test_large_whole_numbers_are_said_in_full() -> None:
    with pytest.raises(UsageError, match=f"seed 99999999999999999999 is not possible; give 0 to {2**63}"):
        check_loop(LoopOptions(seed=99999999999999999999))
