"""Reads the short texts in which musicians write meters, keys, roles, chords and bars.

Everything here raises UsageError with the value, the limit and the way out. The control table in
``melodygen.request`` calls these parsers for the command line, Python and the engine alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from melodygen.errors import ScoreError, UsageError
from melodygen.music.units import bar_quarters
from melodygen.registry import broken_styles, nearest
from melodygen.styles.mixture import style_shares

MAX_NUMERATOR = 15
DENOMINATORS = (1, 2, 4, 8, 16)
MAX_BAR_QUARTERS = 8.0
MIN_RANGE = 7
"""Semitones: in a narrower range there is not a tone of every chord."""
LEVELS = {"low": 0.2, "medium": 0.5, "high": 0.8}


def parse_meter(text: str) -> tuple[int, int]:
    """``6/8`` -> (6, 8)."""
    match = re.fullmatch(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s*", text)
    if not match:
        raise UsageError(f"meter {text!r} cannot be read; write it like 4/4, 3/4 or 6/8")
    return int(match[1]), int(match[2])


def parse_key(text: str) -> tuple[int, str]:
    """``Am``, ``F# minor``, ``Bb:maj`` -> (pitch class of the tonic, ``major`` or ``minor``)."""
    from melodygen.music.key import parse_key as read_key  # with numpy; the help of the commands does without

    try:
        return read_key(text)
    except ScoreError as error:
        raise UsageError(str(error)) from error


def parse_tracks(text: str) -> tuple[str, ...]:
    """``melody,bass`` -> (``melody``, ``bass``): each role once."""
    from melodygen.music.instruments import program_of_name
    from melodygen.music.score import ROLES

    roles = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for role in roles:
        if role not in ROLES:
            if program_of_name(role) is not None:
                raise UsageError(
                    f"track {role!r} is an instrument; tracks are named by role: {', '.join(ROLES)}. "
                    "The style chooses the instruments: see 'melodygen styles'"
                )
            raise UsageError(f"track {role!r} is not a role; {nearest(role, ROLES)}")
    if not roles or len(set(roles)) != len(roles):
        raise UsageError(f"tracks {text!r}: name at least one role, each once: {', '.join(ROLES)}")
    return roles


def parse_chords(text: str) -> tuple[tuple[str, ...], ...]:
    """``Dm7 G7 | Cmaj7 | %`` -> Harte labels for each bar; ``%`` repeats the bar before, ``N`` is no chord."""
    bars: list[tuple[str, ...]] = []
    parts = text.strip().strip("|").split("|")
    for number, part in enumerate(parts, 1):
        symbols = part.split()
        if symbols == ["%"] and bars:
            bars.append(bars[-1])
            continue
        if not symbols or "%" in symbols:
            raise UsageError(
                f"chords {text!r}: bar {number} holds no chord; write 'Dm7 G7 | Cmaj7 | %' with bars between |"
            )
        bars.append(tuple(_chord(symbol, number) for symbol in symbols))
    return tuple(bars)


def _chord(symbol: str, bar: int) -> str:
    from melodygen.music.chord_symbol import read_chord_symbol

    try:
        read = read_chord_symbol(symbol)
    except ScoreError as error:
        raise UsageError(f"bar {bar} of the chords: {error}") from error
    return "N" if read is None else read.label


def _by_role(kind: str, text: str, like: str) -> dict[str, str]:
    """``melody=trumpet,bass=33`` -> role -> text; each role once."""
    from melodygen.music.score import ROLES

    found: dict[str, str] = {}
    for part in text.split(","):
        role, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not value:
            raise UsageError(
                f"{kind} {text!r} cannot be read; write ROLE=VALUE with commas between, like {like}"
            )
        if role.lower() not in ROLES:
            raise UsageError(f"{kind} {text!r}: {role!r} is not a role; {nearest(role, ROLES)}")
        if role.lower() in found:
            raise UsageError(f"{kind} {text!r}: {role} is named twice")
        found[role.lower()] = value
    return found


def parse_instruments(text: str) -> tuple[tuple[str, int], ...]:
    """``melody=trumpet,bass=33`` -> ((``melody``, 56), (``bass``, 33)): General MIDI programs from 0."""
    from melodygen.music.instruments import KIT_NAMES, PROGRAM_NAMES, program_named

    chosen = []
    for role, name in _by_role("instruments", text, "melody=trumpet,bass=acoustic_bass").items():
        program = program_named(name, role == "drums")
        if program is None:
            known = tuple(KIT_NAMES) if role == "drums" else PROGRAM_NAMES
            close = get_close_matches(name.lower().replace(" ", "_"), known, 3, 0.4) or known[:6]
            raise UsageError(
                f"instrument {name!r} of {role} is not known; names are like {', '.join(close)}; or give a General "
                "MIDI program 0-127"
            )
        chosen.append((role, program))
    return tuple(chosen)


def parse_ranges(text: str) -> tuple[tuple[str, int, int], ...]:
    """``melody=C4:C6`` -> ((``melody``, 60, 84),): lowest and highest MIDI number; C4 is 60."""
    chosen = []
    for role, span in _by_role("range", text, "melody=C4:C6").items():
        match = re.fullmatch(r"([^:]+):([^:]+)", span)
        low, high = (_pitch(match[1]), _pitch(match[2])) if match else (None, None)
        if low is None or high is None:
            raise UsageError(
                f"range {span!r} of {role} cannot be read; write LOWEST:HIGHEST, like C4:C6 or 60:84"
            )
        if role == "drums":
            raise UsageError("drums have no range; name another role")
        if high < low:
            raise UsageError(
                f"range {span} of {role} begins with its highest note; write LOWEST:HIGHEST, like C4:C6"
            )
        if high - low < MIN_RANGE:
            raise UsageError(f"range {span} of {role} is {high - low} semitones; give at least {MIN_RANGE}")
        chosen.append((role, low, high))
    return tuple(chosen)


def _pitch(text: str) -> int | None:
    """``C4`` or ``60`` -> 60; None for what is neither, or lies outside 0-127."""
    match = re.fullmatch(r"\s*(?:(\d{1,3})|([A-Ga-g])([#b]{0,2})(-?\d))\s*", text)
    if not match:
        return None
    if match[1]:
        pitch = int(match[1])
    else:
        natural = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[match[2].upper()]
        pitch = natural + match[3].count("#") - match[3].count("b") + 12 * (int(match[4]) + 1)
    return pitch if 0 <= pitch <= 127 else None


def parse_densities(text: str) -> tuple[tuple[str, float], ...]:
    """``chords=low,melody=0.8`` -> ((``chords``, 0.2), (``melody``, 0.8)); words: low, medium, high."""
    chosen = []
    for role, value in _by_role("track-density", text, "chords=low,melody=0.8").items():
        try:
            number = LEVELS[value.lower()] if value.lower() in LEVELS else float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number <= 1:
            raise UsageError(
                f"track-density {value!r} of {role} is not possible; give 0 to 1, or low, medium, high"
            )
        chosen.append((role, number))
    return tuple(chosen)


def parse_form(text: str) -> str:
    """``AABA`` -> its letters, ``none`` -> an empty text. Raises UsageError for what is no form."""
    from melodygen.music import form

    try:
        return form.parse_form(text)
    except ScoreError as error:
        raise UsageError(str(error)) from error


def check_progression(text: str) -> str:
    """The progression as it is written, or ``auto``. Raises UsageError for one that cannot be read."""
    if text.strip().lower() == "auto":
        return "auto"
    from melodygen.music.progression import read_progression

    try:
        read_progression(text, "C")
    except ScoreError as error:
        raise UsageError(str(error)) from error
    return text


def parse_fill(text: str) -> tuple[int, int]:
    """``5:4`` (four bars from bar 5, counted from 1 as musicians do) -> (4, 4), counted from 0."""
    match = re.fullmatch(r"\s*(\d{1,4})\s*:\s*(\d{1,4})\s*", text)
    if not match or int(match[1]) < 1 or int(match[2]) < 1:
        raise UsageError(
            f"fill {text!r} cannot be read; write FIRST:COUNT with bars counted from 1, like 5:4"
        )
    return int(match[1]) - 1, int(match[2])


def check_style(name: str, known: Iterable[str]) -> None:
    """Raise UsageError unless ``known`` holds the style, or each of a mixture, and StyleError where its file cannot be
    used.
    """
    listed = tuple(known)
    for style in style_shares(name) if name not in listed else ():
        if style in listed:
            continue
        if (error := broken_styles().get(style)) is not None:
            raise error
        raise UsageError(f"style {style!r} is not known; {nearest(style, listed)}")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise UsageError unless low <= value <= high (NaN never is)."""
    if not low <= value <= high:
        shown, *ends = (str(v) if isinstance(v, int) else f"{v:g}" for v in (value, low, high))
        raise UsageError(f"{name} {shown} is not possible; give {ends[0]} to {ends[1]}")


def check_meter(numerator: int, denominator: int) -> None:
    """Raise UsageError for a meter that no music has: 7/3, 0/4, or a bar of more than eight quarters."""
    meter = f"meter {numerator}/{denominator}"
    if denominator not in DENOMINATORS:
        raise UsageError(f"{meter} is not possible; the denominator must be one of 1, 2, 4, 8, 16")
    check_range(f"{meter}: numerator", numerator, 1, MAX_NUMERATOR)
    if bar_quarters(numerator, denominator) > MAX_BAR_QUARTERS:
        raise UsageError(f"{meter} is too long; a bar may last at most {MAX_BAR_QUARTERS:g} quarters")
