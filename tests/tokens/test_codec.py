"""Pieces and tokens: quantising, encoding and decoding lose nothing that tokens can say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pieces import ToEncode, ended_pieces, rough_scores, to_encode, tune
from slow_grid import spelled_out

from melodygen.errors import MelodygenError, TokenError
from melodygen.music.score import Score, TimeSignature, Track, note_array
from melodygen.tokens.codec import Header, decode, decode_header, encode, encode_header
from melodygen.tokens.grid import GridBar, Piece, piece_to_score, score_to_piece
from melodygen.tokens.vocabulary import (
    DRUM_VELOCITIES,
    DRUM_VELOCITY_INDEX,
    DURATION_INDEX,
    DURATIONS,
    END,
    METERS,
    TEMPO_BANDS,
    VELOCITIES,
    VELOCITY_INDEX,
    VOCABULARY,
    tempo_band,
)

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
GOLDEN = Path(__file__).parents[1] / "golden"


@QUICK
@given(to_encode())
def test_decode_undoes_encode(made: ToEncode) -> None:
    piece, header, fill = made
    ids = encode(piece, header, fill)
    assert decode(ids, piece.qpm) == piece
    assert decode_header(ids)[0] == header
    assert ids[-1] == END


@QUICK
@given(to_encode())
def test_a_repeat_in_short_means_what_it_repeats(made: ToEncode) -> None:
    piece, header, fill = made
    plain, short = encode(piece, header, fill), encode(piece, header, fill, again=True)
    assert spelled_out(short) == plain
    assert decode(short, piece.qpm) == piece
    assert len(short) <= len(plain)


def test_a_bar_that_comes_back_costs_two_tokens_a_role() -> None:
    piece = score_to_piece(tune(1))
    header = Header(roles=("melody", "bass"))
    twice = Piece((*piece.bars, *piece.bars), piece.qpm, piece.key)
    again = encode(twice, header, again=True)
    assert [VOCABULARY.name(t) for t in again[-6:]] == [
        "bar:1", "role:melody", "again:1", "role:bass", "again:1", "end",
    ]  # fmt: skip


@QUICK
@given(rough_scores())
def test_quantising_twice_is_quantising_once(score: Score) -> None:
    piece = score_to_piece(score)
    assert score_to_piece(piece_to_score(piece)) == piece


@QUICK
@given(ended_pieces())
def test_a_piece_survives_being_a_score(piece: Piece) -> None:
    assert score_to_piece(piece_to_score(piece)) == piece


def test_silent_bars_at_the_end_are_lost_and_nothing_else() -> None:
    note = GridBar((4, 4), {"melody": ((0, 2, 11, 60),)})
    piece = Piece((note, GridBar((4, 4)), note, GridBar((4, 4))), 120.0, (0, "major"))
    assert score_to_piece(piece_to_score(piece)).bars == piece.bars[:3]


def test_a_note_held_over_the_last_bar_line_is_cut_there_only_if_quantising_carried_it_over() -> None:
    def melody(onset: int, duration: int) -> Score:
        return Score((Track(note_array([(onset, duration, 60, 90)]), role="melody"),), ticks_per_quarter=12)

    held = score_to_piece(melody(36, 30))  # rings into the second bar
    assert len(held.bars) == 2
    assert DURATIONS[held.bars[0].parts["melody"][0][2]] == 30
    rounded = score_to_piece(melody(44, 52))  # 52 would become 54 and need a third bar
    assert len(rounded.bars) == 2
    assert DURATIONS[rounded.bars[0].parts["melody"][0][2]] == 48


def test_a_bar_cut_short_by_a_meter_change_is_filled_up() -> None:
    rows = [(0, 480, 60, 90), (480, 480, 62, 90)]
    score = Score(
        (Track(note_array(rows), role="melody"),),
        time_signatures=(TimeSignature(0, 4, 4), TimeSignature(480, 3, 4)),
    )
    piece = score_to_piece(score)
    assert [b.meter for b in piece.bars] == [(4, 4), (3, 4)]
    assert [b.parts["melody"][0][0] for b in piece.bars] == [0, 0]


def test_two_meter_changes_a_tick_apart_make_no_empty_bar() -> None:
    score = tune(2, (3, 4))
    stumbling = Score(score.tracks, score.tempos, (TimeSignature(0, 4, 4), TimeSignature(1, 3, 4)))
    assert [b.meter for b in score_to_piece(stumbling).bars] == [(3, 4), (3, 4)]


def test_quantising_names_what_it_cannot_say() -> None:
    with pytest.raises(TokenError, match="no notes"):
        score_to_piece(Score())
    with pytest.raises(TokenError, match="no notes"):
        score_to_piece(Score((Track(note_array([(0, 1, 1, 1)]), is_drum=True, role="drums"),)))
    odd = Score(
        (Track(note_array([(0, 9, 60, 90)]), role="melody"),), time_signatures=(TimeSignature(0, 11, 8),)
    )
    with pytest.raises(TokenError, match="11/8"):
        score_to_piece(odd)
    with pytest.raises(TokenError, match="4 bars are more than the limit of 3"):
        score_to_piece(tune(4), max_bars=3)


def test_a_stray_note_far_away_is_an_error_and_not_a_full_memory() -> None:
    far = Score((Track(note_array([(2**39, 1, 60, 90)]), role="melody"),))
    with pytest.raises(MelodygenError, match="more than 100000 bars"):
        score_to_piece(far)


def test_notes_are_canonical_after_quantising() -> None:
    rows = [
        (0, 480, p, v) for p, v in ((60, 10), (60, 120), (64, 100), (67, 30), (71, 90), (72, 90), (76, 90))
    ]
    piece = score_to_piece(Score((Track(note_array(rows), role="melody"),)))
    notes = piece.bars[0].parts["melody"]
    assert [n[3] for n in notes] == [67, 71, 72, 76]  # a melody keeps its top four, each pitch once
    assert len({n[1] for n in notes}) == 1  # one loudness an onset


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([VOCABULARY.id("pitch", 60)], "outside a bar"),
        ([VOCABULARY.id("bar", 0), VOCABULARY.id("position", 3)], "position:3"),
        ([VOCABULARY.id("bar", 0), VOCABULARY.id("role", 1), VOCABULARY.id("position", 90)], "position:90"),
        ([VOCABULARY.id("bar", 0), VOCABULARY.id("role", 1), VOCABULARY.id("pitch", 60)], "pitch:60"),
        ([VOCABULARY.id("bar", 0), VOCABULARY.id("drum", 3)], "drum"),
        ([VOCABULARY.id("bar", 0), VOCABULARY.id("chord_quality", 3)], "chord_quality"),
        ([VOCABULARY.id("bar", 0), VOCABULARY.id("role", 1), VOCABULARY.id("again", 0)], "again:1"),
        ([VOCABULARY.id("bar", 0), VOCABULARY.id("again", 0)], "again:1"),
        ([4], "fill"),
        ([3, 3], "twice"),
        ([0], "pad"),
        ([VOCABULARY.size], "no token"),
        ([-1], "no token"),
    ],
)
def test_illegal_order_is_named_with_its_position(ids: list[int], message: str) -> None:
    head = encode_header(Header(meter=(4, 4)))
    with pytest.raises(TokenError, match=message) as caught:
        decode([*head, *ids])
    assert "position 1" in str(caught.value)


def test_a_stream_that_stops_early_keeps_what_is_whole() -> None:
    piece = score_to_piece(tune(3))
    header = Header(meter=(4, 4), roles=("chordline", "melody", "bass"))
    ids = encode(piece, header)
    for length in range(9, len(ids)):
        part = decode(ids[:length]) if length >= len(encode_header(header)) else None
        if part is not None and part.bars:
            assert part.bars[:-1] == piece.bars[: len(part.bars) - 1]


def test_a_fill_outside_the_piece_is_refused() -> None:
    piece = score_to_piece(tune(3))
    for fill in ((0, 0), (-1, 2), (2, 2), (5, -3)):
        with pytest.raises(TokenError, match="not inside the 3 bars"):
            encode(piece, Header(), fill)


def test_bands_hold_their_own_values() -> None:
    assert [VELOCITY_INDEX[v] for v in VELOCITIES] == list(range(len(VELOCITIES)))
    assert [DRUM_VELOCITY_INDEX[v] for v in DRUM_VELOCITIES] == list(range(len(DRUM_VELOCITIES)))
    assert [DURATION_INDEX[d] for d in DURATIONS] == list(range(len(DURATIONS)))
    assert [tempo_band(q) for q in TEMPO_BANDS] == list(range(len(TEMPO_BANDS)))


def test_transposition_tables_move_pitches_keys_and_chords_together() -> None:
    table = VOCABULARY.transpositions
    piece = score_to_piece(tune(2))
    header = Header(meter=(4, 4), key=(0, "major"), roles=("chordline", "melody", "bass"))
    for shift in range(-12, 12):
        moved = decode(table[12 + shift][encode(piece, header)].tolist(), piece.qpm)
        assert moved == score_to_piece(tune(2).transposed(shift))
    assert (np.sort(table[12 + 5][VOCABULARY.slice("key")]) == np.arange(*_bounds("key"))).all()


def _bounds(kind: str) -> tuple[int, int]:
    part = VOCABULARY.slice(kind)
    return part.start, part.stop


def test_the_vocabulary_is_the_one_the_weights_were_trained_on() -> None:
    """Changing an id or its meaning needs new weights, so it must be a decision."""
    golden = json.loads((GOLDEN / "tokens.json").read_text())
    assert VOCABULARY.vocabulary_id == golden["vocabulary_id"]
    assert [VOCABULARY.name(i) for i in range(VOCABULARY.size)] == golden["names"]
    assert len({*golden["names"]}) == VOCABULARY.size
    assert len(METERS) == golden["meters"]


def test_golden_tokens() -> None:
    golden = json.loads((GOLDEN / "tokens.json").read_text())
    from golden.make_golden import HEADER, golden_piece

    assert [VOCABULARY.name(t) for t in encode(golden_piece(), HEADER)] == golden["plain"]
    assert [VOCABULARY.name(t) for t in encode(golden_piece(), HEADER, (1, 2))] == golden["fill"]
