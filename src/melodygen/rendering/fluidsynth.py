"""A renderer that uses the system's FluidSynth library where it is installed (by ctypes, version 2 or later).

The library's own reverb and chorus stay off: ``melodygen.rendering.mastering`` finishes the mix, as for every
renderer. Each track has its own channel, so a score may have any number of tracks.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from melodygen.audio.buffer import Audio
from melodygen.errors import RenderError
from melodygen.music.score import PAN, PITCH_BEND, SUSTAIN, VOLUME, Score
from melodygen.rendering import mastering
from melodygen.rendering.controls import has_controls
from melodygen.rendering.mixing import (
    ROLE_SEND,
    Mix,
    Samples,
    check_length,
    check_quality,
    keeps_own_balance,
    played_notes,
    sounding_seconds,
    ticks_to_seconds,
    track_pans,
)
from melodygen.rendering.soundfont_path import find_soundfont

DRUM_CHANNEL_TYPE = 1
"""FluidSynth's CHANNEL_TYPE_DRUM."""
ROLE_VOLUME = {"melody": 112, "bass": 104, "chords": 84, "drums": 92, "other": 88}
"""MIDI controller 7 (volume) of each role."""
DEFAULT_VOLUME = 100
FAILED = -1
"""FluidSynth's return value for a call that failed (FLUID_FAILED)."""

Event = tuple[int, int, int, int, int]
"""Sample, rank at that sample (0 note-off, 1 controller, 2 note-on), channel, key or controller, value."""


def _load_library() -> ctypes.CDLL:
    name = ctypes.util.find_library("fluidsynth") or ctypes.util.find_library("libfluidsynth-3")
    if name is None:
        raise RenderError(
            "FluidSynth's library is not installed (Debian: libfluidsynth3); use the renderer 'sampler' instead"
        )
    try:
        library = ctypes.CDLL(name)
        library.fluid_synth_set_channel_type.restype = ctypes.c_int
    except (OSError, AttributeError) as error:
        raise RenderError(
            f"FluidSynth's library {name} cannot be used: {error}; use the renderer 'sampler'"
        ) from error
    pointer = ctypes.c_void_p
    library.new_fluid_settings.restype = pointer
    library.new_fluid_synth.restype = pointer
    library.new_fluid_synth.argtypes = [pointer]
    library.fluid_settings_setnum.argtypes = [pointer, ctypes.c_char_p, ctypes.c_double]
    library.fluid_settings_setint.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int]
    library.fluid_synth_sfload.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int]
    for function, count in (
        ("set_channel_type", 2),
        ("bank_select", 2),
        ("program_change", 2),
        ("cc", 3),
        ("noteon", 3),
        ("noteoff", 2),
        ("pitch_wheel_sens", 2),
        ("pitch_bend", 2),
    ):
        getattr(library, f"fluid_synth_{function}").argtypes = [pointer, *[ctypes.c_int] * count]
    library.fluid_synth_write_float.argtypes = [
        *(pointer, ctypes.c_int),
        *(pointer, ctypes.c_int, ctypes.c_int),
        *(pointer, ctypes.c_int, ctypes.c_int),
    ]
    library.delete_fluid_synth.argtypes = [pointer]
    library.delete_fluid_settings.argtypes = [pointer]
    library.fluid_set_log_function.argtypes = [ctypes.c_int, pointer, pointer]
    for level in range(5):  # what it has to say goes to stderr otherwise
        library.fluid_set_log_function(level, None, None)
    return library


class FluidSynthRenderer:
    """Renders with libfluidsynth.

    Args:
        soundfont: the file to play; None takes the first one found.

    Raises:
        RenderError: the library or the soundfont is missing or broken.
    """

    def __init__(self, soundfont: Path | None = None) -> None:
        self._library = _load_library()
        self._path = find_soundfont(soundfont)
        self.renderer_id = f"fluidsynth:{self._path.stem}"

    def render(self, score: Score, sample_rate: int = 44_100, quality: str = "full") -> Audio:
        """Return the recording of a score; see ``melodygen.contracts.Renderer``.

        Raises:
            RenderError: the sample rate is outside FluidSynth's 8000 to 96000 Hz, or the score is too long.
        """
        check_quality(quality)
        if quality == "draft":
            mono = self._sound(score, sample_rate, quality).mean(axis=0, keepdims=True, dtype=np.float32)
            return mastering.master(Mix(mono, None), sample_rate, quality)
        return mastering.master(self._mix(score, sample_rate), sample_rate, quality)

    def render_stems(self, score: Score, sample_rate: int = 44_100) -> tuple[Audio, Iterator[Audio]]:
        """The recording and the stem of each track; see ``melodygen.contracts.StemRenderer``."""
        return mastering.master_stems(
            lambda only: self._mix(score, sample_rate, only), len(score.tracks), sample_rate
        )

    def _mix(self, score: Score, sample_rate: int, only: int | None = None) -> Mix:
        stereo = self._sound(score, sample_rate, "full", only)
        return Mix(stereo, stereo.mean(axis=0, dtype=np.float32) * np.float32(ROLE_SEND["melody"]))

    def _sound(self, score: Score, sample_rate: int, quality: str, only: int | None = None) -> Samples:
        """All tracks, or the one with the index ``only``, as (2, n) samples."""
        check_length(score)
        if not 8_000 <= sample_rate <= 96_000:
            raise RenderError(f"FluidSynth renders at 8000 to 96000 Hz, not at {sample_rate}")
        length = round((sounding_seconds(score) + mastering.tail_seconds(quality)) * sample_rate)
        library = self._library
        settings = library.new_fluid_settings()
        synth = None
        try:
            channels = max(16, -(-len(score.tracks) // 16) * 16)
            library.fluid_settings_setnum(settings, b"synth.sample-rate", float(sample_rate))
            library.fluid_settings_setint(settings, b"synth.midi-channels", channels)
            library.fluid_settings_setint(settings, b"synth.polyphony", 1024)
            library.fluid_settings_setint(settings, b"synth.dynamic-sample-loading", 1)
            for effect in (b"synth.reverb.active", b"synth.chorus.active"):
                library.fluid_settings_setint(settings, effect, 0)
            synth = library.new_fluid_synth(settings)
            if not synth or library.fluid_synth_sfload(synth, str(self._path).encode(), 1) == FAILED:
                raise RenderError(
                    f"FluidSynth cannot read the soundfont {self._path}; name another with --soundfont"
                )
            return self._play(synth, score, sample_rate, length, only)
        finally:
            if synth:
                library.delete_fluid_synth(synth)
            library.delete_fluid_settings(settings)

    def _play(
        self, synth: ctypes.c_void_p, score: Score, sample_rate: int, length: int, only: int | None = None
    ) -> Samples:
        library = self._library
        events: list[Event] = []
        by_role, placed = not keeps_own_balance(score), has_controls(score, PAN)
        for channel, (track, pan) in enumerate(zip(score.tracks, track_pans(score), strict=True)):
            library.fluid_synth_set_channel_type(synth, channel, DRUM_CHANNEL_TYPE if track.is_drum else 0)
            library.fluid_synth_bank_select(synth, channel, 128 if track.is_drum else 0)
            library.fluid_synth_program_change(synth, channel, track.program)
            volume = ROLE_VOLUME["drums" if track.is_drum else track.role] if by_role else DEFAULT_VOLUME
            library.fluid_synth_cc(synth, channel, VOLUME, volume)
            library.fluid_synth_cc(synth, channel, PAN, 64 if placed else round(64 + 63 * pan))
            if only not in (None, channel):
                continue
            notes = played_notes(score, track, sample_rate)
            columns = (notes.onset, notes.held, notes.pitch, notes.velocity)
            for onset, held, pitch, velocity in zip(*(c.tolist() for c in columns), strict=True):
                events.append((onset, 2, channel, pitch, velocity))
                events.append((onset + held, 0, channel, pitch, 0))
            events += self._controls(synth, score, channel, by_role, sample_rate)
        out = np.zeros((2, length), dtype=np.float32)
        position = 0
        for when, kind, channel, number, value in sorted(events):
            self._write(synth, out, position, min(when, length))
            position = min(when, length)
            if kind == 2:
                library.fluid_synth_noteon(synth, channel, number, value)
            elif kind == 0:
                library.fluid_synth_noteoff(synth, channel, number)
            elif number == PITCH_BEND:
                library.fluid_synth_pitch_bend(synth, channel, value)
            else:
                library.fluid_synth_cc(synth, channel, number, value)
        self._write(synth, out, position, length)
        return out

    def _controls(
        self, synth: ctypes.c_void_p, score: Score, channel: int, by_role: bool, sample_rate: int
    ) -> list[Event]:
        """Volume, expression, pan and bends of a track; its notes already last as long as the pedal holds them."""
        track = score.tracks[channel]
        controls = track.controls[track.controls["controller"] != SUSTAIN]
        if not len(controls):
            return []
        bends = controls["value"][controls["controller"] == PITCH_BEND]
        reach = min(max(2, math.ceil(float(np.abs(bends).max(initial=0.0)))), 72)
        self._library.fluid_synth_pitch_wheel_sens(synth, channel, reach)
        role = ROLE_VOLUME["drums" if track.is_drum else track.role]
        volumes = controls["value"][controls["controller"] == VOLUME]
        loudest = float(volumes.max(initial=1.0))
        seconds = ticks_to_seconds(score, controls["tick"].astype(np.int64))
        events: list[Event] = []
        for when, number, value in zip(
            np.rint(seconds * sample_rate).astype(np.int64).tolist(),
            controls["controller"].tolist(), controls["value"].tolist(), strict=True,
        ):  # fmt: skip
            sent = value
            if number == PITCH_BEND:
                sent = min(16_383, max(0, round(8192 + value / reach * 8192)))
            elif number == VOLUME and by_role:
                sent = (
                    value * role / loudest
                )  # a fade is heard, and the track still stands where its role does
            events.append((when, 1, channel, number, round(sent)))
        return events

    def _write(self, synth: ctypes.c_void_p, out: Samples, start: int, stop: int) -> None:
        if stop > start:
            left, right = (ctypes.c_void_p(out[side, start:].ctypes.data) for side in range(2))
            self._library.fluid_synth_write_float(synth, stop - start, left, 0, 1, right, 0, 1)
