"""With and without each step of the front end, the same in training and use: small trainings on labelled clips.

    python benchmarks/frontend_ablation.py CLIPS [--page docs/classifier.md] [--picture docs/images/front_end.png]

Each row trains two small methods from nothing on the clips with that front end, five folds by artist: a small CNN
(some seconds a fold) and an RBF-SVM on mean and deviation of its bands. They are no measure of the shipped net, only of
what a step brings to a learner this small. ``--picture`` draws the chain for one recording.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from melodygen.atomic import atomic_path
from melodygen.audio.decode import read_mono
from melodygen.audio.features import (
    Features,
    FrontEndConfig,
    conditioned,
    cut_windows,
    log_levels,
    mel_power,
    mono_features,
    transform,
)
from melodygen.evaluation.folds import grouped_folds, grouped_interval
from melodygen.evaluation.labelled import read_labelled
from melodygen.evaluation.tables import markdown_table, replace_section
from melodygen.nets.cnn import StyleCnn

CORE = ("blues", "electronic", "jazz")
BASE = FrontEndConfig()
VARIANTS: dict[str, FrontEndConfig] = {
    "as shipped (8 kHz, 80 mel bands, log)": BASE,
    "with spectral gating (12 dB)": replace(BASE, denoise_db=12.0),
    "with band-pass 80 Hz - 3 kHz": replace(BASE, band_hz=(80.0, 3000.0)),
    "with both": replace(BASE, denoise_db=12.0, band_hz=(80.0, 3000.0)),
    "MFCC (24) in place of log-mel": replace(BASE, kind="mfcc"),
    "resampled to 4 kHz": replace(BASE, sample_rate=4_000, n_fft=512, hop_length=160, fmax_hz=1_950.0),
    "40 mel bands": replace(BASE, n_mels=40),
    "range of 30 dB instead of 50": replace(BASE, range_db=30.0),
}
STEPS = 80
ROWS = 16


def small_cnn(
    rows: list[Features], targets: NDArray[np.int64], fold: NDArray[np.int64], bands: int, seed: int
) -> NDArray[np.int64]:
    said = np.zeros(len(rows), dtype=np.int64)
    for f in np.unique(fold):
        inside, outside = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        rng = np.random.default_rng([seed, int(f)])
        torch.manual_seed(seed * 100 + int(f))
        net = StyleCnn(len(CORE), bands, (8, 16, 24, 32), 64, 0.3)
        optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=STEPS)
        net.train()
        for _ in range(STEPS):
            drawn = rng.integers(0, len(inside), ROWS)
            batch = np.stack([rows[i][int(rng.integers(len(rows[i])))] for i in inside[drawn]])
            batch = batch + rng.normal(0, 0.15, (ROWS, bands, 1)).astype(np.float32)
            goal = torch.from_numpy(targets[inside[drawn]])
            loss = functional.cross_entropy(net(torch.from_numpy(batch)), goal, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.inference_mode():
            said[outside] = [int(net(torch.from_numpy(rows[i])).mean(dim=0).argmax()) for i in outside]
    return said


def svm(rows: list[Features], targets: NDArray[np.int64], fold: NDArray[np.int64]) -> NDArray[np.int64]:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    table = np.stack([np.concatenate((r.mean(axis=(0, 2)), r.std(axis=(0, 2)))) for r in rows])
    said = np.zeros(len(rows), dtype=np.int64)
    for f in np.unique(fold):
        model = make_pipeline(StandardScaler(), SVC(C=3.0)).fit(table[fold != f], targets[fold != f])
        said[fold == f] = model.predict(table[fold == f])
    return said


def picture(target: Path, path: Path) -> None:
    """Waveform, spectrum, mel, log, gate, band-pass, MFCC of one window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mono = cut_windows(read_mono(path, BASE.sample_rate, 30.0), BASE)[0]
    power = mel_power(mono, BASE)
    frames = np.lib.stride_tricks.sliding_window_view(mono, BASE.n_fft)[:: BASE.hop_length] * np.hanning(
        BASE.n_fft
    )
    stft = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)).T + 1e-4)
    gate, band = replace(BASE, denoise_db=12.0), replace(BASE, band_hz=(80.0, 3000.0))
    panels: list[tuple[str, Any]] = [
        ("1  mono, 8 kHz, a window of 10 s", mono),
        ("2  STFT (Hann, 128 ms, every 40 ms), dB", stft),
        ("3  80 mel bands, power (cut at its 99th percentile)", np.minimum(power, np.quantile(power, 0.99))),
        ("4  log: dB over the window's mean, -50 to +30 dB", log_levels(power, BASE)),
        ("5  optional: spectral gate, 12 dB", 10 * np.log10(conditioned(power, gate) + 1e-9)),
        ("6  optional: band-pass 80 Hz - 3 kHz", log_levels(power, band)),
        (
            "7  optional: 24 MFCC in place of bands",
            transform(log_levels(power, BASE), replace(BASE, kind="mfcc")),
        ),
    ]
    figure = Figure(figsize=(9, 13), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (title, data) in zip(figure.subplots(len(panels), 1), panels, strict=True):
        if data.ndim == 1:
            axis.plot(np.arange(len(data)) / BASE.sample_rate, data, linewidth=0.3)
            axis.set_xlim(0, BASE.window_seconds)
        else:
            axis.imshow(
                data,
                origin="lower",
                aspect="auto",
                cmap="magma",
                extent=(0, BASE.window_seconds, 0, len(data)),
            )
        axis.set_title(title, fontsize=9, loc="left")
    with atomic_path(target, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=80, format="png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--sound", type=Path, default=Path("samples/jazz-1.ogg"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.picture:
        picture(arguments.picture, arguments.sound)
    clips = [clip for clip in read_labelled(arguments.clips) if clip.label in CORE]
    targets = np.array([CORE.index(clip.label) for clip in clips], dtype=np.int64)
    artists = [clip.group for clip in clips]
    table = []
    for name, config in VARIANTS.items():
        rows = [mono_features(read_mono(clip.path, config.sample_rate), config) for clip in clips]
        fold = grouped_folds(artists, targets, 5, 0)
        cnn, kernel = (
            small_cnn(rows, targets, fold, config.num_bands, 1) == targets,
            svm(rows, targets, fold) == targets,
        )
        low, high = grouped_interval(cnn, artists)
        table.append((name, f"{cnn.mean():.1%}", f"{low:.0%}–{high:.0%}", f"{kernel.mean():.1%}"))
        print(*table[-1], sep="  ", flush=True)
    text = (
        f"{len(clips)} clips (blues, electronic, jazz), 5 folds by artist, {STEPS} steps of a small CNN:\n\n"
    )
    text += markdown_table(("front end", "small CNN", "95 % interval", "SVM"), table)
    if arguments.page:
        replace_section(arguments.page, "ablation", text)


if __name__ == "__main__":
    main()
