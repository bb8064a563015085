"""A request as tokens: header, context and forced tokens; and the Score of what was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from melodygen.analysis.chords import harmonise
from melodygen.data.scan import dominant_qpm, mend_meters
from melodygen.errors import UsageError
from melodygen.generation.given import fill_span, narrowed, on_grid, padded, with_roles
from melodygen.generation.leaning import Leaning, target_onsets
from melodygen.generation.logit_bias import LogitBias, LogitBiasConfig
from melodygen.generation.merge import BarLines, main_track, merge, with_harmony
from melodygen.generation.note_ends import finish
from melodygen.generation.obtained import of_writing
from melodygen.generation.stream import PieceStream, SeenBar, shortened, split_segments
from melodygen.generation.transposition import in_key
from melodygen.music.form import SECTION_BARS, Form, FormBar, usual_form
from melodygen.music.harmony import parse_chord
from melodygen.music.instruments import is_single_line, note_range
from melodygen.music.key import key_name
from melodygen.music.progression import read_progression, usual_progression
from melodygen.music.score import Score, Tempo
from melodygen.request import Request
from melodygen.styles.style import Style
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
from melodygen.tokens.grid import (
    GRID_ROLES,
    GridBar,
    Piece,
    estimate_piece_key,
    meter_positions,
    piece_to_score,
)
from melodygen.tokens.returns import Returns
from melodygen.tokens.vocabulary import (
    CHORD_QUALITY_NAMES,
    DENSITIES,
    FILL,
    GAP,
    METERS,
    SEGMENT_ROLES,
    VOCABULARY,
)

TOKEN_STREAM, KEY_STREAM, BIAS_STREAM, PROGRESSION_STREAM = 20, 21, 22, 25
"""Random streams of a seed: which tokens are drawn, which key where none is asked for, which phrases return, which
progression is taken.
"""
PROMPT_SHARE = 0.46
"""Largest share of the net's context that a prompt, or the music around a gap, may take."""
USUAL_SIGNATURES = (0, 5, 10, 3, 7, 2, 9, 8, 4)
"""Major tonics whose key signatures (up to four sharps or flats) are drawn when no key is requested."""
USUAL_MODE_SHARE = 0.8
"""Share of drafts in the style's usual mode, where no key is requested."""
BARS_BEHIND = 8
"""Number of bars that the countdown adds where the music goes on."""


class TokenPlan:
    """What all drafts of a request share.

    Args:
        request: what to write.
        style: defaults of its style.
        slot: slot of the style in the model.
        density: density levels at evenly spaced quantiles, by style.
        capacity: the net's context, in tokens.
        logit_bias: bias of the style.
        again: the model knows ``again`` tokens.

    Raises:
        UsageError: tokens cannot say what is requested.
    """

    def __init__(
        self, request: Request, style: Style, slot: int, density: Mapping[str, Sequence[float]], capacity: int,
        logit_bias: LogitBiasConfig, again: bool = True,
    ) -> None:  # fmt: skip
        self.request = request
        self.style = style
        self._capacity, self._logit_bias, self._density_quantiles = capacity, logit_bias, density
        self.programs = dict(style.programs)
        self._own: Score | None = None
        """The given piece as it is, with roles."""
        self._lines: BarLines | None = None
        self._span: tuple[int, int] | None = None
        """What is filled, in ticks."""
        self._given: Piece | None = None
        self._prompt: Piece | None = None
        self._fill = request.fill
        self.num_bars = request.bars
        tracks = list(request.tracks)
        kept: set[str] = set()
        if self._fill is not None and request.given is None:
            raise UsageError("fill needs the piece whose bars are rewritten (given)")
        if request.given is not None:
            tracks, kept = self._take_given(request, request.given)
        if request.prompt is not None:
            prompt = mend_meters(with_roles(request.prompt, split=True))
            self._prompt = on_grid(prompt, "the prompt", prompt.tempos[-1].qpm)
        self.programs |= {r: p for r, p in request.instruments if r not in kept}
        source = self._given or self._prompt
        meter = (self._given.bars[0].meter if self._given else None) or request.meter
        meter = meter or (self._prompt.bars[0].meter if self._prompt else style.meter)
        if meter not in METERS:
            known = ", ".join(f"{a}/{b}" for a, b in METERS)
            raise UsageError(f"meter {meter[0]}/{meter[1]} is not one this model writes; it writes {known}")
        self.qpm = request.qpm or (source.qpm if source else None) or style.qpm
        self._meters = self._meters_to_write(meter)
        chords = self._given_chords(request)
        roles = tuple(tracks)
        pitched = [r for r in roles if r != "drums"]
        has_harmony = len(pitched) > 1 or (pitched and self._has_new_music_on_chords)
        if chords is not None or (has_harmony and self._given is None) or self._has_chords(source):
            roles = ("chordline", *roles)
        self._progressions = self._draft_progressions(request) if chords is None and pitched else None
        self._has_auto = self._progressions is not None
        if self._has_auto and "chordline" not in roles:
            roles = ("chordline", *roles)
        if chords is not None or self._has_auto or (kept and "chordline" in roles):
            kept.add("chordline")  # what is kept is forced before anything is drawn, and chords come first
        roles = tuple(sorted(roles, key=lambda r: (r != "chordline", r not in kept, roles.index(r))))
        self._kept = frozenset(kept)
        self.header = Header(
            slot, meter, tempo_band(self._written_qpm), request.key, self._density_level(),
            self._prompt is None, True, roles,
        )  # fmt: skip
        self._single, self.limits = self._limits_of(roles, again)
        encode_header(self.header)  # refuses what a header cannot say, before anything is written
        self._context_bars: list[SeenBar] = []
        self._bars_before = 0
        """Number of context bars that stand before the bars to write."""
        self._context, self._first_left, self._stop_at = self._build_context()
        self._forced = [] if self._has_auto else self._build_forced(chords)

    def _limits_of(self, roles: Sequence[str], again: bool) -> tuple[frozenset[str], Limits]:
        """The roles that play one note at a time, and what the request rules out."""
        asked = self.request
        ranges = {r: note_range(r, self.programs.get(r, 0)) for r in roles if r not in ("drums", "chordline")}
        ranges |= {r: (low, high) for r, low, high in asked.ranges if r in ranges}
        self._whole_ranges = dict(ranges)
        """Of the instruments: what a piece that is moved to another key may take."""
        if asked.leap is not None and self._draws_key and "melody" in ranges:
            ranges["melody"] = narrowed(*ranges["melody"])
        single = {r: 1 for r in roles if is_single_line(r, self.programs.get(r, 0))}
        return frozenset(single), Limits(ranges, False, single, self._kept, again)

    def _take_given(self, request: Request, given: Score) -> tuple[list[str], set[str]]:
        """Put the given piece on the grid, and return the roles of the piece to write and the roles that are kept."""
        self._own = with_roles(given)
        mended = mend_meters(self._own)
        self._given = on_grid(mended, "the given piece", dominant_qpm(mended))
        for role in self._given.roles:
            main = main_track(self._own, role)
            if main is not None and role != "drums":
                self.programs[role] = self._own.tracks[main].program
        kept = set(request.given_roles)
        tracks = list(request.tracks)
        if self._fill is not None:
            self._span = fill_span(self._own, self._fill)
            self._given = padded(self._given, len(mended.bar_ticks()) - 1)
            self._lines = BarLines.of(mended, self._given.bars)
            self._fill = self._lines.bars_of(*self._span)
            self._given = padded(self._given, sum(self._fill))
            self.num_bars = self._fill[1]
            tracks = [r for r in GRID_ROLES if r in self._given.roles]
        else:
            kept = kept or set(self._given.roles)
            self._given = padded(self._given, request.bars)
            self.num_bars = len(self._given.bars)
            self._lines = BarLines.of(mended, self._given.bars)
            tracks = [r for r in GRID_ROLES if r in kept] + [t for t in tracks if t not in kept]
        absent = sorted(kept - set(self._given.roles))
        if absent:
            there_are = ", ".join(self._given.roles)
            raise UsageError(f"the given piece has no {absent[0]} that can be kept; it has {there_are}")
        return tracks, kept

    @staticmethod
    def _has_chords(piece: Piece | None) -> bool:
        return piece is not None and any(b.chords for b in piece.bars)

    def _density_level_at(self, density: float) -> float:
        """Density level of the style's bars at a quantile of 0 to 1."""
        table = self._density_quantiles.get(self.style.name) or range(DENSITIES)
        return float(np.interp(density * (len(table) - 1), range(len(table)), table))

    def _density_level(self) -> int | None:
        if self.request.density is None:
            return None
        return int(np.clip(round(self._density_level_at(self.request.density)), 0, DENSITIES - 1))

    def _given_chords(self, request: Request) -> list[tuple[tuple[int, int, int], ...]] | None:
        """Return the chord changes of each bar to write; the chord line begins again when it is shorter."""
        if not request.chords:
            return None
        return self._changes(request.chords)

    def _draft_progressions(self, request: Request) -> tuple[str, ...] | None:
        """Progressions of which a draft is given one; None where it writes its own chords.

        Where they are asked for, all of the style; in whole choruses of a new piece those as long as the chorus.
        """
        if request.progression == "auto":
            return self.style.progressions
        size = self.style.dataset.chorus_bars
        new = request.given is None and request.prompt is None
        if not size or request.bars % size or not new or request.raw:
            return None
        return tuple(n for n in self.style.progressions if len(read_progression(n, "C").bars) == size) or None

    def _usual_chords(self, key: tuple[int, str], seed: int) -> list[tuple[tuple[int, int, int], ...]]:
        """The changes of a progression of the style that the seed draws, on the tonic in the last bar of a piece."""
        at = float(np.random.default_rng([seed, PROGRESSION_STREAM]).random())
        name = usual_progression(self._progressions or (), key[1], at)
        bars = list(read_progression(name, key_name(key)).bars)
        bars = [bars[i % len(bars)] for i in range(self.num_bars)]
        if self._ends_piece:
            home = next(
                (label for bar in bars for label in bar if (parse_chord(label) or key)[0] == key[0]), None
            )
            bars[-1] = (home,) if home is not None else bars[-1]
        return self._changes(bars)

    def _changes(self, chords: Sequence[Sequence[str]]) -> list[tuple[tuple[int, int, int], ...]]:
        """Position, root and quality of each change of the bars to write."""
        bars: list[tuple[tuple[int, int, int], ...]] = []
        for bar, meter in enumerate(self._meters):
            labels = chords[bar % len(chords)]
            size = meter_positions(meter)
            changes: list[tuple[int, int, int]] = []
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
        return bars

    def _meters_to_write(self, meter: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the meter of each bar to write: the given piece's, else the requested one, else the prompt's
        last.
        """
        if self._given is not None:
            first = self._fill[0] if self._fill is not None else 0
            return [b.meter for b in self._given.bars[first : first + self.num_bars]]
        if self._prompt is not None and self.request.meter is None:
            meter = self._prompt.bars[-1].meter
        return [meter] * self.num_bars

    @property
    def _meter_before(self) -> tuple[int, int] | None:
        """The meter in force before the first bar to write."""
        if self._fill is not None and self._given is not None and self._fill[0]:
            return self._given.bars[self._fill[0] - 1].meter
        return self._prompt.bars[-1].meter if self._prompt is not None else self.header.meter

    def _build_context(self) -> tuple[list[int], int, int]:
        """Return context tokens, bars left at the first bar to write, and bars left at which to stop."""
        room = PROMPT_SHARE * self._capacity
        meter = self.header.meter
        returns = Returns() if self.limits.again else None
        if self._fill is not None and self._given is not None:
            first, count = self._fill
            bars, total = self._given.bars, len(self._given.bars)
            left = self._fitting(bars[:first], total, meter, 0.6 * room, keep_last=True)
            right = self._fitting(
                bars[first + count :], total - first - count, self._meter_before, 0.4 * room, False
            )
            self._context_bars, self._bars_before = [*left, *right], len(left)
            ids = [*shortened(left, returns), GAP, *shortened(right, returns), FILL]
            return ids, total - first, total - first - count
        behind = BARS_BEHIND if self.request.goes_on or self.request.ending in ("fade", "loop") else 0
        if self._prompt is not None:
            kept = self._prompt.bars[-16:]
            left_then = self.num_bars + behind + len(kept)
            self._context_bars = self._fitting(kept, left_then, meter, room, keep_last=True)
            self._bars_before = len(self._context_bars)
            return shortened(self._context_bars, returns), self.num_bars + behind, behind
        return [], self.num_bars + behind, behind

    def _fitting(
        self,
        bars: Sequence[GridBar],
        bars_left: int,
        meter: tuple[int, int] | None,
        room: float,
        keep_last: bool,
    ) -> list[SeenBar]:
        """Return as many bars as there is room for (tokens, spelled out), from the end or the beginning;
        ``bars_left`` is the countdown of the first of ``bars``.
        """
        numbered = [(bar, bars_left - i) for i, bar in enumerate(bars)]
        kept: list[tuple[GridBar, int]] = []
        used = 0
        for bar, left in reversed(numbered) if keep_last else numbered:
            used += 1 + len(encode_bar(bar, left, self.header.roles, bar.meter))
            if used > room:
                break
            kept.append((bar, left))
        seen: list[SeenBar] = []
        for bar, left in reversed(kept) if keep_last else kept:
            lead, segments = split_segments(encode_bar(bar, left, self.header.roles, meter))
            meter = bar.meter
            seen.append(SeenBar(meter, lead, {segment[0]: segment for segment in segments}))
        return seen

    def _build_forced(self, chords: list[tuple[tuple[int, int, int], ...]] | None) -> list[list[int]]:
        """Return for each bar to write the tokens after its bar token: the meter where it changes, and the
        kept roles.
        """
        forced: list[list[int]] = []
        first = self._fill[0] if self._fill is not None else 0
        before = self._meter_before
        for index, meter in enumerate(self._meters):
            ids = [VOCABULARY.id("meter", 1 + METERS.index(meter))] if meter != before else []
            before = meter
            source = self._given.bars[first + index] if self._given is not None else GridBar(meter)
            for role in self.header.roles:
                if role == "chordline" and role in self._kept:
                    ids += encode_chords(chords[index] if chords is not None else source.chords)
                elif role in self._kept:
                    ids += encode_segment(role, source.parts.get(role, ()))
            forced.append(ids)
        return forced

    @property
    def _ends_piece(self) -> bool:
        """Whether the last bar to write is the piece's last."""
        return self._stop_at == 0

    @property
    def _final_key(self) -> tuple[int, str] | None:
        """The key in which a piece ends where none is requested: the last requested chord, else that of the
        given music.
        """
        for label in reversed(self.request.chords[-1] if self.request.chords else ()):
            parsed = parse_chord(label)
            if parsed is not None:
                return parsed[0], "minor" if "min" in parsed[1] or "dim" in parsed[1] else "major"
        source = self._given or self._prompt
        return None if source is None else source.key

    def _header_for(self, seed: int) -> Header:
        """Return the header of one draft.

        Where no key is implied, one is drawn: a piece with a key in its header keeps to it and ends in it. A
        requested key decides the mode; the piece is moved to its tonic when it is written, so that a seed gives
        the same piece in every key.
        """
        if not self._draws_key:
            return self.header
        rng = np.random.default_rng([seed, KEY_STREAM])
        other = "minor" if self.style.mode == "major" else "major"
        mode = self.style.mode if rng.random() < USUAL_MODE_SHARE else other
        mode = self.request.key[1] if self.request.key is not None else mode
        signature = USUAL_SIGNATURES[int(rng.integers(len(USUAL_SIGNATURES)))]
        tonic = signature if mode == "major" else (signature + 9) % 12
        return replace(self.header, key=(tonic, mode))

    @property
    def _draws_key(self) -> bool:
        implied = self._given is not None or self._prompt is not None or self.request.chords is not None
        return not implied and bool(set(self.header.roles) - {"drums"})

    def _leaning(self) -> Leaning:
        """Leanings of one stream towards what the request asks for."""
        asked = self.request
        densities = {}
        if asked.density is not None:
            densities = {r: asked.density for r in self.header.roles if r != "chordline"}
        densities |= dict(asked.track_density)
        return Leaning(
            {r: target_onsets(r, d, self._density_level_at(0.5)) for r, d in densities.items() if r not in self._kept},
            asked.syncopation, asked.leap, asked.intro, self._pitch_before, asked.leap_share,
        )  # fmt: skip

    @property
    def _pitch_before(self) -> int:
        """The melody's last pitch before the bars to write; -1 where none is seen."""
        melody = VOCABULARY.id("role", SEGMENT_ROLES.index("melody"))
        seen = self._context_bars[: self._bars_before]
        tokens = [t for bar in seen for t in bar.segments.get(melody, ())]
        return next((VOCABULARY.values[t] for t in reversed(tokens) if VOCABULARY.kinds[t] == "pitch"), -1)

    def _stream_bias(self, header: Header, seed: int) -> LogitBias | None:
        if self.request.raw:
            return None
        rng = np.random.default_rng([seed, BIAS_STREAM])
        key = header.key or self._final_key
        leaning = self._leaning()
        config = replace(self._logit_bias, back=0.0) if self._form_bars() else self._logit_bias
        return LogitBias(config, key, self._ends_piece, rng, leaning if leaning.is_active else None)

    def stream(self, seed: int) -> PieceStream:
        """Return the stream of the draft with this seed."""
        header, forced = self._header_for(seed), self._forced
        if self._has_auto:
            forced = self._build_forced(self._usual_chords(header.key or (0, self.style.mode), seed))
        grammar = Grammar(header, self._first_left, self.limits)
        grammar.meter = self._meter_before
        return PieceStream(
            grammar,
            np.random.default_rng([seed, TOKEN_STREAM]),
            encode_header(header),
            encode_header(replace(header, from_start=False)),
            list(self._context),
            forced,
            self._stop_at,
            self._capacity,
            self._stream_bias(header, seed),
            self._context_bars,
            self._form_bars(),
            self._may_rest(),
        )

    @property
    def _form(self) -> Form | None:
        """The form that is asked for, else the style's where nothing else decides what comes when."""
        asked, letters = self.request, self.request.form
        if letters is None and not (
            asked.given or asked.prompt or asked.chords or asked.progression or asked.intro
        ):
            usual_bars = self.style.dataset.chorus_bars or SECTION_BARS
            letters = "" if asked.raw else usual_form(self.style.form, self.num_bars, usual_bars)
        return Form(letters, self.num_bars // len(letters)) if letters else None

    @property
    def _has_new_music_on_chords(self) -> bool:
        """Whether the form has a lower-case letter, so that even one voice needs chord symbols."""
        return self._form is not None and any(letter.islower() for letter in self._form.letters)

    def _may_rest(self) -> dict[int, int]:
        """Tokens of the roles that are written and must not rest for long, and the bar from which on."""
        if self.request.raw:
            return {}
        written = [r for r in self.header.roles if r != "chordline" and r not in self._kept]
        return {
            VOCABULARY.id("role", SEGMENT_ROLES.index(r)): self.request.intro if r == "melody" else 0
            for r in written
        }

    def _form_bars(self) -> list[FormBar]:
        """What each bar to write owes to a form; empty where there is none."""
        if self.request.contrasts:
            return [FormBar(fresh_from=0)] * self.num_bars
        return [] if self._form is None else self._form.bars()

    @property
    def _written_qpm(self) -> float:
        """The tempo that the header tells: a new piece is written in its style's, and played in the requested one."""
        return self.qpm if self._given or self._prompt else self.style.qpm

    def as_asked(self, written: Score) -> Score:
        """Return a new piece in the requested key and tempo; one with a given piece as it is."""
        if self._own is not None:
            return written
        moved, keys = replace(written, tempos=(Tempo(0, self.qpm),)), written.key_signatures
        if self.request.key is None or not keys or not self._draws_key:
            return moved
        return in_key(moved, (self.request.key[0] - keys[0].tonic + 5) % 12 - 5, self._whole_ranges)

    def obtained(self, score: Score) -> dict[str, float]:
        """What a finished draft has of what was asked for."""
        return of_writing(score, self.request, self._kept, self._density_level_at(0.5))

    def score(self, stream: PieceStream) -> Score:
        """Return the finished draft: the new bars, or the given piece with the new notes merged in."""
        head = encode_header(replace(self.header, meter=self._meter_before))
        written = decode([*head, *(t for bar in stream.bars for t in bar)]).bars
        bars, new = written, range(len(written))
        key = stream.grammar.header.key
        if self._fill is not None and self._given is not None:
            first, count = self._fill
            bars = (*self._given.bars[:first], *written, *self._given.bars[first + count :])
            new = range(first, first + count)
            key = key or self._given.key
        bars = finish(bars, self._single, new, self._kept, ring=self._ends_piece and not self.request.raw)
        piece = harmonise(Piece(bars, self.qpm, key or estimate_piece_key(bars)))
        if self._own is None or self._lines is None:
            new_piece = piece_to_score(piece, self.programs, title=self.style.name)
            form, ticks = self._form, new_piece.bar_ticks()[: self.num_bars]
            sections = () if form is None else form.sections(ticks[:: form.section_bars])
            return replace(new_piece, tempos=(Tempo(0, self._written_qpm),), sections=sections)
        lines = (
            BarLines.of(mend_meters(self._own), bars) if len(bars) >= len(self._lines.starts) else self._lines
        )
        roles = [r for r in self.header.roles if r != "chordline" and r not in self._kept]
        new = range(new.start, min(new.stop, len(bars)))
        merged = merge(self._own, piece, lines, roles, self.programs, new, self._span)
        merged = with_harmony(
            merged, piece, lines, self._span, self.request.qpm, self.request.chords is not None
        )
        return replace(merged, title=merged.title or self.style.name)
