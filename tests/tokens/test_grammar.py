"""The grammar: what is sampled under its mask decodes, and what the encoder writes it accepts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pieces import ToEncode, headers, to_encode, tune
from slow_grid import canonical_notes

from melodygen.errors import TokenError
from melodygen.tokens.codec import Header, decode, encode, encode_header
from melodygen.tokens.grammar import Grammar, Limits, check
from melodygen.tokens.grid import Piece, score_to_piece
from melodygen.tokens.vocabulary import END, FILL, GAP, MAX_POLYPHONY, METERS, SEGMENT_ROLES, VOCABULARY

QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PITCHED = ("melody", "chords", "bass", "other")


def sample(grammar: Grammar, rng: np.random.Generator, most: int = 20_000) -> list[int]:
    """Tokens drawn from the mask: mostly evenly over kinds, so that every kind is met often."""
    kinds = np.array([hash_of_kind(k) for k in VOCABULARY.kinds])
    ids: list[int] = []
    while not grammar.ended:
        allowed = np.flatnonzero(grammar.allowed())
        assert len(allowed), f"nothing may follow {[VOCABULARY.name(t) for t in ids[-5:]]}"
        kind = rng.choice(np.unique(kinds[allowed]))
        token = int(rng.choice(allowed[kinds[allowed] == kind]))
        grammar.advance(token)
        ids.append(token)
        assert len(ids) < most
    return ids


def hash_of_kind(kind: str) -> int:
    return [k for k, _ in VOCABULARY.table()].index(kind)


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    ranges = {}
    for role in PITCHED:
        low = draw(st.integers(0, 127))
        ranges[role] = (low, min(127, low + draw(st.sampled_from((0, 1, 3, 20, 127)))))
    polyphony = {r: draw(st.integers(1, 8)) for r in PITCHED if draw(st.booleans())}
    kept = frozenset(r for r in SEGMENT_ROLES if draw(st.integers(0, 5)) == 0)
    within = draw(st.one_of(st.none(), st.just(ranges)))
    return Limits(within, draw(st.booleans()), polyphony, kept, draw(st.booleans()))


@QUICK
@given(headers(), st.integers(1, 5), limits(), st.integers(0, 2**32))
def test_every_stream_sampled_under_the_mask_decodes(
    header: Header, bars: int, within: Limits, seed: int
) -> None:
    ids = sample(Grammar(header, bars, within), np.random.default_rng(seed))
    piece = decode([*encode_header(header), *ids])
    assert len(piece.bars) == bars
    assert set(piece.roles) <= set(header.roles) - within.kept_roles
    if header.meter and not within.allow_meter_change:
        assert {b.meter for b in piece.bars} == {header.meter}
    if not within.allow_meter_change:
        assert len({b.meter for b in piece.bars}) == 1
    for bar in piece.bars:
        for role, notes in bar.parts.items():
            assert canonical_notes(list(notes), role) == notes
            if role == "drums":
                continue
            low, high = (within.ranges or {}).get(role, (0, 127))
            assert all(low <= n[3] <= high for n in notes)
            most = min(MAX_POLYPHONY[role], (within.polyphony or {}).get(role, 99))
            assert max(np.bincount([n[0] for n in notes])) <= most
    check([*encode_header(header), *ids], header, bars, len(encode_header(header)))


@QUICK
@given(to_encode())
def test_the_grammar_accepts_what_the_encoder_writes(made: ToEncode) -> None:
    piece, header, fill = made
    for again in (False, True):
        check(encode(piece, header, fill, again=again), header, len(piece.bars), len(encode_header(header)))


@pytest.mark.parametrize("fill", [None, (3, 2), (0, 38), (36, 4), (0, 40), (1, 5)])
def test_check_follows_infills_in_pieces_longer_than_the_countdown(fill: tuple[int, int] | None) -> None:
    four, three = score_to_piece(tune(40)), score_to_piece(tune(40, (3, 4)))
    piece = Piece(tuple((four if i % 7 else three).bars[i] for i in range(40)), 120.0)
    header = Header(meter=(4, 4), roles=("chordline", "melody", "bass"))
    check(encode(piece, header, fill), header, 40, len(encode_header(header)))


def test_check_refuses_what_is_out_of_order() -> None:
    piece = score_to_piece(tune(6))
    header = Header(meter=(4, 4), roles=("chordline", "melody", "bass"))
    ids = encode(piece, header, (2, 2))
    start = len(encode_header(header))
    bars = [i for i, t in enumerate(ids) if VOCABULARY.kinds[t] == "bar"]
    fill = ids.index(FILL)
    wrong = {
        "a bar is missing": ids[: bars[1]] + ids[bars[2] :],
        "a bar too many": ids[:-1] + ids[bars[-1] :],
        "the gap is filled half": [*ids[: bars[-1]], END],
        "the gap is not filled": [*ids[:fill], END],
        "filled twice": [*ids[:-1], FILL, *ids[fill + 1 :]],
        "two gaps": [*ids[: ids.index(GAP)], GAP, *ids[ids.index(GAP) :]],
        "a gap in mid-note": [*ids[: bars[0] + 3], GAP, *ids[ids.index(GAP) + 1 :]],
        "roles in another order": encode(piece, Header(meter=(4, 4), roles=("bass", "melody", "chordline"))),
        "end before the end": [*ids[: bars[1]], END],
        "more after the end": [*ids, END],
    }
    check(ids, header, 6, start)
    for what, sequence in wrong.items():
        with pytest.raises(TokenError, match=r"position \d+|bars are left"):
            check(sequence, header, 6, start)
            pytest.fail(f"accepted: {what}")


def test_meters_that_were_asked_for_are_kept() -> None:
    for meter in METERS:
        ids = sample(Grammar(Header(meter=meter), 2), np.random.default_rng(1))
        assert {b.meter for b in decode([*encode_header(Header(meter=meter)), *ids]).bars} == {meter}


def test_the_countdown_stops_an_infill_where_the_gap_ends() -> None:
    header = Header(meter=(4, 4))
    grammar = Grammar(header, 12)
    rng = np.random.default_rng(3)
    ids = []
    while not grammar.ended:
        token = int(rng.choice(np.flatnonzero(grammar.allowed(9))))
        grammar.advance(token)
        ids.append(token)
    assert [VOCABULARY.name(t) for t in ids if VOCABULARY.kinds[t] == "bar"] == ["bar:12", "bar:11", "bar:10"]
