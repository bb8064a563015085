"""Where written music leans beyond what the net learned: on the chord, back to its bars, home, off a worn-out note.

A small net knows a style from bar to bar; what holds a whole piece together it learns last. A lean is a few nats added
to the logits before a token is drawn: it bends odds, it forbids nothing, and what the net finds out of the question
stays out. How much each style leans is in the checkpoint (``logit_bias``): it closes the gap that was measured between
this model and human music. Why, and with what effect: docs/decisions/0011-leaning.md.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from melodygen.generation.quality import CYMBALS
from melodygen.music.harmony import CHORD_QUALITIES
from melodygen.tokens.grammar import Grammar
from melodygen.tokens.grid import meter_positions, strong_positions
from melodygen.tokens.vocabulary import (
    CHORD_QUALITY_NAMES,
    DRUM_VELOCITIES,
    DRUMS,
    DURATIONS,
    SEGMENT_ROLES,
    VOCABULARY,
)

_V = VOCABULARY
_ROOT = _V.offsets["chord_root"]
_DURATIONS = np.array(DURATIONS)
_CYMBALS = np.array(
    [
        _V.offsets["drum"] + i
        for i in range(_V.counts["drum"])
        if DRUMS[i // len(DRUM_VELOCITIES)][0] in CYMBALS
    ]
)
PHRASE_BARS = 4
HELD_SHARE = 0.75
"""Of the bar: a chord as long as that is held, not played."""
RETURN_NATS = 4.0
"""Towards the next token of the phrase that returns: most of its bars come back whole, some varied."""
TIRED_AFTER, TIRED_NATS, TIRED_MOST = 6, 0.5, 6.0
"""A tune that says one pitch more often than this in a row leans away from it, more with each time, up to the most."""
CADENCE_BARS = 2
"""The last bars do not return to earlier ones: they close."""


@dataclass(frozen=True)
class LogitBiasConfig:
    """``chord``: melody and bass towards the sounding chord on strong beats, in nats. ``back``: how likely a phrase of
    four bars returns to an earlier one, 0 to 1. ``home``: in the last bar, to the tonic and to rest, in nats.
    ``comping``: away from chords held for most of a bar, in nats. ``cymbals``: towards them, in nats a stroke."""

    chord: float = 0.4
    back: float = 0.1
    home: float = 2.5
    comping: float = 0.0
    cymbals: float = 0.0

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, float]], style: str) -> LogitBiasConfig:
        return cls(**config.get(style, {}))


class LogitBias:
    """Follows one stream and says where its next token leans."""

    def __init__(
        self,
        config: LogitBiasConfig,
        key: tuple[int, str] | None,
        ends_on_tonic: bool,
        rng: np.random.Generator,
    ) -> None:
        """``ends_on_tonic``: the last bar written is the piece's last. ``rng`` decides which phrases return."""
        self._config, self._key, self._comes_home, self._rng = config, key, ends_on_tonic, rng
        self._returns_by = 0
        """How many bars before this one stand those that return; 0 for new music."""
        self._bars: list[dict[str, list[int]]] = []
        self._chords: list[tuple[int, frozenset[int]]] = []
        """Of this bar: position, pitch classes; the first may be the one that was held on."""
        self._root = -1
        self._said, self._times = -1, 0
        """The tune's last pitch, and how often in a row."""

    def take(self, token: int, grammar: Grammar) -> None:
        """``grammar`` has taken the token already."""
        kind, value = _V.kinds[token], _V.values[token]
        if kind == "bar":
            phrase, bar = divmod(len(self._bars), PHRASE_BARS)
            if phrase and not bar:
                returns = self._rng.random() < self._config.back
                self._returns_by = PHRASE_BARS * int(self._rng.integers(1, phrase + 1)) if returns else 0
            self._bars.append({})
            self._chords = [(0, self._chords[-1][1])] if self._chords else []
        elif kind == "role":
            self._bars[-1][grammar.role] = []
        elif grammar.role:
            self._bars[-1][grammar.role].append(token)
        if kind == "pitch" and grammar.role == "melody":
            self._times = self._times + 1 if value == self._said else 1
            self._said = value
        if kind == "chord_root":
            self._root = value - 1
            if value == 0:
                self._chords.append((grammar.position, frozenset()))
        elif kind == "chord_quality":
            tones = CHORD_QUALITIES[CHORD_QUALITY_NAMES[value]]
            self._chords.append((grammar.position, frozenset((self._root + t) % 12 for t in tones)))

    def lean(self, grammar: Grammar) -> NDArray[np.float64] | None:
        """Nats to add to the logits (V,), or None for nothing."""
        if not self._bars:
            return None
        added = np.zeros(_V.size)
        if grammar.bars_left == 0 and self._comes_home:
            self._bias_to_tonic(grammar, added)
        else:
            self._bias_to_chord(grammar, added)
            self._bias_to_rhythm(grammar, added)
            if self._returns_by and grammar.bars_left >= CADENCE_BARS:
                self._bias_to_return(grammar, added)
        if grammar.role == "melody" and self._times > TIRED_AFTER:
            _pitches(added)[self._said] -= min(TIRED_NATS * (self._times - TIRED_AFTER), TIRED_MOST)
        return added

    def _bias_to_chord(self, grammar: Grammar, added: NDArray[np.float64]) -> None:
        if grammar.role not in ("melody", "bass") or grammar.meter is None:
            return
        if grammar.position in strong_positions(grammar.meter):
            tones = next((t for at, t in reversed(self._chords) if at <= grammar.position), frozenset[int]())
            _pitches(added)[_of_classes(tones)] += self._config.chord

    def _bias_to_rhythm(self, grammar: Grammar, added: NDArray[np.float64]) -> None:
        if grammar.role == "chords" and grammar.meter is not None:
            held = HELD_SHARE * meter_positions(grammar.meter)
            added[_V.slice("duration")][held <= _DURATIONS] -= self._config.comping
        elif grammar.role == "drums":
            added[_CYMBALS] += self._config.cymbals

    def _bias_to_return(self, grammar: Grammar, added: NDArray[np.float64]) -> None:
        source, role = self._bars[-1 - self._returns_by], grammar.role
        there, here = source.get(role, []), self._bars[-1].get(role, [])
        if there[: len(here)] != here:
            return  # varied: it goes its own way until the next role or bar
        if len(there) > len(here):
            added[there[len(here)]] += RETURN_NATS
            return
        added[_V.slice("position").start :] -= RETURN_NATS  # all that would go on
        following = self._role_after(role, grammar, source)
        added[_V.slice("bar") if following is None else following] += RETURN_NATS

    def _bias_to_tonic(self, grammar: Grammar, added: NDArray[np.float64]) -> None:
        home, role = self._config.home, grammar.role
        used = {r for bar in self._bars for r in bar} - {"drums"}
        following = self._role_after(role, grammar, used)
        if following is not None:
            added[following] += home  # nobody is missing at the end
        if grammar.position >= 0:  # something has been said: it is enough
            added[_V.slice("position")] -= 0.5 * home if role == "drums" else home
        if self._key is None or not role or role == "drums":
            return
        tonic, third = self._key[0], 4 if self._key[1] == "major" else 3
        if role == "chordline":
            added[_ROOT + 1 + tonic] += 1.5 * home  # what the other roles will be written to
            return
        if role != "bass":
            triad = frozenset((tonic, (tonic + third) % 12, (tonic + 7) % 12))
            _pitches(added)[_of_classes(triad)] += 0.5 * home
        if role in ("bass", "melody"):
            _pitches(added)[_of_classes(frozenset((tonic,)))] += home if role == "bass" else 0.75 * home

    @staticmethod
    def _role_after(role: str, grammar: Grammar, wanted: Container[str]) -> int | None:
        """The token of the next wanted role, in the header's order."""
        roles = grammar.header.roles
        rest = roles[roles.index(role) + 1 :] if role else roles
        name = next((r for r in rest if r in wanted), None)
        return None if name is None else _V.id("role", SEGMENT_ROLES.index(name))


@lru_cache(maxsize=256)
def _of_classes(classes: frozenset[int]) -> NDArray[np.bool_]:
    """Which MIDI numbers are of these pitch classes."""
    return np.isin(np.arange(_V.counts["pitch"]) % 12, list(classes))


def _pitches(added: NDArray[np.float64]) -> NDArray[np.float64]:
    view: NDArray[np.float64] = added[_V.slice("pitch")]
    return view
