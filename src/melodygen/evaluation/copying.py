"""The longest run of notes that a piece shares with the music its model was trained on.

A role of a piece is a sequence of steps (interval to the next note, time to it, duration), so a copy is found in any
key. A run of n notes is n - 1 equal steps; the last note's duration may differ. Notes at one onset come from the lowest
up, with a time of 0 between them. Every pitched role is looked for in every role of every training piece.

The index is a suffix array over the steps of the whole training set, so the answer is exact, for runs of any length.
Nothing is taken off for runs that anyone would write (a scale, one note repeated): the raw length is told, with the
number of different steps in it, by which such runs can be known.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.data.shards import Shards
from melodygen.errors import CorpusError
from melodygen.evaluation.statistics import piece_of
from melodygen.music.score import Score
from melodygen.tokens.grid import PITCHED_ROLES, Piece, meter_positions
from melodygen.tokens.vocabulary import DURATIONS, METERS, SEGMENT_ROLES, VOCABULARY

MAX_COPIED_BARS = 8.0
"""No generated piece may copy more."""
WINDOW = 128
"""Suffixes are sorted by their first WINDOW steps; longer matches are followed from there."""
_COLUMNS = ((0, 4), (4, 16), (16, WINDOW))
_NOWHERE = 2**31 - 1
"""A step in a query that the text has not."""
_BEYOND = -1
"""What stands after the text's end: smaller than everything."""
_MAX_GAP = 1023
_FORMAT = 1

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CopiedRun:
    """``bars`` is the time from the first note's onset to the last note's end, in bars of the piece asked, but no
    more than the number of bars in which a note of the run begins: a shared rest is no copy. ``first_bar`` counts from
    0. ``num_different`` is how many of its steps differ: 1 is one thing over and over."""

    role: str
    num_notes: int
    bars: float
    first_bar: int
    num_different: int
    title: str
    path: str


@dataclass(frozen=True, eq=False)
class CopyIndex:
    """``text``: the alphabet index of each step + 1, 0 after each role of a piece. ``order``: where suffixes start,
    sorted. ``alphabet``: packed steps, sorted. ``begins[i]``: where piece i starts in ``text``."""

    text: NDArray[np.int32]
    order: NDArray[np.int32]
    alphabet: Ints
    begins: Ints
    titles: tuple[str, ...]
    paths: tuple[str, ...]

    def save(self, path: Path) -> None:
        """One ``.npz`` file; one that is there is replaced."""
        names = json.dumps([self.titles, self.paths])
        with atomic_path(path, overwrite=True) as temporary:
            np.savez(
                temporary, format=_FORMAT, text=self.text, order=self.order, alphabet=self.alphabet,
                begins=self.begins, names=np.frombuffer(names.encode(), dtype=np.uint8),
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> CopyIndex:
        """Raises CorpusError when the file is no index."""
        try:
            with np.load(path) as held:
                if int(held["format"]) != _FORMAT:
                    raise CorpusError(f"{path}: a copy index of format {int(held['format'])}; build it again")
                titles, paths = json.loads(held["names"].tobytes().decode())
                return cls(
                    held["text"], held["order"], held["alphabet"], held["begins"], tuple(titles), tuple(paths)
                )
        except (OSError, KeyError, ValueError, BadZipFile) as error:
            raise CorpusError(f"{path} is not a copy index ({error}); build it again") from error


def build_index(shards: Shards, split: str = "train") -> CopyIndex:
    """Index every pitched role of every piece of the split (some 20 s for ten million notes)."""
    piece_of_note, role, onset, pitch, duration = _shard_notes(shards)
    infos = [i for i, info in enumerate(shards.pieces) if info.split == split]
    keep = np.isin(piece_of_note, infos)
    piece_of_note, role, onset, pitch, duration = (
        column[keep] for column in (piece_of_note, role, onset, pitch, duration)
    )
    order = np.lexsort((pitch, onset, role, piece_of_note))
    piece_of_note, role, onset, pitch, duration = (
        column[order] for column in (piece_of_note, role, onset, pitch, duration)
    )
    steps = _steps(onset, pitch, duration)
    voice = piece_of_note * len(SEGMENT_ROLES) + role
    # every note but the last of a voice starts a step; the last one's place takes the separator
    last = np.append(voice[1:] != voice[:-1], True)
    alphabet = np.unique(steps[~last[:-1]])
    text = np.zeros(len(voice), dtype=np.int32)
    inside = np.flatnonzero(~last)
    text[inside] = np.searchsorted(alphabet, steps[inside]) + 1
    begins = np.searchsorted(piece_of_note, infos)
    titles = tuple(shards.pieces[i].title for i in infos)
    paths = tuple(shards.pieces[i].path for i in infos)
    return CopyIndex(text, suffix_array(text), alphabet, begins, titles, paths)


def suffix_array(text: NDArray[np.int32]) -> NDArray[np.int32]:
    """Starts of all suffixes, sorted by their first WINDOW values; doubling (Manber & Myers 1993)."""
    rank = np.unique(text, return_inverse=True)[1].astype(np.int64)
    order = np.argsort(rank, kind="stable")
    length = 1
    while length < min(WINDOW, len(text)):
        following = np.zeros_like(rank)
        following[:-length] = rank[length:] + 1
        key = rank * (len(text) + 1) + following
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        dense = np.concatenate(([0], np.cumsum(ordered[1:] != ordered[:-1])))
        rank[order] = dense
        if dense[-1] == len(text) - 1:
            break
        length *= 2
    return order.astype(np.int32)


def copied_runs(piece: Piece, index: CopyIndex) -> dict[str, CopiedRun]:
    """For each pitched role that has at least two notes, the run that is longest in bars (then in notes)."""
    bar_starts = np.cumsum([0, *(b.num_positions for b in piece.bars)])
    voices: dict[str, tuple[Ints, Ints, Ints]] = {}
    for role in PITCHED_ROLES:
        rows = [
            (start + n[0], n[3], DURATIONS[n[2]])
            for start, bar in zip(bar_starts.tolist(), piece.bars, strict=False)
            for n in bar.parts.get(role, ())
        ]
        if len(rows) >= 2:
            onset, pitch, duration = np.array(sorted(rows), dtype=np.int64).T
            voices[role] = (onset, duration, _query(_steps(onset, pitch, duration), index.alphabet))
    if not voices or not len(index.order):
        return {}
    # all roles are looked up side by side; what ends each is found nowhere, so no run goes on into the next
    query = np.concatenate([np.append(steps, _NOWHERE) for _, _, steps in voices.values()])
    all_lengths, all_places = _longest_matches(query, index)
    found = {}
    at = 0
    for role, (onset, duration, steps) in voices.items():
        length, place = (column[at : at + len(steps)] for column in (all_lengths, all_places))
        at += len(steps) + 1
        first = np.arange(len(steps))
        last = first + length
        in_bar = np.searchsorted(bar_starts, onset, side="right") - 1
        touched = np.cumsum(np.append(1, np.diff(in_bar) > 0))
        ends, begins = (
            np.interp(tick, bar_starts, np.arange(len(bar_starts)))
            for tick in (onset[last] + duration[last], onset[first])
        )
        bars = np.where(length > 0, np.minimum(ends - begins, touched[last] - touched[first] + 1), 0.0)
        best = int(np.lexsort((length, bars))[-1])
        count = int(length[best])
        source = int(np.searchsorted(index.begins, place[best], side="right")) - 1
        found[role] = CopiedRun(
            role,
            count + 1 if count else 0,
            float(bars[best]),
            int(in_bar[best]),
            len(np.unique(steps[best : best + count])),
            index.titles[source] if count else "",
            index.paths[source] if count else "",
        )
    return found


def longest_copied_run(
    score: Score | Piece, index: CopyIndex, roles: Sequence[str] = PITCHED_ROLES
) -> CopiedRun | None:
    """The run, among ``roles``, that is longest in bars; None where no role has two notes.

    Raises TokenError for a Score without notes.
    """
    piece = piece_of(score) if isinstance(score, Score) else score
    runs = [run for role, run in copied_runs(piece, index).items() if role in roles]
    return max(runs, key=lambda run: (run.bars, run.num_notes), default=None)


def _steps(onset: Ints, pitch: Ints, duration: Ints) -> Ints:
    """One packed number for each pair of neighbours: interval, time between, duration of the first."""
    interval = pitch[1:] - pitch[:-1] + 128
    gap = (onset[1:] - onset[:-1]).clip(0, _MAX_GAP)
    return np.asarray((interval * (_MAX_GAP + 1) + gap) * 256 + duration[:-1])


def _query(steps: Ints, alphabet: Ints) -> Ints:
    """Steps as the index spells them; one that is not in the training set becomes ``_NOWHERE``."""
    at = np.searchsorted(alphabet, steps).clip(max=len(alphabet) - 1)
    return (
        np.where(alphabet[at] == steps, at + 1, _NOWHERE) if len(alphabet) else np.full_like(steps, _NOWHERE)
    )


def _longest_matches(query: Ints, index: CopyIndex) -> tuple[Ints, Ints]:
    """For each start in ``query``: steps matched, and where in the text. All starts are searched side by side."""
    text, order = index.text, index.order
    starts = np.arange(len(query))
    padded = np.concatenate((query, np.full(WINDOW, _NOWHERE)))
    wanted = padded[starts[:, None] + np.arange(WINDOW)]
    low, high = np.zeros_like(starts), np.full_like(starts, len(order))
    while (low < high).any():
        middle = (low + high) // 2
        _, smaller = _compare(wanted, text, order[middle.clip(max=len(order) - 1)])
        active = low < high
        low = np.where(active & smaller, middle + 1, low)
        high = np.where(active & ~smaller, middle, high)
    best = np.zeros_like(starts)
    where = np.zeros_like(starts)
    for neighbour in (low - 1, low):
        inside = (neighbour >= 0) & (neighbour < len(order))
        place = order[neighbour.clip(0, len(order) - 1)].astype(np.int64)
        matched, _ = _compare(wanted, text, place)
        matched = np.where(inside, matched, 0)
        better = matched > best
        best, where = np.where(better, matched, best), np.where(better, place, where)
    for start in np.flatnonzero(best == WINDOW).tolist():
        best[start] = _follow(padded, text, start, int(where[start]))
    return best, where


def _compare(wanted: Ints, text: NDArray[np.int32], place: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """(steps in common, whether the text is smaller than what is wanted) for each row.

    Most rows differ soon, so the first columns are compared first, and the next only for the rows that are still equal.
    """
    common = np.full(len(wanted), wanted.shape[1])
    smaller = np.zeros(len(wanted), dtype=bool)
    rows = np.arange(len(wanted))
    for begin, end in _COLUMNS:
        at = place[rows, None] + np.arange(begin, end)
        there = np.where(at < len(text), text[at.clip(max=len(text) - 1)], _BEYOND)
        differs = there != wanted[rows, begin:end]
        first = differs.argmax(axis=1)
        decided = differs[np.arange(len(rows)), first]
        chosen, column = rows[decided], first[decided]
        common[chosen] = begin + column
        smaller[chosen] = there[decided, column] < wanted[chosen, begin + column]
        rows = rows[~decided]
        if not len(rows):
            break
    return common, smaller


def _follow(query: Ints, text: NDArray[np.int32], start: int, place: int) -> int:
    length = WINDOW
    while (
        start + length < len(query)
        and place + length < len(text)
        and query[start + length] == text[place + length]
    ):
        length += 1
    return length


def _shard_notes(shards: Shards) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """(piece, role, onset in twelfths from the piece's start, pitch, duration) of every pitched note."""
    tokens = np.asarray(shards.arrays["tokens"]).astype(np.int64)
    lengths = np.asarray(shards.arrays["lengths"]).astype(np.int64)
    sizes = np.array([meter_positions(m) for m in METERS])[np.asarray(shards.arrays["meters"])]
    bar_onset = np.concatenate(([0], np.cumsum(sizes)))
    first_bars = np.array([p.first_bar for p in shards.pieces], dtype=np.int64)
    segment = np.repeat(np.arange(lengths.size), lengths.ravel())
    notes = np.flatnonzero(_is_kind(tokens, "pitch"))
    segment = segment[notes]
    bar, role = segment // lengths.shape[1], segment % lengths.shape[1]
    piece = np.searchsorted(first_bars, bar, side="right") - 1
    position = _last_value(tokens, "position")[notes]
    duration = np.array(DURATIONS)[_last_value(tokens, "duration")[notes]]
    onset = bar_onset[bar] - bar_onset[first_bars[piece]] + position
    return piece, role, onset, tokens[notes] - VOCABULARY.offsets["pitch"], duration


def _is_kind(tokens: Ints, kind: str) -> NDArray[np.bool_]:
    span = VOCABULARY.slice(kind)
    return np.asarray((tokens >= span.start) & (tokens < span.stop))


def _last_value(tokens: Ints, kind: str) -> Ints:
    """For each place the value of the last token of that kind; a pitch always has one in its own segment."""
    at = np.where(_is_kind(tokens, kind), np.arange(len(tokens)), 0)
    return np.asarray(tokens[np.maximum.accumulate(at)] - VOCABULARY.offsets[kind])
