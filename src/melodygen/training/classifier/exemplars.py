"""What a classifier makes of music in the styles it knows, kept beside it, so that it can learn a new style without
the corpus it learned from.

``exemplars.safetensors`` in the checkpoint folder: ``embedded`` (M, D) float16, what the net makes of M windows before
it names a style, in detail (``CnnClassifier.details``); ``label`` (M,) index of the style; ``piece`` (M,) number of the
piece a window is from. The music is titles the classifier did not learn from: what it learned by heart would sound
surer than music does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.audio.features import Features, features
from melodygen.classification.cnn import CnnClassifier
from melodygen.contracts import Renderer
from melodygen.data.scan import SourceFile
from melodygen.data.stems import read_source
from melodygen.data.views import AS_IS, PLAIN, ViewMaker
from melodygen.errors import CorpusError, MelodygenError
from melodygen.nets.checkpoint import weights_sha256
from melodygen.rendering.draft import render_draft

EXEMPLARS = "exemplars.safetensors"
KEPT = "details"
"""What is kept of a window; an older file, which keeps less, is not used."""
SECONDS = 24.0
WINDOWS_A_VIEW = 3


@dataclass(frozen=True, eq=False)
class Exemplars:
    """M windows of music: see the module."""

    embedded: Features
    label: NDArray[np.int64]
    piece: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)

    def only(self, chosen: NDArray[np.bool_]) -> Exemplars:
        """The windows that are ``chosen`` (M,)."""
        return Exemplars(self.embedded[chosen], self.label[chosen], self.piece[chosen])


def joined(parts: Sequence[Exemplars]) -> Exemplars:
    """All of them; pieces of different parts stay different."""
    first = np.cumsum([0, *(int(p.piece.max(initial=-1)) + 1 for p in parts)])
    return Exemplars(
        np.concatenate([p.embedded for p in parts]),
        np.concatenate([p.label for p in parts]),
        np.concatenate([p.piece + at for p, at in zip(parts, first, strict=False)]),
    )


def embed_files(
    classifier: CnnClassifier, renderer: Renderer, files: Sequence[SourceFile], label: int, count: int, seed: int = 0,
    each: Callable[[float], None] = lambda share: None,
) -> Exemplars:  # fmt: skip
    """At least ``count`` windows of MIDI files (their ``style`` says how they are arranged) where there are as many:
    every other stretch as it is written, the others completed and instrumented anew, rendered as the loop renders.

    Raises CorpusError where there is nothing.
    """
    maker = ViewMaker()
    embedded: list[Features] = []
    pieces: list[int] = []
    for index in range(2 * count if files else 0):
        rng = np.random.default_rng([seed, index, label])
        chosen = int(rng.integers(len(files)))
        try:
            source = read_source(files[chosen])
            how = replace(AS_IS if index % 2 else PLAIN, seconds=SECONDS)
            view = maker.make(source, rng, how) if source is not None else None
            if view is None:
                continue
            heard = features(render_draft(view.score, renderer), classifier.front_end)[:WINDOWS_A_VIEW]
        except MelodygenError:
            continue
        embedded.append(classifier.details(heard))
        pieces += [chosen] * len(heard)
        each(min(1.0, len(pieces) / count))
        if len(pieces) >= count:
            break
    if not pieces:
        raise CorpusError(f"nothing to hear in {len(files)} files of one style")
    numbers = np.array(pieces, dtype=np.int64)
    return Exemplars(np.concatenate(embedded), np.full(len(pieces), label, dtype=np.int64), numbers)


def keep_exemplars(
    folder: Path, files: Sequence[SourceFile], renderer: Renderer, count: int,
    each: Callable[[str, Exemplars], None] = lambda style, kept: None,
) -> Exemplars:  # fmt: skip
    """Keep beside a classifier what it makes of validation titles, so that it can learn new styles later.

    To be done again whenever the weights change: exemplars of other weights are not used.

    Args:
        folder: the checkpoint.
        files: pieces of all its styles that it did not learn from.
        renderer: plays them.
        count: windows of each style.
        each: called with each style and what is kept of it.
    """
    classifier, parts = CnnClassifier.from_folder(folder), []
    for label, style in enumerate(classifier.labels):
        own = [f for f in files if f.style == style]
        parts.append(embed_files(classifier, renderer, own, label, count))
        each(style, parts[-1])
    kept = joined(parts)
    save_exemplars(folder, kept)
    return kept


def save_exemplars(folder: Path, exemplars: Exemplars) -> None:
    """Into a checkpoint folder."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {
        "embedded": exemplars.embedded.astype(np.float16), "label": exemplars.label.astype(np.int16),
        "piece": exemplars.piece.astype(np.int32),
    }  # fmt: skip
    with atomic_path(folder / EXEMPLARS, overwrite=True) as temporary:
        temporary.write_bytes(save(tensors, {"weights_sha256": weights_sha256(folder), "kept": KEPT}))


def load_exemplars(folder: Path) -> Exemplars | None:
    """Those of a checkpoint; None where there are none, or not of these weights."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(folder / EXEMPLARS), "numpy") as held:
            told = held.metadata() or {}
            if told.get("kept") != KEPT or told.get("weights_sha256") != weights_sha256(folder):
                return None
            return Exemplars(
                held.get_tensor("embedded").astype(np.float32), held.get_tensor("label").astype(np.int64),
                held.get_tensor("piece").astype(np.int64),
            )  # fmt: skip
    except (OSError, SafetensorError):
        return None
