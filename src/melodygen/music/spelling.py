"""Names of pitches, from the key: one speller for notes, chord roots, signatures, markers and reports.

A spelled pitch is a position on the line of fifths: … Eb -3, Bb -2, F -1, C 0, G 1, D 2, A 3, E 4, B 5, F# 6 …
The signature of a key is a position too: its number of sharps, flats below 0 (``fifths`` in MusicXML and MIDI).
Of the two or three names of a pitch class the speller takes the one within twelve positions around the key's own
seven, so that Ab major is written with flats and C# minor with sharps (the line of fifths of Temperley 2001).
"""

from __future__ import annotations

_LETTERS = "FCGDAEB"
NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
MIN_FIFTHS, MAX_FIFTHS = -7, 7


def name_of(position: int) -> str:
    """``-3`` -> ``Eb``, ``6`` -> ``F#``, ``13`` -> ``F##``."""
    octave, letter = divmod(position + 1, 7)
    return _LETTERS[letter] + ("#" * octave if octave > 0 else "b" * -octave)


def position_of(step: str, alteration: int = 0) -> int:
    """The position of a letter with sharps (flats below 0): (``E``, -1) -> -3."""
    return _LETTERS.index(step) - 1 + 7 * alteration


def step_and_alteration(position: int) -> tuple[str, int]:
    """``-3`` -> (``E``, -1)."""
    octave, letter = divmod(position + 1, 7)
    return _LETTERS[letter], octave


def pitch_class_of(position: int) -> int:
    """Return the pitch class 0-11 of a position on the circle of fifths."""
    return position * 7 % 12


def key_fifths(tonic: int, mode: str) -> int:
    """Sharps of a key's signature, flats below 0, in its usual spelling: Gb major -6, C# minor 4, Eb minor -6."""
    major = tonic if mode == "major" else (tonic + 3) % 12
    return (major * 7 + 6) % 12 - 6


def allowed_fifths(fifths: int | None, tonic: int, mode: str) -> int:
    """``fifths`` where it is a signature of this key (F# and Gb major have one each), else the usual one."""
    usual = key_fifths(tonic, mode)
    fits = fifths is not None and MIN_FIFTHS <= fifths <= MAX_FIFTHS and (fifths - usual) % 12 == 0
    return fifths if fits and fifths is not None else usual


def spell(pitch_class: int, fifths: int | None = None, mode: str = "major") -> int:
    """Position on the line of fifths of a pitch class in a key with ``fifths`` sharps; without a key flats are taken,
    as chord labels usually have them (``Db``, ``Eb``, ``Gb``, ``Ab``, ``Bb``)."""
    if fifths is None:
        lowest = -6
    elif mode == "minor":  # the raised sixth and seventh degrees, and the fourth on the way to the fifth
        lowest = min(max(fifths - 3, -8), 2)
    else:  # the lowered degrees of the minor key of the same tonic, and two sharps on the way up
        lowest = min(max(fifths - 4, -8), 0)
    return (pitch_class * 7 - lowest) % 12 + lowest


def spell_root(pitch_class: int, fifths: int | None = None, mode: str = "major") -> int:
    """Return the position of a chord's root: as ``spell``, but B# and E#, Cb and Fb only where the scale has them."""
    if fifths is None:
        return spell(pitch_class)
    lowest = max(fifths - (3 if mode == "minor" else 5), -7)
    lowest = min(lowest, max(-1, fifths - 6), fifths - 1)
    return (pitch_class * 7 - lowest) % 12 + lowest


def spell_name(pitch_class: int, fifths: int | None = None, mode: str = "major") -> str:
    """As ``spell``, as a name: 8 is ``Ab`` in Ab major and ``G#`` in A minor."""
    return name_of(spell(pitch_class, fifths, mode))


def tonic_position(fifths: int, mode: str) -> int:
    """The tonic of a signature: (-6, ``major``) is Gb, (4, ``minor``) is C#."""
    return fifths if mode == "major" else fifths + 3


__all__ = [
    "MAX_FIFTHS", "MIN_FIFTHS", "NATURALS", "allowed_fifths", "key_fifths", "name_of", "pitch_class_of",
    "position_of", "spell", "spell_name", "spell_root", "step_and_alteration", "tonic_position",
]  # fmt: skip
