"""Read a folder of music: every file is used, or rejected with a reason.

Files are read in worker processes with a time limit, because a native parser may crash or hang on bytes from
anywhere. Styles are the manifest's, or the first folder below the root, or the one given.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from melodygen.analysis.chords import chord_changes
from melodygen.analysis.roles import assign_roles, is_blocks
from melodygen.data.shards import PieceInfo
from melodygen.errors import CorpusError, MelodygenError, reason_of
from melodygen.io.abc import decode_abc, tunes_of
from melodygen.io.csv_table import read_table
from melodygen.io.folder import music_files
from melodygen.io.formats import NOTATION_SUFFIXES, SYMBOLIC_SUFFIXES
from melodygen.io.midi import MAX_FILE_BYTES, read_midi
from melodygen.io.notation import read_notation
from melodygen.music.score import EMPTY_CONTROLS, Score, Tempo, TimeSignature, Track, note_array
from melodygen.processes import ScriptlessContext
from melodygen.tokens.columns import Columns, quantise
from melodygen.tokens.grid import Piece, columns_to_piece
from melodygen.tokens.vocabulary import METERS, SEGMENT_ROLES

MAX_BARS = 4000
MAX_QUARTERS = 48_000
MIN_NOTES = 8


@dataclass(frozen=True)
class SourceFile:
    """A file to read, with what is known of it before it is read. ``number`` is the tune's in a book of ABC tunes."""

    path: Path
    name: str
    style: str
    source: str = ""
    split: str = "train"
    kind: str = "piece"
    title: str = ""
    number: int | None = None


@dataclass(frozen=True)
class Reading:
    """Result for one file: a piece, or the reason why not."""

    file: SourceFile
    piece: Piece | None
    info: PieceInfo | None
    reason: str = ""


def find_files(root: Path, style: str | None = None) -> list[SourceFile]:
    """Music files below ``root`` in a stable order; links that loop are not followed twice.

    Raises CorpusError when there are none, or the manifest cannot be read.
    """
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder")
    manifest = root / "manifest.csv"
    if manifest.is_file() and style is None:
        return [
            SourceFile(
                root / r["path"], r["path"], r["style"], r.get("source", ""), r.get("split") or "train",
                r.get("kind") or "piece", r.get("title") or Path(r["path"]).stem,
            )
            for r in _manifest_rows(manifest)
        ]  # fmt: skip
    found = []
    for path in sorted(music_files(root, recursive=True, suffixes=SYMBOLIC_SUFFIXES)):
        relative = path.relative_to(root)
        named = style or (relative.parts[0] if len(relative.parts) > 1 else root.resolve().name)
        file = SourceFile(
            path, str(relative), named, split=_split_by_title(path.stem), title=path.stem,
            source=relative.parts[1] if len(relative.parts) > 2 else named,
        )  # fmt: skip
        tunes = _tune_numbers(path) if path.suffix.lower() == ".abc" else []
        if len(tunes) > 1:
            for number, title in tunes:
                split = _split_by_title(title or f"{path.stem} {number}")
                found.append(
                    replace(
                        file,
                        name=f"{relative}#{number}",
                        number=number,
                        title=title or path.stem,
                        split=split,
                    )
                )
        else:
            found.append(file)
    if not found:
        raise CorpusError(f"{root}: no file ends in {', '.join(sorted(SYMBOLIC_SUFFIXES))}")
    return found


def _tune_numbers(path: Path) -> list[tuple[int, str]]:
    """(number, title) of the tunes of an ABC book."""
    try:
        text = decode_abc(path.read_bytes())
    except OSError:
        return []
    tunes: dict[int, str] = {}
    for tune in tunes_of(text):
        tunes.setdefault(tune.number, tune.title)
    return list(tunes.items())


def _manifest_rows(manifest: Path) -> list[dict[str, str]]:
    """The rows of a manifest. Raises CorpusError when one has no path or style."""
    rows = read_table(manifest, ("path", "style"))
    for number, row in enumerate(rows, 2):
        for name in ("path", "style"):
            if not row[name]:
                raise CorpusError(f"{manifest}: row {number} has no {name}; fill it, or take the row away")
    return rows


def _split_by_title(title: str) -> str:
    """One title in ten is for validation, the same one on every machine."""
    plain = "".join(c for c in title.lower() if c.isalpha()) or title
    return "valid" if hashlib.sha256(plain.encode()).digest()[0] < 26 else "train"


def prepare_score(score: Score, kind: str = "piece", keep_start: bool = False) -> Score:
    """Roles, whole bars of silence at the front cut off unless ``keep_start``, meters that music does not have read as
    their neighbour.

    Controllers are left out: the classifier learns from notes alone, so it must be asked about notes alone.
    """
    score = mend_meters(assign_roles(score))
    score = replace(score, tracks=tuple(replace(t, controls=EMPTY_CONTROLS) for t in score.tracks))
    if kind == "drums":
        score = replace(score, tracks=tuple(snap_take(t, score.ticks_per_quarter) for t in score.tracks))
    return score if keep_start else without_leading_rest(score)


def without_leading_rest(score: Score) -> Score:
    """A score from the bar of its first note on."""
    if not score.tracks:
        return score
    first = min(int(t.notes["onset_tick"][0]) for t in score.tracks)
    skip = [t for t in score.bar_ticks(first) if t <= first][-1]
    return score if skip == 0 else _shifted(score, skip)


def snap_take(track: Track, ticks_per_quarter: int) -> Track:
    """A drum take by a human on the grid it was felt on, sixteenths or triplets, whichever is nearer as a whole:
    flams and rushed strokes would otherwise teach positions that nobody means."""
    onsets = track.notes["onset_tick"]
    snapped, errors = [], []
    for division in (4, 3):
        step = ticks_per_quarter / division
        on_grid = np.round(np.round(onsets / step) * step).astype(np.int64)
        snapped.append(on_grid)
        errors.append(float(np.abs(onsets - on_grid).mean()) / step)
    notes = track.notes.copy()
    notes["onset_tick"] = snapped[int(np.argmin(errors))]
    return replace(track, notes=note_array(notes))


def _shifted(score: Score, skip: int) -> Score:
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["onset_tick"] -= skip
        notes.flags.writeable = False
        tracks.append(replace(track, notes=notes))
    tempo = [t for t in score.tempos if t.tick <= skip][-1]
    meter = score.time_signature_at(skip)
    chords = [replace(c, tick=c.tick - skip) for c in score.chords if c.tick >= skip]
    held = [c for c in score.chords if c.tick < skip]
    if held and not any(c.tick == 0 for c in chords):
        chords.insert(0, replace(held[-1], tick=0))
    return replace(
        score,
        tracks=tuple(tracks),
        tempos=(
            Tempo(0, tempo.qpm),
            *(replace(t, tick=t.tick - skip) for t in score.tempos if t.tick > skip),
        ),
        time_signatures=(
            replace(meter, tick=0),
            *(replace(m, tick=m.tick - skip) for m in score.time_signatures if m.tick > skip),
        ),
        chords=tuple(chords),
    )


def mend_meters(score: Score) -> Score:
    """Meters outside METERS (1/4, 1/8, 9/16 …) become 4/4 when they are all there is, else a bar of their length is
    read in the meter before them; careless sequencers write them, and free jazz is notated in 1/4."""
    known = [m for m in score.time_signatures if (m.numerator, m.denominator) in METERS]
    if len(known) == len(score.time_signatures):
        return score
    if not known:
        return replace(score, time_signatures=(TimeSignature(0, 4, 4),))
    return replace(score, time_signatures=tuple(known))


def dominant_meter(score: Score) -> TimeSignature:
    """The meter that is in force longest: a pickup is often written as a short bar of its own."""
    meters = score.time_signatures
    ends = [*(m.tick for m in meters[1:]), max(score.end_tick, meters[-1].tick + 1)]
    return meters[max(range(len(meters)), key=lambda i: ends[i] - meters[i].tick)]


def dominant_qpm(score: Score) -> float:
    """The tempo that is in force longest: sources begin with fermatas and count-ins."""
    end = max(score.end_tick, 1)
    best, longest = score.qpm, -1
    for i, tempo in enumerate(score.tempos):
        until = score.tempos[i + 1].tick if i + 1 < len(score.tempos) else end
        if until - tempo.tick > longest:
            best, longest = tempo.qpm, until - tempo.tick
    return best


def file_sha256(path: Path) -> tuple[str, bytes | None]:
    """Hash of its bytes, and they themselves unless they are more than a music file has. Raises OSError."""
    if path.stat().st_size <= MAX_FILE_BYTES:
        data = path.read_bytes()
        return hashlib.sha256(data).hexdigest(), data
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), None


def load_columns(file: SourceFile, data: bytes | None = None) -> tuple[Score, Columns, PieceInfo]:
    """A file (``data``: its bytes, where they are there) as prepared score, piece on the grid and its record.

    Raises MelodygenError with the reason.
    """
    if file.path.suffix.lower() in NOTATION_SUFFIXES:
        score = read_notation(file.path, file.number)
    else:
        score = read_midi(file.path, data)
    quarters = score.end_tick // score.ticks_per_quarter
    if quarters > MAX_QUARTERS:
        raise CorpusError(f"{quarters} quarters are more than the limit of {MAX_QUARTERS} for one piece")
    score = prepare_score(score, file.kind)
    if score.num_notes < MIN_NOTES:
        raise CorpusError(f"only {score.num_notes} notes (at least {MIN_NOTES} are needed)")
    chords = score.track_by_role("chords")
    blocks = chords is not None and is_blocks(chords, score)
    table = quantise(score, MAX_BARS)
    qpm = min(280.0, max(36.0, dominant_qpm(score)))
    table = replace(table, qpm=qpm, chords=chord_changes(table))
    digest = hashlib.sha256()
    for column in (table.meters, table.bar, table.role, table.at, table.band, table.duration, table.pitch):
        digest.update(column.tobytes())
    info = PieceInfo(
        file.name, file.style, file.source, file.split, file.kind, file.title, 0, table.num_bars, qpm,
        digest.hexdigest()[:16], blocks,
    )  # fmt: skip
    return score, table, info


def load_piece(file: SourceFile) -> tuple[Score, Piece, PieceInfo]:
    """As ``load_columns``, with the piece in objects."""
    score, table, info = load_columns(file)
    return score, columns_to_piece(table), info


def read_piece(file: SourceFile) -> Reading:
    """Read one file; every failure becomes a reason."""
    try:
        _, piece, info = load_piece(file)
    except MelodygenError as error:
        return Reading(file, None, None, reason_of(error, file.path.name))
    return Reading(file, piece, info)


def rejected(file: SourceFile, reason: str) -> Reading:
    """Return the reading of a file that cannot be used, with the reason."""
    return Reading(file, None, None, reason)


def read_folder(
    files: Sequence[SourceFile],
    workers: int = 2,
    seconds_per_file: float = 20.0,
    progress: Callable[[int], None] | None = None,
    read: Callable[[SourceFile], Any] = read_piece,
    reject: Callable[[SourceFile, str], Any] = rejected,
) -> Iterator[Any]:
    """``read`` of each file, in their order. One that crashes or hangs a worker is named with ``reject``, and the rest
    goes on. Both are functions of a module; ``read`` gives a Reading unless another is given."""
    context = ScriptlessContext()
    chunk = max(1, min(64, len(files) // (4 * workers)))
    executor = ProcessPoolExecutor(workers, mp_context=context)
    try:
        for at in range(0, len(files), chunk * workers * 4):
            span = files[at : at + chunk * workers * 4]
            batches = [span[i : i + chunk] for i in range(0, len(span), chunk)]
            futures = [(b, executor.submit(_read_many, b, seconds_per_file, read)) for b in batches]
            broken = False
            for batch, future in futures:
                try:
                    results = future.result(timeout=2 * seconds_per_file * chunk)
                except (BrokenProcessPool, FutureTimeout):
                    broken = True
                    results = _read_apart(batch, seconds_per_file, context, read, reject)
                yield from results
                if progress is not None:
                    progress(len(batch))
            if broken:
                _stop(executor)
                executor = ProcessPoolExecutor(workers, mp_context=context)
    finally:
        _stop(executor)


def _stop(executor: ProcessPoolExecutor) -> None:
    for process in list((executor._processes or {}).values()):
        process.kill()
    executor.shutdown(
        wait=True, cancel_futures=True
    )  # soon: nobody is left; its thread must not outlive its pipe


def _read_many(files: Sequence[SourceFile], seconds: float, read: Callable[[SourceFile], Any]) -> list[Any]:
    """In a worker. A file that takes too long kills it: native code does not listen to anything milder."""
    results = []
    timed = hasattr(signal, "setitimer")
    for file in files:
        if timed:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds)
        results.append(read(file))
        if timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return results


def _read_apart(
    files: Sequence[SourceFile],
    seconds: float,
    context: ScriptlessContext,
    read: Callable[[SourceFile], Any],
    reject: Callable[[SourceFile, str], Any],
) -> list[Any]:
    """Halve what crashed a worker until the file that did it stands alone."""
    executor = ProcessPoolExecutor(1, mp_context=context)
    try:
        executor.submit(_read_many, (), seconds, read).result()  # the start of a worker is nobody's time
        return executor.submit(_read_many, files, seconds, read).result(timeout=2 * seconds * len(files))
    except (FutureTimeout, BrokenProcessPool):
        if len(files) == 1:
            return [
                reject(files[0], f"the parser crashed on this file, or did not finish within {seconds:.0f} s")
            ]
    finally:
        _stop(executor)
    half = len(files) // 2
    return [
        *_read_apart(files[:half], seconds, context, read, reject),
        *_read_apart(files[half:], seconds, context, read, reject),
    ]


def fingerprint_of(table: Columns) -> int | None:
    """Equal for near-duplicates, transposition and tempo aside: the melody's (or first role's) first 64
    (onset distance, interval) pairs. None for pieces too short to tell."""
    role = next((r for r in ("melody", "other", "chords", "bass", "drums") if r in table.roles), None)
    if role is None:
        return None
    notes = np.flatnonzero(table.role == SEGMENT_ROLES.index(role))[:65]
    onset = table.bar_starts[table.bar[notes]] + table.at[notes]
    steps = tuple(zip(np.diff(onset).tolist(), np.diff(table.pitch[notes]).tolist(), strict=True))
    return hash(steps) if len(steps) >= 16 else None


__all__ = [
    "Reading", "SourceFile", "find_files", "fingerprint_of", "load_columns", "load_piece", "prepare_score",
    "read_folder", "read_piece",
]  # fmt: skip
