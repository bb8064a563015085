"""Makes musicnn.json: what the published musicnn says of three made-up sounds, by TensorFlow and librosa.

    python -m venv tf && tf/bin/pip install tensorflow-cpu tf_keras librosa
    pip download --no-deps musicnn==0.1.0 && unzip musicnn-0.1.0-py3-none-any.whl -d published
    PYTHONPATH=published TF_USE_LEGACY_KERAS=1 tf/bin/python tests/golden/make_musicnn.py

Nothing of melodygen is imported: the graph and the weights are those of the published package, the spectrogram is
librosa's. It leaves out the package's rounding of power to float16, which overflows in loud sound.
"""

import json
from pathlib import Path

import librosa
import numpy as np
import tensorflow as tf
from musicnn import configuration, models

tf.compat.v1.disable_eager_execution()
RATE = 16_000


def sounds() -> np.ndarray:
    """(3, 48128): a chord with a pulse, a loud sweep over noise, soft noise that swells."""
    t = np.arange(48_128) / RATE
    noise = np.random.default_rng(7).standard_normal((2, t.size))
    chord = sum(np.sin(2 * np.pi * f * t) for f in (110.0, 261.6, 329.6, 392.0)) * np.exp(-(t % 0.5) * 6)
    sweep = np.sign(np.sin(2 * np.pi * (100 * t + 400 * t**2)))
    return np.stack(
        [0.2 * chord, 0.5 * sweep + 0.2 * noise[0], 0.02 * noise[1] * (1 + np.sin(2 * np.pi * t))]
    ).astype(np.float32)


def main() -> None:
    mel = np.stack(
        [
            librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=512, hop_length=256, n_mels=96, center=False).T
            for y in sounds()
        ]
    )
    level = np.log10(10_000 * mel + 1)
    found = {
        "mel_mean": level.mean(axis=(1, 2)).tolist(),
        "mel_corner": level[:, ::60, ::19].round(5).tolist(),
    }
    root = Path(models.__file__).parent
    for name in ("MSD_musicnn", "MTT_musicnn"):
        tf.compat.v1.reset_default_graph()
        with tf.name_scope("model"):
            x = tf.compat.v1.placeholder(tf.float32, [None, level.shape[1], 96])
            training = tf.compat.v1.placeholder(tf.bool)
            y, *_, penultimate = models.define_model(x, training, name, len(configuration.MSD_LABELS))
        with tf.compat.v1.Session() as session:
            tf.compat.v1.train.Saver().restore(session, f"{root}/{name}/")
            tags, inner = session.run([tf.nn.sigmoid(y), penultimate], {x: level, training: False})
        found[name] = {"tags": tags.round(6).tolist(), "embedding": inner.round(5).tolist()}
    Path(__file__).with_name("musicnn.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
