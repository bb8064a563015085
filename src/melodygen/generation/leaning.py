"""Leanings of the draw towards what a request asks for: density, syncopation, leaps and an introduction.

Each follows one stream and adds nats to the logits of its next token. A leaning knows what is there so far and makes up
for it: parts that were written too dense get sparser bars. ``FORBIDDEN`` nats leave practically nothing of a token.
What came of it is measured afterwards (``melodygen.generation.obtained``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from melodygen.generation.top_line import TopLine, top_pitches
from melodygen.request import STEP_SEMITONES
from melodygen.tokens.grammar import Grammar
from melodygen.tokens.grid import beat_positions, meter_positions
from melodygen.tokens.vocabulary import END, POSITIONS_PER_QUARTER, SEGMENT_ROLES, VOCABULARY

_V = VOCABULARY
_POSITIONS = _V.slice("position")
_AGAIN = _V.slice("again")
_PITCHES = _V.slice("pitch")
_MELODY = _V.id("role", SEGMENT_ROLES.index("melody"))
FORBIDDEN = -30.0
TYPICAL_ONSETS = {"melody": 1.3, "chords": 0.7, "bass": 0.9, "drums": 2.8, "other": 0.8}
"""Onsets a quarter of a part in music of the middle density level: means over 96 pieces of six styles."""
MIDDLE_LEVEL, LEVELS_AN_OCTAVE = 4.0, 4.0
"""A style one level denser has a quarter of an octave more onsets in each part."""
DENSITY_OCTAVES, DRUM_OCTAVES = 1.3, 0.7
"""Density 0 and 1 are so many octaves below and above the usual number of onsets; drums are dense as it is."""
MOST_ONSETS = 4.0
"""Onsets a quarter that are asked for at most."""
GAP_NATS = 1.6
"""Nats away from a wait that is an octave longer or shorter than the one that is aimed at; four times that for two."""
MOST_GAP_NATS = 12.0
ROLE_NATS, MOST_ROLE_NATS = 2.0, 4.0
"""Towards or away from the part in a bar, for each octave of onsets it owes."""
KEPT_SHARE, REPAID_SHARE = 0.85, 0.6
"""Of the onsets that are owed: what stays after a bar, and what the next bar is asked to make up for."""
BEAT_NATS, SURPLUS_NATS, MOST_BEAT_NATS = 5.0, 20.0, 9.0
"""Away from onsets on the beat: for syncopation as such, and for what is missing so far."""
LEAP_NATS, LEAP_SURPLUS_NATS, MOST_LEAP_NATS = 14.0, 25.0, 12.0
"""Away from steps or from leaps: for the share of leaps as such, and for what is missing so far."""
USUAL_LEAPS = 0.35
"""Share of leaps at which there is nothing to lean against."""
PRIOR_MOVES = 2.0
USUAL_SYNCOPATION = 0.2
"""Share of syncopated onsets at which there is nothing to lean against: about that of the models' music."""
PRIOR_ONSETS = 4.0
INTRO_NATS, ENTRY_NATS = 3.0, 8.0
"""Towards each of the other parts in an introduction, and towards the melody in the bar after it."""


@dataclass
class PartSoFar:
    """What one part has played in the stream.

    Attributes:
        onsets: its positions in this bar, in order.
        last: quarters from its last onset before this bar to the bar line.
        owed: onsets that it has too few; negative for too many.
        num_onsets: of all bars before.
        num_syncopated: of these.
        waiting: an onset before the bar line that its next beat decides: the number of onsets since the last beat.
    """

    onsets: list[int] = field(default_factory=list)
    last: float = 0.0
    owed: float = 0.0
    num_onsets: int = 0
    num_syncopated: int = 0
    waiting: int = 0


def target_onsets(role: str, density: float, level: float = MIDDLE_LEVEL) -> float:
    """Onsets a quarter that a density of 0 to 1 asks of a part; ``level`` is the style's median density level."""
    return float(min(MOST_ONSETS, _usual_onsets(role, level) * 2 ** (_octaves(role) * (2 * density - 1))))


def density_of(role: str, onsets: float, level: float = MIDDLE_LEVEL) -> float:
    """The density that asks for so many onsets a quarter, 0 to 1."""
    octaves = np.log2(max(onsets, 1e-3) / _usual_onsets(role, level))
    return float(np.clip((octaves / _octaves(role) + 1) / 2, 0.0, 1.0))


def _usual_onsets(role: str, level: float) -> float:
    return TYPICAL_ONSETS[role] * float(2 ** ((level - MIDDLE_LEVEL) / LEVELS_AN_OCTAVE))


def _octaves(role: str) -> float:
    return DRUM_OCTAVES if role == "drums" else DENSITY_OCTAVES


def syncopated(onsets: Sequence[int], beats: Sequence[int], next_is_struck: bool = False) -> int:
    """How many of a bar's onsets are syncopated: they lie off the beat, and none is on the beat after them.

    Args:
        onsets: positions in the bar.
        beats: positions of the beats, and of the next bar line last.
        next_is_struck: whether the next bar has an onset on its first beat.
    """
    struck = {*onsets, *((beats[-1],) if next_is_struck else ())}
    off = [at for at in onsets if at not in beats]
    return sum(next(b for b in beats if b > at) not in struck for at in off)


class Leaning:
    """The leanings of one stream.

    Args:
        densities: onsets a quarter that are asked for, by role.
        syncopation: share of the onsets of each pitched part, 0 to 1; None leaves it.
        leap: largest step of the melody in semitones; None for any.
        intro: number of bars at the beginning without the melody.
        pitch_before: the melody's last pitch before the stream; -1 for none.
        leap_share: share of leaps among the melody's moves to another pitch, 0 to 1; None leaves it.
    """

    def __init__(
        self, densities: Mapping[str, float], syncopation: float | None = None, leap: int | None = None,
        intro: int = 0, pitch_before: int = -1, leap_share: float | None = None,
    ) -> None:  # fmt: skip
        self._leap_share, self._num_moves, self._num_leaps = leap_share, 0, 0
        self._densities, self._syncopation, self._leap, self._intro = densities, syncopation, leap, intro
        self._parts: dict[str, PartSoFar] = {}
        self._meter: tuple[int, int] | None = None
        self._bar = -1
        self._melody = TopLine(pitch_before)

    @property
    def is_active(self) -> bool:
        """Whether anything is asked for."""
        shares = (self._syncopation, self._leap_share)
        return bool(self._densities or self._leap or self._intro or any(s is not None for s in shares))

    def begin_bar(self, meter: tuple[int, int] | None) -> None:
        """A bar begins; ``meter`` is that of the bar before, None for the first."""
        if self._bar >= 0 and meter is not None:
            self._end_bar(meter)
        self._bar += 1

    def _end_bar(self, meter: tuple[int, int]) -> None:
        quarters = meter_positions(meter) / POSITIONS_PER_QUARTER
        beats = (*beat_positions(meter), meter_positions(meter))
        for role in {*self._parts, *self._densities}:
            part = self._parts.setdefault(role, PartSoFar())
            struck = part.onsets[:1] == [0]
            part.num_syncopated += 0 if struck else part.waiting
            part.waiting = sum(at > beats[-2] for at in part.onsets)
            part.num_syncopated += syncopated(part.onsets, beats, next_is_struck=True)
            part.num_onsets += len(part.onsets)
            rests = role == "melody" and self._bar < self._intro
            asked = 0.0 if rests else self._densities.get(role, 0.0)
            part.owed = KEPT_SHARE * part.owed + asked * quarters - len(part.onsets)
            part.last = (
                quarters - part.onsets[-1] / POSITIONS_PER_QUARTER if part.onsets else part.last + quarters
            )
            part.onsets = []

    def take(self, token: int, role: str) -> None:
        """Accept a token of a part."""
        kind, value = _V.kinds[token], _V.values[token]
        if kind == "position":
            self._parts.setdefault(role, PartSoFar()).onsets.append(value)
            before, here = self._melody.before, self._melody.here
            if role == "melody" and before >= 0 and here >= 0:
                self._num_moves += here != before
                self._num_leaps += abs(here - before) > STEP_SEMITONES
        if role == "melody":
            self._melody.take(token)

    def add(
        self, grammar: Grammar, bars: Sequence[Mapping[str, Sequence[int]]], added: NDArray[np.float64]
    ) -> None:
        """Add the nats of the next token to ``added`` (V,); ``bars`` are the tokens of each bar by role."""
        role = grammar.role
        if self._intro > self._bar:
            for index, name in enumerate(SEGMENT_ROLES):
                added[_V.id("role", index)] += FORBIDDEN if name == "melody" else INTRO_NATS
        elif self._intro and self._intro == self._bar:
            added[_MELODY] += ENTRY_NATS
        if grammar.meter is None:
            return
        if self._densities:
            self._lean_to_density(role, grammar, bars, added)
        if self._syncopation is not None and role not in ("", "drums", "chordline"):
            self._lean_to_syncopation(role, grammar.meter, bars, added)
        if self._leap is not None and role == "melody":
            self._lean_to_steps(bars, added)
        if self._leap_share is not None and role == "melody":
            self._lean_to_leaps(self._leap_share, bars, added)

    def _rate(self, role: str, quarters: float) -> float:
        """Onsets a quarter that this bar is asked for, with what is owed."""
        asked = self._densities[role]
        owed = self._parts[role].owed if role in self._parts else 0.0
        return float(np.clip(asked + REPAID_SHARE * owed / quarters, asked / 3, 3 * asked))

    def _lean_to_density(
        self,
        role: str,
        grammar: Grammar,
        bars: Sequence[Mapping[str, Sequence[int]]],
        added: NDArray[np.float64],
    ) -> None:
        assert grammar.meter is not None
        quarters = meter_positions(grammar.meter) / POSITIONS_PER_QUARTER
        for name in self._densities:
            octaves = np.log2(self._rate(name, quarters) * quarters)
            nats = float(np.clip(ROLE_NATS * octaves, -MOST_ROLE_NATS, MOST_ROLE_NATS))
            added[_V.id("role", SEGMENT_ROLES.index(name))] += nats
        if role not in self._densities:
            return
        rate, part = self._rate(role, quarters), self._parts.get(role, PartSoFar())
        at = grammar.position / POSITIONS_PER_QUARTER
        if part.onsets:
            since = at
        else:
            since = -min(part.last, 1 / rate) if self._bar else -1 / rate
        here = np.arange(_V.counts["position"]) / POSITIONS_PER_QUARTER
        added[_POSITIONS] -= _gap_nats((here - since) * rate)
        rest = -float(_gap_nats(np.array([max(1.0, (quarters - since) * rate)]))[0])
        added[_V.slice("role")] += rest
        added[_V.slice("bar")] += rest
        added[END] += rest
        for value in range(min(_V.counts["again"], len(bars) - 1) if not part.onsets else 0):
            there = sum(_V.kinds[t] == "position" for t in bars[-2 - value].get(role, ()))
            wait = np.array([max(there, 0.25) / (rate * quarters)])
            added[_AGAIN.start + value] -= float(_gap_nats(wait)[0])

    def _lean_to_syncopation(
        self, role: str, meter: tuple[int, int], bars: Sequence[Mapping[str, Sequence[int]]],
        added: NDArray[np.float64],
    ) -> None:  # fmt: skip
        asked, part = self._syncopation or 0.0, self._parts.get(role, PartSoFar())
        there = (part.num_syncopated + PRIOR_ONSETS * asked) / (part.num_onsets + PRIOR_ONSETS)
        nats = BEAT_NATS * (asked - USUAL_SYNCOPATION) + SURPLUS_NATS * (asked - there)
        nats = float(np.clip(nats, -MOST_BEAT_NATS, MOST_BEAT_NATS))
        beats = np.zeros(_V.counts["position"], dtype=bool)
        beats[list(beat_positions(meter))] = True
        shunned = beats if nats > 0 else ~beats
        added[_POSITIONS][shunned] -= abs(nats)
        for value in range(min(_V.counts["again"], len(bars) - 1) if not part.onsets else 0):
            onsets = [_V.values[t] for t in bars[-2 - value].get(role, ()) if _V.kinds[t] == "position"]
            added[_AGAIN.start + value] -= abs(nats) * int(shunned[onsets].sum())

    def _lean_to_leaps(
        self, asked: float, bars: Sequence[Mapping[str, Sequence[int]]], added: NDArray[np.float64]
    ) -> None:
        there = (self._num_leaps + PRIOR_MOVES * asked) / (self._num_moves + PRIOR_MOVES)
        nats = LEAP_NATS * (asked - USUAL_LEAPS) + LEAP_SURPLUS_NATS * (asked - there)
        nats = float(np.clip(nats, -MOST_LEAP_NATS, MOST_LEAP_NATS))
        is_new = not self._parts.get("melody", PartSoFar()).onsets
        before = self._melody.here if is_new else self._melody.before
        moves = np.abs(np.arange(_V.counts["pitch"]) - before)
        shunned = (moves > 0) & (moves <= STEP_SEMITONES) if nats > 0 else moves > STEP_SEMITONES
        if before >= 0:
            added[_PITCHES][shunned] -= abs(nats)
        for value in range(min(_V.counts["again"], len(bars) - 1) if is_new else 0):
            line = top_pitches(bars[-2 - value].get("melody", ()))
            widths = np.abs(np.diff([before, *line] if before >= 0 else line))
            against = (widths > 0) & (widths <= STEP_SEMITONES) if nats > 0 else widths > STEP_SEMITONES
            added[_AGAIN.start + value] -= abs(nats) * int(against.sum())

    def _lean_to_steps(self, bars: Sequence[Mapping[str, Sequence[int]]], added: NDArray[np.float64]) -> None:
        assert self._leap is not None
        is_new = not self._parts.get("melody", PartSoFar()).onsets
        before = self._melody.here if is_new else self._melody.before
        if before < 0:
            return
        pitches = np.arange(_V.counts["pitch"])
        added[_PITCHES][abs(pitches - before) > self._leap] += FORBIDDEN
        for value in range(min(_V.counts["again"], len(bars) - 1)):
            first = next(
                (_V.values[t] for t in bars[-2 - value].get("melody", ()) if _V.kinds[t] == "pitch"), before
            )
            if abs(first - before) > self._leap:
                added[_AGAIN.start + value] += FORBIDDEN


def _gap_nats(waits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nats against waits, given as multiples of the wait that is aimed at."""
    octaves = np.log2(np.maximum(waits, 1e-2))
    return np.minimum(GAP_NATS * octaves**2, MOST_GAP_NATS)


__all__ = ["Leaning", "density_of", "syncopated", "target_onsets"]
