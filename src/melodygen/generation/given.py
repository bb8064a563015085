"""A user's music as material: with roles, on the grid, and long enough."""

from __future__ import annotations

from dataclasses import replace

from melodygen.analysis.chords import harmonise
from melodygen.analysis.roles import assign_roles
from melodygen.errors import MelodygenError, UsageError
from melodygen.music.key import key_at_end
from melodygen.music.score import Score
from melodygen.parsing import MIN_RANGE
from melodygen.tokens.grid import GridBar, Piece, score_to_piece

KEY_ROOM = 6
"""By so many semitones a piece is moved at most to another key."""


def narrowed(low: int, high: int) -> tuple[int, int]:
    """A range that can be moved to any key without moving single notes by octaves, which would be leaps."""
    return (low + KEY_ROOM, high - KEY_ROOM) if high - low >= 2 * KEY_ROOM + MIN_RANGE else (low, high)


def with_roles(score: Score, split: bool = False) -> Score:
    """Return a user's score with roles. Roles that it names are kept, and a given track is never split."""
    pitched = [t for t in score.tracks if not t.is_drum and len(t)]
    named = {t.role for t in pitched} - {"other"}
    return score if named or not pitched else assign_roles(score, split=split)


def on_grid(score: Score, what: str, qpm: float) -> Piece:
    """Return a user's score on the grid, with estimated chords where it has none. Raises UsageError with the
    reason.
    """
    try:
        key = key_at_end(score)
        named = () if key is None else (key,)
        return replace(harmonise(score_to_piece(replace(score, key_signatures=named))), qpm=qpm)
    except MelodygenError as error:
        raise UsageError(f"{what} cannot be used: {error}") from error


def fill_span(score: Score, fill: tuple[int, int]) -> tuple[int, int]:
    """Return the ticks of the bars to fill, in the piece's own count. Raises UsageError for bars that do not
    exist.
    """
    first, count = fill
    bars = score.bar_ticks()
    if first < 0 or count < 1 or first + count > len(bars) - 1:
        raise UsageError(
            f"bars {first + 1} to {first + count} cannot be filled: the piece has {len(bars) - 1}"
        )
    return bars[first], bars[first + count]


def padded(piece: Piece, bars: int) -> Piece:
    """Return the piece with at least ``bars`` bars: silent ones follow in the last meter."""
    silent = GridBar(piece.bars[-1].meter)
    return replace(piece, bars=(*piece.bars, *[silent] * (bars - len(piece.bars))))


__all__ = ["fill_span", "narrowed", "on_grid", "padded", "with_roles"]
