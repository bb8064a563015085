"""Chord symbols as people write them: ``Cm7(b5)``, ``F♯ø``, ``C-Δ7``, ``A7b13``, ``Bb:min7/b3``, ``N.C.``.

A symbol is normalised first (typographic signs, brackets, commas), then taken apart from left to right: root, kind,
number, then alterations. What is left over at the end is an error: nothing is dropped. The model knows 20 qualities
(``QUALITIES``); any other chord is mapped to the one that shares most of its tones, the third and the seventh
counting most, and the symbol keeps what was added to it or left out as Harte writes it: ``C:7(b9)``, ``C:maj(*3)``.

Source of the label syntax: Harte et al. 2005, with ``aug7`` added. ``/`` and a bass are read and kept in the label.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from melodygen.errors import ScoreError
from melodygen.music.spelling import name_of, pitch_class_of, position_of

QUALITIES: dict[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "min7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
    "dim": (0, 3, 6),
    "dim7": (0, 3, 6, 9),
    "hdim7": (0, 3, 6, 10),
    "aug": (0, 4, 8),
    "aug7": (0, 4, 8, 10),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "7sus4": (0, 5, 7, 10),
    "maj6": (0, 4, 7, 9),
    "min6": (0, 3, 7, 9),
    "9": (0, 4, 7, 10, 2),
    "maj9": (0, 4, 7, 11, 2),
    "min9": (0, 3, 7, 10, 2),
    "minmaj7": (0, 3, 7, 11),
    "13": (0, 4, 7, 10, 9),
}
"""Quality -> semitones above the root. The order is the order of the tokens."""

_TONES: dict[str, dict[str, int]] = {
    "maj": {"3": 4, "5": 7},
    "min": {"b3": 3, "5": 7},
    "7": {"3": 4, "5": 7, "b7": 10},
    "min7": {"b3": 3, "5": 7, "b7": 10},
    "maj7": {"3": 4, "5": 7, "7": 11},
    "dim": {"b3": 3, "b5": 6},
    "dim7": {"b3": 3, "b5": 6, "bb7": 9},
    "hdim7": {"b3": 3, "b5": 6, "b7": 10},
    "aug": {"3": 4, "#5": 8},
    "aug7": {"3": 4, "#5": 8, "b7": 10},
    "sus2": {"2": 2, "5": 7},
    "sus4": {"4": 5, "5": 7},
    "7sus4": {"4": 5, "5": 7, "b7": 10},
    "maj6": {"3": 4, "5": 7, "6": 9},
    "min6": {"b3": 3, "5": 7, "6": 9},
    "9": {"3": 4, "5": 7, "b7": 10, "9": 2},
    "maj9": {"3": 4, "5": 7, "7": 11, "9": 2},
    "min9": {"b3": 3, "5": 7, "b7": 10, "9": 2},
    "minmaj7": {"b3": 3, "5": 7, "7": 11},
    "13": {"3": 4, "5": 7, "b7": 10, "13": 9},
}
"""The tones of each quality by scale degree, the root aside."""

DEGREE_SEMITONES = {"1": 0, "2": 2, "3": 4, "4": 5, "5": 7, "6": 9, "7": 11, "9": 2, "11": 5, "13": 9}
_WEIGHT = {"3": 5.0, "2": 4.0, "4": 4.0, "7": 3.0, "6": 2.0, "5": 2.0, "9": 1.0, "11": 1.0, "13": 1.0}

_SIGNS = str.maketrans({
    "♭": "b", "♯": "#", "♮": None, "𝄫": "bb", "𝄪": "##", "△": "Δ", "∆": "Δ", "Ø": "ø", "⌀": "ø", "∅": "ø",
    "º": "o", "°": "o", "˚": "o", "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "＋": "+", "∕": "/", "⁄": "/",
    "⁶": "6", "⁷": "7", "⁹": "9", "²": "2", "⁴": "4", "⁵": "5", "[": "(", "]": ")", "{": "(", "}": ")",
})  # fmt: skip
_NONE = frozenset(("n", "nc", "n.c.", "n.c", "x", "nochord"))
_ROOT = re.compile(r"([A-G])([#b]{0,2})(?![#b]):?")
_BASS = re.compile(r"^(.*)/([A-G][#b]{0,2}|[#b]{0,2}\d{1,2})$")
_KIND = re.compile(
    r"(?P<minmaj>(?:minor|min|mi|m|-)(?:major|maj|ma|M|Δ|\^|j)(?=7|9|1[13]|$|[^a-z]))"
    r"|(?P<hdim>ø|hdim|half-?dim(?:inished)?)|(?P<dim>dim(?:inished)?|o(?!mit))"
    r"|(?P<maj>major|maj|ma(?![du])|M|Δ|\^|j)|(?P<min>minor|min|mi|m|-(?!5))"
    r"|(?P<aug>augmented|aug|\+(?!1[13]))|(?P<dom>dominant|dom)"
)
_NUMBER = re.compile(r"6/9|69|1[13]|[1245679]")
_WORDS = re.compile(
    r"major|minor|dominant|diminished|augmented|altered|maj|min|dim|dom|aug|sus|add|alt|omit|no|ma|mi",
    re.IGNORECASE,
)
_MORE = re.compile(
    r"(?P<sus>sus(?P<susdegrees>24|42|2|4|9)?)"
    r"|(?P<add>(?:add|/)(?P<addsign>[#b+-]{0,2})(?P<adddegree>1[13]|[2345679]))"
    r"|(?P<omit>(?:no|omit|\*)(?P<omitdegree>[#b]{0,2}(?:1[13]|[1-79])))"
    r"|(?P<alter>(?P<sign>bb|##|[#b+-])(?P<degree>1[13]|[234567]|9))"
    r"|(?P<maj7>(?:major|maj|ma|M|Δ|\^)7?)|(?P<alt>alt(?:ered)?)|(?P<sharp5>\+|aug)|(?P<flat5>dim5)"
)
_WAY_OUT = "write it like Cm7, F#m7b5, Bb7(b9), Csus4 or, as Harte does, C:min7; N is no chord"


@dataclass(frozen=True)
class ChordSymbol:
    """``root``: position on the line of fifths. ``added`` and ``omitted``: scale degrees that the chord has beyond its
    quality, or lacks. ``bass``: a note name or a degree after ``/``, as it was written."""

    root: int
    quality: str
    added: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    bass: str = ""

    @property
    def root_pitch_class(self) -> int:
        """Pitch class of the root, 0-11."""
        return pitch_class_of(self.root)

    @property
    def is_exact(self) -> bool:
        """Whether the quality says all of it; the bass is not part of the quality."""
        return not (self.added or self.omitted)

    @cached_property
    def spelling(self) -> dict[int, int]:
        """Pitch class -> position on the line of fifths of the chord's tones: the third of E:7 is G#, in any key."""
        degrees = ["1", *_TONES[self.quality], *self.added]
        places = [self.root + fifths_of_degree(d) for d in degrees if d not in self.omitted]
        return {pitch_class_of(place): place for place in places}

    @cached_property
    def label(self) -> str:
        """In Harte's syntax: ``F#:7(b9)/A#``."""
        changes = [f"*{degree}" for degree in self.omitted] + list(self.added)
        extra = f"({','.join(changes)})" if changes else ""
        return f"{name_of(self.root)}:{self.quality}{extra}" + (f"/{self.bass}" if self.bass else "")


_FIFTHS_OF_DEGREES = {"1": 0, "2": 2, "3": 4, "4": -1, "5": 1, "6": 3, "7": 5, "9": 2, "11": -1, "13": 3}


def fifths_of_degree(degree: str) -> int:
    """Return where a degree stands from the root on the line of fifths: ``3`` -> 4, ``b7`` -> -2."""
    number = degree.lstrip("#b")
    return _FIFTHS_OF_DEGREES[number] + 7 * (degree.count("#") - degree.count("b"))


def semitones_of(degree: str) -> int:
    """Pitch class above the root of a degree: ``b9`` -> 1, ``#11`` -> 6, ``bb7`` -> 9."""
    number = degree.lstrip("#b")
    return (DEGREE_SEMITONES[number] + degree.count("#") - degree.count("b")) % 12


def read_chord_symbol(text: str) -> ChordSymbol | None:
    """A chord symbol, or None for "no chord" (``N``, ``N.C.``, ``X``).

    Raises ScoreError that names the part that was not understood.
    """
    plain = re.sub(r"\s+", "", text.translate(_SIGNS))
    if plain.lower() in _NONE:
        return None
    match = _ROOT.match(plain)
    if not match:
        german = "the German H is B; " if plain[:1] in ("H", "h") else ""
        raise ScoreError(f"chord {text!r} has no root A-G; {german}{_WAY_OUT}")
    root = position_of(match[1], match[2].count("#") - match[2].count("b"))
    body, bass = plain[match.end() :], ""
    with_bass = _BASS.match(body)
    if with_bass and not (with_bass[2] == "9" and with_bass[1].endswith("6")):
        body, bass = with_bass[1], with_bass[2]
        if bass[-1].isdigit() and bass.lstrip("#b") not in DEGREE_SEMITONES:
            raise ScoreError(
                f"chord {text!r}: the bass {bass!r} is neither a note nor a degree 1-13; {_WAY_OUT}"
            )
    if re.fullmatch(r"\(1(,[#b]{0,2}(1[13]|[2-79]))*\)", body):  # Harte's list of all degrees
        tones = tuple(body[1:-1].split(",")[1:])
    else:
        tones = _Tones(_without_brackets(body, text), text).read()
    return _nearest(root, tones, bass)


def _without_brackets(body: str, text: str) -> str:
    """``m7(b5)`` -> ``m7b5``, ``maj(9)`` -> ``majadd9``: a bare number in brackets is a tone that is added."""

    def opened(match: re.Match[str]) -> str:
        parts = [part for part in match[1].split(",") if part]
        return "".join(f"add{p}" if p.isdigit() else p for p in parts)

    flat = re.sub(r"\(([^()]*)\)", opened, body)
    if "(" in flat or ")" in flat:
        raise ScoreError(f"chord {text!r}: a bracket has no partner; {_WAY_OUT}")
    return flat.replace(",", "")


class _Tones:
    """Degrees of a chord from the part of a symbol after its root."""

    def __init__(self, body: str, text: str) -> None:
        # words mean the same in capitals; a single M or m does not
        self.rest = _WORDS.sub(lambda match: match[0].lower(), body)
        self.text = text
        self.third, self.fifth, self.seventh = "3", "5", ""
        self.more: list[str] = []

    def read(self) -> tuple[str, ...]:
        kind_match = _KIND.match(self.rest)
        kind = (kind_match.lastgroup or "") if kind_match else ""
        word = kind_match[0] if kind_match else ""
        self.rest = self.rest[len(word) :]
        number_match = _NUMBER.match(self.rest)
        number = number_match[0] if number_match else ""
        if number in ("1", "5") and kind:  # C5 is a chord, Cm5 is not
            number = ""
        self.rest = self.rest[len(number) :]
        self._kind(kind, word, number)
        while self.rest:
            match = _MORE.match(self.rest)
            if not match:
                raise ScoreError(f"chord {self.text!r}: {self.rest!r} is not understood; {_WAY_OUT}")
            self._more(match)
            self.rest = self.rest[match.end() :]
        tones = [t for t in (self.third, self.fifth, self.seventh) if t]
        sixth = {"6": "13"} if self.seventh else {"13": "6"}
        return tuple(dict.fromkeys([*tones, *(sixth.get(degree, degree) for degree in self.more)]))

    def _kind(self, kind: str, word: str, number: str) -> None:
        if kind in ("min", "minmaj", "hdim", "dim"):
            self.third = "b3"
        if kind in ("hdim", "dim"):
            self.fifth = "b5"
        if kind == "aug":
            self.fifth = "#5"
        flat7 = {"dim": "bb7", "maj": "7", "minmaj": "7"}.get(kind, "b7")
        if kind in ("hdim", "minmaj", "dom") or (kind == "maj" and word in ("Δ", "^", "j") and not number):
            self.seventh = flat7
        if number in ("7", "9", "11", "13"):
            self.seventh = flat7
        if number in ("9", "11", "13"):
            self.more.append("9")
        if number == "11":
            self.more.append("11")
            if kind in ("", "dom"):  # the third is left out under a natural eleventh
                self.third = ""
                self.more[:] = ["9", "4"]
        if number == "13":
            self.more.append("13")
            if kind in ("", "dom"):  # the model's 13 has no ninth, nor has a player's of necessity
                self.more.remove("9")
        if number in ("6", "6/9", "69"):
            self.more.append("6")
        if number in ("6/9", "69", "2"):
            self.more.append("9")
        if number == "4":
            self.third, self.more = ("", ["4"]) if kind in ("", "dom") else (self.third, ["11"])
        if number == "5":
            self.third = ""
        if number == "1":
            self.third = self.fifth = ""

    def _more(self, match: re.Match[str]) -> None:
        what = match.lastgroup
        if match["sus"]:
            self.third = ""
            degrees = match["susdegrees"] or "4"
            self.more += ["4", "9"] if degrees == "9" else list(degrees)
        elif match["add"]:
            sign = match["addsign"].replace("+", "#").replace("-", "b")
            self._added(sign, match["adddegree"])
        elif match["omit"]:
            self._omitted(match["omitdegree"])
        elif match["alter"]:
            self._altered(match["sign"].replace("+", "#").replace("-", "b"), match["degree"])
        elif what == "maj7":
            self.seventh = "7"
        elif what == "alt":
            self.seventh, self.fifth = "b7", "5"
            self.more += ["b9", "#9", "b13"]
        elif what == "sharp5":
            self.fifth = "#5"
        else:
            self.fifth = "b5"

    def _added(self, sign: str, degree: str) -> None:
        suspended = degree == "4" and not self.third
        name = sign + (degree if suspended else {"2": "9", "4": "11"}.get(degree, degree))
        if name == "7":
            self.seventh = self.seventh or "7"
        elif name == "b7":
            self.seventh = "b7"
        elif name == "5":
            self.fifth = self.fifth or "5"
        elif name == "3":
            self.third = self.third or "3"
        elif name == "b3":
            self.third = "b3"
        elif name not in self.more:
            self.more.append(name)

    def _altered(self, sign: str, degree: str) -> None:
        name = sign + {"2": "9", "4": "11"}.get(degree, degree)
        if degree == "5":
            if self.fifth in ("b5", "#5") and self.fifth != name:
                self.more.append(name)
            else:
                self.fifth = name
        elif name == "b3":
            self.third = "b3"
        elif degree == "7":
            self.seventh = name
        elif name == "b6":
            self.more.append("b13")
        else:
            natural = name.lstrip("#b")  # C9(#9) has no natural ninth
            if natural in self.more:
                self.more.remove(natural)
            self.more.append(name)

    def _omitted(self, degree: str) -> None:
        plain = degree.lstrip("#b")
        if plain == "3":
            self.third = ""
        elif plain == "5":
            self.fifth = ""
        elif plain == "7":
            self.seventh = ""
        else:
            self.more = [m for m in self.more if m.lstrip("#b") != plain]


def _nearest(root: int, tones: tuple[str, ...], bass: str) -> ChordSymbol:
    there = {semitones_of(t): t for t in reversed(tones)}
    has_third = not there.keys().isdisjoint((2, 3, 4, 5))

    def cost(quality: str) -> float:
        own = {s: d for d, s in _TONES[quality].items()}
        missed = sum(_WEIGHT[d.lstrip("#b")] for s, d in there.items() if s not in own)
        foreign = sum(_WEIGHT[d.lstrip("#b")] * 1.01 for s, d in own.items() if s not in there)
        return missed + foreign

    # a chord without a third or a suspension (C5) is a major chord that lacks it
    quality = (
        min(QUALITIES, key=cost) if has_third else min((q for q in QUALITIES if "3" in _TONES[q]), key=cost)
    )
    own_tones = _TONES[quality]
    added = tuple(t for s, t in there.items() if s not in own_tones.values() and s != 0)
    order = sorted(added, key=lambda t: (int(t.lstrip("#b")), t))
    omitted = tuple(d for d, s in own_tones.items() if s not in there)
    return ChordSymbol(root, quality, tuple(order), omitted, bass)


__all__ = ["QUALITIES", "ChordSymbol", "read_chord_symbol", "semitones_of"]
