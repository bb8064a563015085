"""Where notes stand on a staff: clefs of instruments, and the places and heads of drums.

Drum names are General MIDI's; places follow Weinberg, Guidelines for Drumset Notation (PAS 1994), as notation programs
have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from melodygen.music.score import Track


@dataclass(frozen=True)
class Clef:
    """``sign`` and ``line`` as in MusicXML; ``octave`` -1 sounds an octave lower than it looks."""

    sign: str
    line: int = 0
    octave: int = 0


@dataclass(frozen=True)
class DrumPlace:
    """``step`` and ``octave`` on a staff read as if it had a treble clef; ``head`` is empty for a common one."""

    name: str
    step: str
    octave: int
    head: str = ""


DRUM_PLACES = {
    35: DrumPlace("Acoustic Bass Drum", "F", 4), 36: DrumPlace("Bass Drum 1", "F", 4),
    37: DrumPlace("Side Stick", "C", 5, "x"), 38: DrumPlace("Acoustic Snare", "C", 5),
    39: DrumPlace("Hand Clap", "B", 4, "x"), 40: DrumPlace("Electric Snare", "C", 5),
    41: DrumPlace("Low Floor Tom", "G", 4), 42: DrumPlace("Closed Hi-Hat", "G", 5, "x"),
    43: DrumPlace("High Floor Tom", "A", 4), 44: DrumPlace("Pedal Hi-Hat", "D", 4, "x"),
    45: DrumPlace("Low Tom", "B", 4), 46: DrumPlace("Open Hi-Hat", "G", 5, "circle-x"),
    47: DrumPlace("Low-Mid Tom", "D", 5), 48: DrumPlace("Hi-Mid Tom", "D", 5),
    49: DrumPlace("Crash Cymbal 1", "A", 5, "x"), 50: DrumPlace("High Tom", "E", 5),
    51: DrumPlace("Ride Cymbal 1", "F", 5, "x"), 52: DrumPlace("Chinese Cymbal", "B", 5, "x"),
    53: DrumPlace("Ride Bell", "F", 5, "diamond"), 54: DrumPlace("Tambourine", "E", 5, "x"),
    55: DrumPlace("Splash Cymbal", "B", 5, "x"), 56: DrumPlace("Cowbell", "E", 5, "triangle"),
    57: DrumPlace("Crash Cymbal 2", "A", 5, "x"), 58: DrumPlace("Vibraslap", "D", 5, "x"),
    59: DrumPlace("Ride Cymbal 2", "F", 5, "x"), 60: DrumPlace("High Bongo", "E", 5),
    61: DrumPlace("Low Bongo", "D", 5), 62: DrumPlace("Mute High Conga", "C", 5, "x"),
    63: DrumPlace("Open High Conga", "C", 5), 64: DrumPlace("Low Conga", "A", 4),
    65: DrumPlace("High Timbale", "E", 5), 66: DrumPlace("Low Timbale", "C", 5),
    67: DrumPlace("High Agogo", "G", 5, "triangle"), 68: DrumPlace("Low Agogo", "E", 5, "triangle"),
    69: DrumPlace("Cabasa", "G", 5, "x"), 70: DrumPlace("Maracas", "G", 5, "x"),
    71: DrumPlace("Short Whistle", "A", 5), 72: DrumPlace("Long Whistle", "A", 5),
    73: DrumPlace("Short Guiro", "E", 5, "x"), 74: DrumPlace("Long Guiro", "E", 5, "x"),
    75: DrumPlace("Claves", "D", 5, "x"), 76: DrumPlace("High Wood Block", "E", 5, "triangle"),
    77: DrumPlace("Low Wood Block", "C", 5, "triangle"), 78: DrumPlace("Mute Cuica", "D", 5, "x"),
    79: DrumPlace("Open Cuica", "D", 5), 80: DrumPlace("Mute Triangle", "A", 5, "x"),
    81: DrumPlace("Open Triangle", "A", 5, "triangle"),
}  # fmt: skip


def drum_place(pitch: int) -> DrumPlace:
    """Of a General MIDI percussion key; keys beyond its table stand on the middle line."""
    return DRUM_PLACES.get(pitch, DrumPlace(f"Percussion {pitch}", "B", 4))


_PITCHES_OF_PLACES: dict[tuple[str, int, str], int] = {}
for _pitch, _place in DRUM_PLACES.items():
    if _pitch not in (35, 40, 57, 59):  # the second of two that look alike
        _PITCHES_OF_PLACES.setdefault((_place.step, _place.octave, _place.head), _pitch)


def pitch_of_place(step: str, octave: int, head: str = "") -> int:
    """The percussion key that stands at a place, for sheets that do not name their drums; a snare where none does."""
    plain = "" if head in ("normal", "none") else head
    for key in ((step, octave, plain), (step, octave, "x"), (step, octave, "")):
        if key in _PITCHES_OF_PLACES:
            return _PITCHES_OF_PLACES[key]
    return 38


_GUITARS, _BASSES, _KEYBOARDS = range(24, 32), (*range(32, 40), 43), (*range(0, 9), *range(16, 24), 46)


def choose_clef(pitches: Sequence[int], program: int, is_drum: bool) -> Clef:
    """The clef in which most of the notes stand within the staff. Basses and guitars read an octave higher than they
    sound, as their players do; the clef says so, and pitches stay as they sound."""
    if is_drum:
        return Clef("percussion")
    middle = median(pitches) if pitches else 67
    if program in _GUITARS and 45 <= middle < 70:
        return Clef("G", 2, -1)
    if program in _BASSES and middle < 47:
        return Clef("F", 4, -1)
    return Clef("G", 2) if middle >= 59 else Clef("F", 4)


def needs_two_staves(track: Track) -> bool:
    """Whether a keyboard's notes lie on both sides of middle C; a single line stays on one staff."""
    keyboard = track.program in _KEYBOARDS
    if track.is_drum or len(track) < 2 or not keyboard or track.role in ("melody", "bass"):
        return False
    twentieths: list[float] = quantiles(track.notes["pitch"].tolist(), n=20)
    return twentieths[0] < 55 and twentieths[-1] > 64


__all__ = [
    "DRUM_PLACES",
    "Clef",
    "DrumPlace",
    "choose_clef",
    "drum_place",
    "needs_two_staves",
    "pitch_of_place",
]
