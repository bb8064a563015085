"""The stream of one draft: which tokens may follow, which must, and what the net still sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from melodygen.generation.logit_bias import LogitBias
from melodygen.music.form import FormBar
from melodygen.tokens.codec import bar_token
from melodygen.tokens.grammar import Grammar
from melodygen.tokens.returns import CHORDLINE, LEAST_TOKENS, Returns
from melodygen.tokens.vocabulary import (
    END,
    FILL,
    MAX_AGAIN,
    MAX_TOKENS_A_BAR,
    METERS,
    SEGMENT_ROLES,
    VOCABULARY,
)

RECENT_SHARE = 0.4
"""Share of the net's context that the latest bars keep when the prefix is shortened."""
FULL_SHARE = 0.78
"""A prefix longer than this share of the context is shortened, because the tokens after it need room."""
_KINDS, _VALUES = VOCABULARY.kinds, VOCABULARY.values
_AGAIN, _BARS = VOCABULARY.slice("again"), VOCABULARY.slice("bar")
_FREE = FormBar()
FRESH_ROLES = ("melody", "chords", "other")
"""Roles that make a section new; bass and drums may go on as before."""
MAX_SILENT_BARS = 4
"""A role may rest for this many bars, a phrase; a longer rest is a flaw."""


@dataclass
class SeenBar:
    """One bar as the net sees it before what it writes.

    Attributes:
        meter: its meter; None where it is not said yet.
        lead: its countdown token, and the meter token where the meter changes.
        segments: token of a role -> token ids of the role's segment with that token first, repeats spelled out.
    """

    meter: tuple[int, int] | None
    lead: list[int]
    segments: dict[int, list[int]] = field(default_factory=dict)

    @property
    def spelled(self) -> list[int]:
        """All token ids of the bar."""
        return [*self.lead, *(t for segment in self.segments.values() for t in segment)]


def shortened(bars: Sequence[SeenBar], returns: Returns | None) -> list[int]:
    """Return the token ids of bars in a row; ``returns`` holds the bars before them and makes repeats short, None
    spells them out.
    """
    ids: list[int] = []
    for bar in bars:
        ids += bar.lead
        if returns is not None and bar.meter is not None:
            returns.begin_bar(bar.meter)
        for segment in bar.segments.values():
            ids += segment if returns is None else returns.shorten(segment)
    return ids


@dataclass
class PieceStream:
    """A sampling.Stream.

    Attributes:
        grammar: what may follow.
        rng: what the draws of this stream come from.
        head: the header's tokens.
        late_head: the header's tokens once the beginning is out of view.
        context: token ids between header and the bars to write: the prompt, or the bars around the gap.
        forced_bars: for each bar to write, the tokens that follow its bar token, repeats spelled out.
        stop_at: bars left at which to stop.
        capacity: the net's context in tokens.
        bias: bias of the logits; None for none.
        context_bars: the bars of ``context`` in their order.
        form_bars: for each bar to write, what it owes to the form; empty without a form.
        may_rest: for role tokens that must not rest for more than ``MAX_SILENT_BARS`` bars, in the header's order, the
            bar from which on that holds.
        waits: the net has not seen what was taken last, and must be fed ``prefix()`` anew.
        bars: token ids of each bar that was written, repeats spelled out.
    """

    grammar: Grammar
    rng: np.random.Generator
    head: list[int]
    late_head: list[int]
    context: list[int]
    forced_bars: list[list[int]]
    stop_at: int = 0
    capacity: int = 1024
    bias: LogitBias | None = None
    context_bars: Sequence[SeenBar] = ()
    form_bars: Sequence[FormBar] = ()
    may_rest: Mapping[int, int] = field(default_factory=dict)
    done: bool = False
    waits: bool = False
    bars: list[list[int]] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    _written: list[SeenBar] = field(default_factory=list)
    _seen: list[SeenBar] = field(default_factory=list)
    """The bars in view; the last is the one that is being written."""
    _shown: list[int] = field(default_factory=list)
    """All tokens that were taken."""
    _queue: list[int] = field(default_factory=list)
    _overdue: set[int] = field(default_factory=set)
    """Roles that must play in this bar."""

    def __post_init__(self) -> None:
        self._look_at(self.context_bars)

    def _look_at(self, bars: Sequence[SeenBar]) -> None:
        """Make these the bars that came before."""
        self._seen = list(bars)
        names = SEGMENT_ROLES
        self.grammar.see(
            [(bar.meter, {names[VOCABULARY.values[t]] for t in bar.segments}) for bar in self._seen]
        )

    @property
    def ids(self) -> list[int]:
        """Every token of the sequence: header, context, what was written, and ``end`` once it is done."""
        return [*self.head, *self.context, *self._shown, *([END] if self.done else [])]

    def prefix(self) -> list[int]:
        """Return what the net is to see: everything, or the header and what was written last."""
        self.waits = False
        ids = [*self.head, *self.context, *self._shown]
        full = int(FULL_SHARE * self.capacity)
        if len(ids) <= full:
            return ids
        # around a gap both sides stay in view; a prompt or a beginning long past does not
        around = FILL in self.context
        start = [*self.head, *self.context] if around else self.late_head
        room = min(int(RECENT_SHARE * self.capacity), full - len(start))
        again = self.grammar.limits.again
        count, recent = 0, list[int]()
        while count < len(self._written):
            longer = shortened(self._written[-count - 1 :], Returns() if again else None)
            if count and len(longer) > room:
                break
            count, recent = count + 1, longer
        self._look_at([*(self.context_bars if around else ()), *self._written[len(self._written) - count :]])
        index = len(self.bars) - 1
        if self._queue:  # what is still forced may repeat a bar that is out of view now
            self._queue = self._to_force(index)[len(self.bars[index]) - 1 :]
        return [*start, *recent[-room:]]  # of a bar too long for the view its end stays

    def forced(self) -> int | None:
        """Return the token that must come next, or None."""
        return self._queue[0] if self._queue else None

    def allowed(self) -> NDArray[np.bool_]:
        """Return the mask of tokens that may come next."""
        mask = self.grammar.allowed(self.stop_at)
        self._keep_to_form(mask)
        self._end_rests(mask)
        if self.bars and len(self.bars[-1]) > MAX_TOKENS_A_BAR:
            ends = mask.copy()
            ends[: VOCABULARY.offsets["bar"]] = False
            ends[END] = mask[END]
            ends[VOCABULARY.slice("bar").stop :] = False
            return ends if ends.any() else mask
        return mask

    def _keep_to_form(self, mask: NDArray[np.bool_]) -> None:
        """Rule out chords beside those that return, and that the tune or the accompaniment of a new section repeats
        bars of those before.
        """
        bar = self._form_bar(len(self.bars) - 1)
        if bar.source is not None:
            mask[CHORDLINE] = False
            if self.grammar.role == "chordline":
                mask[VOCABULARY.slice("position")] = False
        if bar.fresh_from is not None and self.grammar.role in FRESH_ROLES:
            mask[_AGAIN.start + len(self.bars) - 1 - bar.fresh_from : _AGAIN.stop] = False

    def _end_rests(self, mask: NDArray[np.bool_]) -> None:
        """Rule out that a role which has rested for long is passed over."""
        order = list(self.may_rest)
        for place, role in enumerate(order):
            if role in self._overdue and role not in self._seen[-1].segments:
                mask[order[place + 1 :]] = False
                mask[_BARS] = mask[END] = False
                return

    def _form_bar(self, index: int) -> FormBar:
        return self.form_bars[index] if 0 <= index < len(self.form_bars) else _FREE

    def logit_bias(self) -> NDArray[np.float64] | None:
        """Return the nats (V,) of the logit bias for the next token, or None without one."""
        return None if self.bias is None else self.bias.values(self.grammar)

    def take(self, token: int, log_prob: float | None) -> None:
        """Take the next token; ``log_prob`` is None for one that was forced.

        Bars that return whole are taken at once with the bar's token after them, and the net does not see them.
        """
        self._take(token, log_prob)
        while not self.done and _KINDS[token] == "bar" and self._form_bar(len(self.bars) - 1).is_whole:
            for returned in self._queue.copy():
                self._take(returned, None)
            token = bar_token(self.grammar.bars_left)
            self._take(token, None)
            self.waits = True

    def _take(self, token: int, log_prob: float | None) -> None:
        kind, value = _KINDS[token], _VALUES[token]
        self.grammar.advance(token)
        repeated = self._repeated(value) if kind == "again" else []
        if self.bias is not None and repeated:
            self.bias.repeat(repeated, self.grammar)
        elif self.bias is not None:
            self.bias.take(token, self.grammar)
        if self._queue:
            self._queue.pop(0)
        if log_prob is not None:
            self.log_probs.append(log_prob)
        if token == END:
            self.done = True
            return
        self._shown.append(token)
        if kind == "bar":
            self._begin_bar(token)
            return
        self.bars[-1] += repeated or [token]
        bar = self._seen[-1]
        if kind == "meter":
            bar.meter = self.grammar.meter
            bar.lead.append(token)
        elif kind == "role":
            bar.segments[token] = [token]
        else:
            next(reversed(bar.segments.values())).extend(repeated or [token])

    def _begin_bar(self, token: int) -> None:
        forced = self._to_force(len(self.bars))
        bar = SeenBar(self.grammar.meter, [token])
        self.bars.append([token])
        self._written.append(bar)
        self._seen.append(bar)
        self._overdue = {
            role for role, first in self.may_rest.items() if self._rest(role, first) > MAX_SILENT_BARS
        }
        self._queue = self._in_short(forced) if forced and self.grammar.limits.again else list(forced)

    def _rest(self, role: int, first: int) -> int:
        """Bars that the role would rest in a row, since ``first``, if it rested in this one."""
        at = len(self.bars) - 1
        before = range(at - 1, first - 1, -1)
        rested = next((at - 1 - i for i in before if role in self._written[i].segments), len(before))
        ahead = 0
        while (bar := self._form_bar(at + 1 + ahead)).is_whole and bar.source is not None:
            if role in self._written[bar.source].segments:
                break
            ahead += 1
        return rested + 1 + ahead if at >= first else 0

    def _to_force(self, index: int) -> list[int]:
        """The tokens that follow a bar's token whatever the net says, repeats spelled out."""
        own = self.forced_bars[index] if index < len(self.forced_bars) else []
        bar = self._form_bar(index)
        if bar.source is None:
            return own
        source = self.bars[bar.source][1:]
        if bar.is_whole:
            return source
        return own or [t for s in split_segments(source)[1] if s[0] == CHORDLINE for t in s]

    def _repeated(self, value: int) -> list[int]:
        """The rest of the segment that the open role had ``value`` + 1 bars ago."""
        role = next(reversed(self._seen[-1].segments))
        return self._seen[-2 - value].segments[role][1:]

    def _in_short(self, forced: Sequence[int]) -> list[int]:
        """Forced tokens of this bar, repeats of bars in view in short."""
        lead, segments = split_segments(forced)
        meter = METERS[VOCABULARY.values[lead[0]] - 1] if lead else self.grammar.meter
        ids = list(lead)
        for segment in segments:
            before = self._seen[-2 : -2 - MAX_AGAIN : -1]
            same = (
                n for n, b in enumerate(before) if b.meter == meter and b.segments.get(segment[0]) == segment
            )
            back = next(same, None)
            short = back is not None and len(segment) >= LEAST_TOKENS and segment[0] != CHORDLINE
            ids += [segment[0], VOCABULARY.id("again", back)] if short and back is not None else segment
        return ids


def split_segments(ids: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """Return what stands before the first role in a bar, and the segments that begin with each role."""
    lead: list[int] = []
    segments: list[list[int]] = []
    for token in ids:
        if VOCABULARY.kinds[token] == "role":
            segments.append([token])
        else:
            (segments[-1] if segments else lead).append(token)
    return lead, segments
