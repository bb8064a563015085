"""Tables as people save them, and what cannot be used of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from melodygen.data.scan import find_files
from melodygen.errors import CorpusError
from melodygen.evaluation.labelled import read_labelled
from melodygen.io.csv_table import read_table
from melodygen.io.folder import music_files

CASES = Path(__file__).parents[1] / "cases"
TEXT = "path,style\r\na b.mid,ballad\r\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(), b"\xef\xbb\xbf" + TEXT.encode(), TEXT.replace(",", ";").encode("utf-8-sig"),
        TEXT.replace(",", "\t").encode("utf-16"), TEXT.replace("path", " Path ").replace("style", "STYLE").encode(),
        TEXT.replace("a b", "ä b").encode("latin-1"), b'path,style\n"a b.mid","ballad"\n\n,\n',
    ],
    ids=["plain", "BOM", "semicolons", "unicode text", "capitals", "latin-1", "quotes and empty rows"],
)  # fmt: skip
def test_tables_are_read_however_they_are_saved(tmp_path: Path, data: bytes) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(data)
    (row,) = read_table(table, ("path", "style"))
    assert row["path"].removeprefix("ä").removeprefix("a") == " b.mid" and row["style"] == "ballad"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "must have the columns path and style; it has no column"), ("a,b\n1,2\n", "it has a, b"),
     ("path,style\n", "no row below its header"), ("path,style\nx.mid,\n", "row 2 has no style")],
)  # fmt: skip
def test_a_manifest_that_cannot_be_used_is_an_error(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "x.mid").write_bytes(b"MThd")
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(CorpusError, match=reason):
        find_files(tmp_path)


def test_excels_mark_hides_no_manifest_and_no_labels(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes((CASES / "manifest_bom.csv").read_bytes())
    (file,) = find_files(tmp_path)
    assert (file.name, file.style) == ("POP909_008.mid", "ballad")
    (tmp_path / "labels.csv").write_bytes((CASES / "labels_bom.csv").read_bytes())
    (item,) = read_labelled(tmp_path)
    assert (item.path, item.label) == (tmp_path / "jazz/1.midi", "jazz")


def test_every_command_leaves_hidden_files_out(tmp_path: Path) -> None:
    for name in (".trash/x.mid", "rock/._a.mid", "rock/a.mid", "rock/deep/b.MID", ".c.mid"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"MThd")
    expected = [tmp_path / "rock/a.mid", tmp_path / "rock/deep/b.MID"]
    assert [f.path for f in find_files(tmp_path)] == expected == music_files(tmp_path, recursive=True)
    assert {f.style for f in find_files(tmp_path)} == {"rock"}
