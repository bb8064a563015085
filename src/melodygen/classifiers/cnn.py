"""The style CNN as a StyleClassifier: windows of all recordings in batches, logits averaged over each recording.

A batch always has ``BATCH`` windows, filled up with silence: kernels differ with the size of a batch, and equal
audio must give equal scores in any company.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from melodygen.audio import Audio
from melodygen.checkpoints import load_weights, read_config, weights_sha256
from melodygen.errors import CheckpointError
from melodygen.frontend import Features, FrontEndConfig, features
from melodygen.nets.cnn import StyleCnn
from melodygen.styles import StyleScores

BATCH = 8


class CnnClassifier:
    """See :class:`melodygen.contracts.StyleClassifier`. ``temperature`` divides the averaged logits."""

    def __init__(
        self,
        net: StyleCnn,
        labels: Sequence[str],
        front_end: FrontEndConfig,
        temperature: float,
        classifier_id: str,
    ) -> None:
        self._net = net.eval()
        self.labels = tuple(labels)
        self.front_end = front_end
        self.temperature = temperature
        self.classifier_id = classifier_id

    @classmethod
    def from_folder(cls, folder: Path) -> CnnClassifier:
        """Raises CheckpointError for a folder that is not a whole CNN classifier."""
        folder = Path(folder)
        config = read_config(folder, "classifier")
        net, labels, front_end, temperature = _parts(folder, config)
        load_weights(folder, net)
        return cls(
            net,
            labels,
            front_end,
            temperature,
            f"{config.get('name', folder.name)}-{weights_sha256(folder)[:8]}",
        )

    def classify(self, recordings: Sequence[Audio]) -> list[StyleScores]:
        """One StyleScores a recording. Raises AudioError for one without samples."""
        if not recordings:
            return []
        heard = [features(audio, self.front_end) for audio in recordings]
        logits = self.window_logits(np.concatenate(heard))
        ends = np.cumsum([len(h) for h in heard])
        return [self._scores(logits[e - len(h) : e].mean(axis=0)) for h, e in zip(heard, ends, strict=True)]

    def window_logits(self, windows: Features) -> NDArray[np.float64]:
        """(W, F, T) features -> (W, labels), before the temperature."""
        found = []
        with torch.inference_mode():
            for start in range(0, len(windows), BATCH):
                part = windows[start : start + BATCH]
                batch = np.zeros((BATCH, *part.shape[1:]), dtype=np.float32)
                batch[: len(part)] = part
                found.append(self._net(torch.from_numpy(batch))[: len(part)].numpy().astype(np.float64))
        return np.concatenate(found)

    def _scores(self, logits: NDArray[np.float64]) -> StyleScores:
        scaled = logits / self.temperature
        likelihood = np.exp(scaled - scaled.max())
        return StyleScores(self.labels, likelihood / likelihood.sum(), self.classifier_id)


def _parts(folder: Path, config: dict[str, Any]) -> tuple[StyleCnn, list[str], FrontEndConfig, float]:
    """The untrained net and what its outputs mean, checked."""
    try:
        spec = dict(config["net"])
        if spec.pop("type") != "cnn":
            raise CheckpointError(f"checkpoint {folder}: net {config['net']['type']!r} is not a cnn")
        labels = [str(label) for label in config["labels"]]
        front_end = FrontEndConfig.from_dict(dict(config["front_end"]))
        temperature = float(config["temperature"])
        net = StyleCnn(len(labels), front_end.num_bands, **spec)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"checkpoint {folder}: config.json is broken: {error!r}") from error
    if len(set(labels)) != len(labels) or len(labels) < 2 or not 0.01 <= temperature <= 100:
        raise CheckpointError(f"checkpoint {folder}: labels must differ and the temperature lie in 0.01-100")
    return net, labels, front_end, temperature


__all__ = ["CnnClassifier"]
