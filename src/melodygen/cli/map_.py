"""``melodygen map``: a collection as a map on which similar tracks lie side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def map_(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A folder of audio, MIDI and score files; sub-folders or labels.csv give labels."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="map.html (hover shows names) or map.png.")] = Path(
        "map.html"
    ),
    clusters: Annotated[
        int | None, typer.Option(min=2, help="Number of clusters. Default: the number of labels.")
    ] = None,
    classifier: Annotated[
        str | None, typer.Option(help="Classifier: a name or folder. Default: style-cnn for everything.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the layout and of K-means.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")] = False,
) -> None:
    """Lay a collection out in two dimensions: similar tracks lie side by side.

    The CNN's embedding of each track, principal components, t-SNE; K-means clusters beside the labels. The HTML page
    holds everything it needs and asks nothing of any network. Needs scikit-learn (the extra 'eval').
    """
    from melodygen.cli.progress import stage_progress
    from melodygen.services.evaluate import MapRequest, map_collection

    with stage_progress(visible=not quiet) as progress:
        result = map_collection(MapRequest(folder, out, clusters, classifier, seed, force), progress)
    for failure in result.failed:
        print(
            f"melodygen: {failure.path}: {failure.reason}".encode("utf-8", "backslashreplace").decode(),
            file=sys.stderr,
        )
    layout = result.layout
    if json_:
        print(json.dumps(result.to_dict()))
    elif not quiet:
        agreement = (
            ""
            if layout.agreement is None
            else f"; agreement of clusters and labels {layout.agreement:.2f} (Rand, adjusted)"
        )
        print(f"{out}: {result.num_tracks} tracks, {layout.num_clusters} clusters{agreement}")
    if result.failed:
        raise typer.Exit(1)
