"""Renders views of the corpus: into a store to learn from, or as windows to calibrate and measure with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.audio.features import Features, FrontEndConfig, features
from melodygen.contracts import Renderer
from melodygen.data.scan import SourceFile
from melodygen.data.stems import Source, read_source
from melodygen.data.views import TRAINING, View, ViewMaker, ViewStyle
from melodygen.errors import CorpusError, MelodygenError
from melodygen.rendering.draft import render_draft
from melodygen.training.classifier.view_store import Entry, StoreWriter, render_stems

MAX_TAKES = 30
"""Drum takes of one label that are read."""
ADDITIVE_WEIGHT = 0.25
"""How often the additive renderer plays, relative to a soundfont."""
VALIDATION_STREAM = 7
"""Random stream of validation views."""
PLAN_WEIGHTS = {"leads": 0.34, "piano": 0.2, "any": 0.22, "neighbours": 0.14, "keyboard": 0.1}
"""How often the further versions of a view are played on which instruments (``data.reorchestration``)."""
VERSIONED = replace(TRAINING, as_is=0.4)
"""How views of several versions are made: more of them as written, since that is how files come."""
Groups = dict[str, dict[str, list[SourceFile]]]


def group_files(files: Sequence[SourceFile], split: str, labels: Sequence[str]) -> Groups:
    """Pieces of a split: style -> collection (the first two folders of the name) -> files."""
    groups: Groups = defaultdict(lambda: defaultdict(list))
    for file in files:
        if file.split == split and file.kind == "piece" and file.style in labels:
            groups[file.style]["/".join(file.name.split("/")[:2])].append(file)
    return groups


def read_takes(files: Sequence[SourceFile], split: str) -> dict[str, list[Source]]:
    """Drum takes of a split by label, at most ``MAX_TAKES`` each."""
    takes: dict[str, list[Source]] = defaultdict(list)
    for file in files:
        if file.kind == "drums" and file.split == split and len(takes[file.style]) < MAX_TAKES:
            source = read_source(file)
            if source is not None and len(source.bars) >= 2 and source.bars[0].meter == (4, 4):
                takes[file.style].append(source)
    return takes


def draw_file(groups: dict[str, list[SourceFile]], rng: np.random.Generator) -> SourceFile:
    """A file of a style: collections evenly, but for those of fewer than twenty pieces."""
    names = sorted(groups)
    weight = np.array([min(1.0, len(groups[n]) / 20) for n in names])
    files = groups[names[int(rng.choice(len(names), p=weight / weight.sum()))]]
    return files[int(rng.integers(len(files)))]


@dataclass(frozen=True)
class ViewSource:
    """Where views come from.

    Attributes:
        groups: pieces of one split (``group_files``).
        labels: the styles, in turn.
        maker: makes a view of a piece.
        renderers: one is drawn for each view; a renderer called ``additive`` is drawn less.
    """

    groups: Groups
    labels: Sequence[str]
    maker: ViewMaker
    renderers: Sequence[Renderer]


def render_store(
    folder: Path, views: ViewSource, count: int, seed: int, as_is: bool = True, versions: int = 1,
    each: Callable[[int], None] = lambda done: None,
) -> int:  # fmt: skip
    """Append ``count`` views to the store in ``folder``; a view from which nothing sounds is left out.

    Args:
        folder: the store; a store that was cut off goes on after its last view.
        views: where they come from.
        count: views to try, the styles in turn.
        seed: of all draws; a view depends on (seed, its number).
        as_is: some views leave the piece as it is written.
        versions: how often the notes of a view are played, each time after the first on other instruments.
        each: called with the number of views tried.

    Returns:
        How many entries were written.
    """
    missing = [label for label in views.labels if not views.groups.get(label)]
    if missing:
        raise CorpusError(f"no pieces of {', '.join(missing)} to learn from; put some into the corpus folder")
    how = VERSIONED if versions > 1 else TRAINING if as_is else replace(TRAINING, as_is=0.0)
    writer, made = StoreWriter(folder), 0
    for index in range(count):
        made += write_view(writer, views, how, (seed, index), versions)
        each(index + 1)
    return made


def write_view(
    writer: StoreWriter, views: ViewSource, how: ViewStyle, number: tuple[int, int], versions: int = 1
) -> int:
    """Render the view with a (seed, index) in all its versions.

    Returns:
        How many entries were written; 0 where nothing pitched sounds or the file cannot be used.
    """
    rng = np.random.default_rng(number)
    style = views.labels[number[1] % len(views.labels)]
    file = draw_file(views.groups[style], rng)
    weight = np.array([ADDITIVE_WEIGHT if r.renderer_id == "additive" else 1.0 for r in views.renderers])

    def renderer() -> Renderer:
        return views.renderers[int(rng.choice(len(weight), p=weight / weight.sum()))]

    first = renderer()
    try:
        source = read_source(file)
        view = views.maker.make(source, rng, how) if source is not None else None
        if view is None or source is None:
            return 0
        if versions == 1:
            return _write(writer, view, first, _entry(source, first, -1, "same"), (rng, how))
        weights = np.array(list(PLAN_WEIGHTS.values()))
        drawn = rng.choice(list(PLAN_WEIGHTS), versions - 1, replace=False, p=weights / weights.sum())
        made = 0
        for plan in ("same", *drawn.tolist()):
            played = first if plan == "same" else renderer()
            other = view.reorchestrated(plan, rng)
            made += _write(writer, other, played, _entry(source, played, number[1], plan), (rng, how))
        return made
    except MelodygenError:
        return 0


def _entry(source: Source, renderer: Renderer, notes: int, plan: str) -> Entry:
    file = source.file
    font = renderer.renderer_id
    return Entry(file.style, source.collection, file.name, file.title, font, 0, (), notes, plan)


def _write(
    writer: StoreWriter,
    view: View,
    renderer: Renderer,
    entry: Entry,
    how: tuple[np.random.Generator, ViewStyle],
) -> bool:
    """Render the stems of a view and append them; False where nothing pitched sounds."""
    rng, style = how
    stems = render_stems(view, renderer, rng, FrontEndConfig(), style.seconds)
    if not set(stems) - {"drums"}:
        return False
    writer.add(stems, replace(entry, stems=tuple(stems)))
    return True


@dataclass(frozen=True, eq=False)
class WindowSet:
    """Windows of labelled music.

    Attributes:
        windows: levels (W, F, T).
        item: index of the piece of each window (W,).
        label, name, collection: of each piece.
    """

    windows: Features
    item: NDArray[np.int64]
    label: tuple[str, ...]
    name: tuple[str, ...]
    collection: tuple[str, ...]

    @classmethod
    def of(cls, pieces: Sequence[tuple[Features, str, str, str]]) -> WindowSet:
        """Of pieces as (windows, label, name, collection)."""
        if not pieces:
            raise CorpusError("there is no music to cut windows from; check the folder and its labels")
        windows, labels, names, collections = zip(*pieces, strict=True)
        item = np.repeat(np.arange(len(pieces)), [len(w) for w in windows])
        return cls(np.concatenate(windows), item, labels, names, collections)

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file, windows as float16."""
        with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream, windows=self.windows.astype(np.float16), item=self.item, label=np.array(self.label),
                name=np.array(self.name), collection=np.array(self.collection),
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> WindowSet:
        """Read what ``save`` wrote."""
        held = np.load(path)
        texts = (tuple(held[key].tolist()) for key in ("label", "name", "collection"))
        return cls(held["windows"].astype(np.float32), held["item"], *texts)


def validation_windows(views: ViewSource, how: ViewStyle, pieces: int) -> WindowSet:
    """Windows of about ``pieces`` pieces a style, from all collections alike; few pieces give up to three views."""
    config, found = FrontEndConfig(), []
    for number, style in enumerate(views.labels):
        rng = np.random.default_rng([VALIDATION_STREAM, number])
        groups = views.groups.get(style, {})
        each = -(-pieces // max(len(groups), 1))
        chosen = [groups[n][i] for n in sorted(groups) for i in rng.permutation(len(groups[n]))[:each]]
        repeats = min(3, pieces // max(len(chosen), 1)) if len(chosen) <= pieces // 2 else 1
        for file in (f for f in chosen for _ in range(repeats)):
            source = read_source(file)
            view: View | None = views.maker.make(source, rng, how) if source is not None else None
            if view is None or source is None:
                continue
            renderer = views.renderers[int(rng.integers(len(views.renderers)))]
            levels = features(render_draft(view.score, renderer), config)
            found.append((levels, style, file.name, source.collection))
    if not found:
        raise CorpusError("the corpus holds no validation pieces (split 'valid'); mark some in its manifest")
    return WindowSet.of(found)
