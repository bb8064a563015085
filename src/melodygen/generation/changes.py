"""Generators that change a piece: they write some tracks in some bars anew, or the bars that follow.

Each is a ``contracts.Generator`` around another one, so that the loop renders, classifies and chooses as ever. Tracks
are what the user has, roles what the net sees: a track that is rewritten stands for its role alone, and every track
that is not named stays as it is, to the tick.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from melodygen.contracts import Draft, Generator
from melodygen.errors import UsageError
from melodygen.generation.merge import main_track
from melodygen.music.score import Score, Track, note_array
from melodygen.request import Request

PHRASE_BARS = 8
"""A variation changes the end of each phrase of this length and keeps its beginning."""
VARIED_ROLES = ("melody", "chords", "other")
"""What a variation writes anew where no track is named; the others stay under it."""


def varied_spans(amount: float, bars: range) -> list[tuple[int, int]]:
    """(first, count) of the bars that a variation writes anew: of each phrase the last ``amount``, at least one bar of
    the last phrase; all as one span where ``amount`` is 1."""
    if amount >= 1 or len(bars) == 1:
        return [(bars.start, len(bars))]
    spans = []
    for start in range(bars.start, bars.stop, PHRASE_BARS):
        length = min(PHRASE_BARS, bars.stop - start)
        count = round(amount * length)
        if count:
            spans.append((start + length - count, count))
    return spans or [(bars.stop - 1, 1)]


@dataclass(frozen=True, eq=False)
class DerivedGenerator:
    """A generator that changes what another writes, under the name and with the styles of that one."""

    inner: Generator

    @property
    def model_id(self) -> str:
        """The model that writes."""
        return self.inner.model_id

    @property
    def styles(self) -> tuple[str, ...]:
        """Styles that the model knows."""
        return self.inner.styles


@dataclass(frozen=True, eq=False)
class SpanWriter(DerivedGenerator):
    """Writes tracks of ``request.given`` anew, span after span; a draft is the whole piece.

    ``targets``  indexes of the tracks. Where several of one role are named, the one with most notes is written and the
                 others fall silent there.
    ``spans``    (first, count) of bars; None for the whole piece.
    """

    targets: tuple[int, ...]
    spans: tuple[tuple[int, int], ...] | None = None

    def generate(
        self, request: Request, seeds: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> list[Draft]:
        """One draft for each seed. The first span of all drafts is written as one batch: its context is the same."""
        assert request.given is not None
        spans: Sequence[tuple[int, int] | None] = self.spans or (None,)
        drafts = [Draft(request.given, seed, 0.0, 0) for seed in seeds]
        total, done = len(spans), 0.0
        for number, span in enumerate(spans):
            if number == 0:
                drafts = self._written(request, drafts, span, number, progress if total == 1 else None)
            else:
                drafts = [self._written(request, [draft], span, number, None)[0] for draft in drafts]
            done = (number + 1) / total
            if progress is not None:
                progress(done)
        return drafts

    def _written(
        self,
        request: Request,
        drafts: list[Draft],
        span: tuple[int, int] | None,
        number: int,
        progress: Callable[[float], None] | None,
    ) -> list[Draft]:
        piece = drafts[0].score
        shown, places = self._shown(piece)
        roles = {piece.tracks[i].role for i in self.targets}
        kept = tuple(dict.fromkeys(t.role for t in shown.tracks if t.role not in roles))
        if not kept and span is None:
            span = (0, len(piece.bar_ticks()) - 1)
        asked = replace(
            request, given=shown, given_roles=kept, fill=span, tracks=(*kept, *sorted(roles)), prompt=None
        )
        seeds = [_derived(draft.seed, number) for draft in drafts]
        results = []
        for draft, new in zip(drafts, self.inner.generate(asked, seeds, progress), strict=True):
            tracks = list(piece.tracks)
            for place, track in zip(places, new.score.tracks, strict=False):
                tracks[place] = replace(tracks[place], notes=track.notes)
            tokens = draft.num_tokens + new.num_tokens
            log_prob = draft.log_prob_per_token * draft.num_tokens + new.log_prob_per_token * new.num_tokens
            score = replace(
                piece, tracks=tuple(tracks), chords=piece.chords or new.score.chords,
                key_signatures=piece.key_signatures or new.score.key_signatures,
            )  # fmt: skip
            results.append(Draft(score, draft.seed, log_prob / max(tokens, 1), tokens))
        return results

    def _shown(self, piece: Score) -> tuple[Score, list[int]]:
        """What the generator sees: the tracks to write and those whose role is not written. And their places."""
        roles = {piece.tracks[i].role for i in self.targets}
        places = [i for i, t in enumerate(piece.tracks) if i in self.targets or t.role not in roles]
        return replace(piece, tracks=tuple(piece.tracks[i] for i in places)), places


@dataclass(frozen=True, eq=False)
class Extender(DerivedGenerator):
    """Goes on from ``request.given``: a draft is that piece and ``request.bars`` new bars behind its last bar line.

    New notes of a role go into its track with most notes; a role that the piece lacks gets a track of its own.

    ``goes_on``    the new bars are not the end.
    ``contrasts``  tune and accompaniment repeat no bar of the piece.
    """

    bars: int
    goes_on: bool = False
    contrasts: bool = False

    def generate(
        self, request: Request, seeds: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> list[Draft]:
        """One draft for each seed."""
        piece = request.given
        assert piece is not None
        asked = replace(
            request, prompt=piece, given=None, given_roles=(), fill=None, bars=self.bars, goes_on=self.goes_on,
            contrasts=self.contrasts, meter=None,
        )  # fmt: skip
        drafts = self.inner.generate(asked, seeds, progress)
        return [replace(draft, score=joined(piece, draft.score)) for draft in drafts]


def joined(piece: Score, following: Score) -> Score:
    """``piece`` with the notes and chords of ``following`` behind its last bar line; tempo and meter go on as they are.

    Notes of ``piece`` that sound over that bar line keep their end. Both may differ in resolution.
    """
    at, scale = piece.bar_ticks()[-1], piece.ticks_per_quarter / following.ticks_per_quarter
    tracks = list(piece.tracks)
    for new in following.tracks:
        rows = [(at + round(n[0] * scale), max(1, round(n[1] * scale)), n[2], n[3]) for n in new]
        index = main_track(piece, new.role)
        if index is None:
            tracks.append(replace(new, notes=note_array(rows)))
        else:
            own = tracks[index]
            tracks[index] = replace(own, notes=note_array([*own, *rows]))
    chords = [*piece.chords, *(replace(c, tick=at + round(c.tick * scale)) for c in following.chords)]
    return replace(piece, tracks=tuple(tracks), chords=tuple(chords))


def find_tracks(score: Score, names: Collection[str]) -> tuple[int, ...]:
    """Indexes of the tracks with these names or roles, in order. Raises UsageError for a name that no track has."""
    found: set[int] = set()
    for name in names:
        wanted = name.strip().casefold()
        own = [i for i, t in enumerate(score.tracks) if len(t) and t.name.strip().casefold() == wanted]
        own = own or [i for i, t in enumerate(score.tracks) if len(t) and t.role == wanted]
        if not own:
            there = dict.fromkeys(w for t in score.tracks if len(t) for w in (t.name.strip(), t.role) if w)
            raise UsageError(
                f"no track is called {name.strip()!r}; the tracks and their roles: {', '.join(there)}"
            )
        found.update(own)
    if not found:
        raise UsageError("name at least one track")
    return tuple(sorted(found))


def untouched(before: Score, after: Score, targets: Collection[int], ticks: range) -> bool:
    """Whether everything outside these tracks and ticks is as it was."""
    for index, (old, new) in enumerate(zip(before.tracks, after.tracks, strict=False)):
        first, second = old.notes, new.notes
        if index in targets:
            first, second = _outside(old, ticks), _outside(new, ticks)
        if not np.array_equal(first, second):
            return False
    return len(after.tracks) >= len(before.tracks)


def _outside(track: Track, ticks: range) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    onset = track.notes["onset_tick"]
    found: np.ndarray[tuple[int], np.dtype[np.void]] = track.notes[
        (onset < ticks.start) | (onset >= ticks.stop)
    ]
    return found


def _derived(seed: int, number: int) -> int:
    return seed if not number else int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


__all__ = [
    "VARIED_ROLES",
    "Extender",
    "SpanWriter",
    "find_tracks",
    "joined",
    "untouched",
    "varied_spans",
]
