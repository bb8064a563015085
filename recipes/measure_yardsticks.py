"""Measure human music as the yardsticks of ``melodygen evaluate generator``: quartiles of its figures by style.

    python recipes/measure_yardsticks.py FOLDER [FOLDER ...]

Each folder is read as a reference is (sub-folders named by style; of a manifest with splits the files kept for
validation), in windows of 16 bars. Where several folders hold a style, the last one counts: full bands from elsewhere
say more about a band than a corpus of soloists. Writes ``src/melodygen/evaluation/yardsticks.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from melodygen.evaluation.band import YARDSTICK_BARS, band_figures, medians
from melodygen.evaluation.generator import read_reference
from melodygen.evaluation.tables import write_json

LINE_ALONE = ("jazz", "blues")
"""Of these the corpus holds soloists; its bass and chords were estimated from chord symbols by a program."""
LINE = ("top line repeats", "top line on beat", "tune returns", "repeats, melody")
OUT = Path(__file__).parent.parent / "src" / "melodygen" / "evaluation" / "yardsticks.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    styles = {}
    for folder in parser.parse_args().folders:
        found, failed = read_reference(folder, YARDSTICK_BARS)
        print(f"{folder.name}: {len(failed)} files could not be used")
        for style, pieces in sorted(found.items()):
            figures = medians([band_figures(p) for p in pieces])
            if (folder / "manifest.csv").is_file() and style in LINE_ALONE:
                figures = {name: figures[name] for name in LINE}
            styles[style] = {
                "from": folder.name,
                "windows": len(pieces),
                "figures": {name: [round(q, 4) for q in quartiles] for name, quartiles in figures.items()},
            }
            print(f"{style}: {len(pieces)} windows")
    write_json(OUT, {"bars": YARDSTICK_BARS, "styles": styles})


if __name__ == "__main__":
    main()
