"""Chords and keys: Harte labels, pitch classes, estimates from notes.

Chord labels follow Harte's syntax as mir_eval reads it (``Bb:min7``, ``G:7/b7``, ``N``). melodygen keeps root and
quality; an inversion after ``/`` is read and not kept. Keys are estimated with the Krumhansl-Kessler profiles
(Krumhansl 1990) on duration-weighted pitch classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import ScoreError

PITCH_CLASS_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

CHORD_QUALITIES: dict[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "min7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
    "dim": (0, 3, 6),
    "dim7": (0, 3, 6, 9),
    "hdim7": (0, 3, 6, 10),
    "aug": (0, 4, 8),
    "aug7": (0, 4, 8, 10),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "7sus4": (0, 5, 7, 10),
    "maj6": (0, 4, 7, 9),
    "min6": (0, 3, 7, 9),
    "9": (0, 4, 7, 10, 2),
    "maj9": (0, 4, 7, 11, 2),
    "min9": (0, 3, 7, 10, 2),
    "minmaj7": (0, 3, 7, 11),
    "13": (0, 4, 7, 10, 9),
}
"""Quality -> semitones above the root."""

_ALIASES = {
    "": "maj", "M": "maj", "major": "maj", "m": "min", "-": "min", "mi": "min", "minor": "min",
    "m7": "min7", "-7": "min7", "mi7": "min7", "M7": "maj7", "Maj7": "maj7", "ma7": "maj7", "^7": "maj7",
    "Δ": "maj7", "Δ7": "maj7", "j7": "maj7", "^": "maj7", "o": "dim", "°": "dim", "o7": "dim7", "°7": "dim7",
    "ø": "hdim7", "ø7": "hdim7", "m7b5": "hdim7", "min7b5": "hdim7", "-7b5": "hdim7", "+": "aug", "+7": "aug7",
    "7#5": "aug7", "7+": "aug7", "6": "maj6", "m6": "min6", "-6": "min6", "m9": "min9", "-9": "min9",
    "M9": "maj9", "mM7": "minmaj7", "-maj7": "minmaj7", "mmaj7": "minmaj7", "sus": "sus4", "7sus": "7sus4",
    "dom7": "7", "11": "7sus4", "min11": "min9", "maj13": "maj9", "min13": "min9", "7b9": "7", "7#9": "7",
    "7b5": "7", "7#11": "7", "7alt": "7", "69": "maj6", "6/9": "maj6", "5": "maj", "1": "maj",
    "add9": "maj", "madd9": "min", "m11": "min9", "9sus4": "7sus4", "b9": "7", "maj7#11": "maj7",
}  # fmt: skip

_LABEL = re.compile(r"^([A-G])([#b]*):?(.*)$")


@lru_cache(maxsize=4096)
def parse_chord(label: str) -> tuple[int, str] | None:
    """``Bb:min7`` -> (10, ``min7``); ``N`` -> None. Jazz shorthand (``Bbm7``, ``F#ø``) is read too.

    Raises ScoreError when the root or the quality is not known.
    """
    text = label.strip()
    if text in ("N", "NC", "N.C.", "X"):
        return None
    match = _LABEL.match(text)
    if not match:
        raise ScoreError(f"chord {label!r} has no root A-G; write Harte ('Bb:min7') or shorthand ('Bbm7')")
    step, accidentals, rest = match.groups()
    root = (_STEPS[step] + accidentals.count("#") - accidentals.count("b")) % 12
    quality = re.sub(r"\(.*?\)", "", rest)
    if quality not in ("6/9",):
        quality = quality.split("/")[0]
    quality = quality.strip()
    if quality in CHORD_QUALITIES:
        return root, quality
    if quality in _ALIASES:
        return root, _ALIASES[quality]
    raise ScoreError(
        f"chord {label!r}: quality {quality!r} is not known; known are {', '.join(CHORD_QUALITIES)}"
    )


def chord_label(root: int, quality: str) -> str:
    return f"{PITCH_CLASS_NAMES[root % 12]}:{quality}"


def transpose_label(label: str, semitones: int) -> str:
    """A label moved by semitones; one that cannot be parsed stays as it is."""
    try:
        parsed = parse_chord(label)
    except ScoreError:
        return label
    return "N" if parsed is None else chord_label((parsed[0] + semitones) % 12, parsed[1])


def chord_pitch_classes(label: str) -> frozenset[int]:
    """Pitch classes of a label; empty for ``N``."""
    parsed = parse_chord(label)
    if parsed is None:
        return frozenset()
    root, quality = parsed
    return frozenset((root + i) % 12 for i in CHORD_QUALITIES[quality])


_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def key_profiles(major: Sequence[float], minor: Sequence[float]) -> NDArray[np.float64]:
    """(24, 12): both profiles on each tonic, major first; rows have mean 0 and length 1."""
    matrix = np.array([np.roll(p, t) for p in (major, minor) for t in range(12)])
    matrix = matrix - matrix.mean(axis=1, keepdims=True)
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


KEY_PROFILES = key_profiles(_MAJOR, _MINOR)


def estimate_key(
    pitch_class_weights: NDArray[np.float64], profiles: NDArray[np.float64] = KEY_PROFILES
) -> tuple[int, str] | None:
    """(tonic, mode) from 12 weights, or None when there is nothing to go by. ``profiles`` as of :func:`key_profiles`;
    the default is Krumhansl and Kessler's."""
    weights = np.asarray(pitch_class_weights, dtype=np.float64)
    centred = weights - weights.mean()
    norm = np.linalg.norm(centred)
    if norm < 1e-9:
        return None
    best = int(np.argmax(profiles @ (centred / norm)))
    return best % 12, "major" if best < 12 else "minor"


def parse_key(text: str) -> tuple[int, str]:
    """``C``, ``Am``, ``F# minor``, ``Bb:min`` -> (tonic, mode)."""
    match = re.match(r"^\s*([A-Ga-g])([#b♯♭]?)[\s:]*(.*?)\s*$", text)
    modes = dict.fromkeys(("", "maj", "major", "M"), "major") | dict.fromkeys(("m", "min", "minor"), "minor")
    if not match or match.group(3) not in modes:
        raise ScoreError(f"key {text!r} is not known; write C, Am, 'F# minor', Bb or Eb:min")
    step, accidental, mode = match.groups()
    shift = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[accidental]
    return (_STEPS[step.upper()] + shift) % 12, modes[mode]


def key_name(key: tuple[int, str]) -> str:
    return f"{PITCH_CLASS_NAMES[key[0]]} {key[1]}"
