"""Cut FluidR3_GM.sf2 down to ``models/soundfont/melodygen.sf3``.

    python scripts/make_soundfont.py /usr/share/sounds/sf2/FluidR3_GM.sf2 models/soundfont/melodygen.sf3

Kept: the presets of ``PROGRAMS`` and ``KITS`` with their instruments, zones, generators and modulators as they
are. Thrown away: other presets, what lies behind a loop, and the right half of stereo samples unless the
preset is in ``STEREO`` (the left half then sounds from the middle, at the power of the pair). Samples become
Ogg Vorbis. Needs numpy and soundfile; the source is Debian's package fluid-soundfont-gm (MIT licence).
"""

from __future__ import annotations

import argparse
import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from melodygen.rendering.soundfont import RECORDS, SF3_COMPRESSED, Gen, SoundFont

MISSING = {
    2,
    5,
    17,
    31,
    35,
    37,
    50,
    53,
    54,
    67,
    69,
    85,
    88,
    91,
    92,
    93,
    94,
    95,
    96,
    97,
    98,
    99,
    101,
    102,
    103,
}
"""Programs left to the fallback table of ``melodygen.rendering.programs``."""
PROGRAMS = tuple(p for p in range(119) if p not in MISSING)
KITS = (0, 16, 25, 32, 40, 48)
STEREO = {(0, 0)}
"""Presets whose samples stay stereo; others that share them do too."""
TUNING_CENTS = {9: 11, 19: -8, 47: 21, 55: 5, 72: -7, 73: -6, 76: -22, 80: -8}
"""Presets that the source has uniformly off pitch, and what brings them back (measured by spectrum)."""
QUALITY = 0.3
"""Ogg Vorbis quality, 0 to 1."""
DRUM_QUALITY = 0.4
PAIR_CENTIBELS = 75
"""What one half alone lacks: 3 dB, where players count attenuation 0.4."""
GUARD_FRAMES = 46
"""Zeros after each sample that the specification asks for, in frames; also what is kept behind a loop."""


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


def make_soundfont(source: Path, target: Path) -> None:
    """Write the cut of ``source`` to ``target``."""
    font = SoundFont(source)
    tables = font.tables
    wanted = sorted({(0, p) for p in PROGRAMS} | {(128, k) for k in KITS})
    headers = [
        (i, h) for i, h in enumerate(tables["phdr"][:-1]) if (int(h["bank"]), int(h["program"])) in wanted
    ]
    instruments: dict[int, int] = {}
    stereo_instruments: set[int] = set()
    drum_instruments: set[int] = set()
    presets = []
    for i, h in headers:
        bags = _bags(font, "p", int(h["bag"]), int(tables["phdr"][i + 1]["bag"]))
        for gens, _ in bags:
            for oper, amount in gens:
                if oper == Gen.INSTRUMENT:
                    instruments.setdefault(amount, len(instruments))
                    if (int(h["bank"]), int(h["program"])) in STEREO:
                        stereo_instruments.add(amount)
                    if int(h["bank"]) == 128:
                        drum_instruments.add(amount)
        if int(h["bank"]) == 0 and int(h["program"]) in TUNING_CENTS:
            bags = [(_tuned(gens, TUNING_CENTS[int(h["program"])]), mods) for gens, mods in bags]
        presets.append((h, bags))

    stereo_samples = {
        dict(g).get(Gen.SAMPLE_ID)
        for n in stereo_instruments
        for g, _ in _bags(font, "i", int(tables["inst"][n]["bag"]), int(tables["inst"][n + 1]["bag"]))
    }
    samples: dict[int, int] = {}
    drum_samples: set[int] = set()
    new_instruments = []
    for n in instruments:
        zones = _bags(font, "i", int(tables["inst"][n]["bag"]), int(tables["inst"][n + 1]["bag"]))
        if not any(
            dict(g).get(Gen.SAMPLE_ID) in stereo_samples for g, _ in zones if Gen.SAMPLE_ID in dict(g)
        ):
            zones = _to_mono(zones, font)
        for gens, _ in zones:
            for oper, amount in gens:
                if oper == Gen.SAMPLE_ID:
                    samples.setdefault(amount, len(samples))
                    if n in drum_instruments:
                        drum_samples.add(amount)
        new_instruments.append((tables["inst"][n]["name"], zones))

    body, shdr = bytearray(), []
    for n in samples:
        row = tables["shdr"][n]
        pcm = font.read_sample(n)
        first, last = font.loop(n)
        if n not in drum_samples and last - first > 8 and last + GUARD_FRAMES < len(pcm):
            pcm = pcm[: last + GUARD_FRAMES]
        data = _encode(pcm, int(row["sample_rate"]), DRUM_QUALITY if n in drum_samples else QUALITY)
        new = row.copy()
        new["start"], new["end"] = len(body), len(body) + len(data)
        new["loop_start"], new["loop_end"] = first, last
        new["link"], new["type"] = 0, SF3_COMPRESSED | 1  # the source's links all point at sample 0
        body += data
        shdr.append(new.tobytes())
    shdr.append(np.array([(b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)], dtype=RECORDS["shdr"]).tobytes())

    def pack(
        kind: str, owners: list[list[tuple[list[tuple[int, int]], bytes]]], link: int, numbers: dict[int, int]
    ) -> tuple[list[int], bytes, bytes, bytes]:
        bag, gen, mod, starts = bytearray(), bytearray(), bytearray(), []
        for zones in owners:
            starts.append(len(bag) // 4)
            for gens, mods in zones:
                bag += struct.pack("<HH", len(gen) // 4, len(mod) // 10)
                for oper, amount in gens:
                    gen += struct.pack("<Hh", oper, numbers[amount] if oper == link else amount)
                mod += mods
        starts.append(len(bag) // 4)
        bag += struct.pack("<HH", len(gen) // 4, len(mod) // 10)
        return starts, bytes(bag), bytes(mod) + bytes(10), bytes(gen) + bytes(4)

    pstarts, pbag, pmod, pgen = pack("p", [b for _, b in presets], Gen.INSTRUMENT, instruments)
    istarts, ibag, imod, igen = pack("i", [z for _, z in new_instruments], Gen.SAMPLE_ID, samples)
    phdr = bytearray()
    for (h, _), start in zip(presets, pstarts, strict=False):
        new = h.copy()
        new["bag"] = start
        phdr += new.tobytes()
    phdr += np.array([(b"EOP", 0, 0, pstarts[-1], b"")], dtype=RECORDS["phdr"]).tobytes()
    inst = bytearray()
    for (name, _), start in zip(new_instruments, istarts, strict=False):
        inst += np.array([(name, start)], dtype=RECORDS["inst"]).tobytes()
    inst += np.array([(b"EOI", istarts[-1])], dtype=RECORDS["inst"]).tobytes()

    def text(value: str) -> bytes:
        raw = value.encode("latin-1") + b"\0"
        return raw + b"\0" * (len(raw) % 2)

    info = (
        _chunk("ifil", struct.pack("<HH", 3, 1))
        + _chunk("isng", text("E-mu 10K1"))
        + _chunk("INAM", text("melodygen (cut of FluidR3 GM)"))
        + _chunk("ICOP", text("Frank Wen 2000-2002, 2008; Toby Smithe 2008. MIT licence"))
        + _chunk("ISFT", text("melodygen scripts/make_soundfont.py"))
    )
    pdta = b"".join(
        _chunk(name, bytes(data))
        for name, data in (
            ("phdr", phdr),
            ("pbag", pbag),
            ("pmod", pmod),
            ("pgen", pgen),
            ("inst", inst),
            ("ibag", ibag),
            ("imod", imod),
            ("igen", igen),
            ("shdr", b"".join(shdr)),
        )
    )
    riff = b"sfbk" + _list("INFO", info) + _list("sdta", _chunk("smpl", bytes(body))) + _list("pdta", pdta)
    temporary = target.with_name(target.name + ".part")
    temporary.write_bytes(_chunk("RIFF", riff))
    temporary.replace(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    arguments.target.parent.mkdir(parents=True, exist_ok=True)
    make_soundfont(arguments.source, arguments.target)


if __name__ == "__main__":
    main()
