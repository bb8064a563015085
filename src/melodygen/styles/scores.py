"""A classifier's probabilities for each style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import ClassifierError


@dataclass(frozen=True, eq=False)
class StyleScores:
    """How much a classifier hears each style: ``probabilities`` sum to 1 over ``labels``.

    ``part_of`` says of which style another is a part (jigs are folk): asked for folk, a jig is folk too.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float64]
    classifier_id: str
    part_of: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = np.asarray(self.probabilities, dtype=np.float64)
        if len(set(self.labels)) != len(self.labels) or values.shape != (len(self.labels),):
            raise ClassifierError(f"{len(self.labels)} labels for probabilities of shape {values.shape}")
        if not np.isfinite(values).all() or values.min() < 0 or abs(values.sum() - 1.0) > 1e-6:
            raise ClassifierError("style probabilities must be finite, not negative, and sum to 1")
        values = values.copy()
        values.flags.writeable = False
        object.__setattr__(self, "probabilities", values)

    def __getitem__(self, label: str) -> float:
        """Of a style, its parts included."""
        if label not in self.labels:
            raise ClassifierError(
                f"this classifier does not know {label!r}; it knows {', '.join(self.labels)}"
            )
        inside = [i for i, name in enumerate(self.labels) if label in self._wholes(name)]
        return float(min(1.0, self.probabilities[inside].sum()))

    def _wholes(self, name: str) -> list[str]:
        """The style itself, what it is part of, what that is part of."""
        chain = [name]
        while chain[-1] in self.part_of and self.part_of[chain[-1]] not in chain:
            chain.append(self.part_of[chain[-1]])
        return chain

    def top(self, count: int = 3) -> list[tuple[str, float]]:
        """The ``count`` likeliest labels with their probabilities, likeliest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.labels[i], float(self.probabilities[i])) for i in order]
