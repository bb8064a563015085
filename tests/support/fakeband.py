"""A plug-in of another package: a generator, a renderer and a classifier that are quick and easy to predict.

``Writer`` writes one note a quarter, its pitch from the seed; ``Beeper`` renders a tone whose level is the
pitch; ``Judge`` hears the level: a higher first pitch is more jazz. What follows ``fakeband:`` picks a fault.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from melodygen.audio.buffer import Audio
from melodygen.contracts import Draft
from melodygen.music.score import Score, Tempo, TimeSignature, Track
from melodygen.request import Request
from melodygen.styles.scores import StyleScores
from melodygen.styles.style import Style

MAZURKA = Style("mazurka", "Known to the model only", qpm=160.0, meter=(3, 4), tracks=("melody",))
POLKA = Style("polka", "Oom-pah", qpm=120.0, meter=(2, 4), tracks=("melody",), programs={"melody": 21})


ENTRY_POINTS = """\
[melodygen.generators]
fakeband = fakeband:Writer
broken = fakeband:NoSuchThing
[melodygen.renderers]
fakeband = fakeband:Beeper
[melodygen.classifiers]
fakeband = fakeband:Judge
[melodygen.styles]
polka = fakeband:POLKA
"""


def install(folder: Path) -> Path:
    """Make ``folder``, once it is on PYTHONPATH, an installed package with these plug-ins."""
    shutil.copy(__file__, folder)
    info = folder / "fakeband-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fakeband\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


class Writer:
    model_id = "fakeband-writer@0000"
    styles = ("jazz", "polka", "mazurka")
    style_info = MappingProxyType({"mazurka": MAZURKA})

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.calls: list[tuple[Request, list[int]]] = []

    def generate(
        self, request: Request, seeds: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> list[Draft]:
        self.calls.append((request, list(seeds)))
        if mark := os.environ.get("FAKEBAND_MARK"):
            Path(mark).write_text("writing")
        if self.fault == "slow":
            time.sleep(60)
        if progress:
            progress(1.0)
        return [Draft(self._score(request, seed), seed, -1.0 - seed % 7 / 10, 100) for seed in seeds]

    def _score(self, request: Request, seed: int) -> Score:
        numerator, denominator = request.meter or (4, 4)
        bar = 480 * 4 * numerator // denominator
        count = {"empty": 0, "stops": 1}.get(self.fault, request.bars * numerator)
        notes = [(i * bar // numerator, bar // numerator, 40 + (seed + i) % 40, 90) for i in range(count)]
        return Score(
            tracks=tuple(Track(notes, role=role, is_drum=role == "drums") for role in request.tracks),
            tempos=(Tempo(0, request.qpm or 120.0),),
            time_signatures=(TimeSignature(0, numerator, denominator),),
        )


class Beeper:
    renderer_id = "fakeband-beeper"

    def __init__(self, soundfont: Path | None = None) -> None:
        self.calls: list[str] = []

    def render(self, score: Score, sample_rate: int = 44_100, quality: str = "full") -> Audio:
        self.calls.append(quality)
        level = int(score.tracks[0].notes["pitch"][0]) / 100 if score.num_notes else 0.0
        channels = 2 if quality == "full" else 1
        return Audio(np.full((channels, sample_rate), level, dtype=np.float32), sample_rate)


class Judge:
    classifier_id = "fakeband-judge@0000"
    labels = ("jazz", "polka", "mazurka")

    def __init__(self, fault: str = "") -> None:
        self.ceiling = 0.1 if fault == "harsh" else 1.0

    def classify(self, recordings: Sequence[Audio]) -> list[StyleScores]:
        jazz = [self.ceiling * float(audio.samples.max()) for audio in recordings]
        return [StyleScores(self.labels, np.array([p, 1.0 - p, 0.0]), self.classifier_id) for p in jazz]
