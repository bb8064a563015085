"""What the library knows about a track: plain data between the describer, the store and the searches.

A track is a content: two files with the same bytes are one track at two places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOTE_DTYPE = np.dtype([("pitch", "u1"), ("line", "u1"), ("bar", "<f4"), ("second", "<f4")])
"""A note of a melodic line: ``bar`` counts from 0 with its fraction, ``second`` from the start of the track."""


@dataclass(frozen=True)
class Tags:
    """What the file says about itself; empty where it says nothing. ``rights`` is the copyright field."""

    title: str = ""
    artist: str = ""
    album: str = ""
    year: str = ""
    rights: str = ""
    isrc: str = ""

    @property
    def label(self) -> str:
        """``artist - title``, or what there is of it."""
        return " - ".join(part for part in (self.artist, self.title) if part)


@dataclass(frozen=True)
class Facts:
    """What was measured.

    ``kind``      ``recording``, ``render`` (of melodygen) or ``score``.
    ``styles``    every label with its probability, likeliest first.
    ``valence``   -1.0 (dark) to 1.0 (bright), ``arousal`` -1.0 (calm) to 1.0 (stirred): rough estimates.
    ``key``       (tonic 0-11, ``major`` or ``minor``).
    """

    kind: str
    duration_seconds: float
    styles: tuple[tuple[str, float], ...] = ()
    qpm: float | None = None
    meter: tuple[int, int] | None = None
    key: tuple[int, str] | None = None
    valence: float | None = None
    arousal: float | None = None
    not_music: str = ""

    @property
    def style(self) -> str:
        """The likeliest label; empty where there is none."""
        return self.styles[0][0] if self.styles else ""

    @property
    def mood(self) -> str:
        """``happy``, ``tense``, ``calm`` or ``sad``: the quadrant of valence and arousal; empty where unknown."""
        if self.valence is None or self.arousal is None:
            return ""
        if self.arousal >= 0:
            return "happy" if self.valence >= 0 else "tense"
        return "calm" if self.valence >= 0 else "sad"


KINDS = ("recording", "score")
MOODS = ("happy", "tense", "calm", "sad")


@dataclass(frozen=True, eq=False)
class Description:
    """All that is kept of one file.

    ``vector``   (D,) float32: where it lies in the embedder's space.
    ``patches``  (P, 78) float32 and ``chroma`` (T, 24) uint8: see ``library.chroma``.
    ``notes``    NOTE_DTYPE, line after line, and ``steps`` (len(notes), 2) int8: see ``library.lines``.
    """

    facts: Facts
    tags: Tags
    vector: NDArray[np.float32]
    patches: NDArray[np.float32]
    chroma: NDArray[np.uint8]
    notes: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, NOTE_DTYPE))
    steps: NDArray[np.int8] = field(default_factory=lambda: np.zeros((0, 2), np.int8))
    parts: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """A file that cannot be described, and why, in one line."""

    path: str
    reason: str


@dataclass(frozen=True)
class TrackRecord:
    """A track of the library. ``paths``: where its bytes lie, the first one first added."""

    track_id: int
    content_hash: str
    paths: tuple[str, ...]
    facts: Facts
    tags: Tags

    @property
    def path(self) -> str:
        """Where it lies, the place that was added first; empty for a track that lies nowhere."""
        return self.paths[0] if self.paths else ""

    @property
    def name(self) -> str:
        """The tags' label, else the file's name."""
        return self.tags.label or self.path.rpartition("/")[2] or self.content_hash

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        from melodygen.music.key import key_name

        facts, tags = self.facts, self.tags
        return {
            "track": self.track_id,
            "path": self.path,
            "also_at": list(self.paths[1:]),
            "kind": facts.kind,
            "seconds": round(facts.duration_seconds, 2),
            "title": tags.title or None,
            "artist": tags.artist or None,
            "album": tags.album or None,
            "year": tags.year or None,
            "rights": tags.rights or None,
            "isrc": tags.isrc or None,
            "styles": {label: round(p, 4) for label, p in facts.styles[:3]},
            "mood": facts.mood or None,
            "valence": None if facts.valence is None else round(facts.valence, 3),
            "arousal": None if facts.arousal is None else round(facts.arousal, 3),
            "qpm": facts.qpm,
            "meter": None if facts.meter is None else f"{facts.meter[0]}/{facts.meter[1]}",
            "key": None if facts.key is None else key_name(facts.key),
            "not_music": facts.not_music or None,
        }


__all__ = ["KINDS", "MOODS", "NOTE_DTYPE", "Description", "Facts", "Failed", "Tags", "TrackRecord"]
