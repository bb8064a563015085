"""Score -> MusicXML 4.0, for notation programs and for players.

One part a track, chord symbols and tempo marks over the first pitched part, a piano on two staves where its notes need
them, drums on a percussion staff with an instrument for each key, so that they come back when the file is read. Notes
are laid out by ``melodygen.music.engraving``; pitches are spelled for the key. The same score gives the same bytes:
no date is written.

Source: MusicXML 4.0, W3C Community Group, https://www.w3.org/2021/06/musicxml40/.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from melodygen.atomic import atomic_path
from melodygen.errors import ScoreError
from melodygen.io.musicxml_harmony import harmony_element
from melodygen.io.text import printable
from melodygen.music.accidentals import BarAccidentals, Speller
from melodygen.music.beats import UNITS_PER_QUARTER
from melodygen.music.engraving import Event, PlayedNote, WrittenBar, WrittenNote, engrave
from melodygen.music.form import SECTION_NAME
from melodygen.music.harmony import label_in_key
from melodygen.music.key import key_of
from melodygen.music.score import Chord, KeySignature, Score, TimeSignature, Track
from melodygen.music.staff import Clef, choose_clef, drum_place, needs_two_staves

SPLIT_PITCH = 60
_DOCTYPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
    '"http://www.musicxml.org/dtds/partwise.dtd">\n'
)
_ACCIDENTALS = {-2: "flat-flat", -1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp"}


def write_musicxml(path: str | Path, score: Score, overwrite: bool = False) -> None:
    """Write uncompressed MusicXML, whole or not at all.

    Raises ScoreError for a score without notes, OutputExistsError for a file that is there.
    """
    data = musicxml_bytes(score)
    with atomic_path(Path(path), overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def musicxml_bytes(score: Score) -> bytes:
    """The file as bytes, the same for the same score."""
    if not score.num_notes:
        raise ScoreError("a score without notes cannot be engraved")
    tracks = [track for track in score.tracks if len(track)]
    root = Element("score-partwise", version="4.0")
    _text(SubElement(root, "work"), "work-title", printable(score.title) or "Untitled")
    identification = SubElement(root, "identification")
    _text(identification, "creator", "melodygen", type="composer")
    _text(SubElement(identification, "encoding"), "software", "melodygen")
    part_list = SubElement(root, "part-list")
    symbols = next((t for t in tracks if not t.is_drum), tracks[0])
    layout = layout_of(score)
    channels = iter(c for _ in range(len(tracks)) for c in (*range(1, 10), *range(11, 17)))
    for number, track in enumerate(tracks, 1):
        _score_part(part_list, f"P{number}", track, 10 if track.is_drum else next(channels))
    for number, track in enumerate(tracks, 1):
        root.append(Part(score, track, f"P{number}", layout, with_symbols=track is symbols).element())
    indent(root, " ")
    return (_DOCTYPE + tostring(root, encoding="unicode") + "\n").encode("utf-8")


def _text(parent: Element, tag: str, value: object, **attributes: str) -> Element:
    child = SubElement(parent, tag, attributes)
    child.text = str(value)
    return child


@dataclass(frozen=True)
class Layout:
    """Bars of all parts: onset ticks (the closing line included), lengths in units, meter and key of each."""

    ticks: tuple[int, ...]
    lengths: tuple[int, ...]
    meters: tuple[TimeSignature, ...]
    keys: tuple[KeySignature | None, ...]
    starts: tuple[int, ...]
    scale: float
    chords: tuple[Chord, ...]
    speller: Speller

    def units(self, tick: int) -> float:
        """Return a tick in units from the start of the piece, through bars whose length had to be rounded."""
        return _units(tick, self.ticks, self.starts, self.scale)


def _units(tick: int, ticks: Sequence[int], starts: Sequence[int], scale: float) -> float:
    bar = min(bisect_right(ticks, tick) - 1, len(ticks) - 1)
    return starts[bar] + (tick - ticks[bar]) * scale


def layout_of(score: Score) -> Layout:
    """The bars of a score with their meters and keys; where no key is said, the one that is heard."""
    ticks = score.bar_ticks()
    scale = UNITS_PER_QUARTER / score.ticks_per_quarter
    lengths = tuple(max(3, round((b - a) * scale / 3) * 3) for a, b in pairwise(ticks))
    meters = tuple(score.time_signature_at(tick) for tick in ticks[:-1])
    signatures = score.key_signatures
    if not signatures and (heard := key_of(score)) is not None:
        signatures = (heard,)  # without one, every other note would need an accidental
    keys: list[KeySignature | None] = []
    for tick in ticks[:-1]:
        said = [k for k in signatures if k.tick <= tick]
        keys.append(said[-1] if said else None)
    starts = tuple(accumulate(lengths, initial=0))
    chords = []
    for chord in score.chords:
        key = keys[min(bisect_right(ticks, chord.tick) - 1, len(keys) - 1)] if keys else None
        label = chord.label if key is None else label_in_key(chord.label, key.fifths, key.mode)
        chords.append(replace(chord, label=label))
    speller = Speller((_units(c.tick, ticks, starts, scale), c.label) for c in chords)
    return Layout(tuple(ticks), lengths, meters, tuple(keys), starts, scale, tuple(chords), speller)


def _score_part(part_list: Element, identity: str, track: Track, channel: int) -> None:
    name = printable(track.name) or track.role
    part = SubElement(part_list, "score-part", id=identity)
    _text(part, "part-name", name)
    if not track.is_drum:
        _text(SubElement(part, "score-instrument", id=f"{identity}-I1"), "instrument-name", name)
        midi = SubElement(part, "midi-instrument", id=f"{identity}-I1")
        _text(midi, "midi-channel", channel)
        _text(midi, "midi-program", track.program + 1)
        return
    pitches = sorted({note.pitch for note in track})
    for pitch in pitches:
        instrument = SubElement(part, "score-instrument", id=f"{identity}-I{pitch + 1}")
        _text(instrument, "instrument-name", drum_place(pitch).name)
    for pitch in pitches:
        midi = SubElement(part, "midi-instrument", id=f"{identity}-I{pitch + 1}")
        _text(midi, "midi-channel", channel)
        _text(midi, "midi-program", track.program + 1)
        _text(midi, "midi-unpitched", pitch + 1)


class Part:
    """One ``part`` element."""

    def __init__(self, score: Score, track: Track, identity: str, layout: Layout, with_symbols: bool) -> None:
        self.score, self.track, self.identity, self.layout = score, track, identity, layout
        self.with_symbols = with_symbols
        two = needs_two_staves(track)
        sides: list[list[PlayedNote]] = [[], []]
        for note in self._played():
            sides[1 if two and note.pitch < SPLIT_PITCH else 0].append(note)
        self.clefs = [choose_clef([n.pitch for n in side], track.program, track.is_drum) for side in sides]
        if two:
            self.clefs = [Clef("G", 2), Clef("F", 4)]
        meters = [(m.numerator, m.denominator) for m in layout.meters]
        voices = 1 if track.role in ("melody", "bass") else 2
        self.staves: list[list[WrittenBar]] = [
            engrave(side, layout.lengths, meters, track.is_drum, voices) for side in sides[: 2 if two else 1]
        ]

    def _played(self) -> Iterable[PlayedNote]:
        at = self.layout.units
        for note in self.track:
            yield PlayedNote(at(note.onset_tick), at(note.offset_tick), note.pitch, note.velocity)

    def element(self) -> Element:
        """The ``part`` element with all measures."""
        part = Element("part", id=self.identity)
        for bar in range(len(self.layout.lengths)):
            measure = SubElement(part, "measure", number=str(bar + 1))
            self._attributes(measure, bar)
            marks = self._marks(bar)
            for staff, bars in enumerate(self.staves, 1):
                voices = [(n, v) for n, v in enumerate(bars[bar].voices, 1) if v]
                for place, (number, voice) in enumerate(voices or [(1, ())]):
                    if staff > 1 or place:
                        _text(SubElement(measure, "backup"), "duration", self.layout.lengths[bar])
                    self._voice(measure, bar, staff, number, voice, marks)
                    marks = []
        _text(SubElement(measure, "barline", location="right"), "bar-style", "light-heavy")
        return part

    def _attributes(self, measure: Element, bar: int) -> None:
        layout = self.layout
        new_key = bar == 0 or layout.keys[bar] != layout.keys[bar - 1]
        # a meter said again in the middle of a bar cuts that bar short: it is written, or nobody would know
        new_meter = bar == 0 or layout.meters[bar] is not layout.meters[bar - 1]
        if not (new_key or new_meter):
            return
        attributes = SubElement(measure, "attributes")
        if bar == 0:
            _text(attributes, "divisions", UNITS_PER_QUARTER)
        key = layout.keys[bar]
        if new_key and not self.track.is_drum and key is not None:
            element = SubElement(attributes, "key")
            _text(element, "fifths", key.fifths)
            _text(element, "mode", key.mode)
        if new_meter:
            time = SubElement(attributes, "time")
            _text(time, "beats", layout.meters[bar].numerator)
            _text(time, "beat-type", layout.meters[bar].denominator)
        if bar == 0:
            if len(self.staves) > 1:
                _text(attributes, "staves", len(self.staves))
            for number, clef in enumerate(self.clefs[: len(self.staves)], 1):
                element = SubElement(
                    attributes, "clef", {"number": str(number)} if len(self.staves) > 1 else {}
                )
                _text(element, "sign", clef.sign)
                if clef.line:
                    _text(element, "line", clef.line)
                if clef.octave:
                    _text(element, "clef-octave-change", clef.octave)

    def _marks(self, bar: int) -> list[tuple[int, Element]]:
        """Rehearsal and tempo marks and chord symbols of a bar with their places in units."""
        if not self.with_symbols:
            return []
        low, high = self.layout.ticks[bar], self.layout.ticks[bar + 1]
        scale = UNITS_PER_QUARTER / self.score.ticks_per_quarter
        marks = [
            (round((s.tick - low) * scale), _rehearsal(s.name))
            for s in self.score.sections
            if low <= s.tick < high
        ]
        marks += [
            (round((t.tick - low) * scale), _tempo(t.qpm)) for t in self.score.tempos if low <= t.tick < high
        ]
        for chord in self.layout.chords:
            if low <= chord.tick < high:
                element = harmony_element(chord.label)
                if element is not None:
                    at = min(round((chord.tick - low) * scale / 6) * 6, self.layout.lengths[bar] - 1)
                    marks.append((at, element))
        return sorted(marks, key=lambda m: m[0])

    def _voice(
        self,
        measure: Element,
        bar: int,
        staff: int,
        number: int,
        voice: tuple[Event, ...],
        marks: list[tuple[int, Element]],
    ) -> None:
        label = str(number + 4 * (staff - 1))
        length = self.layout.lengths[bar]
        events = voice or (Event(0, length, ""),)
        accidentals = BarAccidentals(
            self.layout.speller, self.layout.keys[bar], self.staves[staff - 1][bar], number
        )
        several = sum(map(bool, self.staves[staff - 1][bar].voices)) > 1
        waiting = list(marks)
        for event in events:
            while waiting and waiting[0][0] < event.onset + event.length:
                at, mark = waiting.pop(0)
                if at != event.onset:
                    offset = Element("offset", {"sound": "yes"} if mark.tag == "direction" else {})
                    offset.text = str(at - event.onset)
                    mark.insert(_offset_place(mark), offset)
                measure.append(mark)
            notes: Sequence[WrittenNote | None] = event.notes or (None,)
            for i, note in enumerate(notes):
                element = SubElement(measure, "note")
                self._note(element, event, note, i > 0, accidentals)
                _text(element, "voice", label)
                self._value(element, event, note, accidentals)
                if several and note is not None:
                    _text(element, "stem", "up" if number == 1 else "down")
                if note is not None and self.track.is_drum and (head := drum_place(note.pitch).head):
                    _text(element, "notehead", head)
                if len(self.staves) > 1:
                    _text(element, "staff", staff)
                if i == 0:
                    for level, word in enumerate(event.beams, 1):
                        _text(element, "beam", word, number=str(level))
                self._notations(element, event, note, i)

    def _note(
        self,
        element: Element,
        event: Event,
        note: WrittenNote | None,
        in_chord: bool,
        accidentals: BarAccidentals,
    ) -> None:
        if in_chord:
            SubElement(element, "chord")
        if note is None:
            SubElement(element, "rest", {} if event.type else {"measure": "yes"})
        elif self.track.is_drum:
            place = drum_place(note.pitch)
            unpitched = SubElement(element, "unpitched")
            _text(unpitched, "display-step", place.step)
            _text(unpitched, "display-octave", place.octave)
        else:
            step, alteration, octave = accidentals.spelled(note)
            pitch = SubElement(element, "pitch")
            _text(pitch, "step", step)
            if alteration:
                _text(pitch, "alter", alteration)
            _text(pitch, "octave", octave)
        if note is not None:
            element.set("dynamics", f"{note.velocity / 0.9:.2f}")
        _text(element, "duration", event.length)
        if note is not None:
            if note.tied_from:
                SubElement(element, "tie", type="stop")
            if note.tied_to:
                SubElement(element, "tie", type="start")
            if self.track.is_drum:
                SubElement(element, "instrument", id=f"{self.identity}-I{note.pitch + 1}")

    def _value(
        self, element: Element, event: Event, note: WrittenNote | None, accidentals: BarAccidentals
    ) -> None:
        if event.type:
            _text(element, "type", event.type)
            for _ in range(event.dots):
                SubElement(element, "dot")
        if note is not None and not self.track.is_drum:
            sign = accidentals.sign(note, event.onset)
            if sign is not None:
                _text(element, "accidental", _ACCIDENTALS[sign])
        if event.tuplet:
            modification = SubElement(element, "time-modification")
            _text(modification, "actual-notes", event.tuplet[0])
            _text(modification, "normal-notes", event.tuplet[1])

    def _notations(self, element: Element, event: Event, note: WrittenNote | None, index: int) -> None:
        tied = note is not None and (note.tied_from or note.tied_to)
        edge = event.tuplet_edge if index == 0 else ""
        if not (tied or edge):
            return
        notations = SubElement(element, "notations")
        if note is not None and note.tied_from:
            SubElement(notations, "tied", type="stop")
        if note is not None and note.tied_to:
            SubElement(notations, "tied", type="start")
        for kind in ("start", "stop") if edge == "both" else (edge,) if edge else ():
            SubElement(
                notations, "tuplet", {"type": kind, "bracket": "yes"} if kind == "start" else {"type": kind}
            )


def _rehearsal(name: str) -> Element:
    """A boxed letter or word: a section of melodygen's own forms by its letter, another by its name."""
    direction = Element("direction", placement="above")
    _text(SubElement(direction, "direction-type"), "rehearsal", printable(name.removeprefix(SECTION_NAME)))
    return direction


def _tempo(qpm: float) -> Element:
    direction = Element("direction", placement="above")
    metronome = SubElement(SubElement(direction, "direction-type"), "metronome")
    _text(metronome, "beat-unit", "quarter")
    _text(metronome, "per-minute", f"{round(qpm, 1):g}")
    SubElement(direction, "sound", tempo=f"{round(qpm, 4):g}")
    return direction


def _offset_place(mark: Element) -> int:
    """Where ``offset`` stands among the children: before ``sound``, else at the end."""
    return len(mark) - (mark.find("sound") is not None)


__all__ = ["Layout", "Part", "layout_of", "musicxml_bytes", "write_musicxml"]
