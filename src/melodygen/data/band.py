"""A band that plays together: drums, bass and comping for a tune with chord symbols.

No collection holds a jazz quartet or a pop band whole, so the parts are made to belong to each other: the drums are the
groove of a human take, the bass walks over a ride pattern or locks to that take's bass drum, comping and tune are in
the swing of the drums, and all follow the symbols.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from melodygen.data.bassline import BassPlayer, Changes, Chord, chord_spans
from melodygen.data.comping import CompingPlayer
from melodygen.data.groove import (
    BAR,
    KICK,
    QUARTER,
    RIM,
    SNARE,
    Groove,
    Strokes,
    feathered,
    play,
    without_ghosts,
)
from melodygen.styles.style import Style
from melodygen.tokens.grid import GridNote
from melodygen.tokens.vocabulary import DURATION_INDEX, DURATIONS

MOST_SNARE = 4.0
"""Loud snare strokes in a bar: a groove with more is a march or a solo."""
LEAST_CYMBALS = 0.2
"""Share of the strokes."""
PUSH_SHARE = 0.4
"""Of players in straight styles that push chords ahead of the beat."""
OFF_BEAT, LATE = 6, 8
"""Where the second eighth of a beat is written, and where it is swung."""


@dataclass(frozen=True)
class Band:
    """Notes of each role by bar. ``swings``: off-beats are late (the tune's must be made so, see ``swung``)."""

    parts: dict[str, list[tuple[GridNote, ...]]]
    swings: bool
    groove: Groove


@dataclass(frozen=True)
class Song:
    """What a band plays to.

    Attributes:
        style: how it plays.
        qpm: tempo, quarters a minute.
        changes: for each bar its chord changes (position, root, quality).
        held: the chord in force before the first bar.
        coming: the chord that begins after the last bar.
        tune: the notes of the tune by bar; empty without one.
    """

    style: Style
    qpm: float
    changes: Changes
    held: Chord | None = None
    coming: Chord | None = None
    tune: Sequence[Sequence[GridNote]] = ()

    @property
    def sizes(self) -> list[int]:
        """Length of each bar in positions."""
        return [BAR] * len(self.changes)


class Bandleader:
    """Draws a groove and has the others play to it. For 4/4."""

    def __init__(self, grooves: Sequence[Groove], known: Mapping[str, Style]) -> None:
        self._pools = {name: _pool(style, grooves) for name, style in known.items()}

    def suits(self, style: str) -> bool:
        """Whether there are grooves for a style."""
        return bool(self._pools.get(style))

    def groove(
        self, style: Style, qpm: float, rng: np.random.Generator, bass: Sequence[Sequence[int]] | None = None
    ) -> Groove:
        """One that suits style and tempo; of several the one whose kicks fit ``bass`` (onsets by bar), where given."""
        swinging = rng.random() < style.dataset.swing_grooves
        pool = [g for g in self._pools[style.name] if g.swings == swinging] or self._pools[style.name]
        weight = np.array([
            style.dataset.drum_takes.count(g.style) * np.exp(-3.0 * abs(np.log(g.qpm / qpm)))
            for g in pool
        ])  # fmt: skip
        weight /= weight.sum()
        if bass is None:
            return _readied(pool[int(rng.choice(len(pool), p=weight))], style, rng)
        drawn = [
            pool[int(i)] for i in rng.choice(len(pool), size=min(24, len(pool)), replace=False, p=weight)
        ]
        return _readied(max(drawn, key=lambda g: _fit(g, bass)), style, rng)

    def play(
        self, song: Song, rng: np.random.Generator, bass: Sequence[Sequence[GridNote]] | None = None
    ) -> Band:
        """``bass``: a bass line that is there already; the drums are chosen to fit it."""
        own = None if bass is None else [sorted({n[0] for n in bar}) for bar in bass]
        groove = self.groove(song.style, song.qpm, rng, own)
        strokes = play(groove, len(song.changes), rng)
        parts: dict[str, list[tuple[GridNote, ...]]] = {"drums": strokes}
        if bass is None:
            parts["bass"] = [tuple(bar) for bar in self._bass(song, groove, strokes, rng)]
        parts["chords"] = comping(song, groove.swings, rng)
        if song.tune:
            parts["chords"] = [clear_of(a, b) for a, b in zip(parts["chords"], song.tune, strict=True)]
        return Band(parts, groove.swings, groove)

    def _bass(
        self, song: Song, groove: Groove, strokes: Sequence[Strokes], rng: np.random.Generator
    ) -> list[list[GridNote]]:
        player = BassPlayer(rng)
        spans = chord_spans(song.changes, song.sizes, song.held)
        if not spans:
            return [[] for _ in song.changes]
        draw = rng.random()
        manners = song.style.accompaniment.bass
        walks = "walk" in manners and "shuffle" not in manners
        if walks and groove.swings:
            return player.walk(spans, song.sizes, 2 * QUARTER if draw < 0.1 else QUARTER)
        if "shuffle" in manners and groove.swings and draw < 0.8:
            if draw < 0.4:
                return player.walk(spans, song.sizes)
            return player.boogie(spans, song.sizes, draw < 0.5)
        kicks = [[n[0] for n in bar if n[1] == KICK] for bar in strokes]
        if walks:  # bossa and other even eighths
            kicks = [sorted({*bar, 0, 18, 24, 42} if draw < 0.6 else {*bar}) for bar in kicks]
        return player.locked(spans, song.sizes, kicks)


def comping(song: Song, swings: bool, rng: np.random.Generator) -> list[tuple[GridNote, ...]]:
    """Chords in the manner of the style, in the swing of the drums."""
    breaks = not swings and rng.random() < song.style.accompaniment.broken
    pushes = not song.style.is_swung and rng.random() < PUSH_SHARE
    player = CompingPlayer(song.style, rng, swings, bool(rng.random() < 0.6), pushes)
    result = []
    for number, bar in enumerate(song.changes):
        if not number and song.held is not None and not any(c[0] == 0 for c in bar):
            bar = ((0, *song.held), *bar)  # noqa: PLW2901
        following = song.changes[number + 1] if number + 1 < len(song.changes) else ()
        coming = next(((c[1], c[2]) for c in following if c[0] == 0), None)
        if number + 1 == len(song.changes):
            coming = song.coming
        notes = player.bar((4, 4), tuple(tuple(c) for c in bar), coming)  # type: ignore[misc]
        result.append(broken(notes) if breaks else notes)
    return result


def _chords_of(notes: Sequence[GridNote]) -> Iterator[tuple[int, int, list[GridNote]]]:
    """(onset, end of its longest note, its notes) of each chord of a bar."""
    by_onset: dict[int, list[GridNote]] = {}
    for note in notes:
        by_onset.setdefault(note[0], []).append(note)
    for at, group in by_onset.items():
        yield at, at + max(DURATIONS[n[2]] for n in group), group


def broken(notes: Sequence[GridNote]) -> tuple[GridNote, ...]:
    """Return a bar of comping with chords of a quarter or more broken into eighths, up and down; each note
    rings on, at most to the end of its chord.
    """
    result: list[GridNote] = []
    for at, end, group in _chords_of(notes):
        steps = (end - at) // OFF_BEAT
        if steps < 2 or len(group) < 3:
            result += group
            continue
        order = [*group, *group[-2:0:-1]]
        for step in range(steps):
            _, band, _, pitch = order[step % len(order)]
            place = at + step * OFF_BEAT
            result.append((place, band, DURATION_INDEX[min(end - place, 24)], pitch))
    return tuple(sorted(result))


def clear_of(chords: Sequence[GridNote], tune: Sequence[GridNote]) -> tuple[GridNote, ...]:
    """Return a bar of comping without the notes that would sound a semitone off the tune; a chord keeps two."""
    kept: list[GridNote] = []
    for at, end, group in _chords_of(chords):
        sung = {n[3] for n in tune if n[0] < end and n[0] + DURATIONS[n[2]] > at}
        clear = [n for n in group if not any((n[3] - p) % 12 in (1, 11) for p in sung)]
        kept += clear if len(clear) >= 2 else group
    return tuple(sorted(kept))


def swung(notes: Sequence[GridNote]) -> tuple[GridNote, ...]:
    """Pitched notes of a bar with straight off-beat eighths late: what is written even and played swung. Beats that
    hold other places stay as they are."""
    places: dict[int, set[int]] = {}
    for note in notes:
        places.setdefault(note[0] // QUARTER, set()).add(note[0] % QUARTER)

    def late(at: int) -> int:
        beat, place = divmod(at, QUARTER)
        return at + LATE - OFF_BEAT if place == OFF_BEAT and places.get(beat, set()) <= {0, OFF_BEAT} else at

    result = []
    for at, band, duration, pitch in notes:
        onset, end = late(at), late(at + DURATIONS[duration])
        result.append((onset, band, DURATION_INDEX[min(max(1, end - onset), DURATIONS[-1])], pitch))
    return tuple(sorted(result))


def _pool(style: Style, grooves: Sequence[Groove]) -> list[Groove]:
    """Return the grooves that suit: of the style's takes those of a timekeeper (cymbals, a backbeat where there should
    be one, no rolling snare), or all of them where there is none.
    """
    suited = [g for g in grooves if g.style in style.dataset.drum_takes]
    most = MOST_SNARE - 1 if style.is_swung else MOST_SNARE
    swings_freely = style.accompaniment.comping == "swing"
    kept = [
        g
        for g in suited
        if g.cymbal_share >= LEAST_CYMBALS
        and without_ghosts(g).count(SNARE) <= most
        and ((swings_freely and g.swings) or _has_backbeat(g))
    ]
    return kept or suited


def _has_backbeat(groove: Groove) -> bool:
    """Snare or rim on 2 and 4 (or on 3, in half time), or on the hat alone where hands are elsewhere."""
    strong = [{n[0] for n in bar if n[1] in (SNARE, RIM) and n[2] > 0} for bar in groove.pattern]
    return all({12, 36} <= bar or 24 in bar for bar in strong)


def _readied(groove: Groove, style: Style, rng: np.random.Generator) -> Groove:
    """Without ghost notes in most cases; in swing with the bass drum that keeps time softly, where it plays little."""
    if groove.count(SNARE) > 3.5 or (style.accompaniment.comping != "swing" and rng.random() < 0.5):
        groove = without_ghosts(groove)
    if style.is_swung and groove.swings and groove.count(KICK) < 3 and rng.random() < 0.7:
        groove = feathered(groove, (0, 24) if rng.random() < 0.5 else (0, 12, 24, 36))
    elif style.accompaniment.comping != "swing" and 0 not in groove.kicks(0) and rng.random() < 0.7:
        groove = feathered(groove, (0,))
    return groove


def _fit(groove: Groove, bass: Sequence[Sequence[int]]) -> float:
    """Share of the groove's kicks that fall together with the bass."""
    together = kicks = 0
    for number, onsets in enumerate(bass):
        places = groove.kicks(number)
        kicks += len(places)
        together += len(set(places) & set(onsets))
    return together / kicks if kicks else 0.0


__all__ = ["Band", "Bandleader", "Song", "comping", "swung"]
