"""How much of a piece may be found in a library: candidates that share more are turned down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from melodygen.errors import LibraryError, NoPieceError, UsageError
from melodygen.music.score import Score

if TYPE_CHECKING:
    from melodygen.library.address import Address

NEAREST = 5
"""Tracks that a candidate is held against note for note."""


@dataclass(frozen=True)
class CopyLimit:
    """How many bars a piece may share with a track of a library; ``folder`` is also an address; None is the
    default library."""

    max_bars: float
    folder: Address | None = None

    def veto(self) -> Callable[[Score], str]:
        """Why a score is turned down, if it is. Raises LibraryError for no library, or one without a melodic line."""
        from melodygen.library.lines import lines_of  # seldom asked for, and slow to load
        from melodygen.library.score_match import identify_notes, matches_of
        from melodygen.library.store import STEPS
        from melodygen.services.library import Library

        if self.max_bars < 0:
            raise UsageError(f"--max-copy-bars {self.max_bars:g}: give 0 or more")
        with Library(self.folder) as library:
            rows, notes, tracks = library.store.rows(STEPS), library.store.notes, library.store.tracks()
            if not len(rows.matrix):
                raise LibraryError(f"{library.store.name} holds no melodic line; add MIDI or score files")
            held = notes(tracks)

        def shared(score: Score) -> str:
            own, steps = lines_of(score)
            found = matches_of(identify_notes(own, steps, rows, NEAREST), own, held)
            longest = max(found, key=lambda match: match.bars or 0.0, default=None)
            if longest is None or (longest.bars or 0.0) <= self.max_bars:
                return ""
            return longest.sentence(tracks[longest.track_id].name)

        return shared

    def check(self, score: Score) -> None:
        """Raises NoPieceError for a score that shares too much: every candidate did."""
        said = self.veto()(score)
        if said:
            raise NoPieceError(
                f"the best candidate {said}, more than the {self.max_bars:g} bars allowed, and so did all others; "
                "nothing was written: try another --seed, more --candidates, or a higher --max-copy-bars"
            )
