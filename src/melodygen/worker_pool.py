"""Worker processes for many items, which a crash does not end: an item that ends its process is tried again alone.

``work`` and ``begin`` are functions at the top of a module, so that a new process can find them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from melodygen.processes import ScriptlessContext

AHEAD = 3
"""Items a process that are handed out before results are asked for."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    workers: int,
    begin: Callable[..., None],
    begin_args: tuple[Any, ...],
    crashed: Callable[[Item], Result],
    in_order: bool = False,
) -> Iterator[Result]:
    """Yield ``work(item)`` of each item as it is done.

    Args:
        items: none is None; no more are taken than are handed out.
        work: called in a process.
        workers: number of processes.
        begin: called with ``begin_args`` in each process when it starts.
        begin_args: can be pickled.
        crashed: gives the result of an item that ended its process twice.
        in_order: results come in the order of the items.
    """
    executor = _executor(workers, begin, begin_args)
    waiting: dict[Future[Result], Item] = {}
    todo = iter(items)
    try:
        while True:
            while len(waiting) < workers * AHEAD and (item := next(todo, None)) is not None:
                waiting[executor.submit(work, item)] = item
            if not waiting:
                return
            done = [next(iter(waiting))] if in_order else wait(waiting, return_when=FIRST_COMPLETED).done
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
                _stop(executor)
                for suspect in suspects:
                    yield _alone(suspect, work, begin, begin_args, crashed)
                executor = _executor(workers, begin, begin_args)
    finally:
        _stop(executor)


def _alone(
    item: Item, work: Callable[[Item], Result], begin: Callable[..., None], begin_args: tuple[Any, ...],
    crashed: Callable[[Item], Result],
) -> Result:  # fmt: skip
    executor = _executor(1, begin, begin_args)
    try:
        return executor.submit(work, item).result()
    except BrokenProcessPool:
        return crashed(item)
    finally:
        _stop(executor)


def _executor(workers: int, begin: Callable[..., None], begin_args: tuple[Any, ...]) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        workers, mp_context=ScriptlessContext(), initializer=_begin, initargs=(begin, begin_args)
    )


def _stop(executor: ProcessPoolExecutor) -> None:
    processes = list((executor._processes or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


def _begin(begin: Callable[..., None], begin_args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    begin(*begin_args)


__all__ = ["in_processes"]
