"""What sounds alike: cosine of the embedder's vectors, the mean of the library taken off, exact."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError
from melodygen.library.rows import CHUNK_ROWS, Ints, Rows, nearest

Floats = NDArray[np.float32]
FEW = 20
"""Below so many tracks their mean says little, and is not taken off."""


@dataclass(frozen=True)
class Neighbour:
    """``likeness`` is the cosine, -1.0 to 1.0."""

    track_id: int
    likeness: float


class SoundSpace:
    """The vectors of a library, (N, D), one row a track that is alive."""

    def __init__(self, rows: Rows, mean: Floats | None = None) -> None:
        """``mean`` (D,) is taken off all vectors; None is that of the rows."""
        self._matrix, self._at, self._tracks = rows.matrix, rows.first, rows.track
        self._row_of = {int(t): i for i, t in enumerate(self._tracks.tolist())}
        self._dense = len(self._at) == len(self._matrix)
        self.mean = self._mean() if mean is None else mean

    @property
    def track_ids(self) -> Ints:
        """(N,), in the order of all vectors."""
        return self._tracks

    def __len__(self) -> int:
        return len(self._tracks)

    def _mean(self) -> Floats:
        total = np.zeros(self._matrix.shape[1], dtype=np.float64)
        if len(self) < FEW:
            return total.astype(np.float32)
        for start in range(0, len(self), CHUNK_ROWS):
            total += self._rows(slice(start, start + CHUNK_ROWS)).sum(axis=0, dtype=np.float64)
        return (total / len(self)).astype(np.float32)

    def _rows(self, which: slice) -> Floats:
        part = self._matrix[which] if self._dense else self._matrix[self._at[which]]
        return np.asarray(part, dtype=np.float32)

    def vectors(self, track_ids: list[int]) -> Floats:
        """(len, D), centred, length 1. Raises LibraryError for a track without a vector."""
        missing = [i for i in track_ids if i not in self._row_of]
        if missing:
            raise missing_vector(missing[0])
        at = self._at[[self._row_of[i] for i in track_ids]]
        return self.centred(np.asarray(self._matrix[at], dtype=np.float32))

    def all_vectors(self) -> Floats:
        """(N, D), centred, length 1."""
        return self.centred(self._rows(slice(0, len(self))))

    def centred(self, vectors: Floats) -> Floats:
        """(n, D) vectors without the library's mean, of length 1."""
        away = vectors - self.mean
        return np.asarray(
            away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6), dtype=np.float32
        )

    def likeness(self, questions: Floats) -> Floats:
        """(Q, D) centred vectors -> (Q, N) cosines with every track."""
        out = np.empty((len(questions), len(self)), dtype=np.float32)
        offset = questions @ self.mean
        for start in range(0, len(self), CHUNK_ROWS):
            part = self._rows(slice(start, start + CHUNK_ROWS))
            # |row - mean|² without a copy of the centred rows
            length = np.sqrt(
                np.maximum((part * part).sum(axis=1) - 2 * part @ self.mean + self.mean @ self.mean, 1e-12)
            )
            out[:, start : start + len(part)] = (nearest(part, questions) - offset[:, None]) / length
        return out

    def nearest(self, question: Floats, count: int) -> tuple[Ints, Floats]:
        """(ids, cosines) of the ``count`` tracks nearest to one centred vector (D,), nearest first."""
        likeness = self.likeness(question[None, :])[0]
        order = np.argsort(-likeness, kind="stable")[:count]
        return self._tracks[order], likeness[order]

    def neighbours(
        self, question: Floats, top: int, allowed: Callable[[list[int]], set[int]] = set
    ) -> list[Neighbour]:
        """The ``top`` tracks nearest to one centred vector (D,), of those that are allowed, nearest first.

        ``allowed`` gets the ids of tracks and returns those that may be told.
        """
        count = 4 * top
        while True:
            ids, likeness = self.nearest(question, min(count, len(self)))
            fit = allowed(ids.tolist())
            found = [
                Neighbour(track, round(near, 4))
                for track, near in zip(ids.tolist(), likeness.tolist(), strict=True)
                if track in fit
            ]
            if len(found) >= top or count >= len(self):
                return found[:top]
            count *= 8


def missing_vector(track_id: int) -> LibraryError:
    """For a track that the library's embedder has not heard."""
    return LibraryError(
        f"track {track_id} has no vector of this embedder; run: melodygen library add --re-embed"
    )


def clusters_of(vectors: Floats, count: int, seed: int) -> NDArray[np.int64]:
    """(N,) cluster of each vector (N, D) of length 1: K-means, the same for the same seed."""
    from scipy.cluster.vq import kmeans2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a cluster that stayed empty
        _, labels = kmeans2(
            vectors.astype(np.float64), count, iter=50, minit="++", rng=np.random.default_rng(seed)
        )
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


__all__ = ["FEW", "Floats", "Neighbour", "SoundSpace", "clusters_of", "missing_vector"]
