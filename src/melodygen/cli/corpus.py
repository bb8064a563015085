"""``melodygen corpus``: what is in a folder of music, and what cannot be used and why."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melodygen.cli.common import plain

if TYPE_CHECKING:
    from melodygen.data.census import Census

SHOWN_REJECTS = 20


def corpus(
    folder: Annotated[
        Path, typer.Argument(help="A folder of MIDI, MusicXML, ABC or Humdrum files, at any depth.")
    ],
    style: Annotated[
        str | None,
        typer.Option("--style", "-s", help="One style for all, instead of sub-folders or manifest.csv."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also a CSV with a line for every file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also a picture (PNG) of what is there.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read. Default: one a CPU core.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")] = False,
) -> None:
    """Show what a folder of music holds: files, notes, roles, meters, keys, lengths, near-duplicates, rejects."""
    from melodygen.cli.progress import stage_progress
    from melodygen.data.census import Census, read_census, write_report
    from melodygen.data.scan import find_files
    from melodygen.errors import CorpusError
    from melodygen.services.output import check_writable

    check_writable([p for p in (report, plot) if p is not None], force)
    files = find_files(folder, style)
    census, done = Census(), 0
    with stage_progress(visible=not quiet) as progress:

        def on_read(count: int) -> None:
            nonlocal done
            done += count
            progress(f"reading {done}/{len(files)}", done / len(files))

        for intake in read_census(files, workers or max(1, os.cpu_count() or 1), on_read):
            census.add(intake)
    if report is not None:
        write_report(report, census.rows)
    if plot is not None and census.used:
        from melodygen.plots.census import plot_census

        plot_census(
            plot, census, f"{folder.resolve().name}: {census.used} of {len(files)} files", overwrite=force
        )
    if json_:
        print(json.dumps({"folder": str(folder), **census.summary(), "per_file": census.rows}))
    elif not quiet:
        show(census)
    if not census.used:
        raise CorpusError(census.nothing_usable(folder))


def show(census: Census) -> None:
    """Tables for people."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    summary = census.summary()
    console.print(
        f"{summary['files']} files: [bold]{summary['used']} used[/], {summary['rejected']} rejected, "
        f"{summary['near_duplicates']} near-duplicates; {summary['notes']:,} notes, {summary['hours']} hours"
    )
    if census.used:
        table = Table("", "files", "notes", box=None, title="roles", title_justify="left")
        for role, found in summary["roles"].items():
            table.add_row(role, str(found["files"]), f"{found['notes']:,}")
        console.print(table)
        for name in ("styles", "meters", "keys"):
            listed = list(summary[name].items())
            more = f", and {len(listed) - 12} more" if len(listed) > 12 else ""
            console.print(
                f"{name}: " + ", ".join(f"{plain(k) or '?'} {v}" for k, v in listed[:12]) + more, markup=False
            )
        console.print("bars: {p5:g} to {p95:g}, median {median:g}".format(**summary["bars"]))
        console.print("seconds: {p5:g} to {p95:g}, median {median:g}".format(**summary["seconds"]))
    rejects: list[dict[str, Any]] = [*census.rejects, *census.doubles]
    if rejects:
        table = Table("not used", "why", box=None)
        for row in rejects[:SHOWN_REJECTS]:
            table.add_row(escape(plain(row["file"])), escape(plain(row["reason"])))
        console.print(table)
        if len(rejects) > SHOWN_REJECTS:
            console.print(f"and {len(rejects) - SHOWN_REJECTS} more: --report FILE.csv lists them all")
