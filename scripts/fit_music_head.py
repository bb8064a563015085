"""Teach a style CNN's checkpoint to say "not music": a logistic head on its embedding, written into its config.json.

    python scripts/fit_music_head.py models/style-cnn --views STORE --speech DIR --music DIR \
        --test-recordings DIR --test-foreign foreign.npz --out mh.json --page docs/classifier.md

Music: stored views (``scripts/train_classifier.py render``) and the recordings below --music. Not music: synthesised
noises, tones and clicks (``melodygen.audio.synthetic``) and utterances below --speech, strung together. Real human
speech under a free licence is in Debian's asterisk-core-sounds-{en,es,fr,it,ru}-wav (CC BY-SA 3.0, ru CC BY 3.0), music
in asterisk-moh-opsound-wav (CC BY-SA 3.0): unpack them with ``dpkg-deb -x``. The Italian (a man) and the Russian voice
are kept back for the test. ``--fit-recordings`` also learns from labelled clips (for style-cnn-recordings) and then
measures false alarms on them by cross-validation over artists.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.atomic import atomic_path
from melodygen.audio.decode import read_mono
from melodygen.audio.features import Features, FrontEndConfig, log_levels, mel_power, mono_features
from melodygen.audio.synthetic import NOISES, levelled, make_noise, make_speech
from melodygen.classification.cnn import CnnClassifier
from melodygen.data.views import TRAINING
from melodygen.errors import AudioError
from melodygen.evaluation.tables import markdown_table, replace_section, write_json
from melodygen.nets.checkpoint import CONFIG
from melodygen.training.classifier.trainer import Mixer, distorted
from melodygen.training.classifier.view_store import frames_in, open_store

WINDOWS_A_KIND = 60
SPEECH_WINDOWS = 700
MUSIC_WINDOWS = 2200
FALSE_ALARMS = 0.004
"""Share of the music windows it learned from that may be taken for something else: what the bias is set by."""
HELD_BACK = ("it_IT_m_Carlo", "ru_RU_f_IvrvoiceRU")
Windows = NDArray[np.float32]


def utterances(folder: Path, rate: int) -> dict[str, list[Features]]:
    """Voice -> utterances of half a second and more."""
    voices: dict[str, list[Features]] = {}
    for path in sorted(folder.rglob("*.wav")):
        part = next((p for p in path.parts if p[2:3] == "_" and p[5:6] == "_"), path.parent.name)
        if "silence" in path.parts or "moh" in path.parts:
            continue
        try:
            mono = read_mono(path, rate)
        except AudioError:
            continue
        if len(mono) > rate // 2 and float(mono.std()) > 1e-3:
            voices.setdefault(part, []).append(levelled(mono))
    return voices


def powers(sounds: list[Features], config: FrontEndConfig) -> Windows:
    """(N, F, T) of mel power."""
    return np.stack([mel_power(s[: config.num_samples], config) for s in sounds])


def view_windows(
    store: Path, config: FrontEndConfig, labels: tuple[str, ...], count: int, rng: np.random.Generator
) -> Windows:
    """Levels of distorted mixes of stored views."""
    opened = open_store(store, config.n_mels, frames_in(TRAINING.seconds, config))
    mixer = Mixer(opened, labels, config, opened.entries)
    return np.concatenate([mixer.draw(rng, 50, 1.0 if i % 3 else 0.0)[0] for i in range(count // 50)])


def recorded(folder: Path, config: FrontEndConfig) -> list[tuple[str, str, Windows]]:
    """(file, artist, levels) of the recordings of a folder, with labels.csv for the artists where it is there."""
    listed = folder / "labels.csv"
    if listed.is_file():
        with listed.open(newline="", encoding="utf-8") as stream:
            files = [(folder / r["path"], r.get("artist") or r["path"]) for r in csv.DictReader(stream)]
    else:
        files = [(p, p.stem) for p in sorted(folder.rglob("*.wav")) if "moh" in p.parts]
    return [
        (p.name, artist, mono_features(read_mono(p, config.sample_rate, 600), config)) for p, artist in files
    ]


def plain(power: Windows, config: FrontEndConfig) -> Windows:
    return log_levels(power, config)


def fit(music: Features, other: Features) -> tuple[NDArray[np.float64], float]:
    """Weights and bias on raw embeddings; the bias lets FALSE_ALARMS of the music through."""
    from sklearn.linear_model import LogisticRegression

    rows = np.concatenate((music, other)).astype(np.float64)
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    target = np.repeat((1, 0), (len(music), len(other)))
    model = LogisticRegression(C=0.02, class_weight="balanced", max_iter=2000).fit(
        (rows - mean) / spread, target
    )
    weights = model.coef_[0] / spread
    bias = float(model.intercept_[0] - (weights * mean).sum())
    lowest = float(np.quantile(music @ weights + bias, FALSE_ALARMS))
    return weights, bias - min(lowest, 0.0)


def hit_rate(
    embedded: list[Features], head: tuple[NDArray[np.float64], float], music: bool
) -> tuple[int, int]:
    """(files on the right side, files): windows of a file are averaged, as in use."""
    sides = [float((e @ head[0] + head[1]).mean()) > 0 for e in embedded]
    return sum(side == music for side in sides), len(sides)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--views", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--music", type=Path, required=True)
    parser.add_argument("--fit-recordings", type=Path)
    parser.add_argument("--test-recordings", type=Path)
    parser.add_argument("--test-foreign", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--page", type=Path, help="docs/classifier.md, whose section of the checkpoint is replaced"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    judge = CnnClassifier.from_folder(arguments.checkpoint)
    config, rate, seconds = judge.front_end, judge.front_end.sample_rate, judge.front_end.window_seconds

    def embed(levels: Windows) -> Features:
        return judge.outputs(levels)[0]

    voices = utterances(arguments.speech, rate)
    learned = [v for name, v in voices.items() if name not in HELD_BACK]
    print({name: len(v) for name, v in voices.items()}, flush=True)
    noise = powers([make_noise(k, rng, seconds, rate) for k in NOISES for _ in range(WINDOWS_A_KIND)], config)
    speech = powers(
        [make_speech(learned[i % len(learned)], rng, seconds, rate) for i in range(SPEECH_WINDOWS)], config
    )
    # Half of it through the same rooms, wires and noise as the music: those must not tell them apart.
    other = np.concatenate((noise, speech))
    half = rng.random(len(other)) < 0.5
    # ... but without noise at all a tone is no tone any more: distortion only where there is something to distort
    negatives = embed(np.concatenate((plain(other[~half], config), distorted(other[half], rng, config, 0.6))))
    known = tuple(
        sorted(
            {
                e.style
                for e in open_store(
                    arguments.views, config.n_mels, frames_in(TRAINING.seconds, config)
                ).entries
            }
        )
    )
    opsound = recorded(arguments.music, config)
    positives = [embed(view_windows(arguments.views, config, known, MUSIC_WINDOWS, rng))]
    positives += [embed(w) for _, _, w in opsound[:-1]]
    clips = recorded(arguments.fit_recordings, config) if arguments.fit_recordings else []
    clip_rows = [embed(w) for _, _, w in clips]
    figures: dict[str, Any] = {"classifier": judge.classifier_id}
    if clips:
        artists = sorted({artist for _, artist, _ in clips})
        order = {artist: i % 5 for i, artist in enumerate(rng.permutation(artists).tolist())}
        hits = 0
        for fold in range(5):
            inside = [e for e, (_, a, _) in zip(clip_rows, clips, strict=True) if order[a] != fold]
            outside = [e for e, (_, a, _) in zip(clip_rows, clips, strict=True) if order[a] == fold]
            hits += hit_rate(outside, fit(np.concatenate(positives + inside), negatives), True)[0]
        figures["clips_heard_as_music_cross_validated"] = [hits, len(clips)]
    head = fit(np.concatenate(positives + clip_rows), negatives)

    test = np.random.default_rng(arguments.seed + 1000)
    figures["last_opsound_track_heard_as_music"] = hit_rate([embed(opsound[-1][2])], head, True)
    figures["views_heard_as_music"] = hit_rate(
        list(embed(view_windows(arguments.views, config, known, 400, test))[:, None]), head, True
    )
    for name in HELD_BACK:
        if name in voices:
            sounds = [make_speech(voices[name], test, seconds, rate, vary=False) for _ in range(100)]
            figures[f"speech_told_{name}"] = hit_rate(
                list(embed(plain(powers(sounds, config), config))[:, None]), head, False
            )
            sounds = [make_speech(voices[name], test, seconds, rate) for _ in range(100)]
            figures[f"speech_varied_told_{name}"] = hit_rate(
                list(embed(plain(powers(sounds, config), config))[:, None]), head, False
            )
    for kind in NOISES:
        sounds = [make_noise(kind, test, seconds, rate) for _ in range(50)]
        figures[f"{kind}_told"] = hit_rate(
            list(embed(plain(powers(sounds, config), config))[:, None]), head, False
        )
    if arguments.test_recordings:
        found = [(n, embed(w)) for n, _, w in recorded(arguments.test_recordings, config)]
        figures["recordings_heard_as_music"] = hit_rate([e for _, e in found], head, True)
        print("taken for no music:", [n for n, e in found if (e @ head[0] + head[1]).mean() <= 0])
    if arguments.test_foreign:
        held = np.load(arguments.test_foreign)
        rows = embed(held["windows"].astype(np.float32))
        figures["foreign_renders_heard_as_music"] = hit_rate(
            [rows[held["item"] == i] for i in np.unique(held["item"])], head, True
        )
    print(json.dumps(figures, indent=1))
    config_path = arguments.checkpoint / CONFIG
    record = json.loads(config_path.read_text(encoding="utf-8"))
    record["music_head"] = {"bias": round(head[1], 6), "weights": [float(f"{w:.5g}") for w in head[0]]}
    with atomic_path(config_path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if arguments.out:
        write_json(arguments.out, figures)
    if arguments.page:
        lines = [
            (name.replace("_", " "), f"{v[0]} of {v[1]}", f"{v[0] / v[1]:.1%}")
            for name, v in figures.items()
            if name != "classifier"
        ]
        text = f"`{judge.classifier_id}`:\n\n" + markdown_table(("", "right", ""), lines)
        replace_section(arguments.page, f"music-head-{record['name']}", text)


if __name__ == "__main__":
    main()
