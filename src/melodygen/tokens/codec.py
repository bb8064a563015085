"""Encoding of a Piece into token ids and back: ``decode(encode(piece)) == piece`` for every piece on the
grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from melodygen.errors import TokenError
from melodygen.tokens.grid import GRID_ROLES, GridBar, GridNote, Piece
from melodygen.tokens.returns import Returns
from melodygen.tokens.vocabulary import (
    BOS,
    DRUM_VELOCITIES,
    END,
    FILL,
    GAP,
    HEADER_END,
    MAX_COUNTDOWN,
    METERS,
    MODES,
    SEGMENT_ROLES,
    TEMPO_BANDS,
    VOCABULARY,
    tempo_band,
)

_V = VOCABULARY
_POSITION = _V.offsets["position"]
_VELOCITY = _V.offsets["velocity"]
_DURATION = _V.offsets["duration"]
_PITCH = _V.offsets["pitch"]
_DRUM = _V.offsets["drum"]
_ROLE = _V.offsets["role"]
_ROOT = _V.offsets["chord_root"]
_QUALITY = _V.offsets["chord_quality"]


@dataclass(frozen=True)
class Header:
    """What is asked for, or known, of a piece. ``None`` is written as ``any``.

    Attributes:
        style: slot 0-47; the checkpoint knows the slot's style name.
        meter: numerator and denominator, one of ``METERS``.
        tempo: index of a tempo band, 0-23.
        key: tonic 0-11 and mode (``major`` or ``minor``).
        density: level 0-7.
        from_start: the first bar is the real beginning of the piece.
        to_end: the last bar is the real end of the piece.
        roles: the roles in the order in which they come in each bar; ``chordline`` stands for the chord
            symbols.
    """

    style: int | None = None
    meter: tuple[int, int] | None = None
    tempo: int | None = None
    key: tuple[int, str] | None = None
    density: int | None = None
    from_start: bool = True
    to_end: bool = True
    roles: tuple[str, ...] = ("chordline", "melody", "chords", "bass", "drums")


def encode_header(header: Header) -> list[int]:
    """Return the tokens from ``bos`` to ``header_end``.

    Raises:
        TokenError: a role comes twice, there is no role, or tokens cannot say the meter.
    """
    if len(set(header.roles)) != len(header.roles) or not header.roles:
        raise TokenError(f"roles {header.roles}: each once, at least one of {', '.join(SEGMENT_ROLES)}")
    key = 0 if header.key is None else 1 + MODES.index(header.key[1]) * 12 + header.key[0]
    if header.meter is not None and header.meter not in METERS:
        raise TokenError(f"meter {header.meter[0]}/{header.meter[1]} is not one that tokens can say")
    span = (0 if header.from_start else 2) + (0 if header.to_end else 1)
    return [
        BOS,
        _V.id("style", 0 if header.style is None else 1 + header.style),
        _V.id("meter", 0 if header.meter is None else 1 + METERS.index(header.meter)),
        _V.id("tempo", 0 if header.tempo is None else 1 + header.tempo),
        _V.id("key", key),
        _V.id("density", 0 if header.density is None else 1 + header.density),
        _V.id("span", span),
        *(_ROLE + SEGMENT_ROLES.index(r) for r in header.roles),
        HEADER_END,
    ]


def encode_segment(role: str, notes: Sequence[GridNote]) -> list[int]:
    """Return the tokens of one role in one bar, the role token first; an empty list when the role is
    silent.
    """
    if not notes:
        return []
    ids = [_ROLE + SEGMENT_ROLES.index(role)]
    position = -1
    if role == "drums":
        for at, kind, band, _ in notes:
            if at != position:
                ids.append(_POSITION + at)
                position = at
            ids.append(_DRUM + kind * len(DRUM_VELOCITIES) + band)
        return ids
    velocity = duration = -1
    for at, band, length, pitch in notes:
        if at != position:
            ids.append(_POSITION + at)
            position = at
        if band != velocity:
            ids.append(_VELOCITY + band)
            velocity = band
        if length != duration:
            ids.append(_DURATION + length)
            duration = length
        ids.append(_PITCH + pitch)
    return ids


def encode_chords(chords: Sequence[tuple[int, int, int]]) -> list[int]:
    """Return the tokens of the chord symbols of one bar; an empty list when there are none."""
    if not chords:
        return []
    ids = [_ROLE + SEGMENT_ROLES.index("chordline")]
    for at, root, quality in chords:
        ids.append(_POSITION + at)
        ids.append(_ROOT + 1 + root)
        if root >= 0:
            ids.append(_QUALITY + quality)
    return ids


def bar_token(bars_left: int) -> int:
    """Return the countdown token of a bar. ``bars_left`` counts this bar too: the last bar has 1."""
    return _V.id("bar", min(bars_left, MAX_COUNTDOWN + 1) - 1)


def encode_bar(
    bar: GridBar,
    bars_left: int,
    roles: Sequence[str],
    meter_before: tuple[int, int] | None,
    returns: Returns | None = None,
) -> list[int]:
    """Return the tokens of one bar: its countdown, its meter where that differs from ``meter_before``, and
    its segments. ``returns`` holds the bars before and takes this one; with it a repeated segment is short.
    """
    ids = [bar_token(bars_left)]
    if bar.meter != meter_before:
        ids.append(_V.id("meter", 1 + METERS.index(bar.meter)))
    if returns is not None:
        returns.begin_bar(bar.meter)
    for role in roles:
        segment = (
            encode_chords(bar.chords)
            if role == "chordline"
            else encode_segment(role, bar.parts.get(role, ()))
        )
        ids += segment if returns is None else returns.shorten(segment)
    return ids


def encode(
    piece: Piece,
    header: Header,
    fill: tuple[int, int] | None = None,
    bars_after: int = 0,
    end: bool = True,
    again: bool = False,
) -> list[int]:
    """Return the tokens of a whole sequence.

    Args:
        piece: music on the grid.
        header: what the header says; its roles are the ones encoded.
        fill: (first, count) moves these bars of the piece behind the ``fill`` token; None encodes the bars in
            order.
        bars_after: number of bars that follow the piece and are not in it; they only show in the countdown.
        end: write the ``end`` token.
        again: write a repeated segment as one ``again`` token.

    Raises:
        TokenError: ``fill`` does not lie inside the piece, or the header cannot be encoded.
    """
    if fill is not None and not (fill[1] >= 1 and fill[0] >= 0 and fill[0] + fill[1] <= len(piece.bars)):
        raise TokenError(f"fill {fill[0]}:{fill[1]} is not inside the {len(piece.bars)} bars there are")
    ids = encode_header(header)
    meter = header.meter
    total = len(piece.bars) + bars_after
    first, count = fill or (len(piece.bars), 0)
    returns = Returns() if again else None
    for index in sequence_order(len(piece.bars), fill):
        bar = piece.bars[index]
        if fill is not None and index == (first + count if first + count < len(piece.bars) else first):
            ids.append(GAP)
        if fill is not None and index == first:
            ids.append(FILL)
        if fill is not None and index in (first, first + count):
            # what a reader of the sequence knows on both sides is the meter before the gap
            meter = piece.bars[first - 1].meter if first else header.meter
        ids += encode_bar(bar, total - index, header.roles, meter, returns)
        meter = bar.meter
    if end:
        ids.append(END)
    return ids


def sequence_order(bars: int, fill: tuple[int, int] | None) -> list[int]:
    """Bar numbers as they stand in a sequence: those of ``fill`` (first, count) last."""
    first, count = fill or (bars, 0)
    return [*range(first), *range(first + count, bars), *range(first, first + count)]


def decode_header(ids: Sequence[int]) -> tuple[Header, int]:
    """Return the header and the index of the first token after it.

    Raises:
        TokenError: the sequence does not begin with a complete header.
    """
    expected = ("style", "meter", "tempo", "key", "density", "span")
    if len(ids) < 9 or ids[0] != BOS:
        raise TokenError("position 0: a sequence begins with bos and a header")
    values = []
    for at, kind in enumerate(expected, start=1):
        if _V.kinds[ids[at]] != kind:
            raise TokenError(f"position {at}: {_V.name(ids[at])} stands where {kind} belongs")
        values.append(_V.values[ids[at]])
    roles, at = [], 7
    while at < len(ids) and _V.kinds[ids[at]] == "role":
        roles.append(SEGMENT_ROLES[_V.values[ids[at]]])
        at += 1
    if at >= len(ids) or ids[at] != HEADER_END:
        raise TokenError(f"position {at}: the header does not end")
    style, meter, tempo, key, density, span = values
    header = Header(
        style - 1 if style else None,
        METERS[meter - 1] if meter else None,
        tempo - 1 if tempo else None,
        ((key - 1) % 12, MODES[(key - 1) // 12]) if key else None,
        density - 1 if density else None,
        span < 2,
        span % 2 == 0,
        tuple(roles),
    )
    return header, at + 1


def decode(ids: Sequence[int], qpm: float | None = None) -> Piece:
    """Return the Piece that token ids stand for, with infilled bars in their place.

    A sequence may stop early; what is complete is kept.

    Args:
        ids: token ids, from ``bos``.
        qpm: tempo in quarters per minute; None takes the header's tempo band, or 120 where the header leaves
            it open.

    Raises:
        TokenError: the order of tokens is illegal; the message names position and token.
    """
    foreign = next((i for i, t in enumerate(ids) if not 0 <= t < _V.size), None)
    if foreign is not None:
        raise TokenError(f"position {foreign}: {ids[foreign]} is no token; there are {_V.size}")
    header, at = decode_header(ids)
    bars: list[GridBar] = []
    said: list[GridBar] = []
    """As they stand in the sequence: what ``again`` counts."""
    gap_at: int | None = None
    filling: list[GridBar] | None = None
    meter = header.meter
    current: GridBar | None = None
    role: str | None = None
    position = velocity = duration = -1
    root: int | None = None
    notes: dict[str, list[GridNote]] = {}
    chords: list[tuple[int, int, int]] = []

    def close() -> None:
        nonlocal current
        if current is not None:
            parts = {r: tuple(notes[r]) for r in GRID_ROLES if notes.get(r)}
            said.append(replace(current, parts=parts, chords=tuple(chords)))
            (bars if filling is None else filling).append(said[-1])
        current = None

    def fail(text: str) -> TokenError:
        return TokenError(f"position {at}: {_V.name(ids[at])} {text}")

    while at < len(ids):
        token = ids[at]
        kind, value = _V.kinds[token], _V.values[token]
        if kind == "bar":
            close()
            following = ids[at + 1] if at + 1 < len(ids) else -1
            if following >= 0 and _V.kinds[following] == "meter" and _V.values[following] > 0:
                meter = METERS[_V.values[following] - 1]
                at += 1
            if meter is None:
                raise fail("has no meter")
            current, role, notes, chords = GridBar(meter), None, {}, []
        elif token == END:
            break
        elif token == GAP:
            close()
            if gap_at is not None:
                raise fail("comes twice")
            gap_at = len(bars)
        elif token == FILL:
            close()
            if gap_at is None:
                raise fail("without a gap")
            filling = []
            # the meter in force is the one before the gap
            meter = bars[gap_at - 1].meter if gap_at else header.meter
        elif current is None:
            raise fail("outside a bar")
        elif kind == "role":
            role, position, velocity, duration = SEGMENT_ROLES[value], -1, -1, -1
        elif kind == "again":
            source = said[-1 - value] if value < len(said) else None
            if role in (None, "chordline") or position >= 0 or notes.get(role or ""):
                raise fail("does not follow the role of pitched notes or drums")
            if source is None or role not in source.parts or source.meter != current.meter:
                raise fail("means a bar of another meter, or one in which the role is silent")
            assert role is not None
            notes[role] = list(source.parts[role])
            role = None
        elif kind == "position":
            if role is None or value <= position or value >= current.num_positions:
                raise fail("is not after the position before it, inside the bar and a role")
            position = value
        elif kind == "velocity":
            velocity = value
        elif kind == "duration":
            duration = value
        elif kind == "pitch":
            if role in (None, "drums", "chordline") or min(position, velocity, duration) < 0:
                raise fail("has no role, position, velocity or duration")
            assert role is not None
            notes.setdefault(role, []).append((position, velocity, duration, value))
        elif kind == "drum":
            if role != "drums" or position < 0:
                raise fail("outside the drums")
            drum, loudness = divmod(value, len(DRUM_VELOCITIES))
            notes.setdefault(role, []).append((position, drum, loudness, 0))
        elif kind == "chord_root":
            if role != "chordline" or position < 0:
                raise fail("outside the chord line")
            root = value - 1
            if root < 0:
                chords.append((position, -1, 0))
        elif kind == "chord_quality":
            if root is None or root < 0:
                raise fail("without a root")
            chords.append((position, root, value))
        else:
            raise fail("does not belong here")
        at += 1
    close()
    if filling is not None and gap_at is not None:
        bars[gap_at:gap_at] = filling
    tempo = qpm if qpm is not None else TEMPO_BANDS[header.tempo] if header.tempo is not None else 120.0
    return Piece(tuple(bars), tempo, header.key)


__all__ = [
    "Header", "bar_token", "decode", "decode_header", "encode", "encode_bar", "encode_chords",
    "encode_header", "encode_segment", "tempo_band",
]  # fmt: skip
