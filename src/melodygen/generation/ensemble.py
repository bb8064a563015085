"""Several generators that write together: candidates come from each in turn, and the loop chooses among all.

Candidate k of a round is written by model k mod n, so the same seed gives the same candidates. Each draft says which
model wrote it; that model alone makes it again from the draft's seed.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from melodygen.contracts import Draft, Generator
from melodygen.errors import MelodygenError, UsageError
from melodygen.parsing import check_style
from melodygen.request import Request
from melodygen.styles.mixture import style_shares
from melodygen.styles.style import Style


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A ``contracts.Generator`` around several others, its ``members``."""

    members: tuple[Generator, ...]

    @property
    def model_id(self) -> str:
        """Ids of the members, in their order."""
        return ",".join(member.model_id for member in self.members)

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles that every member knows, in the order of the first."""
        first, *others = self.members
        return tuple(s for s in first.styles if all(s in other.styles for other in others))

    @property
    def style_info(self) -> Mapping[str, Style]:
        """What the members' checkpoints say about their styles; of two that name a style the first counts."""
        found: dict[str, Style] = {}
        for member in reversed(self.members):
            found |= getattr(member, "style_info", {})
        return found

    def generate(
        self, request: Request, seeds: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> list[Draft]:
        """One draft for each seed, in order. The members write at the same time, each its share as one batch."""
        from melodygen.generation.sampling import one_thread  # needs torch

        shares = [list(seeds[index :: len(self.members)]) for index in range(len(self.members))]
        told = _Progress([len(share) / max(1, len(seeds)) for share in shares], progress)

        def work(index: int) -> list[Draft]:
            member = self.members[index]
            drafts = member.generate(request, shares[index], lambda done: told(index, done))
            return [replace(draft, model_id=draft.model_id or member.model_id) for draft in drafts]

        # one_thread is not for several threads to enter at once: it is entered here, before they begin
        with one_thread(), ThreadPoolExecutor(len(self.members)) as pool:
            futures = [pool.submit(work, index) for index, share in enumerate(shares) if share]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:  # Ctrl-C comes to this thread alone
                told.stopped.set()
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            raise next((error for error in errors if not isinstance(error, _Stopped)), errors[0])
        written = [iter(future.result()) for future in futures]
        return [next(written[k % len(self.members)]) for k in range(len(seeds))]


class _Stopped(MelodygenError):
    """Another member failed, or the user stopped."""


class _Progress:
    """Adds up the progress of the members, and stops them at their next report once ``stopped`` is set."""

    def __init__(self, shares: Sequence[float], progress: Callable[[float], None] | None) -> None:
        self.stopped = threading.Event()
        self._shares, self._progress = shares, progress
        self._done = [0.0] * len(shares)
        self._lock = threading.Lock()

    def __call__(self, index: int, done: float) -> None:
        if self.stopped.is_set():
            raise _Stopped("stopped")
        with self._lock:
            self._done[index] = done
            if self._progress is not None:
                self._progress(sum(s * d for s, d in zip(self._shares, self._done, strict=True)))


def members_of(generator: Generator) -> tuple[Generator, ...]:
    """The members of an ensemble; another generator alone."""
    return generator.members if isinstance(generator, Ensemble) else (generator,)


def derived(generator: Generator, change: Callable[[Generator], Generator]) -> Generator:
    """``change`` of a generator; of an ensemble the ensemble of each member changed, so that one model writes a piece
    from its first span to its last.
    """
    if isinstance(generator, Ensemble):
        return Ensemble(tuple(change(member) for member in generator.members))
    return change(generator)


def check_known(generator: Generator, style: str) -> None:
    """Raise UsageError unless the generator, and each member of an ensemble, knows the style."""
    check_style(style, dict.fromkeys(s for member in members_of(generator) for s in member.styles))
    shares = style_shares(style) if style not in generator.styles else {style: 1.0}
    for member, name in itertools.product(members_of(generator), shares):
        if name not in member.styles:
            common = ", ".join(generator.styles) or "none"
            raise UsageError(
                f"style {name!r} is not known to {member.model_id}; models that write together need it in "
                f"each, common to all: {common}"
            )


__all__ = ["Ensemble", "check_known", "derived", "members_of"]
