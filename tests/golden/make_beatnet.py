"""Makes beatnet.json: what the published BeatNet says of two made-up sounds, by madmom and torch.

    python -m venv published && published/bin/pip install "numpy<1.24" scipy mido "cython<3" torch
    published/bin/pip install --no-build-isolation madmom==0.16.1
    pip download --no-deps BeatNet==1.1.3 && unzip BeatNet-1.1.3-py3-none-any.whl -d beatnet
    PYTHONPATH=beatnet/BeatNet published/bin/python tests/golden/make_beatnet.py

Nothing of melodygen is imported: the spectrogram is madmom's, the net and its weights are those of the published
package. Its other modules are passed by, because they open a microphone.
"""

import json
from pathlib import Path

import model
import numpy as np
import torch
from madmom.audio.signal import FramedSignalProcessor, SignalProcessor
from madmom.audio.spectrogram import (
    FilteredSpectrogramProcessor,
    LogarithmicSpectrogramProcessor,
    SpectrogramDifferenceProcessor,
)
from madmom.audio.stft import ShortTimeFourierTransformProcessor
from madmom.processors import SequentialProcessor

RATE = 22_050
MODELS = (1, 2, 3)


def sounds() -> np.ndarray:
    """(2, 88200): four seconds of chords with a pulse of three, and of a loud sweep over noise bursts."""
    t = np.arange(4 * RATE) / RATE
    noise = np.random.default_rng(5).standard_normal((2, t.size))
    chord = sum(np.sin(2 * np.pi * f * t) for f in (110.0, 261.6, 329.6, 392.0)) * np.exp(-(t % 1.2) * 4)
    tick = noise[0] * np.exp(-(t % 0.4) * 60)
    sweep = np.sign(np.sin(2 * np.pi * (100 * t + 300 * t**2)))
    return np.stack([0.1 * chord + 0.2 * tick, 0.3 * sweep + noise[1] * np.exp(-(t % 0.5) * 30)]).astype(
        np.float32
    )


def front_end() -> SequentialProcessor:
    """As log_spect.py of the package has it."""
    return SequentialProcessor((
        SignalProcessor(num_channels=1, win_length=1411, sample_rate=RATE),
        FramedSignalProcessor(frame_size=1411, hop_size=441),
        ShortTimeFourierTransformProcessor(),
        FilteredSpectrogramProcessor(num_bands=24, fmin=30, fmax=17000, norm_filters=True),
        LogarithmicSpectrogramProcessor(mul=1, add=1),
        SpectrogramDifferenceProcessor(diff_ratio=0.5, positive_diffs=True, stack_diffs=np.hstack),
    ))  # fmt: skip


def main() -> None:
    levels = [np.asarray(front_end()(y)) for y in sounds()]
    found = {
        "shape": list(levels[0].shape),
        "level_mean": [float(level.mean(dtype=np.float64)) for level in levels],
        "level_corner": [level[::40, ::19].round(5).tolist() for level in levels],
    }
    folder = Path(model.__file__).parent / "models"
    for number in MODELS:
        said = []
        for level in levels:
            net = model.BDA(272, 150, 2, "cpu")
            net.load_state_dict(torch.load(folder / f"model_{number}_weights.pt"), strict=False)
            net.eval()
            with torch.no_grad():
                said.append(net.final_pred(net(torch.tensor(level.tolist())[None])[0]).numpy()[:2].T)
        found[f"model_{number}"] = [a[::5].round(6).tolist() for a in said]
    Path(__file__).with_name("beatnet.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
