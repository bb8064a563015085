"""What the instruments that a score names say of its style.

Nothing was learned from files: a style's own file says on which instruments its music is usually played
(``orchestration.programs``). From these comes how likely a band of that style holds each General MIDI family. A family
that a score holds speaks for the styles in whose bands it is likelier than in the others'; one that is missing says
nothing. Programs of one family count alike, so that another trumpet changes nothing. Since people play anything on
anything, half of all scores are taken to be played on any instruments, which bounds what odd ones can say against a
style.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from melodygen.music.score import Score
from melodygen.styles.loader import built_in_styles

Floats = NDArray[np.float64]

FAMILY_PROGRAMS = 8
NUM_FAMILIES = 16
SILENT_FAMILIES = (0, 10, 14, 15)
"""Piano, which stands wherever no program was chosen; synthesiser leads, which play any style where a sequencer has
nothing else; percussion and effects, which are no instrument of a style."""
STEM_SHARES = {"melody": 1.0, "harmony": 1.0, "bass": 0.5, "extra": 0.5}
PLAYERS = 4
"""A band has so many, each drawn from the style's instruments."""
LEAST_LIKELY = 0.03
"""No family is less likely in a style than this, and none likelier than 1 less this."""
ANY_SHARE = 0.5
"""Of the scores of a style: those whose instruments are any."""


def instrument_evidence(score: Score, labels: Sequence[str]) -> dict[str, float]:
    """Return how much the instruments of a score speak for each style, in nats.

    Args:
        score: tracks with General MIDI programs; drums and tracks without notes do not count.
        labels: styles; one that is not built in gets 0.

    Returns:
        Log likelihood of the families that are there, above its mean over the built-in styles, by label; all 0 for a
        score of pianos and synthesiser leads alone.
    """
    families = sorted({t.program // FAMILY_PROGRAMS for t in score.tracks if not t.is_drum and len(t)})
    families = [family for family in families if family not in SILENT_FAMILIES]
    names, likely = _band_families()
    typical = np.log(likely[:, families]).sum(axis=1) + np.log(1 - ANY_SHARE)
    anything = np.log(likely[:, families].mean(axis=0)).sum() + np.log(ANY_SHARE)
    log = np.logaddexp(typical, anything)
    said = dict(zip(names, (log - log.mean()).tolist(), strict=True))
    return {label: said.get(label, 0.0) for label in labels}


@lru_cache(maxsize=1)
def _band_families() -> tuple[tuple[str, ...], Floats]:
    """Styles, and how likely a band of each holds each family, (styles, families)."""
    styles = {n: s for n, s in built_in_styles().items() if s.orchestration.programs}
    share = np.zeros((len(styles), NUM_FAMILIES))
    for row, style in zip(share, styles.values(), strict=True):
        for stem, programs in style.orchestration.programs.items():
            for program in programs:
                row[program // FAMILY_PROGRAMS] += STEM_SHARES.get(stem, 0.0) / len(programs)
    share /= share.sum(axis=1, keepdims=True)
    return tuple(styles), np.clip(1 - (1 - share) ** PLAYERS, LEAST_LIKELY, 1 - LEAST_LIKELY)


__all__ = ["instrument_evidence"]
