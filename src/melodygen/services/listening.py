"""Listeners of a library: what they played and liked, what to hear next, and why."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from melodygen.errors import LibraryError
from melodygen.library.history import LISTENER, Play, plays_of, read_history
from melodygen.library.path import tempo_distance
from melodygen.library.recommend import Choice, OthersModel, Proposal, recency_weights, recommend
from melodygen.library.store import LibraryStore
from melodygen.library.track import TrackRecord

LIKE_WEIGHT = 3.0
"""Plays of today that a like counts for."""
SAME_TEMPO = 0.1
FEW_LIKES = 3


@dataclass(frozen=True)
class Knobs:
    """How to choose.

    Attributes:
        diversity: 0.0 the best in a row, 1.0 as different as can be.
        novelty: 0.0-1.0, how much what many play is pushed back.
        mood: only tracks of this mood.
        again: tracks that were heard may come.
        half_life_days: after so long a play counts half.
        seed: of the clusters' beginnings.
    """

    diversity: float = 0.2
    novelty: float = 0.0
    mood: str | None = None
    again: bool = False
    half_life_days: float = 30.0
    seed: int = 0


@dataclass(frozen=True)
class Recommendation:
    """``why`` in words; ``like``: the track of the history that it is nearest to."""

    track: TrackRecord
    score: float
    like: TrackRecord
    why: str


def record_plays(store: LibraryStore, plays: Iterable[Play]) -> int:
    """Remember plays, each once; the number that was new."""
    count = 0
    with store.catalog.transaction():
        for play in plays:
            values = (play.listener, play.track_id, play.played_at)
            held = "SELECT 1 FROM plays WHERE listener = ? AND track_id = ? AND played_at = ?"
            if not store.catalog.rows(held, values):
                count += store.catalog.change("INSERT INTO plays VALUES (?, ?, ?)", values)
    return count


def record_like(store: LibraryStore, track_id: int, listener: str = LISTENER) -> None:
    """Remember that a listener likes a track; once is enough."""
    store.catalog.change("INSERT INTO likes VALUES (?, ?) ON CONFLICT DO NOTHING", (listener, track_id))


def import_history(store: LibraryStore, path: Path, now: float) -> tuple[list[Play], int]:
    """(plays of the library's tracks, number of listens to tracks that are not there).

    Raises LibraryError when no listen is about a track of the library.
    """
    listens = read_history(path)
    plays, unknown = plays_of(listens, store.tracks().values(), now)
    if not plays:
        raise LibraryError(
            f"{path}: none of its {unknown} listens is about a track of the library; add the tracks first"
        )
    return plays, unknown


def recommend_tracks(
    store: LibraryStore, plays: Sequence[Play], likes: Sequence[int], *, listener: str, top: int, knobs: Knobs,
    now: float | None = None,
) -> list[Recommendation]:  # fmt: skip
    """What a listener may want to hear next, best first.

    ``plays`` and ``likes`` (track ids) are taken beside what the library remembers of the listener. Raises LibraryError
    for a listener who played and liked nothing, and for an empty library.
    """
    space = store.space()
    if not len(space):
        raise LibraryError(f"{store.name}: the library is empty; fill it with: melodygen library add FOLDER")
    row_of = {int(track): row for row, track in enumerate(space.track_ids.tolist())}
    kept = [Play(*row) for row in store.catalog.rows("SELECT listener, track_id, played_at FROM plays")]
    everyone = list({(p.listener, p.track_id, p.played_at): p for p in (*kept, *plays)}.values())
    everyone = [p for p in everyone if p.track_id in row_of]
    liked = [i for i in (*liked_tracks(store, listener), *likes) if i in row_of]
    moment = time.time() if now is None else now
    own = [p for p in everyone if p.listener == listener]
    weights = recency_weights(
        [row_of[p.track_id] for p in own], [p.played_at for p in own], moment, knobs.half_life_days
    )
    for track_id in dict.fromkeys(liked):
        weights[row_of[track_id]] = weights.get(row_of[track_id], 0.0) + LIKE_WEIGHT
    if not weights:
        raise LibraryError(
            f"nothing is known of {listener!r}: give --history FILE, or name at least {FEW_LIKES} tracks with --like"
        )
    records = store.tracks()
    allowed = np.array(
        [_allowed(records[int(t)], row not in weights, knobs) for row, t in enumerate(space.track_ids)]
    )
    vectors = space.all_vectors()
    found = recommend(
        vectors, weights, _others(everyone, row_of, len(space)), top=top, allowed=allowed,
        choice=Choice(diversity=knobs.diversity, novelty=knobs.novelty, seed=knobs.seed),
    )  # fmt: skip
    ids = space.track_ids.tolist()
    return [_told(proposal, records[ids[proposal.item]], records[ids[proposal.like]]) for proposal in found]


def _allowed(track: TrackRecord, is_new: bool, knobs: Knobs) -> bool:
    if track.facts.not_music or not track.paths:
        return False
    return (is_new or knobs.again) and (knobs.mood is None or track.facts.mood == knobs.mood)


def _others(plays: Sequence[Play], row_of: dict[int, int], num_items: int) -> OthersModel | None:
    """None where one listener alone is known: there is nobody to learn from."""
    names = sorted({play.listener for play in plays})
    if len(names) < 2:
        return None
    number = {name: i for i, name in enumerate(names)}
    listeners = np.array([number[p.listener] for p in plays])
    items = np.array([row_of[p.track_id] for p in plays])
    return OthersModel(listeners, items, np.ones(len(plays)), num_items)


def _told(proposal: Proposal, track: TrackRecord, like: TrackRecord) -> Recommendation:
    shared = in_common(track, like)
    parts = [f"like {like.name}" + (f": {', '.join(shared)}" if shared else "")]
    if proposal.others > 0.2:
        parts.append("listeners of your tracks play it")
    return Recommendation(track, round(proposal.score, 4), like, "; ".join(parts))


def in_common(one: TrackRecord, other: TrackRecord) -> list[str]:
    """What two tracks share, in words."""
    a, b = one.facts, other.facts
    shared = []
    if one.tags.artist and one.tags.artist.casefold() == other.tags.artist.casefold():
        shared.append(f"also by {one.tags.artist}")
    if a.style and a.style == b.style:
        shared.append(a.style)
    if a.qpm and b.qpm and tempo_distance(a.qpm, b.qpm) <= SAME_TEMPO:
        shared.append("same tempo")
    if a.meter and a.meter == b.meter and a.meter != (4, 4):
        shared.append(f"in {a.meter[0]}/{a.meter[1]}")
    if a.key and a.key == b.key:
        shared.append("same key")
    elif a.key and b.key and a.key[1] == b.key[1]:
        shared.append(a.key[1])
    if a.mood and a.mood == b.mood:
        shared.append(a.mood)
    return shared


def recent_plays(store: LibraryStore, listener: str, count: int) -> list[Play]:
    """The newest plays that the library remembers of a listener, newest first."""
    rows = store.catalog.rows(
        "SELECT listener, track_id, played_at FROM plays WHERE listener = ? ORDER BY played_at DESC LIMIT ?",
        (listener, count),
    )
    return [Play(*row) for row in rows]


def liked_tracks(store: LibraryStore, listener: str) -> list[int]:
    """Ids of the tracks that a listener likes, as the library remembers them."""
    rows = store.catalog.rows("SELECT track_id FROM likes WHERE listener = ?", (listener,))
    return [int(row[0]) for row in rows]


def forget_like(store: LibraryStore, track_id: int, listener: str = LISTENER) -> bool:
    """Whether the track was liked."""
    return bool(
        store.catalog.change("DELETE FROM likes WHERE listener = ? AND track_id = ?", (listener, track_id))
    )


def recommendation_dict(found: Recommendation) -> dict[str, object]:
    """For JSON."""
    return {"score": found.score, "why": found.why, "like": found.like.path, **found.track.to_dict()}


__all__ = [
    "Knobs",
    "Recommendation",
    "forget_like",
    "import_history",
    "in_common",
    "liked_tracks",
    "recent_plays",
    "recommend_tracks",
    "recommendation_dict",
    "record_like",
    "record_plays",
]  # fmt: skip
