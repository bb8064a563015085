"""One reader for all files of music, by suffix."""

from __future__ import annotations

from pathlib import Path

from melodygen.io.midi import write_midi
from melodygen.io.musicxml import write_musicxml
from melodygen.io.read import is_notation, read_score
from melodygen.music.score import Score, Track

CASES = Path(__file__).parents[1] / "cases"


def test_our_own_files_come_back_with_their_roles(tmp_path: Path) -> None:
    """A backing has no melody, and none of its parts becomes one."""
    chords = Track(
        [(i * 1920, 1920, p, 80) for i in range(4) for p in (60, 64, 67)], 0, False, "chords", "chords"
    )
    bass = Track([(i * 960, 960, 36, 80) for i in range(8)], 32, False, "bass", "bass")
    drums = Track([(i * 480, 240, 38, 80) for i in range(16)], 0, True, "drums", "drums")
    for name, write in (("x.mid", write_midi), ("x.musicxml", write_musicxml)):
        write(tmp_path / name, Score((chords, bass, drums)))
        score = read_score(tmp_path / name)
        assert [t.role for t in score.tracks] == ["chords", "bass", "drums"], name
        assert score.num_notes == 36


def test_warnings_come_from_every_reader(tmp_path: Path) -> None:
    warnings: list[str] = []
    read_score(CASES / "vel_200.mid", warnings)
    assert "clipped" in warnings[0]
    write_musicxml(tmp_path / "x.musicxml", Score((Track([(i * 480, 480, 60, 80) for i in range(8)]),)))
    text = (tmp_path / "x.musicxml").read_text(encoding="utf-8")
    start = text.index("<duration>")
    end = text.index("</duration>") + len("</duration>")
    (tmp_path / "x.musicxml").write_text(text[:start] + text[end:], encoding="utf-8")
    warnings.clear()
    assert read_score(tmp_path / "x.musicxml", warnings).num_notes == 8
    assert warnings == ["1 notes have no duration; they last as long as their note value"]
    assert is_notation(Path("book.abc#2")) and not is_notation(Path("x.mid"))
