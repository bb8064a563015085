"""What controllers do to the sound of a track: volume, expression, pan, sustain pedal and pitch bend over time.

The gains are those of the SoundFont specification's default modulators, as FluidSynth plays them: the square of the
value. Volume counts relative to 100, expression to 127, their values before anything is set. Positions are in samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.music.score import EXPRESSION, NEUTRAL_CONTROLS, PAN, PITCH_BEND, SUSTAIN, VOLUME, Score, Track

RAMP_SECONDS = 0.004
"""How long a step of level or place takes, so that it does not click."""
PEDAL_DOWN = 64.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Steps:
    """A value that holds until the next one: ``value[i]`` from sample ``at[i]`` on; ``at[0]`` is 0."""

    at: Ints
    value: Floats

    @property
    def is_constant(self) -> bool:
        """Whether the value never changes."""
        return len(self.at) == 1

    def between(self, first: int, stop: int) -> Floats:
        """The values that hold somewhere from ``first`` up to ``stop``."""
        begin = int(np.searchsorted(self.at, first, side="right")) - 1
        return self.value[begin : max(begin + 1, int(np.searchsorted(self.at, stop, side="left")))]

    def at_points(self, points: Ints) -> Floats:
        """The value at each of these samples."""
        return np.asarray(self.value[np.searchsorted(self.at, points, side="right") - 1])

    def curve(self, length: int, ramp: int) -> NDArray[np.float32]:
        """(length,): the value at each sample, steps drawn out over ``ramp`` samples."""
        at = np.stack((self.at[1:], self.at[1:] + ramp), axis=1).reshape(-1)
        value = np.stack((self.value[:-1], self.value[1:]), axis=1).reshape(-1)
        at = np.maximum.accumulate(np.concatenate(([0], at)))
        value = np.concatenate((self.value[:1], value))
        return np.interp(np.arange(length), at, value).astype(np.float32)


def has_controls(score: Score, *controllers: int) -> bool:
    """Whether any track sets one of these controllers."""
    return any(
        bool(np.isin(t.controls["controller"], controllers).any()) for t in score.tracks if len(t.controls)
    )


def steps_of(track: Track, controller: int, samples: Ints) -> Steps:
    """The values of one controller; ``samples`` are the positions of the rows of ``track.controls``."""
    own = track.controls["controller"] == controller
    at = np.concatenate(([0], samples[own]))
    value = np.concatenate(([NEUTRAL_CONTROLS[controller]], track.controls["value"][own].astype(np.float64)))
    last = np.append(at[1:] != at[:-1], True)  # of several values at one sample the last one counts
    at, value = at[last], value[last]
    new = np.concatenate(([True], value[1:] != value[:-1]))
    return Steps(at[new], value[new])


@dataclass(frozen=True, eq=False)
class Shape:
    """What the controllers of one track say. ``gain`` is linear, ``pan`` -1 to 1, ``bend`` in cents."""

    gain: Steps
    pan: Steps
    bend: Steps
    pedal: Steps

    def pedalled(self, onset: Ints, end: Ints, limit: int) -> Ints:
        """Ends of notes, put off while the pedal is down, no note lasting longer than ``limit`` by it."""
        at, down = self.pedal.at, self.pedal.value >= PEDAL_DOWN
        if not down.any():
            return end
        index = np.searchsorted(at, end, side="right") - 1
        ups = np.append(at, np.iinfo(np.int64).max)
        following = np.zeros(len(at), dtype=np.int64)
        upcoming = int(ups[-1])
        for i in range(len(at) - 1, -1, -1):  # of values that differ and are all down, the last one's end
            upcoming = upcoming if down[i] else int(at[i])
            following[i] = upcoming
        put_off = np.where(down[index], np.minimum(following[index], onset + limit), end)
        return np.asarray(np.maximum(end, put_off))


def shape_of(track: Track, samples: Ints) -> Shape | None:
    """The shape that a track's controllers give it; None where it has none. ``samples`` as in :func:`steps_of`."""
    if not len(track.controls):
        return None
    volume, expression = steps_of(track, VOLUME, samples), steps_of(track, EXPRESSION, samples)
    at = np.union1d(volume.at, expression.at)
    gain = (volume.at_points(at) / NEUTRAL_CONTROLS[VOLUME]) ** 2
    gain = gain * (expression.at_points(at) / NEUTRAL_CONTROLS[EXPRESSION]) ** 2
    pan, bend = steps_of(track, PAN, samples), steps_of(track, PITCH_BEND, samples)
    return Shape(
        Steps(at, gain),
        Steps(pan.at, np.clip((pan.value - 64.0) / 63.0, -1.0, 1.0)),
        Steps(bend.at, 100.0 * bend.value),
        steps_of(track, SUSTAIN, samples),
    )


__all__ = ["RAMP_SECONDS", "Shape", "Steps", "has_controls", "shape_of", "steps_of"]
