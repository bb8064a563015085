"""Measures how much logit bias a generator needs: the log-odds by which it falls short of human music.

Why the bias is there and what each amount does: docs/decisions/0005-logit-bias.md and
``melodygen.generation.logit_bias``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from melodygen.contracts import Draft
from melodygen.data.shards import Shards
from melodygen.errors import TokenError
from melodygen.evaluation.band import line_figures
from melodygen.evaluation.human_music import human_windows
from melodygen.evaluation.statistics import chord_tone_share, piece_of, repeated_bars
from melodygen.generation.logit_bias import HELD_SHARE
from melodygen.generation.neural import NeuralGenerator
from melodygen.generation.quality import CYMBALS
from melodygen.request import Request
from melodygen.styles.style import Style
from melodygen.tokens.grid import Piece
from melodygen.tokens.vocabulary import DRUMS, DURATIONS

LIMITS = {"chord": 3.0, "back": 0.5, "comping": 4.0, "cymbals": 2.0, "repeat": 2.0}
"""The most that is given, in nats; ``back`` is a share of the phrases."""
LEAST_SHARE = 0.02
"""Shares are kept that far from 0 and 1, where log-odds have no end."""
WRITING_STREAM, HUMAN_STREAM = 31, 32
"""Random streams: seeds of written pieces, windows of human music."""


def held_chord_share(piece: Piece) -> float:
    """Share of the chord notes that last three quarters of a bar or longer; NaN where no chords are played."""
    lengths = [
        DURATIONS[note[2]] / bar.num_positions for bar in piece.bars for note in bar.parts.get("chords", ())
    ]
    return float(np.mean([length >= HELD_SHARE for length in lengths])) if lengths else math.nan


def cymbal_share(piece: Piece) -> float:
    """Share of the drum strokes that are on cymbals or hats; NaN without drums."""
    strokes = [DRUMS[note[1]][0] in CYMBALS for bar in piece.bars for note in bar.parts.get("drums", ())]
    return float(np.mean(strokes)) if strokes else math.nan


def repeated_pitch_share(piece: Piece) -> float:
    """Share of the notes of the top line that repeat the pitch before; NaN where there are less than two."""
    return line_figures(piece)["top line repeats"]


MEASURES = {
    "chord": chord_tone_share, "back": repeated_bars, "comping": held_chord_share, "cymbals": cymbal_share,
    "repeat": repeated_pitch_share,
}  # fmt: skip


def shares(pieces: Sequence[Piece]) -> dict[str, float]:
    """Mean share of each measure over the pieces that have one."""
    found = {}
    for name, measure in MEASURES.items():
        values = [v for v in map(measure, pieces) if math.isfinite(v)]
        if values:
            found[name] = float(np.mean(values))
    return found


def bias_from_shares(generated: dict[str, float], human: dict[str, float]) -> dict[str, float]:
    """Amounts by name, rounded to 0.05; what one of the two sides lacks is left out.

    ``chord`` and ``cymbals`` raise a share, ``comping`` and ``repeat`` lower one, each by the difference of the
    log-odds; ``back`` is the human share of bars that come back.
    """
    amounts = {}
    for name in MEASURES:
        if name in generated and name in human:
            short = _log_odds(human[name]) - _log_odds(generated[name])
            amount = {"back": human[name], "comping": -short, "repeat": -short}.get(name, short)
            amounts[name] = round(20 * min(max(amount, 0.0), LIMITS[name])) / 20
    return amounts


def measure_logit_bias(
    generator: NeuralGenerator, shards: Shards, style: Style, pieces: int, bars: int
) -> dict[str, Any]:
    """The bias of one style for an unbiased ``generator``.

    Args:
        generator: writes without bias.
        shards: the corpus; windows of validation pieces are the human side.
        style: says tempo, meter and roles of what is written.
        pieces: how many are written and compared.
        bars: their length.

    Returns:
        ``bias``: amounts by name; ``generated`` and ``human``: the shares they come from.
    """
    request = Request(style.name, bars, qpm=style.qpm, meter=style.meter, tracks=style.tracks)
    seeds = np.random.default_rng([WRITING_STREAM, *style.name.encode()]).integers(0, 2**31, pieces)
    written = _pieces(generator.generate(request, [int(s) for s in seeds]), bars)
    human = human_windows(shards, generator.styles, style.name, style.meter, bars, pieces, HUMAN_STREAM)
    generated_shares, human_shares = shares(written), shares(human.windows)
    return {
        "bias": bias_from_shares(generated_shares, human_shares),
        "generated": generated_shares, "human": human_shares,
    }  # fmt: skip


def _pieces(drafts: Sequence[Draft], bars: int) -> list[Piece]:
    """Drafts on the grid; those without notes are left out."""
    found = []
    for draft in drafts:
        try:
            found.append(piece_of(draft.score, bars))
        except TokenError:
            continue
    return found


def _log_odds(share: float) -> float:
    kept = min(max(share, LEAST_SHARE), 1.0 - LEAST_SHARE)
    return math.log(kept / (1.0 - kept))
