"""What two tracks share: where in each, how much, how far apart in key, and how much faster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Match:
    """Music that a question (a file, a take, a track) shares with a track of the library.

    ``semitones``    how far the track lies above the question; quarter tones are told as halves.
    ``tempo_ratio``  how much longer the track takes for the same music: 1.1 is 10 % slower.
    ``bars``         shared bars of the track, counted in its own meter; None for sound, where no bar line is known.
    ``likeness``     0.0-1.0 over the shared part.
    ``strength``     what the threshold of the kind of match is about.
    """

    track_id: int
    question_start: float
    question_end: float
    track_start: float
    track_end: float
    semitones: float
    tempo_ratio: float
    likeness: float
    strength: float
    bars: float | None = None

    @property
    def seconds(self) -> float:
        """Of the track."""
        return self.track_end - self.track_start

    def sentence(self, name: str) -> str:
        """``shares 9.5 bars with Air, 3 semitones up, 10 % slower``"""
        much = f"{self.bars:.1f} bars" if self.bars is not None else f"{self.seconds:.1f} s"
        return f"shares {much} with {name}, {self.key_words()}, {self.tempo_words()}"

    def key_words(self) -> str:
        """Where the track lies, seen from the question."""
        if abs(self.semitones) < 0.25:
            return "in the same key"
        amount = f"{abs(self.semitones):g} semitone" + ("s" if abs(self.semitones) != 1 else "")
        return f"{amount} {'up' if self.semitones > 0 else 'down'}"

    def tempo_words(self) -> str:
        """How much slower or faster the track is than the question."""
        percent = round(100 * abs(self.tempo_ratio - 1))
        if percent < 2:
            return "at the same tempo"
        return f"{percent} % {'slower' if self.tempo_ratio > 1 else 'faster'}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON; seconds."""
        return {
            "question_start": round(self.question_start, 2),
            "question_end": round(self.question_end, 2),
            "track_start": round(self.track_start, 2),
            "track_end": round(self.track_end, 2),
            "semitones": self.semitones,
            "tempo_ratio": round(self.tempo_ratio, 3),
            "bars": None if self.bars is None else round(self.bars, 2),
            "likeness": round(self.likeness, 3),
            "strength": round(self.strength, 2),
        }


__all__ = ["Match"]
