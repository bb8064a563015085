"""Tracks of the library as the server tells of them: by number and name, without the paths of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from melodygen.library.lines import Phrase
    from melodygen.library.match import Match
    from melodygen.library.phrase import PhraseHit
    from melodygen.library.track import TrackRecord
    from melodygen.services.listening import Recommendation

EVERYWHERE = 20
"""Tracks that hold a phrase without a difference, from which on it is said to be found everywhere."""


def track_json(track: TrackRecord) -> dict[str, Any]:
    """``track`` is its number, ``name`` what it is called; the rest is what was measured."""
    found = track.to_dict()
    del found["path"], found["also_at"]
    return {"name": track.name, **found}


def similar_json(found: Iterable[tuple[TrackRecord, float]]) -> list[dict[str, Any]]:
    """Nearest first."""
    return [{"likeness": likeness, **track_json(track)} for track, likeness in found]


def match_json(found: Iterable[tuple[TrackRecord, Match]]) -> list[dict[str, Any]]:
    """Strongest first, each with a sentence."""
    return [
        {**match.to_dict(), "words": match.sentence(track.name), **track_json(track)}
        for track, match in found
    ]


def recommendation_json(found: Recommendation) -> dict[str, Any]:
    """``like`` is the track of the history that it is nearest to."""
    like = {"track": found.like.track_id, "name": found.like.name}
    return {"score": found.score, "why": found.why, "like": like, **track_json(found.track)}


def phrase_json(
    phrase: Phrase, found: Sequence[tuple[TrackRecord, PhraseHit, float, float]], top: int
) -> dict[str, Any]:
    """The notes that were looked for, and the ``top`` tracks that hold them, likeliest first."""
    exact = sum(hit.cost == 0 for _, hit, _, _ in found)
    rows = [
        {
            "likeness": hit.likeness, "cost": hit.cost, "start": round(a, 2), "end": round(b, 2),
            **track_json(track),
        }
        for track, hit, a, b in found[:top]
    ]  # fmt: skip
    return {"notes": list(phrase.pitches), "found_everywhere": exact > EVERYWHERE, "tracks": rows}
