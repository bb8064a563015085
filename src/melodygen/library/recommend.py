"""What to hear next: what sounds like one's tastes, blended with what others who heard the same also heard.

    content   each taste (a cluster of what was heard) asks for tracks near its own tracks; recent plays weigh more
    others    what plays together in all listeners' histories: up to ``MAX_DENSE`` played items by a linear
              autoencoder in closed form (EASE, Steck 2019: "Embarrassingly shallow autoencoders for sparse data"),
              beyond by item-item BM25 (Robertson & Walker 1994, as in the package ``implicit``)
    blend     both over their largest score; few listeners weigh less
    choice    one by one, the best of what is left less its likeness to what was chosen (maximal marginal relevance,
              Carbonell & Goldstein 1998), less how popular it is where novelty is asked for

All is exact and without randomness, but for the beginnings of the clusters, which are drawn with a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

HALF_LIFE_DAYS = 30.0
MAX_TASTES = 5
K1, B = 1.2, 0.75
NEIGHBOURS = 100
NEAREST = 3
"""Tracks of a taste that a proposal is held against."""
DAY = 86_400.0
MAX_DENSE = 3_000
PULL = 0.35
BLEND = 0.9
FEW_LISTENERS = 10
POOL = 400
"""Of the best, from which a list is chosen."""


@dataclass(frozen=True)
class Taste:
    """``items`` of the history (rows of the catalogue's vectors), ``share`` of all weight."""

    items: tuple[int, ...]
    share: float


@dataclass(frozen=True)
class Proposal:
    """``item``: row; ``taste``: which one asked for it; ``like``: the item of the history that is nearest to it."""

    item: int
    score: float
    content: float
    others: float
    taste: int
    like: int


def recency_weights(
    items: Sequence[int], played_at: Sequence[float], now: float, half_life_days: float = HALF_LIFE_DAYS
) -> dict[int, float]:
    """Item -> sum over its plays of 0.5 ** (age / half-life); plays in the future count as now."""
    weights: dict[int, float] = {}
    for item, when in zip(items, played_at, strict=True):
        age = max(0.0, now - when) / DAY
        weights[item] = weights.get(item, 0.0) + float(0.5 ** (age / half_life_days))
    return weights


def tastes_of(vectors: Floats, weights: dict[int, float], seed: int = 0) -> list[Taste]:
    """Clusters of what was heard (weighted spherical K-means), strongest first. As many as there are distinct: up to
    ``MAX_TASTES``, and no more than one for three tracks."""
    items = sorted(weights)
    weight = np.array([weights[i] for i in items], dtype=np.float64)
    weight = np.maximum(weight / weight.sum(), 1e-9)
    points = vectors[items]
    count = max(1, min(MAX_TASTES, len(items) // 3))
    labels = _clusters(points, weight, count, seed)
    found = [
        Taste(tuple(items[i] for i in np.flatnonzero(labels == c).tolist()), float(weight[labels == c].sum()))
        for c in np.unique(labels).tolist()
    ]
    return sorted(found, key=lambda taste: -taste.share)


def _clusters(points: Floats, weight: NDArray[np.float64], count: int, seed: int) -> Ints:
    if count == 1:
        return np.zeros(len(points), dtype=np.int64)
    rng = np.random.default_rng(seed)
    centres = [points[int(np.argmax(weight))]]
    while len(centres) < count:  # far from those that are there, as k-means++ does
        apart = np.maximum(1 - np.max(points @ np.stack(centres).T, axis=1), 0) * weight + 1e-12
        centres.append(points[int(rng.choice(len(points), p=apart / apart.sum()))])
    middle = np.stack(centres)
    labels = np.zeros(len(points), dtype=np.int64)
    for _ in range(30):
        fresh = np.argmax(points @ middle.T, axis=1)
        if (fresh == labels).all() and _ > 0:
            break
        labels = fresh
        for c in range(count):
            here = labels == c
            if here.any():
                mean = (points[here] * weight[here, None]).sum(axis=0)
                middle[c] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return labels


def content_scores(
    vectors: Floats, tastes: Sequence[Taste], weights: dict[int, float]
) -> tuple[Floats, Ints, Ints]:
    """(score, taste, nearest item of the history) of each item: the best over tastes of the mean likeness to the
    taste's ``NEAREST`` tracks, the taste's share weighing lightly."""
    best = np.full(len(vectors), -np.inf, dtype=np.float32)
    whose, like = np.zeros(len(vectors), dtype=np.int64), np.zeros(len(vectors), dtype=np.int64)
    for number, taste in enumerate(tastes):
        items = np.array(taste.items)
        likeness = vectors @ vectors[items].T
        weight = np.array([weights[i] for i in taste.items], dtype=np.float32)
        felt = likeness * (0.7 + 0.3 * weight / weight.max())
        nearest = np.sort(felt, axis=1)[:, -NEAREST:].mean(axis=1)
        score = nearest * np.float32(0.6 + 0.4 * taste.share)
        better = score > best
        best[better] = score[better]
        whose[better] = number
        like[better] = items[np.argmax(likeness[better], axis=1)]
    return best, whose, like


class OthersModel:
    """Which items go together, from a table of plays: (listener, item, how often)."""

    def __init__(self, listeners: Ints, items: Ints, counts: NDArray[np.float64], num_items: int) -> None:
        shape = (int(listeners.max(initial=-1)) + 1, num_items)
        self.plays = sparse.csr_matrix((counts, (listeners, items)), shape=shape)
        self.num_listeners = shape[0]
        self.popularity = np.asarray((self.plays > 0).sum(axis=0)).ravel()
        self.played = np.flatnonzero(self.popularity)
        table = self.plays[:, self.played]
        self._weights = ease(table) if len(self.played) <= MAX_DENSE else _neighbours(bm25(table))

    def scores(self, weights: dict[int, float]) -> Floats:
        """(items,) for a listener's weights of items; 0 for items that nobody played."""
        asked = np.zeros(self.plays.shape[1])
        asked[list(weights)] = np.array(list(weights.values())) / max(weights.values())
        out = np.zeros(self.plays.shape[1], dtype=np.float32)
        out[self.played] = asked[self.played] @ self._weights
        return out


def ease(plays: sparse.csr_matrix, pull: float = PULL) -> NDArray[np.float64]:
    """(items, items) weights of the linear autoencoder without self-weights; ``pull`` towards 0 is a listener's."""
    heard = (plays > 0).astype(np.float64)
    gram = (heard.T @ heard).toarray()
    gram[np.diag_indices_from(gram)] += max(1.0, pull * plays.shape[0])
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0.0
    return np.asarray(weights)


def _neighbours(weighted: sparse.csr_matrix) -> sparse.csr_matrix:
    """Items x items, the ``NEIGHBOURS`` strongest of each row."""
    likeness = (weighted.T @ weighted).tocsr()
    likeness.setdiag(0)
    for i in range(likeness.shape[0]):
        values = likeness.data[likeness.indptr[i] : likeness.indptr[i + 1]]
        if len(values) > NEIGHBOURS:
            values[values < np.partition(values, -NEIGHBOURS)[-NEIGHBOURS]] = 0
    likeness.eliminate_zeros()
    return likeness


def bm25(plays: sparse.csr_matrix, k1: float = K1, b: float = B) -> sparse.csr_matrix:
    """Listeners x items plays -> weights: saturating in the count, less for items that everyone plays."""
    table = plays.tocoo().astype(np.float64)
    num_listeners = table.shape[0]
    owners = np.bincount(table.row, minlength=num_listeners)
    rarity = np.log(
        (table.shape[1] + 1.0) / (1.0 + owners)
    )  # of a listener: one who plays everything says little
    length = np.asarray(table.sum(axis=0)).ravel()
    norm = (1 - b) + b * length / max(float(length.mean()), 1e-9)
    table.data = table.data * (k1 + 1) / (k1 * norm[table.col] + table.data) * rarity[table.row]
    return table.tocsr()


def _over_largest(scores: Floats) -> Floats:
    return np.asarray(scores / max(float(np.abs(scores).max(initial=0.0)), 1e-9), dtype=np.float32)


@dataclass(frozen=True)
class Choice:
    """How a list is chosen.

    Attributes:
        blend: share of others' plays where there are many listeners, 0.0-1.0.
        diversity: 0.0 takes the best in a row, 1.0 only looks away from what was chosen.
        novelty: 0.0-1.0, how much what many play is pushed back.
        seed: of the clusters' beginnings.
    """

    blend: float = BLEND
    diversity: float = 0.2
    novelty: float = 0.0
    seed: int = 0


def recommend(
    vectors: Floats,
    weights: dict[int, float],
    others: OthersModel | None,
    *,
    top: int,
    allowed: NDArray[np.bool_],
    choice: Choice = Choice(),
) -> list[Proposal]:
    """``top`` items that are allowed, best first.

    Args:
        vectors: (N, D) of length 1, one row an item.
        weights: what was heard, and how much it counts.
        others: the plays of all listeners; None where there is one listener only.
        top: how many.
        allowed: (N,), False for what must not come (heard already, no music).
        choice: how the list is chosen.
    """
    tastes = tastes_of(vectors, weights, choice.seed)
    content, whose, like = content_scores(vectors, tastes, weights)
    told = _over_largest(content)
    heard = np.zeros(len(vectors), dtype=np.float32)
    score = told
    if others is not None:
        heard = _over_largest(others.scores(weights))
        share = choice.blend * others.num_listeners / (others.num_listeners + FEW_LISTENERS)
        score = (1 - share) * told + share * heard
        if choice.novelty:
            popular = np.log1p(others.popularity) / max(
                float(np.log1p(others.popularity.max(initial=0))), 1e-9
            )
            score = score - choice.novelty * popular.astype(np.float32)
    pool = [i for i in np.argsort(-score, kind="stable").tolist() if allowed[i]][: max(POOL, top)]
    proposals = []
    for item in _spread(vectors, score, pool, top, choice.diversity):
        proposals.append(
            Proposal(
                item,
                float(score[item]),
                float(told[item]),
                float(heard[item]),
                int(whose[item]),
                int(like[item]),
            )
        )
    return proposals


def _spread(vectors: Floats, score: Floats, pool: list[int], top: int, diversity: float) -> list[int]:
    if diversity <= 0 or not pool:
        return pool[:top]
    points, value = vectors[pool], score[pool].astype(np.float64)
    nearest = np.zeros(len(pool))
    left = np.ones(len(pool), dtype=bool)
    chosen: list[int] = []
    for _ in range(min(top, len(pool))):
        gain = np.where(left, (1 - diversity) * value - diversity * nearest, -np.inf)
        best = int(np.argmax(gain))
        chosen.append(pool[best])
        left[best] = False
        nearest = np.maximum(nearest, points @ points[best])
    return chosen


__all__ = [
    "HALF_LIFE_DAYS", "Choice", "OthersModel", "Proposal", "Taste", "bm25", "content_scores", "ease", "recency_weights",
    "recommend", "tastes_of",
]  # fmt: skip
