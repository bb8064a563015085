"""The built-in generator: a sequence net, sampled under the grammar.

A request becomes a header and, bar by bar, tokens that are forced (chords, given roles) or drawn. Prompts and the bars
around an infill are context. All drafts of a call are one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from melodygen import checkpoints
from melodygen.contracts import Draft, Request
from melodygen.corpus.harmonise import harmonise
from melodygen.corpus.scan import prepare_score
from melodygen.errors import CheckpointError, TokenError, UsageError
from melodygen.generators.ranges import is_single_line, note_range
from melodygen.harmony import parse_chord
from melodygen.nets.lstm import Lstm
from melodygen.nets.transformer import Transformer
from melodygen.sampling import SamplingOptions, write
from melodygen.score import Score
from melodygen.styles import Style
from melodygen.tokens.codec import (
    Header,
    decode,
    encode_bar,
    encode_chords,
    encode_header,
    encode_segment,
    tempo_band,
)
from melodygen.tokens.grammar import Grammar, Limits
from melodygen.tokens.grid import GRID_ROLES, GridBar, Piece, meter_positions, piece_to_score, score_to_piece
from melodygen.tokens.vocabulary import (
    CHORD_QUALITY_NAMES,
    DENSITIES,
    DURATION_INDEX,
    DURATIONS,
    END,
    FILL,
    GAP,
    METERS,
    VOCABULARY,
)

NETS: dict[str, Callable[..., Any]] = {"transformer": Transformer, "lstm": Lstm}
RECENT_TOKENS = 420
"""How much of what was written stays in view when the context is full."""
PROMPT_TOKENS = 480
FULL_TOKENS = 800
MAX_TOKENS_A_BAR = 300


@dataclass
class _PieceStream:
    """One draft in the making; a sampling.Stream."""

    grammar: Grammar
    rng: np.random.Generator
    head: list[int]
    late_head: list[int]
    """The header once the beginning is out of view."""
    context: list[int]
    """Between header and the bars to write: prompt, or the bars around the gap."""
    forced_bars: list[list[int]]
    """For each bar to write, the tokens that follow its bar token."""
    stop_at: int = 0
    """Bars left at which to stop."""
    done: bool = False
    bars: list[list[int]] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    _queue: list[int] = field(default_factory=list)

    def prefix(self) -> list[int]:
        ids = [*self.head, *self.context, *(t for bar in self.bars for t in bar)]
        if len(ids) <= FULL_TOKENS:
            return ids
        recent: list[int] = []
        for bar in reversed(self.bars):
            if recent and len(recent) + len(bar) > RECENT_TOKENS:
                break
            recent = bar + recent
        # around a gap both sides stay in view; a prompt or a beginning long past does not
        return [*self.head, *self.context, *recent] if FILL in self.context else [*self.late_head, *recent]

    def forced(self) -> int | None:
        return self._queue[0] if self._queue else None

    def allowed(self) -> NDArray[np.bool_]:
        mask = self.grammar.allowed(self.stop_at)
        if self.bars and len(self.bars[-1]) > MAX_TOKENS_A_BAR:
            ends = mask.copy()
            ends[: VOCABULARY.offsets["bar"]] = False
            ends[END] = mask[END]
            ends[VOCABULARY.slice("bar").stop :] = False
            return ends if ends.any() else mask
        return mask

    def take(self, token: int, log_prob: float | None) -> None:
        self.grammar.advance(token)
        if self._queue:
            self._queue.pop(0)
        if log_prob is not None:
            self.log_probs.append(log_prob)
        if token == END:
            self.done = True
            return
        if VOCABULARY.kinds[token] == "bar":
            index = len(self.bars)
            self.bars.append([token])
            self._queue = list(self.forced_bars[index]) if index < len(self.forced_bars) else []
        else:
            self.bars[-1].append(token)


class NeuralGenerator:
    """A Generator (see contracts) over a checkpoint folder."""

    def __init__(
        self, net: Any, styles: Mapping[str, Style], model_id: str, density_quantiles: Mapping[str, Sequence[float]]
    ) -> None:  # fmt: skip
        self.net = net.eval()
        self.model_id = model_id
        self.style_info = dict(styles)
        self.styles = tuple(styles)
        self._density = dict(density_quantiles)

    @classmethod
    def from_folder(cls, folder: str | Path) -> NeuralGenerator:
        """Raises CheckpointError where the folder is not a generator of this vocabulary."""
        folder = Path(folder)
        config = checkpoints.read_config(folder, "generator")
        if config.get("vocabulary_id") != VOCABULARY.vocabulary_id:
            raise CheckpointError(
                f"checkpoint {folder} speaks vocabulary {config.get('vocabulary_id')}; this melodygen speaks "
                f"{VOCABULARY.vocabulary_id}: use the melodygen that wrote it, or train again"
            )
        try:
            arguments = dict(config["net"])
            net = NETS[arguments.pop("type")](VOCABULARY.size, **arguments)
            styles = {s["name"]: style_from_json(s) for s in config["styles"]}
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"checkpoint {folder}: config.json lacks or misstates {error}") from error
        checkpoints.load_weights(folder, net)
        model_id = f"{folder.resolve().name}@{checkpoints.weights_sha256(folder)[:12]}"
        return cls(net, styles, model_id, config.get("density_quantiles", {}))

    def generate(
        self,
        request: Request,
        seeds: Sequence[int],
        progress: Callable[[float], None] | None = None,
    ) -> list[Draft]:
        """Drafts for all seeds, in their order.

        With ``prompt`` a draft holds the bars that follow it; with ``given`` the given roles and those written; with
        ``fill`` the whole piece, its gap filled. Raises UsageError for what the net cannot say.
        """
        if request.style not in self.style_info:
            raise UsageError(
                f"style {request.style!r} is not known to this model; known: {', '.join(self.styles)}"
            )
        plan = self._plan(request)
        streams = [plan.stream(seed) for seed in seeds]
        total = max(1, len(streams) * plan.num_bars)
        told = -1.0

        def on_step() -> None:
            nonlocal told
            done = sum(len(s.bars) for s in streams) / total
            if progress is not None and done - told >= 0.02:
                told = done
                progress(min(1.0, done))

        options = SamplingOptions(request.temperature, request.top_k, request.top_p)
        write(self.net, streams, options, self.net.context, on_step)
        if progress is not None:
            progress(1.0)
        drafts = []
        for seed, stream in zip(seeds, streams, strict=True):
            score = plan.score(stream)
            count = len(stream.log_probs)
            drafts.append(Draft(score, seed, float(np.mean(stream.log_probs)) if count else 0.0, count))
        return drafts

    def _plan(self, request: Request) -> _Plan:
        return _Plan(request, self.style_info[request.style], self.styles.index(request.style), self._density)


class _Plan:
    """A request in tokens: header, context, forced tokens, and how to read the result."""

    def __init__(
        self, request: Request, style: Style, slot: int, density: Mapping[str, Sequence[float]]
    ) -> None:  # fmt: skip
        self.request = request
        self.style = style
        self.programs = dict(style.programs)
        self._given: Piece | None = None
        self._prompt: Piece | None = None
        self._fill = request.fill
        self.num_bars = request.bars
        tracks = list(request.tracks)
        if request.given is not None:
            self._given = _grid(request.given, "the given piece")
            if self._fill is not None:
                tracks = [r for r in GRID_ROLES if r in self._given.roles]
            elif request.given_roles:
                self.num_bars = len(self._given.bars)
                tracks = [*request.given_roles, *(t for t in tracks if t not in request.given_roles)]
            for track in request.given.tracks:
                if not track.is_drum and track.role not in ("drums",):
                    self.programs[track.role] = track.program
        if request.prompt is not None:
            self._prompt = _grid(request.prompt, "the prompt")
        source = self._given or self._prompt
        meter = request.meter or (source.bars[0].meter if source else None) or style.meter
        if meter not in METERS:
            known = ", ".join(f"{a}/{b}" for a, b in METERS)
            raise UsageError(f"meter {meter[0]}/{meter[1]} is not one this model writes; it writes {known}")
        self.qpm = request.qpm or (source.qpm if source else None) or style.qpm
        self._meter = meter
        chords = self._given_chords(request, meter)
        self._chords_given = chords is not None
        roles = tuple(tracks)
        pitched = [r for r in roles if r != "drums"]
        if chords is not None or (len(pitched) > 1 and self._given is None) or self._has_chords(source):
            roles = ("chordline", *roles)
        kept = set(request.given_roles) if self._given is not None else set()
        if self._fill is not None and self._given is not None:
            kept &= set(roles)
        if chords is not None:
            kept.add("chordline")
        if kept:
            roles = tuple([r for r in roles if r in kept] + [r for r in roles if r not in kept])
            roles = tuple(sorted(roles, key=lambda r: (r != "chordline", r not in kept, roles.index(r))))
        self._kept = frozenset(kept)
        self.header = Header(
            slot, meter, tempo_band(self.qpm), request.key, self._density_level(density),
            self._prompt is None, True, roles,
        )  # fmt: skip
        ranges = {r: note_range(r, self.programs.get(r, 0)) for r in roles if r not in ("drums", "chordline")}
        single = {r: 1 for r in roles if is_single_line(r, self.programs.get(r, 0))}
        self._single = frozenset(single)
        self.limits = Limits(ranges, False, single, self._kept)
        self._head = encode_header(self.header)
        self._context, self._first_left, self._stop_at = self._build_context()
        self._forced = self._build_forced(chords)

    @staticmethod
    def _has_chords(piece: Piece | None) -> bool:
        return piece is not None and any(b.chords for b in piece.bars)

    def _density_level(self, quantiles: Mapping[str, Sequence[float]]) -> int | None:
        if self.request.density is None:
            return None
        table = quantiles.get(self.style.name)
        if not table:
            return round(self.request.density * (DENSITIES - 1))
        at = self.request.density * (len(table) - 1)
        return int(np.clip(round(float(np.interp(at, range(len(table)), table))), 0, DENSITIES - 1))

    def _given_chords(
        self, request: Request, meter: tuple[int, int]
    ) -> list[tuple[tuple[int, int, int], ...]] | None:
        if request.chords is None:
            return None
        size = meter_positions(meter)
        bars: list[tuple[tuple[int, int, int], ...]] = []
        for labels in request.chords:
            changes = []
            for index, label in enumerate(labels):
                parsed = parse_chord(label)
                at = index * size // len(labels)
                at -= at % 6
                if changes and changes[-1][0] >= at:
                    raise UsageError(f"{len(labels)} chords do not fit into one bar of {meter[0]}/{meter[1]}")
                changes.append(
                    (at, -1, 0) if parsed is None else (at, parsed[0], CHORD_QUALITY_NAMES.index(parsed[1]))
                )
            bars.append(tuple(changes))
        return [bars[i % len(bars)] for i in range(self.num_bars)] if bars else None

    def _build_context(self) -> tuple[list[int], int, int]:
        """(context tokens, bars left at the first bar to write, bars left at which to stop)."""
        roles = self.header.roles
        if self._fill is not None and self._given is not None:
            first, count = self._fill
            bars = self._given.bars
            self.num_bars = count
            total = len(bars)
            before = list(range(first))
            after = list(range(first + count, total))
            meter_before: tuple[int, int] | None = self.header.meter

            def code(indices: list[int], meter: tuple[int, int] | None) -> list[list[int]]:
                out = []
                for i in indices:
                    out.append(encode_bar(bars[i], total - i, roles, meter))
                    meter = bars[i].meter
                return out

            left = code(before, meter_before)
            held = bars[first - 1].meter if first else meter_before
            right = code(after, held)
            while left and sum(map(len, left)) > PROMPT_TOKENS * 0.7:
                left.pop(0)
            while right and sum(map(len, right)) > PROMPT_TOKENS * 0.5:
                right.pop()
            context = [*(t for b in left for t in b), GAP, *(t for b in right for t in b), FILL]
            return context, total - first, total - first - count
        if self._prompt is not None:
            total = self.num_bars
            coded: list[list[int]] = []
            kept = self._prompt.bars[-16:]
            meter = self.header.meter
            for i, bar in enumerate(kept):
                coded.append(encode_bar(bar, total + len(kept) - i, roles, meter))
                meter = bar.meter
            while coded and sum(map(len, coded)) > PROMPT_TOKENS:
                coded.pop(0)
            return [t for b in coded for t in b], total, 0
        return [], self.num_bars, 0

    def _build_forced(self, chords: list[tuple[tuple[int, int, int], ...]] | None) -> list[list[int]]:
        forced: list[list[int]] = []
        offset = self._fill[0] if self._fill is not None else 0
        for index in range(self.num_bars):
            ids: list[int] = []
            source = None
            if self._given is not None and offset + index < len(self._given.bars):
                source = self._given.bars[offset + index]
                before = self._given.bars[offset + index - 1].meter if offset + index else self.header.meter
                if source.meter != before:
                    ids.append(VOCABULARY.id("meter", 1 + METERS.index(source.meter)))
            for role in self.header.roles:
                if role not in self._kept:
                    continue
                if role == "chordline":
                    ids += encode_chords(chords[index]) if chords is not None else []
                elif source is not None:
                    ids += encode_segment(role, source.parts.get(role, ()))
            forced.append(ids)
        return forced

    def stream(self, seed: int) -> _PieceStream:
        grammar = Grammar(self.header, self._first_left, self.limits)
        if self._fill is not None and self._given is not None and self._fill[0]:
            grammar.meter = self._given.bars[self._fill[0] - 1].meter
        elif self._prompt is not None:
            grammar.meter = self._prompt.bars[-1].meter
        return _PieceStream(
            grammar,
            np.random.default_rng([seed, 20]),
            list(self._head),
            encode_header(replace(self.header, from_start=False)),
            list(self._context),
            self._forced,
            self._stop_at,
        )

    def score(self, stream: _PieceStream) -> Score:
        """The finished draft: only the new bars, or the given piece with its gap filled."""
        meter = stream.grammar.header.meter
        if self._fill is not None and self._given is not None and self._fill[0]:
            meter = self._given.bars[self._fill[0] - 1].meter
        elif self._prompt is not None:
            meter = self._prompt.bars[-1].meter
        head = encode_header(replace(self.header, meter=meter))
        piece = decode([*head, *(t for bar in stream.bars for t in bar)], self.qpm)
        bars = piece.bars
        if self._fill is not None and self._given is not None:
            first, count = self._fill
            bars = (*self._given.bars[:first], *bars, *self._given.bars[first + count :])
        if self._given is not None and self.request.fill is None and not self._chords_given:
            bars = tuple(
                replace(b, chords=g.chords) if g.chords and not b.chords else b
                for b, g in zip(bars, self._given.bars, strict=False)
            )
        bars = _finish(bars, self._single)
        key = self.request.key
        piece = Piece(tuple(bars), self.qpm, key)
        if key is None:
            from melodygen.tokens.grid import estimate_piece_key

            piece = replace(piece, key=estimate_piece_key(piece.bars))
        return piece_to_score(harmonise(piece), self.programs, title=self.style.name)


def _grid(score: Score, what: str) -> Piece:
    """A user's score on the grid, with roles; chords estimated where it has none."""
    roles = {t.role for t in score.tracks}
    prepared = score if roles & {"melody", "chords", "bass", "drums"} else prepare_score(score)
    try:
        return harmonise(score_to_piece(prepared))
    except TokenError as error:
        raise UsageError(f"{what} cannot be used: {error}") from error


def _finish(bars: Sequence[GridBar], single: frozenset[str]) -> tuple[GridBar, ...]:
    """Notes end with the piece; a single-line voice ends each note where its next begins."""
    starts = np.cumsum([0, *(b.num_positions for b in bars)])
    end = int(starts[-1])
    next_onset: dict[str, int] = {}
    result: list[GridBar] = []
    for index in range(len(bars) - 1, -1, -1):
        parts = dict(bars[index].parts)
        for role, notes in parts.items():
            if role == "drums":
                continue
            fixed = []
            following = next_onset.get(role, end) if role in single else end
            for position in sorted({n[0] for n in notes}, reverse=True):
                group = [n for n in notes if n[0] == position]
                onset = int(starts[index]) + position
                room = max(1, following - onset)
                if role in single:
                    following = onset
                for at, velocity, duration, pitch in group:
                    length = min(DURATIONS[duration], room)
                    shorter = DURATION_INDEX[length]
                    while DURATIONS[shorter] > length:
                        shorter -= 1
                    fixed.append((at, velocity, shorter, pitch))
            if role in single:
                next_onset[role] = following
            parts[role] = tuple(sorted(fixed, key=lambda n: (n[0], n[2], n[3])))
        result.append(replace(bars[index], parts=parts))
    return tuple(reversed(result))


def style_to_json(style: Style) -> dict[str, Any]:
    return {**asdict(style), "meter": list(style.meter), "tracks": list(style.tracks)}


def style_from_json(record: Mapping[str, Any]) -> Style:
    values = dict(record)
    values["meter"] = tuple(values["meter"])
    values["tracks"] = tuple(values["tracks"])
    return Style(**values)
