"""How well the tempo of sound is told where it is known: game music and recordings, beside librosa.

    python benchmarks/tempo.py modules DIR OUT      render tracker modules below DIR; OUT/tempo.csv
    python benchmarks/tempo.py projects DIR OUT     the same of LMMS projects, whose makers state a tempo (needs lmms)
    python benchmarks/tempo.py songs DIR OUT        songs with the notes.mid of a rhythm game beside song.ogg
    python benchmarks/tempo.py measure CSV …        tempo exact and up to octaves, ours and librosa's

CSV has the columns path, kind and qpm. A module states the length of its rows; four rows are a beat, as trackers have
it, or eight (sixteen) where a beat would be shorter than at 200 a minute. Modules whose beat would be at 178 to 200 are
left out, because either reading is usual, and so are those whose rows change their length. Debian packages many games
with modules (heroes-sound-tracks, tecnoballz-data, rafkill-data …), lmms-common and fretsonfire-songs-*.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import os
import re
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf
from analysis import tempo_hits

from melodygen.analysis.rhythm import read_rhythm
from melodygen.audio.decode import read_mono

RATE = 44_100
HEARD_RATE = 16_000
MINUTE = 60.0
SLOW_ROWS_QPM, AMBIGUOUS_QPM = 200.0, 178.0
STEADY = 0.9
MODULES = (".mod", ".xm", ".it", ".s3m")
Row = tuple[Path, str, float]


def modules(folder: Path, out: Path) -> Iterator[Row]:
    """Needs libopenmpt."""
    library = ctypes.CDLL("libopenmpt.so.0")
    library.openmpt_module_create_from_memory2.restype = ctypes.c_void_p
    library.openmpt_module_read_float_mono.restype = ctypes.c_size_t
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in MODULES):
        data = path.read_bytes()
        made = library.openmpt_module_create_from_memory2(data, ctypes.c_size_t(len(data)), *[None] * 7)
        if not made:
            continue
        module = ctypes.c_void_p(made)
        block = np.zeros(RATE // 20, dtype=np.float32)
        parts: list[np.ndarray] = []
        paces: list[float] = []
        while len(parts) < 20 * 150:
            size = ctypes.c_size_t(len(block))
            count = library.openmpt_module_read_float_mono(
                module, RATE, size, block.ctypes.data_as(ctypes.c_void_p)
            )
            if not count:
                break
            parts.append(block[:count].copy())
            speed = library.openmpt_module_get_current_speed(module)
            paces.append(library.openmpt_module_get_current_tempo(module) * 6 / max(1, speed))
        found, times = np.unique(paces, return_counts=True)
        qpm = float(found[times.argmax()])
        while qpm > SLOW_ROWS_QPM:
            qpm /= 2
        if times.max() >= STEADY * times.sum() and qpm < AMBIGUOUS_QPM:
            target = out / f"{path.parts[len(folder.parts)]}_{path.stem}.wav"
            sf.write(target, np.concatenate(parts), RATE)
            yield target, "modules", qpm


def projects(folder: Path, out: Path) -> Iterator[Row]:
    for path in sorted(folder.rglob("*.mmp*")):
        data = path.read_bytes()
        text = (zlib.decompress(data[4:]) if path.suffix == ".mmpz" else data).decode("utf-8", "replace")
        stated = re.search(r'<head[^>]*\bbpm="(\d+)"', text)
        if stated is None:
            continue
        target = out / f"{path.stem}.wav"
        command = ["lmms", "--allowroot", "render", str(path), "-o", str(target), "-f", "wav"]
        subprocess.run(
            command, check=False, env=os.environ | {"QT_QPA_PLATFORM": "offscreen"}, capture_output=True
        )
        if target.is_file():
            yield target, "projects", float(stated.group(1))


def songs(folder: Path, out: Path) -> Iterator[Row]:
    """Both halves of each song whose tempo holds."""
    import mido

    for path in sorted(folder.rglob("notes.mid")):
        tempi = [
            mido.tempo2bpm(m.tempo) for t in mido.MidiFile(path).tracks for m in t if m.type == "set_tempo"
        ]
        parts = [sf.read(path.parent / f"{name}.ogg", always_2d=True) for name in ("song", "guitar")]
        length = min(len(sound) for sound, _ in parts) // 2
        if max(tempi) / min(tempi) > 1.01:
            continue
        for half in range(2):
            target = out / f"{path.parent.name}_{half}.wav"
            mix = sum(sound[half * length : (half + 1) * length].mean(axis=1) for sound, _ in parts)
            sf.write(target, 0.5 * mix, parts[0][1])
            yield target, "songs", float(np.median(tempi))


def measure(tables: list[Path]) -> None:
    import librosa

    hits: dict[str, list[tuple[float, ...]]] = {}
    for table in tables:
        with table.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        for row in rows:
            mono = read_mono(table.parent / row["path"], HEARD_RATE)
            first = max(0, (len(mono) - round(MINUTE * HEARD_RATE)) // 2)
            mono = mono[first : first + round(MINUTE * HEARD_RATE)]
            ours = read_rhythm(mono, HEARD_RATE).qpm or 0.0
            sound = librosa.resample(mono, orig_sr=HEARD_RATE, target_sr=22_050)
            theirs = float(np.atleast_1d(librosa.beat.beat_track(y=sound)[0])[0])
            both = (*tempo_hits(ours, float(row["qpm"])), *tempo_hits(theirs, float(row["qpm"])))
            hits.setdefault(row["kind"], []).append(both)
    hits["all"] = [row for rows in hits.values() for row in rows]
    print("tempo exact and up to octaves, ours; librosa's")
    for kind, rows in hits.items():
        print(f"{kind:<12} {len(rows):4}", " ".join(f"{v:.3f}" for v in np.mean(rows, axis=0)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("modules", "projects", "songs", "measure"))
    parser.add_argument("paths", type=Path, nargs="+")
    given = parser.parse_args()
    if given.what == "measure":
        measure(given.paths)
        return
    folder, out = given.paths
    out.mkdir(parents=True, exist_ok=True)
    make = {"modules": modules, "projects": projects, "songs": songs}[given.what]
    with (out / "tempo.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(("path", "kind", "qpm"))
        for path, kind, qpm in make(folder, out):
            table.writerow((path.name, kind, round(qpm, 2)))


if __name__ == "__main__":
    main()
