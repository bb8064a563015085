"""A small residual CNN over windows of log-mel bands.

Residual blocks after He et al. 2015, with batch norm. Bands are not interchangeable as frames are, so the net
then folds bands into channels, a temporal convolution covers a second and more, and a linear layer reads mean
and maximum over time.

Letters: B batch, C channels, F bands, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

RATES = 62
"""Number of modulation rates, in cycles per window from 1, that ``detail`` measures: up to 6 Hz in ten
seconds.
"""
BAND_GROUPS = 5
"""Number of groups of bands whose modulation is measured."""


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut; ``stride`` is (bands, frames). (B, inputs, F, T) -> (B,
    outputs, F', T').
    """

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the block for x (B, inputs, F, T)."""
        y = functional.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        x = functional.avg_pool2d(x, self.stride, ceil_mode=True) if self.stride != (1, 1) else x
        return functional.relu(y + self.shortcut_norm(self.shortcut(x)))


class Context(nn.Module):
    """A dilated temporal convolution beside a shortcut, (B, C, T) -> (B, C, T); at first it passes its input
    through.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        nn.init.zeros_(self.norm.weight)  # so a trained net can get context without changing at first

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the block for x (B, C, T)."""
        return functional.relu(x + self.norm(self.convolution(x)))


def rhythm(x: Tensor) -> Tensor:
    """Return how strongly groups of bands move at each rate, summed over channels: (B, C, F, T) -> (B,
    RATES).

    This tells a jig from a reel of the same notes.
    """
    frames = x.shape[3]
    groups = functional.adaptive_avg_pool2d(x, (BAND_GROUPS, frames))
    groups = groups - groups.mean(dim=3, keepdim=True)
    turn = torch.arange(frames, device=x.device)[:, None] * torch.arange(1, RATES + 1, device=x.device)
    angle = turn % frames * (2 * torch.pi / frames)
    power = ((groups @ angle.cos()) ** 2 + (groups @ angle.sin()) ** 2).sum(dim=(1, 2))
    return torch.log1p(power / (power.mean(dim=1, keepdim=True) + 1e-9))


class StyleCnn(nn.Module):
    """The style classifier net: scaled log-mel (B, F, T) -> logits (B, classes).

    Args:
        num_classes: number of styles.
        num_bands: number of mel bands F.
        widths: channels of the entry convolution and of the three residual blocks.
        hidden: channels of the temporal convolutions.
        dropout: probability 0-1 before the last layer.
        context: number of dilated temporal convolutions.
        detail: the last layer also reads the layer before the context and the modulation rates, for styles
            that the net was not trained to tell apart.
    """

    def __init__(
        self,
        num_classes: int,
        num_bands: int = 80,
        widths: Sequence[int] = (24, 48, 72, 112),
        hidden: int = 192,
        dropout: float = 0.3,
        context: int = 0,
        detail: bool = False,
    ) -> None:
        super().__init__()
        self.entry = nn.Conv2d(1, widths[0], 5, 2, 2, bias=False)
        self.entry_norm = nn.BatchNorm2d(widths[0])
        self.blocks = nn.Sequential(
            Residual(widths[0], widths[1], (2, 2)),
            Residual(widths[1], widths[2], (2, 1)),
            Residual(widths[2], widths[3], (2, 2)),
        )
        bands = -(-num_bands // 16)  # what four strides of 2 leave of the bands
        self.temporal = nn.Conv1d(widths[3] * bands, hidden, 3, padding=1, bias=False)
        self.temporal_norm = nn.BatchNorm1d(hidden)
        self.context = nn.Sequential(*(Context(hidden, 2 ** (i + 1)) for i in range(context)))
        self.dropout = nn.Dropout(dropout)
        self.detail = detail
        self.head = nn.Linear(2 * hidden + (3 * hidden + RATES if detail else 0), num_classes)

    def embed(self, x: Tensor, detail: bool | None = None) -> Tensor:
        """Return the embedding (B, E) of windows (B, F, T), which the last layer reads. ``detail`` overrules
        the net's own.
        """
        entry = functional.relu(self.entry_norm(self.entry(x.unsqueeze(1))))
        inner = functional.relu(self.temporal_norm(self.temporal(self.blocks(entry).flatten(1, 2))))
        y = self.context(inner)
        parts = [y.mean(dim=2), y.amax(dim=2)]
        if self.detail if detail is None else detail:
            parts += [inner.mean(dim=2), inner.amax(dim=2), inner.std(dim=2), rhythm(entry)]
        return torch.cat(parts, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of windows (B, F, T)."""
        logits: Tensor = self.head(self.dropout(self.embed(x)))
        return logits
