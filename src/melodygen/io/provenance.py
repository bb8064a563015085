"""Where a piece comes from, written into its files: MIDI text events and audio tags.

No date and no path of the machine: the same seed makes the same bytes again.
"""

from __future__ import annotations

from dataclasses import dataclass

MADE_BY = "made by melodygen"


@dataclass(frozen=True)
class Provenance:
    """``model``, ``classifier`` and ``renderer`` are ids that carry a hash of what they stand for;
    ``command`` makes the piece again."""

    style: str
    seed: int
    candidate_seed: int
    style_probability: float
    model: str
    classifier: str
    renderer: str
    version: str
    command: str

    def texts(self) -> list[str]:
        """One line a fact, ASCII: MIDI text has no agreed encoding."""
        return [
            line.encode("ascii", "backslashreplace").decode("ascii")
            for line in (
                f"{MADE_BY} {self.version}",
                f"style: {self.style} (probability {self.style_probability:.3f})",
                f"seed: {self.seed} (candidate {self.candidate_seed})",
                f"model: {self.model}",
                f"classifier: {self.classifier}",
                f"command: {self.command}",
            )
        ]

    def tags(self) -> dict[str, str]:
        """Tags that every audio container has: title, artist, genre, software, comment."""
        return {
            "title": f"{self.style} {self.seed}",
            "artist": "melodygen",
            "genre": self.style,
            "software": f"melodygen {self.version}",
            "comment": "; ".join([*self.texts(), f"renderer: {self.renderer}"]),
        }
