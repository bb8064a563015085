"""Scores mono sound with any classifier: window by window where it can, else as a whole.

What a classifier says of silence, of music and of styles is decided here, once, for tracks and for streams.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.audio.buffer import Audio
from melodygen.audio.excerpts import SILENCE_RMS
from melodygen.audio.features import Features, FrontEndConfig, mono_features, window_starts
from melodygen.classification.cnn import CnnClassifier
from melodygen.classification.instrument_evidence import instrument_evidence
from melodygen.classification.tag_evidence import TagEvidence
from melodygen.classification.tagger import Tagger
from melodygen.classification.taxonomy import logit
from melodygen.contracts import StyleClassifier, WindowClassifier
from melodygen.errors import ClassifierError
from melodygen.music.score import Score
from melodygen.styles.scores import StyleScores

Floats = NDArray[np.float64]
LEAST_PROBABILITY = 1e-9
MAX_LOGIT = 50.0


def is_silent(mono: Features) -> bool:
    """Whether nothing can be heard of mono sound, whatever its DC offset."""
    return bool(mono.std() <= SILENCE_RMS)


def music_probability(music_logits: Floats | None) -> float | None:
    """Probability of music from the logits of windows (W,); None where the classifier does not tell."""
    if music_logits is None:
        return None
    return float(1 / (1 + np.exp(-np.clip(music_logits.mean(), -MAX_LOGIT, MAX_LOGIT))))


def window_classifier(classifier: StyleClassifier) -> WindowClassifier:
    """The classifier, if it works by windows. Raises ClassifierError for one that cannot be looked into."""
    if not isinstance(classifier, WindowClassifier):
        raise ClassifierError(
            f"{classifier.classifier_id} does not classify by windows: only a CNN checkpoint can be looked into"
        )
    return classifier


def tag_evidence_of(classifier: StyleClassifier) -> TagEvidence | None:
    """How a tagger's styles count beside those of a classifier; None where they do not."""
    return classifier.tag_evidence if isinstance(classifier, CnnClassifier) else None


@dataclass(frozen=True, eq=False)
class WindowScores:
    """What a classifier says of W windows.

    ``style_logits`` (W, labels), ``music_logits`` (W,) or None, ``starts`` and ``ends`` (W,) in samples, ``is_loud``
    (W,): the window is not silent.
    """

    style_logits: Floats
    music_logits: Floats | None
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    is_loud: NDArray[np.bool_]


class Scorer:
    """A classifier as tracks and streams need it."""

    def __init__(
        self, classifier: StyleClassifier, tagged: StyleScores | None = None, score: Score | None = None
    ) -> None:
        """Score with a classifier.

        Args:
            classifier: any.
            tagged: what a tagger says of the track; it counts where the classifier says how (``tag_evidence_of``).
            score: what is played, where it is known; its instruments count where the tagger does.
        """
        self.classifier = classifier
        evidence = tag_evidence_of(classifier)
        self._beside = None if evidence is None or tagged is None else (evidence, tagged)
        self._played_on = None if score is None else instrument_evidence(score, classifier.labels)
        self._windows = classifier if isinstance(classifier, WindowClassifier) else None
        self.front_end = FrontEndConfig() if self._windows is None else self._windows.front_end

    @property
    def sample_rate(self) -> int:
        """The rate that sound is brought to, Hz."""
        if isinstance(self.classifier, Tagger):
            return self.classifier.sample_rate
        return self.front_end.sample_rate

    @property
    def classifier_id(self) -> str:
        """What the styles come from: the classifier, and the tagger where it counts."""
        own = self.classifier.classifier_id
        return own if self._beside is None else f"{own}+{self._beside[1].classifier_id}"

    @property
    def unsure_below(self) -> float:
        """Probability of the likeliest style below which there is no verdict; 0 where the classifier says none, and
        of a tagger without a style head: its threshold was measured on recordings, not on renders."""
        if isinstance(self.classifier, Tagger) and self.classifier.style_head is None:
            return 0.0
        return self.classifier.unsure_below if isinstance(self.classifier, CnnClassifier | Tagger) else 0.0

    @property
    def window_samples(self) -> int:
        """What a stream is heard by at once."""
        return round(self.front_end.window_seconds * self.sample_rate)

    def logits(self, mono: Features) -> tuple[Floats, Floats | None]:
        """Mono sound at ``sample_rate`` -> (W, labels) logits of styles, and (W,) of music or None."""
        if self._windows is not None:
            embedded, found = self._windows.outputs(mono_features(mono, self.front_end))
            return found, self._windows.music_logits(embedded)
        if isinstance(self.classifier, Tagger):
            tags = self.classifier.tag(mono)
            said = np.log(np.maximum(tags.styles.probabilities, LEAST_PROBABILITY))[None, :]
            return said, None if tags.music is None else np.array([logit(tags.music)])
        scores = self.classifier.classify([Audio(mono, self.sample_rate)])[0].probabilities
        return np.log(np.maximum(scores, LEAST_PROBABILITY))[None, :], None

    def windows(self, mono: Features) -> WindowScores:
        """The same with the place and the loudness of each window."""
        styles, music = self.logits(mono)
        starts = window_starts(len(mono), self.front_end) if len(styles) > 1 else np.zeros(1, np.int64)
        length = len(mono) if self._windows is None else self.front_end.num_samples
        ends = np.minimum(starts + length, len(mono))
        is_loud = np.array([not is_silent(mono[a:b]) for a, b in zip(starts, ends, strict=True)])
        return WindowScores(styles, music, starts, ends, is_loud)

    def styles(self, logits: Floats) -> tuple[tuple[str, float], ...]:
        """Logits (labels,) -> every label with its probability, likeliest first; what stands beside it counted in."""
        own = self._own_styles(logits)
        if self._beside is None:
            return own
        evidence, tagged = self._beside
        return evidence.fused(own, tagged, self._played_on)

    def _own_styles(self, logits: Floats) -> tuple[tuple[str, float], ...]:
        labels = self.classifier.labels
        if self._windows is not None:
            return tuple(self._windows.scores(logits).top(len(labels)))
        order = np.argsort(-logits, kind="stable")
        shares = np.exp(logits) / np.exp(logits).sum()
        return tuple((labels[i], float(shares[i])) for i in order)
