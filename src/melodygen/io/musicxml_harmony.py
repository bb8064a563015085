"""Chord symbols in MusicXML: a ``harmony`` element to and from a Harte label."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement

from melodygen.errors import ScoreError
from melodygen.music.chord_symbol import ChordSymbol, read_chord_symbol
from melodygen.music.spelling import name_of, position_of, spell, step_and_alteration

_KINDS = {
    "maj": ("major", ""), "min": ("minor", "m"), "7": ("dominant", "7"), "min7": ("minor-seventh", "m7"),
    "maj7": ("major-seventh", "maj7"), "dim": ("diminished", "dim"), "dim7": ("diminished-seventh", "dim7"),
    "hdim7": ("half-diminished", "m7b5"), "aug": ("augmented", "aug"), "aug7": ("augmented-seventh", "aug7"),
    "sus2": ("suspended-second", "sus2"), "sus4": ("suspended-fourth", "sus4"),
    "7sus4": ("suspended-fourth", "7sus4"), "maj6": ("major-sixth", "6"), "min6": ("minor-sixth", "m6"),
    "9": ("dominant-ninth", "9"), "maj9": ("major-ninth", "maj9"), "min9": ("minor-ninth", "m9"),
    "minmaj7": ("major-minor", "m(maj7)"), "13": ("dominant-13th", "13"),
}  # fmt: skip
"""Quality -> MusicXML kind, and how a player writes it."""
_SYMBOLS = {kind: quality for quality, (kind, _) in _KINDS.items() if quality != "7sus4"} | {
    "dominant-11th": "11", "major-11th": "maj9(11)", "minor-11th": "min11", "major-13th": "maj13",
    "minor-13th": "min13", "power": "5", "suspended-fourth": "sus4", "pedal": "1", "Neapolitan": "maj",
    "Italian": "7(*5)", "French": "7b5", "German": "7", "Tristan": "hdim7",
}  # fmt: skip
"""MusicXML kind -> what is read as a chord symbol after the root."""


def harmony_label(element: Element, transposition: int = 0) -> str | None:
    """A Harte label, ``N`` for no chord, None for what names no root or is not understood. ``transposition``:
    semitones by which the part sounds above what is written."""
    kind = (element.findtext("kind") or "").strip()
    if kind == "none":
        return "N"
    root = _position(element.find("root"), "root")
    if root is None:
        return None
    shift = spell((_pitch_class(root) + transposition) % 12) - root if transposition % 12 else 0
    text = element.find("kind")
    written = text.get("text", "") if text is not None else ""
    body = _SYMBOLS.get(kind, written)
    changes = ",".join(c for c in (_change(degree) for degree in element.findall("degree")) if c)
    bass = _position(element.find("bass"), "bass")
    after = f"/{name_of(bass + shift)}" if bass is not None else ""
    for attempt in (
        f":{body}({changes})" if changes else f":{body}",
        written,
        ":min" if "min" in kind else ":maj",
    ):
        try:
            symbol = read_chord_symbol(name_of(root + shift) + attempt + after)
        except ScoreError:
            continue
        return None if symbol is None else symbol.label
    return None


def _pitch_class(position: int) -> int:
    return position * 7 % 12


def _position(element: Element | None, prefix: str) -> int | None:
    step = (element.findtext(f"{prefix}-step") or "").strip() if element is not None else ""
    if element is None or step not in tuple("ABCDEFG"):
        return None
    try:
        alteration = round(float(element.findtext(f"{prefix}-alter") or 0))
    except (ValueError, OverflowError):
        alteration = 0
    return position_of(step, max(-2, min(2, alteration)))


def _change(degree: Element) -> str:
    number = (degree.findtext("degree-value") or "").strip()
    how = (degree.findtext("degree-type") or "add").strip()
    try:
        alteration = round(float(degree.findtext("degree-alter") or 0))
    except (ValueError, OverflowError):
        return ""
    if not number.isdigit() or abs(alteration) > 2:
        return ""
    if how == "subtract":
        return f"*{number}"
    if number == "7" and how == "add":  # against the seventh of a dominant chord
        return {1: "7", 0: "b7", -1: "bb7"}.get(alteration, "")
    return ("#" * alteration if alteration > 0 else "b" * -alteration) + number


def harmony_element(label: str) -> Element | None:
    """A ``harmony`` element, or None for a label that cannot be read."""
    try:
        symbol = read_chord_symbol(label)
    except ScoreError:
        return None
    harmony = Element("harmony")
    if symbol is None:
        SubElement(SubElement(harmony, "root"), "root-step", text="").text = "C"
        SubElement(harmony, "kind", text="N.C.").text = "none"
        return harmony
    _named(SubElement(harmony, "root"), "root", symbol.root)
    kind, text = _KINDS[symbol.quality]
    SubElement(harmony, "kind", text=text + _changes_text(symbol)).text = kind
    if symbol.bass:
        _named(SubElement(harmony, "bass"), "bass", _bass_position(symbol))
    for number, alteration, how in _degrees(symbol):
        degree = SubElement(harmony, "degree")
        SubElement(degree, "degree-value").text = number
        SubElement(degree, "degree-alter").text = str(alteration)
        SubElement(degree, "degree-type").text = how
    return harmony


def _degrees(symbol: ChordSymbol) -> list[tuple[str, int, str]]:
    """(number, alteration, how): added tones are counted against a dominant chord, altered ones against the own."""
    found = [("7", 0, "add")] if symbol.quality == "7sus4" else []
    for degree in symbol.omitted:
        if not _is_altered(degree, symbol):
            found.append((re.sub(r"\D", "", degree), 0, "subtract"))
    for degree in symbol.added:
        number, alteration = re.sub(r"\D", "", degree), degree.count("#") - degree.count("b")
        altered = number == "5" and "5" in symbol.omitted
        found.append((number, alteration + (number == "7"), "alter" if altered else "add"))
    return found


def _is_altered(degree: str, symbol: ChordSymbol) -> bool:
    return degree == "5" and not {"b5", "#5"}.isdisjoint(symbol.added)


def _changes_text(symbol: ChordSymbol) -> str:
    omitted = [f"no{d.lstrip('#b')}" for d in symbol.omitted if not _is_altered(d, symbol)]
    changes = [*symbol.added, *omitted]
    return f"({','.join(changes)})" if changes else ""


def _named(parent: Element, prefix: str, position: int) -> None:
    step, alteration = step_and_alteration(position)
    SubElement(parent, f"{prefix}-step").text = step
    if alteration:
        SubElement(parent, f"{prefix}-alter").text = str(alteration)


def _bass_position(symbol: ChordSymbol) -> int:
    if symbol.bass[0] in "ABCDEFG":
        return position_of(symbol.bass[0], symbol.bass.count("#") - symbol.bass[1:].count("b"))
    steps = {1: 0, 2: 2, 3: 4, 4: -1, 5: 1, 6: 3, 7: 5}
    number = (int(symbol.bass.lstrip("#b")) - 1) % 7 + 1
    return symbol.root + steps[number] + 7 * (symbol.bass.count("#") - symbol.bass.count("b"))


__all__ = ["harmony_element", "harmony_label"]
