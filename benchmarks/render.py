"""How fast the renderers are, as multiples of FluidSynth's speed, all in one run.

    python benchmarks/render.py [--repeats 5] [score.mid]

Without a file: thirty seconds of four voices (melody, chords, bass, drums), 480 notes. ``cold`` has a new
renderer each time (soundfont opened, samples decoded), ``warm`` renders again with the same one. The median of
the repeats counts. Where FluidSynth's library is missing, only seconds and times real time are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from melodygen.contracts import Renderer
from melodygen.errors import RenderError
from melodygen.music.score import Score, Track, note_array
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.rendering.fluidsynth import FluidSynthRenderer
from melodygen.rendering.sampler import SamplerRenderer


def four_voices(bars: int = 15) -> Score:
    """A band of tenor saxophone, jazz guitar, bass and drums at 120 quarters a minute."""
    rng = np.random.default_rng(1)
    melody = [(i * 240, 220, int(rng.choice([60, 62, 64, 65, 67, 69, 71, 72])), 90) for i in range(bars * 8)]
    chords = [(i * 960, 720, p, 70) for i in range(bars * 2) for p in (52, 55, 59, 62)]
    bass = [(i * 480, 450, int(rng.choice([36, 40, 43, 45])), 90) for i in range(bars * 4)]
    drums = [(i * 240, 60, 42 if i % 2 else 51, 70) for i in range(bars * 8)]
    drums += [(i * 480, 60, 38 if i % 2 else 36, 90) for i in range(bars * 4)]
    parts = ((melody, 66, "melody"), (chords, 26, "chords"), (bass, 32, "bass"), (drums, 32, "drums"))
    return Score(
        tracks=tuple(Track(note_array(rows), program, role == "drums", role) for rows, program, role in parts)
    )


def seconds(make: Callable[[], Renderer], score: Score, quality: str, repeats: int, warm: bool) -> float:
    """Median seconds of one render."""
    renderer = make()
    renderer.render(score, quality=quality)  # imports, filters of the reverb, the file in the page cache
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        (renderer if warm else make()).render(score, quality=quality)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Render speed as a multiple of FluidSynth's.")
    parser.add_argument("score", nargs="?", type=Path, help="a MIDI file")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.score is None:
        score = four_voices()
    else:
        from melodygen.io.midi import read_midi

        score = read_midi(arguments.score)
    makers: dict[str, Callable[[], Renderer]] = {
        "fluidsynth": FluidSynthRenderer,
        "sampler": SamplerRenderer,
        "additive": AdditiveRenderer,
    }
    try:
        FluidSynthRenderer()
    except RenderError as error:
        print(error)
        del makers["fluidsynth"]
    print(f"{score.duration_seconds:.0f} s of music, {score.num_notes} notes, {len(score.tracks)} tracks")
    print(f"{'renderer':<12}{'quality':<9}{'':<6}{'seconds':>9}{'x real time':>13}{'x FluidSynth':>14}")
    for quality in ("draft", "full"):
        for warm in (False, True):
            base = None
            for name, make in makers.items():
                taken = seconds(make, score, quality, arguments.repeats, warm)
                base = taken if name == "fluidsynth" else base
                ratio = f"{base / taken:.1f}" if base is not None else "-"
                state = "warm" if warm else "cold"
                speed = score.duration_seconds / taken
                print(f"{name:<12}{quality:<9}{state:<6}{taken:>9.3f}{speed:>13.0f}{ratio:>14}")


if __name__ == "__main__":
    main()
