"""A window of a piece in shards, and the band that is added to it.

A segment is what one role says in one bar, as token ids with the role's token first; empty where the role is silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from melodygen.data.band import Bandleader, Song, swung
from melodygen.data.bassline import Chord
from melodygen.data.comping import CompingPlayer
from melodygen.data.groove import Groove, Strokes, felt_groove, lend_fills, play
from melodygen.data.shards import PieceInfo, Shards
from melodygen.music.units import bar_quarters
from melodygen.styles.style import Style, style_named
from melodygen.tokens.codec import encode_segment
from melodygen.tokens.grid import GridNote
from melodygen.tokens.vocabulary import DRUM_VELOCITIES, METERS, SEGMENT_ROLES, VOCABULARY

MELODY, CHORDS, BASS, DRUMS, OTHER = range(1, 6)
"""Indices into SEGMENT_ROLES; 0 is the chord line."""
KEEP_BASS = 0.35
"""How often a bass that is there stays, with drums that fit it."""
LOOK_BACK = 16
"""Bars before a window in which the chord that is in force is looked for."""

Segment = Sequence[int]


@dataclass(frozen=True)
class Window:
    """``count`` bars of a piece from bar ``first``."""

    shards: Shards
    info: PieceInfo
    first: int
    count: int

    @property
    def rows(self) -> slice:
        """Of the shards' arrays by bar."""
        return slice(self.info.first_bar + self.first, self.info.first_bar + self.first + self.count)

    def part(self, first: int, count: int) -> Window:
        """Return ``count`` bars of the window from its bar ``first``."""
        return replace(self, first=self.first + first, count=count)

    @cached_property
    def meters(self) -> list[tuple[int, int]]:
        """Meter of each bar."""
        return [METERS[int(m)] for m in self.shards.arrays["meters"][self.rows]]

    @property
    def quarters(self) -> float:
        """Length in quarters."""
        return sum(bar_quarters(*meter) for meter in self.meters)

    @property
    def num_notes(self) -> int:
        """Number of notes of all roles."""
        return int(np.asarray(self.shards.arrays["notes"][self.rows]).sum())

    @property
    def pitch_classes(self) -> NDArray[np.float64]:
        """How much each pitch class sounds (12,)."""
        weights: NDArray[np.float64] = np.asarray(
            self.shards.arrays["pitch_classes"][self.rows], dtype=np.float64
        )
        return np.asarray(weights.sum(axis=0))

    def segments(self) -> dict[int, list[Segment]]:
        """Of each role that sounds, bar by bar."""
        arrays, rows = self.shards.arrays, self.rows
        starts, lengths = np.asarray(arrays["starts"][rows]), np.asarray(arrays["lengths"][rows])
        tokens = arrays["tokens"]
        return {
            role: [tokens[s : s + n].tolist() for s, n in zip(starts[:, role], lengths[:, role], strict=True)]
            for role in range(len(SEGMENT_ROLES))
            if lengths[:, role].any()
        }

    def changes(self, first: int = 0, count: int | None = None) -> list[tuple[tuple[int, int, int], ...]]:
        """Chord changes (position, root, quality) of bars of the piece, counted from the window's first."""
        begin = max(0, self.first + first)
        end = min(self.info.num_bars, begin + (self.count if count is None else count))
        table = np.asarray(
            self.shards.arrays["chords"][self.info.first_bar + begin : self.info.first_bar + end]
        )
        return [tuple((int(a), int(r), int(q)) for a, r, q in bar if a >= 0) for bar in table]

    @property
    def held(self) -> Chord | None:
        """The chord in force before the first bar."""
        before = min(self.first, LOOK_BACK)
        found = [c for bar in self.changes(-before, before) for c in bar] if before else []
        return found[-1][1:] if found and found[-1][1] >= 0 else None

    @property
    def coming(self) -> Chord | None:
        """The chord that begins with the bar after the last."""
        after = self.changes(self.count, 1) if self.first + self.count < self.info.num_bars else []
        return next((c[1:] for bar in after for c in bar if c[0] == 0 and c[1] >= 0), None)


class Arranger:
    """Adds to windows what their sources do not hold. ``takes``: the drum takes that grooves come from."""

    def __init__(self, shards: Shards, takes: Sequence[PieceInfo], known: Mapping[str, Style]) -> None:
        self._known = known
        self._shards = shards
        self._grooves: dict[str, Groove] = {}
        for info in takes:
            window = Window(shards, info, 0, min(info.num_bars, 64))
            if window.meters[0] == (4, 4):
                groove = felt_groove(
                    [drum_strokes(s) for s in window.segments()[DRUMS]], info.style, info.qpm
                )
                if groove is not None:
                    self._grooves[info.path] = groove
        self._grooves = dict(zip(self._grooves, lend_fills(list(self._grooves.values())), strict=True))
        self._leader = Bandleader(list(self._grooves.values()), known)
        self._choruses: dict[int, int | None] = {}

    def arranged(
        self, window: Window, rng: np.random.Generator, band: float, comping: float, felt: float
    ) -> dict[int, list[Segment]]:
        """Segments by role, bar by bar. The numbers say how often a band is added, block chords are played as comping
        where there is none, and a drum take becomes the groove that was felt."""
        parts = window.segments()
        if window.info.kind == "drums":
            groove = self._grooves.get(window.info.path)
            if groove is not None and rng.random() < felt:
                parts[DRUMS] = [encode_segment("drums", bar) for bar in play(groove, window.count, rng)]
            return parts
        style = style_named(window.info.style, self._known)
        if band and style.dataset.write_bass and window.info.block_chords and self._leader.suits(style.name):
            parts.pop(BASS, None)
        four = all(m == (4, 4) for m in window.meters)
        if four and DRUMS not in parts and self._leader.suits(style.name) and rng.random() < band:
            self._add_band(window, parts, style, rng)
        elif window.info.block_chords and CHORDS in parts and rng.random() < comping:
            comped = _comping(window, style, rng)
            if any(comped):
                parts[CHORDS] = comped
        return parts

    def _add_band(
        self, window: Window, parts: dict[int, list[Segment]], style: Style, rng: np.random.Generator
    ) -> None:
        tune = [pitched_notes(s) for s in parts.get(MELODY, ())]
        song = Song(style, window.info.qpm, window.changes(), window.held, window.coming, tune)
        own = [pitched_notes(s) for s in parts[BASS]] if BASS in parts and rng.random() < KEEP_BASS else None
        harmony = any(song.changes) or song.held is not None
        if not harmony:
            own = [pitched_notes(s) for s in parts[BASS]] if BASS in parts else [()] * window.count
        band = self._leader.play(song, rng, own)
        parts[DRUMS] = [encode_segment("drums", bar) for bar in band.parts["drums"]]
        if harmony and "bass" in band.parts:
            parts[BASS] = [encode_segment("bass", bar) for bar in band.parts["bass"]]
        if harmony and (window.info.block_chords or CHORDS not in parts):
            parts[CHORDS] = [encode_segment("chords", bar) for bar in band.parts["chords"]]
        if band.swings and style.is_swung:
            for role in (MELODY, OTHER):
                if role in parts:
                    name = SEGMENT_ROLES[role]
                    parts[role] = [encode_segment(name, swung(pitched_notes(s))) for s in parts[role]]
        for role in [r for r in parts if not any(parts[r])]:
            del parts[role]

    def chorus(self, info: PieceInfo, bars: int) -> int | None:
        """Return the bar at which choruses of ``bars`` bars begin: where the fifth bar is a fourth above the first and
        the ninth or tenth a fifth, most often; None where they do so nowhere.
        """
        if info.first_bar not in self._choruses:
            roots: list[int] = []
            for bar in Window(self._shards, info, 0, info.num_bars).changes():
                there = [c[1] for c in bar if c[0] == 0 and c[1] >= 0]
                roots.append(there[0] if there else roots[-1] if roots else -1)
            best = (0, -1)
            for offset in range(min(bars, max(0, len(roots) - bars + 1))):
                score = 0
                for at in range(offset, len(roots) - bars + 1, bars):
                    tonic = roots[at]
                    score += (roots[at + 4] - tonic) % 12 == 5
                    score += 7 in ((roots[at + 8] - tonic) % 12, (roots[at + 9] - tonic) % 12)
                    score += roots[at + 6] == tonic
                best = max(best, (score, -offset))
            self._choruses[info.first_bar] = -best[1] if best[0] >= 2 else None
        return self._choruses[info.first_bar]


def _comping(window: Window, style: Style, rng: np.random.Generator) -> list[Segment]:
    player = CompingPlayer(style, rng)
    return [
        encode_segment("chords", player.bar(meter, bar))
        for meter, bar in zip(window.meters, window.changes(), strict=True)
    ]


_KINDS, _VALUES = VOCABULARY.kinds, VOCABULARY.values


def drum_strokes(segment: Segment) -> Strokes:
    """The strokes of a segment of drums."""
    found: list[GridNote] = []
    position = 0
    for token in segment:
        if _KINDS[token] == "position":
            position = _VALUES[token]
        elif _KINDS[token] == "drum":
            found.append((position, *divmod(_VALUES[token], len(DRUM_VELOCITIES)), 0))
    return tuple(found)


def pitched_notes(segment: Segment) -> tuple[GridNote, ...]:
    """The notes of a segment of a pitched role."""
    found: list[GridNote] = []
    held = {"position": 0, "velocity": 0, "duration": 0}
    for token in segment:
        kind, value = _KINDS[token], _VALUES[token]
        if kind == "pitch":
            found.append((held["position"], held["velocity"], held["duration"], value))
        else:
            held[kind] = value
    return tuple(found)
