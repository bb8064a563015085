"""Score -> ABC, for the notation view of the page and for whoever sings from it.

Notes are laid out as for MusicXML (``melodygen.music.engraving``): a voice of ABC for each voice of each staff, beams
and triplets as they were engraved, chord symbols over the first pitched part. The unit length is a sixteenth.

Source: the ABC standard 2.1, https://abcnotation.com/wiki/abc:standard:v2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from melodygen.errors import ScoreError
from melodygen.io.musicxml import Layout, Part, layout_of
from melodygen.music.accidentals import BarAccidentals
from melodygen.music.engraving import Event, WrittenNote
from melodygen.music.key import key_name
from melodygen.music.score import KeySignature, Score, Track
from melodygen.music.staff import Clef, drum_place

SIXTEENTH = 12
"""In units of the engraving."""
BARS_A_LINE = 4
_SIGNS = {-2: "__", -1: "_", 0: "=", 1: "^", 2: "^^"}
_SHORT = (
    (":maj7", "maj7"), (":maj9", "maj9"), (":maj6", "6"), (":maj", ""), (":min", "m"), (":hdim7", "m7b5"),
    (":dim", "dim"), (":aug", "+"), (":", ""),
)  # fmt: skip


def abc_text(score: Score) -> str:
    """One tune, the same for the same score. Raises ScoreError for a score without notes."""
    if not score.num_notes:
        raise ScoreError("a score without notes cannot be engraved")
    tracks = [track for track in score.tracks if len(track)]
    layout = layout_of(score)
    symbols = next((t for t in tracks if not t.is_drum), tracks[0])
    parts = [Part(score, track, f"P{n}", layout, track is symbols) for n, track in enumerate(tracks, 1)]
    first = layout.meters[0]
    lines = [
        "%abc-2.1",
        "X:1",
        f"T:{_plain(score.title) or 'Untitled'}",
        f"M:{first}",
        "L:1/16",
        f"Q:1/4={round(score.qpm)}",
    ]
    voices: list[str] = []
    groups: list[str] = []
    for number, (track, part) in enumerate(zip(tracks, parts, strict=True), 1):
        staves = []
        for staff, clef in zip(range(len(part.staves)), part.clefs, strict=False):
            names = [f"{number}{'ab'[staff]}{voice}" for voice in _voices_of(part, staff)]
            staves.append(f"({' '.join(names)})" if len(names) > 1 else names[0])
            for voice, name in zip(_voices_of(part, staff), names, strict=True):
                label = (
                    f' name="{_plain(track.name) or track.role}"' if not staff and name == names[0] else ""
                )
                voices.append(f"V:{name} clef={_clef(clef)}{label}")
                voices += _music(layout, part, track, staff, voice)
        groups.append(f"{{{' | '.join(staves)}}}" if len(staves) > 1 else staves[0])
    lines += [f"%%score {' '.join(groups)}", f"K:{_key(layout.keys[0])}", *voices]
    return "\n".join(lines) + "\n"


def _voices_of(part: Part, staff: int) -> list[int]:
    """Numbers from 1 of the voices that have a note somewhere; the first in any case."""
    there = range(1, len(part.staves[staff][0].voices) + 1)
    used = [n for n in there if any(any(e.notes for e in bar.voices[n - 1]) for bar in part.staves[staff])]
    return used or [1]


def _music(layout: Layout, part: Part, track: Track, staff: int, voice: int) -> list[str]:
    """The lines of one voice."""
    bars = []
    for number, bar in enumerate(part.staves[staff]):
        events = bar.voices[voice - 1] if voice <= len(bar.voices) else ()
        symbols = _symbols(layout, number) if part.with_symbols and not staff and voice == 1 else []
        written = _Bar(layout, number, track, BarAccidentals(layout.speller, layout.keys[number], bar, voice))
        text = written.text(events or (Event(0, bar.length, ""),), symbols, "z" if voice == 1 else "x")
        bars.append(_changes(layout, number) + text)
    rows = [bars[i : i + BARS_A_LINE] for i in range(0, len(bars), BARS_A_LINE)]
    lines = [" | ".join(row) + " |" for row in rows]
    lines[-1] += "]"
    return lines


def _symbols(layout: Layout, bar: int) -> list[tuple[float, str]]:
    """(units from the start of the bar, label) of its chords."""
    low, high = layout.ticks[bar], layout.ticks[bar + 1]
    return [((c.tick - low) * layout.scale, c.label) for c in layout.chords if low <= c.tick < high]


class _Bar:
    """One bar of one voice. A sign holds to the end of the bar in all octaves, as the standard has it."""

    def __init__(self, layout: Layout, number: int, track: Track, accidentals: BarAccidentals) -> None:
        self._is_drum, self._accidentals = track.is_drum, accidentals
        key = layout.keys[number]
        fifths = 0 if key is None or key.fifths is None else key.fifths
        order = "FCGDAEB"
        sharp, flat = order[: max(0, fifths)], order[len(order) + min(0, fifths) :]
        self._signs = dict.fromkeys(order, 0) | dict.fromkeys(sharp, 1) | dict.fromkeys(flat, -1)

    def text(self, events: Sequence[Event], symbols: Sequence[tuple[float, str]], rest: str) -> str:
        words = []
        left = 0
        for i, event in enumerate(events):
            here = [label for at, label in symbols if event.onset <= at < event.onset + event.length]
            words += [f'"{_symbol(label)}"' for label in here[:1]]
            if event.tuplet and not left:
                inside = [e.tuplet_edge for e in events[i:]]
                left = inside.index("stop") + 1 if "stop" in inside else 1
                words.append(f"({event.tuplet[0]}:{event.tuplet[1]}:{left}")
            left = max(0, left - 1)
            words.append(self._event(event, rest))
        return "".join(words).strip()

    def _event(self, event: Event, rest: str) -> str:
        """A note, chord or rest with its length; a blank follows where no beam goes on."""
        units = Fraction(event.length, SIXTEENTH)
        if event.tuplet:
            units = units * event.tuplet[0] / event.tuplet[1]
        length = "" if units == 1 else str(units)
        if not event.notes:
            return f"{rest}{length} "
        heads = [self._note(note) for note in event.notes]
        text = heads[0] if len(heads) == 1 else f"[{''.join(heads)}]"
        goes_on = bool(event.beams) and event.beams[0] in ("begin", "continue")
        return text + length + ("-" if event.notes[0].tied_to else "") + ("" if goes_on else " ")

    def _note(self, note: WrittenNote) -> str:
        if self._is_drum:
            place = drum_place(note.pitch)
            return _pitch(place.step, place.octave)
        step, alteration, octave = self._accidentals.spelled(note)
        sign = "" if self._signs[step] == alteration else _SIGNS[alteration]
        self._signs[step] = alteration
        return sign + _pitch(step, octave)


def _changes(layout: Layout, bar: int) -> str:
    """Meter and key where they are new."""
    if not bar:
        return ""
    said = ""
    if layout.meters[bar] is not layout.meters[bar - 1]:
        said += f"[M:{layout.meters[bar]}] "
    if layout.keys[bar] != layout.keys[bar - 1]:
        said += f"[K:{_key(layout.keys[bar])}] "
    return said


def _pitch(step: str, octave: int) -> str:
    """``C`` is middle C (C4), ``c`` the octave above."""
    if octave >= 5:
        return step.lower() + "'" * (octave - 5)
    return step + "," * (4 - octave)


def _clef(clef: Clef) -> str:
    if clef.sign == "percussion":
        return "perc"
    name = "bass" if clef.sign == "F" else "treble"
    return f"{name}-8" if clef.octave < 0 else name


def _key(key: KeySignature | None) -> str:
    if key is None:
        return "C"
    return key_name((key.tonic, key.mode), key.fifths).replace(" major", "").replace(" minor", "m")


def _symbol(label: str) -> str:
    """``Bb:min7`` as ``Bbm7``."""
    for harte, short in _SHORT:
        if harte in label:
            return _plain(label.replace(harte, short, 1))
    return _plain(label)


def _plain(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c not in '"%[]').strip()


__all__ = ["abc_text"]
