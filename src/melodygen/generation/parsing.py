"""What a user writes, read into a :class:`~melodygen.contracts.Request`, and checked.

Everything here raises UsageError with the value, the limit and the way out, before anything heavy starts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from melodygen.errors import ScoreError, UsageError
from melodygen.music import harmony
from melodygen.music.score import ROLES
from melodygen.registry import broken_styles, nearest
from melodygen.request import Request

MAX_BARS = 256
MIN_QPM, MAX_QPM = 20.0, 300.0
MAX_NUMERATOR = 15
DENOMINATORS = (1, 2, 4, 8, 16)
MAX_BAR_QUARTERS = 8.0
MAX_CANDIDATES = 64
MAX_ROUNDS = 100


def parse_meter(text: str) -> tuple[int, int]:
    """``6/8`` -> (6, 8)."""
    match = re.fullmatch(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s*", text)
    if not match:
        raise UsageError(f"meter {text!r} cannot be read; write it like 4/4, 3/4 or 6/8")
    return int(match[1]), int(match[2])


def parse_key(text: str) -> tuple[int, str]:
    """``Am``, ``F# minor``, ``Bb:maj`` -> (pitch class of the tonic, ``major`` or ``minor``)."""
    try:
        return harmony.parse_key(text)
    except ScoreError as error:
        raise UsageError(str(error)) from error


def parse_tracks(text: str) -> tuple[str, ...]:
    """``melody,bass`` -> (``melody``, ``bass``): each role once."""
    roles = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for role in roles:
        if role not in ROLES:
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
    try:
        parsed = harmony.parse_chord(symbol)
    except ScoreError as error:
        raise UsageError(f"bar {bar} of the chords: {error}") from error
    return "N" if parsed is None else harmony.chord_label(*parsed)


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


def check_request(request: Request) -> None:
    """Raise UsageError for what no generator can write: 0 bars, a tempo of 0, a meter of 7/3."""
    check_range("bars", request.bars, 1, MAX_BARS)
    if request.qpm is not None:
        check_range("tempo", request.qpm, MIN_QPM, MAX_QPM)
    if request.meter is not None:
        _check_meter(*request.meter)
    if request.temperature is not None:
        check_range("temperature", request.temperature, 0.01, 10.0)
    if request.top_p is not None:
        check_range("top-p", request.top_p, 0.01, 1.0)
    check_range("top-k", request.top_k, 0, 100_000)
    if request.density is not None:
        check_range("density", request.density, 0.0, 1.0)
    if request.given_roles and request.given is None:
        raise UsageError("given roles need the piece they are taken from: --under FILE.mid")
    for role in request.given_roles:
        if request.given is not None and request.given.track_by_role(role) is None:
            there = sorted({track.role for track in request.given.tracks})
            raise UsageError(f"the given piece has no {role} track; it has {', '.join(there) or 'none'}")
    if request.fill is not None:
        _check_fill(request)


def _check_meter(numerator: int, denominator: int) -> None:
    meter = f"meter {numerator}/{denominator}"
    if denominator not in DENOMINATORS:
        raise UsageError(f"{meter} is not possible; the denominator must be one of 1, 2, 4, 8, 16")
    check_range(f"{meter}: numerator", numerator, 1, MAX_NUMERATOR)
    if numerator * 4 / denominator > MAX_BAR_QUARTERS:
        raise UsageError(f"{meter} is too long; a bar may last at most {MAX_BAR_QUARTERS:g} quarters")


def _check_fill(request: Request) -> None:
    assert request.fill is not None
    first, count = request.fill
    if request.given is None:
        raise UsageError("--fill needs the piece whose bars are written anew: --under FILE.mid")
    there = len(request.given.bar_ticks()) - 1
    if first < 0 or count < 1 or first + count > there:
        raise UsageError(
            f"bars {first + 1} to {first + count} cannot be filled: the given piece has {there} bars"
        )


def check_loop(candidates: int, min_style: float, max_rounds: int) -> None:
    """Raise UsageError for loop settings that cannot be."""
    check_range("candidates", candidates, 1, MAX_CANDIDATES)
    check_range("max-rounds", max_rounds, 1, MAX_ROUNDS)
    if not math.isfinite(min_style) or not 0 <= min_style <= 1:
        raise UsageError(f"min-style {min_style:g} is not possible; give a probability of 0 to 1")
