"""Reader of SoundFont 2 and 3 files: which samples sound for a program, key and velocity, and how.

Conventions: generators are the integers of the file, already merged (instrument zone over instrument global
zone, plus preset zone over preset global zone), indexed by the numbers in ``Gen``. Sample positions count
frames; loop points are relative to the sample's start. Samples are float32, -1 to 1.

Source: SoundFont Technical Specification 2.04. For SF3 (every sample is an Ogg Vorbis stream of its own, its
start and end counted in bytes) the source is what MuseScore's sf3convert writes and FluidSynth reads.
Modulators are not read: the shipped font needs none, and other fonts sound plausible without theirs.
"""

from __future__ import annotations

import io
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from melodygen.errors import RenderError

DRUM_BANK = 128
"""Bank of the drum kits in a soundfont, by General MIDI."""
NUM_GENERATORS = 61
SF3_COMPRESSED = 0x10
RECORDS = {
    "phdr": np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "V12")]),
    "pbag": np.dtype([("gen", "<u2"), ("mod", "<u2")]),
    "pgen": np.dtype([("oper", "<u2"), ("amount", "<i2")]),
    "inst": np.dtype([("name", "S20"), ("bag", "<u2")]),
    "ibag": np.dtype([("gen", "<u2"), ("mod", "<u2")]),
    "igen": np.dtype([("oper", "<u2"), ("amount", "<i2")]),
    "shdr": np.dtype(
        [
            ("name", "S20"),
            ("start", "<u4"),
            ("end", "<u4"),
            ("loop_start", "<u4"),
            ("loop_end", "<u4"),
            ("sample_rate", "<u4"),
            ("pitch", "u1"),
            ("correction", "i1"),
            ("link", "<u2"),
            ("type", "<u2"),
        ]
    ),
}
"""Record layout of each table of the file (specification 7)."""


class Gen:
    """Numbers of the generators that the sampler uses (specification 8.1.2)."""

    START, END, LOOP_START, LOOP_END, START_COARSE = 0, 1, 2, 3, 4
    MOD_LFO_TO_PITCH, VIB_LFO_TO_PITCH, MOD_ENV_TO_PITCH = 5, 6, 7
    FILTER_FC, FILTER_Q, MOD_LFO_TO_FILTER, MOD_ENV_TO_FILTER, END_COARSE, MOD_LFO_TO_VOLUME = (
        8,
        9,
        10,
        11,
        12,
        13,
    )
    PAN = 17
    MOD_LFO_DELAY, MOD_LFO_FREQ, VIB_LFO_DELAY, VIB_LFO_FREQ = 21, 22, 23, 24
    MOD_DELAY, MOD_ATTACK, MOD_HOLD, MOD_DECAY, MOD_SUSTAIN, MOD_RELEASE = range(25, 31)
    KEY_TO_MOD_HOLD, KEY_TO_MOD_DECAY = 31, 32
    DELAY, ATTACK, HOLD, DECAY, SUSTAIN, RELEASE, KEY_TO_HOLD, KEY_TO_DECAY = range(33, 41)
    INSTRUMENT, KEY_RANGE, VELOCITY_RANGE, LOOP_START_COARSE, KEY, VELOCITY, ATTENUATION = (
        41,
        43,
        44,
        45,
        46,
        47,
        48,
    )
    LOOP_END_COARSE, COARSE_TUNE, FINE_TUNE, SAMPLE_ID, SAMPLE_MODES = 50, 51, 52, 53, 54
    SCALE_TUNING, EXCLUSIVE_CLASS, ROOT_KEY = 56, 57, 58


_DEFAULTS = np.zeros(NUM_GENERATORS, dtype=np.int64)
for _oper in (*range(21, 22), 23, *range(25, 29), 30, *range(33, 37), 38):
    _DEFAULTS[_oper] = -12_000
_DEFAULTS[Gen.FILTER_FC] = 13_500
_DEFAULTS[[Gen.KEY, Gen.VELOCITY, Gen.ROOT_KEY]] = -1
_DEFAULTS[Gen.SCALE_TUNING] = 100
_DEFAULTS.flags.writeable = False
_NOT_ADDITIVE = (Gen.INSTRUMENT, Gen.KEY_RANGE, Gen.VELOCITY_RANGE, Gen.SAMPLE_ID, Gen.SAMPLE_MODES)
FULL_RANGE = (0, 127)


@dataclass(frozen=True, eq=False)
class Zone:
    """One sample of a preset.

    Attributes:
        key_range: lowest and highest key, inclusive.
        velocity_range: lowest and highest velocity, inclusive.
        sample: index of the sample.
        gens: (61,) merged generators.
    """

    key_range: tuple[int, int]
    velocity_range: tuple[int, int]
    sample: int
    gens: NDArray[np.int64]


def _range(gens: dict[int, int], oper: int) -> tuple[int, int]:
    if oper not in gens:
        return FULL_RANGE
    raw = gens[oper] & 0xFFFF
    return raw & 0xFF, raw >> 8


class SoundFont:
    """An open soundfont. The index is read at once, samples when they are asked for.

    Raises:
        RenderError: the file is missing, no SoundFont, or broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise RenderError(
                f"soundfont {self.path} cannot be read: {error}; name another with --soundfont"
            ) from error
        try:
            self._chunks = self._find_chunks()
            self.tables: dict[str, NDArray[Any]] = {name: self._table(name) for name in RECORDS}
            self._presets = self._index_presets()
        except (struct.error, ValueError, IndexError, KeyError) as error:
            raise RenderError(
                f"{self.path} is not a whole SoundFont 2 or 3 file ({error}); name another with --soundfont"
            ) from error
        if not self._presets:
            raise RenderError(f"soundfont {self.path} holds no instruments; name another with --soundfont")

    @property
    def presets(self) -> tuple[tuple[int, int], ...]:
        """(bank, program) of all presets, sorted; drum kits have bank 128."""
        return tuple(sorted(self._presets))

    def _find_chunks(self) -> dict[str, tuple[int, int]]:
        data = self._data
        if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
            raise ValueError("no RIFF sfbk header")
        chunks: dict[str, tuple[int, int]] = {}
        position, end = 12, len(data)
        while position + 8 <= end:
            name, size = struct.unpack_from("<4sI", data, position)
            if name == b"LIST":
                position += 12
                continue
            if position + 8 + size > end:
                raise ValueError(f"chunk {name!r} is cut off")
            chunks[name.decode("latin-1")] = (position + 8, size)
            position += 8 + size
            # an odd chunk is followed by a byte of nothing; sf3convert leaves it out
            if size % 2 and not data[position : position + 4].isalnum():
                position += 1
        return chunks

    def _table(self, name: str) -> NDArray[Any]:
        start, size = self._chunks[name]
        dtype = RECORDS[name]
        return np.frombuffer(self._data, dtype=dtype, count=size // dtype.itemsize, offset=start)

    def _zones(self, kind: str, first: int, last: int) -> list[dict[int, int]]:
        """Return the generators of the bags ``first`` to ``last - 1``."""
        bags, gens = self.tables[f"{kind}bag"], self.tables[f"{kind}gen"]
        return [
            {int(g["oper"]): int(g["amount"]) for g in gens[int(bags[i]["gen"]) : int(bags[i + 1]["gen"])]}
            for i in range(first, last)
        ]

    def _index_presets(self) -> dict[tuple[int, int], tuple[int, int]]:
        headers = self.tables["phdr"]
        if len(self.tables["shdr"]) < 2 or "smpl" not in self._chunks:
            raise ValueError("no samples")
        return {
            (int(h["bank"]), int(h["program"])): (int(h["bag"]), int(headers[i + 1]["bag"]))
            for i, h in enumerate(headers[:-1])
        }

    def name(self, bank: int, program: int) -> str:
        """Return the preset's name in the file."""
        headers = self.tables["phdr"]
        row = headers[(headers["bank"] == bank) & (headers["program"] == program)][0]
        return bytes(row["name"]).split(b"\0")[0].decode("latin-1").strip()

    def zones(self, bank: int, program: int) -> tuple[Zone, ...]:
        """Return all zones of a preset. Raises RenderError for a preset that is missing or broken."""
        try:
            return tuple(self._merge(*self._presets[bank, program]))
        except (IndexError, KeyError) as error:
            raise RenderError(
                f"soundfont {self.path}: preset {bank}:{program} is missing or broken"
            ) from error

    def _merge(self, first: int, last: int) -> list[Zone]:
        zones: list[Zone] = []
        instruments = self.tables["inst"]
        preset_global: dict[int, int] = {}
        for outer in self._zones("p", first, last):
            if Gen.INSTRUMENT not in outer:
                preset_global = preset_global or outer
                continue
            preset = {**preset_global, **outer}
            index = preset[Gen.INSTRUMENT]
            offsets = np.zeros(NUM_GENERATORS, dtype=np.int64)
            for oper, amount in preset.items():
                if oper < NUM_GENERATORS and oper not in _NOT_ADDITIVE:
                    offsets[oper] = amount
            bags = int(instruments[index]["bag"]), int(instruments[index + 1]["bag"])
            instrument_global: dict[int, int] = {}
            for inner in self._zones("i", *bags):
                if Gen.SAMPLE_ID not in inner:
                    instrument_global = instrument_global or inner
                    continue
                local = {**instrument_global, **inner}
                sample = local[Gen.SAMPLE_ID]
                if not 0 <= sample < len(self.tables["shdr"]) - 1:
                    raise IndexError(f"sample {sample}")
                gens = _DEFAULTS.copy()
                for oper, amount in local.items():
                    if oper < NUM_GENERATORS:
                        gens[oper] = amount
                gens += offsets  # generators of the preset are relative to those of the instrument
                ranges = []
                for oper in (Gen.KEY_RANGE, Gen.VELOCITY_RANGE):
                    (a, b), (c, d) = _range(local, oper), _range(preset, oper)
                    ranges.append((max(a, c), min(b, d)))
                if all(low <= high for low, high in ranges):
                    zones.append(Zone(ranges[0], ranges[1], sample, gens))
        return zones

    def loop(self, sample: int) -> tuple[int, int]:
        """Return the first frame of the loop and the frame after its last, counted from the sample's
        start.
        """
        row = self.tables["shdr"][sample]
        base = 0 if int(row["type"]) & SF3_COMPRESSED else int(row["start"])
        return int(row["loop_start"]) - base, int(row["loop_end"]) - base

    def read_sample(self, sample: int, num_frames: int = -1) -> NDArray[np.float32]:
        """Return the first ``num_frames`` frames of a sample (-1: all), mono. Raises RenderError for a broken
        one.
        """
        row = self.tables["shdr"][sample]
        start, size = self._chunks["smpl"]
        first, last = int(row["start"]), int(row["end"])
        if int(row["type"]) & SF3_COMPRESSED:
            if not first < last <= size:
                raise RenderError(f"soundfont {self.path}: sample {sample} lies outside the file")
            try:
                stream = io.BytesIO(self._data[start + first : start + last])
                decoded, _ = sf.read(stream, frames=num_frames, dtype="float32", always_2d=True)
            except sf.LibsndfileError as error:
                raise RenderError(
                    f"soundfont {self.path}: sample {sample} cannot be decoded: {error}"
                ) from error
            mono: NDArray[np.float32] = decoded[:, 0]
            return mono
        if not first < last <= size // 2:
            raise RenderError(f"soundfont {self.path}: sample {sample} lies outside the file")
        count = last - first if num_frames < 0 else min(num_frames, last - first)
        pcm = np.frombuffer(self._data, dtype="<i2", count=count, offset=start + 2 * first)
        return pcm.astype(np.float32) / np.float32(32_768.0)
