"""What ``melodygen corpus`` says of folders, and how the worst files are turned down."""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from training_folder import tune, write_folder

from melodygen.data.census import Census, FileSummary, kind_of, read_census, summarise_file, write_report
from melodygen.data.scan import SourceFile, find_files, read_folder
from melodygen.data.shards import ShardWriter, build_shards, load_shards
from melodygen.errors import CorpusError
from melodygen.io.midi import write_midi
from melodygen.io.notation import read_notation
from melodygen.music.score import Score, Track, note_array


def chunk(events: bytes) -> bytes:
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 1) + b"MTrk" + struct.pack(">I", len(events)) + events


def far_note() -> bytes:
    """A note after 2^31 ticks of one tick a quarter: four deltas of the largest size MIDI can say, and more."""
    wait = b"\xff\xff\xff\x7f\xff\x01\x00"  # 2^28 - 1 ticks, then an empty text
    return chunk(wait * 8 + b"\x00\x90\x3c\x50" + b"\x01\x80\x3c\x00" + b"\x00\xff\x2f\x00")


def write(path: Path, data: bytes) -> SourceFile:
    path.write_bytes(data)
    return SourceFile(path, path.name, "any")


def whole() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_midi(Path(folder) / "a.mid", tune(1, True))
        return (Path(folder) / "a.mid").read_bytes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"), (b"dear reader", "not a MIDI file"),
        (b"MThd", "truncated in the header"),
        (chunk(b"\x00\xff\x2f\x00"), "notes"), (far_note(), "2^31|quarters|hours|gave up"),
    ],
    ids=["zero length", "text", "four bytes", "no notes", "2^31 ticks"],
)  # fmt: skip
def test_bad_files_have_a_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    import re

    begun = time.monotonic()
    intake = summarise_file(write(tmp_path / "x.mid", data))
    assert intake.info is None and re.search(reason, intake.reason), intake.reason
    assert "x.mid" not in intake.reason and time.monotonic() - begun < 30


def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    found = summarise_file(write(tmp_path / "x.mid", whole()[:-40]))
    assert found.info is not None and 0 < found.notes["melody"] <= sum(len(t) for t in tune(1, True).tracks)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.mid"
    with path.open("wb") as stream:
        stream.write(b"MThd")
        stream.truncate(100 * 2**20)
    assert "100 MiB is more than" in summarise_file(SourceFile(path, "huge.mid", "any")).reason


def test_only_drums_and_one_bar_are_turned_down(tmp_path: Path) -> None:
    beat = Track(
        note_array([(i * 480, 100, 36 + i % 2 * 2, 90) for i in range(32)]), 0, True, "drums", "drums"
    )
    write_midi(tmp_path / "beat.mid", Score((beat,)))
    assert "only drums" in summarise_file(SourceFile(tmp_path / "beat.mid", "beat.mid", "any")).reason
    take = summarise_file(SourceFile(tmp_path / "beat.mid", "beat.mid", "rock", kind="drums"))
    assert take.reason == "" and take.notes == {"drums": 32}
    write_midi(tmp_path / "bar.mid", tune(1, True, bars=1))
    assert "less than two bars" in summarise_file(SourceFile(tmp_path / "bar.mid", "bar.mid", "any")).reason


def test_an_unreadable_file_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link.mid").symlink_to(tmp_path / "nowhere.mid")
    files = find_files(tmp_path)
    assert "cannot be read: No such file" in summarise_file(files[0]).reason

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = write(tmp_path / "locked.mid", whole())
    monkeypatch.setattr(Path, "open", refuse)  # a superuser may read everything
    assert summarise_file(file).reason == "cannot be read: Permission denied"


def crash(file: SourceFile) -> str:
    if "crash" in file.name:
        os.abort()
    if "hang" in file.name:
        time.sleep(60)
    return file.name


def name_it(file: SourceFile, reason: str) -> str:
    return f"{file.name}: {reason}"


def test_files_that_crash_or_hang_a_worker_do_not_take_the_others_with_them() -> None:
    names = ["0", "crash", "2", "hang"]
    files = [SourceFile(Path(n), n, "any") for n in names]
    results = list(read_folder(files, 1, 1.0, read=crash, reject=name_it))
    assert [r.split(":")[0] for r in results] == names
    assert [
        i for i, r in enumerate(results) if "crashed on this file, or did not finish within 1 s" in r
    ] == [1, 3]


def test_any_script_loops_and_depth(tmp_path: Path) -> None:
    root = write_folder(tmp_path, "песни", 2)
    deep = root / "песни" / "日本" / "🎵"
    deep.mkdir(parents=True)
    write_midi(deep / "ñandú.MID", tune(9, False))
    (root / "песни" / "loop").symlink_to(root)
    (root / "notes.txt").write_text("no music")
    files = find_files(root)
    assert len(files) == 3 and {f.style for f in files} == {"песни"}
    census = Census()
    for intake in read_census(files, 1):
        census.add(intake)
    assert census.used == 3
    write_report(tmp_path / "r.csv", census.rows)
    assert "ñandú.MID" in (tmp_path / "r.csv").read_text(encoding="utf-8")


def test_near_duplicates_name_the_first(tmp_path: Path) -> None:
    write_midi(tmp_path / "a.mid", tune(1, True))
    write_midi(tmp_path / "b.mid", tune(1, True).transposed(2))
    first, second = list(read_census(find_files(tmp_path), 1))
    assert first.reason == "" and second.reason == "near-duplicate of a.mid" and second.encoded is None


def test_a_written_shard_is_the_one_built_in_memory(tmp_path: Path) -> None:
    from melodygen.data.scan import load_piece

    write_folder(tmp_path, "rising", 3)
    writer, pieces = ShardWriter(tmp_path / "s"), []
    for file in find_files(tmp_path):
        intake = summarise_file(file)
        assert intake.encoded is not None and intake.info is not None
        writer.add(intake.encoded, intake.info)
        pieces.append(load_piece(file)[1:])
    with pytest.raises(CorpusError):
        load_shards(tmp_path / "s")  # not closed: not a shard
    writer.close()
    built, read = build_shards(pieces), load_shards(tmp_path / "s")
    assert built.pieces == read.pieces
    for name, array in built.arrays.items():
        assert array.dtype == read.arrays[name].dtype and np.array_equal(array, read.arrays[name])


ABC = """X:1
T:First
M:6/8
L:1/8
K:D
A|"D"dfd dfd|"G"gbg e2A|"D"dfd faf|"A7"edc d2:|

X:2
T:Second
M:4/4
L:1/8
K:Em
EFGA BcdB|e2d2 B2A2|GABG EFGE|E4 E4|
"""
KERN = "**kern\n*M3/4\n=1\n4c\n4e\n4g\n=2\n2.cc\n=3\n4e\n4f\n4g\n=4\n2.c\n*-\n"


def test_abc_books_are_tunes(tmp_path: Path) -> None:
    (tmp_path / "book.abc").write_text(ABC)
    files = find_files(tmp_path)
    assert [(f.name, f.title) for f in files] == [("book.abc#1", "First"), ("book.abc#2", "Second")]
    first = read_notation(tmp_path / "book.abc", 1)
    assert str(first.time_signatures[0]) == "6/8" and first.key_signatures[0].tonic == 2
    assert [c.label for c in first.chords[:4]] == ["D:maj", "G:maj", "D:maj", "A:7"]
    # the pickup stands at the end of a whole bar, and the repeat is played
    assert int(first.tracks[0].notes["onset_tick"][0]) == 5 * 240 and first.num_notes > 40
    assert all(summarise_file(f).reason == "" for f in files)


def test_kern_and_musicxml(tmp_path: Path) -> None:
    from melodygen.io.musicxml import write_musicxml

    (tmp_path / "a.krn").write_text(KERN)
    score = read_notation(tmp_path / "a.krn")
    assert score.tracks[0].notes["pitch"].tolist() == [60, 64, 67, 72, 64, 65, 67, 60]
    assert str(score.time_signatures[0]) == "3/4"
    original = tune(3, True)
    write_musicxml(tmp_path / "b.musicxml", original)
    back = read_notation(tmp_path / "b.musicxml")
    assert back.tracks[0].notes["pitch"].tolist() == original.tracks[0].notes["pitch"].tolist()
    assert (back.tracks[0].notes["onset_tick"] == original.tracks[0].notes["onset_tick"]).all()
    (tmp_path / "c.musicxml").write_text("<score-partwise><part")
    assert (
        "the XML is broken" in summarise_file(SourceFile(tmp_path / "c.musicxml", "c.musicxml", "any")).reason
    )


def test_reasons_are_counted_by_kind() -> None:
    assert kind_of("truncated, 12 bytes of track 3 are missing") == kind_of(
        "truncated, 7 bytes of track 1 are missing"
    )
    assert kind_of("the file is empty (0 bytes)") == "the file is empty (N bytes)"
    census = Census()
    census.add(FileSummary(SourceFile(Path("a"), "a", "any"), "near-duplicate of b"))
    assert census.summary()["near_duplicates"] == 1 and census.summary()["rejected"] == 0


def test_the_command(melodygen: Run, tmp_path: Path) -> None:
    write_folder(tmp_path / "m", "rising", 2)
    (tmp_path / "m" / "letter.mid").write_text("dear reader")
    done = melodygen("corpus", "m", "--workers", "1", "--json", "--plot", "p.png", "--report", "r.csv")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["files"], told["used"], told["rejected"]) == (3, 2, 1)
    assert told["meters"] == {"4/4": 2} and told["roles"] == {"melody": {"files": 2, "notes": 128}}
    assert [r["reason"] for r in told["per_file"] if not r["used"]] == [
        "not a MIDI file (it does not begin with MThd)"
    ]
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG") and (tmp_path / "r.csv").is_file()


def test_the_command_fails_where_nothing_can_be_used(melodygen: Run, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "letter.mid").write_text("dear reader")
    done = melodygen("corpus", "m", "--workers", "1")
    assert done.returncode == 1
    assert "letter.mid" in done.stdout and "none of 1 files can be used: 1 × not a MIDI file" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_that_would_move_the_cursor_are_shown_harmlessly(melodygen: Run, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    write(tmp_path / "music" / "two\nlines.mid", b"no MIDI")
    write(tmp_path / "music" / "\x1b[2J[red].mid", b"no MIDI")
    done = melodygen("corpus", "music")
    assert (
        "two\\x0alines.mid" in done.stdout
        and "\\x1b[2J[red].mid" in done.stdout
        and "\x1b" not in done.stdout
    )
    told = melodygen("render", "\x1b[2J.mid")
    assert told.returncode == 1 and "\\x1b[2J.mid" in told.stderr and "\x1b" not in told.stderr
