"""Resamples sound that comes in blocks, so that a recording of any length needs little memory."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.signal import firwin, resample_poly

from melodygen.audio.features import Features, resampling_ratio


@lru_cache(maxsize=8)
def _low_pass(up: int, down: int) -> Features:
    """Return the filter that ``resample_poly`` would otherwise design for each block."""
    most = max(up, down)
    taps: Features = firwin(2 * 10 * most + 1, 1.0 / most, window=("kaiser", 5.0)).astype(np.float32)
    return taps


class BlockResampler:
    """Resamples mono blocks; the results together equal resampling the whole at once.

    Args:
        rate_in: sample rate of the blocks in Hz.
        rate_out: sample rate of the results in Hz.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._up, self._down = (1, 1) if rate_in == rate_out else resampling_ratio(rate_in, rate_out)
        reach = (
            -(-10 * max(self._up, self._down) // self._up) + 1
        )  # of SciPy's filter, in samples of the input
        self._halo = -(-reach // self._down) * self._down
        self._held = np.zeros(0, dtype=np.float32)
        self._before = 0
        """Number of held samples that were returned already; they are context for the next ones."""

    def push(self, block: Features) -> Features:
        """Take a block and return the samples that are final now."""
        if self._up == self._down == 1:
            return block
        self._held = np.concatenate((self._held, block))
        ready = (len(self._held) - self._halo - self._before) // self._down * self._down
        return self._resample_until(self._before + ready) if ready > 0 else np.zeros(0, dtype=np.float32)

    def flush(self) -> Features:
        """Return the remaining samples at the end of the sound."""
        if self._up == self._down == 1 or self._before == len(self._held):
            return np.zeros(0, dtype=np.float32)
        return self._resample_until(len(self._held))

    def _resample_until(self, until: int) -> Features:
        sound = resample_poly(self._held, self._up, self._down, window=_low_pass(self._up, self._down))
        first = self._before * self._up // self._down
        last = len(sound) if until == len(self._held) else until * self._up // self._down
        keep = max(0, (until - self._halo) // self._down * self._down)
        self._held, self._before = self._held[keep:], until - keep
        return np.asarray(sound[first:last], dtype=np.float32)


__all__ = ["BlockResampler"]
