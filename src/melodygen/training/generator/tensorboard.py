"""A run as TensorBoard shows it: losses, and now and then what the model writes in the new styles, as sound and as a
piano roll (the ``tensorboard`` extra)."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from melodygen.errors import MelodygenError, PluginError
from melodygen.generation.neural import NeuralGenerator
from melodygen.music.score import Score
from melodygen.plots.piano_roll import plot_score
from melodygen.rendering.default import load_renderer
from melodygen.request import Request
from melodygen.training.generator.run import Prepared
from melodygen.training.generator.state import Point

SAMPLE_BARS = 8
SAMPLE_RATE = 22_050
EVERY = 5
"""A sample every so many validations."""
MAX_STYLES = 4


class Events:
    """Writes what it is told into ``folder``."""

    def __init__(self, log: Any, run: Prepared) -> None:
        self._log, self._run = log, run
        self._told = 0

    def point(self, point: Point, weights: Mapping[str, torch.Tensor]) -> None:
        """A validation, with the averaged weights it was of."""
        losses = {"validation": point.valid, "old styles": point.old, "training": point.train}
        for name, value in losses.items():
            if value is not None:
                self._log.add_scalar(f"loss/{name}", value, point.step)
        if self._told % EVERY == 0 or point.step == self._run.record.steps:
            self._samples(point.step, weights)
        self._told += 1
        self._log.flush()

    def _samples(self, step: int, weights: Mapping[str, torch.Tensor]) -> None:
        net = copy.deepcopy(self._run.net).cpu()
        net.load_state_dict(dict(weights))
        styles = {s.name: s for s in self._run.record.styles}
        writer = NeuralGenerator(net, styles, "sample", {})
        sound = load_renderer()
        for name in self._run.record.new[:MAX_STYLES]:
            style = styles[name]
            asked = Request(name, SAMPLE_BARS, style.qpm, style.meter, tracks=style.tracks)
            try:
                score = writer.generate(asked, [self._run.config.seed])[0].score
                audio = sound.render(score, SAMPLE_RATE, "draft")
            except MelodygenError:  # what an untrained net writes may be no music
                continue
            mono = torch.from_numpy(audio.samples.mean(axis=0, keepdims=True).copy()).clamp(-1, 1)
            self._log.add_audio(f"sample/{name}", mono, step, sample_rate=SAMPLE_RATE)
            self._log.add_image(f"sample/{name}", piano_roll(score), step, dataformats="HWC")


def piano_roll(score: Score) -> Any:
    """(H, W, 3) uint8."""
    import numpy as np
    from matplotlib.image import imread

    with tempfile.TemporaryDirectory() as scratch:
        plot_score(Path(scratch) / "roll.png", score)
        picture = imread(Path(scratch) / "roll.png")
    return np.asarray(picture[:, :, :3] * 255, dtype=np.uint8)


@contextmanager
def open_events(folder: Path, run: Prepared) -> Iterator[Events]:
    """Raises PluginError where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PluginError("--tensorboard needs the package: pip install 'melodygen[tensorboard]'") from error
    with SummaryWriter(str(folder)) as log:
        yield Events(log, run)
