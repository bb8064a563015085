"""What a detector of speech, singing and music adds to the music head of the tagger.

The head reads embeddings that were learned from music, so engines and animals that have a pitch look like music to it.
The detector learned from sounds of all kinds, but takes drums alone and drones for no music. Their sum is better than
either. A voice without accompaniment looks like speech to the head, while the detector tells singing from speech well:
singing counts once more (docs/experiments/classifier.md).
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
_SINGING, _MUSIC = EVENTS.index("singing"), EVENTS.index("music")


@dataclass(frozen=True)
class EventWeight:
    """How the detector counts (``music_head.events`` of a tagger's config).

    Attributes:
        checkpoint: its name.
        weight: of its log odds of music or singing beside the head's.
        offset: is added to the sum.
        singing: weight of its log odds of singing, as far as they are above ``singing_above``.
        singing_above: natural log odds; those of speech and of other sounds are mostly below.
    """

    checkpoint: str
    weight: float = field(metadata={"low": 0.0, "high": 10.0})
    offset: float = field(metadata={"low": -100.0, "high": 100.0})
    singing: float = field(default=0.0, metadata={"low": 0.0, "high": 10.0})
    singing_above: float = field(default=0.0, metadata={"low": -MOST_LOG_ODDS, "high": MOST_LOG_ODDS})


class EventEvidence:
    """A detector and how it counts."""

    def __init__(self, net: EventDetector, how: EventWeight) -> None:
        self._net, self._how = net.eval(), how

    def matters(self, logit: float) -> bool:
        """Whether the detector could change the verdict of a music head with this logit."""
        how, without = self._how, logit + self._how.offset
        most = how.weight * MOST_LOG_ODDS
        return without - most <= 0 <= without + most + how.singing * (MOST_LOG_ODDS - how.singing_above)

    def added(self, logit: float, evidence: float) -> float:
        """Return the logit of head and detector together; ``evidence`` is 0 where the detector was not asked."""
        return logit + evidence + self._how.offset

    def evidence(self, windows: Sequence[Features]) -> float:
        """Return what the detector adds, in natural log odds, for windows of one length at the reference loudness."""
        with torch.inference_mode():
            said = self._net(torch.from_numpy(kaldi_mel(np.stack(windows)))).numpy()
        singing = _log_odds(said[..., _SINGING])
        either = _log_odds(said[..., [_SINGING, _MUSIC]].max(axis=2))
        return self._how.weight * either + self._how.singing * max(0.0, singing - self._how.singing_above)


def _log_odds(said: Features) -> float:
    """Return the mean over windows of the log odds of the share of frames; ``said`` is (windows, frames), 0 to 1."""
    share = said.mean(axis=1, dtype=np.float64)
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
