"""FireRedVAD's detector of speech, singing and music: a feed-forward net with memory (DFSMN; Zhang et al. 2018,
arXiv:1803.05030; graph of the package fireredvad 0.0.2).

Letters: B sounds, T frames, F bands, P units of a memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from melodygen.audio.kaldi_mel import NUM_BANDS

EVENTS = ("speech", "singing", "music")
HIDDEN, UNITS, NUM_BLOCKS, ORDER = 256, 128, 8, 20


class Memory(nn.Module):
    """(B, T, P) -> (B, T, P): each unit beside weighted sums of itself, of ``ORDER`` frames up to this one and of as
    many after it."""

    def __init__(self) -> None:
        super().__init__()
        self.back = nn.Conv1d(UNITS, UNITS, ORDER, groups=UNITS, bias=False)
        self.ahead = nn.Conv1d(UNITS, UNITS, ORDER, groups=UNITS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, P) for the input of the layer; see the class."""
        y = x.transpose(1, 2)
        before = self.back(functional.pad(y, (ORDER - 1, 0)))
        after = self.ahead(functional.pad(y, (0, ORDER))[..., 1:])
        result: Tensor = (y + before + after).transpose(1, 2)
        return result


class Block(nn.Module):
    """(B, T, P) -> (B, T, P), with a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Linear(UNITS, HIDDEN)
        self.contract = nn.Linear(HIDDEN, UNITS, bias=False)
        self.memory = Memory()

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, P) for the input of the layer; see the class."""
        y: Tensor = x + self.memory(self.contract(functional.relu(self.expand(x))))
        return y


class EventDetector(nn.Module):
    """(B, T, F) of ``audio.kaldi_mel`` -> (B, T, 3) probabilities of ``EVENTS``, which do not rule each other out."""

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(NUM_BANDS))
        self.register_buffer("scale", torch.ones(NUM_BANDS))
        self.expand = nn.Linear(NUM_BANDS, HIDDEN)
        self.contract = nn.Linear(HIDDEN, UNITS)
        self.memory = Memory()
        self.blocks = nn.ModuleList(Block() for _ in range(NUM_BLOCKS - 1))
        self.dense = nn.Linear(UNITS, HIDDEN)
        self.head = nn.Linear(HIDDEN, len(EVENTS))

    def forward(self, mel: Tensor) -> Tensor:
        """Return (B, T, 3) probabilities."""
        x = functional.relu(self.expand((mel - self.mean) * self.scale))
        x = self.memory(functional.relu(self.contract(x)))
        for block in self.blocks:
            x = block(x)
        probabilities: Tensor = torch.sigmoid(self.head(functional.relu(self.dense(x))))
        return probabilities


__all__ = ["EVENTS", "EventDetector"]
