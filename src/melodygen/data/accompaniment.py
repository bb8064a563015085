"""What is written around a tune for the ear: comping, broken chords, pads, horns, bass lines, beats.

Each takes bars with chords and gives notes; a beat of hobby sequencers, a bass as the style has it.
Time is in quarters from the start of the piece. All randomness comes from the given generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from melodygen.data.comping import CompingPlayer, voice_chord
from melodygen.data.stems import Rows, StemBar, StemVoice
from melodygen.music.harmony import CHORD_QUALITIES
from melodygen.music.key import estimate_key
from melodygen.styles.style import Style
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, DURATIONS, VELOCITIES


def guess_chords(voices: list[StemVoice], bars: list[StemBar]) -> list[StemBar]:
    """Primary triads under a tune: for each bar the one of its key that holds most of its notes."""
    weights = np.zeros((len(bars), 12))
    starts = np.array([b.start for b in bars])
    for voice in voices:
        if voice.stem == "drums":
            continue
        index = np.clip(np.searchsorted(starts, voice.rows[:, 0] + 1e-6, side="right") - 1, 0, None)
        np.add.at(weights, (index, voice.rows[:, 2].astype(int) % 12), np.minimum(voice.rows[:, 1], 2.0))
    key = estimate_key(weights.sum(axis=0))
    if key is None:
        return bars
    tonic, mode = key
    maj, minor = CHORD_QUALITY_NAMES.index("maj"), CHORD_QUALITY_NAMES.index("min")
    if mode == "major":
        triads = [(0, maj, 0.3), (5, maj, 0.1), (7, maj, 0.2), (9, minor, 0.0), (2, minor, 0.0)]
    else:
        triads = [
            (0, minor, 0.3),
            (5, minor, 0.0),
            (7, maj, 0.1),
            (10, maj, 0.15),
            (3, maj, 0.1),
            (8, maj, 0.0),
        ]
    result = []
    for bar, weight in zip(bars, weights, strict=True):
        best, fit = triads[0], -1.0
        for triad in triads:
            root = (tonic + triad[0]) % 12
            notes = [(root + i) % 12 for i in CHORD_QUALITIES[CHORD_QUALITY_NAMES[triad[1]]]]
            value = float(weight[notes].sum()) + triad[2]
            if value > fit:
                best, fit = triad, value
        result.append(replace(bar, chords=((bar.start, (tonic + best[0]) % 12, best[1]),)))
    return result


def _changes(bars: Sequence[StemBar]) -> list[tuple[float, float, int, int]]:
    """(start, end, root, quality) of each chord in turn, silence left out."""
    flat = [c for b in bars for c in b.chords]
    end = bars[-1].start + bars[-1].quarters
    spans = []
    for i, (at, root, quality) in enumerate(flat):
        stop = flat[i + 1][0] if i + 1 < len(flat) else end
        if root >= 0 and stop - at > 0.2:
            spans.append((at, stop, root, quality))
    return spans


def _rows(notes: Sequence[tuple[float, float, float, float]]) -> Rows:
    return np.array(notes, dtype=np.float64).reshape(-1, 4)


def comping(style: Style, bars: list[StemBar], rng: np.random.Generator) -> Rows:
    """Chords as rhythm, broken chords, strums or held."""
    draw = rng.random()
    if draw < style.accompaniment.broken:
        return _broken(bars, rng)
    if draw > 0.92:
        return _pad(bars, rng)
    comper = CompingPlayer(style, rng)
    notes: list[tuple[float, float, float, float]] = []
    slowest = style.accompaniment.strum_quarters
    strum = float(rng.uniform(0.0, slowest)) if slowest > 0 else 0.0
    for bar in bars:
        changes = tuple((round((at - bar.start) * 12), root, quality) for at, root, quality in bar.chords)
        for i, (position, velocity, duration, pitch) in enumerate(comper.bar(bar.meter, changes)):
            at = bar.start + position / 12.0 + strum * (i % 4)
            notes.append((at, DURATIONS[duration] / 12.0, pitch, VELOCITIES[velocity]))
    return _rows(notes)


def _voicing(root: int, quality: int, previous: tuple[int, ...] | None) -> tuple[int, ...]:
    return voice_chord(root, quality, previous, False)


def _broken(bars: list[StemBar], rng: np.random.Generator) -> Rows:
    step = float(rng.choice((0.25, 0.5, 0.5, 1 / 3)))
    order = [(0, 1, 2, 1), (0, 2, 1, 2), (0, 1, 2, 3), (2, 1, 0, 1)][int(rng.integers(4))]
    hold = float(rng.choice((step, 2 * step)))
    notes = []
    previous = None
    for at, end, root, quality in _changes(bars):
        previous = _voicing(root, quality, previous)
        count = max(1, round((end - at) / step))
        for i in range(count):
            notes.append((at + i * step, hold, previous[order[i % 4] % len(previous)], 70.0))
    return _rows(notes)


def _pad(bars: list[StemBar], rng: np.random.Generator) -> Rows:
    lift = 12 if rng.random() < 0.4 else 0
    notes = []
    previous = None
    for at, end, root, quality in _changes(bars):
        previous = _voicing(root, quality, previous)
        notes += [(at, (end - at) * 0.97, p + lift, 64.0) for p in previous]
    return _rows(notes)


def extra(style: Style, bars: list[StemBar], voices: list[StemVoice], rng: np.random.Generator) -> Rows:
    """Horns under the tune, riffs, the tune or any voice doubled, or a pad: as often as the style has each."""
    draw, how = rng.random(), style.accompaniment
    melody = [v for v in voices if v.stem == "melody"]
    if draw < how.horns and melody:
        spans = _changes(bars)
        notes = []
        for onset, duration, pitch, velocity in melody[0].rows.tolist():
            span = next((s for s in spans if s[0] - 0.3 <= onset < s[1]), None)
            if span is None:
                continue
            classes = [(span[2] + i) % 12 for i in CHORD_QUALITIES[CHORD_QUALITY_NAMES[span[3]]]]
            below = [pitch - d for d in range(3, 15) if int(pitch - d) % 12 in classes][
                : int(rng.integers(1, 4))
            ]
            notes += [(onset, duration, p, velocity * 0.85) for p in below]
        return _rows(notes)
    if draw < how.horns + how.riffs:
        riff = [
            (float(p) / 2, float(rng.choice((0.3, 0.3, 0.9))))
            for p in sorted(rng.choice(8, size=3, replace=False))
        ]
        notes = []
        for at, end, root, quality in _changes(bars):
            chord = voice_chord(root, quality, None, how.rootless_riffs)
            notes += [(at + p, d, c + 5, 90.0) for p, d in riff if at + p < end for c in chord]
        return _rows(notes)
    pitched = [v for v in voices if v.stem != "drums"]
    if draw < 0.85 and pitched:
        any_voice = how.double_any > 0 and rng.random() < how.double_any
        sung = pitched[int(rng.integers(len(pitched)))] if any_voice or not melody else melody[0]
        doubled = sung.rows.copy()
        doubled[:, 2] = folded(doubled[:, 2] + float(rng.choice((-12, 12, 0))))
        return doubled
    return _pad(bars, rng)


Notes = list[tuple[float, float, float, float]]
"""(onset, duration in quarters, pitch, velocity) of each note."""
BASS_VELOCITY = 92.0


@dataclass(frozen=True)
class _BassChord:
    """A chord as a bass plays it: from ``at`` to ``end`` (quarters), its root and fifth, the root that follows."""

    at: float
    end: float
    base: int
    low: int
    fifth: int
    intervals: tuple[int, ...]
    next_root: int


def bass_line(style: Style, bars: list[StemBar], rng: np.random.Generator) -> Rows:
    """A bass from chord symbols: walking, two-beat, eighths or held, as the style has it."""
    pattern = str(rng.choice(style.accompaniment.bass))
    base = int(rng.integers(26, 34))
    notes: Notes = []
    spans, pitch = _changes(bars), base + 6
    for index, (at, end, root, quality) in enumerate(spans):
        intervals = CHORD_QUALITIES[CHORD_QUALITY_NAMES[quality]]
        low = base + (root - base) % 12
        if abs(low + 12 - pitch) < abs(low - pitch) and low + 12 <= base + 18:
            low += 12
        fifth = low + 7 if 7 in intervals else low + intervals[2 % len(intervals)]
        following = spans[index + 1][2] if index + 1 < len(spans) else root
        notes += _bass_notes(pattern, _BassChord(at, end, base, low, fifth, tuple(intervals), following), rng)
        pitch = int(notes[-1][2]) if notes else pitch
    return _rows(notes)


def _bass_notes(pattern: str, chord: _BassChord, rng: np.random.Generator) -> Notes:
    """One chord in a pattern of ``BASS_PATTERNS``."""
    at, length, loud = chord.at, chord.end - chord.at, BASS_VELOCITY
    if pattern in ("walk", "shuffle"):
        return _walking(chord, rng, pattern == "shuffle")
    if pattern in ("two", "bossa"):
        return _two_beat(chord, pattern == "bossa")
    if pattern in ("eighths", "octaves"):
        up = 12 if pattern == "octaves" else 0
        count = max(1, round(length * 2))
        return [(at + i / 2, 0.45, chord.low + up * (i % 2), loud - 8 * (i % 2)) for i in range(count)]
    if pattern == "push":
        return _pushed(chord, rng)
    return [(at, length * 0.95, chord.low, loud)]


def _walking(chord: _BassChord, rng: np.random.Generator, shuffle: bool) -> Notes:
    """Quarters through chord tones that approach the next root by step; each doubled in a shuffle."""
    notes: Notes = []
    base, low, loud = chord.base, chord.low, BASS_VELOCITY
    beats, pitch = max(1, round(chord.end - chord.at)), low
    for beat in range(beats):
        at = chord.at + beat
        if beat == 0:
            pitch = low
        elif beat == beats - 1:
            target = base + (chord.next_root - base) % 12
            target += 12 * round((pitch - target) / 12)
            pitch = target + int(rng.choice((-1, 1, -2, 2)))
        else:
            tones = [low + i + 12 * o for i in (*chord.intervals, 2) for o in (-1, 0, 1)]
            inside = [t for t in tones if t != pitch and base - 2 <= t <= base + 24]
            near = sorted(inside, key=lambda t: abs(t - pitch))
            pitch = near[int(rng.integers(min(3, len(near))))] if near else low
        if shuffle:
            notes += [(at, 0.6, pitch, loud), (at + 2 / 3, 0.3, pitch, loud - 10)]
            continue
        notes.append((at, 0.92, pitch, loud))
        if rng.random() < 0.08:
            notes.append((at + 2 / 3, 0.25, pitch, loud - 15))
    return notes


def _two_beat(chord: _BassChord, bossa: bool) -> Notes:
    """Root and fifth in turn, every half bar; in a bossa the root is dotted."""
    notes: Notes = []
    place, length, tone = 0.0, chord.end - chord.at, 0
    while place < length - 0.2:
        step = 1.5 if bossa and tone % 2 == 0 else 2.0
        pitch = chord.low if tone % 2 == 0 else chord.fifth
        notes.append((chord.at + place, min(step, length - place) * 0.85, pitch, BASS_VELOCITY))
        place, tone = place + step, tone + 1
    return notes


def _pushed(chord: _BassChord, rng: np.random.Generator) -> Notes:
    """Dotted quarter and eighth, twice a bar; the last eighth is sometimes the fifth."""
    notes: Notes = []
    for bar_at in np.arange(chord.at, chord.end - 0.2, 4.0):
        for place, held in ((0.0, 1.4), (1.5, 0.45), (2.0, 1.4), (3.5, 0.45)):
            if bar_at + place < chord.end - 0.1:
                pitch = chord.fifth if place == 3.5 and rng.random() < 0.3 else chord.low
                notes.append((float(bar_at) + place, held, pitch, BASS_VELOCITY))
    return notes


Hits = list[tuple[float, int, float]]
"""(quarter in the bar, General MIDI drum, velocity) of each stroke."""


@dataclass(frozen=True)
class _DrumBar:
    """A bar to be filled: its number, length in quarters, and what the view has chosen: hi-hat and kick places."""

    number: int
    quarters: float
    hat: int
    kicks: tuple[float, ...]


def drum_pattern(style: Style, bars: list[StemBar], rng: np.random.Generator) -> Rows:
    """A beat as hobby sequencers write it: swing, shuffle, rock, pop, bossa, dance, waltz, jig or hand drums."""
    meter = bars[0].meter
    three = meter[0] == 3 and meter[1] in (2, 4, 8)
    compound = meter[1] == 8 and meter[0] % 3 == 0 and meter[0] > 3
    pattern = str(rng.choice(style.accompaniment.drums))
    hat = int(rng.choice((42, 42, 51, 44, 54)))
    kicks = tuple(i / 4 for i in range(1, 16) if i not in (4, 12) and rng.random() < 0.18)
    notes: Notes = []
    for number, bar in enumerate(bars):
        what = _DrumBar(number, bar.quarters, hat, kicks)
        if pattern == "sparse":
            hits = _sparse(what, rng)
        elif compound or (pattern == "hand" and not three):
            hits = _even(what, rng, compound, pattern == "hand")
        elif three:
            hits = _waltz(what, style.is_swung)
        elif pattern in ("swing", "shuffle"):
            hits = _swing(what, rng) if pattern == "swing" else _shuffle(what)
        elif pattern == "bossa":
            hits = _bossa(what)
        elif pattern == "march":
            hits = _march(what, rng)
        else:
            hits = _backbeat(what, rng, pattern)
        notes += [(bar.start + at, 0.1, kind, loud) for at, kind, loud in hits]
    return _rows(notes)


def _sparse(bar: _DrumBar, rng: np.random.Generator) -> Hits:
    """An orchestra's: a stroke on some downbeats, now and then a roll."""
    hits: Hits = []
    if bar.number == 0 or rng.random() < 0.4:
        hits.append((0.0, int(rng.choice((36, 49, 35, 57))), 80))
    if rng.random() < 0.1:
        hits += [(bar.quarters - 0.5 + i / 8, 38, 60 + 5 * i) for i in range(4)]
    return hits


def _even(bar: _DrumBar, rng: np.random.Generator, compound: bool, hand: bool) -> Hits:
    """Even strokes with accents, on a hand drum or on hat and kick with a snare."""
    unit, group = (0.5, 3) if compound else (0.25, 4)
    light, heavy = (45, 41) if hand else (42, 36)
    hits: Hits = []
    for i in range(round(bar.quarters / unit)):
        accent = i % group == 0
        if accent or rng.random() < 0.7:
            hits.append((i * unit, heavy if accent else light, 95 if accent else 60))
    if not hand:
        hits += [(b, 38, 95) for b in np.arange(1.5, bar.quarters, 3.0)]
    return hits


def _waltz(bar: _DrumBar, swung: bool) -> Hits:
    """Kick on one, snare or the foot's hat on two and three, hat or ride on each beat."""
    ride, answer = (51, 44) if swung else (42, 38)
    hits: Hits = [(0, 36, 95), (1, answer, 70), (2, answer, 70)]
    hits += [(b, ride, 75) for b in np.arange(0, bar.quarters, 1.0)]
    return [*hits, (1 + 2 / 3, ride, 60)] if swung else hits


def _swing(bar: _DrumBar, rng: np.random.Generator) -> Hits:
    """Ride with skipped beats, the foot's hat on two and four, a soft kick, snare now and then."""
    hits: Hits = []
    for beat in map(float, np.arange(0, bar.quarters, 1.0)):
        hits.append((beat, 51, 85))
        if int(beat) % 2 == 1:
            hits += [(beat + 2 / 3, 51, 65), (beat, 44, 75)]
        elif rng.random() < 0.5:
            hits.append((beat, 36, 60))
        if rng.random() < 0.22:
            hits.append((beat + float(rng.choice((0.0, 2 / 3))), 38, 50))
    return hits


def _shuffle(bar: _DrumBar) -> Hits:
    """Hat in triplets, kick on one and three, snare on two and four."""
    hits: Hits = []
    for beat in map(float, np.arange(0, bar.quarters, 1.0)):
        hits += [(beat, 42, 85), (beat + 2 / 3, 42, 65)]
        hits.append((beat, 38, 100) if int(beat) % 2 == 1 else (beat, 36, 95))
    return hits


def _bossa(bar: _DrumBar) -> Hits:
    """Kick and rim in two-bar turns over eighths on the hat."""
    size = bar.quarters
    rims = (0, 1.5, 3) if bar.number % 2 == 0 else (1, 2.5)
    hits: Hits = [(b, 36, 75) for b in (0, 1.5, 2, 3.5) if b < size]
    hits += [(b, 37, 80) for b in rims if b < size]
    return hits + [(float(b), 42, 55) for b in np.arange(0, size, 0.5)]


def _march(bar: _DrumBar, rng: np.random.Generator) -> Hits:
    """Kick and snare in turn, with soft snare strokes between."""
    size = bar.quarters
    hits: Hits = [(float(b), 36, 85) for b in np.arange(0, size, 2.0)]
    hits += [(float(b), 38, 75) for b in np.arange(1, size, 2.0)]
    return hits + [(float(b), 38, 45) for b in np.arange(0.5, size, 1.0) if rng.random() < 0.4]


def _backbeat(bar: _DrumBar, rng: np.random.Generator, pattern: str) -> Hits:
    """Rock, pop and dance: hat, snare on two and four, kicks; a fill in some fourth bars."""
    size = bar.quarters
    step = 0.25 if pattern == "pop" and rng.random() < 0.3 else 0.5
    hits: Hits = [(float(b), bar.hat, 80 - 20 * (round(b / step) % 2)) for b in np.arange(0, size, step)]
    hits += [(float(b), 38, 105) for b in np.arange(1, size, 2.0)]
    if pattern == "dance":
        hits += [(float(b), 36, 105) for b in np.arange(0, size, 1.0)]
    else:
        hits += [(0.0, 36, 105), *((k, 36, 95) for k in bar.kicks if k < size)]
        if size > 2:
            hits.append((2.0, 36, 100))
    if bar.number % 4 == 3 and rng.random() < 0.4:
        hits += [(size - 1 + i * 0.25, int(rng.choice((38, 45, 47, 50))), 95) for i in range(4)]
    return hits


def folded(pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pitches moved by octaves into 21..108."""
    pitch = np.where(pitch > 108, pitch - 12 * np.ceil((pitch - 108) / 12), pitch)
    result: NDArray[np.float64] = np.where(pitch < 21, pitch + 12 * np.ceil((21 - pitch) / 12), pitch)
    return result
