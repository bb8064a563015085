"""``melodygen map``: a collection as a picture, what sounds alike side by side."""

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
        int | None, typer.Option(min=2, help="For K-means. Default: as many as there are labels.")
    ] = None,
    classifier: Annotated[
        str | None, typer.Option(help="Whose ears: a name or folder. Default: style-cnn for everything.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the layout and of K-means.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")] = False,
) -> None:
    """Lay a collection out in two dimensions: tracks that the net hears alike lie side by side.

    The CNN's embedding of each track, principal components, t-SNE; K-means clusters beside the labels. The HTML page
    holds everything it needs and asks nothing of any network. Needs scikit-learn (the extra 'eval').
    """
    from melodygen.classification.batch import load_recognizer
    from melodygen.cli.progress import stage_progress
    from melodygen.errors import CorpusError, UsageError
    from melodygen.evaluation.collection_map import collection_items, lay_out, write_map
    from melodygen.evaluation.labelled import classify_labelled
    from melodygen.nets.checkpoint import DEFAULT_CLASSIFIER
    from melodygen.services.output import refuse_existing

    if out.suffix.lower() not in (".html", ".png"):
        raise UsageError(f"--out {out}: give a name that ends in .html or .png")
    refuse_existing([out], force)
    items = collection_items(folder)
    with stage_progress(visible=not quiet) as progress:
        listener = load_recognizer(classifier or DEFAULT_CLASSIFIER)
        heard, failed = classify_labelled(
            items, listener, lambda n: progress(f"hearing {n}/{len(items)}", n / len(items))
        )
        if len(heard) < 4:
            reason = f"; {failed[0].path}: {failed[0].reason}" if failed else ""
            raise CorpusError(f"{folder}: {len(heard)} tracks can be heard; a map needs at least 4{reason}")
        progress("laying out", 0.9)
        layout = lay_out(heard, clusters, seed)
        write_map(out, layout, folder.resolve().name, force)
    for failure in failed:
        print(
            f"melodygen: {failure.path}: {failure.reason}".encode("utf-8", "backslashreplace").decode(),
            file=sys.stderr,
        )
    if json_:
        print(json.dumps(layout.to_dict() | {"out": str(out), "failed": [f.to_dict() for f in failed]}))
    elif not quiet:
        agreement = (
            ""
            if layout.agreement is None
            else f"; agreement of clusters and labels {layout.agreement:.2f} (Rand, adjusted)"
        )
        print(f"{out}: {len(heard)} tracks, {layout.num_clusters} clusters{agreement}")
    if failed:
        raise typer.Exit(1)
