"""Styles that a user taught: a linear head on what both nets of the tagger make of a recording.

The head is a checkpoint of its own, which names the tagger it rests on and the hash of that tagger's weights: on other
weights its numbers would mean nothing (``training.classifier.style_head`` makes it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from melodygen.classification.taxonomy import style_probabilities
from melodygen.errors import CheckpointError
from melodygen.nets.checkpoint import load_weights, resolve, weights_sha256
from melodygen.nets.linear_head import LinearHead
from melodygen.nets.musicnn import EMBEDDING
from melodygen.styles.scores import StyleScores

Floats = NDArray[np.float64]

HEAD_NET = "style_head"
"""The type of its net in ``config.json``."""
INPUTS = 2 * EMBEDDING
"""What each of the two nets makes of the sound."""


@dataclass(frozen=True, eq=False)
class StyleHead:
    """What turns embeddings into styles.

    Attributes:
        net: (400,) -> a logit for each label.
        labels: in the order of the outputs.
        temperature: divides the logits, so that probabilities mean what they say.
        unsure_below: probability of the likeliest label below which there is no verdict.
        classifier_id: name and hash of the head.
    """

    net: LinearHead
    labels: tuple[str, ...]
    temperature: float
    unsure_below: float
    classifier_id: str

    def scores(self, embedding: Floats) -> StyleScores:
        """The styles of what both nets make of a recording (400,)."""
        with torch.inference_mode():
            logits = self.net(torch.from_numpy(embedding.astype(np.float32))[None])[0].numpy()
        shares = style_probabilities(logits.astype(np.float64), self.temperature)
        return StyleScores(self.labels, shares, self.classifier_id)


def read_style_head(folder: Path, config: dict[str, Any]) -> tuple[Path, StyleHead]:
    """Return the folder of the tagger that a head rests on, and the head.

    Args:
        folder: the checkpoint of the head.
        config: its ``config.json``.

    Raises:
        CheckpointError: the head is broken, or its tagger is missing or has other weights.
    """
    labels, temperature, unsure_below, checkpoint, sha256 = _fields(folder, config)
    tagger = _tagger(folder, checkpoint, sha256)
    net = LinearHead(INPUTS, len(labels)).eval()
    load_weights(folder, net)
    held: Sequence[torch.Tensor] = list(net.state_dict().values())
    if not all(bool(torch.isfinite(t).all()) for t in held) or not bool((net.get_buffer("scale") > 0).all()):
        raise CheckpointError(f"checkpoint {folder}: its weights must be finite and its scales above 0")
    name = f"{config.get('name', folder.name)}-{weights_sha256(folder)[:8]}"
    return tagger, StyleHead(net, labels, temperature, unsure_below, name)


def _fields(folder: Path, config: dict[str, Any]) -> tuple[tuple[str, ...], float, float, str, str]:
    try:
        labels = tuple(str(label) for label in config["labels"])
        temperature, unsure_below = float(config["temperature"]), float(config["unsure_below"])
        inputs = config["net"]["inputs"]
        checkpoint, sha256 = str(config["tagger"]["checkpoint"]), str(config["tagger"]["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {folder}: config.json is broken: {error!r}") from error
    if len(set(labels)) != len(labels) or len(labels) < 2 or inputs != INPUTS:
        raise CheckpointError(
            f"checkpoint {folder}: a style head has {INPUTS} inputs and two or more labels that differ"
        )
    if not 0.01 <= temperature <= 100 or not 0 <= unsure_below <= 1:
        raise CheckpointError(
            f"checkpoint {folder}: temperature {temperature} must lie in 0.01-100, unsure_below "
            f"{unsure_below} in 0-1"
        )
    return labels, temperature, unsure_below, checkpoint, sha256


def _tagger(folder: Path, checkpoint: str, sha256: str) -> Path:
    """The folder of the tagger with these weights."""
    try:
        tagger = resolve(checkpoint, checkpoint)
        found = weights_sha256(tagger)
    except CheckpointError as error:
        raise CheckpointError(
            f"checkpoint {folder} rests on the tagger {checkpoint}, which is not there ({error}); bring it back, "
            "or train again with --from and a tagger that is there"
        ) from error
    if found != sha256:
        raise CheckpointError(
            f"checkpoint {folder} rests on weights {sha256[:8]} of the tagger {checkpoint}, and those here are "
            f"{found[:8]}: train again with --from {checkpoint}, or bring the earlier tagger back"
        )
    return tagger


__all__ = ["HEAD_NET", "INPUTS", "StyleHead", "read_style_head"]
