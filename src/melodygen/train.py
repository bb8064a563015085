"""``python -m melodygen.train`` is ``melodygen train``, for torchrun: ``torchrun --nproc-per-node 2 -m melodygen.train
generator FOLDER --out OUT``."""

from __future__ import annotations

import sys

from melodygen.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
