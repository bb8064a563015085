"""The graph of a large library finds what a look at every vector finds, and follows what comes and goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.library.test_store import put_file

from melodygen.library import folder as folders
from melodygen.library.approximate import ApproximateSpace, VectorGraph
from melodygen.library.folder import FolderStore
from melodygen.library.rows import Rows
from melodygen.library.similar import SoundSpace

pytest.importorskip("usearch", reason="usearch is not installed")


def some_rows(count: int, first: int = 0) -> Rows:
    rng = np.random.default_rng(1)
    middles = rng.standard_normal((40, 32))
    vectors = middles[rng.integers(0, 40, 4_000)] + 0.7 * rng.standard_normal((4_000, 32)) + 0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    at = np.arange(first, first + count)
    return Rows(vectors.astype(np.float16), at, np.ones(count, np.int64), at + 100)


def test_it_finds_what_the_exact_search_finds(tmp_path: Path) -> None:
    graph, rows = VectorGraph(tmp_path, "e"), some_rows(3_000)
    assert graph.space(rows) is None
    graph.update(rows)
    near, exact = graph.space(rows), SoundSpace(rows)
    assert isinstance(near, ApproximateSpace) and VectorGraph(tmp_path, "other").space(rows) is None
    found = right = first = 0
    for question in exact.all_vectors()[::10]:
        (ids, likeness), (wanted, exactly) = near.nearest(question, 10), exact.nearest(question, 10)
        right += len(set(ids.tolist()) & set(wanted.tolist()))
        found += 10
        first += likeness[0] == pytest.approx(exactly[0], abs=1e-3)
    # the graph is built by several threads, so now and then one nearest is missed
    assert right >= 0.97 * found and first >= 0.97 * found / 10
    many, _ = near.nearest(exact.all_vectors()[0], 2_000)
    assert set(many.tolist()) == set(exact.nearest(exact.all_vectors()[0], 2_000)[0].tolist())


def test_it_follows_what_comes_and_goes(tmp_path: Path) -> None:
    graph = VectorGraph(tmp_path, "e")
    graph.update(some_rows(3_000))
    now = some_rows(3_000, first=200)  # 200 tracks are dead, 200 are new
    for _ in range(2):  # before the writer has brought the graph up to date, and after
        near = graph.space(now)
        assert near is not None
        found = 0
        for track in (*range(3_250, 3_260), *range(301, 331)):
            ids, likeness = near.nearest(near.vectors([track])[0], 5)
            found += ids[0] == track and likeness[0] > 0.99
            assert len(ids) == 5 and min(ids) >= 300
        assert found >= 38
        graph.update(now)
    graph.update(some_rows(500, first=3_000))  # most of it is gone: it is made anew
    ids, _ = graph.space(some_rows(500, first=3_000)).nearest(np.ones(32, np.float32), 600)  # type: ignore[union-attr]
    assert len(ids) == 500


def test_a_large_library_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FolderStore(tmp_path / "library", create=True) as store, store.writing():
        store.set_embedder("e", 8)
        for number in range(30):
            file = tmp_path / f"{number}.mid"
            file.write_bytes(b"tune %d" % number)
            put_file(store, file, number)
        store.update_graph()
        assert not isinstance(store.space(), ApproximateSpace)
        monkeypatch.setattr(folders, "FROM_TRACKS", 20)
        assert not isinstance(store.space(), ApproximateSpace)
        store.update_graph()
        space = store.space()
        assert isinstance(space, ApproximateSpace)
        assert space.neighbours(space.vectors([7])[0], 3)[0].track_id == 7
