"""The music head of a checkpoint: weights on its embedding that tell music from what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import CheckpointError


def read_music_head(
    folder: Path, config: dict[str, Any], size: int
) -> tuple[NDArray[np.float64], float] | None:
    """Return the weights (size,) and the bias of a checkpoint's music head, or None where it has none.

    Args:
        folder: the checkpoint, for messages.
        config: its ``config.json``.
        size: length of the embedding that the head reads.

    Raises:
        CheckpointError: the head is broken, not finite or of another size.
    """
    held = config.get("music_head")
    if held is None:
        return None
    try:
        weights, bias = np.asarray(held["weights"], dtype=np.float64), float(held["bias"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint {folder}: music_head in config.json is broken: {error!r}"
        ) from error
    if weights.shape != (size,) or not np.isfinite(weights).all() or not np.isfinite(bias):
        raise CheckpointError(f"checkpoint {folder}: music_head must hold {size} finite weights and a bias")
    return weights, bias
