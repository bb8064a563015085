"""Recommendations: tastes kept apart, recency, others' plays, diversity; histories in all their forms; small steps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from melodygen.errors import LibraryError
from melodygen.library.history import Listen, plays_of, read_history
from melodygen.library.path import path_between, resampled, tempo_distance
from melodygen.library.recommend import (
    DAY,
    Choice,
    OthersModel,
    bm25,
    ease,
    recency_weights,
    recommend,
    tastes_of,
)
from melodygen.library.track import Facts, Tags, TrackRecord


def groups(count: int, each: int, seed: int = 0) -> np.ndarray:
    """``count`` groups of unit vectors around axes of their own."""
    rng = np.random.default_rng(seed)
    points = np.repeat(np.eye(count, 8), each, axis=0) + 0.15 * rng.standard_normal((count * each, 8))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


VECTORS = groups(4, 25)


def test_recent_plays_weigh_more() -> None:
    weights = recency_weights([1, 2, 2], [100 * DAY, 70 * DAY, 40 * DAY], now=100 * DAY)
    assert weights == {1: 1.0, 2: pytest.approx(0.5 + 0.25)}


def test_two_tastes_of_one_listener_are_kept_apart_and_both_served() -> None:
    heard = {i: 1.0 for i in (0, 1, 2, 50, 51, 52)}
    assert sorted(taste.items for taste in tastes_of(VECTORS, heard)) == [(0, 1, 2), (50, 51, 52)]
    allowed = np.ones(100, dtype=bool)
    allowed[list(heard)] = False
    found = recommend(VECTORS, heard, None, top=10, allowed=allowed)
    assert {p.item // 25 for p in found} == {0, 2}
    assert not {p.item for p in found} & set(heard)
    assert all(p.like in heard and p.like // 25 == p.item // 25 for p in found)


def plays_by_group(rng: np.random.Generator, listeners: int) -> tuple[np.ndarray, np.ndarray]:
    """Each listener plays of one group; groups are unknown to the vectors: item i is of group i % 4."""
    who, what = [], []
    for listener in range(listeners):
        items = rng.choice(25, 12, replace=False) * 4 + listener % 4
        who += [listener] * 12
        what += items.tolist()
    return np.array(who), np.array(what)


@pytest.mark.parametrize("dense", [True, False])
def test_what_others_played_together_is_proposed(dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("melodygen.library.recommend.MAX_DENSE", 1_000 if dense else 0)
    who, what = plays_by_group(np.random.default_rng(1), 80)
    others = OthersModel(who, what, np.ones(len(who)), 100)
    heard = {i: 1.0 for i in (1, 5, 9, 13)}
    allowed = np.array([i not in heard for i in range(100)])
    found = recommend(
        VECTORS, heard, others, top=10, allowed=allowed, choice=Choice(blend=1.0, diversity=0.0)
    )
    assert sum(p.item % 4 == 1 for p in found) >= 9


def test_diversity_and_novelty_do_what_they_say() -> None:
    heard = {0: 1.0, 1: 1.0, 2: 1.0}
    allowed = np.array([i not in heard for i in range(100)])
    plain, varied = (
        recommend(VECTORS, heard, None, top=8, allowed=allowed, choice=Choice(diversity=d))
        for d in (0.0, 0.7)
    )

    def alike(found: list) -> float:  # type: ignore[type-arg]
        points = VECTORS[[p.item for p in found]]
        return float((points @ points.T)[np.triu_indices(len(found), 1)].mean())

    assert alike(varied) < alike(plain) - 0.1
    who, what = plays_by_group(np.random.default_rng(1), 40)
    loud = (
        np.concatenate((what, np.repeat(4 * np.arange(3) + 1, 40))),
        np.concatenate((who, np.tile(np.arange(40), 3))),
    )
    others = OthersModel(loud[1], loud[0], np.ones(len(loud[0])), 100)
    common = {1, 5, 9}
    everything = np.ones(100, dtype=bool)
    found = []
    for novelty in (0.0, 1.0):
        choice = Choice(novelty=novelty, diversity=0.0)
        listed = recommend(VECTORS, {13: 1.0}, others, top=20, allowed=everything, choice=choice)
        found.append({p.item for p in listed})
    assert common <= found[0] and not common & found[1]


def test_ease_is_the_closed_form_of_ridge_regression_on_the_other_items() -> None:
    """Each item's weights are those of a ridge regression of its column on all others."""
    rng = np.random.default_rng(0)
    table = (rng.random((30, 6)) < 0.4).astype(float)
    weights = ease(sparse.csr_matrix(table), pull=0.1)
    for item in range(6):
        others = [i for i in range(6) if i != item]
        a = table[:, others]
        expected = np.linalg.solve(a.T @ a + 3.0 * np.eye(5), a.T @ table[:, item])
        assert np.allclose(weights[others, item], expected)
        assert weights[item, item] == 0


def test_bm25_is_the_formula_on_a_small_table() -> None:
    table = np.array([[3.0, 0, 1], [1, 2, 0]])
    weighted = bm25(sparse.csr_matrix(table), k1=1.2, b=0.75).toarray()
    length = table.sum(axis=0)
    norm = 0.25 + 0.75 * length / length.mean()
    expected = table * 2.2 / (1.2 * norm + table) * np.log(4 / 3)
    assert np.allclose(weighted, expected)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain.csv", "track,time\nBlue Moon,2026-01-02 10:00\nSolar,1767348000\n"),
        (
            "lastfm.csv",
            '"uts","utc_time","artist","album","track"\n'
            '"1767348000","x","Bill","A","Blue Moon"\n"1767348000","x","","A","Solar"\n',
        ),
        ("bare.csv", "Bill,Album,Blue Moon,02 Jan 2026 10:00\nBill,Album,Solar,02 Jan 2026 10:00\n"),
        ("listens.json", '[{"listened_at": 1767348000, "track_metadata": {"track_name": "Blue Moon"}},'
                         '{"listened_at": 1767348000, "track_metadata": {"track_name": "Solar"}}]'),
        ("listens.jsonl", '{"listened_at": 1767348000, "track_metadata": {"track_name": "Blue Moon"}}\n'
                          '{"listened_at": 1767348000, "track_metadata": {"track_name": "Solar"}}\n'),
    ],
)  # fmt: skip
def test_histories_in_all_their_forms(tmp_path, name: str, text: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / name).write_text("\ufeff" + text if name == "plain.csv" else text, encoding="utf-8")
    listens = read_history(tmp_path / name)
    assert [listen.title for listen in listens] == ["Blue Moon", "Solar"]
    assert [listen.played_at for listen in listens] == [1767348000.0] * 2


@pytest.mark.parametrize(
    "text", ["", "a,b\nc,d\n", "track,time\n", "track,time\nx,yesterday\n", "[1, 2]", "{", "\0\0"]
)
def test_what_is_no_history_is_said(tmp_path, text: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "h.csv").write_text(text)
    with pytest.raises(LibraryError, match=r"h\.csv"):
        read_history(tmp_path / "h.csv")


def test_listens_find_their_tracks() -> None:
    facts = Facts("recording", 100.0)
    tracks = [
        TrackRecord(1, "a", ("/m/Bill - Solar.mp3",), facts, Tags("Solar", "Bill Evans")),
        TrackRecord(2, "b", ("/m/x.mp3",), facts, Tags("Süße Tränen!", "Anna")),
        TrackRecord(3, "c", ("/m/y.mp3", "/n/y.mp3"), facts, Tags()),
        TrackRecord(4, "d", ("/m/z.mp3",), facts, Tags("Solar", "Someone else")),
    ]
    listens = [
        Listen("solar", "BILL EVANS"), Listen("susse tranen"), Listen("", path="/n/y.mp3"), Listen("y"),
        Listen("Solar"), Listen("Nothing", "Nobody"),
    ]  # fmt: skip
    plays, unknown = plays_of(listens, tracks, now=5.0)
    assert [p.track_id for p in plays] == [1, 2, 3, 3]
    assert unknown == 2  # a title that is there twice is not guessed


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 99), end=st.integers(0, 99), length=st.integers(2, 30))
def test_a_path_begins_ends_and_takes_small_steps(start: int, end: int, length: int) -> None:
    if start == end:
        return
    path = path_between(VECTORS, start, end, [None] * 100)
    assert path[0] == start and path[-1] == end and len(set(path)) == len(path)
    direct = 1 - float(VECTORS[start] @ VECTORS[end])
    steps = [1 - float(VECTORS[a] @ VECTORS[b]) for a, b in pairwise(path)]
    assert sum(s**3 for s in steps) <= direct**3 + 1e-5
    cut = resampled(VECTORS, path, length)
    assert (cut[0], cut[-1], len(cut), len(set(cut))) == (start, end, length, length)


def test_tempo_distance_forgives_octaves() -> None:
    assert tempo_distance(60, 120) == pytest.approx(0.0)
    assert tempo_distance(100, 100 * 2**0.5) == pytest.approx(1.0)
    assert tempo_distance(None, 90) == 0.0
