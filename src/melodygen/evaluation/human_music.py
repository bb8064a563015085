"""Windows of the corpus's validation pieces, to compare written music with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from melodygen.data.dataset import PLAIN, ExampleSampler
from melodygen.data.shards import Shards
from melodygen.tokens.codec import decode
from melodygen.tokens.grid import Piece
from melodygen.tokens.vocabulary import METERS

AS_WRITTEN = replace(PLAIN, comping=0.0)
"""The piece with its chord line, in its key, nothing added."""
MIN_PIECES = 3
"""Below that many pieces in the meter that is asked for, pieces in any meter are taken."""
MAX_TOKENS = 30_000


@dataclass(frozen=True)
class HumanWindows:
    """Windows of pieces, the last bars of the same pieces, and a partition of the windows by piece."""

    windows: tuple[Piece, ...]
    endings: tuple[Piece, ...]
    in_first_half: tuple[bool, ...]


def human_windows(
    shards: Shards,
    styles: Sequence[str],
    style: str,
    meter: tuple[int, int],
    bars: int,
    count: int,
    seed: int,
) -> HumanWindows:
    """``count`` windows of ``bars`` bars of validation pieces in a style.

    Args:
        shards: the corpus.
        styles: all styles in slot order.
        style: the one that is asked for.
        meter: only pieces that begin in it, where there are enough (``MIN_PIECES``).
        bars: length of a window.
        count: how many windows; fewer where the pieces hold no notes.
        seed: of the draws.
    """
    sampler = ExampleSampler(shards, "valid", styles, views=AS_WRITTEN, max_tokens=MAX_TOKENS)
    wanted = ("valid", style, "piece")
    long = [p for p in shards.pieces if (p.split, p.style, p.kind) == wanted and p.num_bars >= bars]
    fitting = [p for p in long if METERS[int(shards.arrays["meters"][p.first_bar])] == meter]
    pieces = fitting if len(fitting) >= MIN_PIECES else long
    rng = np.random.default_rng(seed)
    windows: list[Piece] = []
    endings: list[Piece] = []
    in_first_half: list[bool] = []
    order, turn = rng.permutation(len(pieces)), 0
    while len(windows) < count and turn < 20 * count and len(order):
        chosen = int(order[turn % len(order)])
        info, turn = pieces[chosen], turn + 1
        at = int(rng.integers(0, info.num_bars - bars + 1))
        window, last = (sampler.build(info, rng, (start, bars)) for start in (at, info.num_bars - bars))
        if window is not None and last is not None:
            windows.append(decode(window.ids.tolist()))
            endings.append(decode(last.ids.tolist()))
            in_first_half.append(chosen % 2 == 0)
    return HumanWindows(tuple(windows), tuple(endings), tuple(in_first_half))
