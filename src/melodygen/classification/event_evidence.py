"""What a detector of speech, singing and music adds to the music head of the tagger.

The head reads embeddings that were learned from music, so engines and animals that have a pitch look like music to it.
The detector learned from sounds of all kinds, but takes drums alone and drones for no music. Their sum is better than
either (docs/experiments/classifier.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from melodygen.audio.features import Features
from melodygen.audio.kaldi_mel import kaldi_mel
from melodygen.errors import CheckpointError
from melodygen.io.toml_record import parse_record
from melodygen.nets.checkpoint import load_weights, read_config, resolve
from melodygen.nets.event_detector import EVENTS, EventDetector

DETECTOR_NET = "dfsmn"
MOST_LOG_ODDS = 6.9
"""The detector is never surer than one in a thousand."""
_MUSICAL = [EVENTS.index("singing"), EVENTS.index("music")]


@dataclass(frozen=True)
class EventWeight:
    """How the detector counts (``music_head.events`` of a tagger's config).

    Attributes:
        checkpoint: its name.
        weight: of its log odds of music beside the head's.
        offset: is added to the sum.
    """

    checkpoint: str
    weight: float = field(metadata={"low": 0.0, "high": 10.0})
    offset: float = field(metadata={"low": -100.0, "high": 100.0})


class EventEvidence:
    """A detector and how it counts."""

    def __init__(self, net: EventDetector, how: EventWeight) -> None:
        self._net, self._how = net.eval(), how

    def matters(self, logit: float) -> bool:
        """Whether the detector could change the verdict of a music head with this logit."""
        return abs(logit + self._how.offset) <= self._how.weight * MOST_LOG_ODDS

    def added(self, logit: float, log_odds: float) -> float:
        """Return the logit of head and detector together."""
        return logit + self._how.weight * log_odds + self._how.offset

    def log_odds(self, windows: Sequence[Features]) -> float:
        """Return the mean over windows of one length, at the reference loudness, of the log odds of music or singing
        in a frame."""
        with torch.inference_mode():
            said = self._net(torch.from_numpy(kaldi_mel(np.stack(windows)))).numpy()
        share = said[..., _MUSICAL].max(axis=2).mean(axis=1, dtype=np.float64)
        odds = np.log(np.maximum(share, 1e-12)) - np.log(np.maximum(1 - share, 1e-12))
        return float(np.clip(odds, -MOST_LOG_ODDS, MOST_LOG_ODDS).mean())


def load_detector(spec: str) -> EventDetector:
    """Return the net of a checkpoint by name or folder. Raises CheckpointError for one that is no detector."""
    folder = resolve(spec, spec)
    if read_config(folder, "detector").get("net", {}).get("type") != DETECTOR_NET:
        raise CheckpointError(f"checkpoint {folder}: config.json must hold a {DETECTOR_NET} net")
    net = EventDetector()
    load_weights(folder, net)
    return net


def read_event_evidence(folder: Path, config: dict[str, Any]) -> EventEvidence | None:
    """Read ``music_head.events`` of a tagger's config; None where it has none.

    Raises:
        CheckpointError: a number is out of range, or the detector is missing or broken.
    """
    held = config.get("music_head")
    if not isinstance(held, dict) or held.get("events") is None:
        return None
    how = parse_record(
        EventWeight, held["events"], f"{folder}: music_head.events in config.json", CheckpointError
    )
    return EventEvidence(load_detector(how.checkpoint), how)


__all__ = ["EventEvidence", "EventWeight", "load_detector", "read_event_evidence"]
