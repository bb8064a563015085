"""Builds a generation request from controls by name: texts are parsed, files read, defaults resolved, all checked.

Tempo, meter, key, length and tracks follow a file that is worked on, else the style.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from melodygen.contracts import Generator
from melodygen.errors import UsageError
from melodygen.generation.given import with_roles
from melodygen.music.form import SECTION_BARS
from melodygen.music.key import key_at_end, key_of
from melodygen.music.score import Score
from melodygen.parsing import check_style
from melodygen.registry import list_styles
from melodygen.request import (
    CONTROLS,
    LOOP_CONTROLS,
    LoopOptions,
    Request,
    check_request,
    control_of,
    fifths_of,
    with_progression,
)
from melodygen.services.models import ModelNames, load_generator, model_names, style_of
from melodygen.services.user_file import end_of, meter_at_start, num_bars, read_prompt, read_user_file
from melodygen.styles.mixture import style_shares
from melodygen.styles.style import Style
from melodygen.tokens.grid import GRID_ROLES

DEFAULT_BARS = 16
MIN_FORM_BARS = 8
"""A progression of fewer bars is repeated to ``DEFAULT_BARS``; a longer one is a form of its own."""


def known_style(name: str, model: str | None, generator: Generator | None = None) -> Generator | None:
    """Check a style by name. The generator that had to be loaded where only it can say, else None.

    Raises UsageError for a style that neither is installed nor in the model.
    """
    installed = list_styles()
    if all(style in installed for style in style_shares(name)):
        return generator
    if model is None and generator is None:
        check_style(name, installed)
    found = generator or load_generator(model)
    check_style(name, found.styles)
    return found


def build_request(controls: Mapping[str, Any], generator: Generator | None = None) -> Request:
    """The request that controls by name ask for, each typed or as text; scores may be paths. None is "not given".

    Raises UsageError for what cannot be, MidiReadError for a file that cannot be read.
    """
    given = {name: value for name, value in controls.items() if value is not None}
    check_combination(given)
    prompt, under = given.get("prompt"), given.get("given")
    if prompt is not None and not isinstance(prompt, Score):
        prompt = read_prompt(prompt)
    if under is not None and not isinstance(under, Score):
        under = read_user_file(under).score
    values = {
        name: control_of(name).check(value)
        for name, value in given.items()
        if control_of(name).kind != "score"
    }
    values |= {"prompt": prompt, "given": under, "key_fifths": fifths_of(given.get("key"))}
    values = with_progression(values)
    values["bars"] = _bars(values, given.get("given"), generator)
    if values.get("chords"):
        chords = values["chords"]
        values["chords"] = tuple(chords[i % len(chords)] for i in range(values["bars"]))
    request = Request(**_with_defaults(values, generator))
    check_request(request)
    return request


def check_combination(controls: Mapping[str, Any]) -> None:
    """Raise UsageError for controls that do not go together, before any file is read. None is "not given"."""
    given = {name: value for name, value in controls.items() if value is not None}
    under, what = "given" in given, bool(given.get("given_roles") or given.get("fill"))
    if what and not under:
        raise UsageError("--given and --fill say what to do with a piece: name it with --under FILE.mid")
    if under and not what:
        raise UsageError(
            "--under needs --given ROLES (which are kept) or --fill FIRST:COUNT (which bars are rewritten)"
        )
    if under and "prompt" in given:
        raise UsageError("--under and --prompt cannot be combined: add to a piece, or continue one")
    for name in ("qpm", "meter", "ending") if under else ():
        if name in given:
            flag = control_of(name).flag
            raise UsageError(f"{flag} does not go with --under: the file keeps its own; leave {flag} out")


def _bars(values: Mapping[str, Any], under: object, generator: Generator | None) -> int:
    bars, given, chords = values.get("bars"), values["given"], values.get("chords")
    if given is not None:
        there = num_bars(given)
        if bars not in (None, there):
            named = "the given piece" if isinstance(under, Score) else under
            raise UsageError(f"--bars {bars} does not fit {named}, which has {there} bars; leave it out")
        bars = there
        if values.get("fill"):  # only the bars to fill are written, however long the piece is
            bars = min(there, int(CONTROLS["bars"].high))
    if bars is None and values.get("form"):
        usual = style_of(values["style"], generator).dataset.chorus_bars or SECTION_BARS
        bars = usual * len(values["form"])
    if bars is None:
        short = values.get("progression") and len(chords or ()) < MIN_FORM_BARS
        bars = len(chords) if chords and not short else _usual_bars(style_of(values["style"], generator))
    return int(CONTROLS["bars"].check(bars))


def _usual_bars(style: Style) -> int:
    """As many whole choruses as fit into ``DEFAULT_BARS``, where the style has choruses: a blues of 16 bars has no
    form."""
    chorus = style.dataset.chorus_bars
    return max(1, DEFAULT_BARS // chorus) * chorus if chorus else DEFAULT_BARS


def _with_defaults(values: dict[str, Any], generator: Generator | None) -> dict[str, Any]:
    """Tempo, meter, key and tracks where they were not given; kept roles stand first among the tracks."""
    usual = style_of(values["style"], generator)
    given, basis = values["given"], values["given"] or values["prompt"]
    low, high = CONTROLS["qpm"].low, CONTROLS["qpm"].high
    if basis is not None:
        key = key_of(basis) if given is not None else key_at_end(basis)
        if key is not None and values.get("key") is None:
            values |= {"key": (key.tonic, key.mode), "key_fifths": key.fifths}
    if values["prompt"] is not None:
        meter, qpm = end_of(values["prompt"])
        values.setdefault("meter", meter)
        values.setdefault("qpm", min(max(qpm, low), high))
        values.setdefault("tracks", roles_of(values["prompt"]))
    if given is not None:  # it keeps its own tempo and meter maps: these are for generators that ask
        values.setdefault("qpm", min(max(given.qpm, low), high))
        values.setdefault("meter", meter_at_start(given))
    values.setdefault("qpm", usual.qpm)
    values.setdefault("meter", usual.meter)
    kept = values.get("given_roles") or ()
    if values.get("fill") and given is not None:
        there = tuple(dict.fromkeys(track.role for track in given.tracks))
        values.setdefault("tracks", there)
        kept = tuple(role for role in there if role in kept or role not in values["tracks"])
        values["given_roles"] = kept
        if len(kept) == len(there):
            raise UsageError(f"--fill has no track to write; the piece has {', '.join(there)}")
    values.setdefault("tracks", usual.tracks)
    values["tracks"] = (*kept, *(role for role in values["tracks"] if role not in kept))
    if kept and len(kept) == len(values["tracks"]):
        raise UsageError(f"--given keeps {', '.join(kept)}, and nothing is left to write: see --tracks")
    return values


def roles_of(prompt: Score) -> tuple[str, ...]:
    """The roles of a piece that is continued, in the order in which they are written."""
    there = {track.role for track in with_roles(prompt, split=True).tracks if len(track)}
    return tuple(role for role in GRID_ROLES if role in there)


def notes_of_unused(controls: Mapping[str, Any], request: Request) -> list[str]:
    """What is said of values that change nothing: a part that is not written, chords behind the last bar."""
    said = []
    kept = request.given_roles if request.given is not None else ()
    for name in ("instruments", "ranges", "track_density"):
        for role, *_ in getattr(request, name):
            if role in kept:
                said.append(f"{control_of(name).flag} names {role}, which is given and stays as it is")
            elif role not in request.tracks:
                said.append(f"{control_of(name).flag} names {role}, which is not written: see --tracks")
    if request.fill is not None and request.given is not None:
        absent = [role for role in request.tracks if request.given.track_by_role(role) is None]
        said += [f"--tracks names {role}, and --fill rewrites tracks that are there" for role in absent]
    if request.prompt is not None:
        new = [role for role in request.tracks if role not in roles_of(request.prompt)]
        said += [
            f"--tracks names {role}, which the prompt has not: it will hardly begin in its continuation; "
            f"write it under that with --under and --given"
            for role in new
        ]
    chords = controls.get("chords")
    count = len(control_of("chords").check(chords)) if chords is not None else 0
    if count > request.bars:
        said.append(f"--chords has {count} bars and the piece {request.bars}: those behind are left out")
    return said


def command_of(controls: Mapping[str, Any], loop: LoopOptions, models: ModelNames, seed: int) -> str:
    """The command that makes a piece again: what was asked and the seed, paths by their last part."""
    words = ["melodygen", "generate"]
    for name, control in CONTROLS.items():
        value = controls.get(name)
        if value is True:
            words.append(control.flag)
        elif value is not None and value is not False:
            words += [control.flag, _last_part(value) if control.kind == "score" else control.text(value)]
    for name, control in LOOP_CONTROLS.items():
        value = getattr(loop, name)
        if name != "seed" and value != control.default:
            words += [control.flag, control.text(value)]
    for name, value in asdict(models).items():
        if value is not None:
            single = model_names(value) if name == "model" else (str(value),)
            is_path = isinstance(value, Path)
            words += [
                f"--{name}",
                ",".join(Path(v).name if is_path or Path(v).is_dir() else v for v in single),
            ]
    return shlex.join([*words, "--seed", str(seed)])


def words_of(command: str) -> dict[str, Any]:
    """The controls that a command of ``command_of`` asks for, by name: numbers, and text; scores are left out."""
    flags = {control.flag: control for control in CONTROLS.values()}
    found: dict[str, Any] = {}
    words = iter(shlex.split(command))
    for word in words:
        control = flags.get(word)
        if control is None:
            continue
        value = "true" if control.kind == "bool" else next(words, "")
        if control.kind in ("float", "int"):
            found[control.name] = float(value)
        elif control.kind != "score":
            found[control.name] = value
    return found


def _last_part(source: Score | str | os.PathLike[str]) -> str:
    return "FILE.mid" if isinstance(source, Score) else Path(source).name
