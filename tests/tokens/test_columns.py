"""A piece in arrays is the same piece as a note at a time: notes, chords, tokens and fingerprints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slow_grid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pieces import pieces, rough_scores

from melodygen.analysis.chords import harmonise
from melodygen.data.scan import fingerprint_of
from melodygen.data.shards import encode_piece
from melodygen.errors import TokenError
from melodygen.music.score import Score, Tempo, TimeSignature, Track, note_array
from melodygen.tokens.grid import Piece, piece_to_columns, score_to_piece

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def crowded(seed: int) -> Score:
    """Thick chords on a coarse grid: equal onsets, doubled notes, more voices than tokens keep, tracks that share a
    role, notes that ring over bars."""
    rng = np.random.default_rng(seed)
    step = int(rng.choice((60, 120, 240)))
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    tracks = []
    for role in rng.choice(("melody", "chords", "bass", "drums", "other", "chords"), int(rng.integers(2, 6))):
        size = int(rng.integers(20, 300))
        pitch = rng.integers(4, 9, size) * 12 + rng.choice(scale, size)
        rows = zip(
            (rng.integers(0, 64, size) * step).tolist(), rng.choice((step, 2 * step, 480, 1920, 4000), size).tolist(),
            pitch.tolist(), rng.integers(1, 128, size).tolist(), strict=True,
        )  # fmt: skip
        tracks.append(Track(note_array(rows), 0, str(role) == "drums", str(role), str(role)))
    meter = ((4, 4), (6, 8), (3, 4), (12, 8))[seed % 4]
    return Score(tuple(tracks), (Tempo(0, 90.0),), (TimeSignature(0, *meter),), (), (), 480)


def same(score: Score) -> None:
    try:
        expected = slow_grid.score_to_piece(score)
    except TokenError as error:
        with pytest.raises(TokenError, match="no notes"):
            score_to_piece(score)
        assert "no notes" in str(error)
        return
    piece = score_to_piece(score)
    assert piece == expected
    for found in (piece, replace(piece, bars=tuple(replace(b, chords=()) for b in piece.bars))):
        same_piece(found)


def same_piece(piece: Piece) -> None:
    assert harmonise(piece) == slow_grid.harmonise(piece)
    assert fingerprint_of(piece_to_columns(piece)) == slow_grid.fingerprint_of(piece)
    encoded, expected = encode_piece(piece), slow_grid.encode_piece(piece)
    assert encoded.keys() == expected.keys()
    for name, array in expected.items():
        assert encoded[name].dtype == array.dtype and np.array_equal(encoded[name], array), name


@QUICK
@given(rough_scores())
def test_rough_scores(score: Score) -> None:
    same(score)


@pytest.mark.parametrize("seed", range(24))
def test_crowded_scores(seed: int) -> None:
    same(crowded(seed))


@QUICK
@given(st.data())
def test_pieces(data: st.DataObject) -> None:
    same_piece(data.draw(pieces()))
