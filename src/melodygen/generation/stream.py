"""The stream of one draft: which tokens may follow, which must, and what the net still sees."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from melodygen.generation.logit_bias import LogitBias
from melodygen.tokens.grammar import Grammar
from melodygen.tokens.vocabulary import END, FILL, VOCABULARY

RECENT_SHARE = 0.4
"""Share of the net's context that the latest bars keep when the prefix is shortened."""
FULL_SHARE = 0.78
"""A prefix longer than this share of the context is shortened, because the tokens after it need room."""
MAX_TOKENS_A_BAR = 300
"""In a bar with more tokens than this, only tokens that end the bar are allowed."""


@dataclass
class PieceStream:
    """A ``sampling.Stream`` that writes one piece."""

    grammar: Grammar
    rng: np.random.Generator
    head: list[int]
    late_head: list[int]
    """The header for a prefix that no longer begins at the start of the piece."""
    context: list[int]
    """Tokens between the header and the bars to write: the prompt, or the bars around the gap."""
    forced_bars: list[list[int]]
    """For each bar to write, the tokens that must follow its bar token."""
    stop_at: int = 0
    """Countdown (bars left) at which the stream ends."""
    capacity: int = 1024
    """The net's context, in tokens."""
    bias: LogitBias | None = None
    done: bool = False
    bars: list[list[int]] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    _queue: list[int] = field(default_factory=list)

    def prefix(self) -> list[int]:
        """Return header, context and the bars so far, shortened to leave room in the net's context."""
        ids = [*self.head, *self.context, *(t for bar in self.bars for t in bar)]
        full = int(FULL_SHARE * self.capacity)
        if len(ids) <= full:
            return ids
        # an infill needs both sides of its gap; a prompt or an early beginning can be dropped
        start = [*self.head, *self.context] if FILL in self.context else self.late_head
        room = min(int(RECENT_SHARE * self.capacity), full - len(start))
        recent: list[int] = []
        for bar in reversed(self.bars):
            if recent and len(recent) + len(bar) > room:
                break
            recent = bar + recent
        return [*start, *recent[-room:]]  # of a bar longer than the room, keep its end

    def forced(self) -> int | None:
        """Return the next token of a given segment, or None."""
        return self._queue[0] if self._queue else None

    def allowed(self) -> NDArray[np.bool_]:
        """Return the grammar's mask; in a bar that has grown too long, only tokens that end it."""
        mask = self.grammar.allowed(self.stop_at)
        if self.bars and len(self.bars[-1]) > MAX_TOKENS_A_BAR:
            ends = mask.copy()
            ends[: VOCABULARY.offsets["bar"]] = False
            ends[END] = mask[END]
            ends[VOCABULARY.slice("bar").stop :] = False
            return ends if ends.any() else mask
        return mask

    def logit_bias(self) -> NDArray[np.float64] | None:
        """Return the nats (V,) of the logit bias for the next token, or None without one."""
        return None if self.bias is None else self.bias.values(self.grammar)

    def take(self, token: int, log_prob: float | None) -> None:
        """Accept the next token; ``log_prob`` in nats is None for a forced token."""
        self.grammar.advance(token)
        if self.bias is not None:
            self.bias.take(token, self.grammar)
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
