"""What scores share: runs of equal steps between their lines, in any key and tempo, joined over small differences.

A gram is ``GRAM`` intervals in a row as one number. Equal grams of two lines are seeds; seeds on about one diagonal
(note i of one line is note i + d of the other) with small gaps are one shared passage, so a wrong, a missing or an
added note does not end it. Grams of one or two different intervals (a trill, a scale, a repeated note) are no seeds,
nor are those that the library holds too often: everybody writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.library.lines import BREAK
from melodygen.library.match import Match
from melodygen.library.rows import Rows

GRAM, LONG_GRAM = 6, 9
"""Intervals: of a seed of ``identify``, and of ``copies``, where every track asks."""
PLAIN = 2
"""Intervals that are neither the last nor the one before it; a gram with fewer is a trill, a scale, a repeated note."""
COMMON = 60
"""Places of a gram in the library above which it is no seed of ``copies``."""
DRIFT = 3
"""Notes by which neighbouring seeds may leave the diagonal."""
MAX_GAP = 10
"""Notes between two seeds of one passage."""
MIN_NOTES = 10
MIN_SEEDS = 4
TEMPO_RATIOS = (0.3, 3.3)
"""Of a passage that is told; a ratio beyond is chance, or a rest."""
_BITS = 22
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

Ints = NDArray[np.int64]
Notes = NDArray[np.void]


@dataclass(frozen=True, eq=False)
class Passage:
    """Notes ``question[begin:end]`` and ``track[begin:end]`` of two tracks' lines; ``num_seeds`` grams were equal."""

    question: tuple[int, int]
    track: tuple[int, int]
    num_seeds: int

    @property
    def num_notes(self) -> int:
        """Of the track."""
        return self.track[1] - self.track[0]


def grams(steps: NDArray[np.int8], size: int = GRAM) -> NDArray[np.uint64]:
    """(N, 2) steps -> (N,): hash of the gram of ``size`` intervals that begins with each row; 0 for no seed."""
    count = len(steps) - size + 1
    out = np.zeros(len(steps), dtype=np.uint64)
    if count < 1:
        return out
    interval = np.asarray(steps[:, 0])
    coded = (interval.astype(np.int16) + 129).astype(np.uint64)
    broken = np.concatenate(([0], np.cumsum(interval == BREAK)))
    whole = broken[size:] == broken[:count]
    value = np.zeros(count, dtype=np.uint64)
    different = np.zeros(count, dtype=np.int8)
    for k in range(size):
        here = interval[k : k + count]
        value = value * _FACTOR + coded[k : k + count]
        if k:  # a change from the one before last as well as from the last: a trill has none
            different += (here != interval[k - 1 : k - 1 + count]) & (
                (here != interval[k - 2 : k - 2 + count]) if k > 1 else True
            )
    out[:count] = np.where(whole & (different >= PLAIN), value | np.uint64(1), 0)
    return out


def identify_notes(
    notes: Notes, steps: NDArray[np.int8], library: Rows, top: int
) -> list[tuple[int, Passage]]:
    """(track, passage) of the ``top`` tracks that share most with a question's lines, most first."""
    asked = grams(steps)
    wanted = np.unique(asked[asked > 0])
    if not len(wanted) or not len(library.matrix):
        return []
    text = grams(library.matrix)
    places = _places_of(wanted, text)
    if not len(places):
        return []
    which = np.searchsorted(wanted, text[places])
    often = np.bincount(which, minlength=len(wanted))
    rare = often <= max(COMMON, np.quantile(often, 0.5))
    places, which = places[rare[which]], which[rare[which]]
    weight = 1.0 / np.sqrt(often[which])
    order = np.argsort(asked, kind="stable")
    first = np.searchsorted(asked[order], wanted)
    span = np.searchsorted(library.first, places, side="right") - 1
    # one of the question's places of each gram is enough to rank the tracks: distinct grams count, not repeats
    pair = np.unique(span * len(wanted) + which, return_index=True)[1]
    score = np.bincount(span[pair], weights=weight[pair], minlength=len(library.first))
    found = []
    for i in np.argsort(-score, kind="stable")[: 3 * top].tolist():
        if score[i] <= 0:
            break
        mine = span == i
        in_track = places[mine] - library.first[i]
        asked_at = [
            order[first[w] : first[w] + _count(asked, order, first[w], wanted[w])]
            for w in which[mine].tolist()
        ]
        q = np.concatenate(asked_at)
        t = np.repeat(in_track, [len(a) for a in asked_at])
        passage = best_passage(
            q, t, _line_of(steps), _line_of(library.matrix[library.first[i] :][: library.count[i]])
        )
        if passage is not None and passage.num_notes >= min(MIN_NOTES, len(notes)):
            found.append((int(library.track[i]), passage))
    found.sort(key=lambda pair: (-pair[1].num_seeds, pair[0]))
    return found[:top]


def _count(asked: NDArray[np.uint64], order: Ints, first: int, value: np.uint64) -> int:
    """How many of the question's places hold a gram; eight are enough."""
    return int((asked[order[first : first + 8]] == value).sum())


def _places_of(wanted: NDArray[np.uint64], text: NDArray[np.uint64]) -> Ints:
    """Where ``text`` holds one of ``wanted`` (sorted): a table of bits first, so that few need the exact look-up."""
    table = np.zeros(1 << _BITS, dtype=bool)
    table[_mixed(wanted)] = True
    likely = np.flatnonzero(table[_mixed(text)] & (text > 0))
    at = np.searchsorted(wanted, text[likely]).clip(max=len(wanted) - 1)
    return np.asarray(likely[wanted[at] == text[likely]])


def _mixed(values: NDArray[np.uint64]) -> Ints:
    return ((values * _FACTOR) >> np.uint64(64 - _BITS)).astype(np.int64)


def _line_of(steps: NDArray[np.int8]) -> Ints:
    """(N,): which line each row of a track belongs to."""
    return np.concatenate(([0], np.cumsum(steps[:-1, 0] == BREAK)))


def best_passage(
    question: Ints, track: Ints, question_line: Ints, track_line: Ints, size: int = GRAM
) -> Passage | None:
    """The passage with most seeds, from seeds (row of the question, row of the track) and the lines of all rows."""
    if not len(question):
        return None
    lines = question_line[question] * (int(track_line[-1]) + 1) + track_line[track]
    order = np.lexsort((question, track - question, lines))
    q, t, lines = question[order], track[order], lines[order]
    group = np.concatenate(([0], np.cumsum((np.diff(t - q) > DRIFT) | (np.diff(lines) > 0))))
    order = np.lexsort((q, group))
    q, t, group = q[order], t[order], group[order]
    jump = (np.diff(group) > 0) | (np.diff(q) > MAX_GAP) | (np.abs(np.diff(t)) > MAX_GAP + DRIFT)
    piece = np.concatenate(([0], np.cumsum(jump)))
    begins = np.flatnonzero(np.concatenate(([True], np.diff(piece) > 0)))
    fresh = np.concatenate(([True], (np.diff(q) > 0) | (np.diff(piece) > 0)))
    seeds = np.add.reduceat(fresh.astype(np.int64), begins)
    best = int(np.argmax(seeds))
    b, e = int(begins[best]), int(np.append(begins, len(piece))[best + 1])
    return Passage(
        (int(q[b:e].min()), int(q[b:e].max()) + size + 1),
        (int(t[b:e].min()), int(t[b:e].max()) + size + 1),
        int(seeds[best]),
    )


def shared_passages(library: Rows, mine: Ints, others: Ints) -> Iterator[tuple[int, int, Passage]]:
    """(track of ``mine``, track of ``others``, passage) for each pair of tracks that share one; a pair comes once."""
    a_rows, b_rows = _equal_pairs(grams(library.matrix, LONG_GRAM))
    a_span, b_span = (np.searchsorted(library.first, rows, side="right") - 1 for rows in (a_rows, b_rows))
    is_mine, is_other = np.isin(library.track, mine), np.isin(library.track, others)
    swap = ~(is_mine[a_span] & is_other[b_span])
    a_rows, b_rows = np.where(swap, b_rows, a_rows), np.where(swap, a_rows, b_rows)
    a_span, b_span = np.where(swap, b_span, a_span), np.where(swap, a_span, b_span)
    keep = (a_span != b_span) & is_mine[a_span] & is_other[b_span]
    a_rows, b_rows, a_span, b_span = a_rows[keep], b_rows[keep], a_span[keep], b_span[keep]
    pair = np.minimum(a_span, b_span) * len(library.first) + np.maximum(a_span, b_span)
    order = np.argsort(pair, kind="stable")
    edges = np.flatnonzero(np.diff(pair[order], prepend=-1, append=-1))
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if end - begin < MIN_SEEDS:
            continue
        here = order[begin:end]
        a, b = int(a_span[here[0]]), int(b_span[here[0]])
        turned = a_span[here] != a
        q = np.where(turned, b_rows[here], a_rows[here]) - library.first[a]
        t = np.where(turned, a_rows[here], b_rows[here]) - library.first[b]
        a_line, b_line = (_line_of(library.matrix[library.first[i] :][: library.count[i]]) for i in (a, b))
        passage = best_passage(q, t, a_line, b_line, LONG_GRAM)
        if passage is not None and passage.num_seeds >= MIN_SEEDS:
            yield int(library.track[a]), int(library.track[b]), passage


def _equal_pairs(text: NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Rows (i, j), i < j, that hold the same gram, of grams that are held at most ``COMMON`` times."""
    places = np.flatnonzero(text)
    order = places[np.argsort(text[places], kind="stable")]
    values = text[order]
    edges = (
        np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
        if len(values)
        else np.zeros(0, np.int64)
    )
    sizes = np.diff(np.append(edges, len(values)))
    order = order[np.repeat(sizes <= COMMON, sizes)]
    values = text[order]
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for apart in range(1, COMMON):
        same = np.flatnonzero(values[apart:] == values[:-apart])
        if not len(same):
            break
        first.append(order[same])
        second.append(order[same + apart])
    return np.concatenate(first), np.concatenate(second)


def match_of(track_id: int, passage: Passage, question: Notes, track: Notes) -> Match:
    """A passage as a match, from the notes of both."""
    a, b = question[slice(*passage.question)], track[slice(*passage.track)]
    same = min(len(a), len(b))
    semitones = int(np.median(b["pitch"][:same].astype(int) - a["pitch"][:same].astype(int)))
    spent, took = (float(n["second"][-1] - n["second"][0]) for n in (a, b))
    ends = min(passage.track[1], len(track) - 1)
    after = track[ends] if track["line"][ends] == b["line"][0] else b[-1]
    last_bar = min(float(after["bar"]), float(b["bar"][-1]) + 1.0)
    expected = max(1, max(len(a), len(b)) - GRAM)
    return Match(
        track_id=track_id,
        question_start=float(a["second"][0]),
        question_end=float(a["second"][-1]),
        track_start=float(b["second"][0]),
        track_end=float(b["second"][-1]),
        semitones=float(semitones),
        tempo_ratio=took / spent if spent > 0 and took > 0 else 1.0,
        likeness=min(1.0, passage.num_seeds / expected),
        strength=float(passage.num_seeds),
        bars=max(0.0, last_bar - float(b["bar"][0])),
    )


def matches_of(found: list[tuple[int, Passage]], question: Notes, notes: Mapping[int, Notes]) -> list[Match]:
    """What was found, as matches; passages whose tempo ratio is beyond ``TEMPO_RATIOS`` are left out."""
    all_of_them = [match_of(i, passage, question, notes[i]) for i, passage in found if i in notes]
    return [m for m in all_of_them if TEMPO_RATIOS[0] <= m.tempo_ratio <= TEMPO_RATIOS[1]]


__all__ = ["Passage", "best_passage", "grams", "identify_notes", "match_of", "matches_of", "shared_passages"]
