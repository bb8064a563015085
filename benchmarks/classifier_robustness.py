"""What small changes do to a classifier: accuracy under pitch shift, tempo, equaliser, MP3, gain and noise.

    python benchmarks/classifier_robustness.py CHECKPOINT SET [--limit 20] [--page docs/classifier.md --section NAME]

SET holds labels.csv (path,label) with recordings, or a corpus with manifest.csv, whose validation pieces are rendered
first (30 s from the middle, the shipped soundfont, draft). Labels the classifier does not know are left out.
``--section`` replaces what stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.
"""

from __future__ import annotations

import argparse
import io
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from melodygen.audio.decode import read_mono
from melodygen.audio.features import Features, mono_features, to_mono_at
from melodygen.audio.synthetic import coloured, levelled
from melodygen.classification.cnn import CnnClassifier
from melodygen.classification.symbolic import read_symbolic, stretch
from melodygen.data.scan import find_files
from melodygen.errors import MelodygenError
from melodygen.evaluation.labelled import read_labelled
from melodygen.evaluation.metrics import report
from melodygen.evaluation.tables import markdown_table, replace_section
from melodygen.rendering.draft import render_draft
from melodygen.rendering.sampler import SamplerRenderer

RATE = 8_000
Change = Callable[[Features], Features]


def pitch(steps: float) -> Change:
    def change(mono: Features) -> Features:
        import librosa

        return np.asarray(librosa.effects.pitch_shift(mono, sr=RATE, n_steps=steps), dtype=np.float32)

    return change


def tempo(rate: float) -> Change:
    def change(mono: Features) -> Features:
        import librosa

        return np.asarray(librosa.effects.time_stretch(mono, rate=rate), dtype=np.float32)

    return change


def shelves(low_db: float, high_db: float) -> Change:
    """Below 300 Hz and above 1.5 kHz, with a slope between."""

    def change(mono: Features) -> Features:
        spectrum = np.fft.rfft(mono)
        hz = np.fft.rfftfreq(len(mono), 1 / RATE)
        gain = np.interp(np.log10(np.maximum(hz, 1)), np.log10([1, 200, 400, 1200, 2000, 4000]),
                         [low_db, low_db, 0, 0, high_db, high_db])  # fmt: skip
        return np.asarray(np.fft.irfft(spectrum * 10 ** (gain / 20), len(mono)), dtype=np.float32)

    return change


def mp3(mono: Features) -> Features:
    """At 44.1 kHz and about 64 kbit/s, and back."""
    import soundfile as sf

    up = resample_poly(mono, 441, 80)
    buffer = io.BytesIO()
    with sf.SoundFile(
        buffer, "w", 44_100, 1, format="MP3", bitrate_mode="CONSTANT", compression_level=0.889
    ) as file:
        file.write(up)
    buffer.seek(0)
    found, _ = sf.read(buffer, dtype="float32")
    return np.asarray(resample_poly(found, 80, 441), dtype=np.float32)


def noise(snr_db: float) -> Change:
    def change(mono: Features) -> Features:
        rng = np.random.default_rng(len(mono))
        added = levelled(coloured(rng, len(mono), 3.0)) * 10
        return np.asarray(mono + added * float(mono.std()) * 10 ** (-snr_db / 20), dtype=np.float32)

    return change


def gain(db: float) -> Change:
    return lambda mono: np.asarray(np.clip(mono * 10 ** (db / 20), -1, 1), dtype=np.float32)


CHANGES: dict[str, Change] = {
    "as it is": lambda mono: mono,
    "pitch + 1 semitone": pitch(1), "pitch - 1 semitone": pitch(-1), "pitch + 3 semitones": pitch(3),
    "tempo x 1.1": tempo(1.1), "tempo x 0.9": tempo(0.9),
    "bass + 6 dB, treble - 6 dB": shelves(6, -6), "bass - 6 dB, treble + 6 dB": shelves(-6, 6),
    "MP3 at 64 kbit/s": mp3, "gain - 30 dB": gain(-30), "gain + 12 dB, clipped": gain(12),
    "pink noise at 20 dB": noise(20), "pink noise at 10 dB": noise(10),
}  # fmt: skip


def tracks(folder: Path, labels: tuple[str, ...], limit: int) -> list[tuple[str, Features]]:
    counts: Counter[str] = Counter()
    found = []
    if (folder / "labels.csv").is_file():
        for item in read_labelled(folder):
            if item.label in labels and counts[item.label] < limit:
                counts[item.label] += 1
                found.append((item.label, read_mono(item.path, RATE)))
        return found
    sampler = SamplerRenderer()
    for file in find_files(folder):
        if (
            file.split == "valid"
            and file.kind != "drums"
            and file.style in labels
            and counts[file.style] < limit
        ):
            try:
                audio = render_draft(stretch(read_symbolic(file.path), 30.0), sampler)
            except MelodygenError:
                continue
            counts[file.style] += 1
            found.append((file.style, to_mono_at(audio, RATE)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("set", type=Path)
    parser.add_argument("--limit", type=int, default=20, help="tracks a label")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--section")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    judge = CnnClassifier.from_folder(arguments.checkpoint)
    found = tracks(arguments.set, judge.labels, arguments.limit)
    there = np.isin(judge.labels, sorted({label for label, _ in found}))
    targets = np.array([judge.labels.index(label) for label, _ in found], dtype=np.int64)
    rows: list[tuple[str, ...]] = []
    before = np.zeros(0, dtype=np.int64)
    for name, change in CHANGES.items():
        logits = np.stack(
            [judge.window_logits(mono_features(change(m), judge.front_end)).mean(axis=0) for _, m in found]
        )
        among = np.where(there, logits, -1e9)
        said = logits.argmax(axis=1)
        before = said if not rows else before
        one, two = report(logits, targets, judge.labels), report(among, targets, judge.labels)
        flipped = float((said != before).mean())
        rows.append(
            (
                name,
                f"{one.accuracy:.1%}",
                f"{two.accuracy:.1%}",
                f"{two.balanced_accuracy:.1%}",
                f"{flipped:.1%}",
            )
        )
        print(*rows[-1], sep="  ", flush=True)
    text = (
        f"`{judge.classifier_id}`, {len(found)} tracks of {int(there.sum())} labels "
        f"(at most {arguments.limit} a label):\n\n"
        + markdown_table(
            ("change", "right", "among its labels", "balanced, among its labels", "verdict changed"), rows
        )
    )
    if arguments.page and arguments.section:
        replace_section(arguments.page, arguments.section, text)


if __name__ == "__main__":
    main()
