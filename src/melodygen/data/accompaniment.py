"""What is written around a tune for the ear: comping, broken chords, pads, horns, bass lines, beats.

Each takes bars with chords and gives notes; a beat of hobby sequencers, a bass as the style has it.
Time is in quarters from the start of the piece. All randomness comes from the given generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from melodygen.data.comping import CompingPlayer, voice_chord
from melodygen.data.stems import Bar, Rows, Voice
from melodygen.music.harmony import CHORD_QUALITIES, estimate_key
from melodygen.styles.style import Style
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, DURATIONS, VELOCITIES


def guess_chords(voices: list[Voice], bars: list[Bar]) -> list[Bar]:
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


def _changes(bars: Sequence[Bar]) -> list[tuple[float, float, int, int]]:
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


def comping(style: Style, bars: list[Bar], rng: np.random.Generator) -> Rows:
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


def _broken(bars: list[Bar], rng: np.random.Generator) -> Rows:
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


def _pad(bars: list[Bar], rng: np.random.Generator) -> Rows:
    lift = 12 if rng.random() < 0.4 else 0
    notes = []
    previous = None
    for at, end, root, quality in _changes(bars):
        previous = _voicing(root, quality, previous)
        notes += [(at, (end - at) * 0.97, p + lift, 64.0) for p in previous]
    return _rows(notes)


def extra(style: Style, bars: list[Bar], voices: list[Voice], rng: np.random.Generator) -> Rows:
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


def bass_line(style: Style, bars: list[Bar], rng: np.random.Generator) -> Rows:
    """A bass from chord symbols: walking, two-beat, eighths or held, as the style has it."""
    manner = str(rng.choice(style.accompaniment.bass))
    base = int(rng.integers(26, 34))
    notes: list[tuple[float, float, float, float]] = []
    spans = _changes(bars)
    pitch = base + 6
    for index, (at, end, root, quality) in enumerate(spans):
        intervals = CHORD_QUALITIES[CHORD_QUALITY_NAMES[quality]]
        low = base + (root - base) % 12
        if abs(low + 12 - pitch) < abs(low - pitch) and low + 12 <= base + 18:
            low += 12
        fifth = low + 7 if 7 in intervals else low + intervals[2 % len(intervals)]
        length = end - at
        loud = 92.0
        if manner in ("walk", "shuffle"):
            following = spans[index + 1][2] if index + 1 < len(spans) else root
            beats = max(1, round(length))
            pitch = low
            for beat in range(beats):
                if beat == 0:
                    pitch = low
                elif beat == beats - 1:
                    target = base + (following - base) % 12
                    target += 12 * round((pitch - target) / 12)
                    pitch = target + int(rng.choice((-1, 1, -2, 2)))
                else:
                    tones = [low + i + 12 * o for i in (*intervals, 2) for o in (-1, 0, 1)]
                    near = sorted(
                        (t for t in tones if t != pitch and base - 2 <= t <= base + 24),
                        key=lambda t: abs(t - pitch),
                    )
                    pitch = near[int(rng.integers(min(3, len(near))))] if near else low
                if manner == "walk":
                    notes.append((at + beat, 0.92, pitch, loud))
                    if rng.random() < 0.08:
                        notes.append((at + beat + 2 / 3, 0.25, pitch, loud - 15))
                else:
                    notes += [(at + beat, 0.6, pitch, loud), (at + beat + 2 / 3, 0.3, pitch, loud - 10)]
        elif manner in ("two", "bossa"):
            place = 0.0
            tone = 0
            while place < length - 0.2:
                step = 2.0 if manner == "two" or tone % 2 else 1.5
                notes.append(
                    (at + place, min(step, length - place) * 0.85, low if tone % 2 == 0 else fifth, loud)
                )
                place += step
                tone += 1
        elif manner in ("eighths", "octaves"):
            for i in range(max(1, round(length * 2))):
                up = 12 if manner == "octaves" and i % 2 else 0
                notes.append((at + i / 2, 0.45, low + up, loud - 8 * (i % 2)))
        elif manner == "push":
            for bar_at in np.arange(at, end - 0.2, 4.0):
                for place, held in ((0.0, 1.4), (1.5, 0.45), (2.0, 1.4), (3.5, 0.45)):
                    if bar_at + place < end - 0.1:
                        notes.append(
                            (
                                float(bar_at) + place,
                                held,
                                fifth if place == 3.5 and rng.random() < 0.3 else low,
                                loud,
                            )
                        )
        else:
            notes.append((at, length * 0.95, low, loud))
        pitch = int(notes[-1][2]) if notes else pitch
    return _rows(notes)


def drum_pattern(style: Style, bars: list[Bar], rng: np.random.Generator) -> Rows:
    """A beat as hobby sequencers write it: swing, shuffle, rock, pop, bossa, dance, waltz, jig or hand drums."""
    meter = bars[0].meter
    three = meter[0] == 3 and meter[1] in (2, 4, 8)
    compound = meter[1] == 8 and meter[0] % 3 == 0 and meter[0] > 3
    manner = str(rng.choice(style.accompaniment.drums))
    hat = int(rng.choice((42, 42, 51, 44, 54)))
    kick16 = [i / 4 for i in range(1, 16) if i not in (4, 12) and rng.random() < 0.18]
    notes: list[tuple[float, float, float, float]] = []
    for number, bar in enumerate(bars):
        size = bar.quarters
        hits: list[tuple[float, int, float]] = []
        if manner == "sparse":  # an orchestra's: a stroke on some downbeats
            hits += (
                [(0.0, int(rng.choice((36, 49, 35, 57))), 80)] if number == 0 or rng.random() < 0.4 else []
            )
            hits += [(size - 0.5 + i / 8, 38, 60 + 5 * i) for i in range(4)] if rng.random() < 0.1 else []
        elif compound or (manner == "hand" and not three):
            unit = 0.5 if compound else 0.25
            skin = (45, 41) if manner == "hand" else (42, 36)
            for i in range(round(size / unit)):
                accent = i % (3 if compound else 4) == 0
                if accent or rng.random() < 0.7:
                    hits.append((i * unit, skin[1] if accent else skin[0], 95 if accent else 60))
            if manner != "hand":
                hits += [(b, 38, 95) for b in np.arange(1.5, size, 3.0)]
        elif three:
            ride = 51 if style.is_swung else 42
            hits += [(0, 36, 95), (1, 38 if ride == 42 else 44, 70), (2, 38 if ride == 42 else 44, 70)]
            hits += [(b, ride, 75) for b in np.arange(0, size, 1.0)]
            if ride == 51:
                hits += [(1 + 2 / 3, ride, 60)]
        elif manner in ("swing", "shuffle"):
            for b in np.arange(0, size, 1.0):
                hits.append((float(b), 51 if manner == "swing" else 42, 85))
                if manner == "shuffle" or int(b) % 2 == 1:
                    hits.append((float(b) + 2 / 3, 51 if manner == "swing" else 42, 65))
                if int(b) % 2 == 1:
                    hits.append((float(b), 44 if manner == "swing" else 38, 75 if manner == "swing" else 100))
                elif manner == "shuffle" or rng.random() < 0.5:
                    hits.append((float(b), 36, 60 if manner == "swing" else 95))
                if manner == "swing" and rng.random() < 0.22:
                    hits.append((float(b) + float(rng.choice((0.0, 2 / 3))), 38, 50))
        elif manner == "bossa":
            hits += [(b, 36, 75) for b in (0, 1.5, 2, 3.5) if b < size]
            hits += [(b, 37, 80) for b in ((0, 1.5, 3) if number % 2 == 0 else (1, 2.5)) if b < size]
            hits += [(float(b), 42, 55) for b in np.arange(0, size, 0.5)]
        elif manner == "march":
            hits += [(float(b), 36, 85) for b in np.arange(0, size, 2.0)]
            hits += [(float(b), 38, 75) for b in np.arange(1, size, 2.0)]
            hits += [(float(b), 38, 45) for b in np.arange(0.5, size, 1.0) if rng.random() < 0.4]
        else:
            step = 0.25 if manner == "pop" and rng.random() < 0.3 else 0.5
            hits += [(float(b), hat, 80 - 20 * (round(b / step) % 2)) for b in np.arange(0, size, step)]
            hits += [(float(b), 38, 105) for b in np.arange(1, size, 2.0)]
            if manner == "dance":
                hits += [(float(b), 36, 105) for b in np.arange(0, size, 1.0)]
            else:
                hits += [(0.0, 36, 105), *((k, 36, 95) for k in kick16 if k < size)]
                if size > 2:
                    hits.append((2.0, 36, 100))
            if number % 4 == 3 and rng.random() < 0.4:
                hits += [(size - 1 + i * 0.25, int(rng.choice((38, 45, 47, 50))), 95) for i in range(4)]
        notes += [(bar.start + at, 0.1, kind, loud) for at, kind, loud in hits]
    return _rows(notes)


def folded(pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pitches moved by octaves into 21..108."""
    pitch = np.where(pitch > 108, pitch - 12 * np.ceil((pitch - 108) / 12), pitch)
    result: NDArray[np.float64] = np.where(pitch < 21, pitch + 12 * np.ceil((21 - pitch) / 12), pitch)
    return result
