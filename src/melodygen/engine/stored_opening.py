"""Openings that are stored: a phrase of each built-in style that is there at once, while the models still load.

They were written by the shipped generator (``scripts/write_openings.py``). What is written afterwards goes on from the
stored phrase as from any other. Where a request asks for something that no stored phrase has, there is none.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

from melodygen.engine.phrase import Phrase
from melodygen.errors import ScoreError
from melodygen.io.midi import read_midi
from melodygen.music.score import KeySignature, Score, Tempo
from melodygen.request import Request

FOLDER = files("melodygen.engine") / "openings"
PER_STYLE = 2
USUAL = ("density", "temperature", "top_p", "syncopation", "note_length", "leap", "leap_share")
"""Controls with which a phrase would have been written otherwise."""


def stored_opening(request: Request, seed: int) -> Phrase | None:
    """Return a stored phrase that is what ``request`` asks for, in its key, or None where none is.

    Args:
        request: style, meter, tracks, key, tempo and controls of the phrase; its length is that of the stored one.
        seed: chooses among the phrases; the same seed the same phrase.
    """
    if any(getattr(request, name) is not None for name in USUAL):
        return None
    found = [_fitting(request, (seed + turn) % PER_STYLE + 1) for turn in range(PER_STYLE)]
    score = next((score for score in found if score is not None), None)
    if score is None:
        return None
    bars = len(score.bar_ticks()) - 1
    return Phrase(score, replace(request, bars=bars, goes_on=True), seed, is_stored=True)


def _fitting(request: Request, number: int) -> Score | None:
    """Stored phrase ``number`` of the style with the tracks that are asked for, in the key; None if it is another."""
    file = FOLDER / f"{request.style}-{number}.mid"
    if not file.is_file():
        return None
    score = read_midi(file.name, file.read_bytes())
    meter = score.time_signatures[0]
    if (meter.numerator, meter.denominator) != request.meter or not score.key_signatures:
        return None
    tracks = tuple(track for track in score.tracks if track.role in request.tracks)
    if {track.role for track in tracks} != set(request.tracks):
        return None
    score = replace(score, tracks=tracks, tempos=(Tempo(0, request.qpm or score.qpm),))
    return score if request.key is None else _in_key(score, score.key_signatures[0], request.key)


def _in_key(score: Score, own: KeySignature, key: tuple[int, str]) -> Score | None:
    """The phrase in a key of the same mode, moved the shorter way; None in the other mode."""
    if key[1] != own.mode:
        return None
    try:
        return score.transposed((key[0] - own.tonic + 6) % 12 - 6)
    except ScoreError:  # out of the range of MIDI
        return None


__all__ = ["FOLDER", "PER_STYLE", "stored_opening"]
