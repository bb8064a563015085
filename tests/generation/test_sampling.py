"""Choosing tokens: options hold, the mask holds, and what is drawn follows the probabilities."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from melodygen.generation import sampling
from melodygen.generation.sampling import GROUP, SamplingOptions, Stepper, choose, write_each
from melodygen.nets.lstm import Lstm

logit_rows = st.lists(st.floats(-50, 50), min_size=2, max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.data(), logit_rows, st.floats(0.01, 10), st.floats(0.01, 1.0), st.integers(0, 12))
def test_only_what_is_allowed_is_chosen(
    data: st.DataObject, row: list[float], temperature: float, top_p: float, top_k: int
) -> None:
    mask = data.draw(st.lists(st.booleans(), min_size=len(row), max_size=len(row)).filter(any))
    allowed = np.array(mask)
    token, log_prob = choose(
        np.array(row), allowed, SamplingOptions(temperature, top_k, top_p), np.random.default_rng(0)
    )
    assert allowed[token]
    logits = np.where(allowed, np.array(row), -np.inf)
    expected = logits[token] - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    assert log_prob == pytest.approx(expected, abs=1e-9)


def drawn(options: SamplingOptions, count: int = 4000) -> NDArray[np.float64]:
    logits = np.log(np.array([0.5, 0.25, 0.15, 0.1]))
    rng = np.random.default_rng(4)
    tokens = [choose(logits, np.ones(4, bool), options, rng)[0] for _ in range(count)]
    return np.bincount(tokens, minlength=4) / count


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (SamplingOptions(), (0.5, 0.25, 0.15, 0.1)),
        (SamplingOptions(top_k=2), (2 / 3, 1 / 3, 0, 0)),
        (SamplingOptions(top_p=0.6), (2 / 3, 1 / 3, 0, 0)),
        (SamplingOptions(top_p=0.01), (1, 0, 0, 0)),
        (SamplingOptions(temperature=0.05), (1, 0, 0, 0)),
        (SamplingOptions(temperature=0.5), (0.7246, 0.1812, 0.0652, 0.029)),
    ],
)
def test_draws_follow_the_probabilities(options: SamplingOptions, expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(drawn(options), expected, atol=0.025)


def test_a_lean_bends_the_odds_and_not_the_probability() -> None:
    logits = np.log(np.array([0.5, 0.25, 0.15, 0.1]))
    bias, rng = np.array([0, np.log(4.0), 0, 0]), np.random.default_rng(4)
    drawn = [choose(logits, np.ones(4, bool), SamplingOptions(), rng, bias) for _ in range(4000)]
    expected = np.array([0.5, 1.0, 0.15, 0.1]) / 1.75
    np.testing.assert_allclose(np.bincount([t for t, _ in drawn], minlength=4) / 4000, expected, atol=0.025)
    assert {round(p, 6) for t, p in drawn if t == 1} == {round(float(np.log(0.25)), 6)}


def test_nothing_allowed_is_an_error() -> None:
    with pytest.raises(ValueError, match="allows no token"):
        choose(np.zeros(3), np.zeros(3, bool), SamplingOptions(), np.random.default_rng(0))


@dataclass
class Counted:
    """A stream of ``length`` tokens that forces every third one."""

    length: int
    rng: np.random.Generator
    done: bool = False
    waits: bool = False
    start: tuple[int, ...] = (1, 2)
    ids: list[int] = field(default_factory=list)
    drawn: int = 0

    def prefix(self) -> list[int]:
        return [*self.start, *self.ids][-6:]

    def forced(self) -> int | None:
        return 7 if len(self.ids) % 3 == 2 else None

    def allowed(self) -> NDArray[np.bool_]:
        return np.arange(10) < 5

    def logit_bias(self) -> None:
        return None

    def take(self, token: int, log_prob: float | None) -> None:
        assert not self.done
        self.drawn += log_prob is not None
        self.ids.append(token)
        self.done = len(self.ids) == self.length


def write(*arguments: Any, **options: Any) -> None:
    for _ in write_each(*arguments, **options):
        pass


def net() -> Any:
    torch.manual_seed(0)
    return Lstm(10, width=8, hidden=8, layers=1, context=10).eval()


def test_streams_of_any_length_end_beyond_the_cache() -> None:
    streams = [Counted(n, np.random.default_rng(n)) for n in (1, 3, 30, 31, 55)]
    write(net(), streams, SamplingOptions(), capacity=10)
    assert [len(s.ids) for s in streams] == [1, 3, 30, 31, 55]
    for stream in streams:
        assert all((t == 7) == (i % 3 == 2) for i, t in enumerate(stream.ids))
        assert stream.drawn == sum(i % 3 != 2 for i in range(stream.length))


def test_what_a_stream_draws_does_not_depend_on_its_neighbours() -> None:
    def run(others: int) -> list[int]:
        stream = Counted(7, np.random.default_rng(5))
        write(net(), [stream, *(Counted(7, np.random.default_rng(i)) for i in range(others))],
              SamplingOptions(), capacity=20)  # fmt: skip
        return stream.ids

    assert run(0) == run(3)


def test_a_prefix_that_does_not_fit_says_so() -> None:
    with pytest.raises(ValueError, match="prefix of 5 tokens does not fit into a cache of 4"):
        Stepper(net(), 4).start([[1, 2, 3, 4, 5], [1]])


@pytest.mark.parametrize("cores", [1, 3])
def test_the_number_of_cores_changes_nothing(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[list[int]]:
        streams = [Counted(5 + i, np.random.default_rng(i)) for i in range(3 * GROUP - 1)]
        write(net(), streams, SamplingOptions(), capacity=10)
        return [s.ids for s in streams]

    usual = run()
    monkeypatch.setattr(sampling, "_cores", lambda: cores)
    assert run() == usual


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (2, [1, 1]), (4, [2, 2]), (7, [4, 3]), (8, [4, 4]), (9, [4, 4, 1])]
)
def test_two_cores_have_something_to_write(
    count: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    usual = sampling._write_group

    def noted(*arguments: Any) -> None:
        seen.append(len(arguments[1]))
        usual(*arguments)

    monkeypatch.setattr(sampling, "_write_group", noted)
    write(net(), [Counted(4, np.random.default_rng(i)) for i in range(count)], SamplingOptions(), capacity=10)
    assert sorted(seen, reverse=True) == sizes


@pytest.mark.parametrize("where", [0, GROUP])  # in the thread that called, and in a helper
def test_what_goes_wrong_in_any_group_stops_all_and_is_raised(
    where: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Counted):
        def take(self, token: int, log_prob: float | None) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(sampling, "_cores", lambda: 2)
    streams = [Counted(10**9, np.random.default_rng(i)) for i in range(2 * GROUP)]
    streams[where] = Failing(5, np.random.default_rng(0))
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        write(net(), streams, SamplingOptions(), capacity=10)
    for _ in range(100):
        if threading.active_count() == before:
            break
        time.sleep(0.05)
    assert threading.active_count() == before


def test_steps_are_told_in_the_thread_that_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_cores", lambda: 3)
    told = set()
    streams = [Counted(4, np.random.default_rng(i)) for i in range(3 * GROUP)]
    write(net(), streams, SamplingOptions(), 10, lambda: told.add(threading.get_ident()))
    assert told <= {threading.get_ident()}


@pytest.mark.parametrize("cores", [1, 2])
def test_streams_are_handed_out_as_they_end(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_cores", lambda: cores)
    lengths = [4000, 3, 8, 3000]
    streams = [Counted(n, np.random.default_rng(n)) for n in lengths]
    found = []
    for ended in write_each(net(), streams, SamplingOptions(), capacity=10):
        assert all(streams[i].done for i in ended)
        if not found:
            assert not streams[0].done
        found += ended
    assert found == [1, 0, 2, 3] if cores == 1 else sorted(found) == [0, 1, 2, 3] and found[-2:] == [3, 0]


def test_to_close_it_ends_the_writing() -> None:
    streams = [Counted(3, np.random.default_rng(1)), Counted(10**9, np.random.default_rng(2))]
    before, threads = threading.active_count(), torch.get_num_threads()
    each = write_each(net(), streams, SamplingOptions(), capacity=10)
    assert next(each) == [0]
    each.close()
    assert threading.active_count() == before and torch.get_num_threads() == threads
