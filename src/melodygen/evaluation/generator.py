"""What a generator writes beside a reference: how the band plays, how timid the tune is, whether it is told apart.

The figures are those of :mod:`melodygen.evaluation.band` and :mod:`melodygen.evaluation.statistics`, of each piece on
the grid of the tokens. Medians come with bootstrap intervals over pieces (95 %), the reference with its quartiles.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.data.scan import SourceFile, find_files, load_piece
from melodygen.errors import CorpusError, MelodygenError, PluginError
from melodygen.evaluation.band import YARDSTICK_BARS, Quartiles, band_figures, human_quartiles, quartiles
from melodygen.evaluation.statistics import statistics
from melodygen.tokens.grid import GRID_ROLES, GridNote, Piece

RESAMPLES = 1000
FOLDS = 5
LEAST_TO_TELL = 2 * FOLDS
"""Pieces of each kind that are needed to try to tell them apart."""
CUT_SHORT = ("cadence", "blues form")
"""Figures that a window of a longer piece cannot have."""
MIDDLE_BAND = 2
"""The loudness of all notes where loudness is left out."""


@dataclass(frozen=True)
class Figure:
    """One figure over the pieces of a style.

    Attributes:
        median: middle value of the pieces in which it is defined; None where it is in none.
        low: lower end of the 95 % bootstrap interval of the median.
        high: upper end.
        pieces: number of pieces in which it is defined.
        reference: lower quartile, median and upper quartile of the reference; None without one.
    """

    median: float | None
    low: float | None
    high: float | None
    pieces: int
    reference: Quartiles | None = None

    @property
    def is_inside(self) -> bool | None:
        """Whether the median lies between the reference's quartiles; None where there is nothing to compare."""
        if self.median is None or self.reference is None:
            return None
        return self.reference[0] <= self.median <= self.reference[2]


NOT_MEASURED = Figure(None, None, None, 0)


@dataclass(frozen=True)
class StyleReport:
    """What was measured of one style.

    Attributes:
        style: its name.
        pieces: number of pieces.
        figures: by name.
        told_apart: balanced accuracy, cross-validated, of a random forest that tells the pieces from the reference;
            0.5 is chance; None where there are too few.
        told_apart_alike: the same of ``alike`` pieces, so that it tells the music and not the instrumentation, the
            meter, the length or whether a source has loudness.
        alike_roles: the roles that were compared so.
    """

    style: str
    pieces: int
    figures: Mapping[str, Figure]
    told_apart: float | None = None
    told_apart_alike: float | None = None
    alike_roles: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def compare_style(
    style: str,
    pieces: Sequence[Piece],
    reference: Sequence[Piece] = (),
    seed: int = 0,
    probabilities: Sequence[float] = (),
) -> StyleReport:
    """Measure the pieces of a style, beside ``reference`` where there is any, else beside the shipped yardsticks.

    Args:
        style: name for the report.
        pieces: what was written.
        reference: human music, or another program's.
        seed: of the bootstrap and the forest.
        probabilities: how much a classifier hears the style in each piece, 0-1; none where nobody listened.
    """
    rng = np.random.default_rng(seed)
    ours, theirs = [band_figures(p) for p in pieces], [band_figures(p) for p in reference]
    known = {} if reference or len(pieces[0].bars) != YARDSTICK_BARS else human_quartiles(style)
    figures = {
        name: summary([r[name] for r in ours], [r[name] for r in theirs], rng, known.get(name))
        for name in ours[0]
    }
    if probabilities:
        figures["style probability"] = summary(probabilities, (), rng)
    apart = apart_alike = None
    one, two = alike(pieces, reference)
    if min(len(pieces), len(reference)) >= LEAST_TO_TELL:
        apart = told_apart(features(pieces), features(reference), seed)
    if min(len(one), len(two)) >= LEAST_TO_TELL:
        apart_alike = told_apart(features(one, CUT_SHORT), features(two, CUT_SHORT), seed)
    return StyleReport(style, len(pieces), figures, apart, apart_alike, one[0].roles if one else ())


def alike(ours: Sequence[Piece], theirs: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Reduce two sets of pieces to what both can have.

    Kept are the roles and chord symbols that most pieces of either set have, of the pieces that have them all, in the
    length and the meter that most of ``ours`` have. Where a set has mostly one loudness, both lose theirs.
    """
    if not ours or not theirs:
        return [], []
    both = (ours, theirs)
    roles = {r for r in GRID_ROLES if all(_mostly([r in p.roles for p in pieces]) for pieces in both)}
    shape = Counter((len(p.bars), p.bars[0].meter) for p in ours).most_common(1)[0][0]
    chords = all(_mostly([any(b.chords for b in p.bars) for p in pieces]) for pieces in both)
    loud = all(_mostly([_has_loudness(p) for p in pieces]) for pieces in both)
    kept: list[list[Piece]] = []
    for pieces in both:
        fit = [
            p for p in pieces
            if roles <= set(p.roles) and len(p.bars) == shape[0] and all(b.meter == shape[1] for b in p.bars)
        ]  # fmt: skip
        kept.append([_reduced(p, roles, chords, loud) for p in fit] if roles else [])
    return kept[0], kept[1]


def _mostly(answers: Sequence[bool]) -> bool:
    return 2 * sum(answers) > len(answers)


def _has_loudness(piece: Piece) -> bool:
    notes = ((role, n) for b in piece.bars for role, its in b.parts.items() for n in its)
    return len({n[2 if role == "drums" else 1] for role, n in notes}) > 1


def _reduced(piece: Piece, roles: set[str], chords: bool, loud: bool) -> Piece:
    """The piece with these roles, with or without its chord symbols and its loudness."""

    def level(role: str, notes: tuple[GridNote, ...]) -> tuple[GridNote, ...]:
        if loud:
            return notes
        if role == "drums":
            return tuple((at, drum, MIDDLE_BAND, 0) for at, drum, _, _ in notes)
        return tuple((at, MIDDLE_BAND, duration, pitch) for at, _, duration, pitch in notes)

    bars = tuple(
        replace(
            bar,
            parts={r: level(r, notes) for r, notes in bar.parts.items() if r in roles},
            chords=bar.chords if chords else (),
        )
        for bar in piece.bars
    )
    return replace(piece, bars=bars)


def summary(
    values: Sequence[float],
    reference: Sequence[float],
    rng: np.random.Generator,
    yardstick: Quartiles | None = None,
) -> Figure:
    """Return the median with its interval, beside the quartiles of the reference or ``yardstick``, without NaN."""
    known = np.array([v for v in values if not math.isnan(v)])
    yardstick = quartiles(reference) or yardstick
    if not len(known):
        return Figure(None, None, None, 0, yardstick)
    draws = np.median(rng.choice(known, (RESAMPLES, len(known))), axis=1)
    low, high = np.quantile(draws, (0.025, 0.975)).tolist()
    return Figure(float(np.median(known)), low, high, len(known), yardstick)


def features(pieces: Sequence[Piece], without: Collection[str] = ()) -> NDArray[np.float64]:
    """(pieces, D) all figures and statistics of each piece but those ``without``; what is not defined is -1."""
    each = [{**band_figures(p), **statistics(p)} for p in pieces]
    rows = [[value for name, value in figures.items() if name not in without] for figures in each]
    return np.nan_to_num(np.array(rows, dtype=np.float64), nan=-1.0)


def told_apart(ours: NDArray[np.float64], theirs: NDArray[np.float64], seed: int = 0) -> float:
    """Balanced accuracy with which a random forest tells two sets of rows apart, in stratified cross-validation.

    Raises:
        PluginError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import StratifiedKFold, cross_val_score
    except ImportError:
        raise PluginError("telling apart needs scikit-learn; pip install 'melodygen[eval]'") from None
    rows = np.concatenate([ours, theirs])
    labels = np.repeat([1, 0], [len(ours), len(theirs)])
    forest = RandomForestClassifier(300, class_weight="balanced", random_state=seed, min_samples_leaf=2)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return float(cross_val_score(forest, rows, labels, cv=folds, scoring="balanced_accuracy").mean())


APART = (("told apart", "told_apart"), ("told apart, like for like", "told_apart_alike"))


def apart_rows(reports: Sequence[StyleReport]) -> list[list[str]]:
    """Rows of a table: a name, and by style how well a forest tells the pieces from the reference."""
    shares = [[name, *(getattr(r, field) for r in reports)] for name, field in APART]
    return [[name, *("–" if s is None else f"{s:.0%}" for s in row)] for name, *row in shares]


def read_reference(
    folder: Path, bars: int, style: str | None = None
) -> tuple[dict[str, list[Piece]], dict[str, str]]:
    """Read a folder of music as windows of ``bars`` bars: the first of each file, and one more for each 64 bars.

    Args:
        folder: music files; their styles are the manifest's or the sub-folders'. Of a manifest with splits only the
            files for validation are read.
        bars: length of a window.
        style: name for all files.

    Returns:
        Windows by style, and the reason by path of each file that could not be used.

    Raises:
        CorpusError: there is no music, or none that can be used.
    """
    found: dict[str, list[Piece]] = {}
    failed: dict[str, str] = {}
    files = [f for f in find_files(folder, style) if f.kind != "drums"]
    if style is None and (folder / "manifest.csv").is_file():  # nothing that a model may have learned from
        files = [f for f in files if f.split == "valid"] or files
    for file in files:
        try:
            found.setdefault(file.style, []).extend(_windows(file, bars))
        except MelodygenError as error:
            failed[file.name] = str(error)
    found = {name: pieces for name, pieces in found.items() if pieces}
    if not found:
        raise CorpusError(
            f"{folder}: none of {len(failed)} files can be used; the first: {next(iter(failed.values()), '')}"
        )
    return found, failed


def _windows(file: SourceFile, bars: int) -> list[Piece]:
    _, piece, _ = load_piece(file)
    starts = range(0, max(1, len(piece.bars) - bars + 1), max(bars, 64))
    return [Piece(piece.bars[at : at + bars], piece.qpm, piece.key) for at in starts]


def figure_names(reports: Sequence[StyleReport]) -> list[str]:
    """Names of all figures, each once, in their order."""
    return list(dict.fromkeys(name for report in reports for name in report.figures))


def table_rows(reports: Sequence[StyleReport], name: str) -> list[str]:
    """Cells of one figure by style: the median, and the reference's median after a slash where there is one."""
    cells = []
    for report in reports:
        figure = report.figures.get(name, NOT_MEASURED)
        ours = "–" if figure.median is None else f"{figure.median:.2f}"
        mark = "" if figure.is_inside is not False else "*"
        cells.append(ours + mark if figure.reference is None else f"{ours}{mark} / {figure.reference[1]:.2f}")
    return cells
