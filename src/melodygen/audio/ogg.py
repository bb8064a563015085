"""Ogg pages: the serial number of a stream, which encoders draw at random, set to a chosen one.

Each page carries the serial and a checksum over itself, so both are written anew. The checksum is CRC-32 with Ogg's bit
order (polynomial 0x04C11DB7, nothing inverted, most significant bit first); zlib computes the mirrored one, so it is
given mirrored bytes.

Source: RFC 3533, section 6.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from melodygen.errors import AudioError

SERIAL = 0x6D656C6F
"""Of every stream that melodygen writes."""
_HEADER = 27
_MIRROR = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def set_serial(path: Path, serial: int = SERIAL) -> None:
    """Give the only stream of an Ogg file this serial number. Raises AudioError for what is not whole Ogg pages."""
    data = bytearray(path.read_bytes())
    at = 0
    while at < len(data):
        if data[at : at + 4] != b"OggS" or at + _HEADER > len(data):
            raise AudioError(f"{path.name}: no Ogg page at byte {at}")
        segments = data[at + 26]
        size = _HEADER + segments + sum(data[at + _HEADER : at + _HEADER + segments])
        struct.pack_into("<I", data, at + 14, serial)
        struct.pack_into("<I", data, at + 22, 0)
        struct.pack_into("<I", data, at + 22, page_checksum(bytes(data[at : at + size])))
        at += size
    path.write_bytes(data)


def page_checksum(page: bytes) -> int:
    """The checksum of a page whose checksum field is zero."""
    mirrored = zlib.crc32(page.translate(_MIRROR), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


__all__ = ["SERIAL", "page_checksum", "set_serial"]
