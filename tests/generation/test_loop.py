from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakeband import Beeper, Judge, Writer
from hypothesis import given
from hypothesis import strategies as st

from melodygen.audio.buffer import Audio
from melodygen.contracts import Draft
from melodygen.errors import ClassifierError, MelodygenError, UsageError
from melodygen.generation import loop as pipeline
from melodygen.generation.loop import Composition, candidate_seeds, compose, find_flaw, find_gap, piece_seeds
from melodygen.music.score import Score, Track
from melodygen.parsing import (
    parse_chords,
    parse_fill,
    parse_key,
    parse_meter,
    parse_tracks,
)
from melodygen.rendering.draft import DRAFT_SAMPLE_RATE
from melodygen.request import Request, check_request, loop_options

JAZZ = Request("jazz", bars=4, qpm=120.0, meter=(4, 4), tracks=("melody",))


@pytest.fixture(autouse=True)
def any_quality_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tunes of the fake writer are poorly made; here rounds are to go by style."""
    monkeypatch.setattr(pipeline, "FAIR_QUALITY", 0.0)


def run(fault: str = "", judge: str = "", **options: object) -> Composition:
    chosen = {"seed": 1, "candidates": 6, "min_style": 0.6, **options}
    return compose(JAZZ, Writer(fault), Beeper(), Judge(judge), **chosen)  # type: ignore[arg-type]


def test_the_best_of_all_candidates_is_chosen() -> None:
    piece = run(min_style=1.0, max_rounds=3)
    assert len(piece.candidates) == 18 and piece.rounds == 3 and not piece.accepted
    assert piece.style_probability == max(c.style_probability for c in piece.candidates)
    first = int(piece.score.tracks[0].notes["pitch"][0])
    assert piece.style_probability == pytest.approx(first / 100)
    assert piece.num_turned_down == 18


@pytest.mark.parametrize(("better", "chosen_is_better"), [(0.3, True), (0.01, False)])
def test_of_those_good_enough_the_better_made_is_chosen_where_it_is_clearly_so(
    better: float, chosen_is_better: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = min(
        run(min_style=0.1).candidates, key=lambda c: c.style_probability
    )  # all of them are good enough
    pitch = round(100 * least.style_probability)
    monkeypatch.setattr(
        pipeline, "quality", lambda score: 0.5 + better * (int(score.tracks[0].notes["pitch"][0]) == pitch)
    )
    piece = run(min_style=0.1)
    assert (piece.chosen.seed == least.seed) is chosen_is_better
    if not chosen_is_better:
        assert piece.style_probability == max(c.style_probability for c in piece.candidates)


def test_rounds_end_when_one_is_good_enough() -> None:
    assert run(min_style=0.4).rounds == 1
    harsh = run(judge="harsh", max_rounds=2)
    assert harsh.rounds == 2 and not harsh.accepted and len(harsh.candidates) == 12


def test_a_first_round_that_is_poorly_made_is_followed_by_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    best = run(min_style=0.4).chosen.quality
    monkeypatch.setattr(pipeline, "FAIR_QUALITY", best + 0.01)
    assert [run(min_style=0.4, max_rounds=rounds).rounds for rounds in (1, 2, 3)] == [1, 2, 2]
    assert run(min_style=0.4, candidates=1).rounds == 1, "a candidate can be written again by its seed"
    monkeypatch.setattr(pipeline, "FAIR_QUALITY", best)
    assert run(min_style=0.4).rounds == 1


def test_unselected_mean_is_of_everything_written() -> None:
    piece = run(min_style=0.99, max_rounds=2)
    assert piece.unselected_mean_probability == pytest.approx(
        np.mean([c.style_probability for c in piece.candidates])
    )
    assert piece.unselected_mean_probability < piece.style_probability


def test_same_seed_same_piece_and_other_seed_another() -> None:
    one, two, other = run(), run(), run(seed=2)
    assert one.candidates == two.candidates and one.score == two.score
    assert other.candidates != one.candidates


def test_quick_renders_only_and_one_batch_a_round() -> None:
    writer, beeper = Writer(), Beeper()
    compose(JAZZ, writer, beeper, Judge("harsh"), seed=3, candidates=5, max_rounds=2)
    assert [len(seeds) for _, seeds in writer.calls] == [5, 5]
    assert beeper.calls == ["draft"] * 10


def test_recordings_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many long candidates are heard in parts, with the same opinions."""
    sizes: list[int] = []

    class Counting(Judge):
        def classify(self, recordings):  # type: ignore[no-untyped-def]
            sizes.append(len(recordings))
            return super().classify(recordings)

    whole = compose(JAZZ, Writer(), Beeper(), Counting(), seed=1, candidates=7, max_rounds=1)
    monkeypatch.setattr(pipeline, "MAX_WAITING_SAMPLES", 2 * DRAFT_SAMPLE_RATE)
    parts = compose(JAZZ, Writer(), Beeper(), Counting(), seed=1, candidates=7, max_rounds=1)
    assert sizes == [7, 3, 3, 1]
    assert parts.candidates == whole.candidates


def test_flawed_candidates_are_never_chosen_over_playable_ones() -> None:
    class Mixed(Writer):
        """The candidate that would please the judge most is a fragment."""

        def generate(self, request, seeds, progress=None):  # type: ignore[no-untyped-def]
            drafts = super().generate(request, seeds)
            fragment = Score(tracks=(Track([(0, 480, 99, 90)], role="melody"),))
            return [replace(drafts[0], score=fragment), *drafts[1:]]

    piece = compose(JAZZ, Mixed(), Beeper(), Judge(), seed=1, candidates=4, min_style=0.95, max_rounds=1)
    fragment, *others = piece.candidates
    assert fragment.flaw == "only 1 of 4 bars hold notes" and fragment.style_probability == pytest.approx(
        0.99
    )
    assert piece.chosen in others and not piece.accepted


def test_nothing_playable_is_an_error_with_the_reasons() -> None:
    with pytest.raises(MelodygenError, match="none of 18 candidates can be played: no notes"):
        run("empty")
    with pytest.raises(MelodygenError, match="only 1 of 4 bars hold notes"):
        run("stops")


def test_silence_counts_as_no_style_at_all() -> None:
    class Mute(Beeper):
        def render(self, score, sample_rate=44_100, quality="full"):  # type: ignore[no-untyped-def]
            audio = super().render(score, sample_rate, quality)
            return replace(audio, samples=audio.samples * 1e-6)

    with pytest.raises(MelodygenError, match="silent when rendered"):
        compose(JAZZ, Writer(), Mute(), Judge(), seed=1)


def test_stopping_returns_the_best_so_far() -> None:
    answers = iter([False, False, True])
    piece = run(min_style=1.0, max_rounds=9, should_stop=lambda: next(answers))
    assert piece.rounds == 1
    with pytest.raises(MelodygenError, match="stopped before"):
        run(should_stop=lambda: True)


class Slow(Writer):
    """Hands out the last draft first, then the others two by two."""

    closed = False

    def generate_each(
        self, request: Request, seeds: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> Iterator[list[tuple[int, Draft]]]:
        drafts = list(enumerate(self.generate(request, seeds)))
        try:
            yield [drafts.pop()]
            while drafts:
                yield drafts[:2]
                del drafts[:2]
        finally:
            self.closed = True


def test_drafts_that_come_one_by_one_are_rated_at_once_and_told_in_the_order_of_their_seeds() -> None:
    rendered: list[int] = []
    told: list[tuple[int, int]] = []

    class Heard(Beeper):
        def render(self, *arguments: Any, **options: Any) -> Audio:
            rendered.append(1)
            return super().render(*arguments, **options)

    options: dict[str, Any] = {"seed": 1, "candidates": 6, "min_style": 0.6}
    piece = compose(
        JAZZ,
        Slow(),
        Heard(),
        Judge(),
        **options,
        on_candidate=lambda r, _: told.append((r.seed, len(rendered))),
    )
    assert piece.candidates == run().candidates and piece.score == run().score
    assert [seed for seed, _ in told] == candidate_seeds(1, 1, 6)
    assert [heard for _, heard in told] == [3, 3, 5, 5, 6, 6]  # the last was heard first, and waits


def test_a_stop_ends_the_writing_and_keeps_what_was_rated() -> None:
    answers = iter([False, False, True, True])
    writer = Slow()
    piece = compose(
        JAZZ,
        writer,
        Beeper(),
        Judge(),
        seed=1,
        candidates=6,
        min_style=1.0,
        should_stop=lambda: next(answers),
    )
    assert [c.seed for c in piece.candidates] == [candidate_seeds(1, 1, 6)[-1]]
    assert writer.closed


def test_clock_and_progress_are_the_callers() -> None:
    ticks = iter([10.0, 12.5])
    seen: list[tuple[str, float]] = []
    piece = run(
        clock=lambda: next(ticks), progress=lambda stage, done: seen.append((stage, done)), min_style=0.1
    )
    assert piece.seconds == 2.5
    assert [stage for stage, done in seen if done == 1.0] == ["writing", "classifying"]


@pytest.mark.parametrize(
    ("style", "error", "words"),
    [("jaz", UsageError, "did you mean 'jazz'"), ("", UsageError, "known: jazz, mazurka, polka")],
)
def test_unknown_style(style: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        compose(replace(JAZZ, style=style), Writer(), Beeper(), Judge(), seed=1)


def test_classifier_that_does_not_know_the_style() -> None:
    judge = Judge()
    judge.labels = ("polka", "waltz")  # type: ignore[assignment]
    with pytest.raises(ClassifierError, match="does not know 'jazz'"):
        compose(JAZZ, Writer(), Beeper(), judge, seed=1)


@given(st.integers(0, 2**63), st.integers(1, 64), st.integers(1, 5))
def test_seeds_are_stable_and_different(seed: int, count: int, number: int) -> None:
    seeds = candidate_seeds(seed, number, count)
    alone = count == 1 and number == 1
    assert seeds == ([seed] if alone else candidate_seeds(seed, number, 64)[:count])
    assert seeds != candidate_seeds(seed, number + 1, count)
    pieces = piece_seeds(seed, count)
    assert len(pieces) == count and pieces[0] == seed and pieces == piece_seeds(seed, 64)[:count]


def test_flaws() -> None:
    bass = Score(tracks=(Track([(i * 1920, 480, 40, 90) for i in range(4)], role="bass"),))
    assert find_flaw(bass, JAZZ) == "the melody is empty"
    assert find_flaw(bass, replace(JAZZ, tracks=("bass",))) == ""
    assert find_flaw(bass, replace(JAZZ, tracks=("bass",), bars=9)) == "only 4 of 9 bars hold notes"
    assert find_flaw(bass, replace(JAZZ, tracks=("bass",), bars=9, given=bass)) == "", (
        "it may rest as it likes"
    )
    assert find_flaw(Score(), JAZZ) == "no notes"
    for bars, flaw in ((8, ""), (9, "the melody repeats one pitch for 9 bars")):
        notes = [(0, 480, 62, 90), *((i * 1920 + 480, 480, 60, 90) for i in range(bars))]
        worn = Score(tracks=(Track(notes, role="melody"),))
        assert find_flaw(worn, replace(JAZZ, tracks=("melody",), bars=bars)) == flaw
        assert find_flaw(worn, replace(JAZZ, tracks=("melody",), bars=bars, given=worn)) == ""


IMPOSSIBLE = [
    {"bars": 0}, {"bars": 257}, {"qpm": 0.0}, {"qpm": 301.0}, {"qpm": float("nan")}, {"meter": (7, 3)},
    {"meter": (0, 4)}, {"meter": (16, 4)}, {"meter": (9, 1)}, {"temperature": 0.0}, {"temperature": float("inf")},
    {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}, {"density": 1.5}, {"given_roles": ("melody",)}, {"fill": (0, 4)},
]  # fmt: skip


@pytest.mark.parametrize("change", IMPOSSIBLE, ids=str)
def test_impossible_requests(change: dict[str, object]) -> None:
    check_request(JAZZ)
    with pytest.raises(UsageError):
        check_request(replace(JAZZ, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "loop", [{"candidates": 0}, {"candidates": 65}, {"min_style": 1.1}, {"max_rounds": 0}], ids=str
)
def test_impossible_loops(loop: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        run(**loop)


def test_given_piece_must_hold_what_is_kept_or_filled() -> None:
    bass = Score(tracks=(Track([(i * 1920, 1920, 40, 90) for i in range(4)], role="bass"),))
    check_request(replace(JAZZ, given=bass, given_roles=("bass",), fill=(2, 2)))
    with pytest.raises(UsageError, match="has no melody track; it has bass"):
        check_request(replace(JAZZ, given=bass, given_roles=("melody",)))
    with pytest.raises(UsageError, match="bars 4 to 5 cannot be filled: the given piece has 4 bars"):
        check_request(replace(JAZZ, given=bass, fill=(3, 2)))


def test_what_users_write_is_read() -> None:
    assert parse_meter(" 6/8 ") == (6, 8)
    assert (
        parse_key("F# minor") == (6, "minor")
        and parse_key("Bb") == (10, "major")
        and parse_key("Am") == (9, "minor")
    )
    assert parse_tracks("Melody, bass") == ("melody", "bass")
    assert parse_fill("5:4") == (4, 4)
    assert parse_chords("Dm7 G7 | Cmaj7 | % | N |") == (("D:min7", "G:7"), ("C:maj7",), ("C:maj7",), ("N",))


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parse_meter, "waltz"), (parse_key, "H"), (parse_key, "C lydian?"), (parse_tracks, "melody,tuba"),
        (parse_tracks, "bass,bass"), (parse_tracks, ","), (parse_fill, "0:4"), (parse_fill, "5-8"),
        (parse_chords, ""), (parse_chords, "% | C"), (parse_chords, "C || G"), (parse_chords, "Cwat | G"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_usage_error(read, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError):
        read(text)


def test_a_role_that_is_missing_or_rests_for_more_than_a_phrase_is_a_flaw() -> None:
    def part(role: str, bars: Sequence[int], length: int = 480) -> Track:
        return Track([(bar * 1920, length, 60, 90) for bar in bars], role=role)

    request = Request("jazz", 12, tracks=("melody", "bass"))
    tune = part("melody", range(12))
    assert find_gap(Score((tune, part("bass", range(12)))), request) == ""
    assert find_gap(Score((tune,)), request) == "the bass is missing"
    assert (
        find_gap(Score((tune, Track(role="drums"))), replace(request, tracks=("drums",)))
        == "the drums are missing"
    )
    assert find_gap(Score((tune, part("bass", [0, 5, 10]))), request) == "", "four bars of rest are a phrase"
    assert find_gap(Score((tune, part("bass", [0, 6, 10]))), request) == "5 bars without bass"
    assert find_gap(Score((tune, part("bass", range(7)))), request) == "5 bars without bass"
    assert find_gap(Score((tune, part("bass", [0], 12 * 1920))), request) == "", "a note that is held sounds"
    given_bass = replace(request, given=Score((tune,)), given_roles=("bass",))
    assert find_gap(Score((tune,)), given_bass) == "", "only what was to be written counts"
    filled = replace(request, given=Score((tune, part("bass", range(6)))), fill=(0, 6))
    assert find_gap(Score((tune, part("bass", range(6)))), filled) == ""


def test_a_piece_with_a_gap_is_chosen_only_where_no_other_is_without() -> None:
    class Gaps(Writer):
        def generate(self, request: Request, seeds: Sequence[int], progress: object = None) -> list[Draft]:
            drafts = super().generate(request, seeds, progress)  # type: ignore[arg-type]
            melody = [replace(d, score=replace(d.score, tracks=d.score.tracks[:1])) for d in drafts]
            return [*melody[:-1], drafts[-1]] if len(drafts) > 1 else melody

    request = replace(JAZZ, tracks=("melody", "bass"))
    piece = compose(request, Gaps(), Beeper(), Judge(), seed=3, candidates=4, min_style=0.0, max_rounds=1)
    assert piece.chosen.seed == piece.candidates[3].seed and piece.accepted
    assert [bool(c.flaw) for c in piece.candidates] == [True, True, True, False]
    alone = compose(request, Gaps(), Beeper(), Judge(), seed=3, candidates=1, min_style=0.0, max_rounds=1)
    assert alone.chosen.flaw == "the bass is missing" and not alone.accepted


def test_the_seed_of_a_candidate_gives_that_candidate() -> None:
    several = compose(JAZZ, Writer(), Beeper(), Judge(), seed=5, candidates=4, max_rounds=1)
    for candidate in several.candidates:
        alone = compose(JAZZ, Writer(), Beeper(), Judge(), seed=candidate.seed, candidates=1, max_rounds=1)
        assert alone.chosen.seed == candidate.seed
        assert alone.chosen.style_probability == pytest.approx(candidate.style_probability)
    assert loop_options({"candidates": 1}).max_rounds == 1 and loop_options({"candidates": 2}).max_rounds == 3
    assert loop_options({"candidates": 1, "max_rounds": 5, "seed": None}).max_rounds == 5
