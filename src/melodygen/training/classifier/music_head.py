"""Teach a style CNN to say "not music": a logistic head on its embedding, kept in its checkpoint's config.

Music is distorted mixes of stored views and, where they are given, recordings. Not music is synthesised noises, tones
and clicks (``melodygen.audio.synthetic``) and, where a folder of speech is given, utterances strung together. Human
speech under a free licence is in Debian's asterisk-core-sounds-{en,es,fr,it,ru}-wav (CC BY-SA 3.0, ru CC BY 3.0), music
in asterisk-moh-opsound-wav (CC BY-SA 3.0). The voices in ``HELD_BACK`` are left out of training, for tests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.audio.decode import read_mono
from melodygen.audio.features import Features, FrontEndConfig, log_levels, mel_power, mono_features
from melodygen.audio.synthetic import NOISES, levelled, make_noise, make_speech
from melodygen.classification.cnn import CnnClassifier
from melodygen.errors import AudioError
from melodygen.nets.checkpoint import CONFIG
from melodygen.training.classifier.trainer import Mixer, distorted
from melodygen.training.classifier.view_store import Store

VOICE_STREAM = 3
"""Random stream of speech that is laid over music."""
HELD_BACK = ("it_IT_m_Carlo", "ru_RU_f_IvrvoiceRU")
"""Voices that are never learned from."""


@dataclass(frozen=True)
class MusicHeadRecipe:
    """How the head is fitted.

    Attributes:
        noise_windows: windows of each kind of noise.
        speech_windows: windows of speech.
        music_windows: windows of mixed views.
        false_alarms: share of the music windows that may be taken for something else; it sets the bias.
        regularisation: scikit-learn's ``C`` of the logistic regression: small values keep the weights small.
        seed: of all draws.
    """

    noise_windows: int = 60
    speech_windows: int = 700
    music_windows: int = 2200
    false_alarms: float = field(default=0.004, metadata={"low": 0.0, "high": 0.5})
    regularisation: float = field(default=0.02, metadata={"low": 1e-6, "high": 1e6})
    seed: int = 1

    def tiny(self) -> MusicHeadRecipe:
        """Two windows of everything."""
        return replace(self, noise_windows=1, speech_windows=2, music_windows=4)


def utterances(folder: Path, sample_rate: int) -> dict[str, list[Features]]:
    """Speech below ``folder``: for each voice its utterances of half a second and more, mono at ``sample_rate``."""
    voices: dict[str, list[Features]] = {}
    for path in sorted(folder.rglob("*.wav")):
        voice = next((p for p in path.parts if p[2:3] == "_" and p[5:6] == "_"), path.parent.name)
        if "silence" in path.parts or "moh" in path.parts:
            continue
        try:
            mono = read_mono(path, sample_rate)
        except AudioError:
            continue
        if len(mono) > sample_rate // 2 and float(mono.std()) > 1e-3:
            voices.setdefault(voice, []).append(levelled(mono))
    return voices


def learned_voices(folder: Path, sample_rate: int) -> list[list[Features]]:
    """The utterances of each voice that may be learned from."""
    found = utterances(folder, sample_rate)
    return [voice for name, voice in sorted(found.items()) if name not in HELD_BACK]


def powers(sounds: Sequence[Features], config: FrontEndConfig) -> Features:
    """Mel power (N, F, T) of sounds of a window's length each."""
    return np.stack([mel_power(s[: config.num_samples], config) for s in sounds])


def speech_over_music(folder: Path, config: FrontEndConfig, count: int = 400) -> Features | None:
    """Mel power (N, F, T) of speech to lay over music; None where the folder holds none to learn from."""
    rng, voices = np.random.default_rng(VOICE_STREAM), learned_voices(folder, config.sample_rate)
    if not voices:
        return None
    seconds = config.num_samples / config.sample_rate
    made = [make_speech(voices[i % len(voices)], rng, seconds, config.sample_rate) for i in range(count)]
    return powers(made, config)


def fit_logistic(
    music: Features, other: Features, recipe: MusicHeadRecipe
) -> tuple[NDArray[np.float64], float]:
    """Weights (D,) and bias on raw embeddings (N, D); the bias lets all but ``false_alarms`` of the music through."""
    from sklearn.linear_model import LogisticRegression

    rows = np.concatenate((music, other)).astype(np.float64)
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    target = np.repeat((1, 0), (len(music), len(other)))
    model = LogisticRegression(C=recipe.regularisation, class_weight="balanced", max_iter=2000)
    model.fit((rows - mean) / spread, target)
    weights = model.coef_[0] / spread
    bias = float(model.intercept_[0] - (weights * mean).sum())
    lowest = float(np.quantile(music @ weights + bias, recipe.false_alarms))
    return weights, bias - min(lowest, 0.0)


def not_music(
    config: FrontEndConfig, speech: Path | None, recipe: MusicHeadRecipe, rng: np.random.Generator
) -> Features:
    """Levels (N, F, T) of noises and speech, half of them distorted as music is.

    The same rooms, wires and noise must not tell the two apart. The other half is plain: under noise a tone is no tone.
    """
    rate, seconds = config.sample_rate, config.window_seconds
    sounds = [make_noise(k, rng, seconds, rate) for k in NOISES for _ in range(recipe.noise_windows)]
    voices = [] if speech is None else learned_voices(speech, rate)
    if voices:
        spoken = range(recipe.speech_windows)
        sounds += [make_speech(voices[i % len(voices)], rng, seconds, rate) for i in spoken]
    power = powers(sounds, config)
    half = rng.random(len(power)) < 0.5
    half[:2] = (False, True)
    return np.concatenate((log_levels(power[~half], config), distorted(power[half], rng, config, 0.6)))


def mixed_views(
    store: Store, config: FrontEndConfig, count: int, rng: np.random.Generator, rows: int = 50
) -> Features:
    """Levels (about ``count``, F, T) of mixes of stored views, two thirds of them distorted."""
    labels = sorted({e.style for e in store.entries})
    mixer, rows = Mixer(store, labels, config, store.entries), min(rows, count)
    return np.concatenate(
        [mixer.draw(rng, rows, 1.0 if i % 3 else 0.0)[0] for i in range(max(1, count // rows))]
    )


def recorded(folder: Path, config: FrontEndConfig) -> list[Features]:
    """Levels (N, F, T) of each WAV file below ``folder`` that lies in a folder called ``moh`` (music on hold)."""
    paths = [p for p in sorted(folder.rglob("*.wav")) if "moh" in p.parts]
    return [mono_features(read_mono(p, config.sample_rate, 600), config) for p in paths]


def fit_music_head(
    checkpoint: Path,
    store: Store,
    recipe: MusicHeadRecipe,
    speech: Path | None = None,
    music: Path | None = None,
) -> dict[str, Any]:
    """Fit the head of a checkpoint and write it into its config.

    Args:
        checkpoint: folder of a style CNN.
        store: rendered views, the music.
        recipe: how many windows of what.
        speech: a folder of utterances; None: the head knows no speech.
        music: a folder of recordings; None: the head knows renders alone.

    Returns:
        What was used, and the share of fresh views that are taken for music.
    """
    rng = np.random.default_rng(recipe.seed)
    classifier = CnnClassifier.from_folder(checkpoint)
    config = classifier.front_end
    negatives = classifier.outputs(not_music(config, speech, recipe, rng))[0]
    positives = [classifier.outputs(mixed_views(store, config, recipe.music_windows, rng))[0]]
    recordings = [] if music is None else recorded(music, config)
    positives += [classifier.outputs(levels)[0] for levels in recordings]
    weights, bias = fit_logistic(np.concatenate(positives), negatives, recipe)
    fresh = mixed_views(
        store, config, max(4, recipe.music_windows // 5), np.random.default_rng(recipe.seed + 1000)
    )
    config_path = checkpoint / CONFIG
    record = json.loads(config_path.read_text(encoding="utf-8"))
    record["music_head"] = {"bias": round(bias, 6), "weights": [float(f"{w:.5g}") for w in weights]}
    with atomic_path(config_path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    taken = (classifier.outputs(fresh)[0] @ weights + bias) > 0
    return {
        "not_music_windows": len(negatives), "music_windows": sum(map(len, positives)),
        "speech": speech is not None, "recordings": len(recordings),
        "fresh_views_taken_for_music": round(float(taken.mean()), 4),
    }  # fmt: skip
