"""``melodygen classify``: which style existing tracks are in."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from melodygen.cli.common import plain

if TYPE_CHECKING:
    from melodygen.classification.result import Segment, TrackError, TrackResult
    from melodygen.services.classify import ClassifyRequest

NAME_WIDTH = 40
NUM_TAGS = 8


def classify(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Audio, MIDI or score files, or folders of them.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many styles to name.")] = 3,
    tags: Annotated[
        bool, typer.Option("--tags", help="Also show tags and mood of recordings, in a line of their own.")
    ] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Include sub-folders, at any depth.")
    ] = False,
    segments: Annotated[
        bool, typer.Option("--segments", help="Style over time: one line for every 5 s.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="A folder for pictures: the spectrogram, and which parts of it decided."),
    ] = None,
    rhythm: Annotated[
        bool,
        typer.Option("--rhythm/--no-rhythm", help="Estimate tempo, meter and key; --no-rhythm is faster."),
    ] = True,
    csv: Annotated[
        Path | None, typer.Option(help="Also write a CSV file with one line for each track.")
    ] = None,
    watch: Annotated[
        Path | None, typer.Option(help="Classify each file that appears in this folder, until Ctrl-C.")
    ] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Classify audio from stdin, raw or WAV: an estimate every second.")
    ] = False,
    rate: Annotated[int, typer.Option(help="Sample rate of raw audio on stdin, in Hz.")] = 44_100,
    channels: Annotated[int, typer.Option(help="Number of channels of raw audio on stdin.")] = 2,
    encoding: Annotated[
        str, typer.Option("--format", help="Sample format of raw audio on stdin: s16, s24, s32, f32, u8.")
    ] = "s16",
    classifier: Annotated[
        str | None, typer.Option(help="A name, folder or plug-in. Default: the one that fits the file.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes. Default for folders: one for each CPU core."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout; with --stdin one a line.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Tell the style, tempo, key and meter of existing tracks: recordings, MIDI and scores.

    Recordings are classified by musicnn, MIDI and melodygen's own renders by style-cnn and musicnn together;
    --classifier chooses another.
    The verdict is "unsure" where no style is likely enough. Silence, speech and noise are reported as no music. A file
    that cannot be read is named with the reason, the rest goes on, and the exit code is 1.
    """
    from melodygen.classification.recognizer import RecognitionOptions
    from melodygen.errors import UsageError
    from melodygen.services.classify import ClassifyRequest

    paths = paths or []
    if sum((bool(paths), watch is not None, stdin)) != 1:
        raise UsageError("give files or folders, or --watch FOLDER, or --stdin: one of them")
    if Path("-") in paths and not Path("-").exists():
        raise UsageError("- is no file here; give --stdin to hear standard input")
    options = RecognitionOptions(rhythm=rhythm, segments=segments, whole=segments)
    asked = ClassifyRequest(
        tuple(paths), recursive, classifier, options, workers, plot, csv, top, force, tags
    )
    if stdin:
        _stdin(rate, channels, encoding, asked, json_)
    elif watch is not None:
        _watch(watch, asked, json_)
    else:
        _batch(asked, json_, quiet)


def _batch(asked: ClassifyRequest, json_: bool, quiet: bool) -> None:
    from melodygen.cli.progress import stage_progress
    from melodygen.services.classify import Outcome, prepare, run

    prepared = prepare(asked)
    count = len(prepared.files)
    width = min(NAME_WIDTH, max(len(path.name) for path in prepared.files))
    with stage_progress(visible=not quiet) as progress:
        progress(f"classifying 0/{count}", 0.0)

        def on_track(outcome: Outcome, done: int) -> None:
            if not json_:
                _print_track(outcome, asked, width)
            progress(f"classifying {done}/{count}", done / count)

        result = run(prepared, on_track)
    if json_:
        print(json.dumps(result.to_dict(asked.top)))
    elif len(result.tracks) > 1:
        print(_summary(result.tracks, result.seconds))
    if result.num_failed:
        raise typer.Exit(1)


def _stdin(rate: int, channels: int, encoding: str, asked: ClassifyRequest, json_: bool) -> None:
    from melodygen.classification.stream import StreamFormat
    from melodygen.services.classify import check_targets, stream

    check_targets(asked)
    classifier_id, segments = stream(
        sys.stdin.buffer, StreamFormat(rate, channels, encoding), asked.classifier
    )
    for segment in segments:
        if json_:
            record = {
                "seconds": round(segment.end_seconds, 2),
                "styles": {n: round(p, 4) for n, p in segment.styles[: asked.top]},
                "music_probability": None if segment.music is None else round(segment.music, 4),
                "classifier": classifier_id,
            }
            print(json.dumps(record), flush=True)
        else:
            print(f"{_clock(segment.end_seconds):>8}  {_styles(segment, asked.top)}", flush=True)


def _watch(folder: Path, asked: ClassifyRequest, json_: bool) -> None:
    from melodygen.services.classify import watch

    outcomes = watch(folder, asked)
    print(f"watching {folder}; Ctrl-C ends it", file=sys.stderr, flush=True)
    for outcome in outcomes:
        if json_:
            print(json.dumps(outcome.to_dict(asked.top)), flush=True)
        else:
            _print_track(outcome, asked, NAME_WIDTH)


def _print_track(result: TrackResult | TrackError, asked: ClassifyRequest, width: int) -> None:
    from melodygen.classification.result import TrackError

    if isinstance(result, TrackError):
        print(plain(f"melodygen: {result.path}: {result.reason}"), file=sys.stderr)
        return
    print(plain(line_of(result, asked.top, width)))
    if asked.tags and result.tags:
        print(f"    {tags_line(result)}")
    for segment in result.segments:
        span = f"{_clock(segment.start_seconds):>8} - {_clock(segment.end_seconds):<8}"
        print(plain(f"    {span} {_styles(segment, asked.top)}"))
    sys.stdout.flush()


def line_of(result: TrackResult, top: int, width: int) -> str:
    """One track in one line."""
    from melodygen.music.key import key_name

    name = Path(result.path).name
    name = name if len(name) <= width else name[: width - 1] + "…"
    rhythm = result.rhythm
    if result.not_music:
        doubt = "" if result.music is None else f" ({1 - result.music:.0%})"
        verdict = f"not music: {result.not_music}{doubt}"
    else:
        verdict = " · ".join(f"{label} {p:.0%}" for label, p in result.styles[:top])
        verdict = f"unsure: {verdict}" if result.unsure else verdict
    parts = [f"{name:<{width}}  {verdict}"]
    if rhythm.qpm is not None:
        parts.append(f"{rhythm.qpm:.0f} qpm")
    if rhythm.key is not None:
        parts.append(key_name(rhythm.key, rhythm.key_fifths))
    if rhythm.meter is not None:
        parts.append(f"{rhythm.meter[0]}/{rhythm.meter[1]}")
    parts.append(_clock(result.seconds))
    parts.append("+".join(name.rpartition("-")[0] or name for name in result.classifier.split("+")))
    return "  ".join(parts) + (f"  ({'; '.join(result.notes)})" if result.notes else "")


def tags_line(result: TrackResult) -> str:
    """The likeliest tags of a recording and its mood."""
    listed = " · ".join(f"{tag} {p:.0%}" for tag, p in result.tags[:NUM_TAGS])
    if result.mood is None:
        return listed
    return f"{listed}  valence {result.mood.valence:+.1f}, arousal {result.mood.arousal:+.1f}"


def _styles(segment: Segment, top: int) -> str:
    if not segment.styles:
        return "silence" if segment.music is None else f"not music ({1 - segment.music:.0%})"
    listed = " · ".join(f"{label} {p:.0%}" for label, p in segment.styles[:top])
    if segment.music is not None and segment.music < 0.5:
        listed += f"  (perhaps not music, {1 - segment.music:.0%})"
    return listed


def _clock(seconds: float) -> str:
    """1:02:03, 2:03, or 0.4 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _summary(found: Sequence[TrackResult | TrackError], seconds: float) -> str:
    from melodygen.classification.result import TrackResult

    tracks = [f for f in found if isinstance(f, TrackResult)]
    styles = Counter("not music" if f.not_music else "unsure" if f.unsure else f.styles[0][0] for f in tracks)
    counts = ", ".join(f"{count} {label}" for label, count in styles.most_common())
    total = sum(f.seconds for f in tracks)
    failed = len(found) - len(tracks)
    return (
        f"{len(tracks)} of {len(found)} tracks heard"
        + (f": {counts}" if counts else "")
        + (f"; {failed} failed" if failed else "")
        + f"; {_clock(total)} of sound in {seconds:.1f} s"
    )
