"""A matrix in a file: rows of one width and type, read through a memory map, appended in place.

Which rows count is not said here: the catalogue's spans tell. Rows behind the last span are leftovers of a writer that
was killed, and the next writer writes over them; so nothing here needs to be undone.
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


@dataclass(frozen=True)
class RowFile:
    """``dtype`` is numpy's name of the type of one number, ``width`` how many make a row."""

    path: Path
    width: int
    dtype: str

    @property
    def row_bytes(self) -> int:
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
                "build the library again with: melodygen library add --rebuild"
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


__all__ = ["RowFile", "nearest"]
