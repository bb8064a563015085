"""``evaluate generator``: a folder of music beside itself and beside something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from pieces import tune
from typer.testing import CliRunner

from melodygen.cli.app import app
from melodygen.errors import CorpusError
from melodygen.evaluation.band import human_quartiles
from melodygen.evaluation.generator import read_reference
from melodygen.io.midi import write_midi


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for style, meter in (("reel", (4, 4)), ("jig", (6, 8))):
        (tmp_path / style).mkdir()
        for number in range(3):
            write_midi(
                tmp_path / style / f"{number}.mid",
                tune(20 + number, meter, ("melody", "chords", "bass", "drums")),
            )
    (tmp_path / "reel" / "broken.mid").write_bytes(b"MThd no")
    return tmp_path


def test_a_folder_is_read_as_windows_and_what_is_broken_is_named(folder: Path) -> None:
    found, failed = read_reference(folder, 8)
    assert {name: len(pieces) for name, pieces in found.items()} == {"reel": 3, "jig": 3}
    assert all(len(p.bars) == 8 for pieces in found.values() for p in pieces)
    assert list(failed) == ["reel/broken.mid"]
    (folder / "manifest.csv").write_text("path,style,split\nreel/0.mid,reel,train\njig/1.mid,jig,valid\n")
    assert list(read_reference(folder, 8)[0]) == ["jig"]
    (folder / "manifest.csv").write_text("path,style,split\nreel/broken.mid,reel,valid\n")
    with pytest.raises(CorpusError, match="can be used"):
        read_reference(folder, 8)


def test_the_command_writes_a_table_json_and_a_page(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    asked = ["evaluate", "generator", "--music", str(folder), "--reference", str(folder), "--bars", "8", "-q"]
    done = CliRunner().invoke(app, [*asked, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "kick_bass" in done.output and "told apart" in done.output
    record = json.loads((out / "report.json").read_text())
    (reel,) = (s for s in record["styles"] if s["style"] == "reel")
    figure = reel["figures"]["top line repeats"]
    assert figure["median"] == figure["reference"][1] and figure["pieces"] == 3
    assert reel["told_apart"] is None, "three pieces are too few to tell"
    assert "<table>" in (out / "report.html").read_text() and (out / "reel" / "001.mid").is_file()
    assert CliRunner().invoke(app, [*asked, "--out", str(out)]).exit_code != 0, "files are there"
    asked_json = [*asked, "--json", "--styles", "jig"]
    assert [s["style"] for s in json.loads(CliRunner().invoke(app, asked_json).stdout)["styles"]] == ["jig"]
    unknown = CliRunner().invoke(app, [*asked, "--styles", "polka"])
    assert unknown.exit_code != 0


def test_pieces_are_heard_played_on_the_page_and_beside_shipped_figures(tmp_path: Path) -> None:
    (tmp_path / "music" / "folk").mkdir(parents=True)
    for number in range(2):
        write_midi(tmp_path / "music" / "folk" / f"{number}.mid", tune(16))
    out = tmp_path / "report"
    asked = ["evaluate", "generator", "--music", str(tmp_path / "music"), "-q", "--out", str(out)]
    done = CliRunner().invoke(app, [*asked, "--players", "1"])
    assert done.exit_code == 0, done.output
    (folk,) = json.loads((out / "report.json").read_text())["styles"]
    assert 0.0 <= folk["figures"]["style probability"]["median"] <= 1.0
    assert folk["figures"]["style probability"]["pieces"] == 2
    assert folk["figures"]["top line on beat"]["reference"] == list(
        human_quartiles("folk")["top line on beat"]
    )
    page = (out / "report.html").read_text()
    assert page.count("<audio") == 1 and soundfile.info(out / "folk" / "001.ogg").duration > 5
    assert not (out / "folk" / "002.ogg").exists() and 'href="folk/002.mid"' in page
