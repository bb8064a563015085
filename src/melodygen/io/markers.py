"""Chords and sections as markers of a MIDI file: written with usual names (``F#m7``), read in Harte's syntax as well.

A marker ``A`` may be a chord or a section. In a file with markers in Harte's syntax only those are chords. Elsewhere a
single letter is a chord where another marker is one beyond doubt. What would be read as something else than it is, is
written ``Cmaj`` or, if that is not enough, in Harte's syntax.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from melodygen.errors import ScoreError
from melodygen.music.chord_symbol import ChordSymbol, read_chord_symbol
from melodygen.music.harmony import usual_name
from melodygen.music.score import Score

_BARE = re.compile(r"[A-G]")
_USUAL = re.compile(
    r"[A-G](?:[#b♯♭]|(?=m|-|maj|min|dim|aug|sus|add|M|Δ|°|o7?$|ø|\+|\(|/[A-G]|[679]|1[13]))\S*"
)  # a letter with a figure below 6 (A1, B2) is a section
_NO_CHORD = ("N", "N.C.", "NC")


def chord_flags(texts: Sequence[str]) -> list[bool]:
    """Of each marker of a file, whether it is a chord."""
    harte = [":" in text and _symbol(text) is not None for text in texts]
    if any(harte):
        return [h or text == "N" for h, text in zip(harte, texts, strict=True)]
    usual = [bool(_USUAL.fullmatch(text)) and _symbol(text) is not None for text in texts]
    bare = any(usual)
    return [
        u or text in _NO_CHORD or (bare and bool(_BARE.fullmatch(text)))
        for u, text in zip(usual, texts, strict=True)
    ]


def label_of(text: str) -> str:
    """The Harte label of a chord marker; one that is in Harte's syntax stays as it is."""
    if ":" in text:
        return text
    symbol = _symbol(text)
    return "N" if symbol is None else symbol.label


def chord_names(score: Score) -> list[str]:
    """The texts of the markers of a score's chords, which are read as these chords again beside its sections."""
    labels, sections = [c.label for c in score.chords], [s.name for s in score.sections]
    usual = [usual_name(label) for label in labels]
    spelled_out = [f"{name}maj" if _BARE.fullmatch(name) else name for name in usual]
    for names in (usual, spelled_out):
        flags = chord_flags([*names, *sections])
        if flags == [True] * len(labels) + [False] * len(sections):
            return names
    return labels


def _symbol(text: str) -> ChordSymbol | None:
    try:
        return read_chord_symbol(text)
    except ScoreError:
        return None


__all__ = ["chord_flags", "chord_names", "label_of"]
