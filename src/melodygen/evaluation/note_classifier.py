"""A second judge of style, for evaluation only: it reads notes, where the CNN hears sound, and learns from real music.

A loop that chooses with a classifier cannot be measured by that classifier alone. This one sees statistics of a few
bars on the grid (pitch classes over the tonic, melodic intervals, note lengths, where in the beat and the bar notes
begin, density, polyphony and range by role, meter) and decides with extremely randomised trees (Geurts et al. 2006,
scikit-learn, the ``eval`` extra). Instruments, tempo, dynamics and sound are not among them: they are asked for, not
written.

N notes of a window, M windows, D statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import PluginError
from melodygen.tokens.columns import DRUM_ROLE, Columns
from melodygen.tokens.vocabulary import DURATIONS, METERS, SEGMENT_ROLES

Rows = NDArray[np.float64]

WINDOW_BARS = 16
_DURATIONS = np.array(DURATIONS)
_LENGTH_EDGES = np.array((2, 3, 4, 6, 9, 12, 18, 24, 48, 96))
_BAR_PARTS = 12


def windows(table: Columns, bars: int = WINDOW_BARS) -> Iterator[Columns]:
    """Stretches of ``bars`` bars one after another; a rest of less than half of that is left out, unless it is all."""
    for first in range(0, max(1, table.num_bars - bars // 2 + 1), bars):
        inside = (table.bar >= first) & (table.bar < first + bars)
        yield replace(
            table, meters=table.meters[first : first + bars], bar=table.bar[inside] - first, role=table.role[inside],
            at=table.at[inside], band=table.band[inside], duration=table.duration[inside], pitch=table.pitch[inside],
            chords=table.chords[:0],
        )  # fmt: skip


def describe(table: Columns) -> Rows:
    """(D,) statistics of a window."""
    numerator, denominator = METERS[int(np.bincount(table.meters).argmax())]
    size = numerator * 48 / denominator
    key = table.estimated_key() or (0, "major")
    classes = np.roll(table.pitch_classes.sum(axis=0), -key[0])
    onset = table.bar_starts[table.bar] + table.at
    pitched = table.role != DRUM_ROLE
    quarters = max(1.0, float(table.bar_starts[-1]) / 12)
    lead = _lead(table)
    interval = np.diff(table.pitch[lead])
    parts = [
        _share(classes), [key[1] == "minor"],
        _share(np.bincount(np.clip(interval, -12, 12) + 12, minlength=25)),
        [np.abs(interval).mean() if len(interval) else 0],
        _share(np.bincount(np.searchsorted(_LENGTH_EDGES, _DURATIONS[table.duration[pitched]], "right"), minlength=11)),
        _share(np.bincount(table.at[pitched] % 12, minlength=12)),
        _share(np.bincount(np.minimum(table.at[pitched] * _BAR_PARTS / size, _BAR_PARTS - 1).astype(int),
                           minlength=_BAR_PARTS)),
        _share(np.bincount(np.clip(np.diff(np.unique(onset[lead])), 0, 24), minlength=25)),
        [numerator, denominator, size, numerator % 3 == 0],
        [len(np.unique(onset[pitched])) / quarters, pitched.sum() / max(1, len(np.unique(onset[pitched])))],
    ]  # fmt: skip
    for role in range(1, len(SEGMENT_ROLES)):
        own = table.role == role
        pitch = table.pitch[own] if own.any() and role != DRUM_ROLE else np.zeros(1)
        starts = max(1, len(np.unique(onset[own])))
        parts.append([own.sum() / quarters, own.sum() / starts, pitch.mean(), pitch.std(), np.ptp(pitch)])
    return np.concatenate([np.asarray(p, dtype=np.float64) for p in parts])


def _lead(table: Columns) -> NDArray[np.int64]:
    """Indices of the highest note of each onset of the tune."""
    roles = [SEGMENT_ROLES.index(r) for r in ("melody", "other", "chords", "bass") if r in table.roles]
    found = np.flatnonzero(table.role == roles[0]) if roles else np.zeros(0, dtype=np.int64)
    onset = table.bar_starts[table.bar[found]] + table.at[found]
    order = np.lexsort((table.pitch[found], onset))
    top = np.diff(onset[order], append=-1) != 0
    return np.asarray(found[order][top])


def _share(counts: NDArray[Any]) -> Rows:
    return np.asarray(counts / max(1e-9, float(counts.sum())), dtype=np.float64)


class NoteStatisticsClassifier:
    """Trees over windows of labelled music; a piece is what its windows are on average."""

    def __init__(
        self, pieces: Sequence[Columns], labels: Sequence[str], seed: int = 0, trees: int = 300
    ) -> None:
        try:
            from sklearn.ensemble import ExtraTreesClassifier
        except ImportError as error:
            raise PluginError("the second judge needs scikit-learn: pip install 'melodygen[eval]'") from error
        rows = [(describe(w), label) for p, label in zip(pieces, labels, strict=True) for w in windows(p)]
        self._trees = ExtraTreesClassifier(
            trees, min_samples_leaf=2, class_weight="balanced", random_state=seed, n_jobs=1
        )
        self._trees.fit(np.array([r for r, _ in rows]), [label for _, label in rows])
        self.labels: tuple[str, ...] = tuple(str(label) for label in self._trees.classes_)

    def judge(self, piece: Columns) -> Rows:
        """(labels,) probabilities."""
        rows = np.array([describe(w) for w in windows(piece)])
        return np.asarray(self._trees.predict_proba(rows).mean(axis=0))

    def name(self, piece: Columns) -> str:
        """The likeliest label of a piece."""
        return self.labels[int(self.judge(piece).argmax())]
