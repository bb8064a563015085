"""Convert the published checkpoints of musicnn into models/musicnn, without TensorFlow.

    pip download --no-deps musicnn==0.1.0 && python recipes/convert_musicnn.py musicnn-0.1.0-py3-none-any.whl

The wheel (ISC licence, Music Technology Group, Universitat Pompeu Fabra) holds TensorFlow 1 checkpoints as "tensor
bundles": ``.index`` is a sorted string table as in LevelDB, whose values are protocol buffers that say type, shape,
offset and CRC of each tensor in ``.data-00000-of-00001``. Both formats are simple enough to be read here.
"""

from __future__ import annotations

import ast
import hashlib
import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from published import run, save_published

from melodygen.classification.tagger import tagger_nets

NAME = "musicnn"
TABLE_MAGIC = 0xDB4775248B80FB57
FLOAT = 1
EPSILON = 1e-3
"""TensorFlow's default for batch norm."""
SOURCES = {
    "MSD": "the Million Song Dataset (about 200,000 songs) with the 50 most frequent tags of Last.fm's listeners",
    "MTT": "MagnaTagATune (about 19,000 clips) with its 50 most frequent tags",
}
Tensors = dict[str, NDArray[np.float32]]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def table_block(data: bytes, handle: bytes) -> Iterator[tuple[str, bytes]]:
    """Keys and values of a block; each key shares a beginning with the one before it."""
    offset, at = varint(handle, 0)
    size, _ = varint(handle, at)
    if data[offset + size] != 0:
        raise ValueError("a block of the index is compressed; TensorFlow writes none such")
    block = data[offset : offset + size]
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]  # behind the entries: where keys are whole
    key, at = b"", 0
    while at < end:
        shared, at = varint(block, at)
        rest, at = varint(block, at)
        length, at = varint(block, at)
        key = key[:shared] + block[at : at + rest]
        at += rest
        yield key.decode(), block[at : at + length]
        at += length


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a protocol buffer's fields: int, or bytes."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        if tag & 7 == 0:
            value, at = varint(message, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            size, at = varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size
        elif tag & 7 == 5:
            yield tag >> 3, struct.unpack("<I", message[at : at + 4])[0]
            at += 4
        else:
            raise ValueError(f"a field of wire type {tag & 7} was not expected")


def crc32c_masked(data: bytes) -> int:
    """Castagnoli's CRC as TensorFlow stores it."""
    table = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def read_bundle(index: bytes, data: bytes) -> Tensors:
    """Float tensors by name; the optimiser's are passed over. Raises ValueError for what does not fit its CRC."""
    if struct.unpack("<Q", index[-8:])[0] != TABLE_MAGIC:
        raise ValueError("the index is no sorted string table")
    at = 0
    for _ in range(2):  # the block of meta data
        _, at = varint(index[-48:], at)
    tensors: Tensors = {}
    for _, handle in table_block(index, index[-48 + at :]):
        for name, entry in table_block(index, handle):
            if not name or "Adam" in name or name.endswith("_power"):
                continue
            held = dict(fields(entry))
            shape = [dict(fields(dim)).get(1, 0) for number, dim in fields(held.get(2, b"")) if number == 2]
            offset, size = held.get(4, 0), held[5]
            raw = data[offset : offset + size]
            if held[1] != FLOAT or crc32c_masked(raw) != held[6]:
                raise ValueError(f"{name} is not float32, or does not fit its checksum")
            tensors[name] = np.frombuffer(raw, "<f4").reshape(shape)
    return tensors


def affine(tensors: Tensors, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and shift of a batch norm."""
    name = "batch_normalization" + (f"_{number}" if number else "")
    gamma, beta, mean, variance = (
        tensors[f"{name}/{part}"].astype(np.float64)
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    return scale, beta - mean * scale


def state_of(tensors: Tensors) -> dict[str, torch.Tensor]:
    """The state of ``nets.musicnn.Musicnn``."""
    state: dict[str, NDArray[Any]] = {}
    state["entry.scale"], state["entry.shift"] = affine(tensors, 0)
    for number in range(5):  # two timbral, three temporal: their maximum comes before ReLU and norm
        layer = f"timbral.{number}" if number < 2 else f"temporal.{number - 2}"
        scale, shift = affine(tensors, number + 1)
        sign = np.where(scale < 0, -1.0, 1.0)
        suffix = f"_{number}" if number else ""
        kernel = tensors[f"conv2d{suffix}/kernel"] * sign  # (frames, bands, 1, channels)
        order = (3, 0, 2, 1) if number < 2 else (3, 2, 0, 1)
        state[f"{layer}.convolution.weight"] = kernel.transpose(order)
        state[f"{layer}.convolution.bias"] = tensors[f"conv2d{suffix}/bias"] * sign
        state[f"{layer}.norm.scale"], state[f"{layer}.norm.shift"] = scale, shift
    for number in range(3):
        layer = f"middle.{number}"
        kernel = tensors[f"conv2d_{number + 5}/kernel"][:, :, 0]  # (frames, channels in, channels out)
        state[f"{layer}.convolution.weight"] = kernel.transpose(2, 1, 0)
        state[f"{layer}.convolution.bias"] = tensors[f"conv2d_{number + 5}/bias"]
        state[f"{layer}.norm.scale"], state[f"{layer}.norm.shift"] = affine(tensors, number + 6)
    state["pool_norm.scale"], state["pool_norm.shift"] = affine(tensors, 9)
    state["dense_norm.scale"], state["dense_norm.shift"] = affine(tensors, 10)
    for ours, theirs in (("dense", "dense"), ("head", "dense_1")):
        state[f"{ours}.weight"] = tensors[f"{theirs}/kernel"].T
        state[f"{ours}.bias"] = tensors[f"{theirs}/bias"]
    return {name: torch.from_numpy(np.array(a, dtype=np.float32, order="C")) for name, a in state.items()}


def labels_of(source: str, dataset: str) -> list[str]:
    """The tags, from the package's ``configuration.py``, which is read and not run."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == f"{dataset}_LABELS":
            return [str(label) for label in ast.literal_eval(statement.value)]
    raise ValueError(f"configuration.py has no {dataset}_LABELS")


def card_of(licence: str, num_parameters: int) -> str:
    trained = "\n".join(f"  - `{dataset.lower()}`: {source}" for dataset, source in SOURCES.items())
    return f"""# {NAME}

musicnn, taggers of recordings by Jordi Pons and Xavier Serra, converted from the package `musicnn` 0.1.0 by
`recipes/convert_musicnn.py` without change but for rounding to float16. `melodygen classify` hears recordings with it.

- Two nets of {num_parameters:,} parameters with 50 tags each and an embedding of 200 numbers (the layer called
  `penultimate` there), trained by their authors on
{trained}
- Input: three seconds (187 frames) of log-mel at 16 kHz, 96 bands (`melodygen.audio.musicnn_mel`).
- Paper: Pons & Serra, *musicnn: Pre-trained convolutional neural networks for music audio tagging*, 2019,
  arXiv:1909.06654.

The tags are what listeners or players of a game wrote, mostly about popular music of the West. A tag's value is not a
probability that is calibrated on your music. What it is good for, measured: [docs/hearing.md](../../docs/hearing.md).

## Licence (ISC)

{licence.strip()}
"""


def convert(wheel: Path, out: Path) -> None:
    nets, tags, hashes = tagger_nets(), {}, {}
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read("musicnn/configuration.py").decode()
        licence = archive.read("musicnn-0.1.0.dist-info/LICENSE.md").decode()
        for dataset in SOURCES:
            index = archive.read(f"musicnn/{dataset}_musicnn/.index")
            data = archive.read(f"musicnn/{dataset}_musicnn/.data-00000-of-00001")
            nets[dataset.lower()].load_state_dict(state_of(read_bundle(index, data)))
            tags[dataset.lower()] = labels_of(source, dataset)
            hashes[dataset.lower()] = hashlib.sha256(data).hexdigest()
    config = {
        "kind": "classifier",
        "name": NAME,
        "summary": "tags recordings (musicnn by Pons & Serra, ISC licence)",
        "net": {"type": "musicnn"},
        "tags": tags,
        "licence": "ISC",
        "licence_text": licence.strip(),
        "provenance": {
            "source": "musicnn 0.1.0, the wheel on PyPI",
            "repository": "https://github.com/jordipons/musicnn",
            "paper": "arXiv:1909.06654",
            "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "data_sha256": hashes,
            "made_by": "recipes/convert_musicnn.py",
        },
    }
    parameters = sum(p.numel() for p in nets["msd"].parameters())
    held = out / NAME / "config.json"
    if held.is_file() and "music_head" in (before := json.loads(held.read_text(encoding="utf-8"))):
        config["music_head"] = before["music_head"]  # of recipes/fit_music_head.py
    save_published(out / NAME, nets, config, card_of(licence, parameters), licence)


if __name__ == "__main__":
    run(convert, __doc__)
