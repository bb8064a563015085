"""Convert two published checkpoints of BeatNet into models/beatnet, without madmom.

    pip download --no-deps BeatNet==1.1.3 && python recipes/convert_beatnet.py BeatNet-1.1.3-py3-none-any.whl

The wheel (CC BY 4.0, Mojtaba Heydari) holds three nets; each left out one collection while it learned. The mean of the
second and the third finds as many beats as the mean of all three, and more than any one.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import torch
from published import run, save_published

from melodygen.analysis.beats import DEFAULT_TRACKER, tracker_nets

MODELS = {2: "without Ballroom", 3: "without the Rock Corpus"}
MODULES = {"conv1": "convolution", "linear0": "dense", "lstm": "recurrent", "linear": "head"}
CARD = """# beatnet

BeatNet, a tracker of beats and downbeats by Mojtaba Heydari, Frank Cwitkowitz and Zhiyao Duan, converted from the
package `BeatNet` 1.1.3 by `recipes/convert_beatnet.py`. **Changed**: two of its three nets are taken, rounded to
float16; their spectrogram is melodygen's own (`melodygen.audio.beat_spectrum`), and so is what makes beats of their
activations (`melodygen.analysis.beats`). `melodygen classify`, `analyze` and the library find beats with it.

- Two nets of {parameters:,} parameters: one convolution over bands, two LSTM layers over time, three outputs every
  20 ms.
- Learned by their authors from collections of recordings with annotated beats, among them GTZAN, Ballroom and the Rock
  Corpus: the package calls one of these nets "Ballroom out" and the other "Rock Corpus out". The paper says more.
- Input: 22.05 kHz mono, 24 bands an octave and their rises.
- Paper: Heydari, Cwitkowitz & Duan, *BeatNet: CRNN and Particle Filtering for Online Joint Beat, Downbeat and Meter
  Tracking*, ISMIR 2021, arXiv:2108.03576.

What it is bad at: which of two tempi an octave apart is meant, music with a free pulse (rubato, chorales), and bars
of other than three or four beats. How good it is, measured: [docs/hearing.md](../../docs/hearing.md).

## Licence

Creative Commons Attribution 4.0 International (`LICENSE`), https://creativecommons.org/licenses/by/4.0/. Source:
https://github.com/mjhydri/BeatNet. The authors do not endorse melodygen.
"""


def convert(wheel: Path, out: Path) -> None:
    nets, hashes = tracker_nets(), {}
    with zipfile.ZipFile(wheel) as archive:
        licence = archive.read("BeatNet-1.1.3.dist-info/LICENSE").decode()
        for net, number in zip(nets, MODELS, strict=True):
            data = archive.read(f"BeatNet/models/model_{number}_weights.pt")
            hashes[str(number)] = hashlib.sha256(data).hexdigest()
            tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            state = {}
            for name, tensor in tensors.items():
                module, _, rest = name.partition(".")
                state[f"{MODULES[module]}.{rest}"] = tensor
            net.load_state_dict(state)
    config = {
        "kind": "beats",
        "name": DEFAULT_TRACKER,
        "summary": "finds beats and downbeats (BeatNet by Heydari et al., CC BY 4.0)",
        "net": {"type": "beatnet", "nets": list(MODELS.values())},
        "licence": "CC-BY-4.0",
        "provenance": {
            "source": "BeatNet 1.1.3, the wheel on PyPI",
            "repository": "https://github.com/mjhydri/BeatNet",
            "paper": "arXiv:2108.03576",
            "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "data_sha256": hashes,
            "made_by": "recipes/convert_beatnet.py",
        },
    }
    parameters = sum(p.numel() for p in nets[0].parameters())
    save_published(out / DEFAULT_TRACKER, nets, config, CARD.format(parameters=parameters), licence)


if __name__ == "__main__":
    run(convert, __doc__)
