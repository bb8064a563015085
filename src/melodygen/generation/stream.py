"""One draft in the making: what may follow, what must, and what the net still sees of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from melodygen.generation.logit_bias import LogitBias
from melodygen.tokens.grammar import Grammar
from melodygen.tokens.vocabulary import END, FILL, VOCABULARY

RECENT_SHARE = 0.4
"""How much of the net's context what was written keeps when the view is shortened."""
FULL_SHARE = 0.78
"""A longer prefix is shortened: what follows it needs room."""
MAX_TOKENS_A_BAR = 300


@dataclass
class PieceStream:
    """A sampling.Stream."""

    grammar: Grammar
    rng: np.random.Generator
    head: list[int]
    late_head: list[int]
    """The header once the beginning is out of view."""
    context: list[int]
    """Between header and the bars to write: prompt, or the bars around the gap."""
    forced_bars: list[list[int]]
    """For each bar to write, the tokens that follow its bar token."""
    stop_at: int = 0
    """Bars left at which to stop."""
    capacity: int = 1024
    """The net's context, in tokens."""
    leaner: LogitBias | None = None
    done: bool = False
    bars: list[list[int]] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    _queue: list[int] = field(default_factory=list)

    def prefix(self) -> list[int]:
        ids = [*self.head, *self.context, *(t for bar in self.bars for t in bar)]
        full = int(FULL_SHARE * self.capacity)
        if len(ids) <= full:
            return ids
        # around a gap both sides stay in view; a prompt or a beginning long past does not
        start = [*self.head, *self.context] if FILL in self.context else self.late_head
        room = min(int(RECENT_SHARE * self.capacity), full - len(start))
        recent: list[int] = []
        for bar in reversed(self.bars):
            if recent and len(recent) + len(bar) > room:
                break
            recent = bar + recent
        return [*start, *recent[-room:]]  # of a bar too long for the view its end stays

    def forced(self) -> int | None:
        return self._queue[0] if self._queue else None

    def allowed(self) -> NDArray[np.bool_]:
        mask = self.grammar.allowed(self.stop_at)
        if self.bars and len(self.bars[-1]) > MAX_TOKENS_A_BAR:
            ends = mask.copy()
            ends[: VOCABULARY.offsets["bar"]] = False
            ends[END] = mask[END]
            ends[VOCABULARY.slice("bar").stop :] = False
            return ends if ends.any() else mask
        return mask

    def lean(self) -> NDArray[np.float64] | None:
        return None if self.leaner is None else self.leaner.lean(self.grammar)

    def take(self, token: int, log_prob: float | None) -> None:
        self.grammar.advance(token)
        if self.leaner is not None:
            self.leaner.take(token, self.grammar)
        if self._queue:
            self._queue.pop(0)
        if log_prob is not None:
            self.log_probs.append(log_prob)
        if token == END:
            self.done = True
            return
        if VOCABULARY.kinds[token] == "bar":
            index = len(self.bars)
            self.bars.append([token])
            self._queue = list(self.forced_bars[index]) if index < len(self.forced_bars) else []
        else:
            self.bars[-1].append(token)
