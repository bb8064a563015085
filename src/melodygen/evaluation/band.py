"""Does a band play together? What its parts do with one another, and whether the tune comes back.

Every figure is of one piece on the grid of the tokens (twelfths of a quarter), so generated and human music are
measured alike; one that is not defined (no drums, no bass) is NaN and left out of means. *Top line* is the highest
note at each onset of the first role there is of melody, other and chords.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from melodygen.music.clash import clash_share
from melodygen.music.key import estimate_key
from melodygen.tokens.grid import GRID_ROLES, PITCHED_ROLES, GridBar, Piece
from melodygen.tokens.vocabulary import DRUM_CLASS, DURATIONS, POSITIONS_PER_QUARTER

KICK, SNARE = DRUM_CLASS[36], DRUM_CLASS[38]
FIRST_BARS = 16
"""Returns are counted in as many bars: in a longer piece more comes back."""
PHRASE_BARS = 4
LEAST_NOTES = 3
"""A bar of the tune with fewer returns by chance."""
SECOND_HALF = POSITIONS_PER_QUARTER // 2

LEAST_SPREAD = 0.1
"""Least distance between quartiles that closeness goes by."""

YARDSTICK_BARS = 16
"""Length of the windows in which people's music was measured."""

Quartiles = tuple[float, float, float]
Timed = tuple[int, int, int]
"""Onset and end in twelfths of a quarter from the beginning, pitch."""


def band_figures(piece: Piece) -> dict[str, float]:
    """All figures of this module by name."""
    return {
        **drum_figures(piece), **bass_figures(piece), **return_figures(piece), **line_figures(piece),
        **loudness_figures(piece), **swing_figures(piece), "tune clash": tune_clash(piece),
        "key heard": key_heard(piece), "longest silence": longest_silence(piece), "phrase ends": phrase_ends(piece),
        "cadence": cadence(piece), "blues form": blues_form(piece),
    }  # fmt: skip


def closeness(figures: Mapping[str, float], quartiles: Mapping[str, tuple[float, float, float]]) -> float:
    """Return how near figures lie to where others' do, 0 to 1; NaN where none can be compared.

    Each counts 1 between the quartiles and falls to 0 at the distance of their spread.
    """
    marks = []
    for name, (low, _, high) in quartiles.items():
        value = figures.get(name, math.nan)
        if not math.isnan(value):
            away = max(low - value, value - high, 0.0)
            marks.append(max(0.0, 1.0 - away / max(high - low, LEAST_SPREAD)))
    return float(np.mean(marks)) if marks else math.nan


def drum_figures(piece: Piece) -> dict[str, float]:
    """Return ``kick_bass`` (share of kicks with a bass onset at the same place), ``snare a bar``, and ``kick on 1``
    (share of bars).
    """
    kicks = together = snares = bars = on_one = 0
    has_bass = "bass" in piece.roles
    for bar in piece.bars:
        strokes = bar.parts.get("drums", ())
        if not strokes:
            continue
        bars += 1
        bass = {n[0] for n in bar.parts.get("bass", ())}
        places = [n[0] for n in strokes if n[1] == KICK]
        kicks += len(places)
        together += sum(p in bass for p in places)
        on_one += 0 in places
        snares += sum(n[1] == SNARE for n in strokes)
    return {
        "kick_bass": together / kicks if kicks and has_bass else math.nan,
        "snare a bar": snares / bars if bars else math.nan,
        "kick on 1": on_one / bars if bars else math.nan,
    }


def bass_figures(piece: Piece) -> dict[str, float]:
    """Return what the bass does.

    ``bass in chord`` and ``bass root`` are shares of its notes on beat 1: those among the pitch classes that sound
    above in the first half of the bar, and those that are the root of the chord symbol in force. ``bass repeats`` is
    the share of successive notes on one pitch.
    """
    above = [n for role in PITCHED_ROLES if role != "bass" for n in timed(piece, role)]
    inside = judged = roots = known = 0
    chord = -1
    for start, bar in _starts(piece):
        first = [n for n in bar.parts.get("bass", ()) if n[0] == 0]
        at_once = next((root for at, root, _ in bar.chords if at == 0), None)
        chord = chord if at_once is None else at_once
        if first:
            pitch = first[0][3] % 12
            middle = start + bar.num_positions // 2
            heard = {p % 12 for on, end, p in above if on < middle and end > start}
            if heard:
                judged += 1
                inside += pitch in heard
            if chord >= 0:
                known += 1
                roots += pitch == chord
        chord = bar.chords[-1][1] if bar.chords else chord
    line = timed(piece, "bass")
    steps = [b[2] == a[2] for a, b in itertools.pairwise(line) if b[0] > a[0]]
    return {
        "bass in chord": inside / judged if judged else math.nan,
        "bass root": roots / known if known else math.nan,
        "bass repeats": float(np.mean(steps)) if steps else math.nan,
    }


def return_figures(piece: Piece) -> dict[str, float]:
    """In the first 16 bars: ``tune returns``, share of the tune's bars whose rhythm and intervals came before; for
    each role the share of its sounding bars that repeat an earlier one note for note."""
    bars = piece.bars[:FIRST_BARS]
    figures = {}
    for role in GRID_ROLES:
        seen: set[tuple[tuple[int, ...], ...]] = set()
        count = back = 0
        for bar in bars:
            notes = bar.parts.get(role, ())
            if not notes:
                continue
            content = tuple((n[0], n[1]) if role == "drums" else (n[0], n[2], n[3]) for n in notes)
            count += 1
            back += content in seen
            seen.add(content)
        figures[f"repeats, {role}"] = back / count if count > 1 else math.nan
    shapes: set[tuple[tuple[int, int], ...]] = set()
    count = back = 0
    for bar in bars:
        notes = bar.parts.get("melody", ())
        if len(notes) < LEAST_NOTES:
            continue
        shape = tuple((n[0], n[3] - notes[0][3]) for n in notes)
        count += 1
        back += shape in shapes
        shapes.add(shape)
    figures["tune returns"] = back / count if count > 1 else math.nan
    return figures


def line_figures(piece: Piece) -> dict[str, float]:
    """Of the top line: share of successive notes on one pitch, share of onsets on a beat (quarters; dotted ones in
    compound meters)."""
    line = top_line(piece)
    beats: set[int] = set()
    for start, bar in _starts(piece):
        compound = bar.meter[1] == 8 and bar.meter[0] % 3 == 0
        step = (
            POSITIONS_PER_QUARTER * (3 if compound else 2) // 2
            if bar.meter[1] == 8
            else POSITIONS_PER_QUARTER
        )
        beats.update(range(start, start + bar.num_positions, step))
    return {
        "top line repeats": float(np.mean([a[2] == b[2] for a, b in itertools.pairwise(line)]))
        if len(line) > 1 else math.nan,
        "top line on beat": float(np.mean([n[0] in beats for n in line])) if line else math.nan,
    }  # fmt: skip


def loudness_figures(piece: Piece) -> dict[str, float]:
    """``velocity levels``: mean number a pitched role has; ``shaped``: share of pitched roles with more than one."""
    levels = [
        len({n[1] for bar in piece.bars for n in bar.parts.get(role, ())})
        for role in piece.roles
        if role != "drums"
    ]
    return {
        "velocity levels": float(np.mean(levels)) if levels else math.nan,
        "shaped": float(np.mean([n > 1 for n in levels])) if levels else math.nan,
    }


def swing_figures(piece: Piece) -> dict[str, float]:
    """``swing``: share of the off-beat eighths of all roles that are late (two thirds of the beat, not the half);
    ``swing spread``: widest difference of that share between two roles. Beats with other places in them say nothing."""
    shares = []
    late = straight = 0
    for role in GRID_ROLES:
        own = [0, 0]
        for bar in piece.bars:
            of_beat: dict[int, set[int]] = {}
            for note in bar.parts.get(role, ()):
                beat, place = divmod(note[0], POSITIONS_PER_QUARTER)
                of_beat.setdefault(beat, set()).add(place)
            for places in of_beat.values():
                rest = places - {0}
                if rest in ({SECOND_HALF}, {8}):
                    own[rest == {8}] += 1
        if sum(own) >= PHRASE_BARS:
            shares.append(own[1] / sum(own))
        straight, late = straight + own[0], late + own[1]
    total = late + straight
    return {
        "swing": late / total if total else math.nan,
        "swing spread": max(shares) - min(shares) if len(shares) > 1 else math.nan,
    }


def tune_clash(piece: Piece) -> float:
    """Share of the top line's time in which another pitched role sounds a semitone off (octaves aside)."""
    tune = next((r for r in ("melody", "other") if r in piece.roles), "")
    others = [r for r in PITCHED_ROLES if r != tune and r in piece.roles]
    if not tune or not others:
        return math.nan
    length = sum(bar.num_positions for bar in piece.bars)
    own, theirs = (
        [(onset, min(end, length), pitch) for role in roles for onset, end, pitch in timed(piece, role)]
        for roles in ([tune], others)
    )
    share = clash_share(own, theirs)
    return math.nan if share is None else share


def key_heard(piece: Piece) -> float:
    """1 where the key that is said is the one that Krumhansl and Kessler's profiles hear, else 0."""
    if piece.key is None:
        return math.nan
    weights = np.zeros(12)
    for role in PITCHED_ROLES:
        for onset, end, pitch in timed(piece, role):
            weights[pitch % 12] += end - onset
    heard = estimate_key(weights)
    return math.nan if heard is None else float(heard == piece.key)


def longest_silence(piece: Piece) -> float:
    """Most bars in a row for which a role that plays in the piece is silent."""
    longest = 0
    for role in piece.roles:
        run = 0
        held = 0
        for start, bar in _starts(piece):
            notes = bar.parts.get(role, ())
            run = 0 if notes or held > start else run + 1
            if role != "drums":
                held = max([held, *(start + n[0] + DURATIONS[n[2]] for n in notes)])
            longest = max(longest, run)
    return float(longest) if piece.roles else math.nan


def phrase_ends(piece: Piece) -> float:
    """How much more the drums change at the end of four bars than elsewhere: the mean share of strokes that differ from
    the bar before, at bars 4, 8 …, less that at the others."""
    ends: list[float] = []
    rest: list[float] = []
    for index, (before, bar) in enumerate(zip(piece.bars, piece.bars[1:], strict=False), start=1):
        a = {(n[0], n[1]) for n in before.parts.get("drums", ())}
        b = {(n[0], n[1]) for n in bar.parts.get("drums", ())}
        if a and b:
            (ends if (index + 1) % PHRASE_BARS == 0 else rest).append(len(a ^ b) / len(a | b))
    return float(np.mean(ends) - np.mean(rest)) if ends and rest else math.nan


def cadence(piece: Piece) -> float:
    """Return 1 where the harmony comes home, else 0; NaN without a key or two chords.

    The last chord has the tonic as its root, and the last other one before it stands on the second, fourth, fifth or
    seventh degree of the key.
    """
    roots = _chord_roots(piece)
    if piece.key is None or len({root for _, root in roots}) < 2:
        return math.nan
    tonic = piece.key[0]
    last = roots[-1][1]
    before = next(root for _, root in reversed(roots) if root != last)
    return float(last == tonic and (before - tonic) % 12 in (2, 5, 7, 10, 11))


BLUES_BARS = {1: (0,), 5: (5,), 7: (0,), 9: (7, 2), 11: (0,)}
"""Bars of a chorus of twelve, and the degrees in semitones on which their chord may stand."""


def blues_form(piece: Piece) -> float:
    """Return the share of the bars 1, 5, 7, 9 and 11 of each twelve that begin on the chord of the twelve-bar blues.

    NaN without a key or twelve bars.
    """
    choruses = len(piece.bars) // 12
    roots = _chord_roots(piece)
    if piece.key is None or not choruses or not roots:
        return math.nan
    right = [
        (_root_at(roots, 12 * chorus + bar - 1) - piece.key[0]) % 12 in degrees
        for chorus in range(choruses)
        for bar, degrees in BLUES_BARS.items()
    ]
    return float(np.mean(right))


def _chord_roots(piece: Piece) -> list[tuple[tuple[int, int], int]]:
    """((bar, position), root) of each chord symbol."""
    return [
        ((at, place), root) for at, bar in enumerate(piece.bars) for place, root, _ in bar.chords if root >= 0
    ]


def _root_at(roots: Sequence[tuple[tuple[int, int], int]], bar: int) -> int:
    """Root in force at the beginning of a bar; of the first chord where none has come yet."""
    return next((root for at, root in reversed(roots) if at <= (bar, 0)), roots[0][1])


def top_line(piece: Piece) -> list[Timed]:
    """The highest note at each onset of the tune, else of the other parts, else of the chords."""
    role = next((r for r in ("melody", "other", "chords") if r in piece.roles), None)
    if role is None:
        return []
    highest: dict[int, Timed] = {}
    for note in timed(piece, role):
        if note[0] not in highest or note[2] > highest[note[0]][2]:
            highest[note[0]] = note
    return [highest[at] for at in sorted(highest)]


def timed(piece: Piece, role: str) -> list[Timed]:
    """Notes of a pitched role in order of onset."""
    found = [
        (start + n[0], start + n[0] + DURATIONS[n[2]], n[3])
        for start, bar in _starts(piece)
        for n in bar.parts.get(role, ())
    ]
    return sorted(found)


def _starts(piece: Piece) -> Iterator[tuple[int, GridBar]]:
    at = 0
    for bar in piece.bars:
        yield at, bar
        at += bar.num_positions


@cache
def human_quartiles(style: str) -> Mapping[str, Quartiles]:
    """Return the quartiles of the figures in people's music of a shipped style; nothing for another style.

    They are of windows of ``YARDSTICK_BARS`` bars and were written by ``recipes/measure_yardsticks.py``.
    """
    held = json.loads((Path(__file__).parent / "yardsticks.json").read_text(encoding="utf-8"))
    figures = held["styles"].get(style, {"figures": {}})["figures"]
    return {name: (low, middle, high) for name, (low, middle, high) in figures.items()}


def medians(rows: Sequence[dict[str, float]]) -> dict[str, tuple[float, float, float]]:
    """Lower quartile, median and upper quartile of each figure over pieces, where it is defined."""
    names = rows[0] if rows else ()
    found = {name: quartiles([r[name] for r in rows]) for name in names}
    return {name: quarters for name, quarters in found.items() if quarters is not None}


def quartiles(values: Sequence[float]) -> Quartiles | None:
    """Lower quartile, median and upper quartile of what is not NaN; None where nothing is left."""
    known = [v for v in values if not math.isnan(v)]
    if not known:
        return None
    low, middle, high = np.quantile(known, (0.25, 0.5, 0.75)).tolist()
    return low, middle, high
