"""Write the quartiles of the band figures in the corpus, by style: src/melodygen/evaluation/human_bands.json.

python scripts/measure_human_bands.py CORPUS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from melodygen.data.scan import find_files
from melodygen.evaluation import band
from melodygen.training.preference.candidates import OTHER_BAND, TUNED_BAND
from melodygen.training.preference.human_music import read_human_music

BARS, SEED = 8, 1
LINE_ALONE = ("jazz", "blues", "folk")
"""The corpus has the tunes of these from people; bass and chords are played from chord symbols by a program."""
LINE = ("top line repeats", "top line on beat", "tune returns", "repeats, melody")


def main() -> None:
    corpus = Path(sys.argv[1])
    styles = sorted({f.style for f in find_files(corpus, None) if f.kind != "drums"})
    music = read_human_music(corpus, styles[0], BARS, SEED)
    table = {
        style: {
            name: [round(q, 3) for q in quartiles]
            for name, quartiles in band.medians([band.band_figures(p) for p in music.pieces[style]]).items()
            if (name in LINE if style in LINE_ALONE else name in TUNED_BAND + OTHER_BAND)
        }
        for style in styles
    }
    out = Path(band.__file__).parent / "human_bands.json"
    rows = [f' "{style}": {json.dumps(figures)}' for style, figures in table.items()]
    out.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
