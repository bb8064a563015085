"""Score -> MusicXML, for notation programs.

Written with music21: one part a track, chord symbols over the first pitched part, drums on a percussion staff. What
sounds together and lasts equally long is one chord; lines that overlap become voices. Every part has every bar.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from melodygen.atomic import atomic_path
from melodygen.errors import ScoreError
from melodygen.music.harmony import parse_chord
from melodygen.music.score import Score, Track

_CHORD_KINDS = {
    "maj": "", "min": "m", "7": "7", "min7": "m7", "maj7": "maj7", "dim": "dim", "dim7": "dim7", "hdim7": "m7b5",
    "aug": "+", "aug7": "7+", "sus2": "sus2", "sus4": "sus4", "7sus4": "7sus4", "maj6": "6", "min6": "m6", "9": "9",
    "maj9": "maj9", "min9": "m9", "minmaj7": "mM7", "13": "13",
}  # fmt: skip
_ROOTS = ("C", "D-", "D", "E-", "E", "F", "G-", "G", "A-", "A", "B-", "B")
# where General MIDI drums stand on a percussion staff
_STAFF = {
    36: "F4",
    38: "C5",
    37: "C5",
    42: "G5",
    44: "D4",
    46: "G5",
    49: "A5",
    51: "F5",
    41: "A4",
    45: "D5",
    50: "E5",
}


def write_musicxml(path: str | Path, score: Score, overwrite: bool = False) -> None:
    """Write uncompressed MusicXML, whole or not at all.

    Raises ScoreError for a score without notes, OutputExistsError for a file that is there.
    """
    m21 = _music21()
    if not score.num_notes:
        raise ScoreError("a score without notes cannot be engraved")
    sheet = m21.stream.Score()
    sheet.metadata = m21.metadata.Metadata(title=score.title or "untitled", composer="melodygen")
    symbols = next((t for t in score.tracks if not t.is_drum and len(t)), None)
    for track in score.tracks:
        if len(track):
            sheet.append(_part(score, track, with_chords=track is symbols))
    data = m21.musicxml.m21ToXml.GeneralObjectExporter(sheet).parse()
    with atomic_path(Path(path), overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def _music21() -> Any:
    """music21, half of whose functions have no types, imported when a sheet is written: it is slow to load."""
    import music21

    return music21


def _part(score: Score, track: Track, with_chords: bool) -> Any:
    m21 = _music21()
    instrument, note = m21.instrument, m21.note
    part = m21.stream.Part(id=track.name or track.role)
    part.partName = track.name or track.role
    if track.is_drum:
        part.insert(0, instrument.UnpitchedPercussion())
        part.insert(0, m21.clef.PercussionClef())
    else:
        try:
            part.insert(0, instrument.instrumentFromMidiProgram(track.program))
        except Exception:  # music21 knows no class for some programs; the name is enough
            part.insert(0, instrument.Instrument(part.partName))

    def quarters(ticks: int) -> Fraction:
        return Fraction(round(Fraction(ticks * 12, score.ticks_per_quarter)), 12)

    end = quarters(score.bar_ticks()[-1])
    for signature in score.time_signatures:
        part.insert(quarters(signature.tick), m21.meter.TimeSignature(str(signature)))
    for sign in score.key_signatures:
        tonic = _ROOTS[sign.tonic]
        part.insert(quarters(sign.tick), m21.key.Key(tonic if sign.mode == "major" else tonic.lower()))
    if with_chords:
        for change in score.tempos:
            part.insert(quarters(change.tick), m21.tempo.MetronomeMark(number=round(change.qpm, 1)))
        for change_of in score.chords:
            parsed = _parsed(change_of.label)
            if parsed is not None and quarters(change_of.tick) < end:
                figure = _ROOTS[parsed[0]] + _CHORD_KINDS[parsed[1]]
                part.insert(quarters(change_of.tick), m21.harmony.ChordSymbol(figure))
    groups: dict[tuple[int, int], list[int]] = {}
    velocities: dict[tuple[int, int], int] = {}
    for single in track:
        at = (single.onset_tick, 1 if track.is_drum else single.duration_ticks)
        groups.setdefault(at, []).append(single.pitch)
        velocities[at] = single.velocity
    step = quarters(score.ticks_per_quarter // 4) if track.is_drum else Fraction(0)
    for (onset, duration), pitches in groups.items():
        length = step if track.is_drum else max(Fraction(1, 12), quarters(duration))
        element: Any
        if track.is_drum:
            places = sorted({_STAFF.get(p, "E4") for p in pitches})
            hits = [note.Unpitched(displayName=place) for place in places]
            element = hits[0] if len(hits) == 1 else m21.percussion.PercussionChord(hits)
            element.duration.quarterLength = length
        elif len(pitches) == 1:
            element = note.Note(pitches[0], quarterLength=length)
        else:
            element = m21.chord.Chord(sorted(pitches), quarterLength=length)
        element.volume.velocity = velocities[onset, duration]
        part.insert(quarters(onset), element)
    last = part.highestTime
    if last < end:
        part.insert(last, note.Rest(quarterLength=end - last))
    return part.makeNotation()


def _parsed(label: str) -> tuple[int, str] | None:
    try:
        return parse_chord(label)
    except ScoreError:
        return None  # a symbol that nobody can read is left out
