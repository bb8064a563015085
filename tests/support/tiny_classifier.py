"""A classifier that loads in no time: the shipped one's kind of net, a few channels wide, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from melodygen.audio.features import FrontEndConfig
from melodygen.nets.checkpoint import save_checkpoint
from melodygen.nets.cnn import StyleCnn

NET: dict[str, Any] = {"widths": [4, 6, 8, 8], "hidden": 12, "dropout": 0.1}


def save_tiny_classifier(
    folder: Path, labels: Sequence[str], head_deviation: float | None = None, **config: Any
) -> Path:
    """Write a checkpoint. ``head_deviation``: of the last layer's weights, so that logits differ widely."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = StyleCnn(len(labels), 80, **NET)
        if head_deviation is not None:
            torch.nn.init.normal_(net.head.weight, std=head_deviation)
    known = {
        "kind": "classifier", "name": "tiny", "net": {"type": "cnn", **NET}, "labels": list(labels),
        "front_end": FrontEndConfig().to_dict(), "temperature": 1.0,
    }  # fmt: skip
    save_checkpoint(folder, net, {**known, **config}, "# card")
    return folder
