"""A small sampler for ``Engine.render_block``: it starts and releases the soundfont's voices block by block.

A thread beside the host's makes the voices and keeps them. A key whose voice is not made yet stays silent,
because waiting would hold up the block. There is no reverb and no loudness control; a host adds its own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import RenderError
from melodygen.live.transport import NOTE_OFF, NOTE_ON, PROGRAM_CHANGE, MidiEvent
from melodygen.music.instruments import DRUM_CHANNEL
from melodygen.music.score import Track
from melodygen.rendering.additive import AdditiveBank
from melodygen.rendering.mixing import VoiceBank
from melodygen.rendering.sampler import SoundFontBank
from melodygen.rendering.soundfont import SoundFont
from melodygen.rendering.soundfont_path import find_soundfont

Samples = NDArray[np.float32]
Sound = tuple[int, int, int]
"""Channel, program, pitch."""
HELD_SECONDS = 6.0
RELEASE_SECONDS = 0.12
GAIN = 0.35
LAYER_VELOCITY = 96


@dataclass
class _Playing:
    samples: Samples
    gain: float
    at: int = 0
    released_at: int = -1


class BlockSynth:
    """Plays MIDI events into blocks of samples. ``waits``: make missing voices at once (offline)."""

    def __init__(self, sample_rate: float, waits: bool) -> None:
        self._rate = round(sample_rate)
        self._waits = waits
        self._bank: VoiceBank | None = None
        self._voices: dict[Sound, Samples] = {}
        self._wanted: SimpleQueue[Sound | None] = SimpleQueue()
        self._asked: set[Sound] = set()
        self._programs = [0] * 16
        self._playing: dict[tuple[int, int], _Playing] = {}
        self._fading: list[_Playing] = []
        self._release = max(1, round(RELEASE_SECONDS * sample_rate))
        if not waits:
            threading.Thread(target=self._make_voices, name="melodygen-voices", daemon=True).start()

    def close(self) -> None:
        """End the thread that makes voices."""
        self._wanted.put(None)

    def render(self, events: list[MidiEvent], num_samples: int) -> Samples:
        """Return the block's sound, float32 (2, num_samples)."""
        out = np.zeros((2, num_samples), dtype=np.float32)
        at = 0
        for offset, message in events:
            self._mix(out, at, offset)
            at = max(at, offset)
            self._handle(message)
        self._mix(out, at, num_samples)
        return out

    def _handle(self, message: tuple[int, ...]) -> None:
        status, channel = message[0] & 0xF0, message[0] & 0x0F
        if status == PROGRAM_CHANGE:
            self._programs[channel] = message[1]
        elif status in (NOTE_ON, NOTE_OFF):
            key = (channel, message[1])
            held = self._playing.pop(key, None)
            if held is not None:
                if channel != DRUM_CHANNEL:
                    held.released_at = held.at
                self._fading.append(held)
            if status == NOTE_ON and message[2]:
                voice = self._voice((channel, self._programs[channel], message[1]))
                if voice is not None:
                    self._playing[key] = _Playing(voice, GAIN * (message[2] / 127) ** 2)

    def _mix(self, out: Samples, first: int, stop: int) -> None:
        if stop <= first:
            return
        for playing in [*self._playing.values(), *self._fading]:
            chunk = playing.samples[:, playing.at : playing.at + stop - first] * np.float32(playing.gain)
            if playing.released_at >= 0:
                age = playing.at - playing.released_at + np.arange(chunk.shape[1])
                chunk = chunk * np.clip(1.0 - age / self._release, 0.0, 1.0).astype(np.float32)
            out[:, first : first + chunk.shape[1]] += chunk
            playing.at += stop - first
        self._fading = [p for p in self._fading if not self._is_over(p)]

    def _is_over(self, playing: _Playing) -> bool:
        return playing.at >= playing.samples.shape[1] or (
            playing.released_at >= 0 and playing.at - playing.released_at > self._release
        )

    def _voice(self, sound: Sound) -> Samples | None:
        if sound not in self._voices:
            if self._waits:
                self._voices[sound] = self._make(sound)
            elif sound not in self._asked:
                self._asked.add(sound)
                self._wanted.put(sound)
        return self._voices.get(sound)

    def _make_voices(self) -> None:
        while (sound := self._wanted.get()) is not None:
            self._voices[sound] = self._make(sound)

    def _make(self, sound: Sound) -> Samples:
        channel, program, pitch = sound
        track = Track(program=program, is_drum=channel == DRUM_CHANNEL)
        if self._bank is None:
            self._bank = self._open_bank()
        layer = self._bank.layer(track, pitch, LAYER_VELOCITY)
        samples = self._bank.voice(layer, round(HELD_SECONDS * self._rate)).samples
        return samples.astype(np.float32)

    def _open_bank(self) -> VoiceBank:
        try:
            return SoundFontBank(SoundFont(find_soundfont(None)), self._rate, stereo=False, smooth=False)
        except RenderError:
            return AdditiveBank(self._rate)
