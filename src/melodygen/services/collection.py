"""A library as a whole: clusters with words for them, and a map."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from melodygen.errors import LibraryError
from melodygen.library.similar import clusters_of
from melodygen.library.store import LibraryStore
from melodygen.library.track import TrackRecord

if TYPE_CHECKING:
    from melodygen.evaluation.collection_map import Layout

MAX_MAPPED = 5_000
"""Tracks on a map: t-SNE takes minutes beyond, and dots cover each other."""
MIN_MAPPED = 4


@dataclass(frozen=True)
class Cluster:
    """``tracks`` with the one nearest to the middle first."""

    words: str
    tracks: tuple[TrackRecord, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"words": self.words, "tracks": [track.to_dict() for track in self.tracks]}


def clusters(store: LibraryStore, count: int | None, seed: int) -> list[Cluster]:
    """Largest first; ``count`` None is about the square root of half the tracks. Raises LibraryError for one track."""
    space, records = store.space(), store.tracks()
    if len(space) < 2:
        raise LibraryError(f"{store.name}: {len(space)} tracks; clusters need at least 2")
    count = min(count or max(2, round((len(space) / 2) ** 0.5)), len(space))
    vectors = space.all_vectors()
    labels = clusters_of(vectors, count, seed)
    found = []
    for label in range(int(labels.max()) + 1):
        rows = np.flatnonzero(labels == label)
        near = vectors[rows] @ vectors[rows].mean(axis=0)
        tracks = tuple(
            records[int(space.track_ids[rows[i]])] for i in np.argsort(-near, kind="stable").tolist()
        )
        found.append(Cluster(_words(tracks), tracks))
    return sorted(found, key=lambda cluster: -len(cluster.tracks))


def _words(tracks: tuple[TrackRecord, ...]) -> str:
    """What most of them are."""
    parts = []
    for labels in (
        [t.facts.style for t in tracks],
        [t.facts.mood for t in tracks],
        [t.facts.kind for t in tracks],
    ):
        label, count = Counter(labels).most_common(1)[0]
        if label and count * 2 > len(tracks):
            parts.append(f"{label} {count / len(tracks):.0%}")
    tempi = [t.facts.qpm for t in tracks if t.facts.qpm]
    if tempi:
        low, high = np.quantile(tempi, [0.25, 0.75])
        parts.append(f"{low:.0f}-{high:.0f} qpm")
    return ", ".join(parts)


def collection_map(store: LibraryStore, count: int | None, seed: int) -> Layout:
    """At most ``MAX_MAPPED`` tracks, drawn with the seed. Raises LibraryError for fewer than four,
    MelodygenError without scikit-learn."""
    return mapped_tracks(store, count, seed)[1]


def mapped_tracks(store: LibraryStore, count: int | None, seed: int) -> tuple[list[TrackRecord], Layout]:
    """The tracks of a map, and the map; see ``collection_map``."""
    from melodygen.evaluation.collection_map import lay_out_vectors

    space, records = store.space(), store.tracks()
    if len(space) < MIN_MAPPED:
        raise LibraryError(f"{store.name}: {len(space)} tracks; a map needs at least {MIN_MAPPED}")
    ids = space.track_ids
    if len(ids) > MAX_MAPPED:
        ids = np.sort(np.random.default_rng(seed).choice(ids, MAX_MAPPED, replace=False))
    tracks = [records[int(i)] for i in ids.tolist()]
    vectors = space.vectors([t.track_id for t in tracks])
    styles = tuple(t.facts.styles[0] if t.facts.styles else ("no music", 0.0) for t in tracks)
    paths, names = tuple(t.path for t in tracks), tuple(t.name for t in tracks)
    layout = lay_out_vectors(vectors, paths, ("",) * len(tracks), styles, count, seed)
    return tracks, replace(layout, names=names)


__all__ = ["Cluster", "clusters", "collection_map", "mapped_tracks"]
