"""BeatNet's net: a convolution over bands and a recurrent net over time (Heydari et al. 2021, arXiv:2108.03576; graph
of the package BeatNet 1.1.3). It hears each frame with what came before it, never what follows.

Letters: T frames, F values a frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NUM_INPUTS = 272
CHANNELS = 2
KERNEL = 10
HIDDEN = 150
LAYERS = 2
NUM_OUTPUTS = 3
"""Beat that is no downbeat, downbeat, neither."""


class BeatNet(nn.Module):
    """(T, F) of ``audio.beat_spectrum`` -> (T, 3) probabilities of beat, downbeat and neither."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(1, CHANNELS, KERNEL)
        self.dense = nn.Linear(CHANNELS * ((NUM_INPUTS - KERNEL + 1) // 2), HIDDEN)
        self.recurrent = nn.LSTM(HIDDEN, HIDDEN, LAYERS, batch_first=True)
        self.head = nn.Linear(HIDDEN, NUM_OUTPUTS)

    def forward(self, levels: Tensor) -> Tensor:
        """Return (T, 3) probabilities."""
        y = functional.max_pool1d(functional.relu(self.convolution(levels[:, None])), 2).flatten(1)
        y, _ = self.recurrent(self.dense(y)[None])
        probabilities: Tensor = torch.softmax(self.head(y[0]), dim=1)
        return probabilities


__all__ = ["NUM_INPUTS", "BeatNet"]
