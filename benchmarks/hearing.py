"""How well recordings are heard: the figures of docs/hearing.md.

    python benchmarks/hearing.py styles CLIPS [--json OUT]      zero-shot, and heads in folds by artist
    python benchmarks/hearing.py changes CLIPS [--every 2]      what silence, excerpts and gain change
    python benchmarks/hearing.py windows DIR                    how many windows a long recording needs
    python benchmarks/hearing.py music DIR                      what of each folder in DIR is heard as music
    python benchmarks/hearing.py rhythm DIR [--soundfont FILE]  tempo and key on renders of MIDI files, beside librosa

CLIPS is a folder with labels.csv (path, label, artist). The zero-shot verdict has learned from no clip; its labels are
all of the taxonomy, and a part counts as its whole (metal is rock). The heads learn from the clips, in folds that never
cut through an artist, with parameters chosen on inner folds: they say what a head could do, none of them is shipped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from melodygen.analysis.rhythm import Rhythm, read_rhythm
from melodygen.audio.decode import read_mono
from melodygen.audio.features import Features, mono_features, to_mono_at
from melodygen.audio.musicnn_mel import SAMPLE_RATE
from melodygen.classification.cnn import CnnClassifier
from melodygen.classification.recording import MIN_MUSIC
from melodygen.classification.symbolic import read_symbolic, score_rhythm, stretch
from melodygen.classification.tagger import Tags, WindowOutputs, load_tagger
from melodygen.classification.taxonomy import PART_OF
from melodygen.data.scan import dominant_qpm
from melodygen.errors import MelodygenError
from melodygen.evaluation.labelled import read_labelled
from melodygen.evaluation.stability import CHANGES, verdicts_after
from melodygen.io.folder import music_files
from melodygen.music.score import Score
from melodygen.nets.checkpoint import resolve
from melodygen.rendering.draft import render_draft
from melodygen.rendering.sampler import SamplerRenderer

Floats = NDArray[np.float64]
THREE = ("blues", "electronic", "jazz")
DEALS = 3
COUNTS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 24)


def verdict(tags: Tags, among: tuple[str, ...] = ()) -> str:
    """The likeliest style, a part as its whole; ``among`` labels alone where they are given."""
    scores: dict[str, float] = {}
    for label, probability in zip(tags.styles.labels, tags.styles.probabilities, strict=True):
        whole = PART_OF.get(label, label)
        scores[whole] = max(scores.get(whole, 0.0), float(probability))
    return max((s for s in scores if not among or s in among), key=scores.__getitem__)


def right(said: NDArray[np.str_], labels: NDArray[np.str_]) -> tuple[float, float]:
    """Share that is right, and the mean of that share over labels."""
    hits = said == labels
    return float(hits.mean()), float(np.mean([hits[labels == label].mean() for label in np.unique(labels)]))


def timbre_and_rhythm(mono: Features, rate: int) -> tuple[Floats, Floats]:
    """(40,) mean and deviation of MFCC; (57,) autocorrelation of onset strength, and how strong and bright it is."""
    import librosa

    mfcc = librosa.feature.mfcc(y=mono, sr=rate, n_mfcc=20, n_fft=1024, hop_length=512)
    onset = librosa.onset.onset_strength(y=mono, sr=rate, hop_length=128)
    repeats = librosa.autocorrelate(onset - onset.mean(), max_size=250)
    repeats = np.interp(np.linspace(0, 249, 50), np.arange(len(repeats)), repeats / (repeats[0] + 1e-9))
    centroid = librosa.feature.spectral_centroid(y=mono, sr=rate)
    more = [onset.mean(), onset.std(), centroid.mean(), centroid.std(), *np.percentile(onset, [50, 90, 99])]
    return np.r_[mfcc.mean(axis=1), mfcc.std(axis=1)], np.r_[repeats, more]


def in_folds(
    features: list[Floats], labels: NDArray[np.str_], artists: NDArray[np.str_], kind: str, deal: int
) -> Any:
    """Verdicts of a head; several groups of features are several heads, whose log probabilities are summed."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if kind == "svm":
        model, grid = SVC(class_weight="balanced"), {"svc__C": [0.3, 1, 3, 10]}
    else:
        model, grid = (
            LogisticRegression(class_weight="balanced", max_iter=500),
            {"logisticregression__C": [0.01, 0.05]},
        )
    names = np.unique(labels)
    total = np.zeros((len(labels), len(names)))
    for rows in features:
        for learn, test in StratifiedGroupKFold(5, shuffle=True, random_state=deal).split(
            rows, labels, artists
        ):
            inner = StratifiedGroupKFold(4, shuffle=True, random_state=0)
            search = GridSearchCV(make_pipeline(StandardScaler(), model), grid, cv=inner)
            search.fit(rows[learn], labels[learn], groups=artists[learn])
            if kind == "svm":
                total[test] += search.predict(rows[test])[:, None] == names
            else:
                total[test] += np.log(search.predict_proba(rows[test]) + 1e-6)
    return names[total.argmax(axis=1)]


def styles(folder: Path) -> dict[str, Any]:
    tagger, cnn = load_tagger(), CnnClassifier.from_folder(resolve("style-cnn", "style-cnn"))
    clips = read_labelled(folder)
    groups: dict[str, list[Floats]] = {"msd": [], "mtt": [], "tags": [], "cnn": [], "mfcc": [], "rhythm": []}
    found: list[Tags] = []
    for clip in clips:
        heard = tagger.outputs(tagger.windows(read_mono(clip.path, SAMPLE_RATE)))
        found.append(tagger.summary(heard))
        low = read_mono(clip.path, cnn.front_end.sample_rate)
        mfcc, rhythm = timbre_and_rhythm(low, cnn.front_end.sample_rate)
        rows = {
            "msd": heard.embeddings.mean(axis=0), "mtt": heard.player_embeddings.mean(axis=0),
            "tags": np.r_[heard.listeners.mean(axis=0), heard.players.mean(axis=0)],
            "cnn": cnn.outputs(mono_features(low, cnn.front_end))[0].mean(axis=0), "mfcc": mfcc, "rhythm": rhythm,
        }  # fmt: skip
        for name, row in rows.items():
            groups[name].append(row)
    labels, artists = np.array([c.label for c in clips]), np.array([c.group for c in clips])
    matrices = {name: np.stack(rows) for name, rows in groups.items()}
    sets = {"five": np.ones(len(labels), bool), "three": np.isin(labels, THREE)}
    report: dict[str, Any] = {}
    for name, mask in sets.items():
        said = np.array([verdict(t) for t in found])[mask]
        among = np.array([verdict(t, tuple(np.unique(labels[mask]))) for t in found])[mask]
        report[f"zero-shot, of all styles, {name}"] = right(said, labels[mask])
        report[f"zero-shot, among these labels, {name}"] = right(among, labels[mask])
        for head, kind, parts in (
            ("MFCC + SVM", "svm", ["mfcc"]), ("musicnn + SVM", "svm", ["msd"]),
            ("musicnn + logistic regression", "lr", ["msd"]),
            ("fused: both musicnn, tags, MFCC, rhythm", "lr", ["msd", "mtt", "tags", "mfcc", "rhythm"]),
            ("fused, with style-cnn", "lr", ["msd", "mtt", "tags", "mfcc", "rhythm", "cnn"]),
        ):  # fmt: skip
            chosen = [matrices[p][mask] for p in parts]
            deals = [
                right(in_folds(chosen, labels[mask], artists[mask], kind, deal), labels[mask])
                for deal in range(DEALS)
            ]
            report[f"{head}, {name}"] = (*np.mean(deals, axis=0), float(np.std(deals, axis=0)[0]))
    top = np.array([t.styles.top(1)[0][1] for t in found])
    hits = np.array([verdict(t) for t in found]) == labels
    for threshold in (0.35, 0.4, 0.45, 0.5, 0.6):
        below = top < threshold
        rates = below.mean(), hits[below].mean(), hits[~below].mean()
        report[f"unsure below {threshold}: share, right, right of the others"] = tuple(map(float, rates))
    report["heard as music"] = float(np.mean([t.music is None or t.music >= 0.5 for t in found]))
    return report


def changes(folder: Path, every: int) -> dict[str, Any]:
    tagger = load_tagger()
    sounds = [read_mono(clip.path, SAMPLE_RATE) for clip in read_labelled(folder)[::every]]
    plain = [tagger.tag(y).styles.top(1)[0] for y in sounds]
    sure = np.array([p >= 0.45 for _, p in plain])
    report: dict[str, Any] = {"clips": len(sounds), "sure": int(sure.sum())}
    after = [verdicts_after(y, tagger) for y in sounds]
    for name in CHANGES:
        moved = np.array([v.get(name, p[0]) != p[0] for v, p in zip(after, plain, strict=True)])
        report[name] = (float(moved.mean()), float(moved[sure].mean()))
    return report


def part_of(heard: WindowOutputs, count: int, offset: float) -> WindowOutputs:
    total = len(heard.weights)
    at = np.unique(np.clip(((np.arange(count) + offset) / count * total).astype(int), 0, total - 1))
    second = np.unique(np.clip(at[len(at) > 1 :: 2] // 2, 0, len(heard.players) - 1))
    weights = heard.weights[at] / heard.weights[at].sum()
    return WindowOutputs(
        weights, heard.listeners[at], heard.players[second], heard.embeddings[at], heard.player_embeddings[second],
        heard.flux[at],
    )  # fmt: skip


def windows(folder: Path, most: int = 32) -> dict[str, Any]:
    tagger = load_tagger()
    heard = []
    for path in music_files(folder, recursive=True):
        mono = read_mono(path, SAMPLE_RATE)
        if len(mono) > 100 * SAMPLE_RATE:
            heard.append(tagger.outputs(tagger.windows(mono, most)))
    whole = [tagger.summary(h) for h in heard]
    report: dict[str, Any] = {"recordings": len(heard)}
    for count in COUNTS:
        same, moved = [], []
        for all_of, outputs in zip(whole, heard, strict=True):
            for offset in (0.2, 0.5, 0.8):
                part = tagger.summary(part_of(outputs, count, offset))
                same.append(part.styles.top(1)[0][0] == all_of.styles.top(1)[0][0])
                moved.append(0.5 * np.abs(part.styles.probabilities - all_of.styles.probabilities).sum())
        report[str(count)] = (float(np.mean(same)), float(np.mean(moved)))
    return report


def music(folder: Path) -> dict[str, Any]:
    """Of each folder: share heard as music, with Wilson's 95 % interval, as ``classify`` hears excerpts and wholes."""
    tagger = load_tagger()
    report: dict[str, Any] = {}
    for kind in sorted(p for p in folder.iterdir() if p.is_dir()):
        sounds = [read_mono(path, SAMPLE_RATE) for path in music_files(kind, recursive=True)]
        for length, seconds in (("3 s from the middle", 3), ("5 s from the middle", 5), ("whole", 600)):
            size = seconds * SAMPLE_RATE
            parts = [y[max(0, (len(y) - size) // 2) :][:size] for y in sounds]
            said = [tagger.tag(part).music for part in parts]
            heard = sum(probability is None or probability >= MIN_MUSIC for probability in said)
            interval = binomtest(heard, len(said)).proportion_ci(method="wilson")
            report[f"{kind.name}, {length} ({len(said)})"] = (heard / len(said), *interval)
    return report


def renders(folder: Path, soundfont: Path | None) -> Iterator[tuple[Score, Features]]:
    """Scores whose tempo holds for nine tenths of their time, and a minute of their sound."""
    renderer = SamplerRenderer(soundfont) if soundfont else SamplerRenderer()
    for path in music_files(folder, recursive=True):
        try:
            score = read_symbolic(path)
        except MelodygenError:
            continue
        usual, steady = dominant_qpm(score), 0.0
        ends = [*(t.tick for t in score.tempos[1:]), max(score.end_tick, score.tempos[-1].tick + 1)]
        for tempo, end in zip(score.tempos, ends, strict=True):
            if abs(tempo.qpm / usual - 1) < 0.04:
                steady += (end - tempo.tick) * 60 / (tempo.qpm * score.ticks_per_quarter)
        if score.duration_seconds >= 40 and steady > 0.9 * score.duration_seconds:
            yield score, to_mono_at(render_draft(stretch(score), renderer), SAMPLE_RATE)


def rhythm(folder: Path, soundfont: Path | None) -> dict[str, Any]:
    return rhythm_report((score_rhythm(score), mono) for score, mono in renders(folder, soundfont))


def rhythm_report(truths: Any) -> dict[str, Any]:
    """Of pairs of what is true and mono sound: ours and librosa's, tempo within 4 % and key."""
    import librosa

    rows: list[tuple[Rhythm, Rhythm, float, NDArray[np.float64]]] = []
    for truth, mono in truths:
        sound = librosa.resample(mono, orig_sr=SAMPLE_RATE, target_sr=22_050)
        tempo, _ = librosa.beat.beat_track(y=sound)
        rows.append(
            (
                truth,
                read_rhythm(mono, SAMPLE_RATE),
                float(np.atleast_1d(tempo)[0]),
                librosa.feature.chroma_cqt(y=sound).mean(axis=1),
            )
        )
    report: dict[str, Any] = {"renders": len(rows)}
    for name, tempi in (("ours", [r[1].qpm or 0.0 for r in rows]), ("librosa", [r[2] for r in rows])):
        pairs = [(t, r[0].qpm or 1.0) for t, r in zip(tempi, rows, strict=True)]
        report[f"tempo, {name}"] = (
            float(np.mean([near(a, b) for a, b in pairs])),
            float(np.mean([any(near(a, b * f) for f in (1 / 3, 0.5, 1, 2, 3)) for a, b in pairs])),
        )
    for name, keys in (
        ("ours", [r[1].key for r in rows]),
        ("librosa", [krumhansl(r[3]) for r in rows]),
    ):
        scores = [mirex(k, r[0].key) for k, r in zip(keys, rows, strict=True) if r[0].key is not None]
        report[f"key, {name}"] = (float(np.mean(np.array(scores) == 1)), float(np.mean(scores)))
    meters = [r[1].meter == r[0].meter for r in rows if r[0].meter in ((3, 4), (4, 4))]
    report["meter, of 3/4 and 4/4"] = float(np.mean(meters)) if meters else None
    return report


def near(a: float, b: float) -> bool:
    return abs(a / b - 1) <= 0.04


def krumhansl(chroma: Floats) -> tuple[int, str]:
    major = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
    minor = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
    table = np.array([np.roll(p, t) for p in (major, minor) for t in range(12)])
    best = int(np.argmax([np.corrcoef(row, chroma)[0, 1] for row in table]))
    return best % 12, "major" if best < 12 else "minor"


def mirex(said: tuple[int, str] | None, true: tuple[int, str]) -> float:
    """1 for the key, 0.5 a fifth above, 0.3 for the relative, 0.2 for the parallel key (MIREX)."""
    if said is None or said == true:
        return float(said == true)
    (tonic, mode), (true_tonic, true_mode) = said, true
    if mode == true_mode:
        return 0.5 if (tonic - true_tonic) % 12 == 7 else 0.0
    if tonic == true_tonic:
        return 0.2
    return 0.3 if (tonic - true_tonic) % 12 == (9 if true_mode == "major" else 3) else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("styles", "changes", "windows", "music", "rhythm"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--soundfont", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    runs: dict[str, Callable[[], dict[str, Any]]] = {
        "styles": lambda: styles(given.folder),
        "changes": lambda: changes(given.folder, given.every),
        "windows": lambda: windows(given.folder),
        "music": lambda: music(given.folder),
        "rhythm": lambda: rhythm(given.folder, given.soundfont),
    }
    report = runs[given.what]()
    for name, value in report.items():
        shown = " ".join(f"{v:.3f}" for v in value) if isinstance(value, tuple) else value
        print(f"{name:<60} {shown}")
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
