"""The store: what was put in comes out, at any kill; moved and changed files; one writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from melodygen.errors import LibraryError
from melodygen.library import intake
from melodygen.library.chroma import NUM_BINS, PATCH_WIDTH
from melodygen.library.embedding import with_styles
from melodygen.library.folder import FolderStore
from melodygen.library.store import PATCHES, LibraryStore, hash_of
from melodygen.library.track import NOTE_DTYPE, Description, Facts, Tags

WRITER = """
import sys
from pathlib import Path
from tests.library.test_store import described, put_file
from melodygen.library.folder import FolderStore
folder, music = map(Path, sys.argv[1:3])
with FolderStore(folder, create=True) as store, store.writing():
    store.set_embedder("e", 8)
    for number, file in enumerate(sorted(music.iterdir())):
        if str(file) not in store.catalog.files():
            put_file(store, file, number)
            print(number, flush=True)
"""


def described(number: int) -> Description:
    rng = np.random.default_rng(number)
    notes = np.zeros(5, NOTE_DTYPE)
    notes["pitch"] = 60 + np.arange(5)
    return Description(
        Facts("recording", 10.0 + number, (("jazz", 1.0),), 120.0, (4, 4), (0, "major"), 0.5, 0.25),
        Tags(title=f"Tune {number}"),
        rng.standard_normal(8).astype(np.float32),
        rng.random((3, PATCH_WIDTH), dtype=np.float32),
        rng.integers(0, 255, (30, NUM_BINS)).astype(np.uint8),
        notes,
        np.array([[1, 0]] * 4 + [[127, 0]], dtype=np.int8),
    )


def put_file(store: LibraryStore, file: Path, number: int) -> int:
    status = file.stat()
    return store.put(str(file), (status.st_size, status.st_mtime_ns), hash_of(file), described(number))


def check_whole(store: LibraryStore) -> None:
    """Each track has its own rows, and they hold what was put."""
    rows, sound, chroma = store.rows(PATCHES), store.sound(), store.chroma(store.tracks())
    assert sorted(rows.track.tolist()) == sorted(sound.track.tolist()) == sorted(store.tracks())
    assert set(chroma) == set(store.tracks())
    for space in (rows, sound):
        ends = space.first + space.count
        assert (ends[:-1] <= space.first[1:]).all() and (not len(ends) or ends[-1] == len(space.matrix))
    for first, track_id in zip(rows.first.tolist(), rows.track.tolist(), strict=True):
        number = int(store.tracks([track_id])[track_id].tags.title.split()[1])
        expected = described(number)
        assert np.allclose(rows.matrix[first : first + 3], expected.patches, atol=1e-3)
        assert (chroma[track_id] == expected.chroma).all()


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.mid").write_bytes(b"tune %d" % number)
    return folder


def test_what_goes_in_comes_out(tmp_path: Path, music: Path) -> None:
    with FolderStore(tmp_path / "library", create=True) as store, store.writing():
        store.set_embedder("e", 8)
        for number, file in enumerate(sorted(music.iterdir())):
            put_file(store, file, number)
    with FolderStore(tmp_path / "library") as store:
        check_whole(store)
        record = store.track_at(music / "03.mid")
        assert record is not None and record.facts == described(3).facts and record.tags.title == "Tune 3"
        assert store.notes([record.track_id])[record.track_id]["pitch"].tolist() == [60, 61, 62, 63, 64]


def test_no_library_and_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="library add"):
        FolderStore(tmp_path / "nowhere")
    (tmp_path / "catalog.sqlite").write_bytes(b"not a database, whatever its name says" * 9)
    with pytest.raises(LibraryError, match="not a library"):
        FolderStore(tmp_path)


def test_one_writer_at_a_time_is_said_plainly(tmp_path: Path) -> None:
    with (
        FolderStore(tmp_path, create=True) as store,
        store.writing(),
        FolderStore(tmp_path) as other,
        pytest.raises(LibraryError, match=f"process {os.getpid()} is writing"),
    ):
        other.writing().__enter__()
    with FolderStore(tmp_path) as store, store.writing():
        pass


def test_a_killed_writer_loses_nothing_and_doubles_nothing(tmp_path: Path, music: Path) -> None:
    folder = tmp_path / "library"
    for number in range(40):  # files enough for every kill to meet a writer at work
        (music / f"x{number:02}.mid").write_bytes(b"more %d" % number)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parents[2])])}
    rng = np.random.default_rng(3)
    killed = 0
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(folder), str(music)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        process.stdout.readline()  # it is writing
        time.sleep(float(rng.uniform(0, 0.03)))
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with FolderStore(folder) as store:
            check_whole(store)
    assert killed
    subprocess.run(
        [sys.executable, "-c", WRITER, str(folder), str(music)],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    with FolderStore(folder) as store:
        assert store.catalog.num_tracks() == len(store.catalog.files()) == 52
        check_whole(store)


def take(store: LibraryStore, folder: Path) -> tuple[list[str], intake.Intake]:
    result = intake.Intake()
    with store.writing():
        work = list(intake.pending(store, intake.files_of([folder]), result))
        for item in work:
            number = int(Path(item.path).read_bytes().split()[1])
            store.put(item.path, item.stamp, item.content_hash, described(number))
        intake.place_twins(store, result)
    return [Path(item.path).name for item in work], result


def test_moved_changed_and_double_files_are_known_by_their_bytes(tmp_path: Path, music: Path) -> None:
    with FolderStore(tmp_path / "library", create=True) as store:
        store.set_embedder("e", 8)
        (music / "twin.mid").write_bytes(b"tune 5")
        work, result = take(store, music)
        assert len(work) == 12 and result.duplicates == 1
        assert store.catalog.num_tracks() == 12

        assert take(store, music) == ([], intake.Intake(known=13))

        (music / "deep").mkdir()
        (music / "03.mid").rename(music / "deep" / "renamed.mid")
        (music / "04.mid").write_bytes(b"tune 77")
        track = store.track_at(music / "twin.mid")
        work, result = take(store, music)
        assert work == ["04.mid"] and result.moved == 1 and result.known == 11
        assert store.catalog.num_tracks() == 12
        moved = store.track_at(music / "deep" / "renamed.mid")
        assert moved is not None and moved.tags.title == "Tune 3" and len(moved.paths) == 1
        assert track is not None and len(track.paths) == 2
        changed = store.track_at(music / "04.mid")
        assert changed is not None and changed.tags.title == "Tune 77"

        (music / "05.mid").unlink()
        assert intake.gone(store, [music]) == [str(music / "05.mid")]
        with store.writing():
            assert store.remove([str(music / "05.mid")]) == 0  # its twin is still there
            assert store.remove([str(music / "twin.mid")]) == 1


def test_a_book_of_tunes_is_its_tunes(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    book = tmp_path / "music" / "book.abc"
    book.write_text("X:1\nT:One\nK:C\nCDEF|\n\nX:7\nT:Seven\nK:G\nGABc|\n")
    (tmp_path / "music" / "single.abc").write_text("X:3\nT:Alone\nK:C\nCDEF|\n")
    names = [file.name for file in intake.files_of([tmp_path / "music"])]
    assert names == ["book.abc#1", "book.abc#7", "single.abc"]
    one, seven = (book.with_name(f"book.abc#{number}") for number in (1, 7))
    assert len({hash_of(one), hash_of(seven), hash_of(book)}) == 3
    with FolderStore(tmp_path / "library", create=True) as store:
        result = intake.Intake()
        with store.writing():
            for number, item in enumerate(intake.pending(store, [one, seven], result)):
                store.put(item.path, item.stamp, item.content_hash, described(number))
        found = store.track_at(seven)
        assert found is not None and found.tags.title == "Tune 1" and not result.failed
        assert intake.gone(store, [tmp_path / "music"]) == []
        book.unlink()
        assert len(intake.gone(store, [tmp_path / "music"])) == 2


def test_dead_rows_are_let_go_of(tmp_path: Path, music: Path) -> None:
    with FolderStore(tmp_path / "library", create=True) as store:
        store.set_embedder("e", 8)
        take(store, music)
        with store.writing():
            assert store.remove([str(f) for f in sorted(music.iterdir())[:6]]) == 6
            assert store.compact()[PATCHES] == 18
        assert len(store.rows(PATCHES).matrix) == 18
        check_whole(store)


def test_another_embedders_library_is_refused(tmp_path: Path) -> None:
    with FolderStore(tmp_path, create=True) as store:
        store.set_embedder("one", 8)
        with pytest.raises(LibraryError, match="re-embed"):
            store.sound("another")
        store.sound(with_styles("one", "mine"))
        store.set_embedder(with_styles("one", "mine"), 8)
        store.sound("one")
        with pytest.raises(LibraryError, match="re-embed"):
            store.sound(with_styles("another", "mine"))


def test_each_row_knows_its_span() -> None:
    from melodygen.library.rows import Rows

    rows = Rows(np.zeros((9, 1)), np.array([0, 4, 6]), np.array([3, 1, 3]), np.array([5, 6, 7]))
    assert rows.span_of_rows().tolist() == [0, 0, 0, 3, 1, 3, 2, 2, 2]


def test_a_disk_that_fills_up_and_a_damaged_catalogue_are_said(tmp_path: Path, music: Path) -> None:
    where = tmp_path / "library"
    with FolderStore(where, create=True) as store, store.writing():
        store.set_embedder("e", 8)
        put_file(store, music / "00.mid", 0)
        pages = store.catalog.rows("PRAGMA page_count")[0][0]
        store.catalog.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LibraryError, match="the disk is full; free some space"):
            for number in range(1, 9):
                put_file(store, music / f"{number:02}.mid", number)
        store.catalog.rows(f"PRAGMA max_page_count = {10 * pages}")
        put_file(store, music / "09.mid", 9)
        check_whole(store)
    catalogue = next(where.glob("catalog*"))
    data = catalogue.read_bytes()
    catalogue.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    with pytest.raises(LibraryError, match="catalog"), FolderStore(where) as store:
        store.tracks()
