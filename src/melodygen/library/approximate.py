"""Neighbours in a large library: a graph of the vectors (HNSW; Malkov & Yashunin 2016) in place of a look at each.

The graph is usearch's (Apache-2.0; the extra ``large``). It lies in two files beside the row files and is brought up to
date by the writer. What is not in it yet is looked at one by one, what is dead is passed over, and what it proposes is
measured again exactly; so it may miss a neighbour and never tells a wrong likeness. Where a question needs many
neighbours, because conditions turn most of them down, all vectors are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from melodygen.atomic import atomic_path
from melodygen.library.rows import Ints, Rows
from melodygen.library.similar import Floats, SoundSpace

FROM_TRACKS = 300_000
"""Below so many, a look at each vector is quick enough, and misses none."""
MANY = 1_000
"""Neighbours beyond which a question is answered exactly."""
STALE_SHARE = 0.2
"""Of dead or missing tracks; above it, the graph is made anew."""
_KNOBS: Mapping[str, Any] = {"connectivity": 24, "expansion_add": 128, "expansion_search": 256}
_CHUNK = 20_000


def has_usearch() -> bool:
    """Whether the extra ``large`` is installed."""
    return find_spec("usearch") is not None


class VectorGraph:
    """The graph of one embedder's vectors, in a folder."""

    def __init__(self, folder: Path, embedder_id: str) -> None:
        self._embedder_id = embedder_id
        self._graph_path, self._note_path = folder / "sound.usearch", folder / "sound.usearch.npz"

    def update(self, rows: Rows) -> None:
        """Take up what is new. What is dead stays, until there is much of it. Needs the right to write."""
        exact = SoundSpace(rows)
        held = self._read()
        tracks = exact.track_ids
        if held is not None:
            missing, dead = np.setdiff1d(tracks, held[2]), np.setdiff1d(held[2], tracks)
            if not len(missing):
                return
            if len(missing) + len(dead) > STALE_SHARE * len(tracks):
                held = None
        graph, mean, inside = held or (_new_graph(len(exact.mean)), exact.mean, tracks[:0])
        missing = np.setdiff1d(tracks, inside)
        space = SoundSpace(rows, mean)
        for start in range(0, len(missing), _CHUNK):
            part = missing[start : start + _CHUNK]
            graph.add(part.astype(np.uint64), space.vectors(part.tolist()))
        with atomic_path(self._graph_path, overwrite=True) as temporary:
            graph.save(temporary)
        with atomic_path(self._note_path, overwrite=True) as temporary, temporary.open("wb") as stream:
            np.savez(stream, embedder=self._embedder_id, mean=mean, tracks=np.union1d(inside, tracks))

    def space(self, rows: Rows) -> SoundSpace | None:
        """None where there is no graph of this embedder yet."""
        held = self._read(view=True)
        return None if held is None else ApproximateSpace(rows, *held)

    def _read(self, view: bool = False) -> tuple[Any, Floats, Ints] | None:
        """(graph, the mean that was taken off its vectors, the tracks in it)."""
        from usearch.index import Index

        try:
            with np.load(self._note_path) as note:
                if str(note["embedder"]) != self._embedder_id:
                    return None
                mean, tracks = note["mean"], note["tracks"]
            graph = Index.restore(self._graph_path, view=view, **_KNOBS)
        except (OSError, ValueError, RuntimeError):
            return None
        return None if graph is None else (graph, mean, tracks)


class ApproximateSpace(SoundSpace):
    """Neighbours from the graph, measured again; everything else as without it."""

    def __init__(self, rows: Rows, graph: Any, mean: Floats, inside: Ints) -> None:
        super().__init__(rows, mean)
        self._graph = graph
        self._outside = np.setdiff1d(self.track_ids, inside)

    def nearest(self, question: Floats, count: int) -> tuple[Ints, Floats]:
        found = self._graph.search(question, 2 * min(count, MANY) + 32).keys.astype(np.int64)
        ids = np.concatenate((found[np.isin(found, self.track_ids)], self._outside))
        if count > MANY or len(ids) < count:
            return super().nearest(question, count)
        likeness = self.vectors(ids.tolist()) @ question
        order = np.argsort(-likeness, kind="stable")[:count]
        return ids[order], likeness[order]


def _new_graph(width: int) -> Any:
    from usearch.index import Index

    return Index(ndim=width, metric="ip", dtype="f16", **_KNOBS)


__all__ = ["FROM_TRACKS", "ApproximateSpace", "VectorGraph", "has_usearch"]
