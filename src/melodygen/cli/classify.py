"""``melodygen classify``: which style existing tracks are in."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from melodygen.classification.recognizer import RecognitionOptions, TrackClassifier
    from melodygen.classification.result import Segment, TrackError, TrackResult

NAME_WIDTH = 40


def classify(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Audio, MIDI or score files, or folders of them.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many styles to name.")] = 3,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Folders at any depth.")] = False,
    segments: Annotated[bool, typer.Option("--segments", help="Style over time: a line every 5 s.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="A folder for pictures: what the net hears and attends to.")
    ] = None,
    rhythm: Annotated[
        bool, typer.Option("--rhythm/--no-rhythm", help="Tempo, meter and key; without is faster.")
    ] = True,
    csv: Annotated[Path | None, typer.Option(help="Also a CSV with a line a track.")] = None,
    watch: Annotated[
        Path | None, typer.Option(help="Hear what appears in this folder, until Ctrl-C.")
    ] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Hear audio from stdin, raw or WAV: an estimate every second.")
    ] = False,
    rate: Annotated[int, typer.Option(help="Of raw audio on stdin, Hz.")] = 44_100,
    channels: Annotated[int, typer.Option(help="Of raw audio on stdin.")] = 2,
    encoding: Annotated[
        str, typer.Option("--format", help="Of raw audio on stdin: s16, s24, s32, f32, u8.")
    ] = "s16",
    classifier: Annotated[
        str | None, typer.Option(help="A name, folder or plug-in. Default: the one that fits the file.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one a core, for folders.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout; with --stdin one a line.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Tell the style, tempo, key and meter of existing tracks: recordings, MIDI and scores.

    Recordings are heard by style-cnn-recordings, MIDI and melodygen's own renders by style-cnn; --classifier overrules.
    What is silence, speech or noise is said to be no music. A file that cannot be heard is named with the reason,
    the rest goes on, and the exit code is 1.
    """
    from melodygen.errors import UsageError

    paths = paths or []
    if sum((bool(paths), watch is not None, stdin)) != 1:
        raise UsageError("give files or folders, or --watch FOLDER, or --stdin: one of them")
    from melodygen.services.output import refuse_existing

    refuse_existing([csv] if csv is not None else [], force)
    if plot is not None and plot.exists() and not plot.is_dir():
        raise UsageError(f"--plot {plot}: is a file; give a folder for the pictures")
    from melodygen.classification.recognizer import RecognitionOptions

    how = RecognitionOptions(rhythm=rhythm, segments=segments, whole=segments)
    if stdin:
        _stdin(rate, channels, encoding, classifier, top, json_)
        return
    if watch is not None:
        _watch(watch, recursive, how, classifier, top, plot, force, json_)
        return
    files = _expanded(paths, recursive)
    _batch(files, how, classifier, workers, top, csv, plot, force, json_, quiet)


def _batch(
    files: list[Path],
    how: RecognitionOptions,
    spec: str | None,
    workers: int | None,
    top: int,
    csv: Path | None,
    plot: Path | None,
    force: bool,
    json_: bool,
    quiet: bool,
) -> None:
    from melodygen.classification.batch import classify_files, default_workers, load_recognizer
    from melodygen.classification.result import TrackError, TrackResult
    from melodygen.cli.progress import stage_progress

    started = time.monotonic()
    if plot is not None:
        _pictures(plot, files, force)
    count = workers or default_workers(len(files))
    here = load_recognizer(spec) if count == 1 or plot is not None else None
    width = min(NAME_WIDTH, max(len(p.name) for p in files))
    found: list[TrackResult | TrackError] = []
    with stage_progress(visible=not quiet) as progress:
        progress(f"hearing 0/{len(files)}", 0.0)
        for heard in classify_files(files, how, spec, count, here):
            result = heard
            if plot is not None and isinstance(heard, TrackResult) and here is not None:
                result = _drawn(heard, here, files, plot, force)
            found.append(result)
            if not json_:
                _tell(result, top, width)
            progress(f"hearing {len(found)}/{len(files)}", len(found) / len(files))
    seconds = time.monotonic() - started
    failed = sum(isinstance(f, TrackError) for f in found)
    if csv is not None:
        _write_csv(csv, found, top, force)
    if json_:
        print(
            json.dumps(
                {
                    "tracks": [f.to_dict(top) for f in found],
                    "failed": failed,
                    "seconds": round(seconds, 3),
                }
            )
        )
    elif len(found) > 1:
        print(_summary(found, seconds))
    if failed:
        raise typer.Exit(1)


def _expanded(paths: list[Path], recursive: bool) -> list[Path]:
    """Files as they are named; of folders, those that may be music, in order. Raises UsageError for none at all."""
    from melodygen.errors import UsageError
    from melodygen.io.folder import music_files

    files: list[Path] = []
    deeper = False
    for path in paths:
        if path.is_dir():
            inside = music_files(path, recursive)
            deeper = deeper or (not inside and not recursive)
            files += inside
        else:
            files.append(path)
    if not files:
        hint = "; its sub-folders are read with --recursive" if deeper else ""
        raise UsageError(f"{', '.join(map(str, paths))}: no audio, MIDI or score file{hint}")
    return files


def _tell(result: TrackResult | TrackError, top: int, width: int) -> None:
    from melodygen.classification.result import TrackError

    if isinstance(result, TrackError):
        print(_plain(f"melodygen: {result.path}: {result.reason}"), file=sys.stderr)
        return
    print(_plain(line_of(result, top, width)))
    for segment in result.segments:
        span = f"{_clock(segment.start_seconds):>8} - {_clock(segment.end_seconds):<8}"
        print(_plain(f"    {span} {_styles(segment, top)}"))
    sys.stdout.flush()


def line_of(finding: TrackResult, top: int, width: int) -> str:
    """One track in one line."""
    from melodygen.music.harmony import key_name

    name = Path(finding.path).name
    name = name if len(name) <= width else name[: width - 1] + "…"
    rhythm = finding.rhythm
    if finding.not_music:
        doubt = "" if finding.music is None else f" ({1 - finding.music:.0%})"
        told = f"not music: {finding.not_music}{doubt}"
    else:
        told = " · ".join(f"{label} {p:.0%}" for label, p in finding.styles[:top])
    parts = [f"{name:<{width}}  {told}"]
    if rhythm.qpm is not None:
        parts.append(f"{rhythm.qpm:.0f} qpm")
    if rhythm.key is not None:
        parts.append(key_name(rhythm.key))
    if rhythm.meter is not None:
        parts.append(f"{rhythm.meter[0]}/{rhythm.meter[1]}")
    parts.append(_clock(finding.seconds))
    parts.append(finding.classifier.rpartition("-")[0] or finding.classifier)
    return "  ".join(parts) + (f"  ({'; '.join(finding.notes)})" if finding.notes else "")


def _styles(segment: Segment, top: int) -> str:
    if not segment.styles:
        return "silence" if segment.music is None else f"not music ({1 - segment.music:.0%})"
    told = " · ".join(f"{label} {p:.0%}" for label, p in segment.styles[:top])
    if segment.music is not None and segment.music < 0.5:
        told += f"  (perhaps not music, {1 - segment.music:.0%})"
    return told


def _clock(seconds: float) -> str:
    """1:02:03, 2:03, or 0.4 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _summary(found: list[TrackResult | TrackError], seconds: float) -> str:
    from melodygen.classification.result import TrackResult

    heard = [f for f in found if isinstance(f, TrackResult)]
    styles = Counter("not music" if f.not_music else f.styles[0][0] for f in heard)
    told = ", ".join(f"{count} {label}" for label, count in styles.most_common())
    total = sum(f.seconds for f in heard)
    failed = len(found) - len(heard)
    return (
        f"{len(heard)} of {len(found)} tracks heard"
        + (f": {told}" if told else "")
        + (f"; {failed} failed" if failed else "")
        + f"; {_clock(total)} of sound in {seconds:.1f} s"
    )


def _plain(text: str) -> str:
    """File names may hold bytes that are no text, and control characters that would move the cursor."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)


def _write_csv(target: Path, found: list[TrackResult | TrackError], top: int, force: bool) -> None:
    import csv

    from melodygen.atomic import atomic_path

    fields = ["path", "kind", "seconds"]
    fields += [f"{what}{n}" for n in range(1, top + 1) for what in ("style", "probability")]
    fields += ["not_music", "music_probability", "qpm", "meter", "key", "classifier", "notes", "error"]
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target, force) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fields, extrasaction="ignore")
        writer.writeheader()
        for result in found:
            record: dict[str, Any] = result.to_dict(top)
            for n, (label, p) in enumerate(record.get("styles", {}).items(), 1):
                record |= {f"style{n}": label, f"probability{n}": p}
            record["notes"] = "; ".join(record.get("notes", ()))
            writer.writerow(record)


def _pictures(folder: Path, files: list[Path], force: bool) -> dict[Path, Path]:
    """Where each file's picture goes; two files of one name get a number. Refuses existing ones."""
    from melodygen.services.output import refuse_existing

    targets: dict[Path, Path] = {}
    taken: set[str] = set()
    for path in files:
        stem, number = path.name, 1
        while stem in taken:
            number += 1
            stem = f"{path.name}-{number}"
        taken.add(stem)
        targets[path] = folder / f"{stem}.png"
    refuse_existing(list(targets.values()), force)
    return targets


def _drawn(
    finding: TrackResult, here: TrackClassifier, files: list[Path], folder: Path, force: bool
) -> TrackResult:
    from dataclasses import replace

    from melodygen.errors import MelodygenError
    from melodygen.plots.style_evidence import plot_result

    target = _pictures(folder, files, True)[Path(finding.path)]
    try:
        judge, mono = here.signal_of(finding)
        plot_result(target, finding, mono, judge, force)
    except MelodygenError as error:
        return replace(finding, notes=(*finding.notes, f"no picture: {error}"))
    return finding


def _stdin(rate: int, channels: int, encoding: str, spec: str | None, top: int, json_: bool) -> None:
    from melodygen.classification.batch import load_recognizer
    from melodygen.classification.stream import StreamFormat, classify_stream

    form = StreamFormat(rate, channels, encoding)
    judge = load_recognizer(spec).for_recordings
    for segment in classify_stream(sys.stdin.buffer, judge, form):
        if json_:
            record = {
                "seconds": round(segment.end_seconds, 2),
                "styles": {n: round(p, 4) for n, p in segment.styles[:top]},
                "music_probability": None if segment.music is None else round(segment.music, 4),
                "classifier": judge.classifier_id,
            }
            print(json.dumps(record), flush=True)
        else:
            print(f"{_clock(segment.end_seconds):>8}  {_styles(segment, top)}", flush=True)


def _watch(
    folder: Path,
    recursive: bool,
    how: RecognitionOptions,
    spec: str | None,
    top: int,
    plot: Path | None,
    force: bool,
    json_: bool,
) -> None:
    from melodygen.classification.batch import classify_file, load_recognizer
    from melodygen.classification.result import TrackResult
    from melodygen.errors import UsageError

    if not folder.is_dir():
        raise UsageError(f"--watch {folder}: is not a folder")
    listener = load_recognizer(spec)
    print(f"watching {folder}; Ctrl-C ends it", file=sys.stderr, flush=True)
    for path in _arrivals(folder, recursive):
        result = classify_file(listener, path, how)
        if plot is not None and isinstance(result, TrackResult):
            result = _drawn(result, listener, [path], plot, force)
        if json_:
            print(json.dumps(result.to_dict(top)), flush=True)
        else:
            _tell(result, top, NAME_WIDTH)


def _arrivals(folder: Path, recursive: bool) -> Iterator[Path]:
    """Files that were not there before, each once, as soon as it has stopped growing for a second."""
    from melodygen.io.folder import music_files, stamp_of

    known = {path: stamp_of(path) for path in music_files(folder, recursive)}
    growing: dict[Path, tuple[int, int]] = {}
    while True:
        time.sleep(1.0)
        for path in music_files(folder, recursive):
            stamp = stamp_of(path)
            if stamp is None or known.get(path) == stamp:
                continue
            if growing.get(path) == stamp:
                known[path] = stamp
                del growing[path]
                yield path
            else:
                growing[path] = stamp
