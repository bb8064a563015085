"""The grammar of token sequences: a state machine, and the mask of allowed tokens for the sampler.

Every sequence that is sampled under the mask decodes: bars count down to the end that was asked for,
positions and pitches ascend inside their group, roles come in the header's order, and each role keeps to its
range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import TokenError
from melodygen.tokens.codec import Header, bar_token
from melodygen.tokens.grid import meter_positions
from melodygen.tokens.vocabulary import (
    DRUM_VELOCITIES,
    DRUMS,
    DURATIONS,
    END,
    FILL,
    GAP,
    MAX_AGAIN,
    MAX_COUNTDOWN,
    MAX_POLYPHONY,
    METERS,
    SEGMENT_ROLES,
    VELOCITIES,
    VOCABULARY,
)

_V = VOCABULARY
_OFFSET = _V.offsets
_FIRST_POSITION, _FIRST_AGAIN = _OFFSET["position"], _OFFSET["again"]
_FIRST_DURATION, _FIRST_VELOCITY, _FIRST_PITCH = _OFFSET["duration"], _OFFSET["velocity"], _OFFSET["pitch"]
_ENDS_SEGMENT = frozenset(("bar", "bar_open", "meter", "note", "again"))
_SIZE = _V.size
_KIND_NAMES = tuple(kind for kind, _ in _V.table())
_KIND = [_KIND_NAMES.index(k) for k in _V.kinds]
_VALUE = _V.values
(_SPECIAL, _STYLE, _METER, _TEMPO, _KEY, _DENSITY, _SPAN, _ROLE, _BAR, _POSITION, _ROOT, _QUALITY, _DURATION,
 _VELOCITY, _PITCH, _DRUM, _AGAIN) = range(17)  # fmt: skip

Mask = NDArray[np.bool_]
"""Boolean array (vocabulary size,): True where a token is allowed."""


@dataclass(frozen=True)
class Limits:
    """What the request rules out beyond the grammar.

    Attributes:
        ranges: (lowest, highest) MIDI number of each role; a missing role has 0-127.
        allow_meter_change: False keeps the meter that was asked for.
        polyphony: largest number of notes at one onset, by role.
        kept_roles: roles that are given; the caller feeds their segments, and the mask never offers them.
        again: whether a segment may be a repeat of an earlier one; nets of the earlier vocabulary do not
            know that token.
    """

    ranges: Mapping[str, tuple[int, int]] | None = None
    allow_meter_change: bool = False
    polyphony: Mapping[str, int] | None = None
    kept_roles: frozenset[str] = frozenset()
    again: bool = False


class Grammar:
    """The state of the grammar after a prefix of tokens.

    ``bars_left`` is the countdown of the next bar. The mask of ``allowed()`` is never empty, provided that
    every range holds at least one pitch.
    """

    def __init__(self, header: Header, bars: int, limits: Limits | None = None) -> None:
        self.header = header
        self.limits = limits or Limits()
        self.bars_left = bars
        self.meter = header.meter
        self.ended = False
        self.role = ""
        """The role whose segment is open; empty between bars and at the beginning of a bar."""
        self._state = "bar"  # what the last token was; "bar" = between bars
        self._role = -1  # index into header.roles of the segment that is open, -1 at the bar's start
        self._position = -1
        self._duration = -1
        self._velocity = -1
        self._pitch = -1
        self._group_duration = -1
        self._group: set[int] = set()  # pitches of the open position
        self._in_bar = False
        self._bars: list[tuple[tuple[int, int] | None, set[str]]] = []
        """Of each bar in the sequence: its meter, and the roles that sound in it."""
        self._role_ids = [_OFFSET["role"] + SEGMENT_ROLES.index(r) for r in header.roles]
        ranges, polyphony = self.limits.ranges or {}, self.limits.polyphony or {}
        self._bounds = {
            r: (*ranges.get(r, (0, 127)), min(MAX_POLYPHONY[r], polyphony.get(r, 99))) for r in header.roles
        }
        """Of each role: lowest and highest pitch, and how many notes may start together."""

    def advance(self, token: int) -> None:
        """Feed one token. Raises TokenError when the token cannot stand here."""
        kind, value = _KIND[token], _VALUE[token]
        if kind == _BAR:
            if token != bar_token(self.bars_left) or self.ended:
                raise TokenError(f"{_V.name(token)} where {self.bars_left} bars are left")
            self.bars_left -= 1
            self._in_bar, self._role, self.role, self._state = True, -1, "", "bar_open"
            self._bars.append((self.meter, set()))
        elif kind == _METER:
            self.meter = METERS[value - 1]
            self._bars[-1] = (self.meter, set())
            self._state = "meter"
        elif kind == _ROLE:
            self.role = SEGMENT_ROLES[value]
            self._role = self.header.roles.index(self.role)
            self._position = self._duration = self._velocity = self._pitch = -1
            self._state = "role"
            self._bars[-1][1].add(self.role)
        elif kind == _AGAIN:
            if self._state != "role" or not self._returns(value):
                raise TokenError(f"{_V.name(token)} means no bar in which the role sounds")
            self._state = "again"
        elif kind == _POSITION:
            self._position, self._pitch, self._group_duration, self._group = value, -1, -1, set()
            self._state = "position"
        elif kind == _VELOCITY:
            self._velocity, self._state = value, "velocity"
        elif kind == _DURATION:
            self._duration = self._group_duration = value
            self._pitch, self._state = -1, "duration"
        elif kind in (_PITCH, _DRUM):
            self._pitch = value
            self._group_duration = self._duration
            self._group.add(value)
            self._state = "note"
        elif kind == _ROOT:
            self._state = "root" if value else "note"
        elif kind == _QUALITY:
            self._state = "note"
        elif token == END:
            self.ended = True
        else:
            raise TokenError(f"{_V.name(token)} cannot be taken here")

    def see(self, bars: Sequence[tuple[tuple[int, int] | None, Set[str]]]) -> None:
        """Set the bars that stand before the next one in the sequence, as (meter, roles that sound)."""
        self._bars = [(meter, set(roles)) for meter, roles in bars]

    def _returns(self, value: int) -> bool:
        """Return whether the open segment can repeat that of ``value + 1`` bars ago."""
        if self.role == "chordline" or value + 2 > len(self._bars):
            return False
        meter, roles = self._bars[-2 - value]
        return meter == self.meter and self.role in roles

    @property
    def position(self) -> int:
        """The position of the open group, in twelfths of a quarter; -1 before the first group of a
        segment.
        """
        return self._position

    @property
    def is_between_bars(self) -> bool:
        """Whether the bar could end here, or no bar has begun."""
        return self._state in ("bar", "note", "again") or (
            self._state in ("bar_open", "meter") and self.meter is not None
        )

    def skip_gap(self, bars: int) -> None:
        """Count down over ``bars`` bars that the ``gap`` token stands for; the caller writes the token."""
        self.bars_left -= bars
        self._in_bar, self._role, self.role, self._state = False, -1, "", "bar"

    def begin_fill(self, bars_left: int, meter: tuple[int, int] | None) -> None:
        """Return to the gap: the next bar has the countdown ``bars_left`` and follows a bar of ``meter``."""
        self.bars_left, self.meter = bars_left, meter
        self._in_bar, self._role, self.role, self._state = False, -1, "", "bar"

    def allowed(self, last_bar_left: int = 0) -> Mask:
        """Return the mask of the next token.

        Args:
            last_bar_left: the countdown at which ``end`` is allowed instead of a bar. 0 is the end of the
                piece; infill stops earlier.
        """
        mask = np.zeros(_SIZE, dtype=bool)
        state = self._state
        role = self.role
        if state in ("bar_open", "meter") and self.meter is None:
            first = _OFFSET["meter"] + 1
            mask[first : first + len(METERS)] = True
            return mask
        if state == "bar_open" and self.limits.allow_meter_change:
            first = _OFFSET["meter"] + 1
            mask[first : first + len(METERS)] = True
            assert self.meter is not None
            mask[first + METERS.index(self.meter)] = False
        if state in _ENDS_SEGMENT:
            if self._in_bar:
                for index in range(self._role + 1, len(self._role_ids)):
                    mask[self._role_ids[index]] = self.header.roles[index] not in self.limits.kept_roles
            if self.bars_left > last_bar_left:
                mask[bar_token(self.bars_left)] = True
            else:
                mask[END] = True
        if role in self.limits.kept_roles:
            return mask  # nothing is added to what is given
        if state in ("role", "note") and self._in_bar and role:
            assert self.meter is not None
            mask[_FIRST_POSITION + self._position + 1 : _FIRST_POSITION + meter_positions(self.meter)] = True
        if role and state == "role" and self.limits.again:
            for value in range(min(MAX_AGAIN, len(self._bars) - 1)):
                mask[_FIRST_AGAIN + value] = self._returns(value)
        if role == "chordline":
            self._allow_chord(mask)
        elif role == "drums":
            self._allow_drum(mask)
        elif role:
            self._allow_note(mask, role)
        return mask

    def _allow_chord(self, mask: Mask) -> None:
        if self._state == "position":
            mask[_V.slice("chord_root")] = True
        elif self._state == "root":
            mask[:] = False
            mask[_V.slice("chord_quality")] = True

    def _allow_drum(self, mask: Mask) -> None:
        """Drums of one position ascend, one velocity each."""
        if self._state in ("position", "note"):
            used = self._pitch // len(DRUM_VELOCITIES) if self._pitch >= 0 else -1
            first = _OFFSET["drum"] + (used + 1) * len(DRUM_VELOCITIES)
            mask[first : _OFFSET["drum"] + len(DRUMS) * len(DRUM_VELOCITIES)] = True

    def _allow_note(self, mask: Mask, role: str) -> None:
        """Velocity, duration and pitch of a pitched role: pitches of a duration ascend, and so do durations."""
        state = self._state
        low, high, cap = self._bounds[role]
        room = len(self._group) < cap and (
            high - low >= len(self._group) or any(p not in self._group for p in range(low, high + 1))
        )
        if state == "position":
            first = _FIRST_VELOCITY
            mask[first : first + len(VELOCITIES)] = True
            if self._velocity >= 0:
                mask[first + self._velocity] = False
        if (state in ("position", "velocity") or (state == "note" and room)) and (
            self._velocity >= 0 or state == "velocity"
        ):
            # a new duration in the same group is longer than the one before; a new group starts anywhere
            first = _FIRST_DURATION
            after = self._group_duration if state == "note" else -1
            mask[first + after + 1 : first + len(DURATIONS)] = True
            if self._duration >= 0:
                mask[first + self._duration] = False
        if (
            self._duration >= 0
            and self._velocity >= 0
            and (state in ("position", "velocity", "duration") or (state == "note" and room))
        ):
            first = max(low, self._pitch + 1 if self._pitch >= 0 else low)
            if first <= high:
                mask[_FIRST_PITCH + first : _FIRST_PITCH + high + 1] = True
            for pitch in self._group:  # one pitch sounds once at a time
                mask[_FIRST_PITCH + pitch] = False


def check(ids: Sequence[int], header: Header, bars: int, start: int) -> None:
    """Raise TokenError at the first token of ``ids[start:]`` that the grammar forbids.

    The check follows an infill: the countdown of the bars after the gap goes on behind the gap, and the gap
    is filled with exactly the bars that are missing.

    Args:
        ids: token ids.
        header: the decoded header of the sequence.
        bars: countdown of the first bar.
        start: index of the first token after the header.
    """
    grammar = Grammar(header, bars, Limits(allow_meter_change=True, again=True))
    gap: tuple[int, int, tuple[int, int] | None] | None = (
        None  # bars left before and after it, meter before it
    )
    filling = False
    for at in range(start, len(ids)):
        token = ids[at]
        if grammar.ended:
            raise TokenError(f"position {at}: {_V.name(token)} after the end")
        if token == GAP and gap is None and grammar.is_between_bars:
            missing = _gap_bars(ids[at + 1 :], grammar.bars_left)
            gap = (grammar.bars_left, grammar.bars_left - missing, grammar.meter)
            grammar.skip_gap(missing)
            continue
        if token == FILL and gap is not None and not filling and grammar.is_between_bars:
            grammar.begin_fill(gap[0], gap[2])
            filling = True
            continue
        stop = gap[1] if gap is not None and filling else 0
        unfilled = token == END and gap is not None and not filling
        if unfilled or not grammar.allowed(stop)[token]:
            raise TokenError(f"position {at}: {_V.name(token)} is not allowed here")
        grammar.advance(token)


def _gap_bars(rest: Sequence[int], bars_left: int) -> int:
    """Return how many bars are missing, from the tokens after ``gap``.

    The next countdown gives the number where it is exact; otherwise the bars of the infill are counted.
    """
    following = next((t for t in rest if _KIND[t] == _BAR or t == FILL), FILL)
    if following != FILL and _VALUE[following] < MAX_COUNTDOWN:
        return bars_left - _VALUE[following] - 1
    fill = rest[list(rest).index(FILL) :] if FILL in rest else ()
    return sum(_KIND[t] == _BAR for t in fill)
