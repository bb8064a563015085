"""Keep beside a classifier what it makes of the corpus's validation titles, so that it can be taught new styles.

    python scripts/keep_exemplars.py CORPUS [--classifier models/style-cnn] [--windows 150]

To be run again whenever the classifier's weights change: exemplars of other weights are not used. Some two minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from melodygen.classification.cnn import CnnClassifier
from melodygen.data.scan import find_files
from melodygen.rendering.default import load_renderer
from melodygen.training.classifier.exemplars import EXEMPLARS, hear_files, joined, save_exemplars


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--classifier", type=Path, default=Path("models/style-cnn"))
    parser.add_argument("--windows", type=int, default=150, help="of each style")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    judge, sound = CnnClassifier.from_folder(arguments.classifier), load_renderer()
    files = [f for f in find_files(arguments.corpus) if f.split == "valid" and f.kind == "piece"]
    parts = []
    for label, style in enumerate(judge.labels):
        own = [f for f in files if f.style == style]
        parts.append(hear_files(judge, sound, own, label, arguments.windows))
        print(f"{style}: {len(parts[-1])} windows of {len(set(parts[-1].piece.tolist()))} pieces", flush=True)
    save_exemplars(arguments.classifier, joined(parts))
    print(arguments.classifier / EXEMPLARS)


if __name__ == "__main__":
    main()
