"""Reads the short texts in which musicians write meters, keys, roles, chords and bars.

Everything here raises UsageError with the value, the limit and the way out. The control table in
``melodygen.request`` calls these parsers for the command line, Python and the engine alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from melodygen.errors import ScoreError, UsageError
from melodygen.music.units import bar_quarters
from melodygen.registry import broken_styles, nearest

MAX_NUMERATOR = 15
DENOMINATORS = (1, 2, 4, 8, 16)
MAX_BAR_QUARTERS = 8.0


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


def parse_fill(text: str) -> tuple[int, int]:
    """``5:4`` (four bars from bar 5, counted from 1 as musicians do) -> (4, 4), counted from 0."""
    match = re.fullmatch(r"\s*(\d{1,4})\s*:\s*(\d{1,4})\s*", text)
    if not match or int(match[1]) < 1 or int(match[2]) < 1:
        raise UsageError(
            f"fill {text!r} cannot be read; write FIRST:COUNT with bars counted from 1, like 5:4"
        )
    return int(match[1]) - 1, int(match[2])


def check_style(name: str, known: Iterable[str]) -> None:
    """Raise UsageError unless ``known`` holds the style, and StyleError where its file cannot be used."""
    if name not in (listed := tuple(known)):
        if (error := broken_styles().get(name)) is not None:
            raise error
        raise UsageError(f"style {name!r} is not known; {nearest(name, listed)}")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise UsageError unless low <= value <= high (NaN never is)."""
    if not low <= value <= high:
        raise UsageError(f"{name} {value:g} is not possible; give {low:g} to {high:g}")


def check_meter(numerator: int, denominator: int) -> None:
    """Raise UsageError for a meter that no music has: 7/3, 0/4, or a bar of more than eight quarters."""
    meter = f"meter {numerator}/{denominator}"
    if denominator not in DENOMINATORS:
        raise UsageError(f"{meter} is not possible; the denominator must be one of 1, 2, 4, 8, 16")
    check_range(f"{meter}: numerator", numerator, 1, MAX_NUMERATOR)
    if bar_quarters(numerator, denominator) > MAX_BAR_QUARTERS:
        raise UsageError(f"{meter} is too long; a bar may last at most {MAX_BAR_QUARTERS:g} quarters")
