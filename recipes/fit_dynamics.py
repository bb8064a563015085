"""Fit the loudness of parts to performed music: writes src/melodygen/generation/dynamics.json.

    python recipes/fit_dynamics.py CORPUS

Sources with loudness that somebody played: melodies of jazz solos (Weimar Jazz Database, measured loudness) and the
melody, piano and bass of POP909, of the split ``train``; the fit is judged on ``valid``. Ridge regression of a note's
velocity, less the part's mean, on ``dynamics.FEATURES``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.data.scan import find_files, load_columns
from melodygen.errors import MelodygenError
from melodygen.generation.dynamics import FEATURES, features

COLLECTIONS = {
    "melody": ("weimar", "pop909"),
    "chords": ("pop909",),
    "bass": ("pop909",),
    "other": ("pop909",),
}
LEAST_LEVELS = 8
"""Different velocities: a part with fewer was not played."""
PENALTY = 50.0
OUT = Path(__file__).resolve().parent.parent / "src/melodygen/generation/dynamics.json"

Floats = NDArray[np.float64]


def parts(corpus: Path, split: str, most: int) -> dict[str, list[tuple[Floats, Floats, NDArray[np.int64]]]]:
    """Of each role: features, velocities less their mean, and onset numbers of each part."""
    found: dict[str, list[tuple[Floats, Floats, NDArray[np.int64]]]] = {role: [] for role in COLLECTIONS}
    files = [f for f in find_files(corpus) if f.split == split and f.kind == "piece"]
    for collection in ("weimar", "pop909"):
        for file in [f for f in files if f"/{collection}/" in f.name][:most]:
            try:
                score, _, _ = load_columns(file)
            except MelodygenError:
                continue
            for track in score.tracks:
                if (
                    collection not in COLLECTIONS.get(track.role, ())
                    or len(np.unique(track.notes["velocity"])) < LEAST_LEVELS
                ):
                    continue
                rows = features(track.notes, score.ticks_per_quarter, score.bar_ticks())
                loud = track.notes["velocity"].astype(np.float64)
                _, onset = np.unique(track.notes["onset_tick"], return_inverse=True)
                found[track.role].append((rows - rows.mean(axis=0), loud - loud.mean(), onset))
    return found


def fit(train: list[tuple[Floats, Floats, NDArray[np.int64]]]) -> tuple[Floats, float, float]:
    """Weights, standard deviation of the residual of an onset, and its correlation from one onset to the next."""
    rows, loud = np.concatenate([t[0] for t in train]), np.concatenate([t[1] for t in train])
    weights = np.linalg.solve(rows.T @ rows + PENALTY * np.eye(rows.shape[1]), rows.T @ loud)
    left, here, following = [], [], []
    for own, velocity, onset in train:
        rest = np.bincount(onset, velocity - own @ weights) / np.bincount(onset)
        left.append(rest)
        here.append(rest[:-1])
        following.append(rest[1:])
    memory = float(np.corrcoef(np.concatenate(here), np.concatenate(following))[0, 1])
    return weights, float(np.concatenate(left).std()), max(0.0, memory)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--most", type=int, default=400, help="files a collection")
    asked = parser.parse_args()
    train, valid = parts(asked.corpus, "train", asked.most), parts(asked.corpus, "valid", asked.most)
    roles = {}
    for role in COLLECTIONS:
        if not train[role] or not valid[role]:
            print(f"{role}: no part with loudness", file=sys.stderr)
            continue
        weights, drift, memory = fit(train[role])
        rows, loud = (np.concatenate([v[i] for v in valid[role]]) for i in (0, 1))
        explained = 1 - float(((loud - rows @ weights) ** 2).sum() / (loud**2).sum())
        roles[role] = {
            "weights": [round(float(w), 3) for w in weights], "drift": round(drift, 2), "memory": round(memory, 3),
            "parts": len(train[role]), "notes": int(sum(len(t[1]) for t in train[role])),
            "explained_on_valid": round(explained, 3),
        }  # fmt: skip
        print(role, json.dumps(roles[role]))
    record = {
        "features": list(FEATURES),
        "sources": {k: list(v) for k, v in COLLECTIONS.items()},
        "roles": roles,
    }
    OUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
