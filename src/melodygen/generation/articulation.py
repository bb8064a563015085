"""How long notes are held: from staccato to legato, as a share of the time to the part's next note."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REST_QUARTERS = 2.0
"""A rest as long as this before the next note is one that was written: it stays, and the note keeps to its own end."""
SHORTEST_QUARTERS = 1 / 16


def held(notes: NDArray[np.void], share: float, ticks_per_quarter: int) -> NDArray[np.int64]:
    """Return the durations (N,) of a part's notes, in ticks.

    Args:
        notes: of one part, sorted by onset, as in ``Track.notes``.
        share: 0.1 to 1.0, of the time to the next onset of the part, or to the note's written end before a rest.
        ticks_per_quarter: resolution.
    """
    onset = notes["onset_tick"].astype(np.int64)
    onsets = np.unique(onset)
    after = np.concatenate((onsets[1:], onsets[-1:]))[np.searchsorted(onsets, onset)]
    written = onset + notes["duration_ticks"]
    is_last = after <= onset
    rests = after - written >= REST_QUARTERS * ticks_per_quarter
    end = np.where(is_last | rests, written, after)
    shortest = max(1, round(SHORTEST_QUARTERS * ticks_per_quarter))
    return np.asarray(
        np.minimum(np.maximum(np.rint(share * (end - onset)), shortest), end - onset), dtype=np.int64
    )


__all__ = ["held"]
