"""A library in PostgreSQL, on a real server: the same answers as a folder, and workers that may die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from postgres import empty_database, running_server
from tests.library.test_store import check_whole, described, put_file, take

from melodygen.errors import LibraryError, UsageError
from melodygen.library import intake
from melodygen.library.folder import FolderStore
from melodygen.library.history import Play
from melodygen.library.postgres import shown
from melodygen.library.server import ServerStore
from melodygen.library.similar import SoundSpace
from melodygen.library.store import PATCHES, STEPS, hash_of
from melodygen.library.track import Description
from melodygen.services.describing import Describer
from melodygen.services.listening import record_like, record_plays
from melodygen.services.playlists import save_playlist
from melodygen.services.queueing import enqueue, server_of, work


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as uri:
        yield uri


@pytest.fixture
def url(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return empty_database(server)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(24):
        (folder / f"{number:02}.mid").write_bytes(b"tune %d" % number)
    return folder


class FakeDescriber:
    """Hears what the file says: ``tune 7`` is described as number 7, anything else fails."""

    embedder_id = "e"
    describe_or_reason = Describer.describe_or_reason

    def describe(self, path: Path) -> Description:
        return described(int(path.read_bytes().split()[1]))


def queued(store: ServerStore, folder: Path) -> list[intake.Pending]:
    result = intake.Intake()
    return [i for i in intake.pending(store, intake.files_of([folder]), result) if enqueue(store, i, result)]


def test_it_answers_as_a_folder_does(url: str, tmp_path: Path, music: Path) -> None:
    folder = FolderStore(tmp_path / "library", create=True)
    with ServerStore(url, create=True) as store, folder:
        for one in (store, folder):
            with one.writing():
                one.set_embedder("e", 8)
                for number, file in enumerate(sorted(music.iterdir())):
                    put_file(one, file, number)
        check_whole(store)
        assert store.tracks() == folder.tracks()
        for space in (PATCHES, STEPS):
            ours, theirs = store.rows(space), folder.rows(space)
            assert np.array_equal(ours.matrix, theirs.matrix) and ours.track.tolist() == theirs.track.tolist()
        near, exact = store.space(), folder.space()
        assert np.array_equal(store.sound().matrix, folder.sound().matrix) and len(near) == 24
        question = exact.vectors([5])[0]
        assert np.allclose(near.vectors([5])[0], question, atol=5e-3)
        ids, likeness = near.nearest(question, 24)
        by_id = dict(zip(exact.track_ids.tolist(), exact.likeness(question[None])[0].tolist(), strict=True))
        assert ids[0] == 5 and np.allclose(likeness, [by_id[i] for i in ids.tolist()], atol=5e-3)
        even = near.neighbours(question, 5, lambda ids: {i for i in ids if i % 2 == 0})
        assert [n.track_id for n in even] == [
            n.track_id for n in exact.neighbours(question, 5, lambda ids: {i for i in ids if i % 2 == 0})
        ]
    with ServerStore(url) as store:
        record = store.track_at(music / "03.mid")
        assert record is not None and record.facts == described(3).facts
        assert store.num_bytes() > 0


def test_the_cache_follows_what_changes(url: str, music: Path) -> None:
    with ServerStore(url, create=True) as store, ServerStore(url) as other:
        store.set_embedder("e", 8)
        take(store, music)
        assert len(other.rows(PATCHES).track) == 24
        store.remove([str(f) for f in sorted(music.iterdir())[:3]])
        (music / "24.mid").write_bytes(b"tune 24")
        (music / "05.mid").write_bytes(b"tune 77")
        take(store, music)
        check_rows(other)
        store.remove([str(f) for f in sorted(music.iterdir())[:20]])
        check_rows(other)  # most of what is in the cache is dead: it is fetched anew


def check_rows(store: ServerStore) -> None:
    rows, tracks = store.rows(PATCHES), store.tracks()
    assert sorted(rows.track.tolist()) == sorted(tracks)
    for first, track_id in zip(rows.first.tolist(), rows.track.tolist(), strict=True):
        number = int(tracks[track_id].tags.title.split()[1])
        assert np.allclose(rows.matrix[first : first + 3], described(number).patches, atol=1e-3)


def test_moved_changed_and_double_files_are_known(url: str, music: Path) -> None:
    with ServerStore(url, create=True) as store:
        store.set_embedder("e", 8)
        (music / "twin.mid").write_bytes(b"tune 5")
        work_done, result = take(store, music)
        assert len(work_done) == 24 and result.duplicates == 1 and take(store, music)[0] == []
        (music / "03.mid").rename(music / "renamed.mid")
        (music / "04.mid").write_bytes(b"tune 77")
        work_done, result = take(store, music)
        assert work_done == ["04.mid"] and result.moved == 1 and store.catalog.num_tracks() == 24


def test_a_worker_hears_the_queue_and_names_what_fails(url: str, music: Path) -> None:
    (music / "24.mid").write_bytes(b"nonsense")
    (music / "twin.mid").write_bytes(b"tune 5")
    with ServerStore(url, create=True) as store:
        store.set_embedder("e", 8)
        items = queued(store, music)
        assert len(items) == 25 and store.queue.waiting() == 25
        queued(store, music)  # again: nothing is queued twice
        assert store.queue.waiting() == 25
        twin = music / "twin.mid"
        store.queue.put(str(twin), (twin.stat().st_size, twin.stat().st_mtime_ns), hash_of(twin))
        (music / "06.mid").unlink()
        said: dict[str, str] = {}
        count = work(store, FakeDescriber, True, lambda path, why: said.update({path: why}))
        assert count == 23 and store.queue.waiting() == 0
        failed = {Path(path).name: why for path, why in said.items() if why}
        assert set(failed) == {"06.mid", "24.mid"} and "no such file" in failed["06.mid"]
        assert set(store.catalog.skipped()) == {str(music / "06.mid"), str(music / "24.mid")}
        record = store.track_at(twin)
        assert record is not None and len(record.paths) == 2
        check_whole(store)


WORKER = """
import sys, time
from pathlib import Path
from tests.library.test_server import FakeDescriber
from melodygen.library.server import ServerStore
from melodygen.services.queueing import work
class Slow(FakeDescriber):
    def describe(self, path):
        time.sleep(0.02)
        return super().describe(path)
with ServerStore(sys.argv[1]) as store:
    print("ready", flush=True)
    work(store, Slow, True, lambda path, why: print(path, why, flush=True))
"""


def start_worker(url: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([*sys.path, str(root)])
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, url],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def test_killed_workers_lose_nothing_and_nothing_is_put_in_twice(url: str, music: Path) -> None:
    for number in range(24, 60):
        (music / f"{number:02}.mid").write_bytes(b"tune %d" % number)
    with ServerStore(url, create=True) as store:
        store.set_embedder("e", 8)
        assert len(queued(store, music)) == 60
        steady, doomed = start_worker(url), start_worker(url)
        assert steady.stdout is not None and doomed.stdout is not None
        told = [doomed.stdout.readline() for _ in range(3)]
        doomed.send_signal(signal.SIGKILL)  # it holds a job at any moment
        told += doomed.communicate()[0].splitlines(keepends=True)
        told += steady.communicate(timeout=60)[0].splitlines(keepends=True)
        while store.queue.waiting():  # what the dead one held, if the other had ended before
            work(store, FakeDescriber, True, lambda path, why: told.append(f"{path} {why}\n"))
        whole = Counter(line for line in told if line.endswith("\n") and not line.startswith("ready"))
        assert set(whole.values()) == {1}  # nobody put in what another had
        assert store.catalog.num_tracks() == len(store.catalog.files()) == 60
        check_whole(store)


def test_a_job_given_back_comes_last_and_is_struck_off_in_the_end(url: str, music: Path) -> None:
    with ServerStore(url, create=True) as store:
        store.set_embedder("e", 8)
        queued(store, music)
        bad = None
        for _ in range(6):
            with pytest.raises(ZeroDivisionError), store.queue.take() as job:
                assert job is not None
                bad = bad or job.content_hash
                raise ZeroDivisionError
        with store.queue.take() as job:  # those that were not tried come first
            assert job is not None and job.attempts == 1
        store.catalog.change("UPDATE attempts SET count = 5 WHERE content_hash = ?", (bad,))
        said: list[str] = []
        work(store, FakeDescriber, True, lambda _, why: said.append(why))
        assert [why for why in said if why] == ["5 workers ended while they heard it"]


def test_a_copy_that_is_queued_while_its_twin_is_heard_gets_its_place(url: str, music: Path) -> None:
    with ServerStore(url, create=True) as store, ServerStore(url) as other:
        store.set_embedder("e", 8)
        items = queued(store, music)
        twin = intake.Pending(str(music / "twin.mid"), (1, 1), items[0].content_hash)
        result = intake.Intake()
        with store.queue.take() as job:
            assert job is not None and job.content_hash == twin.content_hash
            waiting = threading.Thread(target=enqueue, args=(other, twin, result))
            waiting.start()
            waiting.join(0.3)
            assert waiting.is_alive()
            ((path, stamp),) = job.files
            store.put(path, stamp, job.content_hash, described(0))
        waiting.join(10)
        assert result.duplicates == 1 and other.catalog.files()[twin.path].track_id == 1


def test_listeners_are_kept(url: str, music: Path) -> None:
    with ServerStore(url, create=True) as store:
        store.set_embedder("e", 8)
        take(store, music)
        ids = list(store.tracks())
        plays = [Play("ann", ids[0], 1000.5), Play("ann", ids[1], 2000.0)]
        assert record_plays(store, plays) == 2 and record_plays(store, plays) == 0
        for _ in range(2):
            record_like(store, ids[2], "ann")
            save_playlist(store, "way", [store.tracks()[i] for i in ids[:3]])
        for table, count in (("plays", 2), ("likes", 1), ("playlists", 3)):
            assert store.catalog.rows(f"SELECT count(*) FROM {table}") == [(count,)]
        store.remove(list(store.catalog.files()))
        assert store.catalog.rows("SELECT count(*) FROM plays") == [(0,)]
        assert store.space().neighbours(np.ones(8, np.float32), 3) == []


def test_what_is_wrong_is_said(url: str, server: str, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="no library in it"):
        ServerStore(url)
    with pytest.raises(LibraryError, match=r"postgresql://me@localhost:1/x cannot be reached"):
        ServerStore("postgresql://me:secret@localhost:1/x")
    assert "secret" not in shown("postgresql://me:secret@h/x?password=secret")
    with ServerStore(url, create=True) as store:
        store.set_embedder("one", 8)
        with pytest.raises(LibraryError, match="re-embed"):
            store.sound("another")
        store.queue.put("/a.mid", (1, 1), "0" * 32)
        with pytest.raises(LibraryError, match="listens with e"):
            work(store, FakeDescriber, True, None)
        assert store.queue.waiting() == 1
        store.catalog.set_meta("version", "99")
    with pytest.raises(LibraryError, match="version 99"):
        ServerStore(url)
    with (
        FolderStore(tmp_path / "library", create=True) as folder,
        pytest.raises(UsageError, match="no queue"),
    ):
        server_of(folder)


def test_a_database_that_goes_away_in_the_middle_is_one_line(url: str, server: str) -> None:
    import psycopg

    with ServerStore(url, create=True) as store, psycopg.connect(server, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname <> current_database()"
        )
        with pytest.raises(LibraryError, match="went away"):
            store.tracks()


def test_the_servers_space_is_a_space(url: str) -> None:
    with ServerStore(url, create=True) as store:
        assert isinstance(store.space(), SoundSpace) and len(store.space()) == 0
