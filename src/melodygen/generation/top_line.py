"""The top line of a part: its highest pitch at each onset, of a stream that is being written or of a bar's tokens."""

from __future__ import annotations

from collections.abc import Sequence

from melodygen.tokens.vocabulary import VOCABULARY

_KINDS, _VALUES = VOCABULARY.kinds, VOCABULARY.values


class TopLine:
    """The end of the top line of one part of a stream.

    Args:
        before: the part's last pitch before the stream, 0-127; -1 for none.

    Attributes:
        before: the highest pitch at the onset before this one; -1 for none.
        here: the highest pitch at this onset so far; -1 for none.
    """

    def __init__(self, before: int = -1) -> None:
        self.before = self.here = before

    def take(self, token: int) -> None:
        """Accept a token of the part."""
        if _KINDS[token] == "position":
            self.before, self.here = self.here, -1
        elif _KINDS[token] == "pitch":
            self.here = max(self.here, _VALUES[token])


def top_pitches(tokens: Sequence[int]) -> list[int]:
    """The highest pitch at each onset of a bar's part."""
    found: list[int] = []
    for token in tokens:
        if _KINDS[token] == "position":
            found.append(-1)
        elif _KINDS[token] == "pitch" and found:
            found[-1] = max(found[-1], _VALUES[token])
    return [pitch for pitch in found if pitch >= 0]


__all__ = ["TopLine", "top_pitches"]
