"""Styles: what the user names.

A :class:`Style` is what the user names: how its music usually goes (tempo, meter, key, voices) and which
General MIDI instruments play it. Styles are data: third parties add theirs through the ``melodygen.styles``
entry-point group, a retrained checkpoint carries its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Style:
    """Defaults of one style. ``programs`` maps a role to a General MIDI program (0-127)."""

    name: str
    description: str
    qpm: float = 120.0
    meter: tuple[int, int] = (4, 4)
    tracks: tuple[str, ...] = ("melody", "chords", "bass", "drums")
    programs: dict[str, int] = field(default_factory=dict)
    mode: str = "major"
    swing: float = 0.5
    """Where the off-beat eighth falls: 0.5 straight, 0.667 triplet swing. Informative; models write swing out."""
