"""Training the style CNN on stored views.

Each step draws views evenly over styles, mixes some of their stems at random levels, and distorts the mix as rooms,
microphones, codecs and broadcasts do (equaliser, bandwidth, noise, compression), so that what stays the same within
a style is its notes and rhythm. Mixup (Zhang et al. 2018), SpecAugment (Park et al. 2019), label smoothing, AdamW
under a one-cycle rate, and an exponential average of the weights, which is what is kept.

Letters: B batch, S stems, F bands, T frames.
"""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from melodygen.audio.features import Features, FrontEndConfig, log_levels
from melodygen.errors import CorpusError
from melodygen.nets.precision import has_bf16
from melodygen.training.classifier.view_store import Entry, Store, power_table

STEM_DB = {"melody": 0.0, "harmony": -4.0, "bass": -2.0, "drums": -3.0, "extra": -6.0}
KEEP_STEM = {"melody": 0.9, "harmony": 0.85, "bass": 0.85, "drums": 0.78, "extra": 0.6}
KEEP_WHOLE = 0.35
"""How often a view is heard with all its stems, near their usual loudness."""
BORROW = 0.2
"""How often each stem of a view comes from another version of it, and drums where its own version has none."""


@dataclass(frozen=True)
class ClassifierRecipe:
    """``mixup``: Beta's parameter; ``average``: decay of the weight average; ``distort``: 0 leaves the sound plain;
    ``ease``: over this last share of the steps distortion falls to half and mixup to nothing, towards real use."""

    steps: int = 3000
    rows: int = 64
    learning_rate: float = 3.5e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.06
    mixup: float = 0.3
    average: float = 0.997
    warmup: float = 0.06
    distort: float = 1.0
    ease: float = 0.0
    bf16: bool = field(default_factory=has_bf16)
    workers: int = 0
    """Processes that mix while the net learns; the batches do not depend on it."""
    seed: int = 1
    consistency: float = 0.0
    """Weight of the disagreement (symmetric Kullback-Leibler, nats) between two versions of the same notes; above 0
    rows are drawn in pairs, and the store must hold versions."""
    usual_first: bool = False
    """The first of each pair is the view as it was made, the second another version; else any two."""


@dataclass(frozen=True)
class Augmentation:
    """What becomes of a view each time it is drawn. ``vary``: levels of stems, which are left out, and pace are random
    (else all stems at their usual loudness); the rest is how often a mix meets each distortion at full strength."""

    vary: bool = True
    equaliser: float = 0.8
    band_limit: float = 0.25
    """Of the highs, and again of the lows."""
    noise: float = 0.5
    squeeze: float = 0.35
    """Compression, or a little expansion."""
    shift: float = 0.5
    """By a mel band up or down, or not."""
    mask: float = 0.7
    crackle: float = 0.1
    """Of vinyl: 1 to 30 ticks a second over all bands."""
    voices: float = 0.2
    """Somebody speaks over it, where the mixer has voices."""


FULL = Augmentation()


@dataclass(frozen=True)
class ClassifierTrainingState:
    """Where training is: the step, its loss, seconds since the beginning."""

    step: int
    loss: float
    seconds: float


class Mixer:
    """Draws batches from a store. ``entries`` bounds what is drawn. ``voices``: mel power (N, F, T) of speech."""

    def __init__(
        self,
        store: Store,
        labels: Sequence[str],
        config: FrontEndConfig,
        entries: Sequence[Entry],
        augmentation: Augmentation = FULL,
        voices: Features | None = None,
    ) -> None:
        self._store = store
        self._voices = voices
        self._augmentation = augmentation
        self._config = config
        self._table = power_table()
        self._by_style = [[e for e in entries if e.style == label] for label in labels]
        self._as_made = [[e for e in own if e.plan == "same"] or own for own in self._by_style]
        self._versions: dict[int, list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry.notes >= 0:
                self._versions[entry.notes].append(entry)
        empty = [label for label, found in zip(labels, self._by_style, strict=True) if not found]
        if empty:
            raise CorpusError(f"no rendered views of {', '.join(empty)}; render some")

    def draw(self, rng: np.random.Generator, rows: int, distort: float) -> tuple[Features, NDArray[np.int64]]:
        """Levels (B, F, T) and styles (B,)."""
        styles = rng.permutation(np.arange(rows) % len(self._by_style)).astype(np.int64)
        power = np.stack([self.mixed(self._pick(int(s), rng), rng) for s in styles])
        if self._voices is not None:
            self._speak(power, self._voices, rng, distort)
        return distorted(power, rng, self._config, distort, self._augmentation), styles

    def draw_pairs(
        self, rng: np.random.Generator, rows: int, distort: float, usual_first: bool = False
    ) -> tuple[Features, NDArray[np.int64]]:
        """As ``draw``, but rows 2 i and 2 i + 1 are the same notes at the same time in two versions of a view; of a
        view that has one version they are two mixes of it. ``usual_first``: the first is as the view was made."""
        pools = self._as_made if usual_first else self._by_style
        styles = rng.permutation(np.arange(rows // 2) % len(self._by_style)).astype(np.int64)
        power = []
        for style in styles.tolist():
            entry = pools[style][int(rng.integers(len(pools[style])))]
            others = [e for e in self._versions.get(entry.notes, ()) if e is not entry] or [entry]
            other = others[int(rng.integers(len(others)))]
            frames = self._frames(rng)
            power += [self.mixed(entry, rng, frames), self.mixed(other, rng, frames)]
        together = np.stack(power)
        if self._voices is not None:
            self._speak(together, self._voices, rng, distort)
        return distorted(together, rng, self._config, distort, self._augmentation), styles.repeat(2)

    def _pick(self, style: int, rng: np.random.Generator) -> Entry:
        entries = self._by_style[style]
        return entries[int(rng.integers(len(entries)))]

    def _frames(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Frames of a view that make a window, at a pace near its own."""
        frames, need = self._store.levels.shape[2], self._config.num_frames
        pace = float(np.clip(rng.normal(1.0, 0.06), 0.85, (frames - 1) / need)) if rng.random() < 0.5 else 1.0
        first = rng.uniform(0, frames - 1 - (need - 1) * pace)
        index: NDArray[np.int64] = np.rint(first + np.arange(need) * pace).astype(np.int64)
        return index

    def mixed(
        self, entry: Entry, rng: np.random.Generator, frames: NDArray[np.int64] | None = None
    ) -> Features:
        """Mel power (F, T) of a window of a view, mixed anew; ``frames``: of which of its frames, else any."""
        if not self._augmentation.vary:
            return self._usual(entry, rng)
        whole = rng.random() < KEEP_WHOLE
        stems = self._stems(entry, rng)
        kept = [s for s in stems if whole or rng.random() < KEEP_STEM[s]]
        if not set(kept) - {"drums"}:
            kept = list(stems)
        index = self._frames(rng) if frames is None else frames
        total = np.zeros((self._store.levels.shape[1], len(index)), dtype=np.float32)
        for name in kept:
            gain = 10 ** ((STEM_DB[name] + rng.normal(0, 2.0 if whole else 3.5)) / 10)
            total += np.float32(gain) * self._table[self._store.levels[stems[name]]][:, index]
        return total

    def _stems(self, entry: Entry, rng: np.random.Generator) -> dict[str, int]:
        """Row of each stem of a view; where there are other versions, some of theirs."""
        rows = {name: entry.first + i for i, name in enumerate(entry.stems)}
        others = [e for e in self._versions.get(entry.notes, ()) if e is not entry]
        if others:
            other = others[int(rng.integers(len(others)))]
            for i, name in enumerate(other.stems):
                if (name in rows or name == "drums") and rng.random() < BORROW:
                    rows[name] = other.first + i
        return rows

    def _speak(self, power: Features, voices: Features, rng: np.random.Generator, distort: float) -> None:
        """Lay a voice over some rows, 18 dB below the music to as loud."""
        for row in np.flatnonzero(rng.random(len(power)) < self._augmentation.voices * distort):
            voice = np.roll(voices[int(rng.integers(len(voices)))], int(rng.integers(power.shape[2])), axis=1)
            level = 10 ** (rng.uniform(-18, 0) / 10) * power[row].mean() / max(float(voice.mean()), 1e-12)
            power[row] += np.float32(level) * voice

    def _usual(self, entry: Entry, rng: np.random.Generator) -> Features:
        need = self._config.num_frames
        first = int(rng.integers(self._store.levels.shape[2] - need + 1))
        return usual_mix(self._store, entry, slice(first, first + need))


def usual_mix(store: Store, entry: Entry, frames: slice) -> Features:
    """Mel power (F, T) of all stems of a view at their usual loudness."""
    table = power_table()
    total = sum(
        np.float32(10 ** (STEM_DB[name] / 10)) * table[store.levels[entry.first + i, :, frames]]
        for i, name in enumerate(entry.stems)
    )
    return np.asarray(total, dtype=np.float32)


def plain_mix(store: Store, entry: Entry, config: FrontEndConfig) -> Features:
    """Levels (F, T) of all stems of a view at their usual loudness, from its start."""
    return log_levels(usual_mix(store, entry, slice(config.num_frames)), config)


def distorted(
    power: Features,
    rng: np.random.Generator,
    config: FrontEndConfig,
    amount: float,
    how: Augmentation = FULL,
) -> Features:
    """Mel power (B, F, T) through rooms, wires and noise -> levels."""
    batch, bands, frames = power.shape
    if amount <= 0:
        return log_levels(power, config)
    x = np.linspace(0, 1, bands)[None, :]

    def chosen(probability: float) -> NDArray[np.bool_]:
        return rng.random((batch, 1)) < probability * amount

    curve = np.zeros((batch, bands))
    for waves in (0.5, 1.0, 2.0, 4.0):
        phase = rng.uniform(0, 2 * np.pi, (batch, 1))
        curve += rng.normal(0, 3.5 / waves**0.5, (batch, 1)) * np.sin(2 * np.pi * waves * x + phase)
    curve *= chosen(how.equaliser)
    high = rng.uniform(0.35, 1.0, (batch, 1))
    curve -= chosen(how.band_limit) * np.clip((x - high) * rng.uniform(60, 300, (batch, 1)), 0, 50)
    low = rng.uniform(0.0, 0.2, (batch, 1))
    curve -= chosen(how.band_limit) * np.clip((low - x) * rng.uniform(60, 300, (batch, 1)), 0, 40)
    power = power * (10 ** (curve / 10)).astype(np.float32)[:, :, None]

    mean = power.mean(axis=(1, 2), keepdims=True)
    level = 10 ** (rng.uniform(-45, -8, (batch, 1)) / 10) * chosen(how.noise)
    tilt = 10 ** (rng.normal(0, 8, (batch, 1)) * (x - 0.3) / 10)
    noise = rng.standard_exponential((batch, bands, frames), dtype=np.float32)
    power = power + mean * (level * tilt).astype(np.float32)[:, :, None] * noise

    power = power + mean * _crackle(rng, chosen(how.crackle), frames, config) * x[:, :, None].astype(
        np.float32
    )

    levels = log_levels(power, config)
    squeezed = rng.random((batch, 1, 1)) < how.squeeze * amount
    squeeze = np.where(squeezed, rng.uniform(0.75, 1.15, (batch, 1, 1)), 1.0)
    levels = (levels * squeeze).astype(np.float32)
    for row in range(batch):
        shift = int(rng.integers(-1, 2)) if rng.random() < how.shift * amount else 0
        if shift:
            levels[row] = np.roll(levels[row], shift, axis=0)
        if rng.random() < how.mask * amount:
            for _ in range(2):
                size, at = int(rng.integers(0, 26)), int(rng.integers(0, frames))
                levels[row, :, at : at + size] = levels[row].mean()
                size, at = int(rng.integers(0, 11)), int(rng.integers(0, bands))
                levels[row, at : at + size] = levels[row].mean()
    return levels


def _crackle(
    rng: np.random.Generator, some: NDArray[np.bool_], frames: int, config: FrontEndConfig
) -> Features:
    """Power (B, 1, T) of the ticks of dusty vinyl, each as long as a frame; 0 but for ``some`` (B, 1)."""
    rate = np.exp(rng.uniform(0.0, np.log(30.0), (len(some), 1))) * config.hop_length / config.sample_rate
    level = 10 ** (rng.uniform(-1.5, 1.0, (len(some), 1)))
    ticks = (rng.random((len(some), frames)) < rate) * rng.standard_exponential((len(some), frames)) ** 2
    made: Features = (ticks * level * some).astype(np.float32)[:, None, :]
    return made


def train(
    net: nn.Module,
    mixer: Mixer,
    recipe: ClassifierRecipe,
    each: Callable[[ClassifierTrainingState, nn.Module], None] | None = None,
) -> nn.Module:
    """The averaged net after ``recipe.steps``. ``each(progress, averaged)`` is called after every step."""
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net).eval()
    decayed = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=recipe.learning_rate, betas=(0.9, 0.99),
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.learning_rate,
        total_steps=recipe.steps,
        pct_start=recipe.warmup,
        final_div_factor=1e3,
    )
    loader = DataLoader(
        _Steps(mixer, recipe),
        batch_size=None,
        num_workers=recipe.workers,
        prefetch_factor=8 if recipe.workers else None,
    )
    begun = time.monotonic()
    for step, (levels, styles, mixed_styles, share) in enumerate(loader):
        net.train()
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            logits = net(levels)
        one = functional.cross_entropy(
            logits.float(), styles, label_smoothing=recipe.label_smoothing, reduction="none"
        )
        two = functional.cross_entropy(
            logits.float(), mixed_styles, label_smoothing=recipe.label_smoothing, reduction="none"
        )
        loss = (share * one + (1 - share) * two).mean()
        if recipe.consistency:
            loss = loss + recipe.consistency * disagreement(logits.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        decay = min(recipe.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, now in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                if kept.dtype.is_floating_point:
                    kept.lerp_(now, 1 - decay)
                else:
                    kept.copy_(now)
        if each is not None:
            each(ClassifierTrainingState(step + 1, float(loss.detach()), time.monotonic() - begun), average)
    return average


def disagreement(logits: Tensor) -> Tensor:
    """Mean over pairs of rows 2 i and 2 i + 1 of logits (B, classes): symmetric Kullback-Leibler divergence, nats."""
    first, second = logits[0::2].log_softmax(dim=1), logits[1::2].log_softmax(dim=1)
    return 0.5 * ((first.exp() - second.exp()) * (first - second)).sum(dim=1).mean()


class _Steps(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """The batch of each step: levels, styles, styles mixed in, share of the first. The same whoever makes it."""

    def __init__(self, mixer: Mixer, recipe: ClassifierRecipe) -> None:
        self._mixer, self._recipe = mixer, recipe

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, step])
        left = min(1.0, (recipe.steps - step) / max(recipe.ease * recipe.steps, 1e-9))  # 1, then falling to 0
        paired = recipe.consistency > 0
        distort = recipe.distort * (0.5 + 0.5 * left)
        if paired:
            levels, styles = self._mixer.draw_pairs(rng, recipe.rows, distort, recipe.usual_first)
        else:
            levels, styles = self._mixer.draw(rng, recipe.rows, distort)
        rows = len(styles) // 2 if paired else len(styles)
        share = np.ones(rows, dtype=np.float32)
        if recipe.mixup > 0:
            some = rng.random(rows) < 0.5 * left
            drawn = rng.beta(recipe.mixup, recipe.mixup, rows)
            share = np.where(some, np.maximum(drawn, 1 - drawn), 1.0).astype(np.float32)
        other = rng.permutation(rows)
        if paired:  # both versions are mixed with both of another view
            share, other = share.repeat(2), (2 * other[:, None] + np.arange(2)).ravel()
        mixed = share[:, None, None] * levels + (1 - share[:, None, None]) * levels[other]
        parts = (mixed, styles, styles[other], share)
        return tuple(torch.from_numpy(p) for p in parts)  # type: ignore[return-value]


@torch.inference_mode()
def logits_of(net: nn.Module, levels: Features, rows: int = 32) -> NDArray[np.float32]:
    """(N, classes) for levels (N, F, T)."""
    net.eval()
    found = [
        net(torch.from_numpy(np.ascontiguousarray(levels[i : i + rows]))) for i in range(0, len(levels), rows)
    ]
    result: NDArray[np.float32] = torch.cat(found).numpy()
    return result


def fit_temperature(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """What logits are divided by so that probabilities mean what they say (Guo et al. 2017): least cross-entropy."""
    candidates = np.exp(np.linspace(np.log(0.2), np.log(5.0), 161))

    def loss(temperature: float) -> float:
        scaled = logits.astype(np.float64) / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        log_prob = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return -float(log_prob[np.arange(len(targets)), targets].mean())

    return float(min(candidates, key=loss))
