"""Encoding of a Piece into token ids and back: ``decode(encode(piece)) == piece`` for every piece on the
grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

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


@lru_cache(maxsize=128)  # asked for every token that may end a bar
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
    """Return the bar numbers in the order of the sequence: those of ``fill`` (first, count) come last."""
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
    bars = _BarReader(ids, header).read(at)
    tempo = qpm if qpm is not None else TEMPO_BANDS[header.tempo] if header.tempo is not None else 120.0
    return Piece(tuple(bars), tempo, header.key)


class _BarReader:
    """Reads the tokens after a header into bars."""

    def __init__(self, ids: Sequence[int], header: Header) -> None:
        self._ids, self._header = ids, header
        self._at = 0
        self._bars: list[GridBar] = []
        self._read: list[GridBar] = []
        """Bars as they stand in the sequence: what ``again`` counts."""
        self._gap_at: int | None = None
        self._filling: list[GridBar] | None = None
        self._meter = header.meter
        self._bar: GridBar | None = None
        """The open bar, still without its notes."""
        self._role: str | None = None
        self._position = self._velocity = self._duration = -1
        self._root: int | None = None
        self._notes: dict[str, list[GridNote]] = {}
        self._chords: list[tuple[int, int, int]] = []
        self._inside: dict[str, Callable[[int], None]] = {
            "role": self._open_segment,
            "again": self._repeat_segment,
            "position": self._open_group,
            "velocity": self._set_velocity,
            "duration": self._set_duration,
            "pitch": self._add_pitch,
            "drum": self._add_drum,
            "chord_root": self._set_root,
            "chord_quality": self._add_chord,
        }

    def read(self, start: int) -> list[GridBar]:
        """Return the bars of the tokens from index ``start`` on, up to ``end``; raises TokenError."""
        self._at = start
        while self._at < len(self._ids) and self._ids[self._at] != END:
            token = self._ids[self._at]
            kind = _V.kinds[token]
            if kind == "bar":
                self._open_bar()
            elif token == GAP:
                self._open_gap()
            elif token == FILL:
                self._open_fill()
            elif self._bar is None:
                raise self._error("outside a bar")
            elif kind in self._inside:
                self._inside[kind](_V.values[token])
            else:
                raise self._error("does not belong here")
            self._at += 1
        self._close_bar()
        if self._filling is not None and self._gap_at is not None:
            self._bars[self._gap_at : self._gap_at] = self._filling
        return self._bars

    def _error(self, text: str) -> TokenError:
        return TokenError(f"position {self._at}: {_V.name(self._ids[self._at])} {text}")

    def _open_bar(self) -> None:
        self._close_bar()
        following = self._ids[self._at + 1] if self._at + 1 < len(self._ids) else -1
        if following >= 0 and _V.kinds[following] == "meter" and _V.values[following] > 0:
            self._meter = METERS[_V.values[following] - 1]
            self._at += 1
        if self._meter is None:
            raise self._error("has no meter")
        self._bar, self._role, self._notes, self._chords = GridBar(self._meter), None, {}, []

    def _close_bar(self) -> None:
        if self._bar is not None:
            parts = {r: tuple(self._notes[r]) for r in GRID_ROLES if self._notes.get(r)}
            self._read.append(replace(self._bar, parts=parts, chords=tuple(self._chords)))
            (self._bars if self._filling is None else self._filling).append(self._read[-1])
        self._bar = None

    def _open_gap(self) -> None:
        self._close_bar()
        if self._gap_at is not None:
            raise self._error("comes twice")
        self._gap_at = len(self._bars)

    def _open_fill(self) -> None:
        self._close_bar()
        if self._gap_at is None:
            raise self._error("without a gap")
        self._filling = []
        # the meter in force is the one before the gap
        self._meter = self._bars[self._gap_at - 1].meter if self._gap_at else self._header.meter

    def _open_segment(self, value: int) -> None:
        self._role = SEGMENT_ROLES[value]
        self._position = self._velocity = self._duration = -1

    def _repeat_segment(self, value: int) -> None:
        role = self._role
        source = self._read[-1 - value] if value < len(self._read) else None
        if role is None or role == "chordline" or self._position >= 0 or self._notes.get(role):
            raise self._error("does not follow the role of pitched notes or drums")
        assert self._bar is not None
        if source is None or role not in source.parts or source.meter != self._bar.meter:
            raise self._error("means a bar of another meter, or one in which the role is silent")
        self._notes[role] = list(source.parts[role])
        self._role = None

    def _open_group(self, value: int) -> None:
        assert self._bar is not None
        if self._role is None or value <= self._position or value >= self._bar.num_positions:
            raise self._error("is not after the position before it, inside the bar and a role")
        self._position = value

    def _set_velocity(self, value: int) -> None:
        self._velocity = value

    def _set_duration(self, value: int) -> None:
        self._duration = value

    def _add_pitch(self, value: int) -> None:
        role = self._role
        known = min(self._position, self._velocity, self._duration) >= 0
        if role is None or role in ("drums", "chordline") or not known:
            raise self._error("has no role, position, velocity or duration")
        self._notes.setdefault(role, []).append((self._position, self._velocity, self._duration, value))

    def _add_drum(self, value: int) -> None:
        if self._role != "drums" or self._position < 0:
            raise self._error("outside the drums")
        drum, loudness = divmod(value, len(DRUM_VELOCITIES))
        self._notes.setdefault(self._role, []).append((self._position, drum, loudness, 0))

    def _set_root(self, value: int) -> None:
        if self._role != "chordline" or self._position < 0:
            raise self._error("outside the chord line")
        self._root = value - 1
        if self._root < 0:
            self._chords.append((self._position, -1, 0))

    def _add_chord(self, value: int) -> None:
        if self._root is None or self._root < 0:
            raise self._error("without a root")
        self._chords.append((self._position, self._root, value))


__all__ = [
    "Header", "bar_token", "decode", "decode_header", "encode", "encode_bar", "encode_chords",
    "encode_header", "encode_segment", "tempo_band",
]  # fmt: skip
