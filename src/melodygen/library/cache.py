"""Rows of a server's library on this machine: each span is fetched once, and lies in a row file from then on.

A span never changes: one that is replaced gets another number. So what is here is right for ever, and the server's list
of the spans that count says what is missing and what is dead. The folder may be deleted at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from melodygen.atomic import atomic_path
from melodygen.library.rows import Ints, RowFile, Rows

BATCH_SPANS = 2_000
DEAD_SHARE = 0.5
"""Of the rows that are here; above it, they are fetched anew."""

Fetch = Callable[[Sequence[int]], dict[int, bytes]]
"""Numbers of spans -> their rows, as they lie in a row file."""


def cached_rows(folder: Path, shape: tuple[int, str], spans: tuple[Ints, Ints, Ints], fetch: Fetch) -> Rows:
    """The rows of a space.

    Args:
        folder: of this space alone; it is made where it is missing.
        shape: numbers in a row, and numpy's name of their type.
        spans: numbers of the spans that count, ascending; how many rows each has; and whose it is.
        fetch: asks the server.
    """
    folder.mkdir(parents=True, exist_ok=True)
    span_ids, counts, tracks = spans
    with FileLock(folder / "lock"):
        generation, held = _table(folder)
        if len(held):
            living = np.isin(held[:, 0], span_ids)
            if held[~living, 2].sum() > DEAD_SHARE * held[:, 2].sum():
                RowFile(folder / f"{generation}.rows", *shape).path.unlink(missing_ok=True)
                generation, held = generation + 1, held[:0]
        file = RowFile(folder / f"{generation}.rows", *shape)
        missing = span_ids[~np.isin(span_ids, held[:, 0])].tolist()
        for start in range(0, len(missing), BATCH_SPANS):
            held = _append(file, held, fetch(missing[start : start + BATCH_SPANS]))
            with (
                atomic_path(folder / "spans.npy", overwrite=True) as temporary,
                temporary.open("wb") as stream,
            ):
                np.save(stream, np.concatenate(([[generation, 0, 0]], held)))
    wanted = np.isin(held[:, 0], span_ids)
    kept = held[wanted]  # a span that was deleted since it was listed was not fetched
    at = np.searchsorted(span_ids, kept[:, 0])
    last = int(held[-1, 1] + held[-1, 2]) if len(held) else 0
    return Rows(file.read(last), kept[:, 1], counts[at], tracks[at])


def _table(folder: Path) -> tuple[int, Ints]:
    """(generation, (n, 3): span, first row, rows) of what is here, in the order of the rows."""
    try:
        table = np.load(folder / "spans.npy")
    except (OSError, ValueError):
        return 0, np.zeros((0, 3), np.int64)
    return int(table[0, 0]), table[1:]


def _append(file: RowFile, held: Ints, fetched: dict[int, bytes]) -> Ints:
    if not fetched:
        return held
    at = int(held[-1, 1] + held[-1, 2]) if len(held) else 0
    rows = np.frombuffer(b"".join(fetched.values()), dtype=file.dtype).reshape(-1, file.width)
    file.write(at, rows)
    counts = np.array([len(data) // file.row_bytes for data in fetched.values()])
    lines = np.column_stack((list(fetched), at + np.cumsum(counts) - counts, counts))
    return np.concatenate((held, lines))


__all__ = ["cached_rows"]
