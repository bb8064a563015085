"""``melodygen evaluate``: how right a classifier is on labelled tracks; how a generator's bands play together."""

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
    from melodygen.services.evaluate_generator import EvaluationResult

app = typer.Typer(no_args_is_help=True, help="Measure a classifier or a generator.")


@app.callback()
def _evaluate() -> None:
    """Measure a classifier on your own labelled tracks, or what a generator writes."""


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
        bool, typer.Option("--baselines", help="Also further plain methods, cross-validated on these tracks.")
    ] = False,
    changes: Annotated[
        bool,
        typer.Option(
            "--changes/--no-changes",
            help="Also how many verdicts stay after silence around, other levels, an excerpt.",
        ),
    ] = True,
    folds: Annotated[
        int, typer.Option(min=2, help="Folds of the cross-validation, grouped by artist or title.")
    ] = 5,
    seed: Annotated[int, typer.Option(help="Random seed of folds, forests and the LSTM.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Also a picture (PNG) of the confusion matrix.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing picture.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Tell accuracy, F1, confusion, calibration, music and stability on labelled tracks, with intervals.

    What classify says comes first, by the name of the classifiers it asks; where it does not leave the tracks to the
    style CNN, that follows alone. They are taken as they are and asked about the labels that they and the folder share,
    once among all their labels and once among those of the folder. SVMs on MFCC and on musicnn's embedding are trained
    on these tracks in folds that never cut through an artist. Tracks labelled "speech", "noise" or "no music" are asked
    about music alone.
    """
    from melodygen.cli.progress import stage_progress
    from melodygen.services.evaluate import EvaluateRequest, evaluate

    asked = EvaluateRequest(folder, name, baselines, folds, seed, plot, force, changes)
    with stage_progress(visible=not quiet) as progress:
        result = evaluate(asked, progress)
    if json_:
        print(json.dumps(result.to_dict()))
    else:
        _show(result.evaluation, result.failed)
    if result.failed:
        raise typer.Exit(1)


@app.command("generator")
def generator(
    model: Annotated[
        str | None, typer.Option("--model", help="A name or folder. Default: the shipped one.")
    ] = None,
    styles: Annotated[
        str | None, typer.Option("--styles", help="A list like jazz,pop. Default: all.")
    ] = None,
    pieces: Annotated[int, typer.Option(min=1, max=1000, help="Pieces a style, none of them chosen.")] = 16,
    bars: Annotated[int, typer.Option(min=2, max=64, help="Bars a piece.")] = 16,
    music: Annotated[
        Path | None, typer.Option(help="Measure this folder of music instead of writing any.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="A folder of music to compare with; sub-folders named by style.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for report.json, report.html and the pieces.")
    ] = None,
    listen: Annotated[
        bool,
        typer.Option("--listen/--no-listen", help="Also render each piece and tell its style probability."),
    ] = True,
    players: Annotated[
        int, typer.Option(min=0, help="Pieces a style that the page plays; the rest are MIDI files.")
    ] = 3,
    seed: Annotated[int, typer.Option(help="Of the pieces, the bootstrap and the forest.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Tell how the parts play together, whether the tune comes back and how timid it is, beside a reference.

    Without a reference the pieces of 16 bars stand beside the shipped figures of human music. A star marks a median
    outside the reference's quartiles. With scikit-learn a forest tries to tell the pieces from
    the reference.
    """
    from melodygen.cli.progress import stage_progress
    from melodygen.services.evaluate_generator import GeneratorEvaluation, evaluate_generator, write_report
    from melodygen.services.output import check_writable

    files = [] if out is None else [out / "report.json", out / "report.html"]
    check_writable(files, force)
    names = tuple(s.strip() for s in styles.split(",") if s.strip()) if styles else ()
    asked = GeneratorEvaluation(model, names, pieces, bars, music, reference, seed, listen)
    with stage_progress(visible=not quiet) as progress:
        result = evaluate_generator(asked, lambda what, done: progress(what[:40], done))
    if out is not None:
        write_report(result, out, force, players)
    if json_:
        print(json.dumps(result.to_dict()))
    else:
        _show_generator(result)
    for path, reason in result.failed.items():
        print(f"melodygen: {path}: {reason}".encode("utf-8", "backslashreplace").decode(), file=sys.stderr)


def _show_generator(result: EvaluationResult) -> None:
    from rich.console import Console
    from rich.table import Table

    from melodygen.evaluation.generator import apart_rows, figure_names, table_rows

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(result.told, markup=False)
    table = Table("", *(f"{r.style} ({r.pieces})" for r in result.reports), box=None)
    for name in figure_names(result.reports):
        table.add_row(name, *table_rows(result.reports, name))
    for row in apart_rows(result.reports):
        table.add_row(*row)
    console.print(table)


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
    for name, part in result.shares.items():
        low, high = part.interval
        table.add_row(name, str(part.num_tracks), f"{part.share:.1%}", f"{low:.1%}–{high:.1%}", "–", "–", "–")
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
