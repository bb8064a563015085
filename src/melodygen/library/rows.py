"""Rows that questions scan: a matrix in a file, read through a memory map, appended in place, and whose rows are whose.

Which rows of a file count is not said there: the catalogue's spans tell. Rows behind the last span are leftovers of a
writer that was killed, and the next writer writes over them; so nothing here needs to be undone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError

CHUNK_ROWS = 65_536
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """A space: ``matrix`` (N, width), and for each span where it begins, how many rows it has and whose it is."""

    matrix: NDArray[Any]
    first: Ints
    count: Ints
    track: Ints

    def span_of_rows(self) -> Ints:
        """(N,): which span each row belongs to; the number of spans for rows that count no more."""
        number = len(self.first)
        before = np.diff(self.first, prepend=0) - np.concatenate(([0], self.count[:-1]))
        lengths = np.column_stack((before, self.count)).ravel()
        owner = np.repeat(np.column_stack((np.full(number, number), np.arange(number))).ravel(), lengths)
        return np.pad(owner, (0, len(self.matrix) - len(owner)), constant_values=number)


@dataclass(frozen=True)
class RowFile:
    """``dtype`` is numpy's name of the type of one number, ``width`` how many make a row."""

    path: Path
    width: int
    dtype: str

    @property
    def row_bytes(self) -> int:
        """What a row takes in the file."""
        return self.width * np.dtype(self.dtype).itemsize

    def write(self, first_row: int, rows: NDArray[Any]) -> None:
        """Put ``rows`` (n, width) at ``first_row`` and bring them to the disk."""
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise LibraryError(f"rows of shape {rows.shape}; {self.path.name} holds rows of {self.width}")
        data = np.ascontiguousarray(rows, dtype=self.dtype).tobytes()
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            at = first_row * self.row_bytes
            while data:
                written = (
                    os.pwrite(handle, data, at) if hasattr(os, "pwrite") else _seek_write(handle, data, at)
                )
                data, at = data[written:], at + written
            os.fsync(handle)
        finally:
            os.close(handle)

    def read(self, num_rows: int) -> NDArray[Any]:
        """The first rows, (num_rows, width), as a read-only map. Raises LibraryError if fewer are there."""
        if num_rows == 0:
            return np.zeros((0, self.width), dtype=self.dtype)
        try:
            return np.memmap(self.path, dtype=self.dtype, mode="r", shape=(num_rows, self.width))
        except (OSError, ValueError) as error:
            raise LibraryError(
                f"{self.path} should hold {num_rows} rows and does not ({error}); "
                "delete the library's folder and add the music again"
            ) from error


def _seek_write(handle: int, data: bytes, at: int) -> int:
    os.lseek(handle, at, os.SEEK_SET)
    return os.write(handle, data)


def nearest(rows: NDArray[Any], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) rows and (Q, D) queries -> (Q, N) dot products in float32, chunk by chunk: no copy of the whole."""
    out = np.empty((len(query), len(rows)), dtype=np.float32)
    for start in range(0, len(rows), CHUNK_ROWS):
        part = np.asarray(rows[start : start + CHUNK_ROWS], dtype=np.float32)
        out[:, start : start + len(part)] = query @ part.T
    return out


__all__ = ["Ints", "RowFile", "Rows", "nearest"]
