"""Sound in memory: float32 samples with their sample rate. Needs numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import AudioError


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording in memory.

    Attributes:
        samples: float32 of shape (channels, num_samples), nominal range -1 to 1, finite and read-only. One
            dimension is taken as one channel.
        sample_rate: in Hz, 1000 to 768000.

    Raises:
        AudioError: shape, sample rate or samples break these rules.
    """

    samples: NDArray[np.float32]
    sample_rate: int

    def __post_init__(self) -> None:
        samples = np.asarray(self.samples, dtype=np.float32)
        if samples.ndim == 1:
            samples = samples[None, :]
        if samples.ndim != 2 or samples.shape[0] < 1:
            raise AudioError(f"audio of shape {samples.shape}: expected (channels, num_samples)")
        if not 1_000 <= self.sample_rate <= 768_000:
            raise AudioError(f"a sample rate of {self.sample_rate} Hz is not between 1000 and 768000")
        if not np.isfinite(samples).all():
            raise AudioError("audio holds NaN or infinite samples")
        if samples.flags.writeable:
            samples = samples.copy() if samples is self.samples or samples.base is not None else samples
            samples.flags.writeable = False
        object.__setattr__(self, "samples", samples)

    @property
    def num_channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[0])

    @property
    def num_samples(self) -> int:
        """Number of samples in each channel."""
        return int(self.samples.shape[1])

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate

    def to_mono(self) -> Audio:
        """Return the mean of the channels; the loudest channel where they cancel each other."""
        if self.num_channels == 1:
            return self
        mean = self.samples.mean(axis=0, dtype=np.float32)
        return Audio(uncancelled(mean, self.samples), self.sample_rate)


CANCELLED_SHARE = 0.01
"""Of the channels' mean energy: a sum that holds less (-20 dB) is no picture of them."""


def uncancelled(mean: NDArray[np.float32], channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of channels, or the loudest channel where they cancel each other (right = -left, a wrongly wired cable).

    Args:
        mean: (num_samples,).
        channels: (num_channels, num_samples), which ``mean`` was made of.
    """
    energies = np.einsum("cn,cn->c", channels, channels, dtype=np.float64)
    if float(np.vdot(mean, mean)) >= CANCELLED_SHARE * float(energies.mean()):
        return mean
    loudest: NDArray[np.float32] = np.ascontiguousarray(channels[int(np.argmax(energies))])
    return loudest
