"""Find a phrase: in any key and tempo, from anywhere in a line, with wrong, missing and extra notes.

The question's intervals are aligned with all steps of the library at once (semi-global alignment; Mongeau & Sankoff
1990). In costs, a note that is

    wrong     4     two intervals differ and their sum does not
    missing   4     one interval of the question is two of the text
    extra     4     two intervals of the question are one of the text
    else      6     an interval differs and stays so: the rest is in another key
    hasty     0-2   the time to the next note, relative to the time before, is another

so that no move looks back within one row of the table, and numpy fills a row for every place of every tune in one go.
The scan is exact: it needs two bytes a note and no index that could miss a damaged phrase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError
from melodygen.library.lines import BREAK, STEPS_A_DOUBLING, Phrase
from melodygen.library.rows import Rows

WRONG, ELSE, HASTY = 4, 6, 2
UNEVEN = 12.0
"""Cost of a rhythm that has nothing in common with the question's."""
SHORTLIST = 300
"""Tracks that are aligned note for note."""
MAX_NOTES = 32
"""Of a phrase: more are cut off (``identify`` takes whole pieces)."""
CHUNK = 1 << 16
HOPELESS = 100
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class PhraseHit:
    """``first_row``, ``last_row``: notes of the track's lines that the phrase was found at, counted from the track's
    first. ``cost`` as in the module; ``likeness`` 1.0 for the phrase itself, 0.0 for what every tune holds."""

    track_id: int
    first_row: int
    last_row: int
    cost: float
    likeness: float


def find_phrase(phrase: Phrase, steps: Rows, top: int) -> list[PhraseHit]:
    """The best place of each of the ``top`` likeliest tracks, best first. Raises LibraryError for no line at all."""
    if not len(steps.matrix):
        raise LibraryError("the library holds no melodic line; add MIDI or score files")
    asked = phrase.steps()[: MAX_NOTES - 1]
    cost = scan(asked, steps.matrix, phrase.onsets is not None)
    best = np.minimum.reduceat(cost, steps.first)
    chosen = np.argsort(best, kind="stable")[: max(top, SHORTLIST)]
    begins, ends = steps.first[chosen], (steps.first + steps.count)[chosen]
    last = np.array(
        [b + int(np.argmin(cost[b:e])) for b, e in zip(begins.tolist(), ends.tolist(), strict=True)]
    )
    found = trace(asked, _windows(steps.matrix, begins, last, 2 * len(asked) + 1))
    onsets = None if phrase.onsets is None else np.asarray(phrase.onsets[:MAX_NOTES])
    worst = ELSE * len(asked) / 2
    hits = []
    for i, (value, pairs, times) in enumerate(found):
        total = value + (0.0 if onsets is None else UNEVEN * _unevenness(onsets[pairs[:, 0]], times))
        first_row = int(last[i] - begins[i]) - int(pairs[-1, 1] - pairs[0, 1]) + 1
        likeness = round(max(0.0, 1.0 - total / worst), 4)
        hits.append(
            PhraseHit(
                int(steps.track[chosen[i]]),
                first_row,
                int(last[i] - begins[i]) + 1,
                round(total, 3),
                likeness,
            )
        )
    return sorted(hits, key=lambda hit: hit.cost)[:top]


def scan(asked: NDArray[np.int8], text: NDArray[np.int8], timed: bool) -> Bytes:
    """(N,): cost of the best alignment of all of ``asked`` (m, 2) that ends with each row of ``text`` (N, 2)."""
    out = np.empty(len(text), dtype=np.uint8)
    reach = 2 * len(asked) + 2
    for start in range(0, len(text), CHUNK):
        before = max(0, start - reach)
        table = _align(asked, np.asarray(text[before : start + CHUNK]), timed)
        out[start : start + CHUNK] = table[start - before :]
    return out


def _align(
    asked: NDArray[np.int8], text: NDArray[np.int8], timed: bool, moves: list[Bytes] | None = None
) -> Bytes:
    """(N,): cost of ``asked`` ending with each row of ``text``. ``moves`` gets a row a step: which move was best."""
    interval = text[:, 0].astype(np.int16)
    broken = interval == BREAK
    pair = np.full_like(interval, BREAK)
    pair[1:] = interval[1:] + interval[:-1]
    pair[1:][broken[1:] | broken[:-1]] = BREAK
    never = broken.view(np.uint8) * np.uint8(HOPELESS)
    slower = np.diff(text[:, 1].astype(np.int16), prepend=np.int16(0)) if timed else None
    before: Bytes | None = None
    row = np.zeros(len(text), dtype=np.uint8)
    """``row[i]``: cost of what was asked so far, ending with row i."""
    for j in range(len(asked)):
        wanted = int(asked[j, 0])
        edge = 0 if j == 0 else HOPELESS
        step = _price(interval, wanted, 0, WRONG if j == 0 else ELSE)
        if slower is not None and j:
            change = np.int16(int(asked[j, 1]) - int(asked[j - 1, 1]))
            step += np.minimum(np.abs(slower - change) >> 2, HASTY).astype(np.uint8)
        ways = [_shift(row, 1, edge) + step, _shift(row, 2, edge) + _price(pair, wanted, WRONG, HOPELESS)]
        if before is not None:
            both, first = wanted + int(asked[j - 1, 0]), 0 if j == 1 else HOPELESS
            ways.append(_shift(before, 2, first) + _price(pair, both, WRONG, HOPELESS))
            ways.append(_shift(before, 1, first) + _price(interval, both, WRONG, HOPELESS))
        if j == len(asked) - 1:  # a wrong last note
            ways[0] = np.minimum(ways[0], _shift(row, 1, edge) + np.uint8(WRONG))
        if moves is not None:
            moves.append(np.argmin(ways, axis=0).astype(np.uint8))
        found = ways[0]
        for way in ways[1:]:
            np.minimum(found, way, out=found)
        before, row = row, np.minimum(found + never, HOPELESS).astype(np.uint8)
    return row


def _price(there: NDArray[np.int16], wanted: int, same: int, other: int) -> Bytes:
    price: Bytes = (there != wanted).view(np.uint8) * np.uint8(other - same) + np.uint8(same)
    return price


def _shift(row: Bytes, by: int, edge: int) -> Bytes:
    """What stood ``by`` rows before; ``edge`` stood right before the text, and nothing before that."""
    out = np.empty_like(row)
    out[:by] = HOPELESS
    out[by - 1 : by] = edge
    out[by:] = row[:-by] if by < len(row) else row[:0]
    return out


def _windows(
    matrix: NDArray[np.int8], begins: NDArray[np.int64], last: NDArray[np.int64], reach: int
) -> NDArray[np.int8]:
    """(K, reach + 1, 2): a break, and the rows that end with ``last``; breaks stand before the track's own."""
    at = last[:, None] - np.arange(reach - 1, -1, -1)
    rows = np.asarray(matrix[at.clip(min=0)])
    rows[at < begins[:, None]] = (BREAK, 0)
    return np.concatenate((np.full((len(rows), 1, 2), (BREAK, 0), np.int8), rows), axis=1)


_MOVES = ((1, 1), (1, 2), (2, 2), (2, 1))
"""(steps of the question, rows of the text) of the ways in ``_align``."""


def trace(
    asked: NDArray[np.int8], windows: NDArray[np.int8]
) -> list[tuple[float, NDArray[np.int64], NDArray[np.float64]]]:
    """For each window (K, W, 2), ending with its last row: the cost, the pairs (note of the question, note of the
    window) that were aligned, first to last, and when the window's sound, in quarters."""
    moves: list[Bytes] = []
    cost = _align(asked, windows.reshape(-1, 2), False, moves)
    width = windows.shape[1]
    found = []
    for k in range(len(windows)):
        i, j = k * width + width - 1, len(asked) - 1
        value = float(cost[i])
        pairs = [(j + 1, i + 1)]
        while j >= 0 and i >= k * width:
            back, along = _MOVES[moves[j][i]]
            i, j = i - along, j - back
            pairs.append((j + 1, i + 1))
        table = np.array(pairs[::-1], dtype=np.int64)
        times = np.concatenate(([0.0], np.cumsum(2.0 ** (windows[k, :, 1] / STEPS_A_DOUBLING))))
        table[:, 1] -= k * width
        found.append((value, table, times[table[:, 1]]))
    return found


def _unevenness(asked: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """How far two rhythms are apart at their best common tempo: 0 for the same, 1 for none in common."""
    own = np.diff(asked) / max(float(asked[-1] - asked[0]), 1e-6)
    other = np.diff(found) / max(float(found[-1] - found[0]), 1e-6)
    return float(min(1.0, np.abs(own - other).sum() / 2 * 2))


__all__ = ["MAX_NOTES", "PhraseHit", "find_phrase", "scan", "trace"]
