"""Reads a file of music, MIDI or notation, by its suffix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from melodygen.io.formats import NOTATION_SUFFIXES
from melodygen.io.midi import read_midi
from melodygen.io.notation import read_notation, split_tune
from melodygen.music.score import ROLES, Score, Track


def read_score(path: str | Path, warnings: list[str] | None = None) -> Score:
    """The score in a MIDI, MusicXML, ABC or Humdrum file; what had to be mended is added to ``warnings``.

    Raises MidiReadError with the reason.
    """
    path = Path(path)
    if not is_notation(path):
        return read_midi(path, warnings=warnings)
    score = read_notation(path, remarks=warnings)
    return replace(score, tracks=tuple(_named_as_role(track) for track in score.tracks))


def _named_as_role(track: Track) -> Track:
    """A part that is named like a role has it, as a MIDI track has."""
    name = track.name.strip().lower()
    return replace(track, role=name) if name in ROLES and track.is_drum == (name == "drums") else track


def is_notation(path: Path) -> bool:
    """Whether a path names notation, a tune of an ABC book (``book.abc#2``) included, and not MIDI."""
    return split_tune(path)[0].suffix.lower() in NOTATION_SUFFIXES


__all__ = ["is_notation", "read_score"]
