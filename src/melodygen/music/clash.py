"""How much of a tune's time something else sounds a semitone off it, octaves aside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Span = tuple[int, int, int]
"""Onset, end and pitch of a note; onset and end in steps of any grid."""


def clash_share(tune: Sequence[Span], others: Sequence[Span]) -> float | None:
    """Return the share, 0 to 1, of the steps of ``tune`` in which one of ``others`` sounds a semitone off; None for a
    tune without length.
    """
    length = max((end for _, end, _ in (*tune, *others)), default=0)
    sounding = np.zeros((12, length), dtype=np.bool_)
    for onset, end, pitch in others:
        sounding[pitch % 12, onset:end] = True
    clashing = total = 0
    for onset, end, pitch in tune:
        near = sounding[(pitch + 1) % 12, onset:end] | sounding[(pitch - 1) % 12, onset:end]
        clashing += int(near.sum())
        total += len(near)
    return clashing / total if total else None


__all__ = ["Span", "clash_share"]
