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
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.tokens.columns import Columns, encode
from melodygen.tokens.grid import Piece, piece_to_columns
from melodygen.tokens.vocabulary import VOCABULARY

_ARRAYS = ("tokens", "starts", "lengths", "notes", "meters", "pitch_classes", "chords")
CHORDS_A_BAR = 4


@dataclass(frozen=True)
class PieceInfo:
    """A piece in the shards: where it is from, split and kind, first bar and number of bars, tempo in qpm."""

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
        """Tokens of all segments."""
        return len(self.arrays["tokens"])


def encode_columns(table: Columns) -> dict[str, NDArray[np.generic]]:
    """The rows of one piece; ``starts`` count from its own first token."""
    tokens, lengths, notes = encode(table)
    ends = np.cumsum(lengths, dtype=np.int64).reshape(lengths.shape)
    chords = np.full((table.num_bars, CHORDS_A_BAR, 3), -2, dtype=np.int16)
    bars = table.chords[:, 0]
    place = np.arange(len(bars)) - np.searchsorted(bars, bars)
    kept = place < CHORDS_A_BAR
    chords[bars[kept], place[kept]] = table.chords[kept, 1:]
    return {
        "tokens": tokens, "starts": ends - lengths, "lengths": lengths, "notes": notes,
        "meters": table.meters.astype(np.int8), "pitch_classes": table.pitch_classes.astype(np.float32),
        "chords": chords,
    }  # fmt: skip


def encode_piece(piece: Piece) -> dict[str, NDArray[np.generic]]:
    """As ``encode_columns``."""
    return encode_columns(piece_to_columns(piece))


def build_shards(pieces: Iterable[tuple[Piece, PieceInfo]]) -> Shards:
    """Encode pieces in memory; ``first_bar`` of the given infos is filled in here."""
    parts: list[dict[str, NDArray[np.generic]]] = [encode_piece(Piece((), 120.0))]
    infos: list[PieceInfo] = []
    tokens = bars = 0
    for piece, info in pieces:
        encoded = encode_piece(piece)
        infos.append(replace(info, first_bar=bars, num_bars=len(piece.bars)))
        parts.append({**encoded, "starts": np.asarray(encoded["starts"], dtype=np.int64) + tokens})
        tokens += len(encoded["tokens"])
        bars += len(piece.bars)
    return Shards({name: np.concatenate([p[name] for p in parts]) for name in _ARRAYS}, tuple(infos))


class ShardWriter:
    """Writes a shard folder piece by piece, so that memory does not grow with the corpus. ``close`` makes it whole."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pieces.json").unlink(missing_ok=True)
        self._folder = folder
        self._empty = encode_piece(Piece((), 120.0))
        self._files = {name: (folder / f"{name}.npy").open("wb") for name in _ARRAYS}
        self._rows = dict.fromkeys(_ARRAYS, 0)
        self.pieces: list[PieceInfo] = []
        for name in _ARRAYS:
            self._write_header(name)

    def _write_header(self, name: str) -> None:
        # numpy pads the header so that the first axis can grow in place
        stream, empty = self._files[name], self._empty[name]
        stream.seek(0)
        header = np.lib.format.header_data_from_array_1_0(empty)
        np.lib.format.write_array_header_1_0(
            stream, {**header, "shape": (self._rows[name], *empty.shape[1:])}
        )

    def add(self, encoded: dict[str, NDArray[np.generic]], info: PieceInfo) -> None:
        """Append what ``encode_piece`` made."""
        bars = len(encoded["meters"])
        self.pieces.append(replace(info, first_bar=self._rows["meters"], num_bars=bars))
        shifted = {**encoded, "starts": np.asarray(encoded["starts"], dtype=np.int64) + self._rows["tokens"]}
        for name, stream in self._files.items():
            stream.write(np.ascontiguousarray(shifted[name]).tobytes())
            self._rows[name] += len(shifted[name])

    def close(self, pieces: Sequence[PieceInfo] | None = None) -> None:
        """``pieces``: the infos to write in place of those given (other splits, same order)."""
        for name, stream in self._files.items():
            self._write_header(name)
            stream.close()
        _write_pieces(self._folder, self.pieces if pieces is None else pieces)


def save_shards(folder: Path, shards: Shards) -> None:
    """Write into ``folder``; ``pieces.json`` comes last, so that a folder without it is not a shard."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pieces.json").unlink(missing_ok=True)
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", shards.arrays[name])
    _write_pieces(folder, shards.pieces)


def _write_pieces(folder: Path, pieces: Sequence[PieceInfo]) -> None:
    record = {"vocabulary_id": VOCABULARY.vocabulary_id, "pieces": [asdict(p) for p in pieces]}
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
