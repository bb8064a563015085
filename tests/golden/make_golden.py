"""Write the golden files beside this script: tokens.json, tune.mid and drawn_examples.json.

Run it only after a change of the token vocabulary, of the MIDI writer or of the training examples that is meant, and
say why in the commit:

    python tests/golden/make_golden.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "support"))

from drawn_examples import example_hashes, view_hashes  # noqa: E402
from pieces import tune  # noqa: E402

from melodygen.io.midi import write_midi  # noqa: E402
from melodygen.music.score import Score  # noqa: E402
from melodygen.tokens.codec import Header, encode  # noqa: E402
from melodygen.tokens.grid import Piece, piece_to_score, score_to_piece  # noqa: E402
from melodygen.tokens.vocabulary import METERS, VOCABULARY  # noqa: E402

HEADER = Header(
    3, (4, 4), 10, (0, "major"), 4, True, True, ("chordline", "melody", "chords", "bass", "drums")
)
TEXTS = ("golden",)


def golden_piece() -> Piece:
    """Four bars, the third in 3/4."""
    four = score_to_piece(tune(4, (4, 4), ("melody", "chords", "bass", "drums")))
    three = score_to_piece(tune(4, (3, 4), ("melody", "chords", "bass", "drums")))
    return Piece((*four.bars[:2], three.bars[2], four.bars[3]), four.qpm, four.key)


def golden_score() -> Score:
    return piece_to_score(golden_piece(), {"melody": 73, "chords": 0, "bass": 32}, title="golden")


def main() -> None:
    names = [VOCABULARY.name(i) for i in range(VOCABULARY.size)]
    record = {
        "vocabulary_id": VOCABULARY.vocabulary_id,
        "meters": len(METERS),
        "plain": [VOCABULARY.name(t) for t in encode(golden_piece(), HEADER)],
        "fill": [VOCABULARY.name(t) for t in encode(golden_piece(), HEADER, (1, 2))],
        "names": names,
    }
    (HERE / "tokens.json").write_text(json.dumps(record, indent=0) + "\n")
    drawn = {**example_hashes(), **view_hashes()}
    (HERE / "drawn_examples.json").write_text(json.dumps(drawn, indent=1) + "\n")
    write_midi(HERE / "tune.mid", golden_score(), TEXTS, overwrite=True)


if __name__ == "__main__":
    main()
