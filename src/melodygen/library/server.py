"""A library in PostgreSQL: everything lies in one database, and any number of machines write to it and ask it.

Vectors are pgvector's, and the server answers what is near to what. Patches and steps are scanned on the machine that
asks, which keeps them in its cache (``library.cache``): a question fetches only what is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from melodygen.library.cache import cached_rows
from melodygen.library.catalog import Catalog
from melodygen.library.postgres import PostgresDatabase
from melodygen.library.queue import JobQueue
from melodygen.library.rows import Ints, Rows
from melodygen.library.schema import SERVER_TABLES
from melodygen.library.similar import FEW, Floats, SoundSpace, missing_vector
from melodygen.library.store import SOUND, LibraryStore


def default_cache() -> Path:
    """``melodygen/libraries`` in the user's cache folder."""
    import platformdirs

    return platformdirs.user_cache_path("melodygen") / "libraries"


class ServerStore(LibraryStore):
    """Many writers: each track is a transaction, and the queue gives each file to one worker."""

    def __init__(self, url: str, create: bool = False, cache: Path | None = None) -> None:
        """``create`` makes the tables where they are missing; ``cache`` is a folder of this machine.

        Raises LibraryError when the server cannot be reached, has no pgvector, or holds no library or one of another
        version.
        """
        database = PostgresDatabase(url, create)
        with database.alone():
            super().__init__(Catalog(database, SERVER_TABLES, create), database.name)
            if self.catalog.meta("library") is None:
                self.catalog.set_meta("library", uuid4().hex)
        self.url = url
        self.queue = JobQueue(database)
        self._cache = (cache or default_cache()) / str(self.catalog.meta("library"))

    def close(self) -> None:
        self.queue.close()
        super().close()

    def writing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _keep(self, spaces: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        return spaces

    def _attach(self, track_id: int, kept: Mapping[str, NDArray[Any]]) -> None:
        change = self.catalog.change
        change("DELETE FROM spans WHERE track_id = ?", (track_id,))
        for space, rows in kept.items():
            if space.startswith(SOUND):
                change("DELETE FROM vectors WHERE track_id = ? AND space = ?", (track_id, space))
                change(
                    "INSERT INTO vectors (space, track_id, vector) VALUES (?, ?, ?::halfvec)",
                    (space, track_id, _text(rows[0])),
                )
            else:
                data = np.ascontiguousarray(rows, dtype=self._shape(space)[1]).tobytes()
                change(
                    "INSERT INTO spans (space, num_rows, track_id, data) VALUES (?, ?, ?, ?)",
                    (space, len(rows), track_id, data),
                )

    def rows(self, space: str) -> Rows:
        is_sound = space.startswith(SOUND)
        listing = (
            "SELECT span_id, 1, track_id FROM vectors"
            if is_sound
            else "SELECT span_id, num_rows, track_id FROM spans"
        )
        found = self.catalog.rows(f"{listing} WHERE space = ? ORDER BY span_id", (space,))
        span_ids, counts, tracks = np.array(found, dtype=np.int64).reshape(-1, 3).T
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in space)
        fetch = self._fetch_vectors if is_sound else self._fetch_spans
        return cached_rows(self._cache / name, self._shape(space), (span_ids, counts, tracks), fetch)

    def _fetch_spans(self, span_ids: Sequence[int]) -> dict[int, bytes]:
        return dict(
            self.catalog.rows("SELECT span_id, data FROM spans WHERE span_id = ANY(?)", (list(span_ids),))
        )

    def _fetch_vectors(self, span_ids: Sequence[int]) -> dict[int, bytes]:
        found = self.catalog.rows(
            "SELECT span_id, halfvec_send(vector) FROM vectors WHERE span_id = ANY(?)", (list(span_ids),)
        )
        return {span: _numbers(data).astype(np.float16).tobytes() for span, data in found}

    def space(self) -> SoundSpace:
        return ServerSpace(self, f"{SOUND}{self.embedder_id}")

    def update_graph(self) -> None:
        """Nothing to do: the server looks at every vector."""

    def embedded(self) -> set[int]:
        found = self.catalog.rows(
            "SELECT track_id FROM vectors WHERE space = ?", (f"{SOUND}{self.embedder_id}",)
        )
        return {int(row[0]) for row in found}

    def forget_other_vectors(self, embedder_id: str) -> None:
        self.catalog.change("DELETE FROM vectors WHERE space <> ?", (f"{SOUND}{embedder_id}",))

    def compact(self) -> dict[str, int]:
        return {}  # the server's own vacuum does it

    def num_bytes(self) -> int:
        found = self.catalog.rows(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = current_schema() AND relkind = 'r'"
        )
        return int(found[0][0])


class ServerSpace(SoundSpace):
    """Neighbours are the server's answer, exact; whatever needs all vectors fetches them into the cache."""

    def __init__(self, store: ServerStore, space: str) -> None:
        self._store, self._space = store, space
        [(self._number, mean)] = store.catalog.rows(
            "SELECT count(*), halfvec_send(avg(vector)) FROM vectors WHERE space = ?", (space,)
        )
        few = self._number < FEW
        self.mean = np.zeros(store._shape(space)[0], np.float32) if few else _numbers(mean).astype(np.float32)

    @cached_property
    def _whole(self) -> SoundSpace:
        return SoundSpace(self._store.rows(self._space))

    @property
    def track_ids(self) -> Ints:
        return self._whole.track_ids

    def __len__(self) -> int:
        return int(self._number)

    def vectors(self, track_ids: list[int]) -> Floats:
        found = dict(
            self._store.catalog.rows(
                "SELECT track_id, halfvec_send(vector) FROM vectors WHERE space = ? AND track_id = ANY(?)",
                (self._space, track_ids),
            )
        )
        missing = [i for i in track_ids if i not in found]
        if missing:
            raise missing_vector(missing[0])
        held = [_numbers(found[i]) for i in track_ids]
        return self.centred(np.array(held, dtype=np.float32).reshape(len(held), len(self.mean)))

    def all_vectors(self) -> Floats:
        return self._whole.all_vectors()

    def likeness(self, questions: Floats) -> Floats:
        return self._whole.likeness(questions)

    def nearest(self, question: Floats, count: int) -> tuple[Ints, Floats]:
        found = self._store.catalog.rows(
            "SELECT track_id, 1 - distance FROM (SELECT track_id, (vector - ?::halfvec) <=> ?::halfvec AS distance "
            "FROM vectors WHERE space = ?) AS all_of_them ORDER BY distance, track_id LIMIT ?",
            (_text(self.mean), _text(question), self._space, count),
        )
        ids, likeness = zip(*found, strict=True) if found else ((), ())
        return np.array(ids, dtype=np.int64), np.array(likeness, dtype=np.float32)


def _text(vector: NDArray[Any]) -> str:
    """As pgvector reads it."""
    return "[" + ",".join(f"{number:.6g}" for number in vector.tolist()) + "]"


def _numbers(sent: bytes) -> NDArray[np.float16]:
    """Of a half vector as pgvector sends it: two counts of two bytes, then the numbers, high byte first."""
    return np.frombuffer(sent, dtype=">f2", offset=4)


__all__ = ["ServerSpace", "ServerStore", "default_cache"]
