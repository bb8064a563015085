"""The second judge tells music apart by its notes, and by nothing a request decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pieces import tune as lead_sheet
from training_folder import tune

from melodygen.evaluation.note_classifier import NoteStatisticsClassifier, describe, windows
from melodygen.music.score import Tempo
from melodygen.tokens.columns import quantise

pytest.importorskip("sklearn")


def test_it_tells_rising_from_falling_pieces() -> None:
    pieces = [quantise(tune(seed, up, 16)) for up in (True, False) for seed in range(12)]
    labels = ["up"] * 12 + ["down"] * 12
    judge = NoteStatisticsClassifier(pieces, labels, trees=40)
    assert judge.labels == ("down", "up")
    assert [judge.name(quantise(tune(99 + seed, up, 16))) for up in (True, False) for seed in range(4)] == (
        ["up"] * 4 + ["down"] * 4
    )
    assert judge.judge(pieces[0]).sum() == pytest.approx(1.0)


def test_tempo_instruments_and_key_are_not_seen() -> None:
    score = lead_sheet(8, roles=("melody", "chords", "bass"))
    other = replace(
        score.transposed(3),
        tempos=(Tempo(0, 33.0),),
        tracks=tuple(replace(t, program=9) for t in score.tracks),
    )
    plain = describe(quantise(replace(score, key_signatures=())))
    changed = describe(quantise(replace(other, key_signatures=(), tracks=other.tracks)))
    assert np.isfinite(plain).all() and np.array_equal(plain, changed)
    moved = describe(quantise(replace(score.transposed(3), key_signatures=())))
    # only the register moves with the key: the mean pitch of three roles
    assert (moved != plain).sum() == 3


def test_windows_cover_a_piece() -> None:
    long = quantise(lead_sheet(40))
    parts = list(windows(long))
    assert [p.num_bars for p in parts] == [16, 16, 8]
    assert sum(len(p.bar) for p in parts) == len(long.bar) and all(int(p.bar.min()) == 0 for p in parts)
    assert [p.num_bars for p in windows(quantise(lead_sheet(3)))] == [3]
