"""From a Score to a mix: when each note sounds, how loud each role is, and where it stands in the stereo
image.

A renderer brings a ``VoiceBank``, which makes the sound of one key of one instrument once. Every note that
plays that key is then a slice of the sound, scaled, with its release applied. Arrays are float32 of shape
(channels, num_samples); positions and lengths are in samples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import RenderError
from melodygen.music.score import PAN, SUSTAIN, Score, Track
from melodygen.rendering.controls import RAMP_SECONDS, Shape, Steps, has_controls, shape_of

Samples = NDArray[np.float32]

ROLE_LEVEL_DB = {"melody": 0.0, "bass": -1.0, "chords": -5.0, "drums": -4.0, "other": -6.0}
"""Target loudness of each role relative to the melody: RMS while it plays, in dB."""
MAX_BALANCE_DB = 12.0
"""Largest change that the balance makes to a track, in dB."""
HIT_SECONDS = 0.2
"""Shortest time for which a drum counts in the loudness of its track, however short its note is written."""
ROLE_PAN = {"melody": 0.0, "bass": 0.0, "drums": 0.0}
"""Place of a role in the stereo image, -1 left to 1 right; the other tracks take the places of ``SEATS`` in
turn.
"""
SEATS = (-0.3, 0.35, -0.5, 0.5, -0.15, 0.2)
ROLE_SEND = {"melody": 1.0, "chords": 1.0, "bass": 0.25, "drums": 0.55, "other": 1.0}
"""Share of each role that goes into the reverb."""
MAX_NOTE_SECONDS = 60.0
"""A longer note is struck again after this time, so that one drone cannot take all memory."""
MAX_SECONDS = 4 * 3600.0
"""Longest score that a renderer takes."""
RELEASE_DB = 96.0
"""How far a voice falls during its release, in dB."""
CHOKE_SECONDS = 0.02
"""Fade of a note that another note of its choke group cuts off."""
BEND_BLOCK = 256
"""Samples from one point of a bend to the next: 6 ms at 44.1 kHz."""
BEND_RELEASE_SECONDS = 5.0
"""How far behind a note's end a bend is followed."""
QUALITIES = ("full", "draft")


def no_one(done: float) -> None:
    """Is told how much is done, and does nothing."""


@dataclass(frozen=True, eq=False)
class Voice:
    """The sound of one key that is held.

    Attributes:
        samples: (1 or 2, n); a sound that ends before its note is simply shorter.
        release: number of samples in which the sound falls by 96 dB from the end of the note.
    """

    samples: Samples
    release: int


class VoiceBank(Protocol):
    """Makes voices. A layer names what a note plays: notes of equal layers differ only in gain."""

    def layer(self, track: Track, pitch: int, velocity: int) -> Hashable:
        """Return the layer that a note of ``track`` plays; pitch and velocity are MIDI numbers 0-127."""
        ...

    def choke_group(self, layer: Hashable) -> int:
        """Return the choke group of a layer, 0 for none. Notes of one group cut each other off, like
        hi-hats.
        """
        ...

    def voice(self, layer: Hashable, num_held: int, bend: NDArray[np.float64] | None = None) -> Voice:
        """At least ``num_held`` samples and the release after them, unless the sound is over before. ``bend``: cents at
        every ``BEND_BLOCK`` samples from the onset, beyond the release; one value holds throughout."""
        ...


@dataclass(frozen=True, eq=False)
class Mix:
    """A mix before mastering: ``dry`` (1 or 2, n) and ``send`` (n,) for the reverb, or None for a mono
    draft.
    """

    dry: Samples
    send: Samples | None


def check_quality(quality: str) -> None:
    """Raise RenderError unless ``quality`` is ``full`` or ``draft``."""
    if quality not in QUALITIES:
        raise RenderError(f"quality {quality!r} is unknown; use {' or '.join(QUALITIES)}")


def check_length(score: Score) -> None:
    """Raise RenderError for a score that is too long to hold in memory."""
    if score.duration_seconds > MAX_SECONDS:
        raise RenderError(
            f"the score lasts {score.duration_seconds:.0f} s, more than {MAX_SECONDS:.0f} s; render it in parts"
        )


def ticks_to_seconds(score: Score, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the seconds of many ticks at once; the same as ``Score.tick_to_seconds`` for each."""
    starts = np.array([t.tick for t in score.tempos], dtype=np.int64)
    pace = np.array([60.0 / (t.qpm * score.ticks_per_quarter) for t in score.tempos])
    seconds = np.concatenate(([0.0], np.cumsum(np.diff(starts) * pace[:-1])))
    index = np.searchsorted(starts, ticks, side="right") - 1
    result: NDArray[np.float64] = seconds[index] + (ticks - starts[index]) * pace[index]
    return result


@dataclass(frozen=True, eq=False)
class PlayedNotes:
    """The notes of a track as columns of one length, sorted by onset.

    Attributes:
        onset: first sample of the note.
        held: number of samples for which it is held.
        pitch: MIDI number 0-127.
        velocity: MIDI velocity 1-127.
    """

    onset: NDArray[np.int64]
    held: NDArray[np.int64]
    pitch: NDArray[np.int64]
    velocity: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.onset)


def track_shape(score: Score, track: Track, sample_rate: int) -> Shape | None:
    """What the controllers of a track say, in samples; None where it has none."""
    ticks = track.controls["tick"].astype(np.int64)
    return shape_of(track, np.rint(ticks_to_seconds(score, ticks) * sample_rate).astype(np.int64))


def played_notes(score: Score, track: Track, sample_rate: int) -> PlayedNotes:
    """When each note sounds. The sustain pedal puts off the end of what it holds; a note struck while its own pitch
    sounds ends that one; of two struck together the louder is played; a note longer than ``MAX_NOTE_SECONDS`` is
    struck again."""
    notes = track.notes
    onset_tick = notes["onset_tick"].astype(np.int64)
    onset = np.rint(ticks_to_seconds(score, onset_tick) * sample_rate).astype(np.int64)
    end = np.rint(ticks_to_seconds(score, onset_tick + notes["duration_ticks"]) * sample_rate).astype(
        np.int64
    )
    limit = int(MAX_NOTE_SECONDS * sample_rate)
    shape = track_shape(score, track, sample_rate)
    if shape is not None:
        end = shape.pedalled(onset, end, limit)
    pitch, velocity = notes["pitch"].astype(np.int64), notes["velocity"].astype(np.int64)
    order = np.lexsort((-velocity, onset, pitch))
    onset, end, pitch, velocity = onset[order], end[order], pitch[order], velocity[order]
    if len(onset):
        first = np.ones(len(onset), dtype=bool)
        first[1:] = (pitch[1:] != pitch[:-1]) | (onset[1:] != onset[:-1])
        end = np.maximum.reduceat(end, np.flatnonzero(first))
        onset, pitch, velocity = onset[first], pitch[first], velocity[first]
        again = pitch[1:] == pitch[:-1]
        end[:-1][again] = np.minimum(end[:-1], onset[1:])[again]
    held = np.maximum(end - onset, 1)
    pieces = (held + limit - 1) // limit
    if (pieces > 1).any():
        row = np.repeat(np.arange(len(held)), pieces)
        part = np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        onset, pitch, velocity = onset[row] + part * limit, pitch[row], velocity[row]
        held = np.minimum(held[row] - part * limit, limit)
    order = np.lexsort((pitch, onset))
    return PlayedNotes(onset[order], held[order], pitch[order], velocity[order])


def sounding_seconds(score: Score) -> float:
    """When the last note ends, the sustain pedal obeyed: a last chord that it holds sounds until it comes up."""
    rate = 1000  # milliseconds are enough
    pedalled = [t for t in score.tracks if len(t) and (t.controls["controller"] == SUSTAIN).any()]
    ends = [played_notes(score, track, rate) for track in pedalled]
    last = max((int((notes.onset + notes.held).max()) for notes in ends), default=0) / rate
    return max(score.duration_seconds, last)


def track_pans(score: Score) -> list[float]:
    """Return the place of each track in the stereo image, -1 (left) to 1 (right).

    Melody, bass and drums stand in the middle, the other tracks around them. A track with the melody's
    program (the left hand of a piano) stays with the melody.
    """
    pans, seat = [], 0
    melody = score.track_by_role("melody")
    for track in score.tracks:
        role = "drums" if track.is_drum else track.role
        if role in ROLE_PAN or len(score.tracks) == 1:
            pans.append(ROLE_PAN.get(role, 0.0))
        elif melody is not None and track.program == melody.program:
            pans.append(ROLE_PAN["melody"])
        else:
            pans.append(SEATS[seat % len(SEATS)])
            seat += 1
    return pans


def _release_curve(num_samples: int, release: int) -> Samples:
    exponent = np.arange(num_samples) * (-RELEASE_DB / 20 * np.log(10) / max(release, 1))
    curve: Samples = np.exp(exponent).astype(np.float32)
    return curve


@dataclass(frozen=True, eq=False)
class _Part:
    """A track ready to be mixed: row i of every column is one note; ``stop`` is where a choke falls, or -1.
    ``shape``: what its controllers say."""

    notes: PlayedNotes
    voices: list[Voice]
    gains: NDArray[np.float64]
    stop: NDArray[np.int64]
    shape: Shape | None = None


def _part(bank: VoiceBank, score: Score, track: Track, sample_rate: int) -> _Part:
    notes = played_notes(score, track, sample_rate)
    pairs = zip(notes.pitch.tolist(), notes.velocity.tolist(), strict=True)
    layers = [bank.layer(track, pitch, velocity) for pitch, velocity in pairs]
    shape = track_shape(score, track, sample_rate)
    if shape is not None and (shape.bend.value != 0).any():
        voices = _bent_voices(bank, layers, notes, shape.bend, round(BEND_RELEASE_SECONDS * sample_rate))
    else:
        longest: dict[Hashable, int] = {}
        for layer, held in zip(layers, notes.held.tolist(), strict=True):
            longest[layer] = max(longest.get(layer, 0), held)
        # each distinct sound is made once, as long as its longest note needs it
        made = {layer: bank.voice(layer, held) for layer, held in longest.items()}
        voices = [made[layer] for layer in layers]
    stop = np.full(len(notes), -1, dtype=np.int64)
    groups = [bank.choke_group(layer) for layer in layers]
    following: dict[int, int] = {}  # from the end: the onset of the next note of each choke group
    for i in range(len(notes) - 1, -1, -1):
        if groups[i]:
            onset = int(notes.onset[i])
            stop[i] = following.get(groups[i], -1)
            if stop[i] <= onset:
                stop[i] = -1
            following[groups[i]] = onset
    return _Part(notes, voices, (notes.velocity / 127.0) ** 2, stop, shape)


def _bent_voices(
    bank: VoiceBank, layers: Sequence[Hashable], notes: PlayedNotes, bend: Steps, release: int
) -> list[Voice]:
    """A voice for each note of a track with pitch bends; notes under one steady bend share theirs."""
    steady: dict[tuple[Hashable, float], int] = {}
    cents = []
    for layer, onset, held in zip(layers, notes.onset.tolist(), notes.held.tolist(), strict=True):
        values = bend.between(onset, onset + held + release)
        if len(values) == 1:
            key = (layer, float(values[0]))
            steady[key] = max(steady.get(key, 0), held)
            cents.append(values)
        else:
            cents.append(bend.at_points(onset + np.arange((held + release) // BEND_BLOCK + 2) * BEND_BLOCK))
    made = {key: bank.voice(key[0], held, np.array([key[1]])) for key, held in steady.items()}
    return [
        made[layer, float(own[0])] if len(own) == 1 else bank.voice(layer, held, own)
        for layer, own, held in zip(layers, cents, notes.held.tolist(), strict=True)
    ]


def _level(part: _Part, least: int) -> float:
    """Return the RMS of the part while a note is held, each note for at least ``least`` samples; 0 for
    silence.
    """
    held = np.maximum(part.notes.held, least)
    energy = 0.0
    for voice, num, gain in zip(part.voices, held.tolist(), part.gains.tolist(), strict=True):
        for channel in voice.samples[:, :num]:
            energy += gain * gain * float(np.dot(channel, channel)) / len(voice.samples)
    if not len(held):
        return 0.0
    end = np.maximum.accumulate(part.notes.onset + held)
    # time in which at least one note is held: overlaps count once
    busy = np.maximum(end - np.maximum(part.notes.onset, np.concatenate(([0], end[:-1]))), 0).sum()
    return float(np.sqrt(energy / max(int(busy), 1)))


def keeps_own_balance(score: Score) -> bool:
    """Whether tracks sound as loud as they are played: where none has a role to be balanced by."""
    return all(t.role == "other" for t in score.tracks)


def balance(levels: list[float], score: Score) -> list[float]:
    """Return a gain (linear) for each track that brings it to its role's level. Scores without roles keep
    their levels.

    Args:
        levels: RMS of each track; 0 for silence.
        score: the score, for the roles of its tracks.
    """
    roles = ["drums" if t.is_drum else t.role for t in score.tracks]
    if keeps_own_balance(score):
        return [1.0] * len(roles)
    sounding = [20 * np.log10(v) - ROLE_LEVEL_DB[r] for v, r in zip(levels, roles, strict=True) if v > 0]
    middle = float(np.median(sounding)) if sounding else 0.0
    return [
        10 ** (np.clip(middle + ROLE_LEVEL_DB[r] - 20 * np.log10(v), -MAX_BALANCE_DB, MAX_BALANCE_DB) / 20)
        if v > 0
        else 1.0
        for v, r in zip(levels, roles, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class _Channel:
    """A track at its level and place. ``wet``: its share of the reverb. ``moves``: level and place where they change
    while notes sound; then ``gain`` is the part of the level that does not."""

    part: _Part
    gain: float
    pan: float
    wet: float
    moves: tuple[Steps, Steps] | None = None


@dataclass(frozen=True, eq=False)
class Desk:
    """All tracks of a score at their levels and places. The stems sum to the mix: every step up to it is a sum."""

    channels: tuple[_Channel, ...]
    length: int
    sample_rate: int
    stereo: bool

    def mix(self, only: int | None = None, progress: Callable[[float], None] = no_one) -> Mix:
        """The mix, or the stem of the track with the index ``only``. The overall level is not set yet:
        ``mastering.master`` does that. ``progress`` gets the share of the notes that are mixed."""
        dry = np.zeros((2 if self.stereo else 1, self.length), dtype=np.float32)
        send = np.zeros(self.length, dtype=np.float32) if self.stereo else None
        mixed, total = 0, sum(len(channel.part.notes) for channel in self.channels)
        for channel in self.channels if only is None else (self.channels[only],):
            if channel.moves is not None:
                _add_moving(
                    channel.part, channel.gain, channel.moves, channel.wet, dry, send, self.sample_rate
                )
            else:
                sides = _sides(channel.pan, self.stereo)
                _add(channel.part, channel.gain, sides, channel.wet, dry, send, self.sample_rate)
            mixed += len(channel.part.notes)
            progress(mixed / max(total, 1))
        return Mix(dry, send)


def desk(
    score: Score,
    bank: VoiceBank,
    sample_rate: int,
    tail_seconds: float,
    stereo: bool,
    progress: Callable[[float], None] = no_one,
) -> Desk:
    """Make the sound of all notes and balance the tracks.

    Args:
        score: the music.
        bank: makes the voices.
        sample_rate: in Hz.
        tail_seconds: time after the last note.
        stereo: two channels and a reverb send, else one channel and none.
        progress: gets the share of the notes that have their sound, 0.0-1.0.

    Raises:
        RenderError: the score is too long.
    """
    check_length(score)
    parts = []
    for track in score.tracks:
        parts.append(_part(bank, score, track, sample_rate))
        progress(sum(len(part.notes) for part in parts) / max(score.num_notes, 1))
    length = round((sounding_seconds(score) + tail_seconds) * sample_rate)
    hit = round(HIT_SECONDS * sample_rate)
    levels = [_level(p, hit if t.is_drum else 1) for t, p in zip(score.tracks, parts, strict=True)]
    gains = balance(levels, score)
    by_role = not keeps_own_balance(score)
    placed = has_controls(score, PAN)
    channels = []
    for track, part, gain, pan in zip(score.tracks, parts, gains, track_pans(score), strict=True):
        wet = ROLE_SEND["drums" if track.is_drum else track.role]
        if part.shape is None:
            channels.append(_Channel(part, gain, 0.0 if placed else pan, wet))
            continue
        level, place = _controlled(part, by_role), part.shape.pan if placed else None
        if level.is_constant and (place is None or place.is_constant):
            at = pan if place is None else float(place.value[0])
            channels.append(_Channel(part, gain * float(level.value[0]), at, wet))
        else:
            place = place or Steps(level.at[:1], np.array([pan]))
            channels.append(_Channel(part, gain, pan, wet, (level, place)))
    return Desk(tuple(channels), length, sample_rate, stereo)


def mix(score: Score, bank: VoiceBank, sample_rate: int, tail_seconds: float, stereo: bool) -> Mix:
    """Return the mix of all notes of all tracks, ``round((score seconds + tail) * sample_rate)`` samples long; see
    ``desk``."""
    return desk(score, bank, sample_rate, tail_seconds, stereo).mix()


def _sides(pan: float, stereo: bool) -> tuple[float, ...]:
    """Gain of each channel at a place from -1 (left) to 1 (right)."""
    angle = (pan + 1) * np.pi / 4
    return (float(np.cos(angle)) * 2**0.5, float(np.sin(angle)) * 2**0.5) if stereo else (1.0,)


def _controlled(part: _Part, by_role: bool) -> Steps:
    """The gain that volume and expression ask for; where roles are balanced, relative to the loudest it has under a
    note, so that a fade is heard and the track still stands where its role does."""
    assert part.shape is not None
    gain = part.shape.gain
    if not by_role or not len(part.notes):
        return gain
    loudest = float(gain.at_points(part.notes.onset).max())
    return Steps(gain.at, gain.value / loudest) if loudest > 0 else gain


def _add_moving(
    part: _Part,
    track_gain: float,
    moves: tuple[Steps, Steps],
    wet: float,
    dry: Samples,
    send: Samples | None,
    sample_rate: int,
) -> None:
    """Add a track whose level and place (``moves``) change while its notes sound."""
    stereo, ramp = len(dry) == 2, round(RAMP_SECONDS * sample_rate)
    own = np.zeros_like(dry)
    own_send = None if send is None else np.zeros_like(send)
    _add(part, track_gain, _sides(0.0, stereo), wet, own, own_send, sample_rate)
    level = moves[0].curve(dry.shape[1], ramp)
    angle = (moves[1].curve(dry.shape[1], ramp) + 1) * np.float32(np.pi / 4)
    places = (np.cos(angle) * np.float32(2**0.5), np.sin(angle) * np.float32(2**0.5)) if stereo else (1.0,)
    for channel, place in enumerate(places):
        dry[channel] += own[channel] * level * place
    if send is not None and own_send is not None:
        send += own_send * level


def _add(
    part: _Part,
    track_gain: float,
    sides: tuple[float, ...],
    wet: float,
    dry: Samples,
    send: Samples | None,
    sample_rate: int,
) -> None:
    length = dry.shape[1]
    curves: dict[int, Samples] = {}
    choke = round(CHOKE_SECONDS * sample_rate)
    columns = (part.notes.onset, part.notes.held, part.gains, part.stop)
    # arrays of every note's size would be asked of the system anew each time, which takes a third of the time
    longest = max((voice.samples.shape[1] for voice in part.voices), default=0)
    loud, one_side = np.empty((2, longest), np.float32), np.empty(longest, np.float32)
    for voice, onset, held, gain, stop in zip(part.voices, *(c.tolist() for c in columns), strict=True):
        total = min(voice.samples.shape[1], max(length - onset, 0), held + voice.release)
        if stop >= 0:
            total = min(total, stop - onset + choke)
        sound, scaled = loud[: len(voice.samples), :total], one_side[:total]
        np.multiply(voice.samples[:, :total], np.float32(gain * track_gain), out=sound)
        if total > held:
            if voice.release not in curves:
                curves[voice.release] = _release_curve(voice.release, voice.release)
            sound[:, held:] *= curves[voice.release][: total - held]
        if stop >= 0 and total > stop - onset:
            fade = total - (stop - onset)
            sound[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        end = onset + total
        for channel, side in enumerate(sides):
            dry[channel, onset:end] += np.multiply(
                sound[min(channel, len(sound) - 1)], np.float32(side), out=scaled
            )
        if send is not None:
            middle = sound[0]
            if len(sound) == 2:
                middle = np.add(sound[0], sound[1], out=sound[0])
                middle *= np.float32(0.5)
            send[onset:end] += np.multiply(middle, np.float32(wet), out=scaled)
