"""musicnn: a convolutional tagger of music (Pons & Serra 2019, arXiv:1909.06654; graph of the package musicnn 0.1.0).

Letters: B batch, T frames, F mel bands, C channels. Two timbral convolutions (7 frames by 38 and 67 bands) and three
temporal ones (128, 64 and 32 frames by one band) are each reduced to their maximum over bands; three convolutions in
time with shortcuts follow; mean and maximum over time go through a dense layer, the embedding, to the logits of tags.

The arithmetic departs from the published graph where that saves time and changes nothing: batch norms are stored as
scale and shift, the maximum over bands is taken before ReLU and batch norm (channels with a negative scale are
negated, so that their minimum is a maximum), and the seven frames of a timbral kernel stand as channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NUM_BANDS = 96
TIMBRAL_FRAMES = 7
TIMBRAL_BANDS = (38, 67)
TIMBRAL_CHANNELS = 204
TEMPORAL_FRAMES = (128, 64, 32)
TEMPORAL_CHANNELS = 51
FRONT_CHANNELS = 2 * TIMBRAL_CHANNELS + 3 * TEMPORAL_CHANNELS
MIDDLE_CHANNELS = 64
POOLED = FRONT_CHANNELS + 3 * MIDDLE_CHANNELS
EMBEDDING = 200


class Affine(nn.Module):
    """A batch norm at use: ``x * scale + shift``, channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled and shifted input."""
        return x * self.scale + self.shift


class Timbral(nn.Module):
    """(B, 7, T, F) of frames beside their neighbours -> (B, T, C): a kernel of 7 frames by ``bands``, its maximum over
    bands."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(TIMBRAL_FRAMES, TIMBRAL_CHANNELS, (1, bands))
        self.norm = Affine(TIMBRAL_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, C) for the input of the layer; see the class."""
        return _peak(self.convolution(x), self.norm)


class Temporal(nn.Module):
    """(B, 1, T, F) -> (B, T, C): a kernel of ``frames`` by one band, its maximum over bands."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, TEMPORAL_CHANNELS, (frames, 1))
        self.norm = Affine(TEMPORAL_CHANNELS)
        self.padding = ((frames - 1) // 2, frames - 1 - (frames - 1) // 2)
        """TensorFlow's "same": of an odd rest, the larger part is behind."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, C) for the input of the layer; see the class."""
        return _peak(self.convolution(functional.pad(x, (0, 0, *self.padding))), self.norm)


class Middle(nn.Module):
    """(B, C, T) -> (B, T, 64): seven frames wide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, MIDDLE_CHANNELS, 7, padding=3)
        self.norm = Affine(MIDDLE_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, C) for the input of the layer; see the class."""
        y: Tensor = self.norm(functional.relu(self.convolution(x)).transpose(1, 2))
        return y


class Musicnn(nn.Module):
    """(B, T, F) of log-mel (``audio.musicnn_mel``) -> embedding (B, 200) and logits (B, tags)."""

    def __init__(self, num_tags: int = 50) -> None:
        super().__init__()
        self.entry = Affine(1)
        self.timbral = nn.ModuleList(Timbral(bands) for bands in TIMBRAL_BANDS)
        self.temporal = nn.ModuleList(Temporal(frames) for frames in TEMPORAL_FRAMES)
        self.middle = nn.ModuleList(
            Middle(channels) for channels in (FRONT_CHANNELS, MIDDLE_CHANNELS, MIDDLE_CHANNELS)
        )
        self.pool_norm = Affine(2 * POOLED)
        self.dense = nn.Linear(2 * POOLED, EMBEDDING)
        self.dense_norm = Affine(EMBEDDING)
        self.head = nn.Linear(EMBEDDING, num_tags)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding (B, 200) and logits (B, tags) of log-mel (B, T, F)."""
        x = self.entry(mel)
        beside = functional.pad(x, (0, 0, 3, 3)).unfold(1, TIMBRAL_FRAMES, 1)  # (B, T, F, 7)
        beside = beside.contiguous().permute(0, 3, 1, 2)  # channels last
        front = torch.cat(
            [layer(beside) for layer in self.timbral] + [layer(x.unsqueeze(1)) for layer in self.temporal],
            dim=2,
        )
        first = self.middle[0](front.transpose(1, 2))
        second = self.middle[1](first.transpose(1, 2)) + first
        third = self.middle[2](second.transpose(1, 2)) + second
        y = torch.cat([front, first, second, third], dim=2)
        pooled = torch.stack([y.amax(dim=1), y.mean(dim=1)], dim=2).flatten(1)
        embedding = self.dense_norm(functional.relu(self.dense(self.pool_norm(pooled))))
        return embedding, self.head(embedding)

    def prepare(self) -> Musicnn:
        """For use: weights laid out for channels last."""
        return self.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _peak(y: Tensor, norm: Affine) -> Tensor:
    """(B, C, T, F) -> (B, T, C): what ``norm(relu(y))`` has as its maximum over bands."""
    peak = functional.max_pool2d(y, (1, y.shape[3])).squeeze(3).transpose(1, 2)
    # where the scale is negative the weights were negated: -relu(-peak) is the negated minimum
    result: Tensor = norm(torch.where(norm.scale < 0, functional.relu(-peak), functional.relu(peak)))
    return result


__all__ = ["EMBEDDING", "NUM_BANDS", "Musicnn"]
