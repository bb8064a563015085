"""Fit how people play in time: writes src/melodygen/generation/timing.json.

    python recipes/fit_timing.py CORPUS

Sources that somebody played: drum takes (Groove MIDI Dataset) and the melody, piano and bass of POP909, of the split
``train``; the fit is compared with ``valid``. Of each part the deviations of its onsets from sixteenths or triplets,
whichever lies nearer, in milliseconds: their mean on beats, half beats and elsewhere, and what is left as a drift with
memory from onset to onset and a spread among notes struck together (the median of the parts). Of the loudness what is
left beside the levels that tokens can say.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.data.scan import find_files, load_columns
from melodygen.errors import MelodygenError
from melodygen.generation.timing import PLACES, place_of
from melodygen.io.midi import read_midi
from melodygen.music.score import Score, Track
from melodygen.tokens.vocabulary import DRUM_VELOCITIES, DRUM_VELOCITY_INDEX, VELOCITIES, VELOCITY_INDEX

Floats = NDArray[np.float64]
SOURCES = {"drums": "groove", "melody": "pop909", "chords": "pop909", "bass": "pop909", "other": "pop909"}
DIVISIONS = (4, 3)
LEAST_NOTES, LEAST_DEVIATION = 32, 1.0
"""A part with fewer notes tells little; one whose onsets deviate by less than so many ms was not played."""
LEAST_LEVELS = 8
"""Different velocities: a part with fewer was not played."""
FARTHEST_MS = 70.0
"""What lies farther off is another place, or an ornament."""
OUT = Path(__file__).resolve().parent.parent / "src/melodygen/generation/timing.json"


@dataclass
class Played:
    """Deviations of many parts: of onsets (place, ms) part by part, of single notes from their onset, of loudness."""

    parts: list[tuple[NDArray[np.int64], Floats]] = field(default_factory=list)
    spread: list[Floats] = field(default_factory=list)
    loudness: list[Floats] = field(default_factory=list)


def _off(at: Floats, division: int) -> Floats:
    return np.asarray(at - np.rint(at * division) / division)


def deviations(track: Track, score: Score) -> tuple[Floats, Floats] | None:
    """Grid place in quarters and deviation in ms of each note; None for a part that was not played."""
    at = track.notes["onset_tick"] / score.ticks_per_quarter
    early = min(
        np.linspace(-0.1, 0.1, 41), key=lambda s: min(np.abs(_off(at - s, d)).mean() for d in DIVISIONS)
    )
    at = at - early  # the whole take may lie before or behind the grid
    grids = [at - _off(at, d) for d in DIVISIONS]
    grid = min(grids, key=lambda g: float(np.abs(at - g).mean()))
    ms = (at - grid) * 60_000 / score.qpm
    if len(at) < LEAST_NOTES or np.abs(ms).mean() < LEAST_DEVIATION:
        return None
    return grid, ms


def collect(corpus: Path, split: str, most: int) -> dict[str, Played]:
    """Of each role what was played in up to ``most`` files of its source."""
    found = {role: Played() for role in SOURCES}
    files = [f for f in find_files(corpus) if f.split == split]
    for collection, kind in (("drums/", "drums"), ("pop909/", "piece")):
        own = [f for f in files if f.kind == kind and collection in f.name]
        for file in own[:: max(1, len(own) // most)]:
            try:
                # reading for training puts drum takes on the grid
                score = read_midi(file.path) if kind == "drums" else load_columns(file)[0]
            except MelodygenError:
                continue
            for track in score.tracks:
                role = "drums" if track.is_drum else track.role
                if (role == "drums") == (kind == "drums") and role in found:
                    _add(found[role], track, score)
    return found


def _add(played: Played, track: Track, score: Score) -> None:
    both = deviations(track, score)
    if both is None:
        return
    grid, ms = both
    near = np.abs(ms) <= FARTHEST_MS
    grid, ms, notes = grid[near], ms[near], track.notes[near]
    times, first = np.unique(grid, return_inverse=True)
    count = np.bincount(first)
    mean = np.bincount(first, ms) / count
    played.parts.append((place_of(times), mean - np.median(mean)))
    together = count[first] > 1
    apart = (ms - mean[first])[together]
    if len(apart):  # the middle of them: notes of two strokes that fell on one place are none
        played.spread.append(np.array([float(np.quantile(np.abs(apart), 0.68))]))
    loud, levels = notes["velocity"].astype(np.int64), np.array(VELOCITIES)[np.array(VELOCITY_INDEX)]
    if track.is_drum:
        levels = np.array(DRUM_VELOCITIES)[np.array(DRUM_VELOCITY_INDEX)]
    if len(np.unique(loud)) >= LEAST_LEVELS:
        played.loudness.append(np.bincount(first, loud - levels[loud]) / count)


def fit(played: Played) -> dict[str, object]:
    """Means by place, drift and its memory, spread, and of drums the loudness."""
    place = np.concatenate([p for p, _ in played.parts])
    ms = np.concatenate([m for _, m in played.parts])
    means = [float(ms[place == index].mean()) for index in range(len(PLACES))]
    rests = [m - np.array(means)[p] for p, m in played.parts]
    left, here, after = (
        np.concatenate(rows) for rows in (rests, [r[:-1] for r in rests], [r[1:] for r in rests])
    )
    spread = np.concatenate(played.spread) if played.spread else np.zeros(1)
    record: dict[str, object] = {
        "means": [round(m, 2) for m in means], "drift": round(float(left.std()), 2),
        "memory": round(max(0.0, float(np.corrcoef(here, after)[0, 1])), 3),
        "spread": round(float(np.median(spread)), 2),
        "parts": len(played.parts), "onsets": len(ms),
    }  # fmt: skip
    loud = [rest - rest.mean() for rest in played.loudness]
    here, after = (np.concatenate(rows) for rows in ([r[:-1] for r in loud], [r[1:] for r in loud]))
    record["loudness"] = round(float(np.concatenate(loud).std()), 2)
    record["loudness_memory"] = round(max(0.0, float(np.corrcoef(here, after)[0, 1])), 3)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--most", type=int, default=150, help="files a source")
    asked = parser.parse_args()
    train, valid = (collect(asked.corpus, split, asked.most) for split in ("train", "valid"))
    roles = {}
    for role in SOURCES:
        if not train[role].parts:
            print(f"{role}: no part that was played")
            continue
        roles[role] = fit(train[role])
        print(role, json.dumps(roles[role]))
        if valid[role].parts:
            print(f"{role} of valid", json.dumps(fit(valid[role])))
    OUT.write_text(json.dumps({"places": list(PLACES), "sources": SOURCES, "roles": roles}, indent=1) + "\n")


if __name__ == "__main__":
    main()
