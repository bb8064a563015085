"""Human music to measure by: windows of a folder by style, read as the training of a generator reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from melodygen.data.scan import find_files, load_piece
from melodygen.errors import MelodygenError, UsageError
from melodygen.evaluation.band import band_figures, human_quartiles, medians
from melodygen.evaluation.diversity import Diversity, diversity
from melodygen.tokens.grid import Piece
from melodygen.training.preference.candidates import Quartiles

MOST_FILES = 60
"""Of a style."""
APART = 32
"""Bars from one window of a file to the next."""
LEAST_WINDOWS = 8
"""Of a style, for quartiles and a judge."""


@dataclass(frozen=True)
class HumanMusic:
    """Windows of people's music.

    Attributes:
        pieces: by style.
        unseen: those of the tuned style that no training on this folder learned from.
    """

    pieces: dict[str, list[Piece]]
    unseen: list[Piece]

    def quartiles(self, style: str) -> Quartiles:
        """Of the band figures; without enough music those that are shipped for the style, if there are any."""
        own = self.pieces.get(style, [])
        return (
            medians([band_figures(p) for p in own]) if len(own) >= LEAST_WINDOWS else human_quartiles(style)
        )

    def diversity(self, style: str, count: int, seed: int) -> Diversity | None:
        """Of ``count`` windows; None where there are not as many."""
        own = self.pieces.get(style, [])
        chosen = np.random.default_rng(seed).permutation(len(own))[:count]
        return diversity([own[i] for i in chosen]) if len(chosen) == count else None

    def judges(self, style: str) -> dict[str, list[Piece]]:
        """What a second judge can be fitted on; nothing where the style or a second one is missing."""
        enough = {name: listed for name, listed in self.pieces.items() if len(listed) >= LEAST_WINDOWS}
        return enough if style in enough and len(enough) > 1 else {}


def read_human_music(folder: Path | None, style: str, bars: int, seed: int) -> HumanMusic:
    """Read a folder of music whose sub-folders or manifest name the styles; one style alone is taken for ``style``.

    Raises:
        CorpusError: there is no music.
        UsageError: it holds several styles, but not this one.
    """
    if folder is None:
        return HumanMusic({}, [])
    files = [f for f in find_files(folder, None) if f.kind != "drums"]
    names = {f.style for f in files}
    if style not in names and len(names) > 1:
        raise UsageError(f"--reference {folder} holds no {style}; it holds {', '.join(sorted(names))}")
    pieces: dict[str, list[Piece]] = {}
    unseen: list[Piece] = []
    read: dict[str, int] = {}
    for index in np.random.default_rng(seed).permutation(len(files)).tolist():
        file = files[index]
        name = file.style if len(names) > 1 else style
        if read.get(name, 0) >= MOST_FILES:
            continue
        try:
            _, piece, _ = load_piece(file)
        except MelodygenError:
            continue
        read[name] = read.get(name, 0) + 1
        starts = range(0, max(1, len(piece.bars) - bars + 1), max(bars, APART))
        found = [Piece(piece.bars[at : at + bars], piece.qpm, piece.key) for at in starts]
        pieces.setdefault(name, []).extend(found)
        if name == style and file.split == "valid":
            unseen += found
    return HumanMusic(pieces, unseen)
