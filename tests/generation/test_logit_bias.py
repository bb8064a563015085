"""Logit bias: with large values each bias does what it says; with ``raw`` none of them does anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_generator import bars_of, make

from melodygen.contracts import Draft
from melodygen.evaluation.band import KICK, bass_figures, key_heard, line_figures, tune_clash
from melodygen.evaluation.statistics import chord_tone_share, ending
from melodygen.generation import logit_bias, stream
from melodygen.generation.logit_bias import LogitBias, LogitBiasConfig
from melodygen.generation.quality import CYMBALS
from melodygen.request import Request
from melodygen.tokens.codec import Header, encode_header
from melodygen.tokens.grammar import Grammar
from melodygen.tokens.grid import score_to_piece

SONG = Request("polka", 16, meter=(4, 4), key=(3, "minor"), tracks=("melody", "chords", "bass"))
NONE = LogitBiasConfig(0.0, 0.0, 0.0)


@pytest.fixture(autouse=True)
def parts_may_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny net leaves out a role in most bars; that it must not rest for long would hide what a bias does."""
    monkeypatch.setattr(stream, "MAX_SILENT_BARS", 99)


def written(config: LogitBiasConfig, request: Request = SONG, pieces: int = 6) -> list[Draft]:
    generator = make()
    generator._logit_bias = {"polka": config}
    return generator.generate(request, range(1, 1 + pieces))


def before_the_end(draft: Draft) -> float:
    """Share of chord tones without the last bar, which is biased towards home and not towards its chord."""
    piece = score_to_piece(draft.score)
    return chord_tone_share(replace(piece, bars=piece.bars[:-1]))


def test_strong_beats_are_on_the_chord() -> None:
    request = replace(SONG, chords=(("C:maj", "F:min"), ("G:7",)))
    plain, biased = (
        [before_the_end(draft) for draft in written(replace(NONE, chord=chord), request, 40)]
        for chord in (0.0, 60.0)
    )
    assert np.isfinite(plain).sum() >= 5 and np.nanmean(plain) < 0.8
    assert set(np.array(biased)[~np.isnan(biased)]) == {1.0}


def test_the_last_bar_comes_home_and_rings() -> None:
    for draft in written(replace(NONE, home=80.0)):
        piece = score_to_piece(draft.score)
        assert piece.bars[-1].chords[-1][1] == 3
        last = piece.bars[-1].parts
        assert {n[3] % 12 for n in last["bass"]} == {3}
        assert {n[3] % 12 for n in last["melody"]} <= {3, 6, 10}
        assert len({n[0] for n in last["melody"]}) == 1  # one thing is said, and held
        assert ending(piece)["cut notes"] == 0.0
        for role in ("melody", "bass"):
            track = draft.score.track_by_role(role)
            assert track is not None
            end = track.notes[-1]["onset_tick"] + track.notes[-1]["duration_ticks"]
            assert 16 * 1920 - 440 <= end <= 16 * 1920  # to the end, as nearly as durations can say


def test_home_is_the_last_chord_where_chords_are_asked_for() -> None:
    request = replace(SONG, key=None, chords=(("C:maj",),) * 15 + (("D:7", "A:min"),))
    for draft in written(replace(NONE, home=80.0), request):
        assert {n[3] % 12 for n in bars_of(draft)[-1].parts["bass"]} == {9}


def test_phrases_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logit_bias, "RETURN_NATS", 80.0)
    for draft in written(replace(NONE, back=1.0)):
        bars = bars_of(draft)
        assert [b.parts for b in bars[4:8]] == [b.parts for b in bars[:4]]
        assert bars[8].parts in [b.parts for b in bars[:8]]  # chords may be estimated from their surroundings
    assert all(bars_of(d)[4] != bars_of(d)[0] for d in written(NONE))


def test_a_bar_that_varied_is_left_alone() -> None:
    header = Header(meter=(4, 4), roles=("melody",))
    grammar, follower = (
        Grammar(header, 16),
        LogitBias(LogitBiasConfig(0, 1.0, 0), None, True, np.random.default_rng(0)),
    )
    rng = np.random.default_rng(1)
    biases: list[bool] = []
    while not grammar.ended:
        token = int(rng.choice(np.flatnonzero(grammar.allowed())))
        added = follower.values(grammar)
        biases.append(added is not None and bool(added.any()))
        grammar.advance(token)
        follower.take(token, grammar)
    assert any(biases)  # at the beginnings of bars
    assert sum(biases) < len(biases) / 2
    assert len(encode_header(header)) < len(biases)


def test_raw_music_is_not_biased() -> None:
    raw = replace(SONG, raw=True)
    hard, none = written(LogitBiasConfig(60.0, 1.0, 80.0), raw), written(NONE, raw)
    assert [d.score for d in hard] == [d.score for d in none]
    assert [d.score for d in written(LogitBiasConfig(60.0, 1.0, 80.0))] != [d.score for d in none]


def test_a_tune_does_not_say_one_note_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def longest(draft: Draft) -> int:
        track = draft.score.track_by_role("melody")
        assert track is not None
        pitches = track.notes["pitch"]
        turns = np.flatnonzero(np.diff(pitches) != 0)
        return int(np.diff(np.concatenate(([-1], turns, [len(pitches) - 1]))).max())

    monkeypatch.setattr(logit_bias, "REPEATS_BEFORE_BIAS", 0)
    monkeypatch.setattr(logit_bias, "REPEAT_NATS", -80.0)  # the last pitch is preferred
    for draft in written(NONE):
        melody = draft.score.track_by_role("melody")
        assert melody is not None
        assert longest(draft) == len(melody) > 2
    monkeypatch.setattr(logit_bias, "REPEATS_BEFORE_BIAS", 1)
    monkeypatch.setattr(logit_bias, "REPEAT_NATS", 80.0)
    monkeypatch.setattr(logit_bias, "MAX_REPEAT_NATS", 80.0)
    assert max(longest(d) for d in written(NONE)) <= 2


def test_a_pitch_is_repeated_less() -> None:
    def repeats(drafts: list[Draft]) -> float:
        return float(np.mean([line_figures(score_to_piece(d.score))["top line repeats"] for d in drafts]))

    alone = replace(SONG, tracks=("melody",))
    assert repeats(written(replace(NONE, repeat=-80.0), alone)) > 0.9  # the last bar is left to the tonic
    assert repeats(written(replace(NONE, repeat=80.0), alone)) < 0.1


def test_the_bass_repeats_its_pitch_less() -> None:
    def repeats(drafts: list[Draft]) -> float:
        return float(np.mean([bass_figures(score_to_piece(d.score))["bass repeats"] for d in drafts]))

    alone = replace(SONG, tracks=("bass",))
    assert repeats(written(replace(NONE, bass_repeat=-80.0), alone)) > 0.9
    assert repeats(written(replace(NONE, bass_repeat=80.0), alone)) < 0.1


def test_parts_do_not_clash_with_the_tune() -> None:
    def clash(drafts: list[Draft]) -> float:
        return float(np.nanmean([tune_clash(score_to_piece(d.score)) for d in drafts]))

    assert clash(written(replace(NONE, clash=80.0))) < 0.5 * clash(written(NONE))


def test_the_key_is_heard() -> None:
    def heard(drafts: list[Draft]) -> float:
        return float(np.mean([key_heard(score_to_piece(d.score)) for d in drafts]))

    assert heard(written(NONE)) < 0.5
    assert heard(written(replace(NONE, key=4.0))) > 0.8
    chords = replace(SONG, key=None, chords=(("C:maj",), ("A:min",)))
    assert [d.score for d in written(replace(NONE, key=80.0), chords)] == [
        d.score for d in written(NONE, chords)
    ]


def test_what_returns_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logit_bias, "RETURN_NATS", 80.0)
    for draft in written(replace(NONE, back=1.0, repeat=40.0, bass_repeat=40.0, clash=40.0, key=40.0)):
        bars = bars_of(draft)
        assert [b.parts for b in bars[4:8]] == [b.parts for b in bars[:4]]


def test_drums_vary() -> None:
    request = replace(SONG, tracks=("drums",))

    def repeats(drafts: list[Draft]) -> float:
        bars = [[b.parts.get("drums") for b in bars_of(d)[:-1]] for d in drafts]
        return float(
            np.mean([1 - len(set(filter(None, b))) / max(1, len(list(filter(None, b)))) for b in bars])
        )

    assert repeats(written(replace(NONE, vary=-80.0), request)) > 0.6
    assert repeats(written(replace(NONE, vary=80.0), request)) < 0.2


def test_kicks_fall_on_the_bass() -> None:
    """In bars that have a bass; the last one is left to the close."""

    def together(drafts: list[Draft]) -> float:
        found = []
        for bar in (b for d in drafts for b in bars_of(d)[:-1] if "bass" in b.parts):
            bass = {n[0] for n in bar.parts["bass"]}
            found += [n[0] in bass for n in bar.parts.get("drums", ()) if n[1] == KICK]
        return float(np.mean(found))

    request = replace(SONG, tracks=("bass", "drums"))
    assert together(written(replace(NONE, lock=80.0), request)) > 0.95
    assert together(written(replace(NONE, lock=-80.0), request)) < 0.05


def test_chords_are_struck_and_cymbals_keep_time() -> None:
    request = replace(SONG, tracks=("melody", "chords", "drums"))
    hard, none = (written(config, request) for config in (replace(NONE, comping=80.0, cymbals=80.0), NONE))

    def held(draft: Draft) -> int:
        track = draft.score.track_by_role("chords")
        assert track is not None
        return int((track.notes["duration_ticks"] >= 0.74 * 1920).sum())

    def cymbals(drafts: list[Draft]) -> float:
        """Share of cymbal strokes in all strokes."""
        keys = np.concatenate([t.notes["pitch"] for d in drafts for t in d.score.tracks if t.is_drum])
        return float(np.isin(keys, CYMBALS).mean())

    assert sum(map(held, none)) > 0 and sum(map(held, hard)) <= 6 * 6, "in the last bar they may ring"
    assert cymbals(none) < 0.6
    assert cymbals(hard) > 0.75
