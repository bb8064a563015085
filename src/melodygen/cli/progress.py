"""A progress line on stderr that goes away when the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from melodygen.cli.verbose import LOG


@contextmanager
def stage_progress(visible: bool = True) -> Iterator[Callable[[str, float], None]]:
    """Yield ``progress(stage, done)`` with ``done`` 0.0-1.0; nothing is shown where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (visible and console.is_terminal),
    ) as bar:
        task, told = bar.add_task("", total=1.0), ""

        def update(stage: str, done: float) -> None:
            nonlocal told
            if stage != told:
                LOG.info("%s", stage)
                told = stage
            bar.update(task, description=stage, completed=done)

        yield update
