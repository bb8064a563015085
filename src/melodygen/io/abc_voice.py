"""One voice of an ABC tune: its bars as they are written, then as they are played.

Time is in whole notes (Fraction) inside a bar.
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from melodygen.errors import ScoreError
from melodygen.io.repeats import Marks, new_ones, playing_order
from melodygen.music.chord_symbol import read_chord_symbol
from melodygen.music.spelling import NATURALS, position_of

MAX_NOTES = 500_000
_MODES = {
    "maj": 0,
    "ion": 0,
    "mix": -1,
    "dor": -2,
    "min": -3,
    "m": -3,
    "aeo": -3,
    "phr": -4,
    "loc": -5,
    "lyd": 1,
    "": 0,
}
_LENGTH = r"(\d*)(/*)(\d*)"
_NOTE = re.compile(r"(\^\^|\^|__|_|=)?([A-Ga-g])([',]*)" + _LENGTH)
_REST = re.compile(r"[zx]" + _LENGTH)
_BARS_REST = re.compile(r"[ZX](\d*)")
_BAR = re.compile(r"\[\||:*\|[|\]]*:*|::+")
_ENDING = re.compile(r"\s*\[(\d[\d,-]*)|(\d[\d,-]*)(?=[^/]|$)")
_TUPLET = re.compile(r"\((\d+)(?::(\d*))?(?::(\d*))?")
_INLINE = re.compile(r"\[([A-Za-z]):([^\]]*)\]")
_SKIPPED = re.compile(r"![^!\s][^!]*!|\+[^+\s]+\+|\{[^}]*\}|[().~HLMOPSTuvy`\\*$\s]|\d+|/")
_REPEAT_ENDING = re.compile(r"\[(\d[\d,-]*)")
_LENGTHS = re.compile(_LENGTH)


@dataclass
class BarOf:
    """Notes are (at, duration, pitch, tied to the next); symbols (at, label)."""

    notes: list[tuple[Fraction, Fraction, int, bool]] = field(default_factory=list)
    chords: list[tuple[Fraction, str]] = field(default_factory=list)
    meters: list[tuple[Fraction, tuple[int, int]]] = field(default_factory=list)
    keys: list[tuple[Fraction, tuple[int, str, int]]] = field(default_factory=list)
    tempos: list[tuple[Fraction, float]] = field(default_factory=list)
    length: Fraction = Fraction(0)
    marks: Marks = field(default_factory=Marks)

    @property
    def is_empty(self) -> bool:
        """Whether the bar has no length and no marks."""
        return self.length == 0 and not (self.meters or self.keys or self.tempos or self.marks.ending)


class Changes(NamedTuple):
    """(tick, value) each; a key is (tonic, mode, fifths), a tempo in quarters a minute."""

    meters: list[tuple[int, tuple[int, int]]]
    keys: list[tuple[int, tuple[int, str, int]]]
    tempos: list[tuple[int, float]]


class Voice:
    """Reads music text bit by bit; ``close`` ends the last bar."""

    def __init__(self, identity: str) -> None:
        self.name = identity
        self.program, self.is_drum, self.velocity = 0, False, 80
        self.transposition = 0
        self.meter: tuple[int, int] | None = (4, 4)
        self.unit: Fraction | None = None
        self.key_signs: dict[str, int] = {}
        self.bars: list[BarOf] = []
        self.bar = BarOf()
        self.at = Fraction(0)
        self.signs: dict[str, int] = {}
        self.ties: dict[tuple[str, int], int] = {}
        self.broken = Fraction(1)
        self.tuplet: tuple[Fraction, int] = (Fraction(1), 0)
        self.last: list[int] = []
        self.last_duration = Fraction(0)
        self.num_notes = self.num_graces = 0
        self.unread: list[str] = []

    def copy(self, identity: str) -> Voice:
        """A voice that begins with the fields of this one."""
        new = deepcopy(self)
        new.name = identity
        return new

    def midi(self, words: list[str]) -> None:
        """Take the words of a ``%%MIDI`` line; what it says of other things is passed over."""
        numbers = [int(w) for w in words[1:] if w.lstrip("-").isdigit()]
        if words[:1] == ["program"] and numbers and 0 <= numbers[-1] <= 127:
            self.program = numbers[-1]
        elif words[:1] == ["channel"] and numbers:
            self.is_drum = numbers[0] == 10
        elif words[:1] == ["transpose"] and numbers:
            self.transposition = numbers[0]

    def set_field(self, letter: str, value: str) -> None:
        """Take a field of the header or of a line, as in ``M:6/8``."""
        if letter == "M":
            meter = _meter(value)
            self.meter = meter
            if meter is not None:
                self.bar.meters.append((self.at, meter))
        elif letter == "L":
            match = re.match(r"(\d{1,3})(?:/(\d{1,3}))?", value)
            if match and int(match[1]) and int(match[2] or 1):
                self.unit = Fraction(int(match[1]), int(match[2] or 1))
        elif letter == "Q":
            qpm = _tempo(value, self._unit())
            if qpm is not None:
                self.bar.tempos.append((self.at, qpm))
        elif letter == "K":
            self._set_key(value)
            self.signs = {}

    def _set_key(self, value: str) -> None:
        read_fields_of_voice(self, value)
        match = re.match(r"([A-G])([#b]?)\s*([A-Za-z]*)", value)
        words = value.split()
        signs: dict[str, int] = {}
        if value[:2].lower() == "hp":
            signs = {"F": 1, "C": 1} if value.startswith("Hp") else {}
        elif match:
            mode = match[3].lower()
            mode = "" if mode in ("exp", "clef") else ("m" if mode == "m" else mode[:3])
            if mode not in _MODES:
                mode = ""
            fifths = position_of(match[1], {"#": 1, "b": -1}.get(match[2], 0)) + _MODES[mode]
            if -7 <= fifths <= 7:
                order = "FCGDAEB"
                signs = dict.fromkeys(order[:fifths], 1) if fifths > 0 else dict.fromkeys(order[fifths:], -1)
                if fifths == 0:
                    signs = {}
                minor = mode in ("min", "m", "aeo", "dor", "phr", "loc")
                # a mode has no signature of its own in a Score: the major or minor key of its signs
                tonic = ((fifths + 3) if minor else fifths) * 7 % 12
                self.bar.keys.append((self.at, (tonic, "minor" if minor else "major", fifths)))
        for sign, letter in re.findall(r"(?:^|\s)(\^{1,2}|_{1,2}|=)([A-Ga-g])", value):
            signs[letter.upper()] = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}[sign]
        if match or signs or words[:1] == ["none"]:
            self.key_signs = signs

    def _unit(self) -> Fraction:
        if self.unit is not None:
            return self.unit
        short = self.meter is not None and Fraction(*self.meter) < Fraction(3, 4)
        return Fraction(1, 16) if short else Fraction(1, 8)

    def read(self, text: str) -> None:
        """Music code. Signs that mean nothing in ABC are passed over."""
        position = 0
        while position < len(text):
            position = self._token(text, position)
            if self.num_notes > MAX_NOTES:
                raise ScoreError(f"more than {MAX_NOTES} notes in a voice")

    def _token(self, text: str, at: int) -> int:
        sign = text[at]
        if sign == '"':
            end = text.find('"', at + 1)
            self._chord_symbol(text[at + 1 : end if end > 0 else len(text)])
            return end + 1 if end > 0 else len(text)
        if match := _INLINE.match(text, at):
            if match[1] in "KMLQ":
                self.set_field(match[1], match[2].strip())
            return match.end()
        if match := _BAR.match(text, at):
            return self._bar_line(match[0], text, match.end())
        if sign == "[" and (match := _REPEAT_ENDING.match(text, at)):
            self._next_bar()
            self.bar.marks.ending = _numbers(match[1])
            return match.end()
        if sign == "[":
            end = text.find("]", at)
            return self._chord(text, at, end) if end > 0 else at + 1
        if match := _TUPLET.match(text, at):
            self._tuplet(match)
            return match.end()
        if match := _NOTE.match(text, at):
            duration = self._duration(match[4], match[5], match[6])
            tied = text[match.end() : match.end() + 1] == "-"
            self._notes([self._pitch(match, tied)], duration, tied)
            return match.end() + tied
        if match := _REST.match(text, at):
            self._notes([], self._duration(*match.groups()), False)
            return match.end()
        if match := _BARS_REST.match(text, at):
            for i in range(min(int(match[1] or 1), 1000)):
                if i:
                    self._next_bar()
                self.at += Fraction(*(self.meter or (4, 4)))
            return match.end()
        if sign in "<>":
            return self._broken(text, at)
        if sign == "&":
            self.bar.length = max(self.bar.length, self.at)
            self.at, self.signs = Fraction(0), {}
            return at + 1
        match = _SKIPPED.match(text, at)
        if match is None:
            self.unread.append(sign)
            return at + 1
        self.num_graces += len(_NOTE.findall(match[0])) if sign == "{" else 0
        return match.end()

    def _chord_symbol(self, text: str) -> None:
        if text[:1] in "^_<>@" and text:
            return
        try:
            symbol = read_chord_symbol(
                text.split("(", maxsplit=1)[0] if text.count("(") != text.count(")") else text
            )
        except ScoreError:
            return  # words over the staff
        self.bar.chords.append((self.at, "N" if symbol is None else symbol.label))

    def _duration(self, top: str, slashes: str, bottom: str) -> Fraction:
        factor = Fraction(min(int(top or 1), 10_000))
        if slashes:
            factor /= min(int(bottom), 10_000) or 1 if bottom else 2 ** min(len(slashes), 10)
        return factor * self._unit()

    def _pitch(self, match: re.Match[str], tied: bool) -> int:
        sign, letter, octaves = match[1], match[2], match[3]
        octave = (5 if letter.islower() else 4) + octaves.count("'") - octaves.count(",")
        place = (letter.upper(), octave)
        if sign is not None:
            alteration = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}[sign]
            self.signs[letter.upper()] = alteration
        elif place in self.ties:
            alteration = self.ties[place]
        else:
            alteration = self.signs.get(letter.upper(), self.key_signs.get(letter.upper(), 0))
        self.ties.pop(place, None)
        if tied:
            self.ties[place] = alteration
        return 12 * (octave + 1) + NATURALS[letter.upper()] + alteration

    def _chord(self, text: str, at: int, end: int) -> int:
        pitches, factor = [], Fraction(1)
        inner = text[at + 1 : end]
        after = _LENGTHS.match(text, end + 1)
        assert after is not None
        tied = text[after.end() : after.end() + 1] == "-" or "-" in inner
        for i, match in enumerate(_NOTE.finditer(inner)):
            pitches.append(self._pitch(match, tied))
            if i == 0:
                factor = self._duration(match[4], match[5], match[6]) / self._unit()
        self._notes(pitches, factor * self._duration(*after.groups()), tied)
        return after.end() + (text[after.end() : after.end() + 1] == "-")

    def _notes(self, pitches: list[int], duration: Fraction, tied: bool) -> None:
        factor, left = self.tuplet
        if left:
            duration *= factor
            self.tuplet = (factor, left - 1)
        duration *= self.broken
        self.broken = Fraction(1)
        self.last = list(range(len(self.bar.notes), len(self.bar.notes) + len(pitches)))
        self.last_duration = duration
        self.bar.notes += [(self.at, duration, pitch, tied) for pitch in pitches]
        self.num_notes += len(pitches)
        self.at += duration

    def _broken(self, text: str, at: int) -> int:
        end = at
        while end < len(text) and text[end] == text[at]:
            end += 1
        small = Fraction(1, 2 ** min(end - at, 4))
        first, self.broken = (2 - small, small) if text[at] == ">" else (small, 2 - small)
        for i in self.last:
            onset, duration, pitch, tied = self.bar.notes[i]
            self.bar.notes[i] = (onset, duration * first, pitch, tied)
        self.at += self.last_duration * (first - 1)
        return end

    def _tuplet(self, match: re.Match[str]) -> None:
        p = int(match[1])
        compound = self.meter is not None and self.meter[1] >= 8 and self.meter[0] % 3 == 0
        usual = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}.get(p, 3 if compound else 2)
        q = int(match[2]) if match[2] else usual
        if p and q:
            self.tuplet = (Fraction(q, p), int(match[3]) if match[3] else p)

    def _bar_line(self, line: str, text: str, at: int) -> int:
        colons_before = len(line) - len(line.lstrip(":"))
        colons_after = len(line) - len(line.rstrip(":"))
        if set(line) == {":"}:
            colons_before = colons_after = 1
        self.bar.marks.ends_section = (
            self.bar.marks.ends_section or line.count("|") > 1 or "]" in line or "[" in line
        )
        if colons_before:
            self.bar.marks.times = colons_before + 1
        self._next_bar()
        if colons_after:
            self.bar.marks.starts = True
        match = _ENDING.match(text, at)
        if match:
            self.bar.marks.ending = _numbers(match[1] or match[2])
            return match.end()
        return at

    def _next_bar(self) -> None:
        self.bar.length = max(self.bar.length, self.at)
        if self.bar.is_empty and self.bar.marks.times == 1:
            self.bar.marks.ends_section = False
        elif self.bar.length == 0 and self.bars and not self.bar.notes:
            previous = self.bars[-1]  # a line between bars: what it says belongs to the bar before it
            previous.marks.times = max(previous.marks.times, self.bar.marks.times)
            self.bar.marks.times = 1
        else:
            self.bars.append(self.bar)
            self.bar = BarOf()
        self.at, self.signs = Fraction(0), {}
        self.last, self.last_duration = [], Fraction(0)  # a broken rhythm does not reach over a bar line

    def close(self) -> None:
        """The music has ended: what stands after the last bar line is a bar."""
        if self.at > 0 or self.bar.notes:
            self._next_bar()

    def pickup(self) -> Fraction:
        """By how much a short first bar must move to end where a whole one would, in whole notes."""
        bars = self.bars
        whole = Fraction(*next((meter for bar in bars[:1] for _, meter in bar.meters), (4, 4)))
        return whole - bars[0].length if len(bars) > 1 and 0 < bars[0].length < whole else Fraction(0)

    def order(self) -> list[BarOf]:
        """Bars as they are played."""
        return [self.bars[i] for i in playing_order([bar.marks for bar in self.bars])]

    def played(
        self, shift: Fraction, ticks: int
    ) -> tuple[list[tuple[int, int, int, int]], list[tuple[int, str]]]:
        """Rows of notes, ties joined, and chord symbols with their ticks."""
        rows: list[list[int]] = []
        chords: list[tuple[int, str]] = []
        open_ties: dict[int, int] = {}
        start = shift
        whole = 4 * ticks
        for bar in self.order():
            for at, duration, written, tied in bar.notes:
                pitch = written + self.transposition
                onset, end = round((start + at) * whole), round((start + at + duration) * whole)
                if not 0 <= pitch <= 127 or end <= onset:
                    continue
                before = open_ties.pop(pitch, None)
                if before is not None and sum(rows[before][:2]) == onset:
                    rows[before][1] += end - onset
                else:
                    rows.append([onset, end - onset, pitch, self.velocity])
                    before = len(rows) - 1
                if tied:
                    open_ties[pitch] = before
            chords += [(round((start + at) * whole), label) for at, label in bar.chords]
            start += bar.length
            if len(rows) > MAX_NOTES:
                raise ScoreError(f"more than {MAX_NOTES} notes with all repeats")
        return [(r[0], r[1], r[2], r[3]) for r in rows], chords

    def changes(self, shift: Fraction, ticks: int) -> Changes:
        """Meters, keys and tempos as they come in playing."""
        found = Changes([], [], [])
        start = Fraction(0)

        def tick(at: Fraction) -> int:
            there = round((start + at) * 4 * ticks)
            return there + round(shift * 4 * ticks) if there else 0

        for bar in self.order():
            found.meters.extend((tick(at), meter) for at, meter in bar.meters)
            found.keys.extend((tick(at), key) for at, key in bar.keys)
            found.tempos.extend((tick(at), qpm) for at, qpm in bar.tempos)
            start += bar.length
        return Changes(new_ones(dict(found.meters)), new_ones(dict(found.keys)), new_ones(dict(found.tempos)))


def read_fields_of_voice(voice: Voice, text: str) -> None:
    """``name="Flute"``, ``clef=bass``, ``octave=-1``, ``transpose=-2`` of a V: or K: field."""
    name = re.search(r'\b(?:name|nm)="([^"]*)"', text)
    if name:
        voice.name = name[1]
    shift = 0
    for word, value in re.findall(r"\b(octave|transpose|score|sound)=(-?\d{1,3})", text):
        shift += int(value) * (12 if word == "octave" else 1 if word == "transpose" else 0)
    clef = re.search(r"(?:clef=)?\b\"?(?:treble|bass|alto|tenor)\d?([+-]8)", text)
    if clef:
        shift += 12 if clef[1] == "+8" else -12
    if shift or "octave=" in text or "transpose=" in text:
        voice.transposition = shift
    if re.search(r"clef=perc|\bperc\b", text):
        voice.is_drum = True


def _numbers(text: str) -> frozenset[int]:
    """``1,3-5`` -> {1, 3, 4, 5}."""
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        if low.isdigit():
            found.update(range(int(low[:3]), int(high[:3] if high.isdigit() else low[:3]) + 1))
    return frozenset(found)


def _meter(text: str) -> tuple[int, int] | None:
    if text.strip() in ("C|", "c|"):
        return 2, 2
    if text.strip() in ("C", "c"):
        return 4, 4
    match = re.match(r"\(?\s*(\d{1,2}(?:\s*\+\s*\d{1,2})*)\s*\)?\s*/\s*(\d{1,2})", text)
    if not match:
        return None
    top, bottom = sum(int(n) for n in match[1].split("+")), int(match[2])
    return (top, bottom) if 1 <= top <= 64 and bottom in (1, 2, 4, 8, 16, 32) else None


def _tempo(text: str, unit: Fraction) -> float | None:
    plain = re.sub(r'"[^"]*"', "", text)
    match = re.search(r"((?:\d{1,3}/\d{1,3}\s*)+)=\s*(\d{1,4}(?:\.\d+)?)", plain)
    if match:
        beat = sum(
            (Fraction(int(a), int(b)) for a, b in re.findall(r"(\d+)/(\d+)", match[1]) if int(b)), Fraction(0)
        )
        qpm = float(match[2]) * float(beat) * 4
    elif bare := re.fullmatch(r"\s*(?:C\d*\s*=\s*)?(\d{1,4})\s*", plain):
        qpm = float(bare[1]) * float(unit) * 4
    else:
        return None
    return qpm if 4.0 <= qpm <= 1000.0 else None


__all__ = ["BarOf", "Voice", "read_fields_of_voice"]
