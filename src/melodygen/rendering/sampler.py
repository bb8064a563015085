"""The default renderer: it plays a SoundFont (SF2 or SF3) with numpy and scipy alone.

Every distinct sound of a piece (instrument, key, velocity layer) is made once, with its pitch, filter and
envelopes; the notes are slices of it (:mod:`melodygen.rendering.mixing`). The rules are those of the SoundFont
specification in FluidSynth's reading: attenuation counts 0.4, a full decay is 96 dB, the gain is velocity
squared, and velocity does not close the filter. Modulators and chorus are left out; volume,
expression, pan, sustain and pitch bend are played (:mod:`melodygen.rendering.controls`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from melodygen.audio.buffer import Audio
from melodygen.errors import RenderError
from melodygen.music.score import Score, Track
from melodygen.rendering import mastering
from melodygen.rendering.additive import AdditiveBank
from melodygen.rendering.mixing import BEND_BLOCK, Desk, Samples, Voice, check_quality, desk, no_one
from melodygen.rendering.programs import nearest_kit, nearest_program
from melodygen.rendering.soundfont import DRUM_BANK, Gen, SoundFont, Zone
from melodygen.rendering.soundfont_path import find_soundfont

CACHE_BYTES = 160 * 2**20
"""Largest size of the cached voices; a full cache is emptied."""
VOICE_STEP_SECONDS = 0.5
"""Voices are made in multiples of this length, so that the next piece finds them long enough."""
MAX_RELEASE_SECONDS = 5.0
FILTER_BLOCK = BEND_BLOCK
OPEN_FILTER_CENTS = 13_500
"""Filter cutoff at which the filter is bypassed (specification: 13500 cents, 20 kHz)."""

VOICES_SHARE, MIX_SHARE = 0.5, 0.45
"""Of the time of a long piece: its sounds, and their sum. The rest is loudness and limiter."""

Layer = tuple[int, int, int, tuple[int, ...]]
"""Bank, program, key, zones. Bank -1 is the additive drum kit, for fonts without drums."""


def timecents_to_seconds(timecents: float) -> float:
    """Return 2 ** (timecents / 1200), the SoundFont unit of time in seconds."""
    return float(2.0 ** (timecents / 1200.0))


def _envelope(
    num: int, rate: float, times: tuple[float, float, float, float], sustain: float, convex: bool
) -> NDArray[np.float64]:
    """Return an envelope, 0 to 1, at ``num`` points of ``rate`` Hz.

    Args:
        num: number of points.
        rate: points per second.
        times: delay, attack, hold and decay in seconds; decay is the time of a fall from 1 to 0.
        sustain: level at which the decay stops, 0-1.
        convex: the attack follows the specification's convex curve, as that of a modulation envelope does.
    """
    delay, attack, hold, decay = times
    t = np.arange(num) / rate - delay
    rise = np.clip(t / max(attack, 1e-6), 0.0, 1.0)
    if convex:
        rise = np.clip(1 + 0.4167 * np.log10(np.maximum(rise, 1e-6)), 0.0, 1.0) * (rise > 0)
    fall = np.clip(1.0 - (t - attack - hold) / max(decay, 1e-6), sustain, 1.0)
    result: NDArray[np.float64] = np.where(t < attack + hold, rise, fall)
    return result


def _triangle(num: int, rate: float, delay: float, frequency_hz: float) -> NDArray[np.float64]:
    """Return a triangle wave, -1 to 1, that starts at 0 and rises after ``delay`` seconds."""
    phase = np.maximum(np.arange(num) / rate - delay, 0.0) * frequency_hz + 0.25
    result: NDArray[np.float64] = 4.0 * np.abs(phase % 1.0 - 0.5) * -1.0 + 1.0
    return -result


def _lowpass(
    fc_hz: float, q_centibels: float, rate: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return numerator and denominator of FluidSynth's resonant low-pass; gain 1 at 0 Hz but for half the
    resonance.
    """
    q = 10 ** ((q_centibels / 10.0 - 3.01) / 20.0)
    omega = 2 * np.pi * min(max(fc_hz, 5.0), 0.45 * rate) / rate
    # a biquad after the Audio EQ Cookbook (Bristow-Johnson), with the gain that FluidSynth gives it
    alpha, cosine = np.sin(omega) / (2 * max(q, 0.1)), np.cos(omega)
    gain = 1.0 / np.sqrt(q) if q > 1 else 1.0
    b = np.array([(1 - cosine) / 2, 1 - cosine, (1 - cosine) / 2]) * gain
    return b / (1 + alpha), np.array([1.0, -2 * cosine / (1 + alpha), (1 - alpha) / (1 + alpha)])


def _distance(limits: tuple[int, int], value: int) -> int:
    """How far a value lies outside its limits."""
    return max(limits[0] - value, value - limits[1], 0)


def _interpolate(samples: Samples, positions: NDArray[np.float64], smooth: bool) -> Samples:
    """Return the values at fractional ``positions``: 4-point Hermite when ``smooth``, else linear."""
    index = positions.astype(np.int64)
    f = (positions - index).astype(np.float32)
    if not smooth:
        a = samples[index]
        linear: Samples = a + f * (samples[index + 1] - a)
        return linear
    before, a, b, after = (samples[np.maximum(index + k, 0)] for k in (-1, 0, 1, 2))
    c1 = 0.5 * (b - before)
    c3 = 1.5 * (a - b) + 0.5 * (after - before)
    c2 = before - a + c1 - c3
    hermite: Samples = ((c3 * f + c2) * f + c1) * f + a
    return hermite


class SoundFontBank:
    """Voices of one soundfont at one sample rate, cached up to ``CACHE_BYTES``.

    Args:
        font: the soundfont.
        sample_rate: in Hz.
        stereo: voices have two channels where the font pans its samples.
        smooth: use the better interpolation.

    Raises:
        RenderError: the font holds no instruments but drums.
    """

    def __init__(self, font: SoundFont, sample_rate: int, stereo: bool, smooth: bool) -> None:
        self._font, self._rate, self._stereo, self._smooth = font, sample_rate, stereo, smooth
        self._programs = frozenset(p for b, p in font.presets if b == 0) or frozenset(
            p for b, p in font.presets if b != DRUM_BANK
        )
        self._kits = frozenset(p for b, p in font.presets if b == DRUM_BANK)
        self._bank_of = {p: b for b, p in reversed(font.presets) if b != DRUM_BANK}
        if not self._programs:
            raise RenderError(
                f"soundfont {font.path} holds no instruments but drums; name another with --soundfont"
            )
        self._drums = AdditiveBank(sample_rate)
        self._zones: dict[tuple[int, int], tuple[Zone, ...]] = {}
        self._keys: dict[tuple[int, int, int], tuple[int, list[tuple[int, Zone]]]] = {}
        self._layers: dict[tuple[int, int, int, int], Layer] = {}
        self._decoded: dict[int, tuple[Samples, bool]] = {}
        self._voices: dict[tuple[Layer, float], tuple[Voice, int]] = {}

    def layer(self, track: Track, pitch: int, velocity: int) -> Layer:
        """Return the bank, program, key and zones that a note plays."""
        wanted = (DRUM_BANK if track.is_drum else 0, track.program, pitch, velocity)
        if wanted not in self._layers:
            self._layers[wanted] = self._find_layer(track, pitch, velocity)
        return self._layers[wanted]

    def _find_layer(self, track: Track, pitch: int, velocity: int) -> Layer:
        program = (
            nearest_kit(track.program, self._kits)
            if track.is_drum
            else nearest_program(track.program, self._programs)
        )
        if program is None:
            return (-1, 0, pitch, ())
        bank = DRUM_BANK if track.is_drum else self._bank_of[program]
        far, near = self._at_key(bank, program, pitch)
        soft = [_distance(z.velocity_range, velocity) for _, z in near]
        chosen = tuple(i for (i, _), d in zip(near, soft, strict=True) if d == min(soft))
        if far and track.is_drum:  # a key without a drum: its neighbour, at its own pitch
            low, high = self._preset(bank, program)[chosen[0]].key_range
            pitch = min(max(pitch, low), high)
        return (bank, program, pitch, chosen)

    def _at_key(self, bank: int, program: int, pitch: int) -> tuple[int, list[tuple[int, Zone]]]:
        """The zones nearest to a key, by their number in the preset, and how far they are."""
        wanted = (bank, program, pitch)
        if wanted not in self._keys:
            zones = self._preset(bank, program)
            far = [_distance(z.key_range, pitch) for z in zones]
            self._keys[wanted] = min(far), [(i, z) for i, z in enumerate(zones) if far[i] == min(far)]
        return self._keys[wanted]

    def _preset(self, bank: int, program: int) -> tuple[Zone, ...]:
        if (bank, program) not in self._zones:
            zones = self._font.zones(bank, program)
            if not zones:
                raise RenderError(f"soundfont {self._font.path}: preset {bank}:{program} is empty")
            self._zones[bank, program] = zones
        return self._zones[bank, program]

    def choke_group(self, layer: Hashable) -> int:
        """Return the exclusive class of the layer's first zone, 0 for none."""
        bank, program, pitch, indexes = self._as_layer(layer)
        if bank == -1:
            return self._drums.choke_group((0, True, pitch))
        if not indexes:
            return 0
        return int(self._preset(bank, program)[indexes[0]].gens[Gen.EXCLUSIVE_CLASS])

    @staticmethod
    def _as_layer(layer: Hashable) -> Layer:
        assert isinstance(layer, tuple)
        return layer

    def voice(self, layer: Hashable, num_held: int, bend: NDArray[np.float64] | None = None) -> Voice:
        """Return the voice of a layer; see ``VoiceBank.voice``."""
        bank, program, pitch, indexes = self._as_layer(layer)
        if bank == -1:
            return self._drums.voice((0, True, pitch), num_held)
        steady = bend is None or len(bend) == 1
        cents = 0.0 if bend is None else float(bend[0])
        key = (self._as_layer(layer), cents)
        known = self._voices.get(key) if steady else None
        if known is not None and known[1] >= num_held:
            return known[0]
        if steady:
            step = round(VOICE_STEP_SECONDS * self._rate)
            num_held = -(-num_held // step) * step
        zones = [self._preset(bank, program)[i] for i in indexes]
        made = self._made(zones, pitch, num_held, bend)
        if not steady:
            return made
        held = sum(v.samples.nbytes for v, _ in self._voices.values())
        if held + made.samples.nbytes > CACHE_BYTES:
            self._voices.clear()
            self._decoded.clear()
        self._voices[key] = (made, num_held)
        return made

    def _made(self, zones: list[Zone], pitch: int, num_held: int, bend: NDArray[np.float64] | None) -> Voice:
        """Return the sum of the zones' sounds, each at its place."""
        release = max(self._release(z) for z in zones)
        num = num_held + release
        channels = 2 if self._stereo and any(z.gens[Gen.PAN] for z in zones) else 1
        sounds = [self._zone_sound(z, pitch, num, bend) for z in zones]
        total = np.zeros((channels, max(s.shape[0] for s in sounds)), dtype=np.float32)
        for zone, sound in zip(zones, sounds, strict=True):
            angle = (np.clip(zone.gens[Gen.PAN], -500, 500) / 1000.0 + 0.5) * np.pi / 2
            # A track's place adds the half power that a mono voice in the middle leaves out.
            sides = (np.cos(angle), np.sin(angle)) if channels == 2 else (np.sqrt(0.5),)
            for channel, side in enumerate(sides):
                total[channel, : len(sound)] += sound * np.float32(side)
        total.flags.writeable = False
        return Voice(total, release)

    def _release(self, zone: Zone) -> int:
        seconds = timecents_to_seconds(float(zone.gens[Gen.RELEASE]))
        return max(round(min(seconds, MAX_RELEASE_SECONDS) * self._rate), 32)

    def _sample(self, sample: int, num_frames: int) -> Samples:
        known, whole = self._decoded.get(sample, (np.zeros(0, dtype=np.float32), False))
        if not whole and len(known) < num_frames:
            known = self._font.read_sample(sample, num_frames)
            if not len(known):
                raise RenderError(f"soundfont {self._font.path}: sample {sample} is empty")
            self._decoded[sample] = (known, len(known) < num_frames)
        return known[:num_frames]

    def _source(self, zone: Zone, num_frames: int) -> Samples:
        """Return the zone's sample as it plays on: its loop unrolled to ``num_frames``, or fewer frames
        without a loop.
        """
        gens = zone.gens
        start = int(gens[Gen.START] + 32_768 * gens[Gen.START_COARSE])
        loop_start, loop_end = self._font.loop(zone.sample)
        loop_start += int(gens[Gen.LOOP_START] + 32_768 * gens[Gen.LOOP_START_COARSE])
        loop_end += int(gens[Gen.LOOP_END] + 32_768 * gens[Gen.LOOP_END_COARSE])
        looped = int(gens[Gen.SAMPLE_MODES]) & 1 == 1 and 0 <= loop_start < loop_end - 1
        need = start + num_frames
        samples = self._sample(zone.sample, min(need, loop_end) if looped else need)
        start = min(max(start, 0), len(samples) - 1)
        if looped and loop_start < len(samples) < need:
            loop = samples[loop_start:loop_end]
            samples = np.concatenate([samples, np.resize(loop, need - len(samples))])
        elif not looped and gens[Gen.END] + gens[Gen.END_COARSE] < 0:
            samples = samples[
                : max(len(samples) + int(gens[Gen.END] + 32_768 * gens[Gen.END_COARSE]), start + 1)
            ]
        return samples[start:]

    def _zone_sound(
        self, zone: Zone, pitch: int, num: int, bend: NDArray[np.float64] | None = None
    ) -> Samples:
        gens, rate = zone.gens.astype(float), float(self._rate)
        if zone.gens[Gen.KEY] >= 0:
            pitch = int(zone.gens[Gen.KEY])
        row = self._font.tables["shdr"][zone.sample]
        root = int(zone.gens[Gen.ROOT_KEY]) if zone.gens[Gen.ROOT_KEY] >= 0 else int(row["pitch"])
        root = root if root <= 127 else 60
        cents = (pitch - root) * gens[Gen.SCALE_TUNING] + 100 * gens[Gen.COARSE_TUNE] + gens[Gen.FINE_TUNE]
        ratio = 2 ** ((cents + int(row["correction"])) / 1200.0) * int(row["sample_rate"]) / rate

        blocks = num // FILTER_BLOCK + 2
        control = rate / FILTER_BLOCK
        lfo = _triangle(
            blocks,
            control,
            timecents_to_seconds(gens[Gen.MOD_LFO_DELAY]),
            8.176 * 2 ** (gens[Gen.MOD_LFO_FREQ] / 1200),
        )
        modulation = self._modulation_envelope(gens, pitch, blocks, control)
        if bend is not None and len(bend) == 1:
            ratio, bend = ratio * 2 ** (float(bend[0]) / 1200.0), None
        positions = self._positions(gens, lfo, modulation, ratio, num, bend)
        source = self._source(zone, int(positions[-1]) + 4)
        if positions[-1] > len(source) - 3:
            source = np.concatenate([source, np.zeros(3, dtype=np.float32)])
            positions = positions[: np.searchsorted(positions, len(source) - 3)]
        sound = _interpolate(source, positions, self._smooth)
        sound = self._filtered(sound, gens, lfo, modulation)
        return sound * self._amplitude(gens, lfo, pitch, len(sound))

    @staticmethod
    def _modulation_envelope(
        gens: NDArray[np.float64], pitch: int, num: int, rate: float
    ) -> NDArray[np.float64]:
        if not gens[Gen.MOD_ENV_TO_FILTER] and not gens[Gen.MOD_ENV_TO_PITCH]:
            return np.zeros(num)
        times = (
            timecents_to_seconds(gens[Gen.MOD_DELAY]),
            timecents_to_seconds(gens[Gen.MOD_ATTACK]),
            timecents_to_seconds(gens[Gen.MOD_HOLD] + gens[Gen.KEY_TO_MOD_HOLD] * (60 - pitch)),
            timecents_to_seconds(gens[Gen.MOD_DECAY] + gens[Gen.KEY_TO_MOD_DECAY] * (60 - pitch)),
        )
        return _envelope(num, rate, times, 1 - np.clip(gens[Gen.MOD_SUSTAIN], 0, 1000) / 1000, convex=True)

    def _positions(
        self,
        gens: NDArray[np.float64],
        lfo: NDArray[np.float64],
        modulation: NDArray[np.float64],
        ratio: float,
        num: int,
        bend: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return the position in the sample of each output sample."""
        cents = gens[Gen.MOD_LFO_TO_PITCH] * lfo + gens[Gen.MOD_ENV_TO_PITCH] * modulation
        if gens[Gen.VIB_LFO_TO_PITCH]:
            delay, speed = timecents_to_seconds(gens[Gen.VIB_LFO_DELAY]), gens[Gen.VIB_LFO_FREQ]
            vibrato = _triangle(len(lfo), self._rate / FILTER_BLOCK, delay, 8.176 * 2 ** (speed / 1200))
            cents = cents + gens[Gen.VIB_LFO_TO_PITCH] * vibrato
        if bend is not None:
            cents = cents + np.pad(bend, (0, max(0, len(lfo) - len(bend))), mode="edge")[: len(lfo)]
        if not cents.any():
            steady: NDArray[np.float64] = np.arange(num, dtype=np.float64) * ratio
            return steady
        points = np.interp(np.arange(num), np.arange(len(cents)) * FILTER_BLOCK, cents)
        result: NDArray[np.float64] = np.concatenate(([0.0], np.cumsum(ratio * 2 ** (points[:-1] / 1200.0))))
        return result

    def _filtered(
        self,
        sound: Samples,
        gens: NDArray[np.float64],
        lfo: NDArray[np.float64],
        modulation: NDArray[np.float64],
    ) -> Samples:
        cents = (
            gens[Gen.FILTER_FC] + gens[Gen.MOD_ENV_TO_FILTER] * modulation + gens[Gen.MOD_LFO_TO_FILTER] * lfo
        )
        cents = np.clip(cents, 1500, OPEN_FILTER_CENTS)
        q = float(np.clip(gens[Gen.FILTER_Q], 0, 960))
        if cents.min() >= OPEN_FILTER_CENTS and q == 0:
            return sound
        state, position, block = np.zeros(2), 0, 0
        pieces = []
        while position < len(sound):
            # the filter stays as it is until its cutoff has moved by 5 cents, which is not audible
            ahead = np.flatnonzero(np.abs(cents[block:] - cents[block]) > 5.0)
            run = int(ahead[0]) if len(ahead) else len(cents)
            b, a = _lowpass(8.176 * 2 ** (cents[block] / 1200.0), q, self._rate)
            piece, state = lfilter(b, a, sound[position : position + run * FILTER_BLOCK], zi=state)
            pieces.append(piece)
            position, block = position + run * FILTER_BLOCK, block + run
        return np.concatenate(pieces).astype(np.float32)

    def _amplitude(
        self, gens: NDArray[np.float64], lfo: NDArray[np.float64], pitch: int, num: int
    ) -> Samples:
        times = (
            timecents_to_seconds(gens[Gen.DELAY]),
            timecents_to_seconds(gens[Gen.ATTACK]),
            timecents_to_seconds(gens[Gen.HOLD] + gens[Gen.KEY_TO_HOLD] * (60 - pitch)),
            timecents_to_seconds(gens[Gen.DECAY] + gens[Gen.KEY_TO_DECAY] * (60 - pitch)),
        )
        delay, attack, hold, decay = times
        t = (np.arange(num) / self._rate - delay).astype(np.float32)
        fall = np.clip(
            (t - (attack + hold)) / max(decay, 1e-3), 0, np.clip(gens[Gen.SUSTAIN], 0, 1000) / 1000
        )
        loss_db = 0.4 * max(gens[Gen.ATTENUATION], -100.0) / 10 + 96.0 * fall
        if gens[Gen.MOD_LFO_TO_VOLUME]:
            wave = np.interp(np.arange(num), np.arange(len(lfo)) * FILTER_BLOCK, lfo)
            loss_db = loss_db + wave.astype(np.float32) * np.float32(gens[Gen.MOD_LFO_TO_VOLUME] / 10)
        envelope = np.exp(loss_db * np.float32(-np.log(10) / 20)) * np.clip(t / max(attack, 1e-3), 0, 1)
        amplitude: Samples = envelope.astype(np.float32)
        return amplitude


class SamplerRenderer:
    """Renders with a soundfont, by default the shipped one. Equal scores give equal bytes.

    Several threads may share it: one renders at a time.

    Args:
        soundfont: the file to play; None takes the first one found.

    Raises:
        RenderError: the soundfont is missing or broken.
    """

    def __init__(self, soundfont: Path | None = None) -> None:
        self._font = SoundFont(find_soundfont(soundfont))
        with self._font.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
        self.renderer_id = f"sampler:{self._font.path.stem}-{digest}"
        self._banks: dict[tuple[int, str], SoundFontBank] = {}
        self._lock = threading.Lock()

    def render(self, score: Score, sample_rate: int = 44_100, quality: str = "full") -> Audio:
        """Return the recording of a score; see ``melodygen.contracts.Renderer``."""
        return self.render_with_progress(score, no_one, sample_rate, quality)

    def render_with_progress(
        self,
        score: Score,
        progress: Callable[[float], None],
        sample_rate: int = 44_100,
        quality: str = "full",
    ) -> Audio:
        """The same, and ``progress`` is told after each track; see ``melodygen.contracts.ProgressRenderer``."""
        check_quality(quality)
        made = self._desk(score, sample_rate, quality, lambda done: progress(VOICES_SHARE * done))
        mixed = made.mix(progress=lambda done: progress(VOICES_SHARE + MIX_SHARE * done))
        return mastering.master(mixed, sample_rate, quality)

    def render_stems(self, score: Score, sample_rate: int = 44_100) -> tuple[Audio, Iterator[Audio]]:
        """The recording and the stem of each track; see ``melodygen.contracts.StemRenderer``."""
        made = self._desk(score, sample_rate, "full")
        return mastering.master_stems(made.mix, len(made.channels), sample_rate)

    def _desk(
        self, score: Score, sample_rate: int, quality: str, progress: Callable[[float], None] = no_one
    ) -> Desk:
        full = quality == "full"
        with self._lock:
            if (sample_rate, quality) not in self._banks:
                self._banks[sample_rate, quality] = SoundFontBank(
                    self._font, sample_rate, stereo=full, smooth=full
                )
            bank = self._banks[sample_rate, quality]
            return desk(score, bank, sample_rate, mastering.tail_seconds(quality), full, progress)
