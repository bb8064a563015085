"""``melodygen evaluate classifier``: how right a classifier is on labelled tracks, beside plain methods."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from melodygen.classification.result import TrackError
    from melodygen.evaluation.metrics import Report

app = typer.Typer(no_args_is_help=True, help="Measure on your own labelled tracks.")


@app.callback()
def _evaluate() -> None:
    """Measure on your own labelled tracks."""


@app.command("classifier")
def classifier(
    folder: Annotated[
        Path, typer.Argument(help="Sub-folders named by label, or labels.csv (path,label,artist).")
    ],
    name: Annotated[
        str | None,
        typer.Option("--classifier", help="A name or folder. Default: the one that fits each file."),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also plain methods, cross-validated on these tracks.")
    ] = False,
    folds: Annotated[
        int, typer.Option(min=2, help="Folds of the cross-validation, grouped by artist or title.")
    ] = 5,
    seed: Annotated[int, typer.Option(help="Random seed of folds, forests and the LSTM.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Also a picture (PNG) of the confusion matrix.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing picture.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Tell accuracy, precision, recall, F1, confusion and calibration on labelled tracks, with intervals.

    The classifier is taken as it is and asked about the labels that it and the folder share, once among all its labels
    and once among those of the folder. Baselines are trained on these tracks in folds that never cut through an artist.
    """
    from melodygen.cli.progress import stage_progress
    from melodygen.services.evaluate import EvaluateRequest, evaluate

    asked = EvaluateRequest(folder, name, baselines, folds, seed, plot, force)
    with stage_progress(visible=not quiet) as progress:
        result = evaluate(asked, progress)
    if json_:
        print(json.dumps(result.to_dict()))
    else:
        _show(result.evaluation, result.failed)
    if result.failed:
        raise typer.Exit(1)


def _show(result: Any, failed: Sequence[TrackError]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    console.print(result.told, markup=False)
    table = Table(
        Column("", no_wrap=True),
        "tracks",
        "right",
        "95 % interval",
        "balanced",
        "macro F1",
        "calibration error",
        box=None,
    )
    for name, row in result.reports.items():
        found, (low, high) = row.report, row.interval
        calibration = f"{found.calibration_error:.3f}" if row.is_probability else "–"
        table.add_row(
            name, str(found.num_items), f"{found.accuracy:.1%}", f"{low:.1%}–{high:.1%}",
            f"{found.balanced_accuracy:.1%}", f"{found.macro_f1:.3f}", calibration,
        )  # fmt: skip
    console.print(table)
    for name, row in list(result.reports.items())[:1]:
        console.print(f"\n{name}, by label:", markup=False)
        _show_labels(console, row.report)
    for failure in failed:
        print(
            f"melodygen: {failure.path}: {failure.reason}".encode("utf-8", "backslashreplace").decode(),
            file=sys.stderr,
        )


def _show_labels(console: Any, found: Report) -> None:
    from rich.table import Table

    rows = [i for i, n in enumerate(found.confusion.sum(axis=1)) if n]
    table = Table("label", "tracks", "precision", "recall", "F1", "heard as", box=None)
    for i in rows:
        order = sorted(range(len(found.labels)), key=lambda j: -int(found.confusion[i, j]))
        heard = ", ".join(
            f"{found.labels[j]} {found.confusion[i, j]}" for j in order[:4] if found.confusion[i, j]
        )
        table.add_row(
            found.labels[i], str(int(found.confusion[i].sum())), f"{found.precision[i]:.2f}", f"{found.recall[i]:.2f}",
            f"{found.f1[i]:.2f}", heard,
        )  # fmt: skip
    console.print(table)
