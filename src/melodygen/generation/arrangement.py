"""From a theme to a form: AABA and others, where themes return with a varied end and the bridge contrasts.

The theme is the first section of the piece. A new letter is written as a continuation; of several drafts the one that
is least like the themes before it is taken. When a letter returns, its notes come back and its last bars are written
anew, between what stands before and behind them; of several drafts the one that keeps most of the tune is taken. The
last bars of all are written as an ending or, for a loop, so that they lead into the beginning; in sections of four bars
and more they are a quarter of the section at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from melodygen.contracts import Draft, Generator, WritesForm
from melodygen.errors import UsageError
from melodygen.generation.changes import VARIED_ROLES, DerivedGenerator, Extender, SpanWriter, untouched
from melodygen.generation.ensemble import derived
from melodygen.generation.quality import ending_mark
from melodygen.music.form import Form
from melodygen.music.score import Chord, Score, Tempo, TimeSignature, control_array, note_array
from melodygen.parsing import parse_form
from melodygen.request import Request

Event = TypeVar("Event", Chord, Tempo, TimeSignature)
BRIDGE_DRAFTS = 4
"""Drafts of a new section, of which the least like the earlier ones is taken."""
VARIED_DRAFTS = 4
"""Drafts of a varied end and of the ending, of which one that keeps most of the tune is taken."""
LOOP_BARS = 4
"""So many bars of the beginning stand behind the end of a loop when that is written."""


def theme_form(text: str, section_bars: int, is_loop: bool = False) -> Form:
    """Return the form that a theme is brought into. Raises UsageError for one that it cannot be brought into."""
    letters = parse_form(text)
    if not letters.isupper():
        raise UsageError(f"form {text!r} is not possible for a theme: give capitals, like AABA")
    return Form(letters, section_bars, is_loop)


@dataclass(frozen=True, eq=False)
class FormWriter(DerivedGenerator):
    """Writes pieces in ``request.form`` with a generator that writes no forms: a theme for each seed, and from each the
    whole piece.
    """

    def generate(
        self, request: Request, seeds: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> list[Draft]:
        """One draft for each seed. Controls that a draft obtained are those of its theme."""
        assert request.form is not None
        letters = request.form
        form = theme_form(letters, request.bars // len(letters), request.ending == "loop")
        asked = replace(request, form="")
        theme_asked = replace(asked, bars=form.section_bars, goes_on=len(letters) > 1)
        themes = self.inner.generate(theme_asked, seeds)
        drafts = []
        for number, (theme, seed) in enumerate(zip(themes, seeds, strict=True)):

            def tell(stage: str, done: float, number: int = number) -> None:
                if progress is not None:
                    progress((1 + number + done) / (1 + len(themes)))

            tell("", 0.0)
            score = theme.score
            if score.num_notes:
                key = score.key_signatures[0] if score.key_signatures else None
                own = replace(asked, key=(key.tonic, key.mode)) if key is not None else asked
                score = arrange(score, form, self.inner, own, seed, tell)
            drafts.append(replace(theme, score=score, as_written=None))
        if progress is not None:
            progress(1.0)
        return drafts


def in_form(generator: Generator, request: Request) -> Generator:
    """The generator that writes the request: in its form, where it has one."""
    if not request.form:
        return generator
    return derived(generator, lambda model: model if isinstance(model, WritesForm) else FormWriter(model))


def arrange(
    piece: Score,
    form: Form,
    generator: Generator,
    request: Request,
    seed: int,
    progress: Callable[[str, float], None],
) -> Score:
    """The piece in a form, with its sections named. ``request`` has style and controls; ``piece`` its roles.

    Raises UsageError where the piece has fewer bars than a section, or more than one meter in the theme.
    """
    starts = piece.bar_ticks()
    if len(starts) - 1 < form.section_bars:
        raise UsageError(
            f"the piece has {len(starts) - 1} bars, a section has {form.section_bars}; give --section-bars 1 to "
            f"{len(starts) - 1}"
        )
    theme = cut(piece, 0, starts[form.section_bars])
    if len({t.bar_quarters for t in theme.time_signatures}) > 1:
        raise UsageError("the theme changes its meter; give fewer --section-bars, so that it has one")
    length = starts[form.section_bars]
    sections: dict[str, Score] = {"A": theme}
    whole = theme
    for number, letter in enumerate(form.letters[1:], 1):
        progress("arranging", number / (len(form.letters) + 1))
        if letter not in sections:
            draft_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
            sections[letter] = _contrast(whole, sections, form, generator, request, draft_seed)
        whole = appended(whole, sections[letter], number * length)
    whole = _with_varied_ends(whole, form, generator, request, seed)
    marks = form.sections(number * length for number in range(len(form.letters)))
    return replace(_with_end(whole, form, length, generator, request, seed), sections=marks)


def _contrast(
    whole: Score, sections: dict[str, Score], form: Form, generator: Generator, request: Request, seed: int
) -> Score:
    """A section that goes on from ``whole`` and is least like the earlier ones."""
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(BRIDGE_DRAFTS)]
    asked = replace(request, given=whole, given_roles=(), fill=None)
    start = whole.bar_ticks()[-1]
    drafts = Extender(generator, form.section_bars, goes_on=True, contrasts=True).generate(asked, seeds)
    found = [cut(d.score, start, d.score.bar_ticks()[-1]) for d in drafts]
    found = [s for s in found if s.num_notes] or found
    return min(found, key=lambda s: max(likeness(s, other) for other in sections.values()))


def _with_varied_ends(whole: Score, form: Form, generator: Generator, request: Request, seed: int) -> Score:
    count = form.varied_bars
    targets = tuple(i for i, t in enumerate(whole.tracks) if t.role in VARIED_ROLES and len(t))
    if not targets:
        return whole
    for number, letter in enumerate(form.letters[:-1]):
        if letter in form.letters[:number]:
            end = (number + 1) * form.section_bars
            writer = SpanWriter(generator, targets, ((end - count, count),))
            whole = _nearest_draft(whole, writer, request, np.random.SeedSequence([seed, number]))
    return whole


def _nearest_draft(
    whole: Score, writer: SpanWriter, request: Request, source: np.random.SeedSequence, is_end: bool = False
) -> Score:
    """Of several drafts that differ from ``whole``, the one that keeps most notes of its melody and adds fewest; at the
    end of the piece of those that end best."""
    seeds = [int(s) for s in source.generate_state(VARIED_DRAFTS)]
    drafts = [d.score for d in writer.generate(replace(request, given=whole), seeds)]
    varied = [d for d in drafts if not untouched(whole, d, (), range(0))] or drafts

    def worth(draft: Score) -> tuple[float, float]:
        mark = ending_mark(draft) if is_end and draft.key_signatures else None
        return mark or 0.0, min(likeness(whole, draft), likeness(draft, whole))

    return max(varied, key=worth)


def _with_end(
    whole: Score, form: Form, length: int, generator: Generator, request: Request, seed: int
) -> Score:
    """The last bars as an ending, or as a way back to the beginning."""
    bars = len(form.letters) * form.section_bars
    count = form.ending_bars
    end = len(form.letters) * length
    targets = tuple(i for i, t in enumerate(whole.tracks) if len(t))
    shown = whole
    if form.is_loop:
        start = cut(whole, 0, whole.bar_ticks()[min(LOOP_BARS, form.section_bars)])
        shown = appended(whole, start, end)
    writer = SpanWriter(generator, targets, ((bars - count, count),))
    source = np.random.SeedSequence([seed, len(form.letters)])
    written = _nearest_draft(shown, writer, request, source, is_end=not form.is_loop)
    return cut(written, 0, end) if form.is_loop else written


def cut(score: Score, first_tick: int, end_tick: int) -> Score:
    """The stretch between two ticks as a piece of its own: what sounds over its end is ended there."""

    def inside(rows: tuple[Chord, ...]) -> tuple[Chord, ...]:
        before = [c for c in rows if c.tick <= first_tick][-1:]
        within = [c for c in rows if first_tick < c.tick < end_tick]
        return tuple(replace(c, tick=max(c.tick, first_tick) - first_tick) for c in (*before, *within))

    tracks = []
    for track in score.tracks:
        notes = track.notes
        own = notes[(notes["onset_tick"] >= first_tick) & (notes["onset_tick"] < end_tick)].copy()
        own["duration_ticks"] = np.minimum(own["duration_ticks"], end_tick - own["onset_tick"])
        own["onset_tick"] -= first_tick
        state = {number: value for tick, number, value in track.controls.tolist() if tick <= first_tick}
        moves = [c for c in track.controls.tolist() if first_tick < c[0] < end_tick]
        controls = [(0, number, value) for number, value in state.items()]
        controls += [(tick - first_tick, number, value) for tick, number, value in moves]
        tracks.append(replace(track, notes=note_array(own), controls=control_array(controls)))
    tempo = [t for t in score.tempos if t.tick <= first_tick][-1]
    meter = score.time_signature_at(first_tick)
    return replace(
        score,
        tracks=tuple(tracks),
        tempos=(
            replace(tempo, tick=0),
            *(_moved(t, -first_tick) for t in score.tempos if first_tick < t.tick < end_tick),
        ),
        time_signatures=(
            replace(meter, tick=0),
            *(_moved(t, -first_tick) for t in score.time_signatures if first_tick < t.tick < end_tick),
        ),
        key_signatures=tuple(replace(k, tick=0) for k in score.key_signatures[:1]),
        chords=inside(score.chords),
        sections=(),
    )  # fmt: skip


def appended(first: Score, second: Score, at: int) -> Score:
    """``first`` with ``second`` behind it at a tick: tracks by their place, those that ``first`` lacks behind them."""
    tracks = list(first.tracks)
    for index, track in enumerate(second.tracks):
        rows = [(n[0] + at, *n[1:]) for n in track]
        controls = [(c[0] + at, c[1], c[2]) for c in track.controls.tolist()]
        if index < len(tracks):
            own = tracks[index]
            controls = [*own.controls.tolist(), *controls]
            rows = [*own, *rows]
        else:
            own = track
        made = replace(own, notes=note_array(rows), controls=control_array(controls))
        tracks[index : index + 1] = [made]
    tempos = [*first.tempos, *(_moved(t, at) for t in second.tempos)]
    meters = [*first.time_signatures]
    if str(meters[-1]) != str(second.time_signatures[0]):
        meters.append(_moved(second.time_signatures[0], at))
    tempos = [t for i, t in enumerate(tempos) if not i or t.qpm != tempos[i - 1].qpm]
    return replace(
        first, tracks=tuple(tracks), tempos=tuple(tempos), time_signatures=tuple(meters),
        chords=(*first.chords, *(_moved(c, at) for c in second.chords)),
    )  # fmt: skip


def likeness(first: Score, second: Score) -> float:
    """How much of the first melody the second one has at the same place, 0-1: the share of its notes with a note of the
    same pitch class within a sixteenth."""
    own, other = (_melody(score) for score in (first, second))
    return len(own & other) / len(own) if own else 0.0


def _melody(score: Score) -> set[tuple[int, int]]:
    track = score.track_by_role("melody") or next((t for t in score.tracks if not t.is_drum and len(t)), None)
    if track is None:
        return set()
    sixteenth = score.ticks_per_quarter / 4
    return {(round(n.onset_tick / sixteenth), n.pitch % 12) for n in track}


def _moved(event: Event, ticks: int) -> Event:
    return replace(event, tick=event.tick + ticks)


__all__ = ["FormWriter", "appended", "arrange", "cut", "in_form", "likeness", "theme_form"]
