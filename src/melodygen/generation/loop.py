"""The loop: write a batch, render it, hear it with the CNN, keep the best or write again.

Sees only contracts and saves nothing. The loop *selects* with the classifier, so the classifier's opinion of
what was selected is biased upward; ``Composition.unselected_mean_probability`` is its opinion of everything
that was written, and stands beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from melodygen.audio.buffer import Audio
from melodygen.contracts import Draft, Generator, Renderer, StyleClassifier
from melodygen.errors import ClassifierError, MelodygenError
from melodygen.generation.performance import perform
from melodygen.generation.quality import quality
from melodygen.music.score import Score
from melodygen.parsing import check_style
from melodygen.registry import nearest
from melodygen.request import LoopOptions, Request, check_loop, check_request
from melodygen.styles.scores import StyleScores

ProgressCallback = Callable[[str, float], None]
"""Called with what is being done and how much of it is done, 0.0 to 1.0."""

MIN_FILLED_BARS = 0.5
MAX_WORN_BARS = 8
"""A melody that says one pitch for longer has nothing to say; and runs of it stand in the training data."""
MAX_SILENT_BARS = 4
"""A phrase: a role that was asked for may rest so long."""
SILENCE_PEAK = 1e-4
"""-80 dBFS: what stays below is not heard."""
QUALITY_STEP = 0.05
"""Less tells no piece from another."""
DRAFT_SAMPLE_RATE = 22_050
"""Enough for the classifier, and a third of the time of 44.1 kHz."""
MAX_WAITING_SAMPLES = 12_000_000
"""Recordings that wait for the classifier together: some 50 MB, nine minutes."""


@dataclass(frozen=True)
class CandidateRecord:
    """One piece the generator wrote. ``flaw`` says why it is chosen only where no other is without one; else empty.
    A piece that is not ``playable`` is never chosen.
    ``style_probability`` is that of the style asked for, 0 for silence. ``round`` counts from 1.
    ``quality`` (0-1) says how well made it is apart from its style: see ``melodygen.generation.quality``."""

    seed: int
    round: int
    style_probability: float
    log_prob_per_token: float
    flaw: str = ""
    quality: float = 0.0
    playable: bool = True


@dataclass(frozen=True, eq=False)
class Composition:
    """The chosen piece and how it was found.

    ``accepted``  the chosen candidate reached ``min_style`` and has no flaw.
    ``unselected_mean_probability``  mean style probability of all candidates written, before any was chosen.
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

    @property
    def style_probability(self) -> float:
        return self.chosen.style_probability

    @property
    def accepted(self) -> bool:
        return self.style_probability >= self.min_style and not self.chosen.flaw

    @property
    def rounds(self) -> int:
        return self.candidates[-1].round

    @property
    def num_turned_down(self) -> int:
        """Candidates below the threshold or flawed."""
        return sum(bool(c.flaw) or c.style_probability < self.min_style for c in self.candidates)

    @property
    def unselected_mean_probability(self) -> float:
        return float(np.mean([c.style_probability for c in self.candidates]))


@dataclass(frozen=True, eq=False)
class _ScoredDraft:
    draft: Draft
    record: CandidateRecord
    style_scores: StyleScores | None

    def rank(self, min_style: float) -> tuple[bool, bool, float, int, float]:
        """Style up to the threshold, then quality, then style: of those that sound like the style the better made is
        kept, of those as well made the one that sounds most like it."""
        record = self.record
        style = record.style_probability
        merit = (min(style, min_style), round(record.quality / QUALITY_STEP), style)
        return (record.playable, not record.flaw, *merit)


def compose(
    request: Request,
    generator: Generator,
    renderer: Renderer,
    classifier: StyleClassifier,
    *,
    seed: int,
    candidates: int = 8,
    min_style: float = 0.7,
    max_rounds: int = 3,
    progress: ProgressCallback | None = None,
    clock: Callable[[], float] = time.monotonic,
    should_stop: Callable[[], bool] | None = None,
    on_candidate: Callable[[CandidateRecord, Score], None] | None = None,
) -> Composition:
    """Write ``candidates`` pieces a round until one reaches ``min_style`` or ``max_rounds`` are over.

    Chosen is, of those without a flaw (where all have one, of those that can be played): where some reach
    ``min_style``, the best made of them (``quality``, in steps), and of those as well made the one with the highest
    style probability; where none does, that of all.
    A single candidate is the one of ``seed`` itself, so that the seed of any candidate gives that candidate.
    ``should_stop`` is asked between the steps; when it says so, the best so far is returned.
    ``on_candidate`` gets each candidate once it is classified.
    Raises UsageError for an impossible request, ClassifierError if the classifier does not know the style,
    MelodygenError if nothing playable was written.
    """
    check_request(request)
    check_loop(LoopOptions(None, candidates, min_style, max_rounds))
    check_style(request.style, generator.styles)
    if request.style not in classifier.labels:
        raise ClassifierError(
            f"classifier {classifier.classifier_id} does not know {request.style!r}; "
            f"{nearest(request.style, classifier.labels)}"
        )
    report = progress or _no_progress
    stop = should_stop or _never
    started = clock()
    written: list[_ScoredDraft] = []
    best: _ScoredDraft | None = None
    for number in range(1, max_rounds + 1):
        if stop():
            break
        batch = _round(request, generator, renderer, classifier, seed, number, candidates, report, stop)
        if on_candidate is not None:
            for scored in batch:
                on_candidate(scored.record, scored.draft.score)
        written += batch
        best = max(written, key=lambda h: h.rank(min_style), default=None)
        if best is not None and not best.record.flaw and best.record.style_probability >= min_style:
            break
    if best is None or not best.record.playable or best.style_scores is None:
        flaws = sorted({h.record.flaw for h in written}) or ["stopped before the first was written"]
        raise MelodygenError(
            f"none of {len(written)} candidates can be played: {'; '.join(flaws)}; try another --seed or --model"
        )
    return Composition(
        request=request,
        seed=seed,
        score=best.draft.score,
        chosen=best.record,
        style_scores=best.style_scores,
        candidates=tuple(h.record for h in written),
        min_style=min_style,
        seconds=clock() - started,
        model_id=generator.model_id,
        classifier_id=classifier.classifier_id,
    )


def candidate_seeds(seed: int, round_number: int, count: int) -> list[int]:
    """Seeds of the candidates of one round; of several, the first ones do not depend on ``count``. The single candidate
    of the first round has ``seed`` itself."""
    if count == 1 and round_number == 1:
        return [seed]
    return [int(s) for s in np.random.SeedSequence([seed, round_number]).generate_state(count)]


def piece_seeds(seed: int, count: int) -> list[int]:
    """Seeds for ``count`` different pieces; the first is ``seed``, so a batch begins with the single piece."""
    return [seed, *(int(s) for s in np.random.SeedSequence(seed).generate_state(count))][:count]


def find_flaw(score: Score, request: Request) -> str:
    """Why a piece cannot be offered whatever its style; empty if it can."""
    if not score.num_notes:
        return "no notes"
    if "melody" in request.tracks:
        melody = score.track_by_role("melody")
        if melody is None or not len(melody):
            return "the melody is empty"
        worn = _worn_bars(score, melody.notes)
        if worn > MAX_WORN_BARS and request.given is None:
            return f"the melody says one note for {worn} bars"
    bars = np.asarray(score.bar_ticks())
    onsets = np.concatenate([track.notes["onset_tick"] for track in score.tracks])
    num_filled = len(np.unique(np.searchsorted(bars, onsets, side="right")))
    num_bars = max(len(bars) - 1, request.bars)
    if num_filled < MIN_FILLED_BARS * num_bars:
        return f"only {num_filled} of {num_bars} bars hold notes"
    return ""


def find_gap(score: Score, request: Request) -> str:
    """Which role that was asked for is missing, or silent for more than a phrase; empty if none is.

    Only what was to be written counts: not the roles that are given, and of a fill not the bars around it.
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
        silent = sounding.cumsum()[first:last] == 0
        if silent.all() and len(silent):
            return f"the {role} {'are' if role in {'drums', 'chords'} else 'is'} missing"
        edges = np.flatnonzero(np.diff(np.concatenate(([0], silent.astype(np.int64), [0]))))
        longest = int((edges[1::2] - edges[::2]).max(initial=0))
        if longest > MAX_SILENT_BARS:
            return f"{longest} bars without {role}"
    return ""


def _worn_bars(score: Score, notes: NDArray[np.void]) -> int:
    """Bars over which the longest run of one pitch begins its notes."""
    turns = np.flatnonzero(np.diff(notes["pitch"]) != 0)
    first, last = np.concatenate(([0], turns + 1)), np.concatenate((turns, [len(notes) - 1]))
    bars = np.searchsorted(np.asarray(score.bar_ticks()), notes["onset_tick"], side="right")
    return int((bars[last] - bars[first]).max()) + 1


def _round(
    request: Request,
    generator: Generator,
    renderer: Renderer,
    classifier: StyleClassifier,
    seed: int,
    number: int,
    count: int,
    report: ProgressCallback,
    stop: Callable[[], bool],
) -> list[_ScoredDraft]:
    """Write one batch and classify it. Empty if stopped before anything was classified."""
    seeds = candidate_seeds(seed, number, count)
    again = "" if number == 1 else f" (round {number})"
    drafts = generator.generate(request, seeds, lambda done: report(f"writing{again}", done))
    if stop():
        return []
    drafts = [replace(draft, score=perform(draft.score, request, draft.seed)) for draft in drafts]
    scored: list[StyleScores | None] = []
    waiting: list[Audio | None] = []
    for index, draft in enumerate(drafts):
        waiting.append(_sound(draft.score, renderer))
        report(f"listening{again}", (index + 1) / len(drafts))
        last = index + 1 == len(drafts)
        if last or sum(audio.samples.size for audio in waiting if audio is not None) > MAX_WAITING_SAMPLES:
            scored += _classify(waiting, classifier)
            waiting = []
    written = []
    for draft, scores in zip(drafts, scored, strict=True):
        fatal = find_flaw(draft.score, request) or ("silent when rendered" if scores is None else "")
        record = CandidateRecord(
            seed=draft.seed,
            round=number,
            style_probability=0.0 if scores is None else scores[request.style],
            log_prob_per_token=draft.log_prob_per_token,
            flaw=fatal or find_gap(draft.score, request),
            quality=quality(draft.score),
            playable=not fatal,
        )
        written.append(_ScoredDraft(draft, record, scores))
    return written


def _sound(score: Score, renderer: Renderer) -> Audio | None:
    """A quick render; None for silence, which no classifier should be asked about."""
    if not score.num_notes:
        return None
    audio = renderer.render(score, DRAFT_SAMPLE_RATE, quality="draft")
    return audio if audio.num_samples and float(np.abs(audio.samples).max()) > SILENCE_PEAK else None


def _classify(recordings: Sequence[Audio | None], classifier: StyleClassifier) -> list[StyleScores | None]:
    """One opinion for each recording, None for silence."""
    audible = [audio for audio in recordings if audio is not None]
    opinions = iter(classifier.classify(audible) if audible else [])
    return [None if audio is None else next(opinions) for audio in recordings]


def _no_progress(stage: str, done: float) -> None:
    """Nobody watches."""


def _never() -> bool:
    return False
