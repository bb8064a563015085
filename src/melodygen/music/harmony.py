"""Chord labels: Harte's syntax (``Bb:min7``, ``G:7/b7``, ``N``), their pitch classes and transposition.

``melodygen.music.chord_symbol`` reads the forms that people write.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from melodygen.errors import ScoreError
from melodygen.music.chord_symbol import QUALITIES, ChordSymbol, fifths_of_degree, read_chord_symbol
from melodygen.music.spelling import NATURALS, name_of, position_of, spell_name, spell_root

if TYPE_CHECKING:
    from melodygen.music.score import KeySignature

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
    return f"{name_of(spell_root(root % 12, fifths, mode))}:{quality}"


_USUAL_SUFFIXES = {
    "maj": "", "min": "m", "min7": "m7", "hdim7": "m7b5", "maj6": "6", "min6": "m6", "min9": "m9", "minmaj7": "mmaj7",
}  # fmt: skip
"""Quality -> what players write behind the root; the others are written as they are called."""


def usual_name(label: str) -> str:
    """Return a chord as players write it: ``F#:min7/b3`` -> ``F#m7/A``, ``N`` -> ``N.C.``.

    What is no chord, or would not be read as the same chord again, is returned as it is.
    """
    try:
        symbol = read_chord_symbol(label)
        if symbol is None:
            return "N.C."
        more = [f"add{d}" if d.isdigit() else d for d in symbol.added] + [f"no{d}" for d in symbol.omitted]
        bass = symbol.bass
        if bass and bass[0] not in NATURALS:
            bass = name_of(symbol.root + fifths_of_degree(bass))
        name = name_of(symbol.root) + _USUAL_SUFFIXES.get(symbol.quality, symbol.quality)
        name += (f"({','.join(more)})" if more else "") + (f"/{bass}" if bass else "")
        again = read_chord_symbol(name)
    except (ScoreError, KeyError):
        return label
    return name if again is not None and replace(again, bass="") == replace(symbol, bass="") else label


def label_in_key(label: str, fifths: int | None, mode: str = "major") -> str:
    """Return a label that a player of the key expects: a root that is far from the signature is named again.

    ``Gb:7`` stays in C major, where it is common, and is ``F#:7`` under four sharps. What is no chord stays.
    """
    try:
        symbol = read_chord_symbol(label)
    except ScoreError:
        return label
    if symbol is None or fifths is None or fifths - 6 <= symbol.root <= fifths + 8:
        return label
    return _moved(symbol, spell_root(symbol.root_pitch_class, fifths, mode)).label


def _moved(symbol: ChordSymbol, root: int) -> ChordSymbol:
    """The chord on another root, its bass with it."""
    bass = symbol.bass
    if bass[:1] in NATURALS and bass:
        shift = position_of(bass[0], bass.count("#") - bass[1:].count("b")) - symbol.root
        bass = name_of(root + shift)
    return replace(symbol, root=root, bass=bass)


def transpose_label(label: str, semitones: int, key: KeySignature | None = None) -> str:
    """Return a label moved by semitones, with its extensions; a label that cannot be parsed is returned
    unchanged.
    """
    try:
        symbol = read_chord_symbol(label)
    except ScoreError:
        return label
    if symbol is None:
        return "N"
    fifths, mode = (None, "major") if key is None else (key.fifths, key.mode)
    return _moved(symbol, spell_root((symbol.root_pitch_class + semitones) % 12, fifths, mode)).label


def chord_pitch_classes(label: str) -> frozenset[int]:
    """Return the pitch classes of a label; an empty set for ``N``. Raises ScoreError for an unknown chord."""
    parsed = parse_chord(label)
    if parsed is None:
        return frozenset()
    root, quality = parsed
    return frozenset((root + i) % 12 for i in CHORD_QUALITIES[quality])
