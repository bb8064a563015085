"""The grid a note at a time, as it was before it was arrays: the oracle that ``tokens.columns`` is held to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from melodygen.analysis.chords import _NAMES, _PRIORS, _TEMPLATES
from melodygen.errors import ScoreError, TokenError
from melodygen.music.harmony import parse_chord
from melodygen.music.key import estimate_key
from melodygen.music.score import Score
from melodygen.tokens.codec import encode_chords, encode_segment
from melodygen.tokens.grid import (
    GRID_ROLES,
    PITCHED_ROLES,
    GridBar,
    GridNote,
    Piece,
    fitting_duration,
    meter_positions,
)
from melodygen.tokens.vocabulary import (
    CHORD_QUALITY_NAMES,
    DRUM_CLASS,
    DRUM_VELOCITY_INDEX,
    DURATION_INDEX,
    DURATIONS,
    MAX_POLYPHONY,
    METERS,
    POSITIONS_PER_QUARTER,
    SEGMENT_ROLES,
    VELOCITY_INDEX,
    VOCABULARY,
)

CHORDS_A_BAR = 4


def canonical_notes(notes: list[GridNote], role: str) -> tuple[GridNote, ...]:
    """Notes of one bar and role, deduplicated, capped in polyphony (a melody keeps its top, the rest the outer voices)
    and sorted as tokens say them: by position, velocity (one an onset), duration, pitch."""
    by_position: dict[int, dict[int, GridNote]] = defaultdict(dict)
    if role == "drums":
        for note in notes:
            held = by_position[note[0]].get(note[1])
            if held is None or held[2] < note[2]:
                by_position[note[0]][note[1]] = note
        return tuple(sorted(n for group in by_position.values() for n in group.values()))
    for note in notes:
        held = by_position[note[0]].get(note[3])
        if held is None or held[2] < note[2]:
            by_position[note[0]][note[3]] = note
    result: list[GridNote] = []
    cap = MAX_POLYPHONY[role]
    for position in sorted(by_position):
        group = sorted(by_position[position].values(), key=lambda n: n[3])
        if len(group) > cap:
            outer = [group[0], *group[1 - cap :]]
            group = group[-cap:] if role == "melody" else group[:cap] if role == "bass" else outer
        band = round(sum(n[1] for n in group) / len(group))
        result += sorted(((position, band, n[2], n[3]) for n in group), key=lambda n: (n[2], n[3]))
    return tuple(result)


def score_to_piece(score: Score, max_bars: int | None = None) -> Piece:
    """Quantise a Score whose tracks carry roles. Bars of a meter that tokens cannot say are an error that names it.

    A note that rounds onto the bar line belongs to the next bar. A bar that a meter change cuts short is filled up
    with silence: tokens have no short bars. The last bar is the one in which the last note ends; a note that quantising
    would carry over its end stops there. Raises TokenError.
    """
    ticks_per_quarter = score.ticks_per_quarter
    bar_ticks = score.bar_ticks()
    if len(bar_ticks) < 2:
        raise TokenError("no notes: nothing to put into bars")
    if max_bars is not None and len(bar_ticks) - 1 > max_bars:
        raise TokenError(f"{len(bar_ticks) - 1} bars are more than the limit of {max_bars}")
    scale = POSITIONS_PER_QUARTER / ticks_per_quarter
    # two meter changes within half a position are one: a bar of no length is none
    lengths = np.diff(bar_ticks)
    real = lengths * scale >= 0.5
    real[-1] |= not real.any()
    starts = np.array(bar_ticks[:-1])[real]
    num_bars = len(starts)
    meters = []
    for tick in starts.tolist():
        signature = score.time_signature_at(tick)
        meters.append((signature.numerator, signature.denominator))
    unknown = sorted({m for m in meters if m not in METERS})
    if unknown:
        raise TokenError(f"meter {unknown[0][0]}/{unknown[0][1]} is not one that tokens can say")
    capacity = [meter_positions(m) for m in meters]
    limits = [min(c, max(1, round(n * scale))) for c, n in zip(capacity, lengths[real].tolist(), strict=True)]
    parts: list[dict[str, list[GridNote]]] = [defaultdict(list) for _ in range(num_bars)]

    def place(bar: int, at: int) -> tuple[int, int]:
        if at < limits[bar]:
            return bar, at
        return (bar + 1, 0) if bar + 1 < num_bars else (bar, limits[bar] - 1)

    for track in score.tracks:
        if not len(track):
            continue
        onsets = track.notes["onset_tick"]
        index = (np.searchsorted(starts, onsets, side="right") - 1).clip(0)
        position = np.floor((onsets - starts[index]) * scale + 0.5).astype(int).clip(0)
        duration = np.floor(track.notes["duration_ticks"] * scale + 0.5).astype(int).clip(1, DURATIONS[-1])
        rows = zip(
            index.tolist(), position.tolist(), duration.tolist(),
            track.notes["pitch"].tolist(), track.notes["velocity"].tolist(), strict=True,
        )  # fmt: skip
        role = "drums" if track.is_drum else track.role
        for near, offset, length, pitch, velocity in rows:
            bar, at = place(near, offset)
            if role == "drums":
                kind = DRUM_CLASS[pitch]
                if kind >= 0:
                    parts[bar][role].append((at, kind, DRUM_VELOCITY_INDEX[velocity], 0))
            else:
                parts[bar][role].append((at, VELOCITY_INDEX[velocity], DURATION_INDEX[length], pitch))
    chords: list[list[tuple[int, int, int]]] = [[] for _ in range(num_bars)]
    for chord in score.chords:
        try:
            parsed = parse_chord(chord.label)
        except ScoreError:
            continue
        near = max(0, int(np.searchsorted(starts, chord.tick, side="right")) - 1)
        offset = max(0, int(np.floor((chord.tick - starts[near]) * scale + 0.5)))
        if near + 1 == num_bars and offset >= limits[near]:
            continue
        bar, at = place(near, offset)
        value = (at, -1, 0) if parsed is None else (at, parsed[0], CHORD_QUALITY_NAMES.index(parsed[1]))
        if chords[bar] and chords[bar][-1][0] == at:
            chords[bar].pop()
        chords[bar].append(value)
    bars = end_with_notes(
        GridBar(
            meters[i],
            {r: canonical_notes(parts[i][r], r) for r in GRID_ROLES if parts[i].get(r)},
            tuple(chords[i]),
        )
        for i in range(num_bars)
    )
    if not bars:
        raise TokenError("no notes that tokens can say")
    key = (
        (score.key_signatures[0].tonic, score.key_signatures[0].mode)
        if score.key_signatures
        else estimate_piece_key(bars)
    )
    return Piece(bars, score.qpm, key)


def end_with_notes(bars: Iterable[GridBar]) -> tuple[GridBar, ...]:
    """The bars up to the one in which the last note ends; notes that end after the last bar are cut there."""
    listed = list(bars)
    starts = np.cumsum([0, *(b.num_positions for b in listed)]).tolist()
    end = starts[-1]
    last = 0
    for index, bar in enumerate(listed):
        cut = {}
        for role, notes in bar.parts.items():
            if role == "drums":
                last = max([last, *(starts[index] + n[0] + 1 for n in notes)])
                continue
            held = []
            for at, band, duration, pitch in notes:
                onset = starts[index] + at
                fits = fitting_duration(duration, end - onset)
                last = max(last, onset + DURATIONS[fits])
                held.append((at, band, fits, pitch))
            cut[role] = tuple(sorted(held, key=lambda n: (n[0], n[2], n[3])))
        if starts[index] + DURATIONS[-1] > end - bar.num_positions:
            listed[index] = replace(bar, parts={**bar.parts, **cut})
    return tuple(listed[: int(np.searchsorted(starts, last))])


def estimate_piece_key(bars: tuple[GridBar, ...]) -> tuple[int, str] | None:
    weights = np.zeros(12)
    for bar in bars:
        for role in PITCHED_ROLES:
            for _, _, duration, pitch in bar.parts.get(role, ()):
                weights[pitch % 12] += min(DURATIONS[duration], 24)
    return estimate_key(weights)


def harmonise(piece: Piece, change_cost: float = 0.12, least_fit: float = 0.72) -> Piece:
    """The piece with estimated chord changes; unchanged when it has symbols, or one voice only (no harmony to hear)."""
    if any(b.chords for b in piece.bars):
        return piece
    voices = [r for r in PITCHED_ROLES if r in piece.roles]
    notes = piece.num_notes(PITCHED_ROLES)
    onsets = sum(len({n[0] for n in b.parts.get(r, ())}) for b in piece.bars for r in voices)
    if not voices or (len(voices) == 1 and notes < 1.3 * max(onsets, 1)):
        return piece
    bars: list[GridBar] = []
    held: int | None = None
    ringing: list[tuple[int, int, int]] = []  # (end, pitch, start) relative to this bar
    for bar in piece.bars:
        size = bar.num_positions
        step = size // 2 if bar.meter[0] % 2 == 0 and size >= 36 else size
        sounding = [(start, end, pitch) for end, pitch, start in ringing if end > 0]
        for role in voices:
            for position, _, duration, pitch in bar.parts.get(role, ()):
                sounding.append((position, position + DURATIONS[duration], pitch))
        changes: list[tuple[int, int, int]] = []
        for begin in range(0, size, step):
            weights = np.zeros(12)
            lowest: tuple[int, float] | None = None
            for start, end, pitch in sounding:
                overlap = min(end, begin + step) - max(start, begin)
                if overlap <= 0:
                    continue
                amount = min(overlap, 24) * (1.5 if start == begin else 1.0)
                weights[pitch % 12] += amount
                if lowest is None or pitch < lowest[0]:
                    lowest = (pitch, amount)
            norm = np.linalg.norm(weights)
            if norm == 0 or lowest is None:
                continue
            weights[lowest[0] % 12] += lowest[1]
            fit = _TEMPLATES @ (weights / np.linalg.norm(weights)) + _PRIORS
            if held is not None:
                fit[held] += change_cost
            best = int(np.argmax(fit))
            if fit[best] < least_fit:
                continue
            if best != held:
                changes.append((begin, *_NAMES[best]))
                held = best
        ringing = [(end - size, pitch, start - size) for start, end, pitch in sounding if end > size]
        bars.append(replace(bar, chords=tuple(changes)))
    return replace(piece, bars=tuple(bars))


def encode_piece(piece: Piece) -> dict[str, np.ndarray]:
    """The rows of one piece; ``starts`` count from its own first token."""
    starts, lengths, notes, meters, classes, chords = [], [], [], [], [], []
    flat: list[int] = []
    for bar in piece.bars:
        row_start, row_length, row_notes = [], [], []
        for role in SEGMENT_ROLES:
            part = bar.parts.get(role, ())
            ids = encode_chords(bar.chords) if role == "chordline" else encode_segment(role, part)
            row_start.append(len(flat))
            row_length.append(len(ids))
            row_notes.append(len(part))
            flat += ids
        starts.append(row_start)
        lengths.append(row_length)
        notes.append(row_notes)
        meters.append(METERS.index(bar.meter))
        weights = [0.0] * 12
        for role in PITCHED_ROLES:
            for _, _, duration, pitch in bar.parts.get(role, ()):
                weights[pitch % 12] += min(DURATIONS[duration], 24)
        classes.append(weights)
        changes = [*bar.chords[:CHORDS_A_BAR]]
        chords.append(changes + [(-2, -2, -2)] * (CHORDS_A_BAR - len(changes)))
    width = len(SEGMENT_ROLES)
    return {
        "tokens": np.array(flat, dtype=np.int16),
        "starts": np.array(starts, dtype=np.int64).reshape(-1, width),
        "lengths": np.array(lengths, dtype=np.int32).reshape(-1, width),
        "notes": np.array(notes, dtype=np.int16).reshape(-1, width),
        "meters": np.array(meters, dtype=np.int8),
        "pitch_classes": np.array(classes, dtype=np.float32).reshape(-1, 12),
        "chords": np.array(chords, dtype=np.int16).reshape(-1, CHORDS_A_BAR, 3),
    }


def fingerprint_of(piece: Piece) -> int | None:
    """Equal for near-duplicates, transposition and tempo aside: the melody's (or first role's) first 64
    (onset distance, interval) pairs. None for pieces too short to tell."""
    role = next((r for r in ("melody", "other", "chords", "bass", "drums") if r in piece.roles), None)
    if role is None:
        return None
    steps: list[tuple[int, int]] = []
    offset, last = 0, None
    for bar in piece.bars:
        for note in bar.parts.get(role, ()):
            pitch = note[1] if role == "drums" else note[3]
            now = (offset + note[0], pitch)
            if last is not None:
                steps.append((now[0] - last[0], now[1] - last[1]))
            last = now
        offset += bar.num_positions
        if len(steps) >= 64:
            break
    return hash(tuple(steps[:64])) if len(steps) >= 16 else None


def spelled_out(ids: list[int]) -> list[int]:
    """A sequence without ``again``: what each stands for, copied from the text of the bars before. The oracle of what
    ``again`` means."""
    names = [VOCABULARY.name(t) for t in ids]
    result: list[int] = []
    bars: list[dict[str, list[int]]] = []
    for at, name in enumerate(names):
        if name.startswith("bar:"):
            bars.append({})
            role = ""
        elif bars and name.startswith("role:"):
            role = name
            bars[-1][role] = []
        elif name.startswith("again:"):
            copied = bars[-1 - int(name.removeprefix("again:"))][role]
            bars[-1][role] = list(copied)
            result += copied
            continue
        elif name in ("gap", "fill", "end"):
            role = ""
        elif bars and role:
            bars[-1][role].append(ids[at])
        result.append(ids[at])
    return result
