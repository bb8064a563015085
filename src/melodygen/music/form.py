"""The form of a piece: sections of equal length, named by letters, that return or contrast.

A capital letter is a section: where it comes again its notes return, with the last bars varied. The same letter in
lower case is new music on its chords, as a solo is on the chords of the theme.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from melodygen.errors import ScoreError

if TYPE_CHECKING:
    from melodygen.music.score import Section

MAX_SECTIONS = 26
NO_FORM = "none"
"""The text that asks for music that is written through."""
VARIED_SHARE = 4
"""One bar in so many of a section that returns is written anew, at its end."""
MAX_ENDING_BARS = 2
"""Bars of the ending; fewer where they would be more than a quarter of the last section, but one at least."""
MIN_USUAL_BARS = 32
"""A piece of fewer bars has a form only where one is asked for."""
SECTION_BARS = 8
"""Usual length of a section."""
POSSIBLE_BARS = range(6, 17)
"""Lengths of the sections that a style's form may have, where the usual one does not divide the piece."""
MIN_USUAL_SECTIONS = 3
SECTION_NAME = "Section "
"""What stands before the letter in the name of a section."""


@dataclass(frozen=True)
class FormBar:
    """What one bar owes to its place in the form; bars are counted from 0.

    Attributes:
        source: the bar that returns here; None where the music is new.
        is_whole: all notes of ``source`` return; else its chords only.
        fresh_from: first bar of the section, where tune and chords must not repeat bars before it; None where they may.
    """

    source: int | None = None
    is_whole: bool = False
    fresh_from: int | None = None


def parse_form(text: str) -> str:
    """Return the letters of a form, an empty text for ``none``. Raises ScoreError for what is none.

    Letters that are all in lower case are read as capitals.
    """
    letters = text.strip()
    if letters.lower() == NO_FORM:
        return ""
    letters = letters.upper() if letters.islower() else letters
    if not re.fullmatch(rf"A[A-Za-z]{{0,{MAX_SECTIONS - 1}}}", letters):
        raise ScoreError(
            f"form {text!r} is not possible; give 1 to {MAX_SECTIONS} letters that begin with A, like AABA, "
            f"or {NO_FORM}"
        )
    for number, letter in enumerate(letters):
        if letter.islower() and letter.upper() not in letters[:number]:
            raise ScoreError(
                f"form {text!r}: {letter} is new music on the chords of {letter.upper()}, which must come before it"
            )
    return letters


def form_of(sections: Sequence[Section]) -> str:
    """Return the letters of a piece's sections; an empty text where it has none, or others than melodygen's own."""
    names = [section.name for section in sections]
    return "".join(n.removeprefix(SECTION_NAME) for n in names) if all(map(_is_own, names)) else ""


def _is_own(name: str) -> bool:
    return name.startswith(SECTION_NAME) and len(name) == len(SECTION_NAME) + 1


def usual_form(pattern: str, bars: int, section_bars: int = SECTION_BARS) -> str:
    """Return the form of a piece in a style whose form is ``pattern``; an empty text for a piece that has none.

    Args:
        pattern: letters; a longer piece goes through them again, one that stops on the way ends with the
            last of them, if it was introduced.
        bars: length of the piece.
        section_bars: the style's usual length of a section; another of ``POSSIBLE_BARS`` is taken where it does not
            divide the piece.
    """
    if not pattern or bars < MIN_USUAL_BARS:
        return ""
    possible = [
        n
        for n in {section_bars, *POSSIBLE_BARS}
        if bars % n == 0 and MIN_USUAL_SECTIONS <= bars // n <= MAX_SECTIONS
    ]
    if not possible:
        return ""
    size = min(possible, key=lambda n: (abs(n - section_bars), n))
    count = bars // size
    letters: str = (pattern * -(-count // len(pattern)))[:count]
    last = pattern[-1]
    if letters[-1] == last or last not in letters:
        return letters
    if letters[-2] == last and letters[-1] != last.lower():
        return letters[:-2] + letters[-1] + last  # the two change places: ABA rather than AAA
    return letters[:-1] + last


@dataclass(frozen=True)
class Form:
    """Letters of the sections, bars of each, and whether the end leads back to the beginning."""

    letters: str
    section_bars: int
    is_loop: bool = False

    @property
    def varied_bars(self) -> int:
        """Bars at the end of a section that returns which are written anew."""
        return max(1, self.section_bars // VARIED_SHARE)

    @property
    def ending_bars(self) -> int:
        """Bars at the end of the piece that close it, or lead back to its beginning."""
        return min(MAX_ENDING_BARS, self.varied_bars)

    def sections(self, ticks: Iterable[int]) -> tuple[Section, ...]:
        """Return the sections by their letters; ``ticks`` are where they begin, fewer where the last are silent."""
        from melodygen.music.score import Section  # with numpy; the help of the commands does without

        return tuple(
            Section(tick, SECTION_NAME + letter) for tick, letter in zip(ticks, self.letters, strict=False)
        )

    def bars(self) -> list[FormBar]:
        """Return what each bar owes to the form."""
        size = self.section_bars
        found: list[FormBar] = []
        for number, letter in enumerate(self.letters):
            first = number * size
            before = [n for n, earlier in enumerate(self.letters[:number]) if earlier == letter.upper()]
            if not before:
                found += [FormBar(fresh_from=first or None)] * size
                continue
            whole = size - self.varied_bars if letter.isupper() else 0
            fresh = None if letter.isupper() else first
            found += [FormBar(before[-1] * size + i, i < whole, fresh) for i in range(size)]
        closing = found[-self.ending_bars :]
        found[-self.ending_bars :] = [FormBar(fresh_from=bar.fresh_from) for bar in closing]
        return found
