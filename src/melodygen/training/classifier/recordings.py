"""Teaching the style CNN from few labelled recordings: it goes on learning from them, beside the renders it knows.

Random crops, small shifts of pitch and tempo, the distortions of ``training.classifier``, mixup; batch norm keeps the
statistics it has, because a few hundred clips are too few for new ones. The weights are an exponential average over
the steps, and of several seeds the mean (a "soup", Wortsman et al. 2022: runs that begin at the same weights can be
averaged).

Letters: N windows, F bands, T frames.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from melodygen.audio.features import Features, FrontEndConfig, band_edges_hz
from melodygen.errors import CorpusError
from melodygen.nets.cnn import StyleCnn
from melodygen.nets.precision import has_bf16
from melodygen.training.classifier.trainer import Mixer, distorted


@dataclass(frozen=True)
class AdaptRecipe:
    """``views``: share of a batch that is renders; ``crop_frames``: how much of a window is heard at once."""

    steps: int = 200
    rows: int = 32
    learning_rate: float = 1e-3
    head_rate: float = 3.0
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    mixup: float = 0.4
    average: float = 0.98
    views: float = 0.25
    crop_frames: int = 160
    dropout: float = 0.5
    distort: float = 1.0
    vary: float = 1.0
    """How far pitch (1.5 semitones) and tempo (8 %) are varied; 0 leaves them."""
    fresh_head: bool = False
    """Begin with a last layer of zeros instead of the one that hears renders."""
    bf16: bool = field(default_factory=has_bf16)
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Clips:
    """``power`` (N, F, T) of mel power, ``item`` (N,) the clip of each window, ``target`` (clips,) its label."""

    power: Features
    item: NDArray[np.int64]
    target: NDArray[np.int64]
    config: FrontEndConfig

    def draw(
        self,
        rng: np.random.Generator,
        rows: int,
        frames: int,
        kept: NDArray[np.bool_],
        distort: float,
        vary: float,
    ) -> tuple[Features, NDArray[np.int64]]:
        """Levels (rows, F, frames) and labels. Clips of one label are as likely as its share's square root."""
        weight = np.bincount(self.target[kept], minlength=int(self.target.max()) + 1) ** 0.5
        label = rng.choice(len(weight), rows, p=weight / weight.sum())
        found = []
        for wanted in label:
            clips = np.flatnonzero(kept & (self.target == wanted))
            windows = np.flatnonzero(self.item == clips[int(rng.integers(len(clips)))])
            found.append(self._cut(self.power[windows[int(rng.integers(len(windows)))]], rng, frames, vary))
        return distorted(np.stack(found), rng, self.config, distort), label.astype(np.int64)

    def _cut(self, window: Features, rng: np.random.Generator, frames: int, vary: float) -> Features:
        """A stretch at a slightly other tempo and pitch."""
        pace = float(np.clip(rng.normal(1.0, 0.08 * vary), 0.8, (window.shape[1] - 1) / frames))
        first = rng.uniform(0, window.shape[1] - 1 - (frames - 1) * pace)
        cut = window[:, np.rint(first + np.arange(frames) * pace).astype(np.int64)]
        if rng.random() < 0.5 and vary > 0:
            scale = 2 ** float(rng.uniform(-1.5, 1.5) * vary / 12)
            bands = np.clip(np.rint(_band_of(np.arange(len(cut)), scale, self.config)), 0, len(cut) - 1)
            cut = cut[bands.astype(np.int64)]
        return cut


def _band_of(band: NDArray[np.int64], scale: float, config: FrontEndConfig) -> NDArray[np.float64]:
    """Where the sound of each band stood before every frequency was multiplied by ``scale``."""
    centre = band_edges_hz(config.n_mels, config.fmin_hz, config.fmax_hz)[1:-1]
    return np.interp(centre[band] / scale, centre, np.arange(config.n_mels))


def widen(
    net: StyleCnn, old: Sequence[str], labels: Sequence[str], spec: dict[str, object], bands: int
) -> StyleCnn:
    """A copy with an output for each of ``labels``: rows of known ones kept, new ones begin as their mean."""
    wide = StyleCnn(len(labels), bands, **spec)  # type: ignore[arg-type]
    state = dict(net.state_dict())
    for name in ("head.weight", "head.bias"):
        rows = state[name]
        state[name] = torch.stack([rows[old.index(n)] if n in old else rows.mean(dim=0) for n in labels])
    wide.load_state_dict(state)
    return wide


def adapt(
    net: StyleCnn,
    clips: Clips,
    kept: NDArray[np.bool_],
    mixer: Mixer | None,
    recipe: AdaptRecipe,
    each: Callable[[int, float], None] | None = None,
) -> StyleCnn:
    """A copy of ``net`` that went on learning from the clips that are ``kept``; ``mixer`` draws renders whose labels
    are the first outputs of the net. The same arguments give the same weights on the same machine."""
    if not kept.any():
        raise CorpusError("no clip to learn from")
    net = copy.deepcopy(net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.dropout.p = recipe.dropout
    if recipe.fresh_head:
        nn.init.zeros_(net.head.weight)
        nn.init.zeros_(net.head.bias)
    head = [net.head.weight, net.head.bias]
    body = [p for p in net.parameters() if not any(p is h for h in head)]
    rates = [recipe.learning_rate, recipe.learning_rate * recipe.head_rate]
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": rates[0]}, {"params": head, "lr": rates[1]}], weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=recipe.steps, pct_start=0.15)
    average = copy.deepcopy(net).eval()
    num_views = round(recipe.rows * recipe.views) if mixer is not None else 0
    frames = min(recipe.crop_frames, clips.power.shape[2])
    for step in range(recipe.steps):
        rng = np.random.default_rng([recipe.seed, step])
        levels, target = clips.draw(rng, recipe.rows - num_views, frames, kept, recipe.distort, recipe.vary)
        if mixer is not None and num_views:
            levels, target = _with_views(levels, target, mixer, (rng, num_views, frames, recipe.distort))
        mixed, share, other = _mixed_up(levels, recipe, rng)
        net.train()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            logits = net(torch.from_numpy(mixed)).float()
        weight, goal = torch.from_numpy(share), torch.from_numpy(target)
        losses = [
            functional.cross_entropy(logits, g, label_smoothing=recipe.label_smoothing, reduction="none")
            for g in (goal, goal[torch.from_numpy(other)])
        ]
        loss = (weight * losses[0] + (1 - weight) * losses[1]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        decay = min(recipe.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for held, now in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                if held.dtype.is_floating_point:
                    held.lerp_(now, 1 - decay)
        if each is not None:
            each(step + 1, float(loss.detach()))
    return average


def _with_views(
    levels: Features,
    target: NDArray[np.int64],
    mixer: Mixer,
    how: tuple[np.random.Generator, int, int, float],
) -> tuple[Features, NDArray[np.int64]]:
    """Rows with so many rendered views behind them, all cut to one place."""
    rng, count, frames, distort = how
    views, styles = mixer.draw(rng, count, distort)
    at = int(rng.integers(views.shape[2] - frames + 1))
    return np.concatenate((levels, views[:, :, at : at + frames])), np.concatenate((target, styles))


def _mixed_up(
    levels: Features, recipe: AdaptRecipe, rng: np.random.Generator
) -> tuple[Features, Features, NDArray[np.int64]]:
    """Half of the rows mixed with others: the levels, the share of the first (R,), and which row was mixed in."""
    drawn = rng.beta(recipe.mixup, recipe.mixup, recipe.rows)
    share = np.where(rng.random(recipe.rows) < 0.5, np.maximum(drawn, 1 - drawn), 1.0).astype(np.float32)
    other = rng.permutation(recipe.rows)
    return share[:, None, None] * levels + (1 - share)[:, None, None] * levels[other], share, other


def soup(nets: Sequence[StyleCnn]) -> StyleCnn:
    """The mean of the weights of nets that began at the same weights."""
    mean = copy.deepcopy(nets[0])
    with torch.no_grad():
        for name, value in mean.state_dict().items():
            if value.dtype.is_floating_point:
                value.copy_(torch.stack([n.state_dict()[name] for n in nets]).mean(dim=0))
    return mean.eval()


__all__ = ["AdaptRecipe", "Clips", "adapt", "soup", "widen"]
