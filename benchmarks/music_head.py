"""Does a style CNN tell music from speech and noise? Its head, on sounds and voices that it did not learn from.

    python benchmarks/music_head.py CHECKPOINT --speech DIR [--recordings DIR] [--foreign foreign.npz] \
        [--page docs/classifier.md]

`--speech` holds the folders of Debian's asterisk-core-sounds-{it,ru}-wav (the held-back voices); `--recordings` has a
labels.csv; `--foreign` is a set that `classifier_quality.py prepare` wrote. `--page` replaces the page's section.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from melodygen.audio.decode import read_mono
from melodygen.audio.features import Features, log_levels, mono_features
from melodygen.audio.synthetic import NOISES, make_noise, make_speech
from melodygen.classification.cnn import CnnClassifier
from melodygen.evaluation.labelled import read_labelled
from melodygen.evaluation.metrics import mean_by_group
from melodygen.evaluation.tables import markdown_table, replace_section
from melodygen.training.classifier.music_head import HELD_BACK, powers, utterances
from melodygen.training.classifier.view_rendering import WindowSet

SPEECH_WINDOWS, NOISE_WINDOWS, SEED = 100, 50, 1001


def sides(judge: CnnClassifier, levels: Features) -> np.ndarray:
    """Logits of music (W,) of windows (W, F, T)."""
    found = judge.music_logits(judge.outputs(levels)[0])
    if found is None:
        raise SystemExit(f"{judge.classifier_id} has no music head")
    return found


def counted(judge: CnnClassifier, arguments: argparse.Namespace) -> list[tuple[str, int, int]]:
    """What was heard, how much of it was told rightly, and of how many."""
    config, rng = judge.front_end, np.random.default_rng(SEED)
    rate, seconds = config.sample_rate, config.window_seconds
    rows = []
    voices = utterances(arguments.speech, rate)
    for name in (n for n in HELD_BACK if n in voices):
        for vary in (False, True):
            sounds = [make_speech(voices[name], rng, seconds, rate, vary=vary) for _ in range(SPEECH_WINDOWS)]
            said = sides(judge, log_levels(powers(sounds, config), config))
            told = f"speech{' varied' if vary else ''} told {name.replace('_', ' ')}"
            rows.append((told, int((said < 0).sum()), len(said)))
    for kind in NOISES:
        sounds = [make_noise(kind, rng, seconds, rate) for _ in range(NOISE_WINDOWS)]
        said = sides(judge, log_levels(powers(sounds, config), config))
        rows.append((f"{kind} told", int((said < 0).sum()), len(said)))
    if arguments.recordings:
        paths = [item.path for item in read_labelled(arguments.recordings)]
        heard = [sides(judge, mono_features(read_mono(p, rate, 600), config)).mean() > 0 for p in paths]
        rows.append(("recordings heard as music", sum(heard), len(heard)))
    if arguments.foreign:
        held = WindowSet.load(arguments.foreign)
        said = mean_by_group(sides(judge, held.windows)[:, None], held.item)[:, 0]
        rows.append(("foreign renders heard as music", int((said > 0).sum()), len(said)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--recordings", type=Path)
    parser.add_argument("--foreign", type=Path)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    judge = CnnClassifier.from_folder(arguments.checkpoint)
    rows = [(t, f"{right} of {all_}", f"{right / all_:.1%}") for t, right, all_ in counted(judge, arguments)]
    text = f"`{judge.classifier_id}`:\n\n" + markdown_table(("", "right", ""), rows)
    print(text)
    if arguments.page:
        replace_section(arguments.page, "music-head-style-cnn", text)


if __name__ == "__main__":
    main()
