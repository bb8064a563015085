"""The built-in generator with tiny random nets: whatever is asked for is what is written."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pieces import tune
from tiny_generator import PROGRAMS, bars_of, make

from melodygen.contracts import Generator
from melodygen.errors import UsageError
from melodygen.generation.neural import NeuralGenerator
from melodygen.generation.prompt import finish
from melodygen.music.instruments import ROLE_RANGES, is_single_line, note_range
from melodygen.music.score import Score, Track, note_array
from melodygen.nets.lstm import Lstm
from melodygen.nets.transformer import Transformer
from melodygen.request import Request
from melodygen.tokens.grid import GridBar, Piece, piece_to_score, score_to_piece
from melodygen.tokens.vocabulary import DURATIONS, METERS


@pytest.fixture(scope="module")
def generator() -> NeuralGenerator:
    return make()


def rows(score: Score, role: str) -> list[tuple[int, ...]]:
    track = score.track_by_role(role)
    return [] if track is None else [tuple(n) for n in track]


def test_a_style_is_drawn_as_the_checkpoint_says_unless_the_user_says_so() -> None:
    def written(sampling: dict[str, dict[str, float]] | None, **asked: float) -> list[Any]:
        draft = make(sampling=sampling).generate(Request("polka", 2, **asked), [7])[0]
        return [rows(draft.score, role) for role in ("melody", "chords", "bass", "drums")]

    assert written(None) == written(None, temperature=0.9, top_p=0.95)
    assert (
        written({"polka": {"temperature": 3.0}})
        == written(None, temperature=3.0, top_p=0.95)
        != written(None)
    )
    assert written({"polka": {"temperature": 3.0}}, temperature=0.9) == written(None)


def test_it_keeps_the_contract(generator: NeuralGenerator) -> None:
    assert isinstance(generator, Generator)
    told: list[float] = []
    drafts = generator.generate(Request("polka", 3), [5, 6], told.append)
    assert [d.seed for d in drafts] == [5, 6]
    assert told == sorted(told)
    assert told[-1] == 1.0
    for draft in drafts:
        assert draft.num_tokens > 3
        assert -10 < draft.log_prob_per_token < 0
        assert draft.score.qpm == 110.0
        assert draft.score.title == "polka"


@pytest.mark.parametrize("kind", [Transformer, Lstm])
def test_the_same_seed_gives_the_same_draft(kind: type[Any]) -> None:
    request = Request("polka", 4)
    first, second = make(kind).generate(request, [1, 2]), make(kind).generate(request, [1, 2])
    assert [d.score for d in first] == [d.score for d in second]
    assert [d.log_prob_per_token for d in first] == [d.log_prob_per_token for d in second]
    assert first[0].score != first[1].score


@pytest.mark.parametrize("bars", [1, 2, 7])
@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (6, 8), (5, 4), (7, 8), (2, 2)])
def test_bars_meter_and_ranges_are_those_asked_for(
    generator: NeuralGenerator, bars: int, meter: tuple[int, int]
) -> None:
    request = Request("polka", bars, meter=meter, qpm=93.0, key=(3, "minor"))
    for draft in generator.generate(request, [1, 2, 3]):
        score = draft.score
        assert (score.time_signatures[0].numerator, score.time_signatures[0].denominator) == meter
        assert len(score.time_signatures) == 1
        assert score.qpm == 93.0
        assert (score.key_signatures[0].tonic, score.key_signatures[0].mode) == (3, "minor")
        length = bars * score.time_signatures[0].bar_quarters * score.ticks_per_quarter
        assert score.end_tick <= length  # nothing rings on: the piece ends
        assert all(c.tick < length for c in score.chords)
        for track in score.tracks:
            assert track.program == (0 if track.is_drum else PROGRAMS[track.role])
            low, high = (0, 127) if track.is_drum else note_range(track.role, track.program)
            assert all(low <= n.pitch <= high for n in track)
            if not track.is_drum and is_single_line(track.role, track.program):
                listed = list(track)
                assert all(a.offset_tick <= b.onset_tick for a, b in pairwise(listed))


def test_every_meter_tokens_know_can_be_written(generator: NeuralGenerator) -> None:
    for meter in METERS:
        (draft,) = generator.generate(Request("polka", 4, meter=meter, tracks=("melody", "drums")), [1])
        assert {b.meter for b in bars_of(draft)} <= {meter}


def test_only_the_tracks_asked_for(generator: NeuralGenerator) -> None:
    for tracks in (("drums",), ("melody",), ("bass", "melody"), ("other", "chords")):
        for draft in generator.generate(Request("polka", 6, tracks=tracks), [1, 2]):
            assert {t.role for t in draft.score.tracks} <= set(tracks)
            assert draft.score.num_notes


def test_given_chords_are_exactly_those(generator: NeuralGenerator) -> None:
    chords = (("C:maj",), ("A:min7", "D:7"), ("N",), ("G:7", "G:7"))
    for meter, places in (((4, 4), (0, 24)), ((3, 4), (0, 18)), ((6, 8), (0, 18))):
        (draft,) = generator.generate(Request("polka", 6, meter=meter, chords=chords), [3])
        size = round(meter[0] * 4 / meter[1] * 480)
        expected = [
            (bar * size + places[i] * 40, label)
            for bar in range(6)
            for i, label in enumerate(chords[bar % 4])
        ]
        assert [(c.tick, c.label) for c in draft.score.chords] == expected


def test_too_many_chords_for_a_bar_are_refused(generator: NeuralGenerator) -> None:
    with pytest.raises(UsageError, match="9 chords do not fit into one bar of 4/4"):
        generator.generate(Request("polka", 2, meter=(4, 4), chords=(("C",) * 9,)), [1])


@pytest.mark.parametrize("given_roles", [("melody",), ("bass", "drums"), ()])
def test_given_roles_are_kept_exactly(generator: NeuralGenerator, given_roles: tuple[str, ...]) -> None:
    given = tune(6, (3, 4), ("melody", "bass", "drums"))
    quiet = [t.notes[(t.notes["onset_tick"] < 1440) | (t.notes["onset_tick"] >= 4320)] for t in given.tracks]
    given = replace(
        given, tracks=tuple(replace(t, notes=note_array(n)) for t, n in zip(given.tracks, quiet, strict=True))
    )
    request = Request("polka", 6, tracks=("melody", "chords", "bass"), given=given, given_roles=given_roles)
    on_grid = score_to_piece(given)
    drafts = generator.generate(request, [1, 2, 3, 4])
    assert any(rows(d.score, "chords") for d in drafts)
    for draft in drafts:
        piece = score_to_piece(draft.score)
        for role in given_roles or ("melody", "bass", "drums"):
            kept = [b.parts.get(role, ()) for b in on_grid.bars]
            assert [b.parts.get(role, ()) for b in piece.bars[:6]] == kept
            assert kept[1] == kept[2] == ()
        assert [b.chords for b in piece.bars[:6]] == [b.chords for b in on_grid.bars]


def test_overlapping_given_bass_notes_are_not_cut(generator: NeuralGenerator) -> None:
    bass = Track(
        note_array([(0, 1920, 36, 90), (480, 960, 43, 90), (1440, 480, 40, 90)]), 32, False, "bass", "bass"
    )
    given = Score((bass,))
    (draft,) = generator.generate(
        Request("polka", 1, tracks=("melody",), given=given, given_roles=("bass",)), [1]
    )
    assert [r[:3] for r in rows(draft.score, "bass")] == [r[:3] for r in rows(given, "bass")]


def test_a_given_piece_shorter_than_asked_for_is_followed_by_more_bars(generator: NeuralGenerator) -> None:
    given = tune(2, roles=("melody",))
    request = Request("polka", 5, tracks=("bass", "drums"), given=given, given_roles=("melody",))
    drafts = generator.generate(request, [1, 2, 3])
    assert max(d.score.end_tick for d in drafts) > 2 * 1920
    assert max(d.score.end_tick for d in drafts) <= 5 * 1920
    long = generator.generate(replace(request, bars=1), [1])[0]
    assert 1920 < long.score.end_tick <= 2 * 1920


def test_given_meter_changes_are_followed(generator: NeuralGenerator) -> None:
    four, three = tune(2, (4, 4)), tune(2, (3, 4))
    shifted = [(n.onset_tick + 3840, *n[1:]) for n in three.tracks[0]]
    melody = Track(note_array([*four.tracks[0], *shifted]), role="melody", name="melody")
    given = Score(
        (melody,), time_signatures=(*four.time_signatures, replace(three.time_signatures[0], tick=3840))
    )
    request = Request("polka", 4, tracks=("bass",), given=given, given_roles=("melody",))
    for fill in (None, (1, 2)):
        asked = replace(request, fill=fill, given_roles=() if fill else ("melody",))
        (draft,) = generator.generate(asked, [4])
        assert [(t.tick, str(t)) for t in draft.score.time_signatures] == [(0, "4/4"), (3840, "3/4")]


@pytest.mark.parametrize("fill", [(0, 2), (3, 1), (2, 4), (0, 6)])
@pytest.mark.parametrize("meter", [(4, 4), (6, 8)])
def test_fill_changes_the_gap_and_nothing_else(
    generator: NeuralGenerator, fill: tuple[int, int], meter: tuple[int, int]
) -> None:
    given = tune(6, meter, ("melody", "chords", "bass", "drums"))
    before = score_to_piece(given).bars
    drafts = generator.generate(Request("polka", given=given, fill=fill), [1, 2])
    gap = range(fill[0], fill[0] + fill[1])
    for draft in drafts:
        after = bars_of(draft)
        outside = [i for i in range(6) if i not in gap]
        assert [after[i] for i in outside] == [before[i] for i in outside]
        assert [after[i].parts for i in gap if i < len(after)] != [before[i].parts for i in gap]
        assert len(after) <= 6
    assert drafts[0].score != drafts[1].score


@pytest.mark.parametrize("prompted", [False, True])
def test_what_goes_on_is_written_as_if_more_were_to_come(generator: NeuralGenerator, prompted: bool) -> None:
    """The countdown does not reach the last bar, so that nothing is led home; the bars are those asked for."""
    request = Request("polka", bars=2, meter=(2, 4), prompt=tune() if prompted else None)
    ends, goes_on = (generator._plan(replace(request, goes_on=more)) for more in (False, True))
    assert (ends._ends_piece, goes_on._ends_piece) == (True, False)
    assert goes_on._first_left - ends._first_left == goes_on._stop_at - ends._stop_at == 8
    assert len(bars_of(generator.generate(replace(request, goes_on=True), [1])[0])) == 2


def test_fill_can_keep_roles_in_the_gap(generator: NeuralGenerator) -> None:
    given = tune(4, (4, 4), ("melody", "bass", "drums"))
    request = Request("polka", given=given, fill=(1, 2), given_roles=("bass",))
    (draft,) = generator.generate(request, [7])
    assert rows(draft.score, "bass") == rows(given, "bass")
    assert rows(draft.score, "melody") != score_rows(given, "melody")


def score_rows(score: Score, role: str) -> list[tuple[int, ...]]:
    return rows(piece_to_score(score_to_piece(score)), role)


@pytest.mark.parametrize("meter", [None, (3, 4)])
def test_a_prompt_is_gone_on_from(generator: NeuralGenerator, meter: tuple[int, int] | None) -> None:
    prompt = tune(4, (6, 8))
    drafts = generator.generate(Request("polka", 3, meter=meter, prompt=prompt), [1, 2])
    alone = generator.generate(Request("polka", 3, meter=meter or (6, 8), qpm=100.0), [1, 2])
    for draft in drafts:
        expected = meter or (6, 8)
        assert [(t.numerator, t.denominator) for t in draft.score.time_signatures] == [expected]
        assert draft.score.end_tick <= 3 * 1440  # the new bars only
        assert draft.score.qpm == 100.0
    assert any(d.score.num_notes for d in drafts)
    assert [d.log_prob_per_token for d in drafts] != [d.log_prob_per_token for d in alone]


@pytest.mark.parametrize("kind", [Transformer, Lstm])
def test_64_bars_do_not_fit_the_context_and_are_written_all_the_same(kind: type[Any]) -> None:
    small = make(kind, context=256)
    drafts = small.generate(Request("polka", 64, meter=(4, 4)), [1, 2])
    for draft in drafts:
        assert draft.num_tokens > 256
        assert 60 * 1920 < draft.score.end_tick <= 64 * 1920
    again = make(kind, context=256).generate(Request("polka", 64, meter=(4, 4)), [1, 2])
    assert [d.score for d in drafts] == [d.score for d in again]


def test_long_given_music_fits_any_context() -> None:
    small = make(context=256)
    given = tune(40, (4, 4), ("melody", "chords", "bass", "drums"))
    filled = small.generate(Request("polka", given=given, fill=(10, 20)), [1])[0]
    before, after = score_to_piece(given).bars, bars_of(filled)
    assert (after[:10], after[30:]) == (before[:10], before[30:])
    under = Request(
        "polka", 40, tracks=("other",), given=given, given_roles=("melody", "chords", "bass", "drums")
    )
    assert rows(small.generate(under, [1])[0].score, "melody") == score_rows(given, "melody")
    ahead = small.generate(Request("polka", 20, prompt=given), [1])[0]
    assert 0 < ahead.score.end_tick <= 20 * 1920


def test_a_given_bar_longer_than_the_context_is_kept() -> None:
    small = make(context=256)
    rng = np.random.default_rng(0)
    notes = [
        (at * 40, 40, int(p), 90) for at in range(96) for p in rng.choice(np.arange(36, 90), 4, replace=False)
    ]
    given = Score((Track(note_array(notes), role="melody"),), time_signatures=())
    given = replace(given, time_signatures=(tune(1, (8, 4)).time_signatures))
    (draft,) = small.generate(Request("polka", 2, tracks=("bass",), given=given), [1])
    assert score_rows(given, "melody") == rows(draft.score, "melody")


def test_a_drawn_key_has_at_most_four_accidentals(generator: NeuralGenerator) -> None:
    drafts = generator.generate(Request("polka", 1, 110.0, (2, 4), tracks=("melody",)), range(60))
    keys = {(k.tonic, k.mode) for d in drafts for k in d.score.key_signatures}
    accidentals = {(7 * ((t + (3 if mode == "minor" else 0)) % 12) + 6) % 12 - 6 for t, mode in keys}
    assert accidentals <= set(range(-4, 5)) and len(keys) > 9 and {m for _, m in keys} == {"major", "minor"}


def test_density_is_asked_for_by_quantile(generator: NeuralGenerator) -> None:
    levels = [generator._plan(Request("polka", 2, density=d)).header.density for d in (0.0, 0.5, 1.0)]
    assert levels == [1, 3, 5]
    assert generator._plan(Request("polka", 2)).header.density is None


def test_what_cannot_be_written_is_said(generator: NeuralGenerator) -> None:
    given = tune(4, roles=("melody",))
    refused = {
        "style 'mazurka' is not known": Request("mazurka"),
        "meter 13/8 is not one this model writes": Request("polka", meter=(13, 8)),
        "fill needs the piece": Request("polka", fill=(0, 1)),
        "bars 4 to 6 cannot be filled: the piece has 4": Request("polka", given=given, fill=(3, 3)),
        "has no bass": Request("polka", given=given, given_roles=("bass",)),
        "the given piece cannot be used: no notes": Request("polka", given=Score()),
        "the prompt cannot be used: no notes": Request("polka", prompt=Score()),
    }
    for message, request in refused.items():
        with pytest.raises(UsageError, match=message):
            generator.generate(request, [1])


def test_music_without_roles_gets_them(generator: NeuralGenerator) -> None:
    given = tune(4, roles=("melody", "bass", "drums"))
    nameless = replace(
        given,
        tracks=tuple(
            replace(t, role="drums" if t.is_drum else "other", name="", program=5) for t in given.tracks
        ),
    )
    (draft,) = generator.generate(Request("polka", 4, tracks=("chords",), given=nameless), [1])
    for role in ("melody", "bass", "drums"):
        assert rows(draft.score, role) == rows(given, role)
    melody = draft.score.track_by_role("melody")
    assert melody is not None
    assert melody.program == 5


def test_notes_end_with_the_piece_and_single_lines_do_not_overlap() -> None:
    long = len(DURATIONS) - 1
    bars = (
        GridBar((4, 4), {"bass": ((0, 2, long, 40), (24, 2, long, 43)), "chords": ((0, 2, long, 60),)}),
        GridBar((4, 4), {"bass": ((12, 2, long, 45),)}),
    )
    done = finish(bars, frozenset({"bass"}), range(2), frozenset())
    lengths = [[DURATIONS[n[2]] for n in b.parts["bass"]] for b in done]
    assert lengths == [[24, 36], [36]]
    assert DURATIONS[done[0].parts["chords"][0][2]] == 96
    assert finish(bars, frozenset({"bass"}), range(2), frozenset({"bass", "chords"})) == bars
    assert finish(bars, frozenset({"bass"}), range(1, 2), frozenset())[0] == bars[0]
    assert Piece(done).num_notes() == 4


def test_instruments_have_room_for_a_tune() -> None:
    for role in ROLE_RANGES:
        for program in range(128):
            low, high = note_range(role, program)
            assert low >= 0
            assert high <= 127
            assert high - low >= 17
