"""Shards and training examples: whatever view is drawn, it is a piece the grammar accepts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pieces import tune
from slow_grid import canonical_notes

from melodygen.data.comping import CompingPlayer, comping_patterns, voice_chord
from melodygen.data.dataset import PLAIN, Example, ExampleSampler, pack, unstated_tempos
from melodygen.data.shards import PieceInfo, Shards, build_shards, load_shards, save_shards
from melodygen.errors import CorpusError
from melodygen.music.harmony import CHORD_QUALITIES
from melodygen.styles.loader import built_in_styles
from melodygen.tokens.codec import decode, decode_header
from melodygen.tokens.grammar import check
from melodygen.tokens.grid import Piece, meter_positions, score_to_piece
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, END, GAP, METERS, VOCABULARY

ALL_ROLES = ("melody", "chords", "bass", "drums")
STYLES = ("folk", "jazz", "pop")


def info(path: str, style: str, **changes: object) -> PieceInfo:
    plain = PieceInfo(path, style, "s", "train", "piece", path, 0, 0, 100.0, path, False)
    return replace(plain, **changes)  # type: ignore[arg-type]


def corpus() -> list[tuple[Piece, PieceInfo]]:
    four, three = score_to_piece(tune(6)), score_to_piece(tune(6, (3, 4)))
    mixed = replace(four, bars=(*four.bars[:3], *three.bars[3:]))
    blocks = score_to_piece(tune(16, roles=("melody", "chords", "bass")))
    return [
        (mixed, info("folk/x/mixed", "folk")),
        (score_to_piece(tune(70, (6, 8), ("melody",))), info("folk/x/long", "folk")),
        (blocks, info("jazz/x/blocks", "jazz", block_chords=True)),
        (score_to_piece(tune(12, roles=ALL_ROLES)), info("pop/x/band", "pop")),
        (score_to_piece(tune(9, roles=("drums",))), info("drums/x/take", "jazz", kind="drums")),
        (score_to_piece(tune(9, roles=("drums",))), info("drums/x/rock", "rock", kind="drums")),
        (score_to_piece(tune(9)), info("pop/x/kept", "pop", split="valid")),
    ]


@pytest.fixture(scope="module")
def shards() -> Shards:
    return build_shards(corpus())


def checked(example: Example) -> Piece:
    ids = example.ids.tolist()
    header, start = decode_header(ids)
    assert start == example.header_length
    assert header.roles == example.roles
    bars = [VOCABULARY.values[t] + 1 for t in ids[start:] if VOCABULARY.kinds[t] == "bar"]
    if ids[-1] == END:
        check(ids, header, len(bars), start)
    else:
        assert bars[0] == 33  # more follows than is in view
        check(ids, header, 33 + len(bars), start)
    return decode(ids)


def test_plain_examples_are_the_pieces(shards: Shards) -> None:
    sampler = ExampleSampler(shards, "train", STYLES, PLAIN)
    for (piece, _), entry in zip(corpus(), shards.pieces, strict=True):
        example = sampler.build(entry, np.random.default_rng(0), (0, len(piece.bars)))
        assert example is not None
        if entry.block_chords or len(piece.bars) > 32:
            continue  # those are seen as comping, or do not fit
        assert [b.parts for b in checked(example).bars] == [b.parts for b in piece.bars]


def test_every_view_is_accepted_and_decodes(shards: Shards) -> None:
    sampler = ExampleSampler(shards, "train", STYLES, max_tokens=400)
    rng = np.random.default_rng(1)
    seen = {"gap": 0, "short": 0, "drums": 0, "any": 0, "open": 0, "no chords": 0}
    for _ in range(400):
        example = sampler.draw(rng)
        piece = checked(example)
        ids = example.ids.tolist()
        assert len(ids) <= 400
        assert piece.num_notes() == example.num_notes
        for bar in piece.bars:
            for role, notes in bar.parts.items():
                assert canonical_notes(list(notes), role) == notes
        seen["gap"] += GAP in ids
        seen["short"] += len(piece.bars) < 4
        seen["drums"] += (
            example.style in ("jazz", "pop") and "drums" in example.roles and len(example.roles) > 1
        )
        seen["any"] += VOCABULARY.values[ids[1]] == 0
        seen["open"] += ids[-1] != END
        seen["no chords"] += "chordline" not in example.roles
    assert all(seen.values()), seen


def test_windows_that_are_cut_to_fit_hold_whole_phrases(shards: Shards) -> None:
    """The countdown tells the drummer where a phrase ends only if windows are phrases of four bars."""
    sampler = ExampleSampler(shards, "train", STYLES, PLAIN, max_tokens=260)
    entry = next(p for p in shards.pieces if p.path == "pop/x/band")
    for ends in (0, entry.num_bars - 12):
        example = sampler.build(entry, np.random.default_rng(1), (ends, 12))
        assert example is not None
        bars = len(decode(example.ids.tolist()).bars)
        assert bars < 12 and bars % 4 == 0


def test_an_estimated_bass_alone_is_an_example_or_none() -> None:
    """The band writes jazz a bass of its own; in a window without a soloist nothing may be left."""
    held = build_shards(
        [
            (score_to_piece(tune(8, roles=("bass",))), info("jazz/x/bass", "jazz", block_chords=True)),
            (score_to_piece(tune(9, roles=("drums",))), info("drums/x/take", "jazz", kind="drums")),
        ]
    )
    sampler = ExampleSampler(held, "train", STYLES)
    made = [sampler.build(held.pieces[0], np.random.default_rng(seed)) for seed in range(100)]
    assert None in made
    for example in made:
        if example is not None:
            assert checked(example).num_notes() == example.num_notes


def test_splits_styles_and_seeds(shards: Shards) -> None:
    valid = ExampleSampler(shards, "valid", STYLES)
    assert valid.style_names == ["pop"]
    train = ExampleSampler(shards, "train", STYLES)
    assert train.style_names == ["drums", "folk", "jazz", "pop"]
    for style in ("folk", "jazz", "pop"):
        assert train.draw(np.random.default_rng(2), style).style == style
    one, two = (train.draw(np.random.default_rng(9)).ids for _ in range(2))
    assert (one == two).all()
    assert ExampleSampler(shards, "train", STYLES, weights={"jazz": 0.0}).style_names == [
        "drums",
        "folk",
        "pop",
    ]


def test_transposing_keeps_drums(shards: Shards) -> None:
    sampler = ExampleSampler(shards, "train", STYLES, replace(PLAIN, transpose=True))
    entry = next(p for p in shards.pieces if p.path == "pop/x/band")
    seen = set()
    for seed in range(12):
        example = sampler.build(entry, np.random.default_rng(seed), (0, 12))
        assert example is not None
        piece = decode(example.ids.tolist())
        first = piece.bars[0]
        seen.add(first.parts["melody"][0][3] - 60)
        assert first.parts["drums"] == corpus()[3][0].bars[0].parts["drums"]
        assert (first.parts["bass"][0][3] - 36) == first.parts["melody"][0][3] - 60
        assert first.chords[0][1] == (first.parts["melody"][0][3] - 60) % 12
    assert len(seen) > 4


def test_packing_fills_rows(shards: Shards) -> None:
    batch = pack(ExampleSampler(shards, "train", STYLES), 3, 500, np.random.default_rng(0))
    assert batch.shape == (3, 501)
    assert (batch > 0).all()
    assert (batch[:, 0] == 1).all()


def test_shards_survive_the_disk_and_refuse_another_vocabulary(shards: Shards, tmp_path: Path) -> None:
    save_shards(tmp_path / "s", shards)
    loaded = load_shards(tmp_path / "s")
    assert loaded.pieces == shards.pieces
    assert loaded.num_tokens == shards.num_tokens
    for name, array in shards.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
        assert loaded.arrays[name].dtype == array.dtype
    record = json.loads((tmp_path / "s" / "pieces.json").read_text())
    (tmp_path / "s" / "pieces.json").write_text(json.dumps({**record, "vocabulary_id": "other"}))
    with pytest.raises(CorpusError, match="vocabulary other"):
        load_shards(tmp_path / "s")
    with pytest.raises(CorpusError, match="holds no token shards"):
        load_shards(tmp_path)


def test_comping_plays_the_chord_inside_the_bar() -> None:
    for style in ("jazz", "blues", "ragtime", "pop"):
        for meter in METERS:
            comper = CompingPlayer(built_in_styles()[style], np.random.default_rng(5))
            for root in range(4):
                size = meter_positions(meter)
                quality = CHORD_QUALITY_NAMES.index("min7")
                notes = comper.bar(meter, ((0, root, quality), (size - 1, 7, 2)))
                assert bool(notes) == bool(comping_patterns(built_in_styles()[style], meter))
                assert all(0 <= n[0] < size for n in notes)
                assert canonical_notes(list(notes), "chords") == notes
                classes = {(root + i) % 12 for i in CHORD_QUALITIES["min7"]}
                assert {n[3] % 12 for n in notes if n[0] < size - 1} <= classes


def test_voicings_stay_in_the_middle_and_move_little() -> None:
    for quality in range(len(CHORD_QUALITY_NAMES)):
        for root in range(12):
            before = voice_chord((root + 5) % 12, 2, None, False)
            voicing = voice_chord(root, quality, before, True)
            assert min(voicing) >= 48
            assert max(voicing) <= 75
            assert list(voicing) == sorted(set(voicing))
            assert max(min(abs(n - p) for p in before) for n in voicing) <= 7


def test_a_tempo_that_a_whole_source_shares_is_its_converters() -> None:
    def pieces(source: str, style: str, tempos: list[float]) -> list[PieceInfo]:
        return [info(f"{style}/{source}/{i}", style, source=source, qpm=qpm) for i, qpm in enumerate(tempos)]

    leads = pieces("leads", "pop", [110.0] * 8 + [84.0])
    bands = pieces("bands", "pop", [70.0, 84.0, 110.0])
    hymns = pieces("hymnal", "hymn", [120.0] * 9)
    found = unstated_tempos([*leads, *bands, *hymns])
    assert found == {lead.path for lead in leads if lead.qpm == 110.0}
