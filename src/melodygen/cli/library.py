"""``melodygen library``: fill a collection, and look into it. What is asked of it stands in ``library_ask``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melodygen.cli.common import plain

if TYPE_CHECKING:
    from melodygen.library.intake import Intake
    from melodygen.library.track import TrackRecord
    from melodygen.services.library import Library

app = typer.Typer(
    no_args_is_help=True,
    help="A collection: what sounds alike, what to hear next, which tune this is, what is shared.",
)
Where = Annotated[
    str | None,
    typer.Option(
        "--library",
        help="A folder, or postgresql://user@host/database. Default: $MELODYGEN_LIBRARY, else in your data folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")]
WATCH_SECONDS = 5.0


@app.command("add")
def add(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Audio, MIDI or score files, or folders at any depth.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on adding what appears there, until Ctrl-C.")
    ] = False,
    re_embed: Annotated[
        bool,
        typer.Option("--re-embed", help="Describe again what another model described, in the whole library."),
    ] = False,
    classifier: Annotated[
        str | None, typer.Option(help="Whose styles. Default: the shipped classifiers.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a core.")] = None,
    queue: Annotated[
        bool,
        typer.Option("--queue", help="Leave the hearing to 'library worker' processes (PostgreSQL only)."),
    ] = False,
    where: Where = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add music: each file is heard, measured and fingerprinted.

    What is there already is passed over, moved files are known by their bytes, and a run that was stopped goes on where
    it was. A file that cannot be used is named with the reason, the rest goes on, and the exit code is 1.
    """
    from melodygen.errors import UsageError
    from melodygen.services.library import Library

    if not paths and not re_embed:
        raise UsageError("give files or folders to add")
    with Library(where, create=True, classifier=classifier) as library:
        while True:
            started = time.monotonic()
            with _counting(not quiet) as tell:
                result = library.add(
                    paths or [], workers=workers, re_embed=re_embed, queue_only=queue, progress=tell
                )
            seconds = time.monotonic() - started
            for failed in result.failed:
                print(plain(f"melodygen: {failed.path}: {failed.reason}"), file=sys.stderr)
            if not watch or result.added or result.queued or result.moved:
                _report_added(library, result, seconds, json_, quiet)
            if not watch:
                break
            re_embed = False
            time.sleep(WATCH_SECONDS)
    if result.failed:
        raise typer.Exit(1)


def _report_added(library: Library, result: Intake, seconds: float, json_: bool, quiet: bool) -> None:
    counts = {
        "added": result.added, "queued": result.queued, "known": result.known, "moved": result.moved,
        "duplicates": result.duplicates, "failed": len(result.failed), "gone_from_disk": len(result.gone),
        "tracks": len(library),
    }  # fmt: skip
    if json_:
        record: dict[str, Any] = {
            **counts,
            "seconds": round(seconds, 2),
            "library": library.store.name,
        }
        record["failures"] = [{"path": plain(f.path), "reason": f.reason} for f in result.failed]
        record["gone"] = result.gone
        print(json.dumps(record), flush=True)
    elif not quiet:
        words = {
            "known": "known already",
            "gone_from_disk": "gone from disk (still listed; forget them with remove)",
        }
        told = [f"{n} {words.get(name, name)}" for name, n in counts.items() if n and name != "tracks"]
        print(
            f"{', '.join(told) or 'nothing to add'}; {counts['tracks']} tracks in {library.store.name}",
            flush=True,
        )


@app.command("worker")
def worker(
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End when no file is left, instead of waiting for more.")
    ] = False,
    classifier: Annotated[
        str | None, typer.Option(help="Whose styles. Default: the shipped classifiers.")
    ] = None,
    where: Where = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hear files that wait in a library in PostgreSQL. Start as many as you like, on any machine that sees the files.

    A file is given to one worker. When a worker is killed, the file it had goes back into the queue.
    """
    from melodygen.services.library import Library

    def tell(path: str, reason: str) -> None:
        if reason:
            print(plain(f"melodygen: {path}: {reason}"), file=sys.stderr, flush=True)
        elif not (quiet or json_):
            print(plain(path), flush=True)

    with Library(where, classifier=classifier) as library:
        count = library.work(until_empty=until_empty, progress=tell)
    if json_:
        print(json.dumps({"added": count}))
    elif not quiet:
        print(f"{count} tracks put in")


@app.command("remove")
def remove(
    paths: Annotated[
        list[Path], typer.Argument(help="Files or folders to forget; they need not exist any more.")
    ],
    where: Where = None,
    json_: Json = False,
) -> None:
    """Forget tracks. No file is touched; a track that lies elsewhere too is kept."""
    from melodygen.errors import LibraryError
    from melodygen.services.library import Library

    with Library(where) as library:
        gone = library.remove(paths)
    if not gone.files:
        raise LibraryError(f"{', '.join(map(str, paths))}: no track of the library lies there")
    if json_:
        print(json.dumps({"removed": gone.tracks, "files": gone.files}))
        return
    kept = gone.files - gone.tracks
    print(f"{gone.tracks} tracks forgotten" + (f"; {kept} files were copies" if kept else ""))


@app.command("stats")
def stats(where: Where = None, json_: Json = False) -> None:
    """What the library holds: kinds, styles, moods, tempi, size."""
    from melodygen.services.library import Library

    with Library(where) as library:
        record = library.stats()
    if json_:
        print(json.dumps(record))
        return
    print(
        f"{record['tracks']} tracks, {record['hours']:.1f} hours, "
        f"{record['bytes'] / 2**20:.1f} MiB in {record['library']}"
    )
    for name in ("kinds", "styles", "moods", "keys"):
        told = ", ".join(f"{label or 'unknown'} {count}" for label, count in record[name].items())
        print(f"  {name:<8} {told}")
    print(
        f"  {'tempo':<8} median {record['median_qpm']} qpm" if record["median_qpm"] else "  tempo    unknown"
    )
    print(f"  {'model':<8} {record['embedder']}")


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="tracks.csv or tracks.json.")],
    where: Where = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write what is known about every track to a table."""
    from melodygen.errors import UsageError
    from melodygen.services.library import Library
    from melodygen.services.output import check_writable

    if out.suffix.lower() not in (".csv", ".json"):
        raise UsageError(f"{out}: give a name that ends in .csv or .json")
    check_writable([out], force)
    with Library(where) as library:
        records = [track.to_dict() for track in library.tracks()]
    _write_table(out, records, force)
    print(f"{out}: {len(records)} tracks")


def _write_table(out: Path, records: list[dict[str, Any]], force: bool) -> None:
    import csv

    from melodygen.atomic import atomic_path

    with atomic_path(out, force) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        if out.suffix.lower() == ".json":
            json.dump({"tracks": records}, stream)
            return
        for record in records:
            record["styles"] = "; ".join(f"{label} {p}" for label, p in record["styles"].items())
            record["also_at"] = "; ".join(record["also_at"])
        writer = csv.DictWriter(stream, list(records[0]) if records else ["track", "path"])
        writer.writeheader()
        writer.writerows(records)


@contextmanager
def _counting(visible: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Files done, of how many, and the time that is left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<30.30}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with Progress(
        *columns, console=console, transient=True, disable=not (visible and console.is_terminal)
    ) as bar:
        task = bar.add_task("looking", total=None)
        yield lambda done, total, path: bar.update(
            task, description=plain(Path(path).name), completed=done, total=total
        )


def line_of(track: TrackRecord) -> str:
    """A track in one line: name, style, tempo, key, length, rights; and whether it is gone."""
    from melodygen.io.folder import stamp_of
    from melodygen.music.key import key_name

    facts = track.facts
    parts = [plain(track.name)]
    if facts.style:
        parts.append(f"{facts.style} {facts.styles[0][1]:.0%}")
    if facts.qpm is not None:
        parts.append(f"{facts.qpm:.0f} qpm")
    if facts.key is not None:
        parts.append(key_name(facts.key))
    minutes, seconds = divmod(round(facts.duration_seconds), 60)
    parts.append(f"{minutes}:{seconds:02}")
    if track.tags.isrc:
        parts.append(f"ISRC {track.tags.isrc}")
    if track.tags.rights:
        parts.append(plain(track.tags.rights))
    if track.path and stamp_of(Path(track.path)) is None:
        parts.append("(gone from disk)")
    return "  ".join(parts)


__all__ = ["Json", "Quiet", "Where", "app", "line_of"]
