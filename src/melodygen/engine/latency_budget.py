"""The latency budget: how much this machine can write in time. It writes fewer candidates, or unclassified
ones, rather than repeat a phrase.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from melodygen.engine.writer import PhraseRequest

SHARE = 0.8
"""Share of the time until a phrase is due that writing it may take by forecast."""
ONE_STREAM, EACH_STREAM = 0.75, 0.25
"""Effort of a bar: candidates are written side by side, so the second costs less than the first."""
HEARING = 0.6
"""Effort of rendering a phrase and listening to it, in bars of one candidate. These three were measured on two cores
without AVX-512 in jazz and hymns; they need not be exact: the pace is measured as it goes."""
SLOWER, QUICKER = 0.5, 0.2
"""How much of a surprise is believed: a machine that slows down is believed sooner than one that recovers."""


def effort(task: PhraseRequest) -> float:
    """Return the effort of a round of a task, in bars of one candidate that is not classified."""
    return task.request.bars * (ONE_STREAM + EACH_STREAM * task.candidates) + (0.0 if task.quick else HEARING)


class WritingSpeed:
    """Seconds for an effort of 1, learned from what was written; unknown at first."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def learn(self, task: PhraseRequest, seconds: float) -> None:
        """Learn from a task that took ``seconds``."""
        pace = seconds / effort(task)
        if self._seconds is None:
            self._seconds = pace
        else:
            self._seconds += (SLOWER if pace > self._seconds else QUICKER) * (pace - self._seconds)

    def seconds(self, task: PhraseRequest) -> float:
        """Return the forecast of a task in seconds; 0 while nothing is known."""
        return (self._seconds or 0.0) * effort(task)

    def fit(
        self, task: PhraseRequest, playing: float, ahead: float = math.inf, may_be_unheard: bool = True
    ) -> PhraseRequest:
        """Return the largest part of ``task`` that is written in time.

        As many candidates are kept as there is time for, down to one, then one that is not classified. Where
        only ``ahead`` is short, and the length is free, the number of bars is halved, and halved again.

        Args:
            task: what is wanted.
            playing: seconds that the phrase itself plays.
            ahead: seconds until it is due.
            may_be_unheard: whether a phrase may be left unclassified.
        """
        room = SHARE * min(playing, ahead)
        if self.seconds(task) <= room:
            return task
        for candidates in range(task.candidates - 1, 0, -1):
            fewer = replace(task, candidates=candidates, max_rounds=1)
            if self.seconds(fewer) <= room:
                return fewer
        least = replace(task, candidates=1, max_rounds=1, quick=may_be_unheard)
        if (
            not may_be_unheard or self.seconds(least) > playing
        ):  # shorter ones would come no sooner one after the other
            return least
        while self.seconds(least) > room and least.request.bars > 1 and least.request.given is None:
            least = replace(least, request=replace(least.request, bars=least.request.bars // 2))
        return least


class LatencyBudget:
    """Requests no more than there is time for, and reports it.

    Attributes:
        speed: the measured speed of the writer.
        hurry: how the next phrase is written where that is less than was wanted; empty otherwise.
        num_written: number of phrases by how they were written.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.speed = WritingSpeed()
        self.hurry = ""
        self.num_written: Counter[str] = Counter()
        self._say = say
        self._fewest_told = math.inf

    def count(self, task: PhraseRequest) -> None:
        """Count a written task."""
        by = "unheard" if task.quick else f"of {task.candidates}"
        self.num_written["opening" if task.purpose == "opening" else by] += 1

    def in_time(
        self, task: PhraseRequest, playing: float, ahead: float, may_be_unheard: bool
    ) -> PhraseRequest:
        """Return as much of the task as can be written before it is due.

        In the long run that is while a phrase plays; where less than that is written ahead, until the phrase
        is due.
        """
        lasting = self.speed.fit(task, playing, may_be_unheard=may_be_unheard)
        self.hurry = ""
        if lasting != task:
            number = f"{lasting.candidates} of {task.candidates} candidates"
            self.hurry = "unheard" if lasting.quick and not task.quick else number
        fewest = 0 if lasting.quick else lasting.candidates
        if self.hurry and fewest < self._fewest_told:
            self._fewest_told = fewest
            self._say(
                f"writing {task.request.bars} bars takes this machine {self.speed.seconds(task):.1f} s, playing them "
                f"{playing:.1f} s: from now on {self.hurry}"
            )
        return self.speed.fit(task, playing, ahead, may_be_unheard)
