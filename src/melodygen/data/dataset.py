"""Training examples: windows of shards, seen in many ways, so that every part of a request is learned and optional.

An example is a window of bars with a header. Roles are dropped and put in another order, a band is added to tunes that
have chord symbols, block chords are played as comping, header parts are left out, bars are moved behind ``fill``, keys
are changed, and a role's bar that came before is said as one token. All randomness comes from the given generator.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from melodygen.data.shards import PieceInfo, Shards
from melodygen.data.window import BASS, CHORDS, DRUMS, MELODY, OTHER, Arranger, Segment, Window
from melodygen.music.key import estimate_key
from melodygen.registry import list_styles
from melodygen.styles.style import Style, style_named
from melodygen.tokens.codec import Header, bar_token, encode_header, sequence_order
from melodygen.tokens.returns import Returns
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

DRUM_TAKE_WEIGHT = 0.4
"""How often a drum take alone is drawn, relative to a style of weight 1."""
_IS_NOTE = tuple(kind in ("pitch", "drum") for kind in VOCABULARY.kinds)
CONVENTION_SHARE = 0.7
"""Share of a source's pieces with one tempo from which on that tempo is taken for a converter's default."""
PHRASE_BARS = 4
CHORUS_SHARE = 0.75
"""How often a window of a style in choruses (``dataset.chorus_bars``) is one, or two."""


@dataclass(frozen=True)
class Views:
    """How often (probabilities) an example is seen in another way. All zero gives the plain piece."""

    drop_roles: float = 0.35
    shuffle_roles: float = 0.5
    band: float = 0.9
    comping: float = 0.8
    felt: float = 0.8
    drop_chordline: float = 0.3
    drop_style: float = 0.08
    drop_header: float = 0.3
    fill: float = 0.2
    transpose: bool = True
    open_ended: float = 0.1
    again: bool = True


PLAIN = Views(0, 0, 0, 1.0, 0, 0, 0, 0, 0, False, 0)


@dataclass(frozen=True)
class Example:
    """One training example: ``ids`` (T,) of header and music, its style, notes, length of the header, and roles."""

    ids: NDArray[np.int16]
    style: str
    num_notes: int
    header_length: int
    roles: tuple[str, ...]


def unstated_tempos(pieces: Sequence[PieceInfo]) -> set[str]:
    """Return the paths of the pieces whose tempo is their source's convention rather than their own.

    Where seven of ten pieces of a source have one tempo, its files state none and a converter wrote its default. A
    header with such a tempo would name the source. A style of one source keeps it, else it would have no tempo.
    """
    groups: dict[tuple[str, str], list[PieceInfo]] = defaultdict(list)
    for info in pieces:
        if info.kind != "drums":
            groups[info.style, info.source].append(info)
    sources = Counter(style for style, _ in groups)
    found: set[str] = set()
    for (style, _), group in groups.items():
        usual, count = Counter(info.qpm for info in group).most_common(1)[0]
        if sources[style] > 1 and len(group) > 1 and count >= CONVENTION_SHARE * len(group):
            found.update(info.path for info in group if info.qpm == usual)
    return found


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
        self._unstated = unstated_tempos(self.shards.pieces)
        self._style_of_take = {take: s.name for s in self.known.values() for take in s.dataset.own_takes}
        groups: dict[str, dict[str, list[PieceInfo]]] = defaultdict(lambda: defaultdict(list))
        for info in self.shards.pieces:
            if info.split != self.split or info.num_bars < 2:
                continue
            if info.kind == "drums":
                groups["drums"][info.style].append(info)
            else:
                groups[info.style]["/".join(info.path.split("/")[:2])].append(info)
        self._arranger = Arranger(
            self.shards, [i for own in groups["drums"].values() for i in own], self.known
        )
        self._groups = {k: v for k, v in groups.items() if v and chosen.get(k, 1.0) > 0}
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

    @property
    def style_names(self) -> list[str]:
        """The styles it draws from, ``drums`` for takes among them."""
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
        size = self._chorus_bars(info)
        if size and rng.random() < CHORUS_SHARE:
            begins = self._arranger.chorus(info, size)
            choruses = 0 if begins is None else (total - begins) // size
            if begins is not None and choruses:
                count = min(choruses, int(rng.choice((1, 1, 2))))
                first = begins + size * int(rng.integers(0, choruses - count + 1))
                return first, size * count
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

    def _chorus_bars(self, info: PieceInfo) -> int:
        return 0 if info.kind == "drums" else style_named(info.style, self.known).dataset.chorus_bars

    def style_of(self, info: PieceInfo) -> str | None:
        """What the header says; None for takes that are no style's own."""
        return self._style_of_take.get(info.style) if info.kind == "drums" else info.style

    def build(
        self, info: PieceInfo, rng: np.random.Generator, window: tuple[int, int] | None = None
    ) -> Example | None:
        """An example of this piece, or None where the window holds no notes."""
        views = self.views
        first, bars = window or self._window(info, rng)
        span = Window(self.shards, info, first, bars)
        if span.num_notes < 4:
            return None
        parts = self._arranger.arranged(span, rng, views.band, views.comping, views.felt)
        order = self._order(span, parts, rng)
        if not order:  # the window held a bass alone, and the band left that out
            return None
        body = [[parts[role][bar] for role in order] for bar in range(bars)]
        size = self._chorus_bars(info)
        chorus = bool(size) and bars % size == 0 and rng.random() < 0.4
        to_end = first + bars == info.num_bars or chorus
        endless = not to_end and info.num_bars - first - bars > 32 and rng.random() < views.open_ended
        whole = bars == info.num_bars
        cut, count = self._fitted(body, span.meters, self.max_tokens - 24 - bars, to_end and not whole)
        if count < 1:
            return None
        to_end = to_end and cut + count == bars
        span, body = span.part(cut, count), body[cut : cut + count]
        header = self._header(span, body, order, rng, (first + cut == 0 or (chorus and not cut), to_end))
        fill = None
        if count >= 3 and not endless and rng.random() < views.fill:
            length = int(rng.integers(1, max(2, count // 2 + 1)))
            fill = (int(rng.integers(0, count - length + 1)), length)
        ids = self._assemble(header, body, span.meters, 33 if endless else 0, fill)
        shift = int(rng.integers(-6, 6)) if views.transpose and info.kind == "piece" else 0
        if shift:
            ids = VOCABULARY.transpositions[12 + shift][ids]
        notes = sum(_IS_NOTE[t] for bar in body for segment in bar for t in segment)
        return Example(ids, self.style_of(info) or "any", notes, len(encode_header(header)), header.roles)

    def _order(
        self, span: Window, parts: Mapping[int, Sequence[Segment]], rng: np.random.Generator
    ) -> list[int]:
        """Roles (indices) that are kept, in the order in which they come."""
        views = self.views
        present = sorted(role for role in parts if role)
        pitched = [i for i in present if i != DRUMS]
        if len(present) > 1 and rng.random() < views.drop_roles:
            keep = [i for i in present if rng.random() < 0.6]
            if pitched and not any(i in pitched for i in keep):
                keep.append(pitched[int(rng.integers(len(pitched)))])
            present = keep or present
        order = [i for i in (MELODY, CHORDS, BASS, DRUMS, OTHER) if i in present]
        if len(order) > 1 and rng.random() < views.shuffle_roles:
            order = [order[i] for i in rng.permutation(len(order))]
        if 0 in parts and pitched and rng.random() >= views.drop_chordline:
            order.insert(0, 0)
        return order

    def _fitted(
        self,
        body: Sequence[Sequence[Segment]],
        meters: Sequence[tuple[int, int]],
        budget: int,
        from_end: bool,
    ) -> tuple[int, int]:
        """(first bar, number of bars) that fit into ``budget`` tokens, from the beginning or the end; whole phrases, so
        that the countdown tells where a phrase ends."""

        def sizes(bars: Sequence[Sequence[Segment]], its: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
            returns = Returns()
            return np.array([len(self._coded(b, m, m, 1, returns)) for b, m in zip(bars, its, strict=True)])

        each = sizes(body, meters)
        if each.sum() <= budget:
            return 0, len(body)
        if not from_end:
            return 0, _whole_phrases(int(np.searchsorted(np.cumsum(each), budget)))
        cut = len(body) - int(np.searchsorted(np.cumsum(each[::-1]), budget))
        while cut < len(body) and sizes(body[cut:], meters[cut:]).sum() > budget:
            cut += 1  # what came before is gone, so it must be spelled out here
        count = _whole_phrases(len(body) - cut)
        return len(body) - count, count

    def _header(
        self,
        span: Window,
        body: Sequence[Sequence[Segment]],
        order: Sequence[int],
        rng: np.random.Generator,
        ends: tuple[bool, bool],
    ) -> Header:
        """What is known of the window, some of it hidden."""
        pitched = [place for place, role in enumerate(order) if role not in (0, DRUMS)]
        density = key = None
        if pitched:
            notes = sum(_IS_NOTE[t] for bar in body for i in pitched for t in bar[i])
            density = density_level(notes / span.quarters / len(pitched))
            key = estimate_key(span.pitch_classes)
        hide = rng.random(4) < self.views.drop_header
        style = self.style_of(span.info)
        slot = self.styles.index(style) if style in self.styles else None
        return Header(
            None if rng.random() < self.views.drop_style else slot,
            None if hide[0] else span.meters[0],
            None if hide[1] or span.info.path in self._unstated else tempo_band(span.info.qpm),
            None if hide[2] else key,
            None if hide[3] else density,
            *ends,
            tuple(SEGMENT_ROLES[i] for i in order),
        )

    def _coded(
        self,
        bar: Sequence[Segment],
        meter: tuple[int, int],
        before: tuple[int, int] | None,
        left: int,
        returns: Returns,
    ) -> list[int]:
        """One bar: countdown, the meter where it changes, the segments, in short where they came before."""
        ids = [bar_token(left)]
        if meter != before:
            ids.append(VOCABULARY.id("meter", 1 + METERS.index(meter)))
        returns.begin_bar(meter)
        for segment in bar:
            ids += returns.shorten(segment) if self.views.again else segment
        return ids

    def _assemble(
        self,
        header: Header,
        body: Sequence[Sequence[Segment]],
        meters: Sequence[tuple[int, int]],
        bars_after: int,
        fill: tuple[int, int] | None,
    ) -> NDArray[np.int16]:
        """As ``codec.encode``, from segments."""
        ids = encode_header(header)
        total, meter, returns = len(body) + bars_after, header.meter, Returns()
        first, count = fill or (len(body), 0)
        for index in sequence_order(len(body), fill):
            if fill is not None and index == (first + count if first + count < len(body) else first):
                ids.append(GAP)
            if fill is not None and index == first:
                ids.append(FILL)
            if fill is not None and index in (first, first + count):
                meter = meters[first - 1] if first else header.meter
            ids += self._coded(body[index], meters[index], meter, total - index, returns)
            meter = meters[index]
        if not bars_after:
            ids.append(END)
        return np.array(ids, dtype=np.int16)


def _whole_phrases(bars: int) -> int:
    """Return the most bars up to ``bars`` that are phrases of four; fewer than four stay."""
    return bars if bars < PHRASE_BARS else bars - bars % PHRASE_BARS


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
