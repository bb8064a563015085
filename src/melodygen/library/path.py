"""A playlist from one track to another in small steps: the shortest way through the graph of near neighbours.

A step costs the cube of its distance (1 - cosine), so that small steps are better than a large one, and, where both
tempi are known, the square of the change in tempo (octaves do not count).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError

Floats = NDArray[np.float32]
NEIGHBOURS = 12
TEMPO_WEIGHT = 0.3


def path_between(vectors: Floats, start: int, end: int, qpm: Sequence[float | None]) -> list[int]:
    """Rows from ``start`` to ``end``, both included; vectors (N, D) of length 1.

    Each track leads to its near neighbours, to what lies between it and the end, and to the end. Dijkstra's algorithm;
    neighbours are looked up as they are reached. Raises LibraryError when start and end are the same.
    """
    if start == end:
        raise LibraryError("the playlist begins and ends with the same track; give two")
    count = min(NEIGHBOURS, len(vectors) - 1)
    to_end = vectors @ vectors[end]
    best = {start: 0.0}
    before: dict[int, int] = {}
    queue = [(0.0, start)]
    done: set[int] = set()
    while True:
        cost, here = heapq.heappop(queue)
        if here == end:
            break
        if here in done:
            continue
        done.add(here)
        likeness = vectors @ vectors[here]
        likeness[here] = -np.inf
        near = np.argpartition(-likeness, count - 1)[:count]
        between = np.argpartition(-np.minimum(likeness, to_end), count - 1)[:count]
        for other in {end, *near.tolist(), *between.tolist()}:
            step = (1 - float(likeness[other])) ** 3 + TEMPO_WEIGHT * tempo_distance(
                qpm[here], qpm[other]
            ) ** 2
            if cost + step < best.get(other, np.inf):
                best[other] = cost + step
                before[other] = here
                heapq.heappush(queue, (cost + step, other))
    path = [end]
    while path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]


def resampled(vectors: Floats, path: list[int], length: int) -> list[int]:
    """``length`` tracks of about even steps: of a longer path some are left out; to a shorter one the tracks are added
    that lie best between two neighbours."""
    path = list(path)
    while len(path) > length >= 2:
        gaps = [1 - float(vectors[path[i - 1]] @ vectors[path[i + 1]]) for i in range(1, len(path) - 1)]
        del path[1 + int(np.argmin(gaps))]
    while len(path) < min(length, len(vectors)):
        gaps = [1 - float(vectors[a] @ vectors[b]) for a, b in pairwise(path)]
        at = int(np.argmax(gaps))
        between = np.minimum(vectors @ vectors[path[at]], vectors @ vectors[path[at + 1]])
        between[path] = -np.inf
        path.insert(at + 1, int(np.argmax(between)))
    return path


def tempo_distance(one: float | None, other: float | None) -> float:
    """0.0 for the same tempo or its double, 1.0 for what is farthest from both; 0.0 where one is unknown."""
    if not one or not other:
        return 0.0
    octaves = abs(float(np.log2(one / other))) % 1.0
    return 2 * min(octaves, 1 - octaves)


__all__ = ["path_between", "resampled", "tempo_distance"]
