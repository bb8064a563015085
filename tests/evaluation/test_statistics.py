"""Statistics of music, against values worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from melodygen.errors import MelodygenError
from melodygen.evaluation import statistics as music
from melodygen.evaluation.tables import markdown_table, replace_section, write_json
from melodygen.music.harmony import PITCH_CLASS_NAMES
from melodygen.music.score import Score, TimeSignature, Track, note_array
from melodygen.tokens.grid import GridBar, GridNote, Piece
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, DURATION_INDEX

QUARTER = DURATION_INDEX[12]
MAJOR = CHORD_QUALITY_NAMES.index("maj")


def bar(pitches: list[int], step: int = 12, chords: tuple[tuple[int, int, int], ...] = ()) -> GridBar:
    notes: tuple[GridNote, ...] = tuple((i * step, 2, QUARTER, p) for i, p in enumerate(pitches))
    return GridBar((4, 4), {"melody": notes} if notes else {}, chords)


def test_pitch_class_entropy_is_log2_of_equally_used_classes() -> None:
    assert music.pitch_class_entropy(Piece((bar([60, 62, 64, 65]),))) == pytest.approx(2.0)
    assert music.pitch_class_entropy(Piece((bar([60, 72, 48, 60]),))) == 0.0


def test_scale_consistency_finds_the_best_scale_in_any_key() -> None:
    scale = [0, 2, 4, 5, 7, 9, 11]
    for tonic in range(12):
        piece = Piece((bar([60 + tonic + s for s in scale], step=6),))
        assert music.scale_consistency(piece) == 1.0, PITCH_CLASS_NAMES[tonic]
    assert music.scale_consistency(Piece((bar(list(range(60, 68)), step=6),))) == pytest.approx(5 / 8)


def test_drums_have_no_pitch() -> None:
    drums = Piece((GridBar((4, 4), {"drums": ((0, 0, 2, 0), (12, 1, 2, 0))}),))
    assert math.isnan(music.pitch_class_entropy(drums))
    assert music.statistics(drums)["notes a bar, drums"] == 2.0


def test_groove_is_the_share_of_positions_that_agree() -> None:
    same = Piece((bar([60, 62, 64, 65]), bar([50, 51, 52, 53])))
    assert music.groove_consistency(same) == 1.0
    other = Piece((bar([60, 62, 64, 65]), bar([60, 62])))
    assert music.groove_consistency(other) == pytest.approx(1 - 2 / 48)


@pytest.mark.parametrize(
    ("meter", "strong"),
    [((4, 4), (0, 24)), ((3, 4), (0,)), ((6, 8), (0, 18)), ((2, 4), (0,)), ((12, 8), (0, 36))],
)
def test_strong_positions(meter: tuple[int, int], strong: tuple[int, ...]) -> None:
    assert music.strong_positions(meter) == strong


def test_chord_tones_count_on_strong_beats_only_and_chords_hold_over_the_bar_line() -> None:
    c_major, g_major = (0, 0, MAJOR), (24, 7, MAJOR)
    first = bar([64, 61, 71, 61], chords=(c_major, g_major))  # E in C, B in G; the C sharps are on weak beats
    second = bar([62, 60, 60, 60])  # D belongs to the G that holds, C on the third beat does not
    assert music.chord_tone_share(Piece((first, second))) == pytest.approx(3 / 4)
    assert math.isnan(music.chord_tone_share(Piece((bar([60, 62, 64, 65]),))))


def test_repeats() -> None:
    piece = Piece((bar([60, 62]), bar([60, 62]), bar([60, 64]), bar([])))
    assert music.repeated_bars(piece) == pytest.approx(1 / 3)
    assert music.self_similarity(piece) == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)


def test_rhythm_runs_over_the_bar_line() -> None:
    histogram = music.rhythm_histogram(Piece((bar([60, 60]), bar([60, 60]))))
    assert histogram[12 - 1] == pytest.approx(2 / 3) and histogram[36 - 1] == pytest.approx(1 / 3)
    assert music.histogram_distance(histogram, histogram * 7) == pytest.approx(0.0)
    eighths = music.rhythm_histogram(Piece((bar([60] * 8, step=6),)))
    assert music.histogram_distance(histogram, eighths) == pytest.approx(1.0)


def test_ending() -> None:
    whole = DURATION_INDEX[48]
    closing = GridBar(
        (4, 4), {"melody": ((0, 2, whole, 72),), "bass": ((24, 2, whole, 43),)}, ((0, 0, MAJOR),)
    )
    scale = [bar([60, 64, 67, 72]), bar([65, 62, 71, 67]), bar([60, 67, 64, 60])]
    result = music.ending(Piece((*scale, closing)))
    assert result["melody ends on tonic"] == 1.0 and result["bass ends on tonic"] == 0.0
    assert result["bass ends in chord"] == 1.0
    assert result["cut notes"] == 0.5  # the bass rings on for half a bar


def test_a_ringing_last_note_adds_no_bar_and_silence_takes_none_away() -> None:
    rows = [(0, 480, 60, 90), (3 * 1920, 4000, 60, 90)]
    score = Score((Track(note_array(rows), role="melody"),), time_signatures=(TimeSignature(0, 4, 4),))
    assert len(music.piece_of(score).bars) > 4
    assert len(music.piece_of(score, 4).bars) == 4
    assert music.statistics(music.piece_of(score, 8))["silent bars"] == pytest.approx(6 / 8)


def test_compare_tells_same_from_different() -> None:
    rng = np.random.default_rng(0)
    human = [{"x": float(v)} for v in rng.normal(0, 1, 200)]
    alike = [{"x": float(v)} for v in rng.normal(0, 1, 200)]
    other = [{"x": float(v)} for v in rng.normal(4, 1, 200)]
    half = [i % 2 == 0 for i in range(200)]
    near, far = (music.compare(side, human, half)[0] for side in (alike, other))
    assert near.overlap > 0.85 and near.human_overlap > 0.8 and near.distance < 0.3
    assert far.overlap < 0.1 and far.distance == pytest.approx(4.0, abs=0.3)


def test_undefined_values_are_left_out() -> None:
    rows = [{"x": 1.0}, {"x": math.nan}, {"x": 3.0}, {"x": 2.0}]
    assert music.compare(rows, rows)[0].generated_mean == 2.0
    assert music.compare([{"x": math.nan}], rows) == []


def test_reports(tmp_path: Path) -> None:
    assert markdown_table(["a", "b"], [[1, math.nan], ["x", 0.125]]).splitlines()[2:] == [
        "| 1 | – |",
        "| x | 0.12 |",
    ]
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- t:begin -->\nold\n<!-- t:end -->\nafter\n")
    replace_section(page, "t", "new")
    assert page.read_text() == "before\n<!-- t:begin -->\nnew\n<!-- t:end -->\nafter\n"
    with pytest.raises(MelodygenError, match="no section 'other'"):
        replace_section(page, "other", "new")
    write_json(tmp_path / "r.json", {"nan": math.nan, "values": [np.float64(0.5)]})
    assert json.loads((tmp_path / "r.json").read_text()) == {"nan": None, "values": [0.5]}
