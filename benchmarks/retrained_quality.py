"""What a model that was trained on a folder writes, heard by its own CNN and by a second judge that never met either.

    python benchmarks/retrained_quality.py FOLDER --model models/mine --corpus CORPUS [--pieces 32] [--out figures.json]

For each style of FOLDER: the share of its held-out pieces, and of what the model writes when asked for the style
(nothing chosen), that each judge gives to that style among all of the model's. Both get 16 bars, in the style's own
instruments and tempo. The second judge (``melodygen.evaluation.note_classifier``) learns from the training titles of
FOLDER and of CORPUS, files that are in both left out of the latter.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from melodygen.audio.buffer import Audio
from melodygen.contracts import Renderer, StyleClassifier
from melodygen.data.scan import SourceFile, find_files, load_columns
from melodygen.errors import MelodygenError
from melodygen.evaluation.note_classifier import NoteStatisticsClassifier, windows
from melodygen.generation.neural import NeuralGenerator
from melodygen.music.score import Score
from melodygen.request import Request
from melodygen.services import models as services
from melodygen.styles.style import Style
from melodygen.tokens.columns import Columns, quantise
from melodygen.tokens.grid import columns_to_piece, piece_to_score

Piece = tuple[Columns, SourceFile, str]


def read(files: Sequence[SourceFile], most: int, seed: int) -> list[Piece]:
    """Up to ``most`` of each style and split, the ones that can be read."""
    found: list[Piece] = []
    count: Counter[tuple[str, str]] = Counter()
    for index in np.random.default_rng(seed).permutation(len(files)).tolist():
        file = files[index]
        if file.kind != "piece" or count[file.style, file.split] >= most:
            continue
        try:
            _, table, info = load_columns(file)
        except MelodygenError:
            continue
        found.append((table, file, info.sha))
        count[file.style, file.split] += 1
    return found


def as_played(table: Columns, style: Style) -> Score:
    """Its first 16 bars, tempo and instruments the style's own."""
    first = replace(next(windows(table)), qpm=style.qpm)
    return piece_to_score(columns_to_piece(first), dict(style.programs))


def hear(scores: Sequence[Score], sound: Renderer, cnn: StyleClassifier) -> list[str]:
    audio: list[Audio] = [sound.render(score, 22_050, "draft") for score in scores]
    return [cnn.labels[int(np.argmax(found.probabilities))] for found in cnn.classify(audio)]


def share(names: Sequence[str], style: str) -> float:
    return round(names.count(style) / max(1, len(names)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--classifier", help="in place of the one in the model's folder")
    parser.add_argument("--pieces", type=int, default=32, help="written, and held out, of each style")
    parser.add_argument(
        "--most", type=int, default=150, help="pieces of a style that the second judge learns from"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    generator = services.load_generator(arguments.model)
    assert isinstance(generator, NeuralGenerator)
    cnn = services.load_classifier(arguments.classifier or services.classifier_of(arguments.model))
    sound = services.load_renderer()

    # the folder's own split where it has none: titles, as training splits them
    own = read(find_files(arguments.folder), arguments.most, arguments.seed)
    new = sorted({file.style for _, file, _ in own})
    shas = {sha for _, _, sha in own}
    known = [f for f in find_files(arguments.corpus) if f.style in generator.styles and f.style not in new]
    others = [p for p in read(known, arguments.most, arguments.seed) if p[2] not in shas]
    train = [p for p in own + others if p[1].split == "train"]
    kept = [p for p in own + others if p[1].split != "train"]
    judge = NoteStatisticsClassifier([t for t, _, _ in train], [f.style for _, f, _ in train], arguments.seed)
    right = [judge.name(t) == f.style for t, f, _ in kept]
    told: dict[str, object] = {
        "second judge": {
            "labels": judge.labels, "pieces": len(train), "right on held-out pieces": round(float(np.mean(right)), 3),
        },
        "cnn": {"labels": list(cnn.labels), "id": cnn.classifier_id},
    }  # fmt: skip
    for name in new:
        style = generator.style_info[name]
        held = [t for t, f, _ in kept if f.style == name][: arguments.pieces]
        asked = Request(name, 16, qpm=style.qpm, meter=style.meter, tracks=style.tracks)
        if arguments.temperature is not None:
            asked = replace(asked, temperature=arguments.temperature)
        written: list[Score] = []
        for at in range(0, arguments.pieces, 8):
            seeds = list(
                range(arguments.seed * 1000 + at, arguments.seed * 1000 + min(at + 8, arguments.pieces))
            )
            written += [d.score for d in generator.generate(asked, seeds)]
        heard, seen = hear(written, sound, cnn), [judge.name(quantise(s)) for s in written]
        real = hear([as_played(t, style) for t in held], sound, cnn)
        told[name] = {
            "held out": len(held), "cnn, held out": share(real, name),
            "second judge, held out": share([judge.name(t) for t in held], name),
            "written": len(written), "cnn, written": share(heard, name), "second judge, written": share(seen, name),
            "cnn hears": dict(Counter(heard).most_common()), "second judge says": dict(Counter(seen).most_common()),
        }  # fmt: skip
        print(name, json.dumps(told[name]), flush=True)
    print(json.dumps(told, indent=1))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
