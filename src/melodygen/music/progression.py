"""Chord progressions as musicians name them: ``ii-V-I in Bb``, ``12-bar blues in F``, ``I vi | ii V in C``.

Roman numerals count from the major scale of the tonic, with ``b`` and ``#`` before them: upper case is major, lower
case minor. Each numeral is a bar; with bars between ``|``, several share one. A progression of three bars holds its
last chord for a fourth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from melodygen.errors import ScoreError
from melodygen.music.key import parse_spelled_key
from melodygen.music.spelling import name_of, tonic_position

NAMED = {
    "12-bar blues": "I7 | I7 | I7 | I7 | IV7 | IV7 | I7 | I7 | V7 | IV7 | I7 | V7",
    "quick-change blues": "I7 | IV7 | I7 | I7 | IV7 | IV7 | I7 | I7 | V7 | IV7 | I7 | V7",
    "8-bar blues": "I7 | V7 | IV7 | IV7 | I7 | V7 | I7 | V7",
    "minor blues": "i7 | i7 | i7 | i7 | iv7 | iv7 | i7 | i7 | bVI7 | V7 | i7 | V7",
    "rhythm changes": "I vi7 | ii7 V7 | I vi7 | ii7 V7 | I I7 | IV iv | I V7 | I",
    "pachelbel": "I | V | vi | iii | IV | I | IV | V",
    "doo-wop": "I | vi | IV | V",
    "axis": "I | V | vi | IV",
    "andalusian": "i | bVII | bVI | V",
    "jazz cadence": "ii7 | V7 | Imaj7 | Imaj7",
    "minor jazz cadence": "iiø7 | V7 | i | i",
    "turnaround": "Imaj7 vi7 | ii7 V7",
    "circle": "Imaj7 | IVmaj7 | viiø7 | iii7 | vi7 | ii7 | V7 | Imaj7",
    "minor circle": "iv7 | bVII7 | bIIImaj7 | bVImaj7 | iiø7 | V7 | i | i",
    "ragtime": "I | VI7 | II7 | V7 | I | VI7 | II7 V7 | I",
    "three chords": "I | IV | V | I",
    "minor three chords": "i | iv | V7 | i",
    "reel": "I | I | V | I | IV | I | V | I",
    "hymn": "I | IV | I | V | I | IV | I V | I",
    "cadence": "I | ii | V7 | I",
    "folia": "i | V | i | bVII | bIII | bVII | i V | i",
    "mixolydian": "I | bVII | IV | I",
    "minor axis": "i | bVI | bIII | bVII",
    "aeolian": "i | bVI | bVII | i",
}
USUAL = ("three chords", "axis", "doo-wop", "minor three chords", "minor axis")
"""Progressions for a style that names none."""
_DEGREES = {"I": 0, "II": 2, "III": 4, "IV": -1, "V": 1, "VI": 3, "VII": 5}
"""Position on the line of fifths above the tonic."""
_NUMERAL = re.compile(r"(b|#)?(VII|VI|IV|V|III|II|I)(.*)", re.IGNORECASE)
_SUFFIXES = {
    "": ("maj", "min"), "7": ("7", "min7"), "maj7": ("maj7", "minmaj7"), "6": ("maj6", "min6"), "9": ("9", "min9"),
    "o": ("dim", "dim"), "°": ("dim", "dim"), "dim": ("dim", "dim"), "o7": ("dim7", "dim7"), "°7": ("dim7", "dim7"),
    "ø": ("hdim7", "hdim7"), "ø7": ("hdim7", "hdim7"), "+": ("aug", "aug"), "sus4": ("sus4", "sus4"),
    "sus2": ("sus2", "sus2"), "maj9": ("maj9", "maj9"),
}  # fmt: skip
"""What follows a numeral -> quality of an upper-case and of a lower-case one, in Harte syntax."""


@dataclass(frozen=True)
class Progression:
    """Chord labels of each bar, and the key's text where the progression says it."""

    bars: tuple[tuple[str, ...], ...]
    key: str


def read_progression(text: str, key: str | None = None) -> Progression:
    """Read ``PROGRESSION in KEY``; ``key`` is the key's text where the progression has none.

    Raises ScoreError with what may be written.
    """
    match = re.fullmatch(r"\s*(.+?)(?:\s+in\b\s*(.*?))?\s*", text)
    said = (match[2] if match else None) or key
    if match is None or not said:
        raise ScoreError(f"progression {text!r} names no key; write it like 'ii-V-I in Bb', or give --key")
    _, mode, fifths = parse_spelled_key(said)
    tonic = tonic_position(fifths, mode)
    body = NAMED.get(" ".join(match[1].lower().split()), match[1])
    if "|" in body:
        parts = [re.split(r"[\s,-]+", bar.strip()) for bar in body.strip().strip("|").split("|")]
    else:
        parts = [[word] for word in re.split(r"[\s,–-]+", body.strip())]
    bars = [tuple(_chord(word, tonic, text) for word in words) for words in parts]
    if len(bars) == 3:
        bars.append(bars[-1][-1:])
    return Progression(tuple(bars), said)


def progression_mode(text: str) -> str:
    """``minor`` for a progression whose tonic chord is minor, else ``major``."""
    words = re.split(r"[\s|,–-]+", NAMED.get(" ".join(text.lower().split()), text))
    return "minor" if any(re.fullmatch(r"i\d*", word) for word in words) else "major"


def usual_progression(names: tuple[str, ...], mode: str, at: float) -> str:
    """One of a style's progressions in the mode; ``at`` from 0 to below 1 picks it. Other styles' where none fits."""
    fitting = [name for name in names if progression_mode(name) == mode]
    fitting = fitting or [name for name in USUAL if progression_mode(name) == mode]
    return fitting[int(at * len(fitting))]


def _chord(word: str, tonic: int, text: str) -> str:
    match = _NUMERAL.fullmatch(word)
    suffix = match[3] if match else None
    if match is None or suffix not in _SUFFIXES or match[2] not in (match[2].upper(), match[2].lower()):
        raise ScoreError(
            f"progression {text!r}: {word!r} is neither a numeral like ii, V7 or bVII, nor is it one of "
            f"{', '.join(NAMED)}"
        )
    shift = {"b": -7, "#": 7, None: 0}[match[1]]
    quality = _SUFFIXES[suffix][match[2].islower()]
    return f"{name_of(tonic + _DEGREES[match[2].upper()] + shift)}:{quality}"


__all__ = ["NAMED", "Progression", "progression_mode", "read_progression", "usual_progression"]
