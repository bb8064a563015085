"""Jobs on disk: order, events, limits, and what a kill leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melodygen.server.jobs import (
    CANCELLED,
    DONE,
    ENDED,
    FAILED,
    INTERRUPTED,
    QUEUED,
    JobStore,
    QueueFullError,
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.sampled_from(("submit", "claim", "done", "fail", "cancel", "event")), max_size=30))
def test_a_job_ends_once_and_events_count_up(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = JobStore(tmp_path_factory.mktemp("jobs"), max_waiting=100)
    order: list[str] = []
    running: list[str] = []
    for step in steps:
        if step == "submit":
            order.append(store.submit("generate", {"style": "jazz"}).id)
        elif step == "claim":
            job = store.claim(("generate",), 0.0)
            waiting = [i for i in order if i not in running and store.get(i).state == QUEUED]
            assert (job is None) == (not waiting and job is None)
            if job is not None:
                running.append(job.id)
        elif order:
            state = {"done": DONE, "fail": FAILED, "cancel": CANCELLED}.get(step)
            before = store.get(order[0]).state
            if state is None:
                store.add_event(order[0], "progress", {"done": 0.5})
            else:
                assert store.end(order[0], state) == (before not in ENDED)
                assert store.get(order[0]).state == (before if before in ENDED else state)
    assert running == [job_id for job_id in order if job_id in running]  # first come, first served
    for job_id in order:
        numbers = [event.number for event in store.events(job_id)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert store.events(job_id, after=len(numbers)) == []
    store.close()


def test_the_queue_has_a_bound_for_each_kind(tmp_path: Path) -> None:
    store = JobStore(tmp_path, max_waiting=2)
    first, second = store.submit("classify", {}), store.submit("classify", {})
    assert [store.position(job.id) for job in (first, second)] == [0, 1]
    with pytest.raises(QueueFullError, match="2 jobs wait already, and the limit is 2"):
        store.submit("classify", {})
    store.submit("generate", {})


KILLED = """
import os, signal, sys
from pathlib import Path
from melodygen.server.jobs import JobStore
store = JobStore(Path(sys.argv[1]))
waiting = [store.submit("generate", {"number": n}).id for n in range(3)]
store.add_event(store.claim(("generate",), 0).id, "progress", {"done": 0.5})
print(*waiting, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_server_loses_no_job_and_says_what_it_interrupted(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    ran, *waiting = done.stdout.split()
    store = JobStore(tmp_path)
    assert store.recover() == 1
    assert (store.get(ran).state, store.get(ran).error) == (FAILED, INTERRUPTED)
    assert [store.claim(("generate",), 0.0).id for _ in waiting] == waiting  # type: ignore[union-attr]
    kinds = [event.kind for event in store.events(ran)]
    assert kinds == ["state", "state", "progress", "state"]


def test_old_and_large_results_are_forgotten_and_waiting_jobs_stay(tmp_path: Path) -> None:
    now = [1000.0]
    store = JobStore(tmp_path, clock=lambda: now[0])
    ids = []
    for size in (10, 1000, 1000):
        job = store.submit("render", {})
        (store.results(job.id) / "render.wav").write_bytes(bytes(size))
        store.end(job.id, DONE, {"file": "render.wav"})
        ids.append(job.id)
        now[0] += 100
    waiting = store.submit("render", {})
    assert store.prune(max_age_seconds=250, max_bytes=10_000) == 1  # the first is 300 s old
    assert store.prune(max_age_seconds=250, max_bytes=1500) == 1
    assert store.get(ids[2]).state == DONE and not store.results(ids[1]).exists()
    assert store.get(waiting.id).state == QUEUED
    with pytest.raises(KeyError):
        store.get(ids[0])
