"""How the notes of a bar are spelled, and which accidentals are printed before them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from melodygen.errors import ScoreError
from melodygen.music.chord_symbol import read_chord_symbol
from melodygen.music.engraving import WrittenBar, WrittenNote
from melodygen.music.score import KeySignature
from melodygen.music.spelling import spell, step_and_alteration

MIN_PLACE, MAX_PLACE = -8, 13
"""On the line of fifths: beyond Fb and F## a chord's tones are spelled for the key alone."""


class Speller:
    """Names of pitches from the key and the chord that sounds: the third of E7 is G#, in C major too.

    Args:
        chords: (start, Harte label), ``start`` in units from the start of the piece.
    """

    def __init__(self, chords: Iterable[tuple[float, str]]) -> None:
        self._starts: list[float] = []
        self._spellings: list[dict[int, int]] = []
        for start, label in chords:
            try:
                symbol = read_chord_symbol(label)
            except ScoreError:
                symbol = None
            self._starts.append(start)
            self._spellings.append({} if symbol is None else symbol.spelling)

    def place(self, pitch_class: int, start: float, key: KeySignature | None) -> int:
        """Return the position on the line of fifths of a note that begins at ``start``."""
        chord = bisect_right(self._starts, start + 0.5) - 1
        place = self._spellings[chord].get(pitch_class) if chord >= 0 else None
        if place is not None and MIN_PLACE <= place <= MAX_PLACE:
            return place
        return spell(pitch_class, None if key is None else key.fifths, "major" if key is None else key.mode)


class BarAccidentals:
    """Spelling of pitches in a bar, and which signs have to be printed: what the signature or an earlier note of the
    bar says is not said again. Both voices of a staff share the signs, in the order of time."""

    def __init__(self, speller: Speller, key: KeySignature | None, bar: WrittenBar, voice: int) -> None:
        self._speller, self._key = speller, key
        self._signs: dict[tuple[int, int], int] = {}
        events = [(e.onset, number, e) for number, voices in enumerate(bar.voices, 1) for e in voices]
        state: dict[tuple[str, int], int] = {}
        for onset, number, event in sorted(events, key=lambda e: (e[0], e[1])):
            for note in event.notes:
                step, alteration, octave = self.spelled(note)
                there = state.get((step, octave), self._in_signature(step))
                if note.tied_from and onset == 0:  # the tie carries the sign over the bar line
                    continue
                state[step, octave] = alteration
                if alteration != there and number == voice:
                    self._signs[onset, note.pitch] = alteration

    def _in_signature(self, step: str) -> int:
        fifths = 0 if self._key is None else self._key.fifths or 0
        place = "FCGDAEB".index(step)
        if fifths >= 0:
            return 1 if place < fifths else 0
        return -1 if place >= 7 + fifths else 0

    def spelled(self, note: WrittenNote) -> tuple[str, int, int]:
        """Return (step, alteration, octave) of a note."""
        step, alteration = step_and_alteration(self._speller.place(note.pitch % 12, note.start, self._key))
        return step, alteration, max(0, (note.pitch - alteration) // 12 - 1)  # MusicXML ends at C0

    def sign(self, note: WrittenNote, onset: int) -> int | None:
        """Return the alteration to print before a note, or None."""
        return self._signs.get((onset, note.pitch))


__all__ = ["BarAccidentals", "Speller"]
