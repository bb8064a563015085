"""Chords and keys: Harte labels, pitch classes, and keys estimated from notes.

Chord labels follow Harte's syntax (``Bb:min7``, ``G:7/b7``, ``N``); ``melodygen.music.chord_symbol`` reads
the forms that people write. Keys are estimated with the Krumhansl-Kessler profiles (Krumhansl 1990) on
duration-weighted pitch classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import ScoreError
from melodygen.music.chord_symbol import QUALITIES, read_chord_symbol
from melodygen.music.spelling import (
    MAX_FIFTHS,
    MIN_FIFTHS,
    NATURALS,
    allowed_fifths,
    name_of,
    pitch_class_of,
    position_of,
    spell,
    spell_name,
    tonic_position,
)

PITCH_CLASS_NAMES = tuple(spell_name(pitch_class) for pitch_class in range(12))
CHORD_QUALITIES = QUALITIES
"""Quality -> semitones above the root."""


@lru_cache(maxsize=4096)
def parse_chord(label: str) -> tuple[int, str] | None:
    """Return (root, quality) of a chord symbol: ``Bb:min7`` -> (10, ``min7``), ``N`` -> None.

    Jazz shorthand (``Bbm7``, ``F#ø``) is read too. A chord outside the 20 qualities is read as the nearest
    one.

    Raises:
        ScoreError: the root or a part of the symbol is not understood.
    """
    symbol = read_chord_symbol(label)
    return None if symbol is None else (symbol.root_pitch_class, symbol.quality)


def chord_label(root: int, quality: str, fifths: int | None = None, mode: str = "major") -> str:
    """Return a Harte label.

    Args:
        root: pitch class 0-11.
        quality: one of ``CHORD_QUALITIES``.
        fifths: number of sharps of the key (negative: flats) for which the root is spelled; None spells with
            flats.
        mode: ``major`` or ``minor``.
    """
    return f"{spell_name(root % 12, fifths, mode)}:{quality}"


def transpose_label(label: str, semitones: int) -> str:
    """Return a label moved by semitones, with its extensions; a label that cannot be parsed is returned
    unchanged.
    """
    try:
        symbol = read_chord_symbol(label)
    except ScoreError:
        return label
    if symbol is None:
        return "N"
    moved = spell((symbol.root_pitch_class + semitones) % 12)
    bass = symbol.bass
    if bass[:1] in NATURALS and bass:
        shift = position_of(bass[0], bass.count("#") - bass[1:].count("b")) - symbol.root
        bass = name_of(moved + shift)
    return replace(symbol, root=moved, bass=bass).label


def chord_pitch_classes(label: str) -> frozenset[int]:
    """Return the pitch classes of a label; an empty set for ``N``. Raises ScoreError for an unknown chord."""
    parsed = parse_chord(label)
    if parsed is None:
        return frozenset()
    root, quality = parsed
    return frozenset((root + i) % 12 for i in CHORD_QUALITIES[quality])


_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def key_profiles(major: Sequence[float], minor: Sequence[float]) -> NDArray[np.float64]:
    """Return both profiles on each tonic (24, 12), major first; rows have mean 0 and length 1."""
    matrix = np.array([np.roll(p, t) for p in (major, minor) for t in range(12)])
    matrix = matrix - matrix.mean(axis=1, keepdims=True)
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


KEY_PROFILES = key_profiles(_MAJOR, _MINOR)


def estimate_key(
    pitch_class_weights: NDArray[np.float64], profiles: NDArray[np.float64] = KEY_PROFILES
) -> tuple[int, str] | None:
    """Return the (tonic, mode) that fits best, or None for equal weights.

    Args:
        pitch_class_weights: (12,) weight of each pitch class, for example its total duration.
        profiles: a table of ``key_profiles``; the default is Krumhansl and Kessler's.
    """
    weights = np.asarray(pitch_class_weights, dtype=np.float64)
    centred = weights - weights.mean()
    norm = np.linalg.norm(centred)
    if norm < 1e-9:
        return None
    best = int(np.argmax(profiles @ (centred / norm)))
    return best % 12, "major" if best < 12 else "minor"


_MODES = dict.fromkeys(("", "maj", "ma", "major", "dur", "ionian", "ion"), "major") | dict.fromkeys(
    ("m", "min", "mi", "minor", "moll", "aeolian", "aeo", "-"), "minor"
)


def parse_key(text: str) -> tuple[int, str]:
    """Return (tonic, mode) of a key name: ``C``, ``Am``, ``F# minor``, ``Bb:min``, ``C MAJOR``, ``F♯ Minor``.

    Raises:
        ScoreError: the name is not understood.
    """
    return parse_spelled_key(text)[:2]


def parse_spelled_key(text: str) -> tuple[int, str, int]:
    """Return (tonic, mode, sharps of the signature): ``Gb`` -> (6, ``major``, -6), ``F#`` -> (6, ``major``,
    6).

    Raises:
        ScoreError: the name is not understood.
    """
    plain = text.translate({ord("♯"): "#", ord("♭"): "b", ord("♮"): None})
    match = re.fullmatch(
        r"\s*([A-Ga-g])\s*(#|b|sharp\b|flat\b|-sharp\b|-flat\b)?[\s:_-]*?(-?[A-Za-z]*)\s*", plain
    )
    word = match.group(3) if match else "?"
    mode = "major" if word == "M" else _MODES.get(word.lower() if word == "-" else word.lower().lstrip("-"))
    if not match or mode is None:
        raise ScoreError(f"key {text!r} is not known; write C, Am, 'F# minor', Bb or Eb:min")
    sign = match.group(2) or ""
    position = position_of(match.group(1).upper(), 1 if "#" in sign or "sharp" in sign else -1 if sign else 0)
    fifths = position if mode == "major" else position - 3
    tonic = pitch_class_of(position)
    return tonic, mode, fifths if MIN_FIFTHS <= fifths <= MAX_FIFTHS else allowed_fifths(None, tonic, mode)


def key_name(key: tuple[int, str], fifths: int | None = None) -> str:
    """Return the name of a key, such as ``Eb minor``.

    ``fifths`` chooses between the names of a key that has two (``F# major``, ``Gb major``).
    """
    return f"{name_of(tonic_position(allowed_fifths(fifths, *key), key[1]))} {key[1]}"
