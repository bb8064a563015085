"""A phrase to look for, from a MIDI file, from note names, or from a hum."""

from __future__ import annotations

from pathlib import Path

from melodygen.library.lines import Phrase, phrase_of_names, phrase_of_score
from melodygen.library.phrase import MAX_NOTES


def read_phrase(midi: Path | None = None, notes: str | None = None, hum: Path | None = None) -> Phrase:
    """Raises UsageError for ``notes`` that are no phrase, LibraryError for a file or a hum that holds none;
    MidiReadError, AudioError."""
    if midi is not None:
        from melodygen.classification.symbolic import read_symbolic

        return phrase_of_score(read_symbolic(midi), MAX_NOTES)
    if hum is not None:
        from melodygen.audio.decode import read_mono
        from melodygen.library.hum import MAX_SECONDS, SAMPLE_RATE, phrase_of_hum

        return phrase_of_hum(read_mono(hum, SAMPLE_RATE, MAX_SECONDS))
    return phrase_of_names(notes or "")


__all__ = ["read_phrase"]
