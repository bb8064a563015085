"""Sections of a track: where bars stop being like those before them, and which stretches are alike.

Each bar is described by its harmony and its timbre. A checkerboard kernel moved along the diagonal of the similarities
of all bars is high where two different stretches meet (Foote 2000). Stretches whose bars are alike, one by one, get the
same letter. Letters say nothing of verse or chorus.

M bars, S sections.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_BARS = 8
"""Fewer bars are one section."""
HALF_KERNEL = 4
SHORTEST = 4
"""Bars of a section, but for the first and the last."""
THRESHOLD = 0.4
"""Standard deviations above the mean at which a peak of novelty is a boundary."""
ALIKE = 0.5
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class SectionSpan:
    """A section with its beginning and end in seconds; those of one ``name`` are alike."""

    start_seconds: float
    end_seconds: float
    name: str


def section_spans(edges: Floats, harmony: Floats, timbre: Floats) -> list[SectionSpan]:
    """The sections of M bars.

    Args:
        edges: (M + 1,) seconds of the bar lines.
        harmony: (M, 12) weights of pitch classes.
        timbre: (M, B) levels of bands.
    """
    if not len(harmony):
        return []
    bars = np.concatenate((_unit(harmony), _unit(_standard(timbre))), axis=1) / np.sqrt(2)
    starts = [0, *boundaries(bars @ bars.T), len(bars)]
    names = section_names([bars[a:b] for a, b in itertools.pairwise(starts)])
    return [
        SectionSpan(float(edges[a]), float(edges[b]), name)
        for a, b, name in zip(starts[:-1], starts[1:], names, strict=True)
    ]


def boundaries(likeness: Floats) -> list[int]:
    """Bars at which a section begins, the first one left out, from the (M, M) likeness of bars."""
    count = len(likeness)
    if count < MIN_BARS:
        return []
    offsets = np.arange(-HALF_KERNEL, HALF_KERNEL) + 0.5
    side = np.sign(offsets) * np.exp(-0.5 * (offsets / (HALF_KERNEL / 1.5)) ** 2)
    kernel = np.outer(side, side)
    padded = np.pad(likeness, HALF_KERNEL, mode="edge")
    novelty = np.array(
        [(padded[i : i + 2 * HALF_KERNEL, i : i + 2 * HALF_KERNEL] * kernel).sum() for i in range(count)]
    )
    novelty[0] = novelty.min()
    least = novelty.mean() + THRESHOLD * novelty.std()
    found: list[int] = []
    for bar in np.argsort(-novelty, kind="stable").tolist():
        if novelty[bar] <= least:
            break
        if 2 <= bar <= count - 2 and all(abs(bar - other) >= SHORTEST for other in found):
            found.append(bar)
    return sorted(found)


def section_names(stretches: list[Floats]) -> list[str]:
    """A letter for each stretch of bars (bars, values): the letter of the stretch before that is most like it, if it is
    like it enough."""
    names: list[str] = []
    for index, stretch in enumerate(stretches):
        likeness = [alike(stretch, earlier) for earlier in stretches[:index]]
        if likeness and max(likeness) >= ALIKE:
            names.append(names[int(np.argmax(likeness))])
        else:
            used = len(set(names))
            names.append(LETTERS[used % 26] + ("" if used < 26 else str(used // 26)))
    return names


def alike(a: Floats, b: Floats) -> float:
    """Mean likeness of the bars of two stretches, one by one; the shorter is laid where it fits the longer best."""
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    fits = [
        float(np.mean(np.sum(short * long[at : at + len(short)], axis=1)))
        for at in range(len(long) - len(short) + 1)
    ]
    return float(max(fits) * (len(short) / len(long)) ** 0.25)


def _unit(rows: Floats) -> Floats:
    centred = rows - rows.mean(axis=0)
    return np.asarray(centred / (np.linalg.norm(centred, axis=1, keepdims=True) + 1e-9))


def _standard(rows: Floats) -> Floats:
    return np.asarray((rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-9))


__all__ = ["SectionSpan", "boundaries", "section_names", "section_spans"]
