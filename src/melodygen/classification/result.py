"""What was found out about a track: plain data that goes to a table, to JSON, or from a worker process home."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.analysis.rhythm import Rhythm
from melodygen.classification.taxonomy import Mood
from melodygen.music.key import key_name


@dataclass(frozen=True)
class Segment:
    """A window of a track. ``styles`` as in TrackResult; ``music``: probability that it is music, or None."""

    start_seconds: float
    end_seconds: float
    styles: tuple[tuple[str, float], ...]
    music: float | None


@dataclass(frozen=True)
class TrackResult:
    """One track.

    ``styles``     every label with its probability, likeliest first; empty where it is not music.
    ``music``      probability that it is music; None where the classifier has no such head.
    ``not_music``  why it is said to be no music (``silence``, ``noise``, ``speech or noise``); empty where it is.
    ``notes``      one-line remarks: ends early, clipped, NaN passed over.
    ``unsure``     whether the likeliest style is less likely than a verdict must be.
    ``tags``       probability of each tag, likeliest first; recordings alone have them, as ``mood`` and ``embedding``.
    ``embedding``  (200,) float32 of the tagger, for what compares recordings; it is not part of the JSON.
    """

    path: str
    kind: str
    seconds: float
    styles: tuple[tuple[str, float], ...]
    rhythm: Rhythm
    classifier: str
    music: float | None = None
    not_music: str = ""
    notes: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    unsure: bool = False
    tags: tuple[tuple[str, float], ...] = ()
    mood: Mood | None = None
    embedding: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)

    def to_dict(self, top: int | None = None) -> dict[str, Any]:
        """For JSON; ``top`` bounds the styles."""
        rhythm = self.rhythm
        record: dict[str, Any] = {
            "path": self.path.encode("utf-8", "backslashreplace").decode(),
            "kind": self.kind,
            "seconds": round(self.seconds, 2),
            "styles": {label: round(p, 4) for label, p in self.styles[:top]},
            "not_music": self.not_music or None,
            "music_probability": None if self.music is None else round(self.music, 4),
            "qpm": rhythm.qpm,
            "meter": None if rhythm.meter is None else f"{rhythm.meter[0]}/{rhythm.meter[1]}",
            "key": None if rhythm.key is None else key_name(rhythm.key, rhythm.key_fifths),
            "classifier": self.classifier,
            "notes": list(self.notes),
        }
        if self.styles:
            record["unsure"] = self.unsure
        if self.tags:
            record["tags"] = {tag: round(p, 4) for tag, p in self.tags}
        if self.mood is not None:
            record["mood"] = {"valence": self.mood.valence, "arousal": self.mood.arousal}
        if self.segments:
            record["segments"] = [
                {
                    "start": round(s.start_seconds, 2),
                    "end": round(s.end_seconds, 2),
                    "styles": {label: round(p, 4) for label, p in s.styles[:top]},
                    "music_probability": None if s.music is None else round(s.music, 4),
                }
                for s in self.segments
            ]
        return record


@dataclass(frozen=True)
class TrackError:
    """A file nothing could be found out about, and why, in one line."""

    path: str
    reason: str

    def to_dict(self, top: int | None = None) -> dict[str, Any]:
        """Return the path and the reason, for JSON."""
        return {"path": self.path.encode("utf-8", "backslashreplace").decode(), "error": self.reason}


__all__ = ["Segment", "TrackError", "TrackResult"]
