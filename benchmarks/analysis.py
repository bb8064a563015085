"""How well beats and chords are found: the figures of docs/hearing.md on renders of MIDI files.

    python benchmarks/analysis.py beats DIR --soundfont FILE [--half 1] [--every 10]
    python benchmarks/analysis.py chords DIR --soundfont FILE [--every 10]

``beats`` takes a minute from the middle of each file whose notes lie on the grid that is written and whose tempo holds;
compound beats count as one. Of the files that can be rendered, by name, every second one is of half 0, on which the
constants were fitted. ``chords`` takes 75 s of files with chord symbols.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.analysis.beats import Beats, load_beat_tracker
from melodygen.analysis.sound_chords import chord_spans, pitch_classes_of_sound
from melodygen.audio.beat_spectrum import SAMPLE_RATE
from melodygen.audio.features import Features, to_mono_at
from melodygen.classification.symbolic import read_symbolic, stretch
from melodygen.errors import MelodygenError
from melodygen.io.folder import music_files
from melodygen.music.harmony import CHORD_QUALITIES, parse_chord
from melodygen.music.score import Score
from melodygen.rendering.draft import render_draft
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.services.analyze import beats_of_score

Floats = NDArray[np.float64]
NEAR_SECONDS = 0.07
OCTAVES = (1 / 3, 0.5, 1, 2, 3)
ON_GRID, STEADY = 0.8, 0.9
LEFT_OUT = "jazz_168959f5"
"""It could not be rendered when the halves were dealt; with it every file behind it would change sides."""


@dataclass(frozen=True, eq=False)
class Truth:
    beats: Floats
    downbeats: Floats
    meter: tuple[int, int]
    mono: Features


def scores(folder: Path) -> Iterator[Score]:
    for path in sorted(music_files(folder, recursive=True), key=lambda p: p.stem):
        if path.stem == LEFT_OUT:
            continue
        try:
            yield read_symbolic(path)
        except MelodygenError:
            continue


def renderable(folder: Path) -> Iterator[Score]:
    for score in scores(folder):
        if score.duration_seconds >= 30:
            yield score


def truths(folder: Path, half: int, every: int, renderer: SamplerRenderer) -> Iterator[Truth]:
    for score in islice(renderable(folder), half, None, 2 * every):
        ticks, places, _ = beats_of_score(score)
        seconds = np.array([score.tick_to_seconds(t) for t in ticks])
        first = max(0.0, (score.duration_seconds - 60.0) / 2)
        kept = (seconds >= first) & (seconds < first + 60.0)
        beats = seconds[kept] - first
        heard = np.array(ticks)[kept]
        if len(beats) < 16 or on_grid(score, int(heard[0]), int(heard[-1])) < ON_GRID:
            continue
        periods = np.diff(beats)
        if (np.abs(periods / np.median(periods) - 1) < 0.04).mean() <= STEADY:
            continue
        meter = score.time_signature_at(int(heard[0]))
        mono = to_mono_at(render_draft(stretch(score), renderer), SAMPLE_RATE)
        down = beats[np.array(places)[kept] == 0]
        yield Truth(beats, down, (meter.numerator, meter.denominator), mono)


def on_grid(score: Score, first_tick: int, last_tick: int) -> float:
    """Share of the notes between two ticks that lie within a 25th of a quarter of a sixteenth or a triplet."""
    onset = np.concatenate([t.notes["onset_tick"] for t in score.tracks])
    onset = onset[(onset >= first_tick) & (onset <= last_tick)]
    phase = onset % score.ticks_per_quarter / score.ticks_per_quarter
    grid = np.concatenate((np.arange(5) / 4, np.arange(4) / 3))
    return float((np.abs(phase[:, None] - grid).min(axis=1) < 0.04).mean())


def f_measure(found: Floats, true: Floats) -> float:
    """Of events within 70 ms, each used once."""
    free = np.ones(len(found), dtype=bool)
    hits = 0
    for event in true:
        near = np.flatnonzero((np.abs(found - event) <= NEAR_SECONDS) & free)
        if len(near):
            free[near[np.abs(found[near] - event).argmin()]] = False
            hits += 1
    return 2 * hits / max(1, len(found) + len(true))


def tempo_hits(qpm: float, true: float) -> tuple[float, float]:
    """Whether a tempo is within 4 %, and whether it is up to octaves and triplets."""
    return float(abs(qpm / true - 1) <= 0.04), float(any(abs(qpm / (true * f) - 1) <= 0.04 for f in OCTAVES))


def beats(folder: Path, half: int, every: int, renderer: SamplerRenderer) -> None:
    import librosa

    tracker = load_beat_tracker()
    rows, meters = [], []
    for truth in truths(folder, half, every, renderer):
        heard = tracker.track(truth.mono, SAMPLE_RATE)
        tempo, theirs = librosa.beat.beat_track(y=truth.mono, sr=SAMPLE_RATE, units="time")
        true = Beats(truth.beats, np.zeros(len(truth.beats), dtype=np.int64), truth.meter).qpm
        ours = (0.0,) * 4
        if heard is not None:
            ours = (
                *tempo_hits(heard.qpm, true), f_measure(heard.seconds, truth.beats),
                f_measure(heard.downbeats, truth.downbeats),
            )  # fmt: skip
            if truth.meter in ((3, 4), (4, 4)):
                meters.append(heard.meter == truth.meter)
        rows.append(
            (*ours, *tempo_hits(float(np.atleast_1d(tempo)[0]), true), f_measure(theirs, truth.beats))
        )
    means = np.mean(rows, axis=0)
    print(f"{len(rows)} renders; tempo exact, up to octaves, beats F, downbeats F")
    print("ours   ", " ".join(f"{v:.3f}" for v in means[:4]), f"meter {np.mean(meters):.3f} of {len(meters)}")
    print("librosa", " ".join(f"{v:.3f}" for v in means[4:]))


def reading(label: str) -> tuple[int, bool | None] | None:
    """Root, and whether the chord is minor; None for no chord, and for a chord without a third."""
    parsed = parse_chord(label)
    if parsed is None:
        return None
    tones = CHORD_QUALITIES[parsed[1]]
    return parsed[0], None if not {3, 4} & set(tones) else 3 in tones and 4 not in tones


def chords(folder: Path, every: int, renderer: SamplerRenderer) -> None:
    tracker = load_beat_tracker()
    rows = []
    for score in islice(scores(folder), 0, None, every):
        if not score.chords:
            continue
        cut = shortened(score, 75.0)
        mono = to_mono_at(render_draft(cut, renderer), SAMPLE_RATE)
        heard = tracker.track(mono, SAMPLE_RATE)
        if heard is None:
            continue
        edges = np.append(heard.seconds, len(mono) / SAMPLE_RATE)
        spans = chord_spans(edges, *pitch_classes_of_sound(mono, SAMPLE_RATE, edges), None, "major")
        times = np.arange(0, cut.duration_seconds, 0.1)
        said = [reading(spans[i].label) for i in at([s.start_seconds for s in spans], times)]
        starts = [score.tick_to_seconds(c.tick) for c in score.chords]
        true = [reading(score.chords[i].label) for i in at(starts, times)]
        roots = [s is not None and s[0] == t[0] for s, t in zip(said, true, strict=True) if t is not None]
        thirds = [s == t for s, t in zip(said, true, strict=True) if t is not None and t[1] is not None]
        if roots and thirds:
            rows.append((np.mean(roots), np.mean(thirds)))
    print(f"{len(rows)} renders; root, root with major or minor:", np.mean(rows, axis=0).round(3))


def at(starts: list[float], times: Floats) -> list[int]:
    return list(np.maximum(0, np.searchsorted(starts, times, side="right") - 1))


def shortened(score: Score, seconds: float) -> Score:
    end = next((t for t in score.bar_ticks() if score.tick_to_seconds(t) > seconds), score.end_tick)
    kept = [replace(t, notes=t.notes[t.notes["onset_tick"] < end]) for t in score.tracks]
    return replace(score, tracks=tuple(t for t in kept if len(t)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("beats", "chords"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--soundfont", type=Path)
    parser.add_argument("--half", type=int, choices=(0, 1), default=1)
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    renderer = SamplerRenderer(given.soundfont) if given.soundfont else SamplerRenderer()
    if given.what == "beats":
        beats(given.folder, given.half, given.every, renderer)
    else:
        chords(given.folder, given.every, renderer)


if __name__ == "__main__":
    main()
