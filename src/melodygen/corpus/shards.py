"""A corpus as memory-mapped arrays: tokens of every (bar, role) once, so that an example is slices put together.

Layout of a shard folder (numpy ``.npy`` files, opened with ``mmap_mode='r'``)
    tokens         int16 (num_tokens,)               segment tokens, one after another
    starts         int64 (num_bars, num_roles)       where a segment begins in ``tokens``
    lengths        int32 (num_bars, num_roles)       0 where the role is silent
    notes          int16 (num_bars, num_roles)       notes in the segment (0 for the chord line)
    meters         int8  (num_bars,)                 index into METERS
    pitch_classes  float32 (num_bars, 12)            duration-weighted, for the key of a window
    chords         int16 (num_bars, 4, 3)            chord changes (position, root, quality); -2 where none
    pieces.json    per piece: path, style, source, split, kind, title, first bar, number of bars, qpm, roles, sha
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.tokens.codec import encode_chords, encode_segment
from melodygen.tokens.grid import PITCHED_ROLES, Piece
from melodygen.tokens.vocabulary import DURATIONS, METERS, SEGMENT_ROLES, VOCABULARY

_ARRAYS = ("tokens", "starts", "lengths", "notes", "meters", "pitch_classes", "chords")
CHORDS_A_BAR = 4


@dataclass(frozen=True)
class PieceInfo:
    path: str
    style: str
    source: str
    split: str
    kind: str
    title: str
    first_bar: int
    num_bars: int
    qpm: float
    sha: str
    block_chords: bool
    """The chords track only realises the symbols as held blocks."""


@dataclass(frozen=True)
class Shards:
    """Arrays (see the module) and the pieces in them."""

    arrays: dict[str, NDArray[np.generic]]
    pieces: tuple[PieceInfo, ...]

    @property
    def num_tokens(self) -> int:
        return len(self.arrays["tokens"])


def build_shards(pieces: Iterable[tuple[Piece, PieceInfo]]) -> Shards:
    """Encode pieces; ``first_bar`` of the given infos is filled in here."""
    tokens: list[NDArray[np.int16]] = []
    starts, lengths, notes, meters, classes, chords = [], [], [], [], [], []
    infos: list[PieceInfo] = []
    at = bar_index = 0
    for piece, info in pieces:
        infos.append(PieceInfo(**{**asdict(info), "first_bar": bar_index, "num_bars": len(piece.bars)}))
        flat: list[int] = []
        for bar in piece.bars:
            row_start, row_length, row_notes = [], [], []
            for role in SEGMENT_ROLES:
                part = bar.parts.get(role, ())
                ids = encode_chords(bar.chords) if role == "chordline" else encode_segment(role, part)
                row_start.append(at + len(flat))
                row_length.append(len(ids))
                row_notes.append(len(part))
                flat += ids
            starts.append(row_start)
            lengths.append(row_length)
            notes.append(row_notes)
            meters.append(METERS.index(bar.meter))
            weights = [0.0] * 12
            for role in PITCHED_ROLES:
                for _, _, duration, pitch in bar.parts.get(role, ()):
                    weights[pitch % 12] += min(DURATIONS[duration], 24)
            classes.append(weights)
            changes = [*bar.chords[:CHORDS_A_BAR]]
            chords.append(changes + [(-2, -2, -2)] * (CHORDS_A_BAR - len(changes)))
        tokens.append(np.array(flat, dtype=np.int16))
        at += len(flat)
        bar_index += len(piece.bars)
    width = len(SEGMENT_ROLES)
    return Shards(
        {
            "tokens": np.concatenate(tokens) if tokens else np.zeros(0, np.int16),
            "starts": np.array(starts, dtype=np.int64).reshape(-1, width),
            "lengths": np.array(lengths, dtype=np.int32).reshape(-1, width),
            "notes": np.array(notes, dtype=np.int16).reshape(-1, width),
            "meters": np.array(meters, dtype=np.int8),
            "pitch_classes": np.array(classes, dtype=np.float32).reshape(-1, 12),
            "chords": np.array(chords, dtype=np.int16).reshape(-1, CHORDS_A_BAR, 3),
        },
        tuple(infos),
    )


def save_shards(folder: Path, shards: Shards) -> None:
    """Write into ``folder``; ``pieces.json`` comes last, so that a folder without it is not a shard."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pieces.json").unlink(missing_ok=True)
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", shards.arrays[name])
    record = {"vocabulary_id": VOCABULARY.vocabulary_id, "pieces": [asdict(p) for p in shards.pieces]}
    temporary = folder / "pieces.json.tmp"
    temporary.write_text(json.dumps(record))
    temporary.replace(folder / "pieces.json")


def load_shards(folder: Path) -> Shards:
    """Open memory-mapped. Raises CorpusError when the folder is no shard or of another vocabulary."""
    from melodygen.errors import CorpusError

    try:
        record = json.loads((folder / "pieces.json").read_text())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    except (OSError, ValueError) as error:
        raise CorpusError(f"{folder} holds no token shards ({error})") from error
    if record["vocabulary_id"] != VOCABULARY.vocabulary_id:
        raise CorpusError(f"{folder}: shards of vocabulary {record['vocabulary_id']}; build them again")
    return Shards(arrays, tuple(PieceInfo(**p) for p in record["pieces"]))
