"""Many files in worker processes, results as they come. A file that fails is named; one that kills its worker is tried
again alone, and named.

``work`` and ``begin`` are functions at the top of a module, so that a new process can find them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from melodygen.errors import reason_of
from melodygen.processes import ScriptlessContext

if TYPE_CHECKING:
    from melodygen.library.track import Description
    from melodygen.services.describing import Describer

AHEAD = 3
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    workers: int,
    begin: Callable[..., None],
    begin_args: tuple[Any, ...],
    crashed: Callable[[Item], Result],
) -> Iterator[Result]:
    """``work(item)`` of each item, in no order. ``crashed(item)`` stands for one that ended its process twice."""
    pool = _Pool(workers, begin, begin_args)
    waiting: dict[Future[Result], Item] = {}
    todo = iter(items)
    try:
        while True:
            while len(waiting) < workers * AHEAD and (item := next(todo, None)) is not None:
                waiting[pool.submit(work, item)] = item
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            suspects = []
            for future in done:
                item = waiting.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    suspects.append(item)
            if suspects:
                suspects += waiting.values()
                waiting.clear()
                pool.stop()
                for suspect in suspects:
                    yield _alone(suspect, work, begin, begin_args, crashed)
                pool = _Pool(workers, begin, begin_args)
    finally:
        pool.stop()


def _alone(
    item: Item, work: Callable[[Item], Result], begin: Callable[..., None], begin_args: tuple[Any, ...],
    crashed: Callable[[Item], Result],
) -> Result:  # fmt: skip
    pool = _Pool(1, begin, begin_args)
    try:
        return pool.submit(work, item).result()
    except BrokenProcessPool:
        return crashed(item)
    finally:
        pool.stop()


class _Pool:
    def __init__(self, workers: int, begin: Callable[..., None], begin_args: tuple[Any, ...]) -> None:
        self._executor = ProcessPoolExecutor(
            workers, mp_context=ScriptlessContext(), initializer=_begin, initargs=(begin, begin_args)
        )

    def submit(self, work: Callable[[Item], Result], item: Item) -> Future[Result]:
        return self._executor.submit(work, item)

    def stop(self) -> None:
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()


def _begin(begin: Callable[..., None], begin_args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    import torch

    torch.set_num_threads(1)
    begin(*begin_args)


def describe_or_reason(describer: Describer, path: Path) -> Description | str:
    """Every failure becomes a line: nothing that a file holds may stop the others."""
    try:
        return describer.describe(path)
    except Exception as error:
        return reason_of(error, path.name)


__all__ = ["describe_or_reason", "in_processes"]
