"""Merging new notes into a user's piece: what is given stays to the tick, whatever grid the notes were
written on.

The net writes on a grid of whole bars. ``BarLines`` converts a grid position to the piece's own ticks, where
a bar may be shorter than its meter (a pickup, or a bar that a meter change cuts short), and where tempo and
meter may change.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from melodygen.music.harmony import chord_label
from melodygen.music.score import Chord, KeySignature, Note, Score, Tempo, Track, note_array
from melodygen.request import CONTROLS
from melodygen.tokens.grid import GridBar, Piece
from melodygen.tokens.vocabulary import (
    CHORD_QUALITY_NAMES,
    DRUM_VELOCITIES,
    DRUMS,
    DURATIONS,
    POSITIONS_PER_QUARTER,
    VELOCITIES,
)

MIN_QPM, MAX_QPM = CONTROLS["qpm"].low, CONTROLS["qpm"].high


@dataclass(frozen=True)
class BarLines:
    """Where grid bars lie in a piece.

    Attributes:
        starts: grid position of each bar line, one more than there are bars.
        ticks: tick of each bar line in the piece.
        ticks_per_quarter: resolution of the piece.
    """

    starts: tuple[int, ...]
    ticks: tuple[int, ...]
    ticks_per_quarter: int

    @classmethod
    def of(cls, score: Score, bars: Sequence[GridBar]) -> BarLines:
        """Return the bar lines of a score whose meters are those of the grid; bars behind its end follow in
        the last meter.
        """
        unit = score.ticks_per_quarter / POSITIONS_PER_QUARTER
        ticks = score.bar_ticks(max(score.end_tick, 1))
        for bar in bars[len(ticks) - 1 :]:
            ticks.append(ticks[-1] + round(bar.num_positions * unit))
        starts = np.cumsum([0, *(bar.num_positions for bar in bars)]).tolist()
        return cls(tuple(starts), tuple(ticks[: len(bars) + 1]), score.ticks_per_quarter)

    def tick(self, position: int) -> int:
        """Return the tick of a grid position; a position behind the end of a short bar falls on its end."""
        bar = min(bisect_right(self.starts, position), len(self.starts) - 1) - 1
        into = (position - self.starts[bar]) * self.ticks_per_quarter / POSITIONS_PER_QUARTER
        return min(self.ticks[bar] + round(into), self.ticks[bar + 1])

    def bars_of(self, first_tick: int, end_tick: int) -> tuple[int, int]:
        """Return (first, count) of the grid bars that hold the ticks from ``first_tick`` up to
        ``end_tick``.
        """
        first = max(0, bisect_right(self.ticks, first_tick) - 1)
        last = max(first + 1, int(np.searchsorted(self.ticks, end_tick, side="left")))
        return first, min(last, len(self.ticks) - 1) - first


def written_rows(
    piece: Piece, lines: BarLines, role: str, bars: range, end_tick: int
) -> list[tuple[int, int, int, int]]:
    """Return the notes of a role in these bars as rows in ticks.

    No note begins behind its bar or ends behind ``end_tick``.
    """
    rows = []
    for index in bars:
        start = lines.starts[index]
        for note in piece.bars[index].parts.get(role, ()):
            onset = lines.tick(start + note[0])
            drum = role == "drums"
            end = min(lines.tick(start + note[0] + (1 if drum else DURATIONS[note[2]])), end_tick)
            if onset >= min(lines.ticks[index + 1], end_tick):
                continue
            pitch, velocity = (
                (DRUMS[note[1]][0], DRUM_VELOCITIES[note[2]]) if drum else (note[3], VELOCITIES[note[1]])
            )
            rows.append((onset, max(1, end - onset), pitch, velocity))
    return rows


def main_track(score: Score, role: str) -> int | None:
    """Return the index of the track of a role that has most notes, or None."""
    own = [i for i, track in enumerate(score.tracks) if track.role == role]
    return max(own, key=lambda i: len(score.tracks[i]), default=None)


def merge(
    given: Score,
    piece: Piece,
    lines: BarLines,
    roles: Sequence[str],
    programs: Mapping[str, int],
    bars: range,
    span: tuple[int, int] | None = None,
) -> Score:
    """Return ``given`` with the notes of ``roles`` that ``piece`` holds in ``bars``; everything else stays,
    track for track.

    The old notes of these roles (with ``span``: those that begin in it) are removed. The new ones go into the
    role's track with most notes; a role without a track gets a new one behind the others.

    Args:
        given: the user's piece.
        piece: the written piece on the grid.
        lines: bar lines of both.
        roles: roles that were written.
        programs: General MIDI program of a new track, by role.
        bars: the bars that were written.
        span: ticks of an infill, or None.
    """
    first_tick, end_tick = span or (0, max(lines.ticks[-1], given.end_tick))
    tracks = list(given.tracks)
    for role in roles:
        rows = written_rows(piece, lines, role, bars, end_tick)
        rows = [row for row in rows if row[0] >= first_tick]
        into = main_track(given, role)
        for index, track in enumerate(given.tracks):
            if track.role == role:
                kept = [n for n in track if not first_tick <= n.onset_tick < end_tick] if span else []
                new = _clear_of(kept, rows) if index == into else []
                tracks[index] = replace(track, notes=note_array([*kept, *new]))
        if into is None and rows:
            tracks.append(Track(note_array(rows), programs.get(role, 0), role == "drums", role, role))
    return replace(given, tracks=tuple(tracks))


def _clear_of(kept: list[Note], rows: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Return the new notes that do not run into kept ones of the same pitch.

    A note that would begin inside such a note is left out; one that would reach the next ends there.
    """
    by_pitch: dict[int, list[Note]] = {}
    for note in kept:
        by_pitch.setdefault(note.pitch, []).append(note)
    clear = []
    for onset, duration, pitch, velocity in rows:
        others = by_pitch.get(pitch, [])
        if any(n.onset_tick <= onset < n.offset_tick for n in others):
            continue
        following = min((n.onset_tick for n in others if n.onset_tick > onset), default=onset + duration)
        clear.append((onset, min(duration, following - onset), pitch, velocity))
    return clear


def with_harmony(
    merged: Score, piece: Piece, lines: BarLines, span: tuple[int, int] | None, qpm: float | None, asked: bool
) -> Score:
    """Return the merged score with chords, key and tempo: the given piece's own where it has them, else those
    of ``piece``.

    Args:
        merged: the given piece with the new notes.
        piece: the written piece on the grid.
        lines: bar lines of both.
        span: ticks of an infill, or None.
        qpm: replaces a single tempo, unless that tempo is outside the range of requests.
        asked: the chords were requested, and replace the piece's own.
    """
    found = [
        Chord(
            lines.tick(lines.starts[index] + at),
            "N" if root < 0 else chord_label(root, CHORD_QUALITY_NAMES[quality]),
        )
        for index, bar in enumerate(piece.bars)
        for at, root, quality in bar.chords
    ]
    own = merged.chords
    if own and span is not None:
        found = [c for c in found if span[0] <= c.tick < span[1]]
        found += [c for c in own if not span[0] <= c.tick < span[1]]
    elif own and not asked:
        found = list(own)
    keys = merged.key_signatures or ((KeySignature(0, *piece.key),) if piece.key else ())
    tempos = merged.tempos
    if qpm is not None and len(tempos) == 1 and MIN_QPM <= tempos[0].qpm <= MAX_QPM:
        tempos = (Tempo(0, qpm),)
    return replace(merged, chords=tuple(found), key_signatures=keys, tempos=tempos)


def describe_changes(given: Score, roles: Sequence[str], span: tuple[int, int] | None) -> list[str]:
    """Return a sentence for each role of the given piece whose notes will be replaced."""
    said = []
    for role in roles:
        own = [t for t in given.tracks if t.role == role and len(t)]
        first, end = span or (0, given.end_tick + 1)
        count = sum(
            int(((t.notes["onset_tick"] >= first) & (t.notes["onset_tick"] < end)).sum()) for t in own
        )
        if not count:
            continue
        names = ", ".join(repr(t.name or t.role) for t in own)
        where = "in the bars to fill" if span else "of the file"
        silent = (
            f"; of the {len(own)} tracks one is written anew, the others fall silent there"
            if len(own) > 1
            else ""
        )
        said.append(f"{count} notes of the {role} {where} ({names}) are replaced{silent}")
    return said


__all__ = ["BarLines", "describe_changes", "main_track", "merge", "with_harmony", "written_rows"]
