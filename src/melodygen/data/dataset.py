"""Training examples: windows of shards, seen in many ways, so that every part of a request is learned and optional.

An example is a window of bars with a header. Roles are dropped and put in another order, drums are laid under pieces
that have none, block chords are played as comping, header parts are left out, bars are moved behind ``fill``, keys
are changed. All randomness comes from the given generator.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from melodygen.data.comping import CompingPlayer
from melodygen.data.shards import PieceInfo, Shards
from melodygen.music.harmony import estimate_key
from melodygen.registry import list_styles
from melodygen.styles.style import Style, style_named
from melodygen.tokens.codec import Header, bar_token, encode_header, encode_segment
from melodygen.tokens.vocabulary import (
    END,
    FILL,
    GAP,
    METERS,
    SEGMENT_ROLES,
    VOCABULARY,
    density_level,
    tempo_band,
)

DRUM_TAKE_WEIGHT = 0.6
"""How often a drum take alone is drawn, relative to a style of weight 1."""
_MELODY, _CHORDS, _BASS, _DRUMS, _OTHER = 1, 2, 3, 4, 5
_IS_NOTE = np.array([kind in ("pitch", "drum") for kind in VOCABULARY.kinds])


@dataclass(frozen=True)
class Views:
    """How often (probabilities) an example is seen in another way. All zero gives the plain piece."""

    drop_roles: float = 0.35
    shuffle_roles: float = 0.5
    add_drums: float = 0.6
    comping: float = 0.8
    drop_chordline: float = 0.3
    drop_style: float = 0.08
    drop_header: float = 0.3
    fill: float = 0.2
    transpose: bool = True
    open_ended: float = 0.1


PLAIN = Views(0, 0, 0, 1.0, 0, 0, 0, 0, False, 0)


@dataclass(frozen=True)
class Example:
    ids: NDArray[np.int16]
    style: str
    num_notes: int
    header_length: int
    roles: tuple[str, ...]


@dataclass
class ExampleSampler:
    """Draws examples of one split. ``styles``: names in slot order. ``max_tokens`` bounds an example. ``known`` says
    what the examples of each style are made of (weights, comping, drum takes)."""

    shards: Shards
    split: str
    styles: Sequence[str]
    views: Views = field(default_factory=Views)
    weights: Mapping[str, float] | None = None
    max_tokens: int = 1000
    known: Mapping[str, Style] = field(default_factory=list_styles)

    def __post_init__(self) -> None:
        usual = {"drums": DRUM_TAKE_WEIGHT, **{name: s.dataset.weight for name, s in self.known.items()}}
        chosen = self.weights if self.weights is not None else usual
        self._style_of_take = {take: s.name for s in self.known.values() for take in s.dataset.own_takes}
        groups: dict[str, dict[str, list[PieceInfo]]] = defaultdict(lambda: defaultdict(list))
        self._takes: dict[str, list[PieceInfo]] = defaultdict(list)
        four = METERS.index((4, 4))
        meters = self.shards.arrays["meters"]
        for info in self.shards.pieces:
            if info.split != self.split or info.num_bars < 2:
                continue
            if info.kind == "drums":
                groups["drums"][info.style].append(info)
                if int(meters[info.first_bar]) == four:
                    self._takes[info.style].append(info)
            else:
                groups[info.style]["/".join(info.path.split("/")[:2])].append(info)
        self._groups = {k: v for k, v in groups.items() if chosen.get(k, 1.0) > 0}
        self._names = sorted(self._groups)
        weight = np.array([chosen.get(n, 1.0) for n in self._names])
        self._style_p = weight / weight.sum()
        self._collections = {}
        self._piece_p = {}
        for name, collections in self._groups.items():
            keys = sorted(collections)
            size = np.array([sum(i.num_bars for i in collections[k]) for k in keys], dtype=float) ** 0.5
            self._collections[name] = (keys, size / size.sum())
            for key in keys:
                bars = np.array([min(i.num_bars, 400) for i in collections[key]], dtype=float) ** 0.7
                self._piece_p[name, key] = bars / bars.sum()

    def _style(self, name: str) -> Style:
        return style_named(name, self.known)

    @property
    def style_names(self) -> list[str]:
        return list(self._names)

    def draw(self, rng: np.random.Generator, style: str | None = None) -> Example:
        """One example; of ``style`` (``drums`` for takes) if given."""
        while True:
            name = style or str(rng.choice(self._names, p=self._style_p))
            keys, p = self._collections[name]
            key = keys[int(rng.choice(len(keys), p=p))]
            pieces = self._groups[name][key]
            info = pieces[int(rng.choice(len(pieces), p=self._piece_p[name, key]))]
            example = self.build(info, rng)
            if example is not None:
                return example

    def _window(self, info: PieceInfo, rng: np.random.Generator) -> tuple[int, int]:
        """(first bar, number of bars) inside the piece."""
        total = info.num_bars
        if total <= 32 and rng.random() < 0.45:
            return 0, total
        bars = min(total, int(rng.choice((2, 4, 8, 8, 12, 16, 16, 16, 24, 32))))
        draw = rng.random()
        if draw < 0.35:
            return 0, bars
        if draw < 0.6:
            return total - bars, bars
        first = int(rng.integers(0, total - bars + 1))
        return (first // 4 * 4 if rng.random() < 0.7 else first), bars

    def build(
        self, info: PieceInfo, rng: np.random.Generator, window: tuple[int, int] | None = None
    ) -> Example | None:
        """An example of this piece, or None where the window holds no notes."""
        arrays, views = self.shards.arrays, self.views
        first, bars = window or self._window(info, rng)
        at = info.first_bar + first
        lengths = np.array(arrays["lengths"][at : at + bars])
        notes = np.array(arrays["notes"][at : at + bars])
        if notes.sum() < 4:
            return None
        present = [i for i in range(1, 6) if lengths[:, i].any()]
        style = self._style_of_take.get(info.style) if info.kind == "drums" else info.style
        meters = np.array(arrays["meters"][at : at + bars])

        # segments that do not come from the shard: role index -> one id list a bar
        made: dict[int, list[Sequence[int]]] = {}
        if info.block_chords and _CHORDS in present and rng.random() < views.comping and style is not None:
            comped = self._comp(at, bars, style, meters, rng)
            if comped is not None:
                made[_CHORDS] = comped
        if (
            _DRUMS not in present
            and info.kind == "piece"
            and style is not None
            and self._style(style).dataset.drum_takes
            and (meters == METERS.index((4, 4))).all()
            and rng.random() < views.add_drums
        ):
            take = self._take(style, bars, rng)
            if take is not None:
                made[_DRUMS] = take
                present.append(_DRUMS)

        pitched = [i for i in present if i != _DRUMS]
        if len(present) > 1 and rng.random() < views.drop_roles:
            keep = [i for i in present if rng.random() < 0.6]
            if pitched and not any(i in pitched for i in keep):
                keep.append(pitched[int(rng.integers(len(pitched)))])
            present = keep or present
        order = [i for i in (_MELODY, _CHORDS, _BASS, _DRUMS, _OTHER) if i in present]
        if len(order) > 1 and rng.random() < views.shuffle_roles:
            order = [order[i] for i in rng.permutation(len(order))]
        if lengths[:, 0].any() and pitched and rng.random() >= views.drop_chordline:
            order.insert(0, 0)
        roles = tuple(SEGMENT_ROLES[i] for i in order)

        to_end = first + bars == info.num_bars
        endless = not to_end and info.num_bars - first - bars > 32 and rng.random() < views.open_ended
        bars_after = 33 if endless else 0

        def segment(bar: int, role: int) -> NDArray[np.int16] | Sequence[int]:
            if role in made:
                return made[role][bar]
            start = int(arrays["starts"][at + bar, role])
            return np.asarray(arrays["tokens"][start : start + int(lengths[bar, role])])

        body: list[list[NDArray[np.int16] | Sequence[int]]] = []
        sizes = []
        for bar in range(bars):
            parts = [segment(bar, role) for role in order]
            body.append(parts)
            sizes.append(1 + sum(len(p) for p in parts))
        budget = self.max_tokens - 24 - bars
        if sum(sizes) > budget:
            kept = int(np.searchsorted(np.cumsum(sizes), budget))
            if kept < 1:
                return None
            if to_end and not first and bars == info.num_bars:
                to_end = False  # a whole piece that does not fit is heard from its start
            if to_end:
                cut = bars - kept
                at, first, bars = at + cut, first + cut, kept
                body, sizes = body[cut:], sizes[cut:]
                notes, meters = notes[cut:], meters[cut:]
                while sum(sizes) > budget:
                    body.pop(0)
                    sizes.pop(0)
                    at, first, bars, notes, meters = at + 1, first + 1, bars - 1, notes[1:], meters[1:]
                if bars < 1:
                    return None
            else:
                bars = kept
                body, notes, meters = body[:bars], notes[:bars], meters[:bars]
                to_end = False

        shift = int(rng.integers(-6, 6)) if views.transpose and info.kind == "piece" else 0
        kept_pitched = [i for i in order if i in (_MELODY, _CHORDS, _BASS, _OTHER)]
        quarters = float(sum(METERS[m][0] * 4 / METERS[m][1] for m in meters.tolist()))
        density = None
        if kept_pitched:
            density = density_level(float(notes[:, kept_pitched].sum()) / quarters / len(kept_pitched))
        key = (
            estimate_key(np.asarray(arrays["pitch_classes"][at : at + bars]).sum(axis=0))
            if kept_pitched
            else None
        )
        hide = rng.random(4) < views.drop_header
        slot = self.styles.index(style) if style in self.styles else None
        meter = METERS[int(meters[0])]
        header = Header(
            None if rng.random() < views.drop_style else slot,
            None if hide[0] else meter,
            None if hide[1] else tempo_band(info.qpm),
            None if hide[2] else key,
            None if hide[3] else density,
            first == 0,
            to_end,
            roles,
        )
        head = encode_header(header)
        fill = None
        if bars >= 3 and not endless and rng.random() < views.fill:
            length = int(rng.integers(1, max(2, bars // 2 + 1)))
            fill = (int(rng.integers(0, bars - length + 1)), length)

        ids = self._assemble(head, body, meters, header.meter, bars_after, fill, end=not endless)
        if shift:
            ids = VOCABULARY.transpositions[12 + shift][ids]
        return Example(ids, style or "any", int(_IS_NOTE[ids].sum()), len(head), roles)

    def _assemble(
        self,
        head: list[int],
        body: list[list[NDArray[np.int16] | Sequence[int]]],
        meters: NDArray[np.int8],
        meter: tuple[int, int] | None,
        bars_after: int,
        fill: tuple[int, int] | None,
        end: bool,
    ) -> NDArray[np.int16]:
        total = len(body) + bars_after
        coded: list[NDArray[np.int16]] = []
        for index, parts in enumerate(body):
            if fill is not None and index == fill[0] + fill[1]:
                meter = METERS[int(meters[fill[0] - 1])] if fill[0] else self._header_meter(head)
            lead = [bar_token(total - index)]
            now = METERS[int(meters[index])]
            if now != meter:
                lead.append(VOCABULARY.id("meter", 1 + METERS.index(now)))
                meter = now
            coded.append(
                np.concatenate([np.array(lead, np.int16), *(np.asarray(p, dtype=np.int16) for p in parts)])
            )
        out: list[NDArray[np.int16]] = [np.array(head, np.int16)]
        if fill is None:
            out += coded
        else:
            start, count = fill
            out += [
                *coded[:start],
                np.array([GAP], np.int16),
                *coded[start + count :],
                np.array([FILL], np.int16),
            ]
            out += coded[start : start + count]
        if end:
            out.append(np.array([END], np.int16))
        return np.concatenate(out)

    @staticmethod
    def _header_meter(head: list[int]) -> tuple[int, int] | None:
        value = VOCABULARY.values[head[2]]
        return METERS[value - 1] if value else None

    def _comp(
        self, at: int, bars: int, style: str, meters: NDArray[np.int8], rng: np.random.Generator
    ) -> list[Sequence[int]] | None:
        comper = CompingPlayer(self._style(style), rng)
        table = np.asarray(self.shards.arrays["chords"][at : at + bars])
        result: list[Sequence[int]] = []
        for bar in range(bars):
            changes = tuple(tuple(int(v) for v in row) for row in table[bar] if row[0] >= 0)
            notes = comper.bar(METERS[int(meters[bar])], changes)  # type: ignore[arg-type]
            result.append(encode_segment("chords", notes))
        return result if any(result) else None

    def _take(self, style: str, bars: int, rng: np.random.Generator) -> list[Sequence[int]] | None:
        sources = [s for s in self._style(style).dataset.drum_takes if self._takes.get(s)]
        if not sources:
            return None
        takes = self._takes[sources[int(rng.integers(len(sources)))]]
        weight = np.array([t.num_bars for t in takes], dtype=float) ** 0.5
        take = takes[int(rng.choice(len(takes), p=weight / weight.sum()))]
        arrays = self.shards.arrays
        offset = int(rng.integers(0, max(1, take.num_bars - bars))) if take.num_bars > bars else 0
        usable = max(1, take.num_bars - 1)
        result: list[Sequence[int]] = []
        for bar in range(bars):
            row = take.first_bar + (offset + bar) % (take.num_bars if take.num_bars > bars else usable)
            start, length = int(arrays["starts"][row, _DRUMS]), int(arrays["lengths"][row, _DRUMS])
            result.append(np.asarray(arrays["tokens"][start : start + length]).tolist())
        return result


def pack(sampler: ExampleSampler, rows: int, length: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """(rows, length + 1) ids: examples one after another, the last one cut."""
    batch = np.zeros((rows, length + 1), dtype=np.int16)
    for row in range(rows):
        at = 0
        while at <= length:
            ids = sampler.draw(rng).ids[: length + 1 - at]
            batch[row, at : at + len(ids)] = ids
            at += len(ids)
    return batch
