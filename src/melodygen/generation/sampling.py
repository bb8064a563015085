"""Sampling of token streams in batches: temperature, top-k, top-p and the grammar's mask turn logits into
tokens.

Each stream has its own random generator, so its draws do not depend on those of the others. Streams are
written in groups of at most ``GROUP``, two groups at least, as many at once as there are cores. The groups, and with
them every bit of the computation, are the same on any number of cores.
"""

from __future__ import annotations

import math
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from melodygen.nets.sequence_net import SequenceNet

GROUP = 4
"""Largest number of streams that share a step. More would read the weights less often, but leave cores idle."""
STEP_SECONDS = 0.05
"""Longest time between two calls of ``on_step``."""


class Stream(Protocol):
    """One sequence in the making: it says what may come next and takes what was chosen.

    Attributes:
        rng: random generator of this stream alone.
        done: whether the stream has ended.
        waits: the net has not seen the latest tokens, and goes on after it was fed ``prefix()``.
    """

    rng: np.random.Generator
    done: bool
    waits: bool

    def prefix(self) -> list[int]:
        """Return the tokens so far, ending with the latest and short enough for the net's context."""
        ...

    def forced(self) -> int | None:
        """Return a token that must come next whatever the net says, or None."""
        ...

    def allowed(self) -> NDArray[np.bool_]:
        """Return the mask (V,) of the tokens that may come next."""
        ...

    def logit_bias(self) -> NDArray[np.float64] | None:
        """Return the nats (V,) to add to the logits before a token is drawn, or None."""
        ...

    def take(self, token: int, log_prob: float | None) -> None:
        """Accept the next token; ``log_prob`` in nats is None for a forced token."""
        ...


@dataclass(frozen=True)
class SamplingOptions:
    """How a token is drawn.

    Attributes:
        temperature: divides the logits, more than 0.
        top_k: only the k most probable tokens are drawn; 0 is all.
        top_p: only the most probable tokens that together reach this probability are drawn; 1.0 is all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass
class Stepper:
    """A net with its state: it is fed prefixes of unequal length, then one token a row at a time."""

    net: SequenceNet
    capacity: int
    _state: Any = None
    _at: int = 0
    _starts: Tensor | None = field(default=None)

    def start(self, prefixes: Sequence[Sequence[int]]) -> Tensor:
        """Feed the prefixes and return the logits (B, V) after them. Raises ValueError for a prefix beyond
        the capacity.
        """
        lengths = [len(p) for p in prefixes]
        longest = max(lengths)
        if longest > self.capacity:
            raise ValueError(f"a prefix of {longest} tokens does not fit into a cache of {self.capacity}")
        self._at = longest
        if all(list(p) == list(prefixes[0]) for p in prefixes):
            # one row is enough: the others are copies
            state = self.net.new_state(1, longest)
            logits = self.net.step(torch.tensor([list(prefixes[0])]), state, 0)
            self._state = self.net.merge_states([state] * len(prefixes), lengths, self.capacity)
            self._starts = None
            return logits.expand(len(prefixes), -1)
        states, rows = [], []
        for prefix in prefixes:
            state = self.net.new_state(1, len(prefix))
            rows.append(self.net.step(torch.tensor([list(prefix)]), state, 0))
            states.append(state)
        self._state = self.net.merge_states(states, lengths, self.capacity)
        self._starts = torch.tensor([longest - n for n in lengths]) if min(lengths) < longest else None
        return torch.cat(rows)

    @property
    def is_full(self) -> bool:
        """Whether the net's context is used up."""
        return self._at >= self.capacity

    def keep(self, rows: list[int]) -> None:
        """Continue with the given rows only."""
        self._state = self.net.keep_rows(self._state, rows)
        if self._starts is not None:
            self._starts = self._starts[rows]

    def feed(self, tokens: Sequence[int]) -> Tensor:
        """Feed one token a row and return the logits (B, V) after it."""
        ids = torch.from_numpy(np.array(tokens))[:, None]  # a tenth of the time of torch.tensor
        logits = self.net.step(ids, self._state, self._at, self._starts)
        self._at += 1
        return logits


def choose(
    logits: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    options: SamplingOptions,
    rng: np.random.Generator,
    bias: NDArray[np.float64] | None = None,
) -> tuple[int, float]:
    """Draw a token.

    Args:
        logits: (V,) of the net.
        allowed: (V,) mask of the tokens that the grammar allows.
        options: temperature, top-k and top-p.
        rng: random generator of the stream.
        bias: (V,) nats added to the logits for the draw; the returned probability ignores it.

    Returns:
        The token and its log-probability in nats, under the mask at temperature 1.

    Raises:
        ValueError: the mask is empty.
    """
    tokens = allowed.nonzero()[0]
    if not len(tokens):
        raise ValueError("the grammar allows no token here")
    if len(tokens) == 1:
        return int(tokens[0]), 0.0
    # functions rather than methods where those go through Python: this runs for every token under the lock that all
    # groups share
    plain = logits.take(tokens)
    plain -= np.maximum.reduce(plain)
    scaled = plain if bias is None else plain + bias.take(tokens)
    if options.temperature != 1.0:
        scaled = scaled / options.temperature
    # a stable order: equal logits draw the same token on every machine
    order = (-scaled).argsort(kind="stable")
    weights = scaled.take(order)
    weights -= weights[0]
    total = np.add.accumulate(np.exp(weights, out=weights))
    keep = len(order)
    if options.top_k:
        keep = min(keep, options.top_k)
    if options.top_p < 1.0:
        keep = min(keep, int(total.searchsorted(options.top_p * total[-1])) + 1)
    index = order[min(int(total.searchsorted(rng.random() * total[keep - 1], side="right")), keep - 1)]
    return int(tokens[index]), float(plain[index]) - math.log(float(np.add.reduce(np.exp(plain))))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside the block.

    Sampling is many small operations; on a busy machine more threads only wait for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def write_each(
    net: SequenceNet,
    streams: Sequence[Stream],
    options: SamplingOptions,
    capacity: int,
    on_step: Callable[[], None] | None = None,
) -> Generator[list[int], None, None]:
    """Run all streams to their end, and yield the indices of those that have ended since the last time.

    The others are written on in threads meanwhile. An exception in any group, Ctrl-C too, stops all groups and is
    raised here; so does closing the iterator.

    Args:
        net: the sequence net.
        streams: the streams to write; they are changed.
        options: how tokens are drawn.
        capacity: the net's context, in tokens.
        on_step: called every now and then, in the thread that asks for the next streams.
    """
    index = {id(stream): i for i, stream in enumerate(streams)}
    if already := [i for i, stream in enumerate(streams) if stream.done]:
        yield already
    size = min(GROUP, -(-len(streams) // 2))  # a second core should not wait
    groups = [[s for s in streams[i : i + size] if not s.done] for i in range(0, len(streams), size or 1)]
    waiting = deque(group for group in groups if group)
    stop = threading.Event()
    news: queue.SimpleQueue[list[Stream] | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        """Write groups until none waits; the last news of a thread is None or what went wrong."""
        try:
            with torch.inference_mode():
                while not stop.is_set() and (group := _next(waiting)):
                    _write_group(net, group, options, capacity, news.put, stop)
            news.put(None)
        except BaseException as error:
            news.put(error)

    with one_thread():
        workers = [threading.Thread(target=work) for _ in range(min(len(waiting), _cores()))]
        try:
            for worker in workers:
                worker.start()
            running = len(workers)
            while running:
                ended: list[int] = []
                for found in _arrived(news):
                    if isinstance(found, BaseException):
                        raise found
                    ended += [index[id(stream)] for stream in found or ()]
                    running -= found is None
                (on_step or _no_step)()
                if ended:
                    yield ended
        finally:
            stop.set()
            for worker in workers:
                if worker.ident is not None:
                    worker.join()


def _next(waiting: deque[list[Stream]]) -> list[Stream]:
    try:
        return waiting.popleft()
    except IndexError:
        return []


def _arrived(news: queue.SimpleQueue[Any]) -> list[Any]:
    """Return all that has come; wait for something for at most ``STEP_SECONDS``."""
    found = []
    try:
        found.append(news.get(timeout=STEP_SECONDS))
        while True:
            found.append(news.get_nowait())
    except queue.Empty:
        return found


def _cores() -> int:
    """Return the number of cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _no_step() -> None:
    return


def _write_group(
    net: SequenceNet,
    streams: list[Stream],
    options: SamplingOptions,
    capacity: int,
    on_end: Callable[[list[Stream]], None],
    stop: threading.Event,
) -> None:
    """Write one batch to its end.

    A stream that is done leaves the batch and is handed to ``on_end``; one that waits leaves it until all wait or are
    done. Then, and when the net's context is full, every stream continues from its own shortened prefix.
    """
    while streams:
        stepper = Stepper(net, capacity)
        logits = stepper.start([s.prefix() for s in streams])
        rows = streams
        while not stop.is_set():
            table = logits.numpy().astype(np.float64)
            tokens = []
            for row, stream in enumerate(rows):
                token = stream.forced()
                log_prob = None
                if token is None:
                    token, log_prob = choose(
                        table[row], stream.allowed(), options, stream.rng, stream.logit_bias()
                    )
                stream.take(token, log_prob)
                tokens.append(token)
            if any(stream.done for stream in rows):
                on_end([stream for stream in rows if stream.done])
                streams = [stream for stream in streams if not stream.done]
            running = [row for row, stream in enumerate(rows) if not (stream.done or stream.waits)]
            if len(running) < len(rows):
                rows = [rows[row] for row in running]
                tokens = [tokens[row] for row in running]
                if rows and not stepper.is_full:
                    stepper.keep(running)
            if not rows or stepper.is_full:
                break
            logits = stepper.feed(tokens)
        if stop.is_set():
            return


__all__ = ["SamplingOptions", "SequenceNet", "Stepper", "Stream", "choose", "write_each"]
