"""What the tagger's styles and a score's instruments say about a render, beside the style CNN.

The CNN learned from renders of a few collections and hears their instruments and sources as much as style. The tagger
learned from songs and from no render, so the two are wrong about different pieces. A label's log probability is raised
by what the tagger gives to the styles that speak for it, above what it gives to them in renders of any style.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from melodygen.classification.taxonomy import STYLE_TAGS
from melodygen.errors import CheckpointError
from melodygen.io.toml_record import parse_record
from melodygen.styles.scores import StyleScores

LEAST_PROBABILITY = 1e-12
"""No style is ruled out further than this by one of the two."""


@dataclass(frozen=True)
class LabelEvidence:
    """What speaks for a label of the CNN.

    Attributes:
        styles: of ``taxonomy.STYLE_TAGS``; the likeliest counts. Labels that share them (baroque and hymn are classical
            to the tagger) are told apart by the CNN alone.
        usual: mean log probability of these in renders, each label as often.
    """

    styles: tuple[str, ...] = field(metadata={"choices": tuple(STYLE_TAGS)})
    usual: float = field(metadata={"low": -30.0, "high": 0.0})


@dataclass(frozen=True)
class TagEvidence:
    """How the tagger's styles count in the verdict of a style CNN (``tag_evidence`` of a checkpoint and of a recipe).

    Attributes:
        weight: how much a log probability above the usual one counts; 0: not at all.
        instruments: how much a nat of what the instruments of a score say counts; 0: not at all.
        temperature: divides the sum of the log probabilities.
        labels: what speaks for a label of the CNN; for others nothing does, whatever the tagger says (no tag is of
            games).
    """

    weight: float = field(metadata={"high": 2.0})
    temperature: float = field(metadata={"low": 0.01, "high": 100.0})
    labels: Mapping[str, LabelEvidence]
    instruments: float = field(default=0.0, metadata={"high": 2.0})

    def fused(
        self,
        styles: Sequence[tuple[str, float]],
        tagged: StyleScores,
        played_on: Mapping[str, float] | None = None,
    ) -> tuple[tuple[str, float], ...]:
        """Return the labels of the CNN with what all say.

        Args:
            styles: every label of the CNN with its probability.
            tagged: what the tagger says of the same sound.
            played_on: what the instruments of the score say for each label, in nats
                (``classification.instrument_evidence``); None where there is no score.

        Returns:
            (label, probability), likeliest first; the probabilities sum to 1.
        """
        said = self.log_probabilities(tagged)
        above = [said[label] - self.labels[label].usual if label in said else 0.0 for label, _ in styles]
        both = np.log(np.maximum([p for _, p in styles], LEAST_PROBABILITY)) + self.weight * np.array(above)
        if played_on is not None:
            both = both + self.instruments * np.array([played_on.get(label, 0.0) for label, _ in styles])
        likelihood = np.exp((both - both.max()) / self.temperature)
        shares = likelihood / likelihood.sum()
        order = np.argsort(-shares, kind="stable")
        return tuple((styles[i][0], float(shares[i])) for i in order)

    def log_probabilities(self, tagged: StyleScores) -> dict[str, float]:
        """Return the tagger's log probability of the likeliest style that speaks for each of ``labels``."""
        heard = dict(zip(tagged.labels, tagged.probabilities.tolist(), strict=True))
        best = {label: max(heard[name] for name in held.styles) for label, held in self.labels.items()}
        return {label: float(np.log(max(p, LEAST_PROBABILITY))) for label, p in best.items()}


def read_tag_evidence(source: str, held: Any, labels: Sequence[str]) -> TagEvidence | None:
    """Read ``tag_evidence`` of a config.

    Args:
        source: the checkpoint, for messages.
        held: the value in the config; None where it has none.
        labels: those of the checkpoint.

    Returns:
        What it says; None for None.

    Raises:
        CheckpointError: a number is out of range, a label is not known, or has no styles.
    """
    if held is None:
        return None
    found = parse_record(TagEvidence, held, f"{source}: tag_evidence in config.json", CheckpointError)
    if not found.labels.keys() <= set(labels) or not all(entry.styles for entry in found.labels.values()):
        raise CheckpointError(
            f"{source}: tag_evidence in config.json must give styles for {', '.join(labels)} alone"
        )
    return found


__all__ = ["LabelEvidence", "TagEvidence", "read_tag_evidence"]
