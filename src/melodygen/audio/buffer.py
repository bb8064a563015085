"""Sound in memory: float32 samples with their rate. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import AudioError


@dataclass(frozen=True, eq=False)
class Audio:
    """``samples`` is float32, shape (channels, num_samples), nominal range -1..1, finite and read-only."""

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
        return int(self.samples.shape[0])

    @property
    def num_samples(self) -> int:
        return int(self.samples.shape[1])

    @property
    def duration_seconds(self) -> float:
        return self.num_samples / self.sample_rate

    def to_mono(self) -> Audio:
        """The mean of the channels."""
        if self.num_channels == 1:
            return self
        return Audio(self.samples.mean(axis=0, dtype=np.float32), self.sample_rate)
