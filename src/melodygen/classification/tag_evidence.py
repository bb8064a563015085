"""What the tagger's styles say about a render, beside the style CNN.

The CNN learned from renders of a few collections and hears their instruments and sources as much as style. The tagger
learned from songs and from no render, so the two are wrong about different pieces. Their probabilities are multiplied,
those of the tagger to a power.
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
class TagEvidence:
    """How the tagger's styles count in the verdict of a style CNN (``tag_evidence`` of a checkpoint and of a recipe).

    Attributes:
        weight: power of the tagger's probability; 0: it does not count.
        temperature: divides the sum of the log probabilities.
        unsure_below: probability of the likeliest style below which there is no verdict.
        styles: for each label of the CNN the styles of ``taxonomy.STYLE_TAGS`` that speak for it; the likeliest counts.
            Labels that share them (baroque and hymn are classical to the tagger) are told apart by the CNN alone.
    """

    weight: float = field(metadata={"high": 2.0})
    temperature: float = field(metadata={"low": 0.01, "high": 100.0})
    unsure_below: float = field(metadata={"high": 1.0})
    styles: Mapping[str, tuple[str, ...]] = field(metadata={"choices": tuple(STYLE_TAGS)})

    def fused(
        self, styles: Sequence[tuple[str, float]], tagged: StyleScores
    ) -> tuple[tuple[str, float], ...]:
        """Return the labels of the CNN with what both say.

        Args:
            styles: every label of the CNN with its probability.
            tagged: what the tagger says of the same sound.

        Returns:
            (label, probability), likeliest first; the probabilities sum to 1.
        """
        heard = dict(zip(tagged.labels, tagged.probabilities.tolist(), strict=True))
        own = np.array([p for _, p in styles])
        other = np.array([max(heard[name] for name in self.styles[label]) for label, _ in styles])
        both = np.log(np.maximum(own, LEAST_PROBABILITY))
        both += self.weight * np.log(np.maximum(other, LEAST_PROBABILITY))
        likelihood = np.exp((both - both.max()) / self.temperature)
        shares = likelihood / likelihood.sum()
        order = np.argsort(-shares, kind="stable")
        return tuple((styles[i][0], float(shares[i])) for i in order)


def read_tag_evidence(source: str, held: Any, labels: Sequence[str]) -> TagEvidence | None:
    """Read ``tag_evidence`` of a config.

    Args:
        source: the checkpoint, for messages.
        held: the value in the config; None where it has none.
        labels: those of the checkpoint.

    Returns:
        What it says; None for None.

    Raises:
        CheckpointError: a number is out of range, or not every label has styles of the taxonomy.
    """
    if held is None:
        return None
    found = parse_record(TagEvidence, held, f"{source}: tag_evidence in config.json", CheckpointError)
    if found.styles.keys() != set(labels) or not all(found.styles.values()):
        raise CheckpointError(
            f"{source}: tag_evidence in config.json must give styles for each of {', '.join(labels)}"
        )
    return found


__all__ = ["TagEvidence", "read_tag_evidence"]
