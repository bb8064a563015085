"""Classifies files, folders, what appears in a folder, and live sound; writes tables and pictures of the results."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from melodygen.atomic import atomic_path
from melodygen.classification.batch import classify_file, classify_files, default_workers, load_recognizer
from melodygen.classification.recognizer import RecognitionOptions, TrackClassifier
from melodygen.classification.result import Segment, TrackError, TrackResult
from melodygen.classification.stream import StreamFormat, classify_stream
from melodygen.errors import MelodygenError, UsageError
from melodygen.io.folder import music_files, stamp_of
from melodygen.services.output import check_writable

Outcome = TrackResult | TrackError
NUM_TAGS = 8
"""Of a track in a table."""
SETTLE_SECONDS = 1.0
"""A file that has not grown for so long is complete."""


@dataclass(frozen=True)
class ClassifyRequest:
    """What ``melodygen classify`` is asked for.

    ``classifier``  a name, folder or plug-in for everything; None takes the one that fits each kind of file.
    ``workers``     processes; None is one a core, where there are enough files.
    ``plot``        a folder for a picture of each track.
    ``csv``, ``top``  a table with a line a track and so many styles.
    ``tags``        whether tags and mood are shown where results are read, not only in JSON and tables.
    """

    paths: tuple[Path, ...]
    recursive: bool = False
    classifier: str | None = None
    options: RecognitionOptions = field(default_factory=RecognitionOptions)
    workers: int | None = None
    plot: Path | None = None
    csv: Path | None = None
    top: int = 3
    force: bool = False
    tags: bool = False


@dataclass(frozen=True)
class ClassifyResult:
    """Every track in the order of the files. ``seconds``: how long it took."""

    tracks: tuple[Outcome, ...]
    seconds: float

    @property
    def num_failed(self) -> int:
        """Number of files that could not be classified."""
        return sum(isinstance(track, TrackError) for track in self.tracks)

    def to_dict(self, top: int) -> dict[str, Any]:
        """For JSON; ``top`` bounds the styles."""
        tracks = [track.to_dict(top) for track in self.tracks]
        return {"tracks": tracks, "failed": self.num_failed, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class PreparedClassification:
    """A request that was checked: its files, and where the picture of each goes."""

    asked: ClassifyRequest
    files: tuple[Path, ...]
    pictures: dict[Path, Path]


def prepare(asked: ClassifyRequest) -> PreparedClassification:
    """Find the files. Raises UsageError for none at all, OutputExistsError for files in the way."""
    check_targets(asked)
    files = expand(asked.paths, asked.recursive)
    pictures = {} if asked.plot is None else picture_paths(asked.plot, files)
    check_writable(list(pictures.values()), asked.force)
    return PreparedClassification(asked, tuple(files), pictures)


def check_targets(asked: ClassifyRequest) -> None:
    """Raise where the table or the folder of pictures cannot be written."""
    check_writable([asked.csv] if asked.csv is not None else [], asked.force)
    if asked.plot is not None and asked.plot.exists() and not asked.plot.is_dir():
        raise UsageError(f"--plot {asked.plot}: is a file; give a folder for the pictures")


def run(prepared: PreparedClassification, on_track: Callable[[Outcome, int], None]) -> ClassifyResult:
    """Classify all files and write the table; ``on_track`` gets each outcome and how many there are so far."""
    started = time.monotonic()
    asked, files = prepared.asked, prepared.files
    workers = asked.workers or default_workers(len(files))
    needs_one_here = workers == 1 or asked.plot is not None
    recognizer = load_recognizer(asked.classifier) if needs_one_here else None
    found: list[Outcome] = []
    for outcome in classify_files(files, asked.options, asked.classifier, workers, recognizer):
        shown = outcome
        if recognizer is not None and isinstance(outcome, TrackResult) and prepared.pictures:
            shown = draw(outcome, recognizer, prepared.pictures[Path(outcome.path)], asked.force)
        found.append(shown)
        on_track(shown, len(found))
    if asked.csv is not None:
        write_csv(asked.csv, found, asked.top, asked.force)
    return ClassifyResult(tuple(found), time.monotonic() - started)


def watch(
    folder: Path,
    asked: ClassifyRequest,
    sleep: Callable[[float], None] = time.sleep,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Classify what appears in ``folder``, each file once it has stopped growing; ``asked.paths`` is not used.

    Raises UsageError where there is no such folder.
    """
    check_targets(asked)
    if not folder.is_dir():
        raise UsageError(f"--watch {folder}: is not a folder")
    recognizer = load_recognizer(asked.classifier)
    return _watched(_arrivals(folder, asked.recursive, sleep, should_stop), recognizer, asked)


def _watched(
    arrivals: Iterator[Path], recognizer: TrackClassifier, asked: ClassifyRequest
) -> Iterator[Outcome]:
    for path in arrivals:
        outcome = classify_file(recognizer, path, asked.options)
        if asked.plot is not None and isinstance(outcome, TrackResult):
            outcome = draw(outcome, recognizer, picture_paths(asked.plot, [path])[path], asked.force)
        yield outcome


def stream(
    source: BinaryIO, form: StreamFormat, classifier: str | None = None
) -> tuple[str, Iterator[Segment]]:
    """An estimate every second of sound from a stream of bytes, and the id of the classifier that gives them."""
    chosen = load_recognizer(classifier).for_recordings
    return chosen.classifier_id, classify_stream(source, chosen, form)


def expand(paths: Sequence[Path], recursive: bool) -> list[Path]:
    """Files as they are named; of folders, those that may be music, in order. Raises UsageError for none at all."""
    files: list[Path] = []
    is_deeper = False
    for path in paths:
        if path.is_dir():
            inside = music_files(path, recursive)
            is_deeper = is_deeper or (not inside and not recursive)
            files += inside
        else:
            files.append(path)
    if not files:
        hint = "; its sub-folders are read with --recursive" if is_deeper else ""
        raise UsageError(f"{', '.join(map(str, paths))}: no audio, MIDI or score file{hint}")
    return files


def picture_paths(folder: Path, files: Sequence[Path]) -> dict[Path, Path]:
    """Where each file's picture goes; two files of one name get a number."""
    targets: dict[Path, Path] = {}
    taken: set[str] = set()
    for path in files:
        stem, number = path.name, 1
        while stem in taken:
            number += 1
            stem = f"{path.name}-{number}"
        taken.add(stem)
        targets[path] = folder / f"{stem}.png"
    return targets


def draw(result: TrackResult, recognizer: TrackClassifier, target: Path, force: bool) -> TrackResult:
    """Write the picture of a track; where that cannot be, the result says why."""
    from melodygen.classification.tagger import Tagger
    from melodygen.plots.style_evidence import plot_result
    from melodygen.plots.tags_over_time import plot_tags

    tagger = recognizer.for_recordings
    try:
        if isinstance(tagger, Tagger) and result.kind == "recording":
            plot_tags(target, result, tagger, force)
        else:
            classifier, mono = recognizer.signal_of(result)
            plot_result(target, result, mono, classifier, force)
    except MelodygenError as error:
        return replace(result, notes=(*result.notes, f"no picture: {error}"))
    return result


def write_csv(target: Path, found: Sequence[Outcome], top: int, force: bool) -> None:
    """A line a track, whole or not at all."""
    fields = ["path", "kind", "seconds"]
    fields += [f"{what}{n}" for n in range(1, top + 1) for what in ("style", "probability")]
    fields += [
        "unsure",
        "not_music",
        "music_probability",
        "qpm",
        "meter",
        "key",
        "valence",
        "arousal",
        "tags",
    ]
    fields += ["classifier", "notes", "error"]
    with atomic_path(target, force) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fields, extrasaction="ignore")
        writer.writeheader()
        for outcome in found:
            record: dict[str, Any] = outcome.to_dict(top)
            for n, (label, p) in enumerate(record.get("styles", {}).items(), 1):
                record |= {f"style{n}": label, f"probability{n}": p}
            record["notes"] = "; ".join(record.get("notes", ()))
            record |= record.get("mood", {})
            record["tags"] = "; ".join(list(record.get("tags", ()))[:NUM_TAGS])
            writer.writerow(record)


def _arrivals(
    folder: Path, recursive: bool, sleep: Callable[[float], None], should_stop: Callable[[], bool]
) -> Iterator[Path]:
    """Files that were not there before, each once, as soon as it has stopped growing."""
    known = {path: stamp_of(path) for path in music_files(folder, recursive)}
    growing: dict[Path, tuple[int, int]] = {}
    while not should_stop():
        sleep(SETTLE_SECONDS)
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
