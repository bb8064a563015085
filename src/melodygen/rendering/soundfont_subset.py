"""Cuts a soundfont down: chosen presets, one half of stereo samples, Ogg Vorbis.

Kept are the presets of a recipe with their instruments, zones, generators and modulators as they are. Left out are
other presets, what lies behind a loop, and the right half of stereo samples unless the recipe keeps it (the left half
then sounds from the middle, at the power of the pair). The result is an SF3 file, as MuseScore defines it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.rendering.soundfont import DRUM_BANK, RECORDS, SF3_COMPRESSED, Gen, SoundFont

PAIR_CENTIBELS = 75
"""What one half alone lacks: 3 dB, where players count attenuation 0.4."""
GUARD_FRAMES = 46
"""Zeros after each sample that the specification asks for, in frames; also what is kept behind a loop."""
Zones = list[tuple[list[tuple[int, int]], bytes]]
"""Zones of a preset or instrument: generators (operator, amount) and raw modulators."""


@dataclass(frozen=True)
class SoundfontRecipe:
    """What is kept of a soundfont.

    Attributes:
        source: file name of the soundfont that is cut; its path is an input.
        title, copyright: of the file that is written.
        programs: General MIDI programs, from 0, of bank 0.
        kits: drum kits (programs of bank 128).
        stereo: programs whose samples stay stereo; others that share them do too.
        tuning_cents: programs that the source has off pitch, and the correction in cents.
        quality, drum_quality: of Ogg Vorbis, 0 to 1.
    """

    kind: str
    name: str
    source: str
    title: str
    copyright: str
    programs: tuple[int, ...] = field(metadata={"low": 0, "high": 127})
    kits: tuple[int, ...] = field(metadata={"low": 0, "high": 127})
    stereo: tuple[int, ...] = ()
    tuning_cents: Mapping[str, int] = field(default_factory=dict, metadata={"low": -100, "high": 100})
    quality: float = field(default=0.3, metadata={"low": 0.0, "high": 1.0})
    drum_quality: float = field(default=0.4, metadata={"low": 0.0, "high": 1.0})

    def tiny(self) -> SoundfontRecipe:
        """The first two programs, and no kit but the first."""
        return replace(self, programs=self.programs[:2], kits=self.kits[:1])


def _bags(font: SoundFont, kind: str, first: int, last: int) -> list[tuple[list[tuple[int, int]], bytes]]:
    """(generators in file order, raw modulators) of each bag."""
    bags, gens = font.tables[f"{kind}bag"], font.tables[f"{kind}gen"]
    start, _ = font._chunks[f"{kind}mod"]
    found = []
    for i in range(first, last):
        rows = gens[int(bags[i]["gen"]) : int(bags[i + 1]["gen"])]
        mods = font._data[start + 10 * int(bags[i]["mod"]) : start + 10 * int(bags[i + 1]["mod"])]
        found.append(([(int(g["oper"]), int(g["amount"])) for g in rows], mods))
    return found


def _ranges(gens: Sequence[tuple[int, int]]) -> tuple[int | None, int | None]:
    values = dict(gens)
    return values.get(Gen.KEY_RANGE), values.get(Gen.VELOCITY_RANGE)


def _half(name: bytes) -> tuple[bytes, str]:
    """A sample's name without its side, and the side: L, R or nothing. The file's own links are not set."""
    bare = name.split(b"\0")[0].strip()
    if bare[-3:] in (b"(L)", b"(R)"):
        return bare[:-3], bare[-2:-1].decode()
    return bare, ""


def _tuned(gens: list[tuple[int, int]], cents: int) -> list[tuple[int, int]]:
    """A preset's zone with ``cents`` more; its instrument's number stays last."""
    if Gen.INSTRUMENT not in dict(gens):
        return gens
    tune = dict(gens).get(Gen.FINE_TUNE, 0) + cents
    return [*(g for g in gens[:-1] if g[0] != Gen.FINE_TUNE), (Gen.FINE_TUNE, tune), gens[-1]]


def _louder(gens: list[tuple[int, int]], shared: int) -> list[tuple[int, int]]:
    """The zone with the power of a pair. ``shared`` is the attenuation of its instrument's global zone; the
    sample's number stays last, as the format wants it."""
    attenuation = dict(gens).get(Gen.ATTENUATION, shared) - PAIR_CENTIBELS
    return [*(g for g in gens[:-1] if g[0] != Gen.ATTENUATION), (Gen.ATTENUATION, attenuation), gens[-1]]


def _to_mono(
    zones: list[tuple[list[tuple[int, int]], bytes]], font: SoundFont
) -> list[tuple[list[tuple[int, int]], bytes]]:
    """Without the right halves whose left half has a zone of the same ranges."""
    names = font.tables["shdr"]["name"]
    halves: dict[tuple[bytes, str, object], int] = {}
    for gens, _ in zones:
        if (sample := dict(gens).get(Gen.SAMPLE_ID)) is not None:
            halves[(*_half(names[sample]), _ranges(gens))] = sample
    kept = []
    shared = (
        dict(zones[0][0]).get(Gen.ATTENUATION, 0) if zones and Gen.SAMPLE_ID not in dict(zones[0][0]) else 0
    )
    for original, mods in zones:
        gens = original
        if (sample := dict(gens).get(Gen.SAMPLE_ID)) is not None:
            name, side = _half(names[sample])
            partner = halves.get((name, "R" if side == "L" else "L", _ranges(gens))) if side else None
            if side == "R" and partner is not None:
                continue
            if side == "L" and partner is not None:
                gens = _louder([(o, 0 if o == Gen.PAN else a) for o, a in gens], shared)
        kept.append((gens, mods))
    return kept


def _encode(samples: NDArray[np.float32], sample_rate: int, quality: float) -> bytes:
    buffer = io.BytesIO()
    import soundfile as sf

    with sf.SoundFile(
        buffer, "w", sample_rate, 1, format="OGG", subtype="VORBIS", compression_level=1.0 - quality
    ) as file:
        for start in range(0, len(samples), 16_384):  # libsndfile overflows its stack on long writes
            file.write(samples[start : start + 16_384])
    return buffer.getvalue()


def _chunk(name: str, data: bytes) -> bytes:
    return name.encode() + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(name: str, data: bytes) -> bytes:
    return _chunk("LIST", name.encode() + data)


@dataclass
class _Chosen:
    """What is kept: presets with their zones, instruments and samples by old number -> new number."""

    presets: list[tuple[NDArray[np.void], Zones]] = field(default_factory=list)
    instruments: dict[int, int] = field(default_factory=dict)
    zones: list[tuple[bytes, Zones]] = field(default_factory=list)
    samples: dict[int, int] = field(default_factory=dict)
    drum_samples: set[int] = field(default_factory=set)


def cut_soundfont(source: Path, target: Path, recipe: SoundfontRecipe) -> None:
    """Write what the recipe keeps of ``source`` to ``target``, which is replaced."""
    font = SoundFont(source)
    chosen, stereo, drums = _chosen_presets(font, recipe)
    _choose_samples(font, chosen, stereo, drums)
    body, headers = _sample_data(font, chosen, recipe)
    riff = b"sfbk" + _list("INFO", _info(recipe)) + _list("sdta", _chunk("smpl", body))
    riff += _list("pdta", _tables(chosen, headers))
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(_chunk("RIFF", riff))


def _chosen_presets(font: SoundFont, recipe: SoundfontRecipe) -> tuple[_Chosen, set[int], set[int]]:
    """The presets of the recipe, and which of their instruments stay stereo or are drums."""
    chosen, stereo, drums = _Chosen(), set[int](), set[int]()
    table = font.tables["phdr"]
    wanted = {(0, p) for p in recipe.programs} | {(DRUM_BANK, k) for k in recipe.kits}
    for i, header in enumerate(table[:-1]):
        bank, program = int(header["bank"]), int(header["program"])
        if (bank, program) not in wanted:
            continue
        zones = _bags(font, "p", int(header["bag"]), int(table[i + 1]["bag"]))
        for operator, amount in (pair for generators, _ in zones for pair in generators):
            if operator == Gen.INSTRUMENT:
                chosen.instruments.setdefault(amount, len(chosen.instruments))
                if bank == 0 and program in recipe.stereo:
                    stereo.add(amount)
                if bank == DRUM_BANK:
                    drums.add(amount)
        cents = recipe.tuning_cents.get(str(program), 0) if bank == 0 else 0
        if cents:
            zones = [(_tuned(generators, cents), modulators) for generators, modulators in zones]
        chosen.presets.append((header, zones))
    return chosen, stereo, drums


def _choose_samples(font: SoundFont, chosen: _Chosen, stereo: set[int], drums: set[int]) -> None:
    """Zones of the chosen instruments, in mono unless they share a sample with one that stays stereo."""
    table = font.tables["inst"]

    def zones_of(number: int) -> Zones:
        return _bags(font, "i", int(table[number]["bag"]), int(table[number + 1]["bag"]))

    kept = {dict(g).get(Gen.SAMPLE_ID) for n in stereo for g, _ in zones_of(n)}
    for number in chosen.instruments:
        zones = zones_of(number)
        if not any(dict(g).get(Gen.SAMPLE_ID) in kept for g, _ in zones if Gen.SAMPLE_ID in dict(g)):
            zones = _to_mono(zones, font)
        for operator, amount in (pair for generators, _ in zones for pair in generators):
            if operator == Gen.SAMPLE_ID:
                chosen.samples.setdefault(amount, len(chosen.samples))
                if number in drums:
                    chosen.drum_samples.add(amount)
        chosen.zones.append((table[number]["name"], zones))


def _sample_data(font: SoundFont, chosen: _Chosen, recipe: SoundfontRecipe) -> tuple[bytes, bytes]:
    """The compressed samples one after another, and their headers."""
    body, headers = bytearray(), bytearray()
    for number in chosen.samples:
        row, pcm = font.tables["shdr"][number], font.read_sample(number)
        first, last = font.loop(number)
        is_drum = number in chosen.drum_samples
        if not is_drum and last - first > 8 and last + GUARD_FRAMES < len(pcm):
            pcm = pcm[: last + GUARD_FRAMES]
        data = _encode(pcm, int(row["sample_rate"]), recipe.drum_quality if is_drum else recipe.quality)
        new = row.copy()
        new["start"], new["end"] = len(body), len(body) + len(data)
        new["loop_start"], new["loop_end"] = first, last
        new["link"], new["type"] = 0, SF3_COMPRESSED | 1  # the source's links all point at sample 0
        body += data
        headers += new.tobytes()
    headers += np.array([(b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)], dtype=RECORDS["shdr"]).tobytes()
    return bytes(body), bytes(headers)


def _packed(
    owners: Sequence[Zones], link: int, numbers: Mapping[int, int]
) -> tuple[list[int], bytes, bytes, bytes]:
    """First bag of each owner; bags, modulators and generators as the file holds them, links renumbered."""
    bag, gen, mod, starts = bytearray(), bytearray(), bytearray(), []
    for zones in owners:
        starts.append(len(bag) // 4)
        for generators, modulators in zones:
            bag += struct.pack("<HH", len(gen) // 4, len(mod) // 10)
            for operator, amount in generators:
                gen += struct.pack("<Hh", operator, numbers[amount] if operator == link else amount)
            mod += modulators
    starts.append(len(bag) // 4)
    bag += struct.pack("<HH", len(gen) // 4, len(mod) // 10)
    return starts, bytes(bag), bytes(mod) + bytes(10), bytes(gen) + bytes(4)


def _tables(chosen: _Chosen, sample_headers: bytes) -> bytes:
    """The nine tables of presets, instruments and samples."""
    preset_zones, instrument_zones = [z for _, z in chosen.presets], [z for _, z in chosen.zones]
    preset_starts, pbag, pmod, pgen = _packed(preset_zones, Gen.INSTRUMENT, chosen.instruments)
    instrument_starts, ibag, imod, igen = _packed(instrument_zones, Gen.SAMPLE_ID, chosen.samples)
    phdr, inst = bytearray(), bytearray()
    for (header, _), start in zip(chosen.presets, preset_starts, strict=False):
        new = header.copy()
        new["bag"] = start
        phdr += new.tobytes()
    phdr += np.array([(b"EOP", 0, 0, preset_starts[-1], b"")], dtype=RECORDS["phdr"]).tobytes()
    for (name, _), start in zip(chosen.zones, instrument_starts, strict=False):
        inst += np.array([(name, start)], dtype=RECORDS["inst"]).tobytes()
    inst += np.array([(b"EOI", instrument_starts[-1])], dtype=RECORDS["inst"]).tobytes()
    tables = (
        ("phdr", bytes(phdr)), ("pbag", pbag), ("pmod", pmod), ("pgen", pgen), ("inst", bytes(inst)),
        ("ibag", ibag), ("imod", imod), ("igen", igen), ("shdr", sample_headers),
    )  # fmt: skip
    return b"".join(_chunk(name, data) for name, data in tables)


def _info(recipe: SoundfontRecipe) -> bytes:
    def text(value: str) -> bytes:
        raw = value.encode("latin-1") + b"\0"
        return raw + b"\0" * (len(raw) % 2)

    return (
        _chunk("ifil", struct.pack("<HH", 3, 1)) + _chunk("isng", text("E-mu 10K1"))
        + _chunk("INAM", text(recipe.title)) + _chunk("ICOP", text(recipe.copyright))
        + _chunk("ISFT", text("melodygen"))
    )  # fmt: skip
