"""Copies of the training music are found in any key, exactly, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from melodygen.data.shards import PieceInfo, Shards, build_shards
from melodygen.errors import CorpusError
from melodygen.evaluation import copying
from melodygen.evaluation.copying import CopyIndex, build_index, copied_runs, longest_copied_run, suffix_array
from melodygen.tokens.grid import GridBar, GridNote, Piece, piece_to_score
from melodygen.tokens.vocabulary import DURATION_INDEX


def random_piece(seed: int, bars: int = 8, roles: tuple[str, ...] = ("melody", "bass")) -> Piece:
    rng = np.random.default_rng(seed)

    def part() -> tuple[GridNote, ...]:
        places = sorted(rng.choice(16, size=6, replace=False).tolist())
        return tuple(
            (3 * p, 2, DURATION_INDEX[int(rng.choice((3, 6, 12)))], int(rng.integers(48, 72))) for p in places
        )

    return Piece(tuple(GridBar((4, 4), {role: part() for role in roles}) for _ in range(bars)))


def shards_of(*pieces: Piece, splits: tuple[str, ...] = ()) -> Shards:
    names = splits or ("train",) * len(pieces)
    infos = [
        PieceInfo(f"p{i}.mid", "jazz", "test", split, "piece", f"Tune {i}", 0, 0, 120.0, "", False)
        for i, split in enumerate(names)
    ]
    return build_shards(zip(pieces, infos, strict=True))


def transposed(piece: Piece, by: int) -> Piece:
    bars = [
        replace(
            b, parts={r: tuple((p, v, d, n + by) for p, v, d, n in notes) for r, notes in b.parts.items()}
        )
        for b in piece.bars
    ]
    return Piece(tuple(bars))


@pytest.fixture(scope="module")
def index() -> CopyIndex:
    return build_index(shards_of(*(random_piece(seed) for seed in range(20))))


def brute_force(piece: Piece, pieces: list[Piece], role: str) -> int:
    """Notes in the longest run, by comparing everything with everything."""

    def steps(music: Piece, part: str) -> list[tuple[int, int, int]]:
        rows = sorted(
            (48 * i + n[0], n[3], n[2]) for i, bar in enumerate(music.bars) for n in bar.parts.get(part, ())
        )
        return [(b[1] - a[1], b[0] - a[0], a[2]) for a, b in pairwise(rows)]

    best, ours = 0, steps(piece, role)
    for theirs in (steps(other, part) for other in pieces for part in ("melody", "bass")):
        for i in range(len(ours)):
            for j in range(len(theirs)):
                length = 0
                while (
                    i + length < len(ours)
                    and j + length < len(theirs)
                    and ours[i + length] == theirs[j + length]
                ):
                    length += 1
                best = max(best, length)
    return best + 1 if best else 0


def test_a_whole_piece_is_found_in_another_key(index: CopyIndex) -> None:
    run = longest_copied_run(transposed(random_piece(7), 5), index, ("melody",))
    assert run is not None
    assert (run.num_notes, run.title, run.first_bar) == (48, "Tune 7", 0)
    assert 7.0 < run.bars <= 8.0


def test_a_score_is_read_like_its_piece(index: CopyIndex) -> None:
    piece = random_piece(3)
    of_score, of_piece = longest_copied_run(piece_to_score(piece), index), longest_copied_run(piece, index)
    assert of_score is not None and of_piece is not None
    # a last note that rings on makes the Score one bar longer
    assert replace(of_score, bars=0.0) == replace(of_piece, bars=0.0)
    assert of_score.bars == pytest.approx(of_piece.bars, abs=0.2)


def test_copied_bars_inside_new_music(index: CopyIndex) -> None:
    fresh, source = random_piece(900), transposed(random_piece(11), -4)
    mixed = Piece((*fresh.bars[:3], *source.bars[2:5], *fresh.bars[3:]))
    run = copied_runs(mixed, index)["melody"]
    assert run.title == "Tune 11" and run.num_notes >= 18
    assert run.first_bar in (2, 3) and 2.0 < run.bars < 4.0


def test_agrees_with_brute_force() -> None:
    # two pitches and one duration: many short matches, some across the ends of pieces if the index let them
    rng = np.random.default_rng(5)

    def plain() -> Piece:
        bars = [
            GridBar((4, 4), {"melody": tuple((12 * i, 2, 11, 60 + int(rng.integers(2))) for i in range(4))})
            for _ in range(5)
        ]
        return Piece(tuple(bars))

    training = [plain() for _ in range(6)]
    index = build_index(shards_of(*training))
    for _ in range(10):
        piece = plain()
        notes = max(r.num_notes for r in copied_runs(piece, index).values())
        # the run chosen is longest in bars; with four notes in each bar it is the longest in notes too, give or take
        # a run of as many notes elsewhere
        assert notes == brute_force(piece, training, "melody")


def test_runs_longer_than_the_window_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    long = random_piece(50, bars=40, roles=("melody",))
    run = longest_copied_run(long, build_index(shards_of(random_piece(51), long)))
    assert run is not None and run.num_notes == 240 > copying.WINDOW and run.title == "Tune 1"


def test_validation_pieces_are_not_in_the_index() -> None:
    known, hidden = random_piece(1), random_piece(2)
    index = build_index(shards_of(known, hidden, splits=("train", "valid")))
    run = longest_copied_run(hidden, index)
    assert run is None or run.num_notes < 8


def test_a_shared_rest_is_no_copy() -> None:
    def sparse(*pitches: int) -> Piece:
        silent = [GridBar((4, 4))] * 9
        return Piece((GridBar((4, 4), {"melody": ((0, 2, 11, pitches[0]),)}), *silent,
                      GridBar((4, 4), {"melody": ((0, 2, 11, pitches[1]),)})))  # fmt: skip

    run = longest_copied_run(sparse(60, 64), build_index(shards_of(sparse(50, 54))))
    assert run is not None and run.num_notes == 2 and run.bars <= 2.0


def test_one_note_repeated_is_told_as_such() -> None:
    drone = Piece((GridBar((4, 4), {"bass": tuple((6 * i, 2, 5, 40) for i in range(8))}),) * 4)
    run = longest_copied_run(drone, build_index(shards_of(drone)))
    assert run is not None and run.num_notes == 32 and run.num_different == 1


def test_nothing_to_compare(index: CopyIndex) -> None:
    assert longest_copied_run(Piece((GridBar((4, 4), {"drums": ((0, 0, 2, 0),)}),)), index) is None


def test_saved_and_loaded(index: CopyIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "copies.npz")
    again = CopyIndex.load(tmp_path / "copies.npz")
    piece = transposed(random_piece(4), 2)
    assert copied_runs(piece, again) == copied_runs(piece, index)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not an index")
    with pytest.raises(CorpusError, match="build it again"):
        CopyIndex.load(tmp_path / "broken.npz")


def test_suffix_array_is_sorted() -> None:
    text = np.random.default_rng(1).integers(0, 3, 300).astype(np.int32)
    order = suffix_array(text).tolist()
    suffixes = [tuple(text[i : i + copying.WINDOW].tolist()) for i in order]
    assert suffixes == sorted(suffixes) and sorted(order) == list(range(300))
