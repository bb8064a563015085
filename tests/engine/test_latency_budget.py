"""A writer on a slow machine: less is written rather than the same played again."""

from __future__ import annotations

import dataclasses
import time
from queue import SimpleQueue
from typing import Any

import pytest
from livehost import RATE, Scribe

from melodygen.engine import Engine, Phrase, PhraseRequest
from melodygen.engine.latency_budget import SHARE, WritingSpeed, effort
from melodygen.live.transport import Block, Transport
from melodygen.request import Request

ORDER = PhraseRequest(Request(style="polka", bars=4), seed=1, candidates=3)


def test_unknown_pace_changes_nothing() -> None:
    assert WritingSpeed().fit(ORDER, 0.0) == ORDER


@pytest.mark.parametrize("seconds_per_effort", [0.01, 0.3, 0.55, 0.6, 1.0, 1.9, 5.0])
def test_what_is_fitted_is_written_in_time_or_is_the_least(seconds_per_effort: float) -> None:
    pace = WritingSpeed()
    pace.learn(ORDER, seconds_per_effort * effort(ORDER))
    fitted = pace.fit(ORDER, 8.0)
    assert pace.seconds(fitted) <= SHARE * 8.0 or (fitted.quick and fitted.request.bars == 4)
    better = dataclasses.replace(fitted, candidates=fitted.candidates + 1)
    if not fitted.quick and fitted.candidates < ORDER.candidates:
        assert pace.seconds(better) > SHARE * 8.0, "no fewer candidates than there is no time for"


def test_a_machine_that_slows_down_is_believed_sooner_than_one_that_recovers() -> None:
    pace = WritingSpeed()
    pace.learn(ORDER, 2.0)
    pace.learn(ORDER, 6.0)
    slowed = pace.seconds(ORDER)
    pace.learn(ORDER, 2.0)
    assert slowed == pytest.approx(4.0) and 3.0 < pace.seconds(ORDER) < slowed


def test_half_of_it_is_written_where_the_whole_would_come_too_late() -> None:
    pace = WritingSpeed()
    pace.learn(ORDER, 0.5 * effort(ORDER))
    fitted = pace.fit(ORDER, 8.0, ahead=2.0)
    assert (fitted.quick, fitted.request.bars) == (True, 2) and pace.seconds(fitted) <= SHARE * 2.0
    pace.learn(ORDER, 100 * effort(ORDER))
    assert pace.fit(ORDER, 8.0, ahead=2.0).request.bars == 4, (
        "it cannot keep up: whole phrases are repeated, not bars"
    )


def test_given_bars_are_not_shortened() -> None:
    pace = WritingSpeed()
    pace.learn(ORDER, 0.5 * effort(ORDER))
    given = dataclasses.replace(
        ORDER, request=dataclasses.replace(ORDER.request, given=Scribe().write(ORDER).score)
    )
    fitted = pace.fit(given, 8.0, ahead=1.0)
    assert fitted.quick and fitted.request.bars == 4


class Slow(Scribe):
    """Takes ``seconds_per_effort`` of the host's time for what it writes: the stage moves on meanwhile."""

    def __init__(self, seconds_per_effort: float) -> None:
        super().__init__()
        self.seconds_per_effort = seconds_per_effort
        self.now = 0.0
        self.seen: float | None = None
        """The time it last looked at while writing."""

    def write(self, order: PhraseRequest) -> Phrase:
        due = self.now + self.seconds_per_effort * effort(order) - 1e-6
        until = time.monotonic() + 60
        while (now := self.now) < due and time.monotonic() < until:
            self.seen = now
            time.sleep(0.0002)
        self.seen = None
        return super().write(order)


class Counted(SimpleQueue[Any]):
    """Counts what was put in and, without waiting, taken out."""

    num_put = num_taken = 0

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item)
        self.num_put += 1

    def get_nowait(self) -> Any:
        item = super().get_nowait()
        self.num_taken += 1
        return item


def play(writer: Slow, seconds: float, **parameters: object) -> Engine:
    """In blocks of 100 ms, each as soon as the writer has seen the time or has nothing in hand: a thread that the
    machine lets wait must not look like a slow writer."""
    engine = Engine(writer, bars_per_phrase=4, **parameters)  # type: ignore[arg-type]
    orders, results = Counted(), Counted()
    engine._worker._tasks, engine._worker._results = orders, results
    block = RATE // 10
    engine.prepare(RATE, block)
    position, started = 0.0, False
    for _ in range(round(seconds * 10)):
        started = started or engine.is_ready
        engine.process(Transport(position, is_playing=started), Block(block))
        position += 0.2 if started else 0.0
        writer.now += 0.1
        until = time.monotonic() + 10
        # orders that are dropped are taken without waiting
        while writer.seen != writer.now and orders.num_put > orders.num_taken + results.num_put:
            assert time.monotonic() < until, "the worker does not come"
            time.sleep(0.0002)
    engine.close()
    writer.now += 1e9
    return engine


@pytest.mark.parametrize(
    ("seconds_per_effort", "way"), [(0.1, ""), (1.25, "1 of 3 candidates"), (1.45, "unheard")]
)
def test_a_slow_writer_is_asked_for_less_and_nothing_is_repeated(seconds_per_effort: float, way: str) -> None:
    """Four bars play 8 s at 120. Three candidates are an effort of 6.6, two of 5.6, one of 4.6, unheard of 4."""
    engine = play(Slow(seconds_per_effort), 80)
    status = engine.status
    assert (status.num_repeats, status.num_gaps) == (0, 0), engine.num_written
    assert status.phrase_number >= 9 and status.hurry == way
    notices = engine.notices()
    assert not notices if not way else way in notices[-1]


def test_a_classifier_that_is_insisted_on_hears_everything() -> None:
    engine = play(Slow(2.0), 60, opening=False)
    assert set(engine.num_written) == {"of 1", "of 3"}, "three before the pace is known"
    assert engine.status.num_repeats, "which is what that costs"
