"""What tags say about style and mood: which tags speak for which style, and for how music feels.

Nothing here was learned. A style is as likely as the likeliest of its tags, after part of each tag's frequency in the
Million Song Dataset is taken off: "rock" is said of four songs in ten, so it says less than "blues". Mood is a sum over
tags by their place in Russell's circle (1980), with how lively and how bright the sound is, and the mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, prod, tanh

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STYLE_TAGS: Mapping[str, tuple[str, ...]] = {
    "blues": ("blues",),
    "classical": (
        "classical",
        "classic",
        "strings",
        "violin",
        "cello",
        "opera",
        "choir",
        "choral",
        "harpsichord",
    ),
    "country": ("country",),
    "electronic": ("electronic", "electronica", "electro", "House"),
    "folk": ("folk",),
    "funk/soul": ("funk", "soul", "rnb"),
    "hip-hop": ("Hip-Hop",),
    "jazz": ("jazz",),
    "metal": ("metal", "heavy metal"),
    "pop": ("pop",),
    "punk": ("punk",),
    "rock": ("rock",),
}
"""Of the Million Song Dataset's tags; those of classical are MagnaTagATune's, as that set alone has them. Neither has a
tag for reggae."""
PART_OF: Mapping[str, str] = {"metal": "rock", "punk": "rock"}
CLASSICAL = "classical"
CLASSICAL_PRIOR = 0.25
"""Share of clips of MagnaTagATune with any of the tags of classical, roughly."""
PRIOR_WEIGHT = 0.25
TEMPERATURE = 0.6
UNSURE_BELOW = 0.45
"""Probability of the likeliest style below which no verdict is given: on labelled clips such verdicts were right in
four of ten, the others in nine of ten (docs/hearing.md)."""

AROUSAL: Mapping[str, float] = {
    "party": 0.8, "dance": 0.6, "metal": 0.8, "heavy metal": 0.8, "hard rock": 0.6, "punk": 0.8, "House": 0.5,
    "electro": 0.4, "Mellow": -0.8, "chillout": -0.8, "chill": -0.7, "ambient": -0.8, "easy listening": -0.6,
    "acoustic": -0.4, "sad": -0.5, "fast": 1.0, "loud": 1.0, "techno": 0.5, "slow": -1.0, "quiet": -1.0, "soft": -0.8,
    "new age": -0.6,
}  # fmt: skip
VALENCE: Mapping[str, float] = {
    "happy": 1.0, "party": 0.7, "catchy": 0.5, "dance": 0.4, "funk": 0.5, "soul": 0.3, "sad": -1.0, "metal": -0.4,
    "heavy metal": -0.4, "experimental": -0.3, "ambient": -0.2, "weird": -0.4,
}  # fmt: skip
VALENCE_OFFSET = 0.7
"""Tags of feelings are rarer than their rank says: what the sum lacks on average."""
SIGNAL_WEIGHT = 0.5
MODE_WEIGHT = 0.25


@dataclass(frozen=True)
class Mood:
    """Both from -1 to 1: ``valence`` from sad or hostile to happy, ``arousal`` from calm to excited."""

    valence: float
    arousal: float


def logit(probability: float) -> float:
    """Log odds, of a probability kept 1e-4 from 0 and 1."""
    p = min(max(probability, 1e-4), 1 - 1e-4)
    return log(p / (1 - p))


def tag_prior(rank: int) -> float:
    """How often the tag of a rank (0 for the most frequent) is given: Zipf's law through "rock" at 42 %."""
    return float(0.42 * (rank + 1) ** -0.75)


def style_logits(listeners: Mapping[str, float], players: Mapping[str, float]) -> dict[str, float]:
    """How much speaks for each style.

    ``listeners``  probability of each tag of the Million Song Dataset, most frequent tag first;
    ``players``    of MagnaTagATune's.
    """
    rank = {tag: place for place, tag in enumerate(listeners)}
    found = {}
    for style, tags in STYLE_TAGS.items():
        if style == CLASSICAL:
            either = 1 - prod(1 - players[tag] for tag in tags)
            value = logit(either) - PRIOR_WEIGHT * logit(CLASSICAL_PRIOR)
        else:
            value = max(logit(listeners[tag]) - PRIOR_WEIGHT * logit(tag_prior(rank[tag])) for tag in tags)
        found[style] = value
    return found


def style_probabilities(logits: Floats, temperature: float = TEMPERATURE) -> Floats:
    """Softmax over the styles."""
    scaled = logits / temperature
    likelihood = np.exp(scaled - scaled.max())
    return np.asarray(likelihood / likelihood.sum())


def mood_of(
    listeners: Mapping[str, float], players: Mapping[str, float], liveliness: float, mode: str | None
) -> Mood:
    """Mood from tags, from ``liveliness`` of the sound (0 for an average recording, +-1 for a deviation from it), and
    from the mode (major, minor, None if unknown)."""
    arousal = _leaning(AROUSAL, listeners, players) + SIGNAL_WEIGHT * liveliness
    valence = _leaning(VALENCE, listeners, players) + VALENCE_OFFSET
    valence += {"major": MODE_WEIGHT, "minor": -MODE_WEIGHT}.get(mode or "", 0.0)
    return Mood(round(tanh(valence), 3), round(tanh(arousal), 3))


def _leaning(
    weights: Mapping[str, float], listeners: Mapping[str, float], players: Mapping[str, float]
) -> float:
    """Weighted mean of how much more than usual each tag is heard, in nats."""
    total = 0.0
    for tag, weight in weights.items():
        source = listeners if tag in listeners else players
        usual = tag_prior(list(source).index(tag))
        total += weight * min(max(logit(source[tag]) - logit(usual), -3.0), 3.0)
    return total / sum(abs(weight) for weight in weights.values())


__all__ = [
    "PART_OF",
    "STYLE_TAGS",
    "UNSURE_BELOW",
    "Mood",
    "logit",
    "mood_of",
    "style_logits",
    "style_probabilities",
    "tag_prior",
]
