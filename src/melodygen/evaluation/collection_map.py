"""A collection in two dimensions: embedding -> principal components -> t-SNE, with K-means clusters, as HTML or PNG."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.errors import CorpusError
from melodygen.evaluation.baselines import embedding_rows, need_sklearn
from melodygen.evaluation.labelled import ClassifiedItem, Item, read_labelled
from melodygen.io.folder import music_files

COLOURS = (
    "#3d7ea6", "#d1495b", "#2f9e6e", "#e0a030", "#9a7bb0", "#7a6a58", "#c86fa8", "#4fb3c4", "#777777", "#3f4a8a",
    "#a8a832", "#e07b39",
)  # fmt: skip
COMPONENTS = 30


@dataclass(frozen=True, eq=False)
class Layout:
    """``points`` (N, 2) in 0-1; ``labels`` as given, empty where there are none; ``styles`` what the net says first.

    ``agreement``  adjusted Rand index of clusters and labels; None without labels.
    ``names``      what the tracks are called; empty: as their files are.
    """

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    styles: tuple[tuple[str, float], ...]
    clusters: NDArray[np.int64]
    points: NDArray[np.float64]
    agreement: float | None
    names: tuple[str, ...] = ()

    @property
    def num_clusters(self) -> int:
        """How many clusters there are."""
        return len(np.unique(self.clusters))

    def to_dict(self) -> dict[str, Any]:
        """The layout as JSON holds it."""
        return {
            "clusters": self.num_clusters,
            "agreement": None if self.agreement is None else round(self.agreement, 4),
            "tracks": [
                {
                    "path": _text(path), "label": label or None, "style": style, "probability": round(p, 4),
                    "cluster": int(cluster), "x": round(float(x), 4), "y": round(float(y), 4),
                }
                for path, label, (style, p), cluster, (x, y) in zip(
                    self.paths, self.labels, self.styles, self.clusters, self.points, strict=True
                )
            ],
        }  # fmt: skip


def collection_items(folder: Path) -> list[Item]:
    """Labelled tracks where there are labels, else every track of the folder without one."""
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder")
    if (folder / "labels.csv").is_file():
        return read_labelled(folder)
    items = []
    for path in music_files(folder, recursive=True):
        parts = path.relative_to(folder).parts
        items.append(Item(path, parts[0] if len(parts) > 1 else "", str(path)))
    if not items:
        raise CorpusError(f"{folder}: no audio, MIDI or score file at any depth")
    return items


def lay_out(heard: Sequence[ClassifiedItem], clusters: int | None, seed: int) -> Layout:
    """The layout of classified tracks by the net's embedding. Raises MelodygenError without scikit-learn."""
    need_sklearn()
    from sklearn.preprocessing import StandardScaler

    rows = StandardScaler().fit_transform(embedding_rows(heard))
    styles = tuple(h.classifier.scores(h.logits.mean(axis=0)).top(1)[0] for h in heard)
    paths, labels = tuple(str(h.item.path) for h in heard), tuple(h.item.label for h in heard)
    return lay_out_vectors(rows, paths, labels, styles, clusters, seed)


def lay_out_vectors(
    rows: NDArray[np.floating[Any]],
    paths: tuple[str, ...],
    labels: tuple[str, ...],
    styles: tuple[tuple[str, float], ...],
    clusters: int | None,
    seed: int,
) -> Layout:
    """The layout of tracks by vectors (N, D); ``clusters`` None is as many as there are labels, or 8.

    Raises MelodygenError without scikit-learn.
    """
    need_sklearn()
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.metrics import adjusted_rand_score

    distinct = len(np.unique(rows, axis=0))
    rows = PCA(min(COMPONENTS, len(rows) - 1, rows.shape[1]), random_state=seed).fit_transform(rows)
    count = min(clusters or max(2, len(set(labels)) if any(labels) else 8), distinct)
    found = KMeans(count, n_init=10, random_state=seed).fit_predict(rows).astype(np.int64)
    perplexity = max(1.0, min(30.0, (len(rows) - 1) / 3))
    flat = (
        TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows).astype(np.float64)
    )
    flat = (flat - flat.min(axis=0)) / np.maximum(np.ptp(flat, axis=0), 1e-9)
    agreement = float(adjusted_rand_score(labels, found)) if len(set(labels)) > 1 else None
    return Layout(paths, labels, styles, found, flat, agreement)


def write_map(target: Path, layout: Layout, title: str, overwrite: bool = False) -> None:
    """``target`` ends in .html or .png."""
    if target.suffix.lower() == ".png":
        _write_png(target, layout, title, overwrite)
        return
    with atomic_path(target, overwrite) as temporary:
        temporary.write_text(page(layout, title), encoding="utf-8")


def _coloured(layout: Layout) -> tuple[list[str], dict[str, str]]:
    """The name that colours each track (its label, else what the net says), and the colour of each name."""
    names = [label or style for label, (style, _) in zip(layout.labels, layout.styles, strict=True)]
    return names, {n: COLOURS[i % len(COLOURS)] for i, n in enumerate(sorted(set(names)))}


def page(layout: Layout, title: str) -> str:
    """One HTML document, nothing from elsewhere: names on hover or focus, a legend that switches labels on and off."""
    names, colour = _coloured(layout)
    dots = []
    for i, (x, y) in enumerate(layout.points):
        style, p = layout.styles[i]
        said = f"{layout.labels[i]}; " if layout.labels[i] else ""
        called = layout.names[i] if layout.names else Path(layout.paths[i]).name
        told = f"{called}: {said}heard as {style} {p:.0%}, cluster {layout.clusters[i] + 1}"
        dots.append(
            f'<g class="dot" tabindex="0" data-name="{html.escape(_text(names[i]))}" '
            f'data-told="{html.escape(_text(told))}" '
            f'transform="translate({20 + 960 * x:.1f},{20 + 660 * (1 - y):.1f})">'
            f'<circle r="7" fill="{colour[names[i]]}"/><text y="2.5">{layout.clusters[i] + 1}</text></g>'
        )
    legend = "".join(
        f'<button data-name="{html.escape(_text(n))}" aria-pressed="true"><i style="background:{c}"></i>'
        f"{html.escape(_text(n))} {names.count(n)}</button>"
        for n, c in colour.items()
    )
    about = f"{len(names)} tracks; tracks that the net hears alike lie side by side; the number is the K-means cluster"
    if layout.agreement is not None:
        about += f" (agreement with the labels {layout.agreement:.2f}, adjusted Rand index)"
    shown = html.escape(_text(title))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{shown}</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem auto; max-width: 1000px; padding: 0 1rem;
  color: #222; background: #fff }}
h1 {{ font-size: 1.3rem; margin: 0 }} p {{ margin: .3rem 0 .8rem; color: #555 }}
svg {{ width: 100%; height: auto; background: #f7f7f5; border-radius: 8px; display: block }}
.dot {{ cursor: default; outline: none }} .dot circle {{ stroke: #fff; stroke-width: 1.2 }}
.dot text {{ font-size: 7px; text-anchor: middle; fill: #fff; pointer-events: none }}
.dot:hover circle, .dot:focus circle {{ stroke: #111; stroke-width: 2 }} .off {{ display: none }}
button {{ font: inherit; border: 1px solid #ccc; border-radius: 99px; background: #fff; margin: 0 .3rem .4rem 0;
  padding: .1rem .7rem }} button[aria-pressed=false] {{ opacity: .4 }}
i {{ display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em }}
#told {{ min-height: 1.5em; margin-top: .6rem; font-weight: 600; color: #222; overflow-wrap: anywhere }}
</style></head><body><h1>{shown}</h1><p>{html.escape(about)}</p><div>{legend}</div>
<svg viewBox="0 0 1000 700" role="img" aria-label="map of {shown}">{"".join(dots)}</svg>
<div id="told" aria-live="polite">Point at a track.</div>
<script>
const told = document.getElementById("told"), dots = document.querySelectorAll(".dot");
for (const dot of dots) for (const event of ["mouseenter", "focus"])
  dot.addEventListener(event, () => {{ told.textContent = dot.dataset.told; }});
for (const button of document.querySelectorAll("button")) button.addEventListener("click", () => {{
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", on);
  for (const dot of dots) if (dot.dataset.name === button.dataset.name) dot.classList.toggle("off", !on);
}});
</script></body></html>
"""


def _write_png(target: Path, layout: Layout, title: str, overwrite: bool) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names, colour = _coloured(layout)
    figure = Figure(figsize=(10, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, shade in colour.items():
        rows = [i for i, n in enumerate(names) if n == name]
        axes.scatter(layout.points[rows, 0], layout.points[rows, 1], s=60, color=shade, edgecolors="white",
                     label=f"{_text(name)} {len(rows)}".replace("$", r"\$"))  # fmt: skip
    for (x, y), cluster in zip(layout.points, layout.clusters, strict=True):
        axes.text(x, y, str(cluster + 1), ha="center", va="center", fontsize=5, color="white")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(_text(title).replace("$", r"\$") + ": numbers are K-means clusters", fontsize=10)
    with atomic_path(target, overwrite) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


__all__ = ["Layout", "collection_items", "lay_out", "page", "write_map"]
