"""How dense the music of a style is: quantiles of the density level in its header, as a checkpoint keeps them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from melodygen.data.dataset import ExampleSampler
from melodygen.tokens.vocabulary import VOCABULARY

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
RANDOM_STREAM = 3
_PLACE = 5
"""Of the density token in the header."""


def density_quantiles(
    sampler: ExampleSampler, styles: Sequence[str], examples: int
) -> dict[str, list[float]]:
    """For each style the density levels at ``QUANTILES``, of ``examples`` examples; none for a style without levels."""
    rng, offset = np.random.default_rng(RANDOM_STREAM), VOCABULARY.offsets["density"]
    found = {}
    for style in styles:
        levels = [int(sampler.draw(rng, style).ids[_PLACE]) - offset - 1 for _ in range(examples)]
        known = [level for level in levels if level >= 0]
        if known:
            found[style] = [float(np.quantile(known, q)) for q in QUANTILES]
    return found


__all__ = ["density_quantiles"]
