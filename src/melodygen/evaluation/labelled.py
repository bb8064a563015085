"""A folder of labelled tracks: sub-folders named by label, or ``labels.csv`` with path, label and, where known, artist.

The artist (or ``title``, or ``group``) is what cross-validation must not cut through. Without a table it is the
sub-folder below the label (``jazz/some band/track.flac``), and failing that the file itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.audio.features import Features
from melodygen.classification.recognizer import TrackClassifier
from melodygen.classification.result import TrackError
from melodygen.classification.tagger import Tags
from melodygen.contracts import WindowClassifier
from melodygen.errors import CorpusError, MelodygenError, reason_of
from melodygen.evaluation.stability import verdicts_after
from melodygen.io.csv_table import read_table
from melodygen.io.folder import music_files
from melodygen.styles.scores import StyleScores

GROUP_FIELDS = ("artist", "group", "title")


@dataclass(frozen=True)
class Item:
    """A labelled track: its file, label, and the group that folds must not part."""

    path: Path
    label: str
    group: str


@dataclass(frozen=True, eq=False)
class ClassifiedItem:
    """A labelled track as windows (W, F, T), and what the checkpoint makes of them: (W, E) and logits (W, C).

    ``tags``: of recordings, where the recognizer has a tagger for them; ``after``: of some of those, the likeliest
    style after each change of ``evaluation.stability``; ``fused``: of scores and renders, what the classifier and the
    tagger beside it say together.
    """

    item: Item
    classifier: WindowClassifier
    windows: Features
    embedded: Features
    logits: NDArray[np.float64]
    tags: Tags | None = None
    after: Mapping[str, str] = field(default_factory=dict)
    fused: StyleScores | None = None

    @property
    def said(self) -> StyleScores | None:
        """The styles that ``classify`` tells, where they are not those of ``classifier`` alone."""
        return self.fused if self.tags is None else self.tags.styles


def read_labelled(folder: Path) -> list[Item]:
    """Raises CorpusError when nothing is labelled, or a table cannot be read."""
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder")
    table = folder / "labels.csv"
    if table.is_file():
        rows = read_table(table, ("path", "label"))
        field = next((f for f in GROUP_FIELDS if f in rows[0]), None)
        items = [
            Item(folder / r["path"], r["label"], (r[field] if field else "") or r["path"])
            for r in rows
            if r["path"] and r["label"]
        ]
    else:
        items = []
        for path in music_files(folder, recursive=True):
            parts = path.relative_to(folder).parts
            if len(parts) > 1:
                items.append(Item(path, parts[0], "/".join(parts[:2])))
    if not items:
        raise CorpusError(
            f"{folder}: no labelled track; make a folder for each label, or labels.csv (path,label,artist)"
        )
    return items


def classify_labelled(
    items: Sequence[Item],
    recognizer: TrackClassifier,
    progress: Callable[[int], None] | None = None,
    num_changed: int = 0,
) -> tuple[list[ClassifiedItem], list[TrackError]]:
    """What could be heard, in order, and what could not, and why. ``num_changed``: of how many tracks at most, evenly
    drawn, it is also told what is heard after changes."""
    heard, failed = [], []
    step = -(-len(items) // num_changed) if num_changed else len(items) + 1
    for number, item in enumerate(items, 1):
        try:
            found = recognizer.listen(item.path)
            embedded, logits = found.classifier.outputs(found.windows)
            tags, after = None, {}
            if found.recording is not None:
                tagger, mono = found.recording
                tags = tagger.tag(mono)
                after = {} if number % step else verdicts_after(mono, tagger)
            heard.append(
                ClassifiedItem(
                    item, found.classifier, found.windows, embedded, logits, tags, after, found.fused
                )
            )
        except (MelodygenError, OSError, MemoryError) as error:
            failed.append(TrackError(str(item.path), reason_of(error, item.path.name)))
        if progress is not None:
            progress(number)
    return heard, failed


__all__ = ["ClassifiedItem", "Item", "classify_labelled", "read_labelled"]
