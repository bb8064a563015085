"""Score files of other programs: what sounds when a player reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from melodygen.errors import MidiReadError, ScoreError
from melodygen.io.abc import Tune, decode_abc, read_tune, tunes_of
from melodygen.io.notation import read_notation, split_tune
from melodygen.io.repeats import Marks, playing_order
from melodygen.music.score import Score

CASES = Path(__file__).parents[1] / "cases"


def pitches(score: Score, track: int = 0) -> list[int]:
    return [n.pitch for n in score.tracks[track]]


def abc(text: str) -> Score:
    return read_tune(tunes_of(text)[0])


def test_a_clarinet_sounds_a_tone_lower_than_it_is_written() -> None:
    score = read_notation(CASES / "clarinet_bb.musicxml")
    assert pitches(score)[:8] == [58, 60, 62, 63, 65, 67, 69, 65]
    assert score.key_signatures[0].fifths == 0  # written in D major


def test_unpitched_drums_are_the_keys_the_file_names() -> None:
    score = read_notation(CASES / "drums.musicxml")
    assert score.tracks[0].is_drum and pitches(score) == [36, 38] * 16
    assert not score.tracks[1].is_drum and len(score.tracks[1]) == 32


def test_a_tempo_mark_behind_a_repeat_stands_behind_it() -> None:
    score = read_notation(CASES / "repeat_tempo.musicxml")
    assert [(t.tick, t.qpm) for t in score.tempos] == [(0, 120.0), (7680, 60.0)]
    assert pitches(score)[:8] == pitches(score)[8:16]


def test_abc_in_latin_1_with_inline_fields_and_voices() -> None:
    assert read_notation(CASES / "latin1.abc").title == "Café Mélodie"
    inline = read_notation(CASES / "inline_key.abc")
    assert pitches(inline)[-3:] == [66, 64, 62]
    assert [(m.tick, str(m)) for m in inline.time_signatures] == [(0, "4/4"), (3840, "3/4")]
    assert [(k.tick, k.fifths) for k in inline.key_signatures] == [(0, 0), (1920, 1)]
    voices = read_notation(CASES / "voices.abc")
    assert [len(t) for t in voices.tracks] == [16, 4] and voices.duration_seconds == pytest.approx(9.6)


def test_the_tunes_of_a_book_are_named_by_number() -> None:
    book = CASES / "two_tunes.abc"
    assert read_notation(f"{book}#2").title == "Two"
    third = read_notation(book, 3)
    assert (third.title, third.qpm, str(third.time_signatures[0])) == ("Three in D dorian", 90.0, "3/4")
    with pytest.raises(MidiReadError, match=r"1 One, 2 Two, 3 Three in D dorian.*two_tunes.abc#1"):
        read_notation(book)
    with pytest.raises(MidiReadError, match=r"no tune 7 .* 1 One"):
        read_notation(f"{book}#7")
    with pytest.raises(MidiReadError, match="only ABC books"):
        read_notation(CASES / "drums.musicxml", 2)
    assert split_tune(Path("a/song#2.mid")) == (Path("a/song#2.mid"), None)


def test_abc_lengths_ties_tuplets_broken_rhythm_and_accidentals() -> None:
    score = abc('X:1\nM:4/4\nL:1/8\nK:D\n"Dm7b5"(3fga f>e ^c2- c2|=f f/g/ [FA]4 z2|F2 "^slowly" "N.C."x6|\n')
    rows = [(n.onset_tick, n.duration_ticks, n.pitch) for n in score.tracks[0]]
    assert rows == [
        (0, 160, 78), (160, 160, 79), (320, 160, 81), (480, 360, 78), (840, 120, 76), (960, 960, 73),
        (1920, 240, 77), (2160, 120, 77), (2280, 120, 79), (2400, 960, 65), (2400, 960, 69), (3840, 480, 66),
    ]  # fmt: skip
    assert [(c.tick, c.label) for c in score.chords] == [(0, "D:hdim7"), (4320, "N")]


def test_repeats_endings_and_pickups() -> None:
    score = abc("X:1\nM:2/4\nL:1/4\nK:C\nC|:DE|1 FG:|2 AB|]\n")
    assert pitches(score) == [60, 62, 64, 65, 67, 62, 64, 69, 71]
    assert score.tracks[0].notes["onset_tick"][0] == 480  # the pickup ends where a whole bar would
    two_lines = abc("X:1\nM:2/4\nL:1/4\nK:C\n|:CD:|\n|:EF:|\n")
    assert pitches(two_lines) == [60, 62, 60, 62, 64, 65, 64, 65]


def test_jumps_are_taken_once() -> None:
    bars = [Marks(segno="s"), Marks(to_coda="c"), Marks(times=2), Marks(jump="s"), Marks(coda="c")]
    assert playing_order(bars) == [0, 1, 2, 0, 1, 2, 3, 0, 1, 4]
    assert playing_order([Marks(), Marks(fine=True), Marks(jump="start")]) == [0, 1, 2, 0, 1]
    endless = playing_order([Marks(times=100, ending=frozenset({1})) for _ in range(3)])
    assert len(endless) < 1000


def test_abc2midi_sees_the_same_notes(tmp_path: Path) -> None:
    symusic = pytest.importorskip("symusic")
    for number, tune in enumerate(tunes_of(decode_abc((CASES / "two_tunes.abc").read_bytes()))):
        (tmp_path / "t.abc").write_text("\n".join(tune.lines) + "\n")
        other = symusic.Score.from_file(str(tmp_path / "t.abc"), fmt="abc")
        seen = sorted((round(n.time / 10) * 10, n.pitch) for t in other.tracks for n in t.notes)
        mine = sorted((n.onset_tick, n.pitch) for t in read_tune(tune).tracks for n in t)
        assert seen == mine, number


def test_what_is_left_out_is_said() -> None:
    remarks: list[str] = []
    score = read_tune(tunes_of("X:1\nK:C\nC{de}D k€ (EF) !p! u.G ~A|\n")[0], "", remarks)
    assert pitches(score) == [60, 62, 64, 65, 67, 69]
    assert len(remarks) == 2 and "'k' '€'" in remarks[0] and remarks[1].startswith("2 grace notes")


def test_repeats_of_repeats_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("melodygen.io.abc_voice.MAX_NOTES", 5000)
    line = "|:" + "C" * 50 + ":" * 60 + "|"
    tune = Tune(1, "", ("X:1", "L:1/8", "K:C", *[line] * 6))
    with pytest.raises(ScoreError, match="with all repeats"):
        read_tune(tune)


def test_broken_files_are_named_with_the_reason(tmp_path: Path) -> None:
    written = {
        "empty.musicxml": b"", "half.musicxml": (CASES / "drums.musicxml").read_bytes()[:900], "a.xml": b"<html/>",
        "b.mxl": b"PK\x03\x04nothing", "c.abc": b"hello\n", "d.abc": b"X:1\nK:C\n", "e.musicxml": b"<score-partwise/>",
    }  # fmt: skip
    for name, data in written.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MidiReadError, match=name):
            read_notation(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "good.mxl", "w") as archive:
        archive.write(CASES / "drums.musicxml", "score.xml")
    assert len(read_notation(tmp_path / "good.mxl").tracks[0]) == 32
