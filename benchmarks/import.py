"""How fast a folder comes in: files a second beside reading the same files with pretty_midi, alternating, one process.

    python benchmarks/import.py FOLDER [--files 300] [--rounds 3]

Seconds are the process's own CPU time, so that other work on the machine does not count. ``read`` is file -> Score;
``take in`` is all that training needs: roles, bars, chords, tokens, fingerprint.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pretty_midi

from melodygen.data.census import summarise_file
from melodygen.data.scan import SourceFile, find_files
from melodygen.errors import MelodygenError
from melodygen.io.midi import read_midi


def seconds(work: Callable[[SourceFile], object], files: list[SourceFile]) -> float:
    begun = time.process_time()
    for file in files:
        work(file)
    return time.process_time() - begun


def ours(file: SourceFile) -> None:
    with suppress(MelodygenError):
        read_midi(file.path)


def theirs(file: SourceFile) -> None:
    with suppress(Exception):  # it raises whatever its parser does
        pretty_midi.PrettyMIDI(str(file.path))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = [f for f in find_files(arguments.folder) if f.path.suffix.lower() in (".mid", ".midi")]
    files = found[:: max(1, len(found) // arguments.files)][: arguments.files]
    works = {"read": ours, "take in": summarise_file, "pretty_midi": theirs}
    for work in works.values():
        seconds(work, files[:5])  # imports and tables
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(arguments.rounds):
        for name, work in works.items():
            spent[name].append(seconds(work, files))
    rate = {name: len(files) / float(np.median(s)) for name, s in spent.items()}
    ratios = {
        name: round(float(np.median(np.array(spent["pretty_midi"]) / np.array(spent[name]))), 2)
        for name in ("read", "take in")
    }
    told = {
        "files": len(files),
        "files_a_second": {k: round(v, 1) for k, v in rate.items()},
        "over_pretty_midi": ratios,
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
