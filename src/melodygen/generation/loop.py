"""The loop: write a batch, render it, classify it, keep the best or write again.

It sees only contracts and saves nothing. The loop *chooses* by the classifier, so the classifier's
probability of the chosen piece is biased upward. ``Composition.unselected_mean_probability`` is its mean
probability of everything that was written, and stands beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Generator as Iterates
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from melodygen.audio.buffer import Audio
from melodygen.contracts import Draft, DraftByDraft, Generator, Renderer, StyleClassifier
from melodygen.errors import ClassifierError, NoPieceError, UsageError
from melodygen.generation.arrangement import in_form
from melodygen.generation.ensemble import check_known
from melodygen.generation.obtained import closeness, of_playing
from melodygen.generation.performance import perform
from melodygen.generation.quality import quality
from melodygen.generation.stream import MAX_SILENT_BARS
from melodygen.music.score import Score
from melodygen.registry import nearest
from melodygen.rendering.draft import render_draft
from melodygen.request import LoopOptions, Request, check_loop, check_request
from melodygen.styles.mixture import style_probability, style_shares
from melodygen.styles.scores import StyleScores

ProgressCallback = Callable[[str, float], None]
"""Function that gets the stage and the share of it that is done, 0.0 to 1.0."""

MIN_FILLED_BARS = 0.5
"""A piece with notes in a smaller share of its bars has a flaw."""
MAX_REPEATED_PITCH_BARS = 8
"""A melody that repeats one pitch for more bars has a flaw; long runs of a repeated note stand in the
training data.
"""
SILENCE_PEAK = 1e-4
"""Peak below which a render counts as silent: -80 dBFS."""
QUALITY_STEP, FIT_STEP = 0.05, 0.05
"""Candidates within one step of quality, or of what was asked for, count as equal."""
FAIR_QUALITY = 0.5
"""A first round whose best has less is followed by another: of six candidates of game music the only one that passes
may be a tune of one bar over and over.
"""
"""Sample rate of draft renders in Hz: enough for the classifier, and a third of the time of 44.1 kHz."""
MAX_WAITING_SAMPLES = 12_000_000
"""Samples of recordings that are classified together: about 50 MB, nine minutes."""


@dataclass(frozen=True)
class CandidateRecord:
    """One piece the generator wrote, in figures.

    Attributes:
        seed: seed of the candidate.
        round: number of its round, from 1.
        style_probability: probability of the requested style, or nearness to the requested mixture; 0 for silence.
        log_prob_per_token: mean log-probability of the tokens the model chose, in nats.
        flaw: why it is chosen only where every other candidate has a flaw too; empty if it has none.
        quality: 0-1, how well made it is apart from its style (``melodygen.generation.quality``).
        playable: whether it may be chosen at all.
        model_id: the model that wrote it.
        obtained: what it has of the controls that were asked for, by name (``melodygen.generation.obtained``).
        fit: 0-1, how near that is to what was asked for.
    """

    seed: int
    round: int
    style_probability: float
    log_prob_per_token: float
    flaw: str = ""
    quality: float = 0.0
    playable: bool = True
    model_id: str = ""
    obtained: Mapping[str, float] = field(default_factory=dict)
    fit: float = 1.0


@dataclass(frozen=True, eq=False)
class Candidate:
    """A piece that was written and classified; ``style_scores`` is None for silence.

    ``chosen_by``  style probability and quality of the piece as it was written, where key or tempo were changed after.
    """

    draft: Draft
    record: CandidateRecord
    style_scores: StyleScores | None
    chosen_by: tuple[float, float] | None = None

    @property
    def figures(self) -> tuple[float, float]:
        """Style probability and quality by which it is chosen."""
        return self.chosen_by or (self.record.style_probability, self.record.quality)

    def rank(self, min_style: float) -> tuple[bool, bool, float, int, int, float]:
        """Style up to the threshold, then what was asked for, then quality, then style: of those that sound like the
        style the one nearest to the controls is kept, of these the better made, of these the one that sounds most like
        it."""
        record = self.record
        style, quality = self.figures
        steps = round(record.fit / FIT_STEP), round(quality / QUALITY_STEP)
        merit = (min(style, min_style), *steps, style)
        return (record.playable, not record.flaw, *merit)


@dataclass(frozen=True, eq=False)
class Composition:
    """The chosen piece and how it was found.

    ``accepted``  the chosen candidate reached ``min_style`` and has no flaw.
    ``unselected_mean_probability``  mean style probability of all candidates written, before any was chosen.
    ``ranking``   all candidates that can be played, the best first.
    """

    request: Request
    seed: int
    score: Score
    chosen: CandidateRecord
    style_scores: StyleScores
    candidates: tuple[CandidateRecord, ...]
    min_style: float
    seconds: float
    model_id: str
    classifier_id: str
    ranking: tuple[Candidate, ...] = ()

    def picked(self, number: int) -> Composition:
        """The same with the candidate of this rank (from 1) as the chosen piece. Raises UsageError where none is."""
        if not 1 <= number <= len(self.ranking):
            raise UsageError(
                f"pick {number} is not possible: {len(self.ranking)} candidates can be played; "
                f"give 1 to {len(self.ranking)}, or raise --candidates"
            )
        found = self.ranking[number - 1]
        assert found.style_scores is not None  # what can be played was classified
        return replace(self, score=found.draft.score, chosen=found.record, style_scores=found.style_scores)

    @property
    def style_probability(self) -> float:
        """Probability of the requested style, of the chosen piece."""
        return self.chosen.style_probability

    @property
    def accepted(self) -> bool:
        """Whether the chosen piece reached ``min_style`` and has no flaw."""
        return self.style_probability >= self.min_style and not self.chosen.flaw

    @property
    def rounds(self) -> int:
        """Number of rounds that were written."""
        return self.candidates[-1].round

    @property
    def num_turned_down(self) -> int:
        """Number of candidates below the threshold or with a flaw."""
        return sum(bool(c.flaw) or c.style_probability < self.min_style for c in self.candidates)

    @property
    def unselected_mean_probability(self) -> float:
        """Mean style probability of all candidates, before any was chosen."""
        return float(np.mean([c.style_probability for c in self.candidates]))


def compose(
    request: Request,
    generator: Generator,
    renderer: Renderer,
    classifier: StyleClassifier,
    *,
    seed: int,
    candidates: int = 6,
    min_style: float = 0.7,
    max_rounds: int = 3,
    progress: ProgressCallback | None = None,
    clock: Callable[[], float] = time.monotonic,
    should_stop: Callable[[], bool] | None = None,
    on_candidate: Callable[[CandidateRecord, Score], None] | None = None,
    veto: Callable[[Score], str] | None = None,
) -> Composition:
    """Write rounds of candidates until one reaches ``min_style`` or ``max_rounds`` are over, and choose one. A first
    round of several whose best is poorly made (``FAIR_QUALITY``) is followed by another.

    Where candidates without a flaw reach ``min_style``, the one nearest to the controls and then the one of the
    highest quality (both in steps) is chosen, and among equals the one with the highest style probability. Where none
    reaches it, the highest style probability decides. Where all candidates have a flaw, one that can be played is
    chosen.

    Args:
        request: what to write.
        generator: writes the candidates.
        renderer: renders them for the classifier.
        classifier: gives the style probability.
        seed: seed of the loop. A single candidate has this seed itself, so the seed of any candidate gives
            that candidate, where it fits into the net's context.
        candidates: number of candidates in a round.
        min_style: style probability that is good enough, 0-1.
        max_rounds: largest number of rounds.
        progress: called with the stage and the share of it that is done.
        clock: the time in seconds, for ``Composition.seconds``.
        should_stop: asked whenever drafts are ready; if it is true, the best candidate so far is returned.
        on_candidate: called with each candidate in the order of the seeds, as soon as it and those before are
            classified; others are still written then.
        veto: tells why a candidate is turned down, by its score; an empty string if it is not. What is turned
            down is chosen only where every candidate has a flaw.

    Raises:
        UsageError: the request or the loop is impossible.
        ClassifierError: the classifier does not know the style.
        NoPieceError: nothing playable was written.
    """
    check_request(request)
    check_loop(LoopOptions(None, candidates, min_style, max_rounds))
    check_known(generator, request.style)
    for name in style_shares(request.style):
        if name not in classifier.labels:
            raise ClassifierError(
                f"classifier {classifier.classifier_id} does not know {name!r}; {nearest(name, classifier.labels)}"
            )
    rounds = _Rounds(
        request,
        in_form(generator, request),
        renderer,
        classifier,
        progress or _no_progress,
        should_stop or _never,
        veto or _no_flaw,
    )
    started = clock()

    def each(found: Candidate) -> None:
        if on_candidate is not None:
            on_candidate(found.record, found.draft.score)

    written: list[Candidate] = []
    best: Candidate | None = None
    for number in range(1, max_rounds + 1):
        if rounds.should_stop():
            break
        written += rounds.write(candidate_seeds(seed, number, candidates), number, each)
        best = max(written, key=lambda draft: draft.rank(min_style), default=None)
        if best is not None and not best.record.flaw and best.figures[0] >= min_style:
            is_fair = best.figures[1] >= FAIR_QUALITY
            if is_fair or number > 1 or candidates == 1:
                break
    if best is None or not best.record.playable or best.style_scores is None:
        flaws = sorted({draft.record.flaw for draft in written}) or ["stopped before the first was written"]
        raise NoPieceError(
            f"none of {len(written)} candidates can be played: {'; '.join(flaws)}; try another --seed or --model"
        )
    return Composition(
        request=request,
        seed=seed,
        score=best.draft.score,
        chosen=best.record,
        style_scores=best.style_scores,
        candidates=tuple(draft.record for draft in written),
        min_style=min_style,
        seconds=clock() - started,
        model_id=generator.model_id,
        classifier_id=classifier.classifier_id,
        ranking=tuple(
            sorted((h for h in written if h.record.playable), key=lambda h: h.rank(min_style), reverse=True)
        ),
    )


def rate(
    request: Request,
    generator: Generator,
    renderer: Renderer,
    classifier: StyleClassifier,
    seeds: Sequence[int],
    progress: ProgressCallback | None = None,
) -> list[Candidate]:
    """Write, render and rate one draft for each seed as a round of the loop does, and choose none."""
    rounds = _Rounds(request, generator, renderer, classifier, progress or _no_progress, _never, _no_flaw)
    return rounds.write(seeds, 1)


def candidate_seeds(seed: int, round_number: int, count: int) -> list[int]:
    """Return the seeds of the candidates of one round.

    The first seeds do not depend on ``count``, except that a single candidate of the first round has ``seed``
    itself.
    """
    if count == 1 and round_number == 1:
        return [seed]
    return [int(s) for s in np.random.SeedSequence([seed, round_number]).generate_state(count)]


def piece_seeds(seed: int, count: int) -> list[int]:
    """Return seeds for ``count`` different pieces; the first is ``seed``, so a batch begins with the single
    piece.
    """
    return [seed, *(int(s) for s in np.random.SeedSequence(seed).generate_state(count))][:count]


def find_flaw(score: Score, request: Request) -> str:
    """Return why a piece cannot be offered whatever its style; an empty string if it can."""
    if not score.num_notes:
        return "no notes"
    melody = score.track_by_role("melody") if "melody" in request.tracks else None
    if "melody" in request.tracks and (melody is None or not len(melody)):
        return "the melody is empty"
    if request.given is not None:
        return ""  # a user's piece may repeat and rest as it likes
    if melody is not None:
        repeated = _repeated_pitch_bars(score, melody.notes)
        if repeated > MAX_REPEATED_PITCH_BARS:
            return f"the melody repeats one pitch for {repeated} bars"
    bars = np.asarray(score.bar_ticks())
    onsets = np.concatenate([track.notes["onset_tick"] for track in score.tracks])
    num_filled = len(np.unique(np.searchsorted(bars, onsets, side="right")))
    num_bars = max(len(bars) - 1, request.bars)
    if num_filled < MIN_FILLED_BARS * num_bars:
        return f"only {num_filled} of {num_bars} bars hold notes"
    return ""


def find_gap(score: Score, request: Request) -> str:
    """Return which requested role is missing, or silent for more than a phrase; an empty string if none is.

    Only what was to be written counts: not the given roles, and of an infill not the bars around it.
    """
    bars = np.asarray(score.bar_ticks(max(score.end_tick, 1)))
    first, last = 0, max(len(bars) - 1, request.bars)
    if request.fill is not None:
        first, last = request.fill[0], min(sum(request.fill), len(bars) - 1)
    for role in request.tracks:
        if request.given is not None and role in request.given_roles:
            continue
        sounding = np.zeros(last + 1, dtype=np.int64)
        for track in (t for t in score.tracks if t.role == role and len(t)):
            begins = np.searchsorted(bars, track.notes["onset_tick"], side="right") - 1
            ends = np.searchsorted(
                bars, track.notes["onset_tick"] + track.notes["duration_ticks"], side="left"
            )
            np.add.at(sounding, np.minimum(begins, last), 1)
            np.add.at(sounding, np.minimum(ends, last), -1)
        begin = max(first, request.intro) if role == "melody" else first
        silent = sounding.cumsum()[begin:last] == 0
        if silent.all() and len(silent):
            return f"the {role} {'are' if role in {'drums', 'chords'} else 'is'} missing"
        edges = np.flatnonzero(np.diff(np.concatenate(([0], silent.astype(np.int64), [0]))))
        longest = int((edges[1::2] - edges[::2]).max(initial=0))
        if longest > MAX_SILENT_BARS:
            return f"{longest} bars without {role}"
    return ""


def _repeated_pitch_bars(score: Score, notes: NDArray[np.void]) -> int:
    """Return over how many bars the longest run of one pitch goes."""
    turns = np.flatnonzero(np.diff(notes["pitch"]) != 0)
    first, last = np.concatenate(([0], turns + 1)), np.concatenate((turns, [len(notes) - 1]))
    bars = np.searchsorted(np.asarray(score.bar_ticks()), notes["onset_tick"], side="right")
    return int((bars[last] - bars[first]).max()) + 1


@dataclass(frozen=True, eq=False)
class _Rounds:
    """Writes, renders and classifies rounds of candidates."""

    request: Request
    generator: Generator
    renderer: Renderer
    classifier: StyleClassifier
    progress: ProgressCallback
    should_stop: Callable[[], bool]
    veto: Callable[[Score], str]

    def write(
        self, seeds: Sequence[int], number: int, each: Callable[[Candidate], None] | None = None
    ) -> list[Candidate]:
        """Return the candidates of one round, in the order of their seeds; those that were rated, where it is stopped.

        A generator that hands out drafts as they are written goes on writing while the first are rendered and
        classified. ``each`` gets the candidates in order, as soon as those before are rated.
        """
        again = "" if number == 1 else f" (round {number})"
        found: dict[int, Candidate] = {}
        given = 0
        with closing(self._drafts(seeds, again)) as drafts:  # a stop ends the threads that write
            for some in drafts:
                if self.should_stop():
                    break
                last = len(found) + len(some) == len(seeds)
                found |= self._rated(dict(some), number, f"classifying{again}" if last else "")
                while given in found:
                    if each is not None:
                        each(found[given])
                    given += 1
        return [found[index] for index in sorted(found)]

    def _drafts(self, seeds: Sequence[int], again: str) -> Iterates[list[tuple[int, Draft]], None, None]:
        def told(done: float) -> None:
            self.progress(f"writing{again}", done)

        if isinstance(self.generator, DraftByDraft):
            yield from self.generator.generate_each(self.request, seeds, told)
        else:
            yield list(enumerate(self.generator.generate(self.request, seeds, told)))

    def _rated(self, drafts: Mapping[int, Draft], number: int, stage: str) -> dict[int, Candidate]:
        """Render, classify and rate drafts; ``stage`` is what the progress is called, empty for none."""
        played = {i: perform(d.score, self.request, d.seed) for i, d in drafts.items()}
        before = {
            i: perform(d.as_written, self.request, d.seed)
            for i, d in drafts.items()
            if d.as_written is not None
        }
        scored = self._heard([*played.values(), *before.values()], stage)
        first = dict(zip(before, scored[len(played) :], strict=True))
        written = {}
        for (index, draft), scores in zip(drafts.items(), scored, strict=False):
            found = self._scored(replace(draft, score=played[index]), scores, number)
            if index in first:
                own = first[index]
                style = 0.0 if own is None else style_probability(own, self.request.style)
                found = replace(found, chosen_by=(style, quality(before[index])))
            written[index] = found
        return written

    def _heard(self, scores: Sequence[Score], stage: str) -> list[StyleScores | None]:
        """Render and classify; None for silence."""
        scored: list[StyleScores | None] = []
        waiting: list[Audio | None] = []
        for index, score in enumerate(scores):
            waiting.append(audible_draft(score, self.renderer))
            if stage:
                self.progress(stage, (index + 1) / len(scores))
            last = index + 1 == len(scores)
            # long recordings are classified in parts, so that they do not fill the memory
            if (
                last
                or sum(audio.samples.size for audio in waiting if audio is not None) > MAX_WAITING_SAMPLES
            ):
                scored += _classify(waiting, self.classifier)
                waiting = []
        return scored

    def _scored(self, draft: Draft, scores: StyleScores | None, number: int) -> Candidate:
        fatal = find_flaw(draft.score, self.request) or ("silent when rendered" if scores is None else "")
        obtained = {**draft.obtained, **of_playing(draft.score, self.request)}
        record = CandidateRecord(
            seed=draft.seed,
            round=number,
            style_probability=0.0 if scores is None else style_probability(scores, self.request.style),
            log_prob_per_token=draft.log_prob_per_token,
            flaw=fatal or find_gap(draft.score, self.request) or self.veto(draft.score),
            quality=quality(draft.score),
            playable=not fatal,
            model_id=draft.model_id or self.generator.model_id,
            obtained={**self._style_figures(scores), **obtained},
            fit=closeness(obtained, self.request),
        )
        return Candidate(draft, record, scores)

    def _style_figures(self, scores: StyleScores | None) -> dict[str, float]:
        """Of a mixture: the probability of each style."""
        shares = style_shares(self.request.style)
        if scores is None or len(shares) == 1:
            return {}
        return {f"style {name}": round(scores[name], 4) for name in shares}


def audible_draft(score: Score, renderer: Renderer) -> Audio | None:
    """Return a draft render, or None for silence, which no classifier should be asked about."""
    if not score.num_notes:
        return None
    audio = render_draft(score, renderer)
    return audio if audio.num_samples and float(np.abs(audio.samples).max()) > SILENCE_PEAK else None


def _classify(recordings: Sequence[Audio | None], classifier: StyleClassifier) -> list[StyleScores | None]:
    """Return the scores of each recording; None stays None."""
    audible = [audio for audio in recordings if audio is not None]
    opinions = iter(classifier.classify(audible) if audible else [])
    return [None if audio is None else next(opinions) for audio in recordings]


def _no_progress(stage: str, done: float) -> None:
    """Report to nobody."""


def _no_flaw(score: Score) -> str:
    return ""


def _never() -> bool:
    return False
