"""Rendered views on disk: the mel power of each stem of each view, so that training mixes stems anew every time.

Rendering costs more than mixing. A stem is kept as uint8 levels, (F bands, T frames), half a decibel a step: mixing
adds powers, which is what independent sounds do on average.

Layout of a store folder
    stems.u8      levels of all stems, one after another
    index.jsonl   a line a view: style, collection, path, title, font, first (stem), stems (names),
                  notes (number of what is played), plan (of the instruments)
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from melodygen.audio.features import Features, FrontEndConfig, mel_power, to_mono_at
from melodygen.contracts import Renderer
from melodygen.data.stems import STEMS
from melodygen.data.views import View
from melodygen.errors import CorpusError

Levels = NDArray[np.uint8]

LOWEST_DB = -70.0
STEPS_PER_DB = 2.0


@dataclass(frozen=True)
class Entry:
    """One view in a store: style, collection, path and title of its piece, soundfont, row of its first stem, stems.

    ``notes`` numbers what is played: entries of one number are the same notes on other instruments; -1: there are none.
    ``plan`` says which (``data.reorchestration``)."""

    style: str
    collection: str
    path: str
    title: str
    font: str
    first: int
    stems: tuple[str, ...]
    notes: int = -1
    plan: str = "same"


def levels_of(power: Features) -> Levels:
    """Power as a byte: 0.5 dB a step above ``LOWEST_DB``."""
    decibels = 10.0 * np.log10(np.maximum(power, 1e-12))
    return np.clip(np.rint((decibels - LOWEST_DB) * STEPS_PER_DB), 0, 255).astype(np.uint8)


def power_table() -> Features:
    """256 powers, 0 for level 0."""
    table: Features = (10.0 ** ((np.arange(256) / STEPS_PER_DB + LOWEST_DB) / 10.0)).astype(np.float32)
    table[0] = 0.0
    return table


def room(rng: np.random.Generator, sample_rate: int) -> Features:
    """An impulse response: the direct sound, early reflections and a decaying noise that loses its highs."""
    rt60 = float(rng.uniform(0.15, 2.2))
    t = np.arange(round(min(rt60, 1.6) * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(t)) * np.exp(-6.9 * t / rt60) * np.clip(t / 0.01, 0, 1)
    tail = np.convolve(tail, np.ones(3) / 3, mode="same")
    tail *= 10 ** (rng.uniform(-16, 0) / 20) / max(float(np.sqrt((tail**2).sum())), 1e-9)
    tail[0] = 1.0
    for delay in rng.uniform(0.004, 0.05, size=5):
        tail[min(round(delay * sample_rate), len(tail) - 1)] += rng.uniform(-0.25, 0.25)
    response: Features = tail.astype(np.float32)
    return response


def render_stems(
    view: View,
    renderer: Renderer,
    rng: np.random.Generator,
    config: FrontEndConfig,
    seconds: float,
    rooms: float = 0.5,
) -> dict[str, Levels]:
    """Levels (F, T) by stem, each stem at one loudness while it plays; silent stems are left out. ``rooms``: the
    share of views that sound in one."""
    size = round(seconds * config.sample_rate)
    rate = int(rng.choice((16_000, 16_000, 22_050)))
    response = room(rng, config.sample_rate) if rng.random() < rooms else None
    made = {}
    for name in STEMS:
        score = view.stem(name)
        if score is None:
            continue
        mono = to_mono_at(renderer.render(score, rate, "draft"), config.sample_rate)[:size]
        mono = np.pad(mono, (0, size - len(mono)))
        if response is not None and not (name == "bass" and rng.random() < 0.5):
            mono = fftconvolve(mono, response)[:size].astype(np.float32)
        power = mel_power(mono, config)
        loudness = power.sum(axis=0)
        busy = loudness > loudness.max() * 1e-4
        if loudness.max() < 1e-9:
            continue
        made[name] = levels_of(power * np.float32(1000.0 / loudness[busy].mean()))
    return made


class StoreWriter:
    """Appends views; a store that is cut off is whole up to its last index line."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        index = folder / "index.jsonl"
        lines = index.read_text(encoding="utf-8").splitlines() if index.is_file() else []
        self._count = sum(len(json.loads(line)["stems"]) for line in lines)
        self._stems = (folder / "stems.u8").open("ab")
        self._index = index.open("a", encoding="utf-8")

    def add(self, stems: dict[str, Levels], entry: Entry) -> None:
        """Append one view: ``stems`` holds levels (F, T) for each stem of ``entry``."""
        for name in entry.stems:
            self._stems.write(np.ascontiguousarray(stems[name]).tobytes())
        self._stems.flush()
        self._index.write(json.dumps(asdict(entry) | {"first": self._count}) + "\n")
        self._index.flush()
        self._count += len(entry.stems)


@dataclass(frozen=True, eq=False)
class Store:
    """``levels`` (stems, F, T), memory-mapped."""

    levels: Levels
    entries: tuple[Entry, ...]


def open_store(folder: Path, num_bands: int, num_frames: int) -> Store:
    """Raises CorpusError for a folder that holds no views."""
    try:
        lines = (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
        flat = np.memmap(folder / "stems.u8", dtype=np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise CorpusError(f"{folder} holds no rendered views ({error}); render them first") from error
    size = num_bands * num_frames
    levels = flat[: len(flat) // size * size].reshape(-1, num_bands, num_frames)
    entries = []
    for line in lines:
        row = json.loads(line)
        entry = Entry(**{**row, "stems": tuple(row["stems"])})
        if entry.first + len(entry.stems) <= len(levels):
            entries.append(entry)
    return Store(levels, tuple(entries))


def frames_in(seconds: float, config: FrontEndConfig) -> int:
    """Frames of the front end in so many seconds."""
    return 1 + (round(seconds * config.sample_rate) - config.n_fft) // config.hop_length
