"""MusicXML -> Score: what a player of the sheet would sound.

Repeats, endings and jumps are played out, with the tempo marks in them; transposing instruments sound as they do;
unpitched drums become the General MIDI keys that the file names, else those of their places on the staff; ties are
joined; grace and cue notes, which have no time of their own, are left out. The staves of a part are one track. A pickup
bar is moved to the end of a whole bar, so that bar lines are where the reader sees them.

Source: MusicXML 4.0, https://www.w3.org/2021/06/musicxml40/. Time is in quarters (Fraction) from the start of a bar.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from io import BytesIO
from xml.etree.ElementTree import Element, ParseError, fromstring

from melodygen.errors import MidiReadError, ScoreError
from melodygen.io.musicxml_harmony import harmony_label
from melodygen.io.repeats import Marks, merged_marks, new_ones, playing_order
from melodygen.io.text import printable
from melodygen.music.form import SECTION_NAME
from melodygen.music.instruments import program_of_name
from melodygen.music.score import (
    Chord,
    KeySignature,
    Score,
    Section,
    Tempo,
    TimeSignature,
    Track,
    note_array,
)
from melodygen.music.spelling import NATURALS
from melodygen.music.staff import pitch_of_place

TICKS = 480
MAX_XML_BYTES = 128 * 2**20
MAX_NOTES = 500_000
DEFAULT_VELOCITY = 80
_DYNAMICS = {
    "pppp": 10, "ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80, "f": 96, "ff": 112, "fff": 126, "ffff": 127,
    "sf": 112, "sfz": 112, "fz": 112, "fp": 96, "sfp": 96, "rf": 112, "rfz": 112,
}  # fmt: skip
_BEAT_UNITS = {
    "long": 16.0, "breve": 8.0, "whole": 4.0, "half": 2.0, "quarter": 1.0, "eighth": 0.5, "16th": 0.25, "32nd": 0.125,
}  # fmt: skip


@dataclass
class _Note:
    at: Fraction
    duration: Fraction
    pitch: int
    velocity: int
    voice: str
    tied: bool


@dataclass
class _Measure:
    notes: list[_Note] = field(default_factory=list)
    chords: list[tuple[Fraction, str]] = field(default_factory=list)
    sections: list[tuple[Fraction, str]] = field(default_factory=list)
    tempos: list[tuple[Fraction, float]] = field(default_factory=list)
    meter: tuple[int, int] | None = None
    keys: list[tuple[int, str]] = field(default_factory=list)
    length: Fraction = Fraction(0)
    marks: Marks = field(default_factory=Marks)


def musicxml_root(data: bytes, name: str) -> Element:
    """The root of a plain or compressed (.mxl) file. Raises MidiReadError with the reason."""
    if data[:2] == b"PK":
        data = _unpacked(data, name)
    try:
        root = fromstring(data)
    except (ParseError, ValueError, LookupError) as error:
        raise MidiReadError(f"{name}: the XML is broken: {error}") from error
    if root.tag not in ("score-partwise", "score-timewise"):
        raise MidiReadError(f"{name}: not MusicXML (its outermost element is {root.tag[:40]!r})")
    return root


def _unpacked(data: bytes, name: str) -> bytes:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            inside = archive.namelist()
            listed = [n for n in inside if n == "META-INF/container.xml"]
            target = None
            if listed and archive.getinfo(listed[0]).file_size < 2**20:
                files = fromstring(archive.read(listed[0])).iter("{*}rootfile")
                target = next((f.get("full-path") for f in files), None)
            if target not in inside:
                target = next(
                    (n for n in inside if n.endswith((".xml", ".musicxml")) and "META-INF" not in n), None
                )
            if target is None:
                raise MidiReadError(f"{name}: no MusicXML in the archive")
            if archive.getinfo(target).file_size > MAX_XML_BYTES:
                raise MidiReadError(f"{name}: unpacks to more than the limit of {MAX_XML_BYTES // 2**20} MiB")
            return archive.read(target)
    except (zipfile.BadZipFile, ParseError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise MidiReadError(f"{name}: the archive is broken: {error}") from error


def read_musicxml(data: bytes, name: str, title: str, warnings: list[str] | None = None) -> Score:
    """The Score of a file; ``title`` where it has none. What was left out or guessed is added to ``warnings``.

    Raises MidiReadError or ScoreError with the reason.
    """
    root = musicxml_root(data, name)
    listed = {part.get("id", ""): part for part in root.iter("score-part")}
    parts = []
    for identity, measures in _measures_of(root):
        parts.append(_PartReader(identity, listed.get(identity)).read(measures))
    parts = [part for part in parts if part.measures]
    if warnings is not None:
        warnings += _remarks(parts)
    if not parts:
        raise ScoreError("no part with a measure")
    marks, lengths = _together(parts)
    order = playing_order(marks)
    shift = _pickup(parts, lengths)
    tracks = tuple(
        Track(note_array(part.rows(order, lengths, shift)), part.program, part.is_drum, "other", part.name)
        for part in parts
    )
    named = root.findtext("work/work-title") or root.findtext("movement-title") or ""
    changes = _changes(parts, order, lengths, shift)
    return replace(changes, tracks=tracks, title=printable(named) or title)


def _remarks(parts: Sequence[_PartReader]) -> list[str]:
    """What of the notes was left out or guessed, in words."""
    unread, graces, guessed = (sum(part.counts[i] for part in parts) for i in range(3))
    said = [f"{unread} notes without a pitch or length that can be read are left out"] if unread else []
    if graces:
        said.append(f"{graces} grace and cue notes, which have no time of their own, are left out")
    if guessed:
        said.append(f"{guessed} notes have no duration; they last as long as their note value")
    return said


def _measures_of(root: Element) -> list[tuple[str, list[Element]]]:
    if root.tag == "score-partwise":
        return [(part.get("id", ""), part.findall("measure")) for part in root.findall("part")]
    parts: dict[str, list[Element]] = {}
    for measure in root.findall("measure"):
        for part in measure.findall("part"):
            part.attrib.update(measure.attrib)
            parts.setdefault(part.get("id", ""), []).append(part)
    return list(parts.items())


class _PartReader:
    """Measures of one part, as written."""

    def __init__(self, identity: str, listed: Element | None) -> None:
        self.name = (listed.findtext("part-name") if listed is not None else "") or identity
        self.name = printable(self.name)
        self.keys_of: dict[str, int] = {}
        programs, channels = [], []
        for midi in listed.findall("midi-instrument") if listed is not None else ():
            programs.append(_integer(midi.findtext("midi-program")))
            channels.append(_integer(midi.findtext("midi-channel")))
            unpitched = _integer(midi.findtext("midi-unpitched"))
            if unpitched is not None and 1 <= unpitched <= 128:
                self.keys_of[midi.get("id", "")] = unpitched - 1
        said = [p - 1 for p in programs if p is not None and 1 <= p <= 128]
        self.program = said[0] if said else program_of_name(self.name) or 0
        self.is_drum = bool(channels) and all(c == 10 for c in channels)
        self.measures: list[_Measure] = []
        self.divisions = Fraction(1)
        self.transpositions: dict[str, int] = {}
        self.velocity = DEFAULT_VELOCITY
        self.ending_open = False
        self.num_unread = self.num_graces = self.num_guessed = 0

    @property
    def counts(self) -> tuple[int, int, int]:
        """Notes that could not be read, grace and cue notes, notes whose length was guessed."""
        return self.num_unread, self.num_graces, self.num_guessed

    def read(self, measures: Sequence[Element]) -> _PartReader:
        for element in measures:
            self.measures.append(self._measure(element))
        return self

    def _measure(self, element: Element) -> _Measure:
        measure = _Measure()
        self.at = self.last = Fraction(0)
        for child in element:
            if child.tag == "note":
                self._note(child, measure)
            elif child.tag in ("backup", "forward"):
                step = self._duration(child)
                self.at = max(Fraction(0), self.at - step) if child.tag == "backup" else self.at + step
            elif child.tag == "attributes":
                self._attributes(child, measure)
            elif child.tag == "direction":
                self._direction(child, measure)
            elif child.tag == "sound":
                self._sound(child, measure, self.at)
            elif child.tag == "harmony":
                label = harmony_label(child, self.transpositions.get("", 0))
                at = max(Fraction(0), self.at + self._offset(child))
                if label is not None:
                    measure.chords.append((at, label))
            elif child.tag == "barline":
                _barline(child, measure.marks)
                self.ending_open = self.ending_open or bool(measure.marks.ending)
                if measure.marks.ending_stops:
                    if not self.ending_open and measure.marks.times > 1:  # nobody said where it starts
                        measure.marks.ending = frozenset({1})
                    self.ending_open = False
            measure.length = max(measure.length, self.at)
        return measure

    def _duration(self, element: Element) -> Fraction:
        return _number(element.findtext("duration")) / self.divisions

    def _offset(self, element: Element) -> Fraction:
        return _number(element.findtext("offset"), signed=True) / self.divisions

    def _note(self, element: Element, measure: _Measure) -> None:
        if element.find("grace") is not None:
            self.num_graces += 1
            return
        duration = self._duration(element)
        if duration <= 0 and (written := _written_length(element)) > 0:
            duration = written
            self.num_guessed += 1
        onset = self.last if element.find("chord") is not None else self.at
        if element.find("chord") is None:
            self.last = self.at
            self.at += duration
        if element.find("rest") is not None:
            return
        if element.find("cue") is not None:
            self.num_graces += 1
            return
        pitch = self._pitch(element)
        if pitch is None or duration <= 0 or not 0 <= pitch <= 127:
            self.num_unread += 1
            return
        ties = {tie.get("type") for path in ("tie", "notations/tied") for tie in element.findall(path)}
        voice = (element.findtext("voice") or "").strip()
        said = element.get("dynamics")
        velocity = self.velocity if said is None else round(float(_number(said)) * 0.9)
        measure.notes.append(
            _Note(onset, duration, pitch, min(127, max(1, velocity)), voice, "start" in ties)
        )

    def _pitch(self, element: Element) -> int | None:
        pitch = element.find("pitch")
        if pitch is not None:
            step = (pitch.findtext("step") or "").strip()
            octave = _integer(pitch.findtext("octave"))
            if step not in NATURALS or octave is None:
                return None
            alteration = round(float(_number(pitch.findtext("alter"), signed=True)))
            staff = (element.findtext("staff") or "").strip()
            moved = self.transpositions.get(staff, self.transpositions.get("", 0))
            return 12 * (octave + 1) + NATURALS[step] + alteration + (0 if self.is_drum else moved)
        unpitched = element.find("unpitched")
        if unpitched is None:
            return None
        self.is_drum = True
        instrument = element.find("instrument")
        known = self.keys_of.get(instrument.get("id", "")) if instrument is not None else None
        if known is not None:
            return known
        if len(self.keys_of) == 1:
            return next(iter(self.keys_of.values()))
        return pitch_of_place(
            (unpitched.findtext("display-step") or "").strip(),
            _integer(unpitched.findtext("display-octave")) or 0,
            (element.findtext("notehead") or "").strip(),
        )

    def _attributes(self, element: Element, measure: _Measure) -> None:
        divisions = _number(element.findtext("divisions"))
        if divisions > 0:
            self.divisions = divisions
        for transpose in element.findall("transpose"):
            octaves = _integer(transpose.findtext("octave-change")) or 0
            chromatic = round(float(_number(transpose.findtext("chromatic"), signed=True)))
            self.transpositions[transpose.get("number", "")] = chromatic + 12 * octaves
        time = element.find("time")
        if time is not None:
            measure.meter = _meter(time) or measure.meter
        key = element.find("key")
        fifths = _integer(key.findtext("fifths")) if key is not None else None
        if key is not None and fifths is not None and -7 <= fifths <= 7:
            moved = self.transpositions.get("", 0) * 7 % 12
            concert = fifths + (moved - 12 if moved > 6 else moved)
            concert += 12 if concert < -7 else -12 if concert > 7 else 0
            measure.keys.append((concert, "minor" if (key.findtext("mode") or "") == "minor" else "major"))
        if element.findtext("clef/sign") == "percussion":
            self.is_drum = True

    def _direction(self, element: Element, measure: _Measure) -> None:
        offset = element.find("offset")
        moved = self._offset(element) if offset is not None and offset.get("sound") == "yes" else Fraction(0)
        at = max(Fraction(0), self.at + moved)
        sound = element.find("sound")
        has_tempo = sound is not None and sound.get("tempo") is not None
        if sound is not None:
            self._sound(sound, measure, at)
        metronome = element.find("direction-type/metronome")
        if metronome is not None and not has_tempo:
            unit = _BEAT_UNITS.get((metronome.findtext("beat-unit") or "").strip(), 0.0)
            unit *= 1.5 if metronome.find("beat-unit-dot") is not None else 1.0
            _add_tempo(measure, at, float(_number(metronome.findtext("per-minute"))) * unit)
        for rehearsal in element.findall("direction-type/rehearsal"):
            if text := printable(rehearsal.text or ""):
                measure.sections.append((at, text))
        for mark in element.findall("direction-type/dynamics/*"):
            self.velocity = _DYNAMICS.get(mark.tag, self.velocity)

    def _sound(self, element: Element, measure: _Measure, at: Fraction) -> None:
        if element.get("tempo") is not None:
            _add_tempo(measure, at, float(_number(element.get("tempo"))))
        marks = measure.marks
        marks.segno = element.get("segno") or marks.segno
        marks.coda = element.get("coda") or marks.coda
        marks.to_coda = element.get("tocoda") or marks.to_coda
        marks.jump = element.get("dalsegno") or ("start" if element.get("dacapo") == "yes" else marks.jump)
        marks.fine = marks.fine or element.get("fine") is not None

    def rows(
        self, order: Sequence[int], lengths: Sequence[Fraction], shift: Fraction
    ) -> list[tuple[int, int, int, int]]:
        """(onset_tick, duration_ticks, pitch, velocity), as played, tied notes joined."""
        rows: list[list[int]] = []
        open_ties: dict[tuple[int, str], list[int]] = {}  # the same pitch may stand twice in a chord
        start = shift
        for index in order:
            notes = self.measures[index].notes if index < len(self.measures) else ()
            for note in sorted(notes, key=lambda n: n.at):
                onset, end = _ticks(start + note.at), _ticks(start + note.at + note.duration)
                if end <= onset:
                    continue
                held = open_ties.get((note.pitch, note.voice), [])  # not all programs say where a tie stops
                before = next((row for row in held if rows[row][0] + rows[row][1] == onset), None)
                if before is not None:
                    held.remove(before)
                    rows[before][1] += end - onset
                else:
                    rows.append([onset, end - onset, note.pitch, note.velocity])
                    before = len(rows) - 1
                if note.tied:
                    open_ties.setdefault((note.pitch, note.voice), []).append(before)
            start += lengths[index]
            if len(rows) > MAX_NOTES:
                raise ScoreError(f"more than {MAX_NOTES} notes with all repeats")
        return [(r[0], r[1], r[2], r[3]) for r in rows]


def _together(parts: Sequence[_PartReader]) -> tuple[list[Marks], list[Fraction]]:
    """Marks and lengths of the measures, of all parts together: some programs write repeats into one part only."""
    count = max(len(part.measures) for part in parts)
    marks, lengths = [], []
    meter = (4, 4)
    for i in range(count):
        there = [part.measures[i] for part in parts if i < len(part.measures)]
        meter = next((m.meter for m in there if m.meter is not None), meter)
        nominal = Fraction(4 * meter[0], meter[1])
        # one part in many may be overfull or cut short by mistake: the length that most have is the bar's
        said = Counter(m.length for m in there if m.length)
        lengths.append(
            max(said, key=lambda length: (said[length], length == nominal, length)) if said else nominal
        )
        marks.append(merged_marks([m.marks for m in there]))
    return marks, lengths


def _pickup(parts: Sequence[_PartReader], lengths: Sequence[Fraction]) -> Fraction:
    """By how much a short first bar must move to end where a whole one would. Where a new meter follows at once it is
    no pickup, but a bar that was cut short."""
    if any(p.measures[1].meter is not None for p in parts if len(p.measures) > 1):
        return Fraction(0)
    meter = next((p.measures[0].meter for p in parts if p.measures[0].meter is not None), (4, 4))
    whole = Fraction(4 * meter[0], meter[1])
    return whole - lengths[0] if len(lengths) > 1 and 0 < lengths[0] < whole else Fraction(0)


def _changes(
    parts: Sequence[_PartReader], order: Sequence[int], lengths: Sequence[Fraction], shift: Fraction
) -> Score:
    """Without tracks: what is in force from a tick on, and what is named there, as often as its bar is played.

    A rehearsal mark of one letter gets the name of melodygen's own sections: a MIDI file's marker would be a chord.
    """
    tempos: dict[int, float] = {}
    meters: dict[int, tuple[int, int]] = {}
    keys: dict[int, tuple[int, str]] = {}
    chords: dict[int, str] = {}
    sections: dict[int, str] = {}
    pitched = [p for p in parts if not p.is_drum] or list(parts)
    start = Fraction(0)
    for index in order:
        base = start + shift if start else start  # what is said at the start holds from the start
        for part in parts:
            measure = part.measures[index] if index < len(part.measures) else _Measure()
            if measure.meter is not None:
                meters.setdefault(_ticks(base), measure.meter)
            for at, qpm in measure.tempos:
                tempos[_ticks(base + at) if at or start else 0] = qpm
            if part is pitched[0] and measure.keys:
                keys[_ticks(base)] = measure.keys[-1]
            for at, label in measure.chords:
                chords.setdefault(_ticks(start + shift + at), label)
            for at, text in measure.sections:
                name = SECTION_NAME + text if len(text) == 1 and text.isalpha() else text
                sections.setdefault(_ticks(start + shift + at), name)
        start += lengths[index]
    return Score(
        (),
        tuple(Tempo(tick, qpm) for tick, qpm in new_ones(tempos)),
        tuple(TimeSignature(tick, *meter) for tick, meter in new_ones(meters)),
        tuple(
            KeySignature(tick, (fifths + (3 if mode == "minor" else 0)) * 7 % 12, mode, fifths)
            for tick, (fifths, mode) in new_ones(keys)
        ),
        tuple(Chord(tick, label) for tick, label in sorted(chords.items())),
        TICKS,
        sections=tuple(Section(tick, name) for tick, name in sorted(sections.items())),
    )


def _barline(element: Element, marks: Marks) -> None:
    repeat = element.find("repeat")
    if repeat is not None and repeat.get("direction") == "forward":
        marks.starts = True
    elif repeat is not None and repeat.get("direction") == "backward":
        marks.times = min(max(2, _integer(repeat.get("times")) or 2), 100)
    ending = element.find("ending")
    if ending is not None and ending.get("type") == "start":
        numbers = [int(n[:3]) for n in re.findall(r"\d+", ending.get("number") or "")]
        marks.ending = frozenset(numbers)
    elif ending is not None:
        marks.ending_stops = True
    if element.findtext("bar-style") in ("light-heavy", "light-light", "heavy-heavy"):
        marks.ends_section = marks.ends_section or element.get("location") != "left"


def _meter(time: Element) -> tuple[int, int] | None:
    numerators, kinds = time.findall("beats"), {_integer(b.text) for b in time.findall("beat-type")}
    if len(kinds) != 1:
        return None
    try:
        top = sum(int(n) for beats in numerators for n in (beats.text or "").split("+"))
    except ValueError:
        return None
    bottom = kinds.pop()
    return (top, bottom) if bottom in (1, 2, 4, 8, 16, 32, 64) and bottom and 1 <= top <= 64 else None


def _add_tempo(measure: _Measure, at: Fraction, qpm: float) -> None:
    if 4.0 <= qpm <= 1000.0:
        measure.tempos.append((at, qpm))


def _ticks(quarters: Fraction) -> int:
    return round(quarters * TICKS)


def _written_length(element: Element) -> Fraction:
    """Quarters of a note's value and dots; 0 where it has none."""
    length = Fraction(_BEAT_UNITS.get((element.findtext("type") or "").strip(), 0.0))
    return length * (2 - Fraction(1, 2 ** min(4, len(element.findall("dot")))))


def _number(text: str | None, signed: bool = False) -> Fraction:
    """A number that may be missing or broken: then 0."""
    try:
        value = Fraction((text or "0").strip()[:24])
    except (ValueError, ZeroDivisionError):
        return Fraction(0)
    return value if signed or value >= 0 else Fraction(0)


def _integer(text: str | None) -> int | None:
    plain = (text or "").strip()
    return int(plain) if plain.lstrip("+-").isdigit() and len(plain) < 10 else None


__all__ = ["read_musicxml"]
