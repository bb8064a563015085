"""Logit bias of generation: towards chord tones, repeated phrases, a rhythm, and a close on the tonic.

A small net learns a style from bar to bar; what holds a whole piece together it learns last. A bias is a few
nats added to the logits before a token is drawn. It changes odds and forbids nothing, so what the net rules
out stays out. The checkpoint holds the bias of each style (``logit_bias`` in ``config.json``); its size closes
the gap that was measured between this model and human music. Reasons and effects:
docs/decisions/0005-logit-bias.md.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from melodygen.generation.leaning import Leaning
from melodygen.generation.quality import CYMBALS
from melodygen.generation.sounding import Sounding
from melodygen.generation.top_line import TopLine
from melodygen.music.harmony import CHORD_QUALITIES
from melodygen.music.key import key_lead
from melodygen.tokens.grammar import Grammar
from melodygen.tokens.grid import meter_positions, strong_positions
from melodygen.tokens.vocabulary import (
    CHORD_QUALITY_NAMES,
    DRUM_VELOCITIES,
    DRUMS,
    DURATIONS,
    MAX_AGAIN,
    SEGMENT_ROLES,
    VOCABULARY,
)

_V = VOCABULARY
_KINDS, _VALUES = _V.kinds, _V.values
_ROOT, _FIRST_PITCH = _V.offsets["chord_root"], _V.offsets["pitch"]
_AGAIN = _V.slice("again")
_PITCHES, _DRUMS, _LENGTHS = _V.slice("pitch"), _V.slice("drum"), _V.slice("duration")
_DURATIONS = np.array(DURATIONS)
_IS_CYMBAL = np.array([key in CYMBALS for key, _ in DRUMS for _ in DRUM_VELOCITIES])
BASS_DRUM = 36
_IS_KICK = np.array([key == BASS_DRUM for key, _ in DRUMS for _ in DRUM_VELOCITIES])
_CLASSES = np.arange(_V.counts["pitch"]) % 12
PHRASE_BARS = 4
"""Length of a phrase that may be repeated."""
HELD_SHARE = 0.75
"""A chord that lasts this share of the bar counts as held rather than struck."""
RETURN_NATS = 4.0
"""Bias towards the next token of a repeated phrase: most of its bars come back whole, some varied."""
REPEATS_BEFORE_BIAS, REPEAT_NATS, MAX_REPEAT_NATS = 6, 0.5, 6.0
"""A melody that repeats one pitch more than REPEATS_BEFORE_BIAS times is biased away from it: by REPEAT_NATS for each
further time, up to MAX_REPEAT_NATS.
"""
SAFE_LEAD = 0.1
"""Lead of the key over every other, in correlation with the profiles of keys, from which on nothing is biased towards
it; the bias is whole where it does not lead.
"""
CADENCE_BARS = 2
"""The last bars of a piece do not repeat earlier ones, because they close it."""


@dataclass(frozen=True)
class LogitBiasConfig:
    """The logit bias of one style.

    Attributes:
        chord: nats towards the sounding chord, for melody and bass on strong beats.
        back: probability 0-1 that a phrase of four bars repeats an earlier one.
        home: nats towards the tonic and towards rest, in the last bar.
        comping: nats away from chords that are held for most of a bar.
        cymbals: nats towards cymbals, for each stroke.
        vary: nats away from drums that play an earlier bar again.
        lock: nats towards a kick where the bass begins a note and away from one where it does not; below 0 the reverse.
        clash: nats away from a pitch a semitone off what sounds in the tune (of the tune: in any other part), for each
            quarter that it would do so.
        repeat: nats away from the melody's highest pitch at the onset before.
        bass_repeat: nats away from the bass's pitch at the onset before.
        key: nats towards the notes that tell the key from the one that is heard better or nearly as well so far.
    """

    chord: float = 0.4
    back: float = 0.1
    home: float = 2.5
    comping: float = 0.0
    cymbals: float = 0.0
    vary: float = 0.0
    lock: float = 0.0
    clash: float = 0.0
    repeat: float = 0.0
    bass_repeat: float = 0.0
    key: float = 0.0

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, float]], style: str) -> LogitBiasConfig:
        """Return the bias of ``style`` from a checkpoint's ``logit_bias`` table; the defaults for a style it
        lacks.
        """
        return cls(**config.get(style, {}))


class LogitBias:
    """Follows one stream and computes the bias of its next token."""

    def __init__(
        self,
        config: LogitBiasConfig,
        key: tuple[int, str] | None,
        ends_on_tonic: bool,
        rng: np.random.Generator,
        leaning: Leaning | None = None,
    ) -> None:
        """Begin a stream.

        Args:
            config: the bias of the style.
            key: tonic 0-11 and mode of the piece, or None.
            ends_on_tonic: the last bar written is the last bar of the piece.
            rng: decides which phrases are repeated.
            leaning: towards what the request asks for; None for nothing.
        """
        self._config, self._key, self._ends_on_tonic, self._rng = config, key, ends_on_tonic, rng
        self._leaning = leaning
        self._returns_by = 0
        """Distance in bars to the bars that are repeated; 0 for new music."""
        self._bars: list[dict[str, list[int]]] = []
        self._chords: list[tuple[int, frozenset[int]]] = []
        """(position, pitch classes) of the chords of this bar; the first may be held over from the bar before."""
        self._root = -1
        self._sounding: Sounding | None = None
        self._towards_key: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        """Nats by pitch class (12,), and the same by pitch (128,)."""
        self._last_pitch, self._repeats = -1, 0
        """The melody's last pitch, and how many times in a row it came."""
        self._lines = {"melody": TopLine(), "bass": TopLine()}
        self._away = {"melody": config.repeat, "bass": config.bass_repeat}

    def take(self, token: int, grammar: Grammar) -> None:
        """Accept a token that ``grammar`` has accepted already."""
        kind, value = _KINDS[token], _VALUES[token]
        if kind == "bar":
            phrase, bar = divmod(len(self._bars), PHRASE_BARS)
            if phrase and not bar:
                returns = self._rng.random() < self._config.back
                self._returns_by = PHRASE_BARS * int(self._rng.integers(1, phrase + 1)) if returns else 0
            self._bars.append({})
            if self._leaning is not None:
                self._leaning.begin_bar(grammar.meter)
            if self._sounding is None and (self._config.clash or self._config.key):
                self._sounding = Sounding("melody" if "melody" in grammar.header.roles else "other")
            if self._sounding is not None:
                self._sounding.begin_bar(grammar.meter)
            classes = self._hear_key(grammar.header.key)
            self._towards_key = None if classes is None else (classes, classes[_CLASSES])
            self._chords = [(0, self._chords[-1][1])] if self._chords else []
        elif kind == "role":
            self._bars[-1][grammar.role] = []
            if self._sounding is not None:
                self._sounding.begin_part()
        elif grammar.role:
            self._bars[-1][grammar.role].append(token)
            if self._sounding is not None:
                self._sounding.take(token, grammar.role)
            if self._leaning is not None:
                self._leaning.take(token, grammar.role)
        if grammar.role in self._lines:
            self._lines[grammar.role].take(token)
        if grammar.role == "melody" and kind == "pitch":
            self._repeats = self._repeats + 1 if value == self._last_pitch else 1
            self._last_pitch = value
        if kind == "chord_root":
            self._root = value - 1
            if value == 0:
                self._chords.append((grammar.position, frozenset()))
        elif kind == "chord_quality":
            tones = CHORD_QUALITIES[CHORD_QUALITY_NAMES[value]]
            self._chords.append((grammar.position, frozenset((self._root + t) % 12 for t in tones)))

    def repeat(self, segment: Sequence[int], grammar: Grammar) -> None:
        """Take a whole segment (without its role's token) that is repeated; ``grammar`` has taken that already."""
        self._bars[-1][grammar.role] = list(segment)
        if self._sounding is not None:
            self._sounding.repeat(segment, grammar.role)
        if self._leaning is not None:
            for token in segment:
                self._leaning.take(token, grammar.role)
        for token in segment if grammar.role in self._lines else ():
            self._lines[grammar.role].take(token)
        pitches = [_VALUES[t] for t in segment if _KINDS[t] == "pitch"]
        if grammar.role == "melody" and pitches:
            run = next((n for n, p in enumerate(reversed(pitches)) if p != pitches[-1]), len(pitches))
            self._repeats = run + (
                self._repeats if run == len(pitches) and pitches[-1] == self._last_pitch else 0
            )
            self._last_pitch = pitches[-1]

    def values(self, grammar: Grammar) -> NDArray[np.float64] | None:
        """Return the nats (V,) to add to the logits of the next token, or None before the first bar."""
        if not self._bars:
            return None
        added = np.zeros(_V.size)
        if grammar.bars_left == 0 and self._ends_on_tonic:
            self._bias_to_tonic(grammar, added)
        else:
            self._bias_to_chord(grammar, added)
            self._bias_to_rhythm(grammar, added)
        copies = (
            self._returns_by and grammar.bars_left >= CADENCE_BARS and self._bias_to_return(grammar, added)
        )
        if not copies:
            self._bias_to_key(grammar, added)
            self._bias_from_clashes(grammar, added)
        if self._leaning is not None:
            self._leaning.add(grammar, self._bars, added)
        self._bias_from_repeats(grammar.role, added, bool(copies))
        return added

    def _bias_from_repeats(self, role: str, added: NDArray[np.float64], copies: bool) -> None:
        if role in self._lines and self._lines[role].before >= 0 and not copies:
            added[_FIRST_PITCH + self._lines[role].before] -= self._away[role]
        if role == "melody" and self._repeats > REPEATS_BEFORE_BIAS:
            added[_FIRST_PITCH + self._last_pitch] -= min(
                REPEAT_NATS * (self._repeats - REPEATS_BEFORE_BIAS), MAX_REPEAT_NATS
            )

    def _bias_to_chord(self, grammar: Grammar, added: NDArray[np.float64]) -> None:
        if grammar.role not in ("melody", "bass") or grammar.meter is None:
            return
        if grammar.position in _strong_positions(grammar.meter):
            tones = next((t for at, t in reversed(self._chords) if at <= grammar.position), frozenset[int]())
            added[_PITCHES] += _towards(tones, self._config.chord)

    def _hear_key(self, key: tuple[int, str] | None) -> NDArray[np.float64] | None:
        """Return the nats by pitch class (12,) towards the header's key, by what sounded before; None for nothing."""
        if key is None or self._sounding is None or not self._config.key:
            return None
        found = key_lead(self._sounding.weights, *key)
        if found is None or found[0] >= SAFE_LEAD:
            return None
        return self._config.key * min(1.0, (SAFE_LEAD - found[0]) / SAFE_LEAD) * found[1]

    def _bias_to_key(self, grammar: Grammar, added: NDArray[np.float64]) -> None:
        if self._towards_key is None:
            return
        classes, pitches = self._towards_key
        if grammar.role == "chordline":
            added[_ROOT + 1 : _ROOT + 13] += classes
        elif grammar.role:
            added[_PITCHES] += pitches

    def _bias_from_clashes(self, grammar: Grammar, added: NDArray[np.float64]) -> None:
        if self._config.clash and self._sounding is not None:
            quarters = self._sounding.clashes(grammar.role)
            if quarters is not None:
                added[_PITCHES] -= self._config.clash * quarters

    def _bias_to_rhythm(self, grammar: Grammar, added: NDArray[np.float64]) -> None:
        config = self._config
        if grammar.role == "chords" and grammar.meter is not None and config.comping:
            added[_LENGTHS] -= _of_held(grammar.meter, config.comping)
        elif grammar.role == "drums":
            if config.cymbals:
                added[_DRUMS] += _of_cymbals(config.cymbals)
            if config.vary:
                added[_AGAIN] -= config.vary
            bass = self._bars[-1].get("bass")
            if config.lock and bass and grammar.position >= 0:
                together = any(_KINDS[t] == "position" and _VALUES[t] == grammar.position for t in bass)
                added[_DRUMS] += _of_kicks(config.lock if together else -config.lock)

    def _bias_to_return(self, grammar: Grammar, added: NDArray[np.float64]) -> bool:
        """Bias towards the repeated phrase; whether the bar has gone as there so far."""
        source, role = self._bars[-1 - self._returns_by], grammar.role
        there, here = source.get(role, []), self._bars[-1].get(role, [])
        if there[: len(here)] != here:
            return False  # the copy was varied: no bias until the next role or bar
        if len(there) > len(here):
            added[there[len(here)]] += RETURN_NATS
            if not here and role and self._returns_by <= MAX_AGAIN:
                added[_V.id("again", self._returns_by - 1)] += RETURN_NATS
            return True
        added[_V.slice("position").start :] -= RETURN_NATS  # every token that would go on with the segment
        following = self._role_after(role, grammar, source)
        added[_V.slice("bar") if following is None else following] += RETURN_NATS
        return True

    def _bias_to_tonic(self, grammar: Grammar, added: NDArray[np.float64]) -> None:
        nats, role = self._config.home, grammar.role
        used = {r for bar in self._bars for r in bar} - {"drums"}
        following = self._role_after(role, grammar, used)
        if following is not None:
            added[following] += nats  # every role that played before plays in the last bar
        if grammar.position >= 0:  # one onset is enough
            added[_V.slice("position")] -= 0.5 * nats if role == "drums" else nats
        added[_AGAIN] -= nats  # the last bar closes
        if self._key is None or not role or role == "drums":
            return
        tonic, third = self._key[0], 4 if self._key[1] == "major" else 3
        if role == "chordline":
            added[_ROOT + 1 + tonic] += 1.5 * nats  # the other roles follow the chord
            return
        if role != "bass":
            triad = frozenset((tonic, (tonic + third) % 12, (tonic + 7) % 12))
            added[_PITCHES] += _towards(triad, 0.5 * nats)
        if role in ("bass", "melody"):
            added[_PITCHES] += _towards(frozenset((tonic,)), nats if role == "bass" else 0.75 * nats)

    @staticmethod
    def _role_after(role: str, grammar: Grammar, wanted: Container[str]) -> int | None:
        """Return the token of the next wanted role in the header's order, or None."""
        roles = grammar.header.roles
        rest = roles[roles.index(role) + 1 :] if role else roles
        name = next((r for r in rest if r in wanted), None)
        return None if name is None else _V.id("role", SEGMENT_ROLES.index(name))


_strong_positions = lru_cache(maxsize=64)(strong_positions)


@lru_cache(maxsize=256)
def _towards(classes: frozenset[int], nats: float) -> NDArray[np.float64]:
    """Return ``nats`` at the MIDI numbers that belong to these pitch classes and 0 elsewhere (128,)."""
    return np.where(np.isin(_CLASSES, list(classes)), nats, 0.0)


@lru_cache(maxsize=64)
def _of_held(meter: tuple[int, int], nats: float) -> NDArray[np.float64]:
    """Return ``nats`` at the durations of held chords and 0 elsewhere (durations,)."""
    return np.where(HELD_SHARE * meter_positions(meter) <= _DURATIONS, nats, 0.0)


@lru_cache(maxsize=64)
def _of_cymbals(nats: float) -> NDArray[np.float64]:
    """Return ``nats`` at the strokes of cymbals and 0 elsewhere (drum tokens,)."""
    return np.where(_IS_CYMBAL, nats, 0.0)


@lru_cache(maxsize=64)
def _of_kicks(nats: float) -> NDArray[np.float64]:
    """Return ``nats`` at the strokes of the bass drum and 0 elsewhere (drum tokens,)."""
    return np.where(_IS_KICK, nats, 0.0)
