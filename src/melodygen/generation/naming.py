"""Keys and chords are named as they were asked for: the net knows pitch classes and 20 qualities only."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace

from melodygen.music.chord_symbol import read_chord_symbol
from melodygen.music.harmony import chord_label, parse_chord
from melodygen.music.score import Score
from melodygen.request import Request


def named_as_asked(score: Score, request: Request) -> Score:
    """A new piece with the key's signature and the chord symbols of the request, where they say the same.

    A key of ``Gb`` stays Gb and its chords are spelled in it; a chord asked for as ``C7#9`` keeps its label, although
    the net wrote ``C:7``. A piece that was given keeps its own names.
    """
    if request.given is not None:
        return score
    keys = score.key_signatures
    if request.key is not None and keys and (keys[0].tonic, keys[0].mode) == tuple(request.key):
        keys = (replace(keys[0], fifths=request.key_fifths), *keys[1:])
    fifths, mode = (keys[0].fifths, keys[0].mode) if keys else (None, "major")
    starts = score.bar_ticks(max([score.end_tick, *(c.tick + 1 for c in score.chords)]))
    named = []
    for chord in score.chords:
        parsed = parse_chord(chord.label)
        label = "N" if parsed is None else chord_label(*parsed, fifths, mode)
        bar = bisect_right(starts, chord.tick) - 1
        if request.chords:
            asked = request.chords[bar % len(request.chords)]
            label = next((a for a in asked if parse_chord(a) == parsed), label)
        named.append(replace(chord, label=label))
    return replace(score, key_signatures=keys, chords=tuple(named))


def chord_notes(request: Request) -> list[str]:
    """What is said of chords that the net has no quality for: ``C:7(#9) is written as C:7``, each once."""
    said = []
    for label in dict.fromkeys(label for bar in request.chords or () for label in bar):
        symbol = read_chord_symbol(label)
        if symbol is not None and not symbol.is_exact:
            plain = replace(symbol, added=(), omitted=(), bass="").label
            said.append(f"chord {label} is played as {plain}, the nearest of the chords the model knows")
    return said


__all__ = ["chord_notes", "named_as_asked"]
