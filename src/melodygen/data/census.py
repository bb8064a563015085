"""A folder taken in: of every file what it holds, or why it cannot be used; and what the whole adds up to.

Files are read and encoded in worker processes (see ``scan.read_folder``), so that what comes back is small and memory
does not grow with the folder.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.data.scan import SourceFile, file_sha256, fingerprint_of, load_columns, read_folder
from melodygen.data.shards import PieceInfo, encode_columns
from melodygen.errors import MelodygenError, reason_of
from melodygen.music.key import key_name
from melodygen.music.score import ROLES
from melodygen.tokens.vocabulary import MAX_TOKENS_A_BAR, METERS

SECONDS_A_FILE = 60.0
"""Time limit; notation is read by slower code than MIDI."""


@dataclass(frozen=True)
class FileSummary:
    """One file. ``reason`` is empty where it is used; ``sha256`` is of the file's bytes, empty where it cannot be read.

    ``notes`` and ``programs`` (General MIDI, the commonest) are by role.
    """

    file: SourceFile
    reason: str = ""
    sha256: str = ""
    info: PieceInfo | None = None
    encoded: dict[str, NDArray[np.generic]] | None = None
    fingerprint: int | None = None
    notes: dict[str, int] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)
    meter: str = ""
    key: str = ""
    bars: int = 0
    seconds: float = 0.0


def summarise_file(file: SourceFile) -> FileSummary:
    """Read and encode one file; every failure becomes a reason."""
    try:
        sha256, data = file_sha256(file.path)
    except OSError as error:
        return FileSummary(file, f"cannot be read: {error.strerror or error}")
    try:
        score, table, info = load_columns(file, data)
        encoded = encode_columns(table)
        if not set(table.roles) - {"drums"} and file.kind != "drums":
            return FileSummary(
                file, 'only drums (in a manifest.csv, kind "drums" makes it a drum take)', sha256
            )
        if table.num_bars < 2:
            return FileSummary(file, "less than two bars", sha256)
        if int(np.median(encoded["lengths"].sum(axis=1))) > MAX_TOKENS_A_BAR:
            return FileSummary(
                file, f"too dense: half of its bars need more than {MAX_TOKENS_A_BAR} tokens", sha256
            )
    except MelodygenError as error:
        return FileSummary(file, reason_of(error, file.path.name), sha256)
    except Exception as error:  # one strange file must not end the run
        return FileSummary(file, f"cannot be understood ({type(error).__name__}: {error})", sha256)
    notes: Counter[str] = Counter()
    programs: dict[str, Counter[int]] = defaultdict(Counter)
    for track in score.tracks:
        notes[track.role] += len(track)
        programs[track.role][track.program] += len(track)
    numerator, denominator = METERS[Counter(table.meters.tolist()).most_common(1)[0][0]]
    key = table.key or table.estimated_key()
    return FileSummary(
        file, "", sha256, info, encoded, fingerprint_of(table), dict(notes),
        {role: int(found.most_common(1)[0][0]) for role, found in programs.items()},
        f"{numerator}/{denominator}", key_name(key) if key else "", table.num_bars, score.duration_seconds,
    )  # fmt: skip


def reject_file(file: SourceFile, reason: str) -> FileSummary:
    """A file that cannot be used, with the reason."""
    return FileSummary(file, reason)


def read_census(
    files: Sequence[SourceFile], workers: int, progress: Callable[[int], None] | None = None
) -> Iterator[FileSummary]:
    """Intakes in the order of ``files``, near-duplicates turned down with the name of the first of them."""
    seen: dict[int, str] = {}
    for intake in read_folder(files, workers, SECONDS_A_FILE, progress, summarise_file, reject_file):
        if intake.fingerprint is not None and intake.fingerprint in seen:
            yield FileSummary(intake.file, f"near-duplicate of {seen[intake.fingerprint]}", intake.sha256)
            continue
        if intake.fingerprint is not None:
            seen[intake.fingerprint] = intake.file.name
        yield intake


@dataclass
class Census:
    """What a folder adds up to. ``rows``: one dictionary a file, in order."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    files_with: Counter[str] = field(default_factory=Counter)
    meters: Counter[str] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    styles: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    bars: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, intake: FileSummary) -> None:
        """Count one more file."""
        row: dict[str, Any] = {
            "file": intake.file.name, "style": intake.file.style, "used": not intake.reason, "reason": intake.reason,
            "notes": sum(intake.notes.values()), "roles": [r for r in ROLES if intake.notes.get(r)],
            "meter": intake.meter, "key": intake.key, "bars": intake.bars, "seconds": round(intake.seconds, 1),
            "sha256": intake.sha256,
        }  # fmt: skip
        self.rows.append(row)
        if intake.reason:
            self.reasons[kind_of(intake.reason)] += 1
            return
        self.notes.update(intake.notes)
        self.files_with.update(row["roles"])
        self.meters[intake.meter] += 1
        self.keys[intake.key] += 1
        self.styles[intake.file.style] += 1
        self.bars.append(intake.bars)
        self.seconds.append(intake.seconds)

    @property
    def used(self) -> int:
        """How many files are used."""
        return len(self.bars)

    @property
    def rejects(self) -> list[dict[str, Any]]:
        """Rows of the files that cannot be used."""
        return [r for r in self.rows if not r["used"] and not r["reason"].startswith("near-duplicate")]

    @property
    def doubles(self) -> list[dict[str, Any]]:
        """Rows of the near-duplicates that are left out."""
        return [r for r in self.rows if r["reason"].startswith("near-duplicate")]

    def nothing_usable(self, folder: Path) -> str:
        """The message for a folder of which no file can be used."""
        reasons = "; ".join(f"{count} × {reason}" for reason, count in self.reasons.most_common(5))
        return f"{folder}: none of {len(self.rows)} files can be used: {reasons}"

    def summary(self) -> dict[str, Any]:
        """Counts and spreads for a report: files, notes, hours, roles, styles, reasons."""

        def spread(values: Sequence[float]) -> dict[str, float]:
            if not values:
                return {}
            low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
            return {
                "p5": round(float(low), 1),
                "median": round(float(middle), 1),
                "p95": round(float(high), 1),
            }

        return {
            "files": len(self.rows), "used": self.used, "rejected": len(self.rejects),
            "near_duplicates": len(self.doubles), "notes": sum(self.notes.values()), "hours":
            round(sum(self.seconds) / 3600, 2), "styles": dict(self.styles.most_common()),
            "roles": {r: {"files": self.files_with[r], "notes": self.notes[r]} for r in ROLES if self.files_with[r]},
            "meters": dict(self.meters.most_common()), "keys": dict(self.keys.most_common()),
            "bars": spread(self.bars), "seconds": spread(self.seconds), "reasons": dict(self.reasons.most_common()),
        }  # fmt: skip


def kind_of(reason: str) -> str:
    """A reason without its particulars, for counting."""
    if reason.startswith("near-duplicate"):
        return "near-duplicate"
    return re.sub(r"\d[\d.,:/]*(?<![.,:/])", "N", " ".join(reason.split()))[:90]


def write_report(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A CSV of every file: used, or why not."""
    with (
        atomic_path(path, overwrite=True) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(
            ("file", "style", "used", "reason", "notes", "roles", "meter", "key", "bars", "seconds", "sha256")
        )
        for row in rows:
            # surrogates are bytes of a file name that are no UTF-8
            values = [" ".join(v) if isinstance(v, list) else v for v in row.values()]
            writer.writerow(
                [v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in values]
            )
