"""Beats, downbeats, tempo and meter of sound: BeatNet's activations, decoded over the whole recording at once.

Two published nets of BeatNet (``nets.beatnet``) say for each 20 ms how likely it is a beat and a downbeat; their mean
is used. The beats are the path of highest likelihood through (time, period), where the period drifts slowly: what a bar
pointer model does (Whiteley et al. 2006, Krebs et al. 2015), with one state for each beat instead of each frame. Which
beat is the first of a bar is decided afterwards, with 3 and with 4 beats a bar, from the net's downbeats, changes of
harmony and what the bass plays. The weights of these signs and the constants of the path were fitted on one half of
renders of MIDI files; the figures (docs/hearing.md) are those of the other half.

N beats, T frames, D periods.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly

from melodygen.audio.beat_spectrum import FRAMES_PER_SECOND, NUM_BANDS, SAMPLE_RATE, band_hz, beat_spectrum
from melodygen.audio.excerpts import FRAME_SECONDS, levelled, sounding_frames
from melodygen.audio.features import Features, resampling_ratio
from melodygen.nets.beatnet import BeatNet
from melodygen.nets.checkpoint import load_weights, read_config, resolve

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DEFAULT_TRACKER = "beatnet"
NUM_NETS = 2
MIN_QPM, MAX_QPM = 40.0, 230.0
USUAL_QPM, QPM_OCTAVES = 115.0, 0.7
"""The prior of tempo: a bell over its logarithm."""
PRIOR_WEIGHT = 0.05
BEAT_BONUS, BEAT_POWER = 1.4, 1.4
"""Added to each beat, and the power of its probability: few missed beats for few that are not there."""
DRIFT_COST = 50.0
"""Of a change of the period by a factor e from one beat to the next."""
DRIFT_PERIODS = 8
FLOOR = 0.03
"""Smallest probability that counts."""
MIN_BEATS, MIN_BEATS_OF_METER = 4, 12
LOW_HZ, HARMONY_HZ = 180.0, (100.0, 2000.0)
DOWNBEAT_WEIGHTS = np.array((0.115, 0.16, 0.195, 0.15, 0.225, 0.04, 0.24))
DOWNBEAT_BIAS = -0.5
SLIP = float(np.log(1e-3))
"""Log likelihood of a bar that is cut short or grows."""
BEATS_OF_BAR = (3, 4)


@dataclass(frozen=True, eq=False)
class Beats:
    """``seconds`` (N,) of each beat; ``places`` (N,) in its bar, 0 for downbeats; ``meter`` 3/4 or 4/4."""

    seconds: Floats
    places: Ints
    meter: tuple[int, int]

    @property
    def downbeats(self) -> Floats:
        """Seconds of the first beat of each bar."""
        return np.asarray(self.seconds[self.places == 0])

    @property
    def qpm(self) -> float:
        """Beats a minute: of the periods within 15 % of the median, the mean."""
        periods = np.diff(self.seconds)
        usual = float(np.median(periods))
        return 60.0 / float(periods[np.abs(periods / usual - 1) < 0.15].mean())


class BeatTracker:
    """Holds the nets."""

    def __init__(self, nets: torch.nn.ModuleList) -> None:
        self._nets = nets.eval()

    @classmethod
    def from_folder(cls, folder: Path) -> BeatTracker:
        """Raises CheckpointError for a folder that is no beat tracker."""
        read_config(folder, "beats")
        nets = tracker_nets()
        load_weights(folder, nets)
        return cls(nets)

    def track(self, mono: Features, sample_rate: int) -> Beats | None:
        """The beats of mono sound; None where there are fewer than ``MIN_BEATS``."""
        sound = resample_poly(mono, *resampling_ratio(sample_rate, SAMPLE_RATE)).astype(np.float32)
        spectrum = beat_spectrum(levelled(sound))
        said = self.activations(spectrum)
        either = said.sum(axis=1)
        frames = _sounding(beat_frames(either), sound)
        if len(frames) < MIN_BEATS:
            return None
        places, beats_of_bar = bar_places(
            downbeat_signs(spectrum, said, frames) @ DOWNBEAT_WEIGHTS + DOWNBEAT_BIAS
        )
        return Beats(_peaks(either, frames) / FRAMES_PER_SECOND, places, (beats_of_bar, 4))

    def activations(self, spectrum: Features) -> Floats:
        """(T, 2): probability of a beat that is no downbeat, and of a downbeat."""
        with torch.inference_mode():
            heard = torch.from_numpy(spectrum)
            said = [net(heard)[:, :2].numpy() for net in self._nets]
        return np.asarray(np.mean(said, axis=0, dtype=np.float64))


def tracker_nets() -> torch.nn.ModuleList:
    """The nets, untrained."""
    return torch.nn.ModuleList(BeatNet() for _ in range(NUM_NETS))


@lru_cache(maxsize=2)
def load_beat_tracker(spec: str = "") -> BeatTracker:
    """A tracker by the name or the folder of a checkpoint; empty for the shipped one. Raises CheckpointError."""
    return BeatTracker.from_folder(resolve(spec, DEFAULT_TRACKER))


def beat_frames(either: Floats) -> Ints:
    """The frames of the likeliest beats.

    Args:
        either: (T,) probability of a beat, downbeat or not, at 50 frames a second.
    """
    if not len(either):
        return np.zeros(0, dtype=np.int64)
    likely = np.clip(either, FLOOR, 1 - FLOOR)
    gain = BEAT_POWER * np.log(likely) + BEAT_BONUS
    quiet = np.concatenate(([0.0], np.cumsum(np.log(1 - likely))))
    edges = 60.0 * FRAMES_PER_SECOND / np.array((MAX_QPM, MIN_QPM))
    periods = np.arange(round(edges[0]), round(edges[1]) + 1)
    octaves = np.log2(60.0 * FRAMES_PER_SECOND / periods / USUAL_QPM) / QPM_OCTAVES
    prior = -0.5 * octaves**2 * PRIOR_WEIGHT * periods
    best, came_from, starts = _best_paths(gain, quiet, prior, periods)
    first = max(0, len(either) - int(periods[-1]))
    total = best[first:] + (quiet[-1] - quiet[first + 1 :])[:, None]
    frame, period = np.unravel_index(int(total.argmax()), total.shape)
    at, index = first + int(frame), int(period)
    path = [at]
    while not starts[at, index]:
        at -= int(periods[index])
        index = int(came_from[at, index])
        path.append(at)
    return np.array(path[::-1], dtype=np.int64)


def _best_paths(
    gain: Floats, quiet: Floats, prior: Floats, periods: Ints
) -> tuple[Floats, NDArray[np.int16], NDArray[np.bool_]]:
    """(T, D): likelihood of the best path to a beat that ends a period; which period came before the one that follows
    it; whether the beat is the first."""
    num_frames, num_periods = len(gain), len(periods)
    near, cost = _drifts(periods)
    best = np.full((num_frames, num_periods), -np.inf)
    onward = np.full((num_frames, num_periods), -np.inf)
    came_from = np.zeros((num_frames, num_periods), dtype=np.int16)
    alone = quiet[:-1] + gain - np.log(num_periods)
    alone[periods[-1] :] = -np.inf
    every = np.arange(num_periods)
    step = int(periods[0])  # frames nearer to each other than the shortest period do not hang on each other
    for first in range(0, num_frames, step):
        frames = np.arange(first, min(first + step, num_frames))[:, None]
        before = frames - periods
        known = np.maximum(before, 0)
        arrived = onward[known, every] + quiet[frames] - quiet[known + 1] + gain[frames] + prior
        rows = np.maximum(np.where(before >= 0, arrived, -np.inf), alone[frames])
        best[frames[:, 0]] = rows
        reached = rows[:, near] + cost
        chosen = reached.argmax(axis=2)
        came_from[frames[:, 0]] = near[every, chosen]
        onward[frames[:, 0]] = np.take_along_axis(reached, chosen[:, :, None], axis=2)[:, :, 0]
    return best, came_from, np.isfinite(best) & (best <= alone[:, None])


def _drifts(periods: Ints) -> tuple[Ints, Floats]:
    """(D, 17) periods that may come before each period, and the log likelihood that they do."""
    cost = -DRIFT_COST * np.abs(np.log(periods[None, :] / periods[:, None]))
    cost -= np.log(np.exp(cost).sum(axis=1, keepdims=True))
    wanted = np.arange(len(periods))[:, None] + np.arange(-DRIFT_PERIODS, DRIFT_PERIODS + 1)
    near = np.clip(wanted, 0, len(periods) - 1)
    found = cost[near, np.arange(len(periods))[:, None]]
    return near, np.where(wanted == near, found, -np.inf)


def downbeat_signs(spectrum: Features, said: Floats, frames: Ints) -> Floats:
    """(N, 7) of each beat: how much likelier the net finds a downbeat, and how likely; by how much the harmony changes,
    over one beat and over two; how much the bass rises, and everything; by how much the bass changes.

    Args:
        spectrum: (T, 2 F) of ``beat_spectrum``.
        said: (T, 2) of the nets.
        frames: (N,) of the beats.
    """
    level, rise = spectrum[:, :NUM_BANDS], spectrum[:, NUM_BANDS:]
    is_low = band_hz() < LOW_HZ
    near = np.stack([said[max(0, f - 1) : f + 2].max(axis=0) for f in frames]) + 0.02
    ends = np.append(frames[1:], min(len(level), frames[-1] + int(np.median(np.diff(frames)))))
    spans = [slice(a, max(a + 1, b)) for a, b in zip(frames.tolist(), ends.tolist(), strict=True)]
    chroma = level @ _folding()
    harmony = np.stack([chroma[span].mean(axis=0) for span in spans]).astype(np.float64)
    harmony = _unit(harmony - harmony.mean(axis=1, keepdims=True))
    bass = np.stack([level[span][:, is_low].mean(axis=0) for span in spans]).astype(np.float64)
    one = np.sum(harmony[1:] * harmony[:-1], axis=1)
    after = _unit(harmony + np.concatenate((harmony[1:], harmony[-1:])))
    before = np.concatenate((harmony[:1], harmony[:-1]))
    before = _unit(before + np.concatenate((before[:1], before[:-1])))
    around = [slice(max(0, f - 2), f + 3) for f in frames.tolist()]
    columns = (
        np.log(near[:, 1]),
        np.concatenate(([0.0], 1 - one)),
        1 - np.sum(after * before, axis=1),
        np.array([rise[a][:, is_low].mean(axis=1).max() for a in around]),
        np.array([rise[a].mean(axis=1).max() for a in around]),
        np.concatenate(([0.0], np.abs(np.diff(bass, axis=0)).mean(axis=1))),
    )
    odds = np.clip(np.log(near[:, 1] / near[:, 0]), -4, 4)
    return np.stack([odds, *(_standard(column) for column in columns)], axis=1)


def bar_places(odds: Floats) -> tuple[Ints, int]:
    """(N,) place of each beat in its bar, and how many beats a bar has.

    Args:
        odds: (N,) how much likelier each beat is a downbeat than not, as a logarithm.
    """
    found = [(*_places(odds, size), size) for size in BEATS_OF_BAR]
    _, places, size = max(found, key=lambda f: f[0]) if len(odds) >= MIN_BEATS_OF_METER else found[-1]
    return places, size


def _places(odds: Floats, size: int) -> tuple[float, Ints]:
    """Likelihood and places of the best reading in bars of ``size`` beats."""
    seen = np.zeros((len(odds), size))
    seen[:, 0] = odds
    best = seen[0].copy()
    came_from = np.zeros((len(odds), size), dtype=np.int64)
    one_on = (np.arange(size) - 1) % size
    for i in range(1, len(odds)):
        slipped = int(best.argmax())
        goes_on = best[one_on] >= best[slipped] + SLIP
        came_from[i] = np.where(goes_on, one_on, slipped)
        best = np.where(goes_on, best[one_on], best[slipped] + SLIP) + seen[i]
    places = [int(best.argmax())]
    for i in range(len(odds) - 1, 0, -1):
        places.append(int(came_from[i, places[-1]]))
    return float(best.max()), np.array(places[::-1], dtype=np.int64)


def _peaks(either: Floats, frames: Ints) -> Floats:
    """Frames with their fraction: the highest point of a parabola through the three values around."""
    middle = np.clip(frames, 1, max(1, len(either) - 2))
    if len(either) < 3:
        return frames.astype(np.float64)
    around = middle[:, None] + np.arange(-1, 2)
    middle = np.clip(
        np.take_along_axis(around, either[around].argmax(axis=1)[:, None], axis=1)[:, 0], 1, len(either) - 2
    )
    before, at, after = either[middle - 1], either[middle], either[middle + 1]
    bend = before - 2 * at + after
    shift = np.where(bend < -1e-9, 0.5 * (before - after) / np.where(bend < -1e-9, bend, 1.0), 0.0)
    return np.asarray(middle + np.clip(shift, -0.5, 0.5))


def _sounding(frames: Ints, sound: Features) -> Ints:
    """Beats before the first sound and after the last one are left out."""
    loud = np.flatnonzero(sounding_frames(sound, SAMPLE_RATE)) * FRAME_SECONDS * FRAMES_PER_SECOND
    if not len(loud):
        return frames[:0]
    margin = FRAME_SECONDS * FRAMES_PER_SECOND
    return np.asarray(frames[(frames >= loud[0] - margin) & (frames <= loud[-1] + 2 * margin)])


@lru_cache(maxsize=1)
def _folding() -> Features:
    """(F, 12): bands onto pitch classes."""
    hz = band_hz()
    folding = np.zeros((NUM_BANDS, 12), dtype=np.float32)
    heard = np.flatnonzero((hz >= HARMONY_HZ[0]) & (hz < HARMONY_HZ[1]))
    folding[heard, np.rint(12 * np.log2(hz[heard] / 440.0)).astype(np.int64) % 12] = 1.0
    return folding


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9))


def _standard(column: Floats) -> Floats:
    return np.asarray((column - column.mean()) / (column.std() + 1e-9))


__all__ = [
    "DEFAULT_TRACKER",
    "BeatTracker",
    "Beats",
    "bar_places",
    "beat_frames",
    "load_beat_tracker",
    "tracker_nets",
]
