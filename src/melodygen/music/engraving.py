"""Bars as a player reads them: written values, ties, dots, triplets, rests and voices from the notes of a track.

Played lengths are not written lengths. Onsets go to the sixteenth, or to the triplet or thirty-second where a beat
needs it; a note sounds until the next one where most of the time between is filled, so that there are few rests; no
written value hides a beat. A note is never lost or added: what the voices of a staff cannot hold is made shorter.

Conventions: time is in ``UNITS_PER_QUARTER`` units from the start of the bar (48: sixteenths are 12, triplet eighths
16). ``WrittenBar.voices`` hold events without gaps, the upper voice first. The rules follow Gould, Behind Bars
(2011), ch. 6.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from melodygen.music.beats import UNITS_PER_QUARTER, Beats, Cell, beats_of, divide

MAX_VOICES = 2
FILLED = 0.6
_TYPES = {
    192: "whole",
    96: "half",
    48: "quarter",
    24: "eighth",
    12: "16th",
    6: "32nd",
    3: "64th",
    384: "breve",
}
_FLAGS = {"eighth": 1, "16th": 2, "32nd": 3, "64th": 4}


@dataclass(frozen=True)
class WrittenNote:
    """One note head: MIDI pitch and velocity, where its note begins in the piece (heads that are tied have one
    ``start``), and whether a tie reaches it or leaves it."""

    pitch: int
    velocity: int
    start: int = 0
    tied_from: bool = False
    tied_to: bool = False


@dataclass(frozen=True)
class Event:
    """A chord, a note or a rest (no notes) with one written value. ``tuplet`` is (3, 2): three in the time of two;
    ``tuplet_edge`` is ``start`` or ``stop`` at its ends. ``beams``: one word a beam, from the outermost."""

    onset: int
    length: int
    type: str
    dots: int = 0
    notes: tuple[WrittenNote, ...] = ()
    tuplet: tuple[int, int] | None = None
    tuplet_edge: str = ""
    beams: tuple[str, ...] = ()


@dataclass(frozen=True)
class WrittenBar:
    """``voices`` in their places, without events where they are silent; all of them silent is a bar of rest."""

    length: int
    voices: tuple[tuple[Event, ...], ...]


@dataclass(frozen=True)
class PlayedNote:
    """A note to be written; ``start`` and ``end`` in units from the start of the piece."""

    start: float
    end: float
    pitch: int
    velocity: int


@dataclass
class _Chord:
    start: int
    end: int
    notes: list[PlayedNote] = field(default_factory=list)


def engrave(
    notes: Iterable[PlayedNote],
    bar_lengths: Sequence[int],
    meters: Sequence[tuple[int, int]],
    is_drum: bool = False,
    max_voices: int = MAX_VOICES,
) -> list[WrittenBar]:
    """The bars of one staff. ``notes`` in units from the start of the piece, ``bar_lengths`` in units; of a line for
    one player (``max_voices`` 1) a note ends where the next begins."""
    starts = [0, *accumulate(bar_lengths)]
    played = sorted((n for n in notes if n.start < starts[-1]), key=lambda n: (n.start, n.pitch))
    beats = [beats_of(*meter, length) for meter, length in zip(meters, bar_lengths, strict=True)]
    onsets = [n.start for n in played]
    cells: list[list[Cell]] = []
    for i, beat in enumerate(beats):
        low, high = (bisect_right(onsets, edge - 0.5) for edge in starts[i : i + 2])
        cells.append(divide([o - starts[i] for o in onsets[low:high]], beat, starts[i]))
    flat = [cell for bar in cells for cell in bar]
    slots = sorted({slot for cell in flat for slot in cell.slots} | {starts[-1]})
    placed = _placed(played, slots)
    if is_drum:
        inside = {e for c in flat if c.is_triplet for e in range(c.start + 1, c.end)}
        edges = {starts[i] + edge for i, beat in enumerate(beats) for edge in beat.edges} - inside
        voices = [_strokes(placed, sorted(edges))]
    else:
        voices = _with_lengths(_voices(placed, max_voices), _Ends(flat, starts))
    written: list[list[tuple[Event, ...]]] = [[() for _ in voices] for _ in bar_lengths]
    for place, voice in enumerate(voices):
        for i, chords in _by_bar(voice, starts).items():
            tuplets = [replace(c, start=c.start - starts[i]) for c in cells[i] if c.is_triplet]
            written[i][place] = _bar(chords, starts[i], beats[i], tuplets)
    return [WrittenBar(length, tuple(events)) for length, events in zip(bar_lengths, written, strict=True)]


def _by_bar(voice: Sequence[_Chord], starts: Sequence[int]) -> dict[int, list[_Chord]]:
    bars: dict[int, list[_Chord]] = {}
    for chord in voice:
        for i in range(bisect_right(starts, chord.start) - 1, bisect_right(starts, chord.end - 1)):
            bars.setdefault(i, []).append(chord)
    return bars


def _placed(played: Sequence[PlayedNote], slots: Sequence[int]) -> list[tuple[int, PlayedNote]]:
    """Each note at its slot; a pitch struck twice keeps two slots."""
    taken: dict[int, tuple[int, float]] = {}
    placed = []
    for note in played:
        i = bisect_right(slots, note.start)
        near = min(
            (j for j in (i - 1, i) if 0 <= j < len(slots) - 1), key=lambda j: abs(slots[j] - note.start)
        )
        last, struck = taken.get(note.pitch, (-1, 0.0))
        if near <= last and note.start > struck:
            near = min(last + 1, len(slots) - 2)
        taken[note.pitch] = near, note.start
        placed.append((slots[near], note))
    return sorted(placed, key=lambda p: (p[0], p[1].pitch))


def _chords_of(placed: Sequence[tuple[int, PlayedNote]]) -> dict[int, list[PlayedNote]]:
    groups: dict[int, list[PlayedNote]] = {}
    for slot, note in placed:
        groups.setdefault(slot, []).append(note)
    return groups


def _strokes(placed: Sequence[tuple[int, PlayedNote]], edges: Sequence[int]) -> list[_Chord]:
    """Drums: each stroke lasts until the next one or the next beat."""
    groups = _chords_of(placed)
    onsets = [*groups, edges[-1]]
    return [
        _Chord(slot, min(onsets[i + 1], edges[bisect_right(edges, slot)]), groups[slot])
        for i, slot in enumerate(groups)
    ]


def _voices(placed: Sequence[tuple[int, PlayedNote]], max_voices: int) -> list[list[_Chord]]:
    """Chords in voices; ``end`` is still as it was played. What overlaps a little gives way to the next chord."""
    voices: list[list[_Chord]] = []
    for slot, notes in _chords_of(placed).items():
        for chord in _by_length(slot, notes):
            free = [v for v in voices if _gives_way(v[-1], slot)]
            if free:
                voice = free[0]
            elif len(voices) < max_voices:
                voice = []
                voices.append(voice)
            else:  # the one that has least left to sound, unless it begins here too
                earlier = [v for v in voices if v[-1].start < slot]
                if not earlier:
                    voices[-1][-1].notes += chord.notes
                    continue
                voice = min(earlier, key=lambda v: v[-1].end)
            if voice and voice[-1].end > slot:
                voice[-1].end = slot
            voice.append(chord)
    return voices


def _gives_way(chord: _Chord, slot: int) -> bool:
    over = chord.end - slot
    return chord.start < slot and over <= min(UNITS_PER_QUARTER / 2, 0.34 * (chord.end - chord.start))


def _by_length(slot: int, notes: Sequence[PlayedNote]) -> list[_Chord]:
    """Notes that begin together, in chords of about equal length, the highest note's chord first."""
    found: list[_Chord] = []
    for note in sorted(notes, key=lambda n: (-(n.end - n.start), n.pitch)):
        length = note.end - note.start
        for chord in found:
            whole = chord.end - chord.start
            if whole - length <= max(12, 0.4 * whole):
                chord.notes.append(note)
                break
        else:
            found.append(_Chord(slot, max(slot + 1, round(note.end)), [note]))
    return sorted(found, key=lambda c: -max(n.pitch for n in c.notes))


class _Ends:
    """Where notes may end: at eighths, in a triplet that they begin in at its thirds, in short meters at any slot."""

    def __init__(self, cells: Sequence[Cell], bars: Sequence[int]) -> None:
        self.bars = bars
        self.cells = cells
        self.starts = [c.start for c in cells]
        inner = {e for c in cells if c.is_triplet for e in range(c.start + 1, c.end)}
        ends = {bars[-1]}
        for c in cells:
            ends.update(range(c.start, c.end, 24 if c.length >= 24 else 6))
        self.ends = sorted(ends - inner)

    def next_bar(self, at: int) -> int:
        return self.bars[min(bisect_right(self.bars, at), len(self.bars) - 1)]

    def nearest(self, start: int, end: int) -> int:
        """The nearest end to ``end`` that comes after ``start``."""
        cell = self.cells[bisect_right(self.starts, start) - 1]
        own = [slot for slot in cell.slots if slot > start] if cell.is_triplet else []
        first = bisect_right(self.ends, start)
        near = bisect_right(self.ends, end)
        around = self.ends[max(first, near - 1) : max(first, near) + 1]
        return min([*own, *around], key=lambda slot: (abs(slot - end), slot))


def _with_lengths(voices: list[list[_Chord]], ends: _Ends) -> list[list[_Chord]]:
    """Written ends. A chord goes on to the next one, or to the bar line, where most of that is played."""
    for voice in voices:
        for i, chord in enumerate(voice):
            last = i + 1 == len(voice)
            until = ends.next_bar(chord.start) if last else voice[i + 1].start
            if last and chord.end > until:
                until = ends.bars[-1]
            between, there = until - chord.start, chord.end - chord.start
            filled = there > FILLED * between and between <= 2 * UNITS_PER_QUARTER
            if chord.end >= until or filled or until - chord.end <= 12:
                chord.end = until
            else:
                chord.end = min(until, ends.nearest(chord.start, chord.end))
    return voices


def _bar(chords: Sequence[_Chord], start: int, beats: Beats, tuplets: Sequence[Cell]) -> tuple[Event, ...]:
    """One voice of one bar, without gaps."""
    stop = start + beats.length
    spans: list[tuple[int, int, _Chord | None]] = []
    at = start
    for chord in chords:
        if chord.start > at:
            spans.append((at, chord.start, None))
        at = min(chord.end, stop)
        spans.append((max(chord.start, start), at, chord))
    if at < stop:
        spans.append((at, stop, None))
    events: list[Event] = []
    for low, high, sounding in spans:
        pieces = _pieces(low - start, high - start, beats, tuplets, sounding is None)
        for i, piece in enumerate(pieces):
            notes: tuple[WrittenNote, ...] = ()
            if sounding is not None:
                tied_from = i > 0 or low > sounding.start
                tied_to = i + 1 < len(pieces) or high < sounding.end
                notes = tuple(
                    WrittenNote(n.pitch, n.velocity, sounding.start, tied_from, tied_to)
                    for n in sorted(sounding.notes, key=lambda n: n.pitch)
                )
            events.append(replace(piece, notes=notes))
    return _beamed(_edged(events, [(t.start, t.end) for t in tuplets]), beats)


def _pieces(a: int, b: int, beats: Beats, tuplets: Sequence[Cell], rest: bool) -> list[Event]:
    """[a, b) as written values: cut at the edges of triplets that it fills in part, else where the beat asks."""
    for cell in tuplets:
        low, high = max(a, cell.start), min(b, cell.end)
        if low >= high or (low, high) == (cell.start, cell.end):
            continue
        before = _pieces(a, low, beats, tuplets, rest) if a < low else []
        after = _pieces(high, b, beats, tuplets, rest) if high < b else []
        length = high - low
        return [*before, Event(low, length, _TYPES[length * 3 // 2], tuplet=(3, 2)), *after]
    return [_valued(low, high) for low, high in _cut(a, b, beats, rest)]


def _valued(a: int, b: int) -> Event:
    length = b - a
    if length in _TYPES:
        return Event(a, length, _TYPES[length])
    return Event(a, length, _TYPES[length * 2 // 3], dots=1)


def _cut(a: int, b: int, beats: Beats, rest: bool) -> list[tuple[int, int]]:
    length = b - a
    single = length in _TYPES or (length % 3 == 0 and length * 2 // 3 in _TYPES and length * 2 % 3 == 0)
    if single and beats.shows(a, b, length in _TYPES, rest):
        return [(a, b)]
    at = beats.strongest_inside(a, b)
    return [*_cut(a, at, beats, rest), *_cut(at, b, beats, rest)]


def _edged(events: list[Event], tuplets: Sequence[tuple[int, int]]) -> list[Event]:
    for low, high in tuplets:
        inside = [i for i, e in enumerate(events) if e.tuplet and low <= e.onset < high]
        if inside:
            events[inside[0]] = replace(events[inside[0]], tuplet_edge="start")
            events[inside[-1]] = replace(events[inside[-1]], tuplet_edge="stop")
    return events


def _beamed(events: list[Event], beats: Beats) -> tuple[Event, ...]:
    """Beams within each beat; a rest or a longer value ends them."""
    group: list[int] = []
    done = list(events)

    def close() -> None:
        flags = [_FLAGS[events[i].type] for i in group]
        for k, i in enumerate(group):
            words = []
            for level in range(1, flags[k] + 1):
                left = k > 0 and flags[k - 1] >= level
                right = k + 1 < len(group) and flags[k + 1] >= level
                hook = "backward hook" if k > 0 else "forward hook"
                words.append("continue" if left and right else "begin" if right else "end" if left else hook)
            if len(group) > 1:
                done[i] = replace(done[i], beams=tuple(words))
        group.clear()

    for i, event in enumerate(events):
        if not event.notes or event.type not in _FLAGS:
            close()
            continue
        if group and beats.beat_of(event.onset) != beats.beat_of(events[group[0]].onset):
            close()
        group.append(i)
    close()
    return tuple(done)


__all__ = ["Event", "PlayedNote", "WrittenBar", "WrittenNote", "engrave"]
