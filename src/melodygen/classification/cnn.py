"""The style CNN as a StyleClassifier: windows of all recordings in batches, logits averaged over each recording.

A batch always has ``BATCH`` windows, filled up with silence: kernels differ with the size of a batch, and equal
audio must give equal scores in any company.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from melodygen.audio.buffer import Audio
from melodygen.audio.features import Features, FrontEndConfig, features
from melodygen.classification.music_head import read_music_head
from melodygen.classification.tag_evidence import TagEvidence, read_tag_evidence
from melodygen.classification.taxonomy import style_probabilities
from melodygen.contracts import StyleClassifier
from melodygen.errors import CheckpointError
from melodygen.nets.checkpoint import DEFAULT_CLASSIFIER, load_weights, read_config, resolve, weights_sha256
from melodygen.nets.cnn import StyleCnn
from melodygen.styles.scores import StyleScores

BATCH = 8


class CnnClassifier:
    """A ``melodygen.contracts.WindowClassifier``. ``temperature`` divides the averaged logits; below a probability of
    ``unsure_below`` the likeliest style is no verdict."""

    unsure_below: float = 0.0
    tag_evidence: TagEvidence | None = None
    """How a tagger's styles count beside this one's, where both hear a render; None: not at all."""

    def __init__(
        self,
        net: StyleCnn,
        labels: Sequence[str],
        front_end: FrontEndConfig,
        temperature: float,
        classifier_id: str,
        music_head: tuple[NDArray[np.float64], float] | None = None,
        part_of: Mapping[str, str] | None = None,
    ) -> None:
        # bands and frames before channels: a fifth less time a window on a CPU
        self._net = net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.music_head = music_head
        """Weights on the embedding and bias of the logistic head that tells music from speech and noise."""
        self.labels = tuple(labels)
        self.part_of = dict(part_of or {})
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
        classifier = cls(
            net,
            labels,
            front_end,
            temperature,
            f"{config.get('name', folder.name)}-{weights_sha256(folder)[:8]}",
            read_music_head(folder, config, net.head.in_features),
            _part_of(folder, config, labels),
        )
        classifier.unsure_below = _unsure_below(folder, config)
        classifier.tag_evidence = read_tag_evidence(
            f"checkpoint {folder}", config.get("tag_evidence"), labels
        )
        return classifier

    def classify(self, recordings: Sequence[Audio]) -> list[StyleScores]:
        """One StyleScores a recording. Raises AudioError for one without samples."""
        if not recordings:
            return []
        parts = [features(audio, self.front_end) for audio in recordings]
        logits = self.window_logits(np.concatenate(parts))
        ends = np.cumsum([len(p) for p in parts])
        return [self.scores(logits[e - len(p) : e].mean(axis=0)) for p, e in zip(parts, ends, strict=True)]

    def window_logits(self, windows: Features) -> NDArray[np.float64]:
        """(W, F, T) features -> (W, labels), before the temperature."""
        return self.outputs(windows)[1]

    def outputs(self, windows: Features) -> tuple[Features, NDArray[np.float64]]:
        """(W, F, T) features -> (W, E), what the net makes of them before it names a style, and (W, labels) logits."""
        embedded, logits = [], []
        with torch.inference_mode():
            for part, batch in _batches(windows):
                inner = self._net.embed(batch)
                embedded.append(inner[:part].numpy())
                logits.append(self._net.head(inner)[:part].numpy().astype(np.float64))
        return np.concatenate(embedded), np.concatenate(logits)

    def details(self, windows: Features) -> Features:
        """(W, F, T) features -> (W, D): the embedding, and behind it what lies deeper (``StyleCnn``: detail)."""
        with torch.inference_mode():
            found = [self._net.embed(batch, detail=True)[:part].numpy() for part, batch in _batches(windows)]
        return np.concatenate(found)

    def music_logits(self, embedded: Features) -> NDArray[np.float64] | None:
        """(W, E) -> (W,): above 0 for music, below for speech and noise. None where the checkpoint has no such head."""
        if self.music_head is None:
            return None
        weights, bias = self.music_head
        return np.asarray((embedded.astype(np.float64) * weights).sum(axis=1) + bias)

    def scores(self, logits: NDArray[np.float64]) -> StyleScores:
        """Logits of a recording (labels,) as probabilities."""
        shares = style_probabilities(logits, self.temperature)
        return StyleScores(self.labels, shares, self.classifier_id, self.part_of)


def _batches(windows: Features) -> Iterator[tuple[int, torch.Tensor]]:
    """(how many windows, they and silence behind them)."""
    for start in range(0, len(windows), BATCH):
        part = windows[start : start + BATCH]
        batch = np.zeros((BATCH, *part.shape[1:]), dtype=np.float32)
        batch[: len(part)] = part
        yield len(part), torch.from_numpy(batch)


def _part_of(folder: Path, config: dict[str, Any], labels: Sequence[str]) -> dict[str, str]:
    held = config.get("part_of", {})
    if not isinstance(held, dict) or not {*held, *held.values()} <= set(labels):
        raise CheckpointError(
            f"checkpoint {folder}: part_of in config.json must say which label is part of which"
        )
    return dict(held)


def _unsure_below(folder: Path, config: dict[str, Any]) -> float:
    held = config.get("unsure_below", 0.0)
    if isinstance(held, bool) or not isinstance(held, int | float) or not 0 <= held <= 1:
        raise CheckpointError(f"checkpoint {folder}: unsure_below in config.json is {held!r}, not 0-1")
    return float(held)


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


def load_classifier(spec: str = "") -> StyleClassifier:
    """A classifier by the name or the folder of a checkpoint; empty for the shipped one. Its ``net`` says whether it is
    a style CNN or a tagger, which may have a style head."""
    from melodygen.classification.tagger import Tagger, is_tagger

    folder = resolve(spec, DEFAULT_CLASSIFIER)
    if is_tagger(read_config(folder, "classifier")):
        return Tagger.from_folder(folder)
    return CnnClassifier.from_folder(folder)
