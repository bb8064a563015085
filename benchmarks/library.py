"""What the library finds, how fast, and beside what others use.

    python benchmarks/library.py copies  --music FOLDER [--queries 30] [--references 120] [--essentia]
    python benchmarks/library.py phrases --midi FOLDER [--tunes 5000] [--queries 50]
    python benchmarks/library.py hums    --midi FOLDER [--tunes 5000] [--queries 40] [--pyin]
    python benchmarks/library.py tunes   --midi FOLDER [--tunes 5000] [--queries 20]
    python benchmarks/library.py similar --music FOLDER
    python benchmarks/library.py recommend [--plays FILE.npz]

``--music`` is a folder with ``labels.csv`` (path, label, artist); ``--midi`` a folder of MIDI files at any depth.
Tables go to stdout. CPU seconds are of this process: what a load on the machine cannot falsify. ``copies`` runs
chromaprint's ``fpcalc`` beside where it is installed; ``recommend`` runs ``implicit`` where it is installed.
``--plays`` holds arrays u, i (who played what), hu, hi (plays held out) and G (a vector an item); without it, listeners
are simulated.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from melodygen.io.csv_table import read_table
from melodygen.library.chroma import chroma_of_sound, packed, patches_of, unpacked
from melodygen.library.lines import Phrase, lines_of
from melodygen.library.phrase import find_phrase
from melodygen.library.recommend import Choice, OthersModel, recommend
from melodygen.library.rows import Rows
from melodygen.library.sound_match import THRESHOLD, candidates, match_sound

RATE = 8_000


def cpu() -> float:
    return time.process_time()


def as_rows(parts: list[np.ndarray]) -> Rows:
    count = np.array([len(p) for p in parts])
    return Rows(np.concatenate(parts), np.cumsum(count) - count, count, np.arange(len(parts)))


def read(path: Path) -> np.ndarray:
    import librosa

    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return mono if rate == RATE else librosa.resample(mono, orig_sr=rate, target_sr=RATE)


def changes(y: np.ndarray, rng: np.random.Generator, folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The recording as it may be met again."""
    import librosa

    shift = lambda n: librosa.effects.pitch_shift(y, sr=RATE, n_steps=n)  # noqa: E731
    stretch = lambda z, r: librosa.effects.time_stretch(z, rate=r)  # noqa: E731
    yield "same", y
    for n in (1, -1, 3, -5):
        yield f"{n:+} semitones", shift(n)
    yield "10 % faster", stretch(y, 1.1)
    yield "10 % slower", stretch(y, 0.9)
    yield "+2 semitones, 8 % faster", stretch(shift(2), 1.08)
    yield "speed +6 % (key too)", librosa.resample(y, orig_sr=RATE, target_sr=RATE / 1.06)
    target = folder / "query.mp3"
    up = librosa.resample(y, orig_sr=RATE, target_sr=44_100)
    with sf.SoundFile(
        target,
        "w",
        44_100,
        1,
        "MPEG_LAYER_III",
        format="MP3",
        bitrate_mode="CONSTANT",
        compression_level=0.87,
    ) as f:
        f.write(up)
    yield f"mp3, {target.stat().st_size * 8 / (len(up) / 44.1):.0f} kbit/s", read(target)
    noise = rng.standard_normal(len(y)).astype(np.float32)
    yield "noise at 10 dB", y + noise * np.sqrt((y**2).mean() / 10 / (noise**2).mean())
    spectrum = np.fft.rfft(y)
    hertz = np.fft.rfftfreq(len(y), 1 / RATE)
    yield (
        "equaliser",
        np.fft.irfft(spectrum * 10 ** (9 * np.tanh((hertz - 800) / 600) / 20), len(y)).astype(np.float32),
    )
    start = int(rng.integers(0, len(y) - 5 * RATE + 1))
    yield "5 s excerpt", y[start : start + 5 * RATE]


def copies(arguments: argparse.Namespace) -> None:
    root = arguments.music
    paths = [row["path"] for row in read_table(root / "labels.csv", ("path",))]
    rng = np.random.default_rng(5)
    order = rng.permutation(len(paths))
    references = [paths[i] for i in order[: arguments.references]]
    strangers = [paths[i] for i in order[arguments.references :]]
    chroma = {i: unpacked(packed(chroma_of_sound(read(root / p)))) for i, p in enumerate(references)}
    rows = as_rows([patches_of(c).astype(np.float16) for c in chroma.values()])
    prints = {i: chromaprint(root / p) for i, p in enumerate(references)} if shutil.which("fpcalc") else {}

    def ask(y: np.ndarray) -> list[Any]:
        asked = chroma_of_sound(y)
        near = candidates(asked, rows)
        return match_sound(asked, {i: chroma[i] for i in near}, threshold=0.0)

    right: Counter[str] = Counter()
    rival: Counter[str] = Counter()
    covers = Essentia([read(root / p) for p in references]) if arguments.essentia else None
    second: Counter[str] = Counter()
    told: dict[str, list[float]] = {}
    spent = 0.0
    step = max(1, len(references) // arguments.queries)
    asked = list(range(0, len(references), step))[: arguments.queries]
    part, parts = (int(number) for number in arguments.part.split("/"))
    asked = asked[part - 1 :: parts]
    with tempfile.TemporaryDirectory() as folder:
        for number in asked:
            for said, y in changes(read(root / references[number]), rng, Path(folder)):
                name = "mp3, about 64 kbit/s" if said.startswith("mp3") else said
                begun = cpu()
                found = ask(y)
                spent += cpu() - begun
                right[name] += bool(found) and found[0].track_id == number and found[0].strength >= THRESHOLD
                told.setdefault(name, []).append(found[0].strength if found else 0.0)
                if prints:
                    sf.write(Path(folder) / "query.wav", y, RATE)
                    other = chromaprint(Path(folder) / "query.wav")
                    rival[name] += max(prints, key=lambda i: agreement(other, prints[i])) == number
                if covers is not None:
                    second[name] += covers.nearest(y) == number
    each = spent / sum(map(len, told.values()))
    print(f"references {len(references)}, queries a row {len(asked)}, CPU {each:.2f} s a query")
    if covers is not None:
        print(f"Essentia: {covers.pairs / covers.spent:.0f} pairs a CPU second")
    print(
        "| change | right and above the threshold | lowest strength | chromaprint (nearest) | Essentia (nearest) |"
    )
    for name, strengths in told.items():
        beside = rival[name] if prints else "-"
        cover = second[name] if covers is not None else "-"
        print(f"| {name} | {right[name]} of {len(asked)} | {min(strengths):.2f} | {beside} | {cover} |")
    if part != parts:
        return
    worst = sorted(((ask(read(root / p))[0].strength, p) for p in strangers), reverse=True)
    alarms = sum(strength >= THRESHOLD for strength, _ in worst)
    print(
        f"false alarms: {alarms} of {len(strangers)} recordings that are not there; strongest {worst[0][0]:.2f} "
        "(the threshold was set on these)"
    )
    fresh_alarms(
        chroma, {i: unpacked(packed(chroma_of_sound(read(root / p)))) for i, p in enumerate(strangers)}
    )


def fresh_alarms(*sets: dict[int, np.ndarray]) -> None:
    """Half of each set asked for in the other half: pairs that had no part in setting the threshold."""
    strengths = []
    for chromas in sets:
        there, absent = list(chromas)[::2], list(chromas)[1::2]
        rows = as_rows([patches_of(chromas[i]).astype(np.float16) for i in there])
        for i in absent:
            near = [there[k] for k in candidates(chromas[i], rows)]
            found = match_sound(chromas[i], {k: chromas[k] for k in near}, threshold=0.0)
            strengths.append(found[0].strength if found else 0.0)
    alarms = sum(strength >= THRESHOLD for strength in strengths)
    top = ", ".join(f"{s:.2f}" for s in sorted(strengths, reverse=True)[:5])
    print(
        f"pairs new to the threshold: {alarms} of {len(strengths)} questions are answered wrongly; strongest {top}"
    )


class Essentia:
    """Its cover similarity (Serrà et al. 2009), question against every reference: there is no index."""

    def __init__(self, references: list[np.ndarray]) -> None:
        self._references = [self._chroma(y) for y in references]
        self.spent, self.pairs = 0.0, 0

    def _chroma(self, y: np.ndarray) -> Any:
        import librosa
        from essentia.pytools.spectral import hpcpgram

        return hpcpgram(librosa.resample(y, orig_sr=RATE, target_sr=44_100), sampleRate=44_100)

    def nearest(self, y: np.ndarray) -> int:
        import essentia.standard as es

        asked = self._chroma(y)
        begun = cpu()
        distance = []
        for other in self._references:
            crossed = es.ChromaCrossSimilarity(
                frameStackSize=9, frameStackStride=1, binarizePercentile=0.095, oti=True
            )(asked, other)
            aligned = es.CoverSongSimilarity(
                disOnset=0.5, disExtension=0.5, alignmentType="serra09", distanceType="asymmetric"
            )(crossed)
            distance.append(float(aligned[1]))
        self.spent, self.pairs = self.spent + cpu() - begun, self.pairs + len(distance)
        return int(np.argmin(distance))


def chromaprint(path: Path) -> np.ndarray:
    done = subprocess.run(
        ["fpcalc", "-raw", "-plain", str(path)], capture_output=True, text=True, check=False
    )
    text = done.stdout.strip()
    return np.array([int(v) for v in text.split(",")], dtype=np.uint32) if text else np.zeros(0, np.uint32)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Share of equal bits at the best offset: what AcoustID's comparison does."""
    need = max(1, min(len(one), len(other), 20))
    differing = np.bitwise_count(one[:, None] ^ other[None, :]).astype(np.int64)
    n, m = differing.shape
    # each row moved one less to the right than the one above it: diagonals become columns
    sheared = np.pad(differing[::-1], ((0, 0), (0, n))).ravel()[:-n].reshape(n, n + m - 1)
    apart = sheared.sum(axis=0)
    counts = np.convolve(np.ones(n), np.ones(m))
    enough = counts >= need
    best = float((1 - apart[enough] / counts[enough] / 32).max(initial=0.0))
    return best


def read_tunes(arguments: argparse.Namespace, rng: np.random.Generator) -> list[Any]:
    from melodygen.io.midi import read_midi

    files = sorted(p for p in arguments.midi.rglob("*.mid") if "drums" not in p.parts)
    tunes = []
    for i in rng.permutation(len(files)):
        try:
            notes, steps = lines_of(read_midi(files[i]))
        except Exception:
            continue
        if len(notes):
            tunes.append((notes, steps))
        if len(tunes) == arguments.tunes:
            break
    return tunes


def phrases(arguments: argparse.Namespace) -> None:
    rng = np.random.default_rng(1)
    tunes = read_tunes(arguments, rng)
    rows = as_rows([steps for _, steps in tunes])
    print(f"{len(tunes)} tunes, {len(rows.matrix)} notes in lines; {arguments.queries} queries a row")
    print("| notes | errors | MRR, played (30 ms jitter) | first | MRR, names alone | CPU s |")
    for size in (6, 10, 16):
        for errors in (0, 1, 3):
            ranks: dict[bool, list[float]] = {True: [], False: []}
            begun = cpu()
            for _ in range(arguments.queries):
                number, pitches, onsets = draw_phrase(tunes, size, errors, rng)
                for timed in (True, False):
                    hits = find_phrase(Phrase(pitches, onsets if timed else None), rows, 50)
                    at = [k for k, hit in enumerate(hits) if hit.track_id == number]
                    ranks[timed].append(1 / (1 + at[0]) if at else 0.0)
            spent = (cpu() - begun) / (2 * arguments.queries)
            first = np.mean(np.array(ranks[True]) == 1)
            played, named = np.mean(ranks[True]), np.mean(ranks[False])
            print(
                f"| {size} | {errors} | {played:.3f} | {first:.0%} | {named:.3f} | {spent:.2f} |", flush=True
            )


def draw_phrase(
    tunes: list[Any], size: int, errors: int, rng: np.random.Generator
) -> tuple[int, tuple[int, ...], tuple[float, ...]]:
    """A stretch of any line of any tune, in another key and tempo, played with jitter and errors."""
    while True:
        number = int(rng.integers(len(tunes)))
        notes = tunes[number][0]
        line = notes[notes["line"] == notes["line"][rng.integers(len(notes))]]
        if len(line) < size:
            continue
        at = int(rng.integers(len(line) - size + 1))
        part = line[at : at + size]
        if len(np.unique(part["pitch"])) >= 3:
            break
    pitches = (part["pitch"].astype(int) + int(rng.integers(-5, 6))).tolist()
    onsets = (part["second"] * rng.uniform(0.7, 1.4) + rng.normal(0, 0.03, size)).tolist()
    onsets = np.maximum.accumulate(onsets).tolist()
    for _ in range(errors):
        kind, i = int(rng.integers(3)), int(rng.integers(1, len(pitches) - 1))
        if kind == 0:
            pitches[i] += int(rng.choice([-3, -2, -1, 1, 2, 3]))
        elif kind == 1 and len(pitches) > 5:
            del pitches[i], onsets[i]
        else:
            pitches.insert(i, pitches[i] + int(rng.choice([-2, -1, 1, 2])))
            onsets.insert(i, (onsets[i - 1] + onsets[i]) / 2)
    return number, tuple(int(p) for p in pitches), tuple(onsets)


def sung(
    pitches: tuple[int, ...], onsets: tuple[float, ...], rng: np.random.Generator, rate: int = 16_000
) -> np.ndarray:
    """A phrase as a voice may hum it: out of tune by up to a quarter tone, in a voice's own octave, drifting, gliding
    into notes, with vibrato on long ones, breath, and no gap between most notes."""
    low = int(rng.choice([-24, -12, 0]))
    offset = rng.uniform(-0.5, 0.5)
    middle = float(np.median(pitches))
    shift = 12 * round((64 + low / 2 - middle) / 12) + offset
    gaps = np.append(np.diff(onsets), 0.6).clip(0.16, 1.5)
    starts = np.concatenate(([0.0], np.cumsum(gaps)[:-1])) + 0.3
    frames = np.arange(0, starts[-1] + gaps[-1] + 0.3, 0.002)
    pitch = np.full(len(frames), float(pitches[0]))
    level = np.zeros(len(frames))
    for k, (start, gap) in enumerate(zip(starts.tolist(), gaps.tolist(), strict=True)):
        here = (frames >= start) & (frames < start + gap)
        t = frames[here] - start
        before = pitches[k - 1] if k else pitches[k] - rng.uniform(0, 2)
        glide = rng.uniform(0.03, 0.08)
        bent = pitches[k] + (before - pitches[k]) * np.exp(-t / (glide / 2.5))
        vibrato = (
            rng.uniform(0.15, 0.4) * np.sin(2 * np.pi * rng.uniform(4.8, 6.2) * t) * (t > 0.25) * (gap > 0.4)
        )
        pitch[here] = bent + vibrato + rng.normal(0, 0.12)
        apart = rng.uniform(0.02, 0.06) if rng.random() < 0.35 else 0.0
        swell = np.minimum(1, t / 0.04) * np.where(t > gap - apart, 0.02, 1.0)
        level[here] = rng.uniform(0.6, 1.0) * (0.25 + 0.75 * swell if apart == 0 else swell)
    drift = np.cumsum(rng.normal(0, 0.01, len(frames)))
    samples = np.arange(round(frames[-1] * rate)) / rate
    hertz = 440 * 2 ** ((np.interp(samples, frames, pitch + drift) + shift - 69) / 12)
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    tone = sum(np.sin(k * phase) / k**1.6 for k in range(1, 9))
    breath = rng.standard_normal(len(samples)) * 0.01
    return (0.15 * np.interp(samples, frames, level) * tone + breath).astype(np.float32)


def hums(arguments: argparse.Namespace) -> None:
    """Phrases sung by ``sung``, heard by each tracker, looked for."""
    from melodygen.errors import LibraryError
    from melodygen.library.hum import notes_of_contour
    from melodygen.library.pitch import pitch_contour

    rng = np.random.default_rng(11)
    tunes = read_tunes(arguments, rng)
    rows = as_rows([steps for _, steps in tunes])
    print(f"{len(tunes)} tunes; {arguments.queries} hums a row")
    print(
        "| notes | errors | MRR swift-f0 | first | MRR pYIN | MRR of the notes themselves | CPU s swift-f0, pYIN |"
    )
    for size, errors in (map(int, row.split(":")) for row in arguments.rows.split(",")):
        ranks: dict[str, list[float]] = {"swift": [], "pyin": [], "notes": []}
        spent = dict.fromkeys(ranks, 0.0)
        for _ in range(arguments.queries):
            number, pitches, onsets = draw_phrase(tunes, size, errors, rng)
            y = sung(pitches, onsets, rng)
            for name, found in ranks.items():
                if name == "pyin" and not arguments.pyin:
                    continue
                begun = cpu()
                heard = list(zip(pitches, onsets, strict=True))
                if name != "notes":
                    heard = notes_of_contour(pitch_contour(y, name == "swift"))
                spent[name] += cpu() - begun
                try:
                    phrase = Phrase(tuple(p for p, _ in heard), tuple(o for _, o in heard))
                except LibraryError:
                    found.append(0.0)
                    continue
                at = [k for k, hit in enumerate(find_phrase(phrase, rows, 50)) if hit.track_id == number]
                found.append(1 / (1 + at[0]) if at else 0.0)
        told = {name: f"{np.mean(r):.3f}" if r else "-" for name, r in ranks.items()}
        first = np.mean(np.array(ranks["swift"]) == 1)
        cost = f"{spent['swift'] / arguments.queries:.2f}, {spent['pyin'] / arguments.queries:.2f}"
        print(
            f"| {size} | {errors} | {told['swift']} | {first:.0%} | {told['pyin']} | {told['notes']} | {cost} |",
            flush=True,
        )


def tunes(arguments: argparse.Namespace) -> None:
    """Recordings of the tune alone and of the whole band: whether a tune is tracked, and found by ten of its notes."""
    from melodygen.audio.features import to_mono_at
    from melodygen.data.scan import prepare_score
    from melodygen.io.midi import read_midi
    from melodygen.library.tune import tune_of_sound
    from melodygen.rendering.draft import render_draft
    from melodygen.rendering.sampler import SamplerRenderer

    rng = np.random.default_rng(12)
    others = read_tunes(arguments, rng)
    files = sorted(p for p in arguments.midi.rglob("*.mid") if "drums" not in p.parts)
    renderer, told = SamplerRenderer(), {"alone": [], "band": []}  # type: ignore[var-annotated]
    for i in rng.permutation(len(files)).tolist():
        piece = read_midi(files[i])
        score = prepare_score(piece)
        melody = [track for track in score.tracks if track.role == "melody" and len(track) >= 40]
        if (
            not melody
            or len(score.tracks) < 3
            or len(lines_of(piece)[0]) < 40
            or not 30 < score.duration_seconds < 120
        ):
            continue
        wanted, whole = lines_of(dataclasses.replace(score, tracks=tuple(melody[:1])))[0], lines_of(piece)[1]
        itself = {k for k, (_, steps) in enumerate(others, 1) if np.array_equal(steps, whole)}
        for name, tracks in (("alone", tuple(melody[:1])), ("band", score.tracks)):
            sound = render_draft(dataclasses.replace(score, tracks=tracks), renderer)
            steps = tune_of_sound(np.asarray(to_mono_at(sound, 16_000), np.float32), None, None)[1]
            if not len(steps):
                told[name].append(None)
                continue
            rows = as_rows([steps, *(steps for _, steps in others)])
            at = int(rng.integers(len(wanted[wanted["line"] == 0]) - 10))
            part = wanted[at : at + 10]
            phrase = Phrase(tuple(part["pitch"].tolist()), tuple(part["second"].tolist()))
            hits = [hit for hit in find_phrase(phrase, rows, 50) if hit.track_id not in itself]
            place = [k for k, hit in enumerate(hits) if hit.track_id == 0]
            told[name].append(1 / (1 + place[0]) if place else 0.0)
        if len(told["alone"]) == arguments.queries:
            break
    for name, ranks in told.items():
        kept = [r for r in ranks if r is not None]
        print(
            f"{name}: a tune was tracked in {len(kept)} of {len(ranks)}; MRR of those {np.mean(kept or [0]):.3f}"
        )


def similar(arguments: argparse.Namespace) -> None:
    """Of the ten nearest by other artists, the share of the same label; of the ten nearest, by the same artist."""
    from melodygen.library.embedding import SIZES, WEIGHTS, fused
    from melodygen.services.describing import Describer

    table = read_table(arguments.music / "labels.csv", ("path", "label", "artist"))
    describer, parts, kept = Describer.load(), [], []
    for row in table:
        try:
            parts.append(describer.describe(arguments.music / row["path"]).parts)
            kept.append(row)
        except Exception as error:
            print(f"{row['path']}: {error}", file=sys.stderr)
    if arguments.vectors is not None:
        np.save(arguments.vectors, np.stack([fused(p) for p in parts]))
    labels, artists = (np.array([row[name] for row in kept]) for name in ("label", "artist"))
    counts = Counter(artists.tolist())
    print(f"{len(kept)} recordings\n| parts | style agreement@10 | mean over styles | same artist@10 |")
    sets: list[dict[str, float]] = [{name: 1.0} for name in SIZES if name != "notes"]
    sets += [
        dict(WEIGHTS),
        *({k: v for k, v in WEIGHTS.items() if k != left} for left in SIZES if left != "notes"),
    ]
    for weights in sets:
        vectors = np.stack([fused(p, weights) for p in parts])
        vectors = vectors - vectors.mean(axis=0)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -9)
        others = np.where(artists[:, None] == artists[None, :], -9, likeness)
        style = (labels[np.argsort(-others, axis=1)[:, :10]] == labels[:, None]).mean(axis=1)
        near = np.argsort(-likeness, axis=1)[:, :10]
        many = np.array([min(10, counts[a] - 1) for a in artists.tolist()])
        same = ((artists[near] == artists[:, None]).sum(axis=1) / np.maximum(many, 1))[many > 0]
        mean = np.mean([style[labels == label].mean() for label in sorted(set(labels))])
        name = " + ".join(f"{n} {w:g}" for n, w in weights.items())
        print(f"| {name} | {style.mean():.3f} | {mean:.3f} | {same.mean():.3f} |")


def simulated_plays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """2,000 items in 40 groups on vectors with noise; 600 listeners of one to three groups, popular items first."""
    groups = rng.integers(0, 40, 2_000)
    vectors = rng.standard_normal((40, 32))[groups] + 1.2 * rng.standard_normal((2_000, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    popularity = 1 / (1 + rng.permutation(2_000)) ** 0.6
    plays, held = [], []
    for listener in range(600):
        liked = rng.choice(40, int(rng.integers(1, 4)), replace=False)
        weight = popularity * np.where(np.isin(groups, liked), 1.0, 0.01)
        items = rng.choice(2_000, int(rng.integers(15, 40)), replace=False, p=weight / weight.sum())
        held += [(listener, i) for i in items[:5]]
        plays += [(listener, i) for i in items[5:]]
    u, i = np.array(plays).T
    hu, hi = np.array(held).T
    return {"u": u, "i": i, "hu": hu, "hi": hi, "G": vectors.astype(np.float32)}


def recommend_table(arguments: argparse.Namespace) -> None:
    data = dict(np.load(arguments.plays)) if arguments.plays else simulated_plays(np.random.default_rng(2))
    vectors = data["G"].astype(np.float32)
    held: dict[int, set[int]] = {}
    for who, what in zip(data["hu"].tolist(), data["hi"].tolist(), strict=True):
        held.setdefault(who, set()).add(what)
    history = {who: data["i"][data["u"] == who] for who in held}
    print(f"{len(held)} listeners, {len(data['u'])} plays, {len(vectors)} items\n| method | recall@20 |")

    def report(name: str, listed: Callable[[int], list[int]]) -> None:
        recall = np.mean([len(set(listed(who)) & wanted) / len(wanted) for who, wanted in held.items()])
        print(f"| {name} | {recall:.3f} |", flush=True)

    common = np.argsort(-np.bincount(data["i"], minlength=len(vectors)), kind="stable")
    report("popularity", lambda who: common[~np.isin(common, history[who])][:20].tolist())
    others = OthersModel(data["u"], data["i"], np.ones(len(data["u"])), len(vectors))
    for blend in (0.0, 1.0, Choice().blend):
        choice = Choice(blend=blend, diversity=0.0)

        def ours(who: int, choice: Choice = choice) -> list[int]:
            allowed = np.ones(len(vectors), dtype=bool)
            allowed[history[who]] = False
            weights = {int(i): 1.0 for i in history[who]}
            return [
                p.item for p in recommend(vectors, weights, others, top=20, allowed=allowed, choice=choice)
            ]

        report(
            {0.0: "ours, content alone", 1.0: "ours, others alone"}.get(blend, f"ours, blend {blend:g}"), ours
        )
    try:
        rivals(data, len(vectors), list(held), report)
    except ImportError:
        print("implicit is not installed: its rows are left out")


def rivals(data: dict[str, np.ndarray], num_items: int, who: list[int], report: Callable[..., None]) -> None:
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking
    from implicit.nearest_neighbours import BM25Recommender
    from scipy import sparse

    plays = sparse.csr_matrix(
        (np.ones(len(data["u"])), (data["u"], data["i"])), (int(data["u"].max()) + 1, num_items)
    )
    models = {
        "implicit BM25 (K 100)": BM25Recommender(K=100),
        **{f"implicit ALS ({f} factors, alpha {a})": AlternatingLeastSquares(f, alpha=a, iterations=15, random_state=1)
           for f, a in ((16, 5), (32, 5), (64, 20))},
        "implicit BPR (32 factors)": BayesianPersonalizedRanking(32, iterations=150, random_state=1),
    }  # fmt: skip
    for name, model in models.items():
        model.fit(plays, show_progress=False)
        ids = dict(zip(who, model.recommend(np.array(who), plays[who], N=20)[0].tolist(), strict=True))
        report(name, ids.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("copies", "phrases", "hums", "tunes", "similar", "recommend")
    parser.add_argument("what", choices=names)
    parser.add_argument("--music", type=Path)
    parser.add_argument("--midi", type=Path)
    parser.add_argument("--part", default="1/1", help="copies: 2/6 asks the second sixth of the questions")
    parser.add_argument("--essentia", action="store_true", help="copies: Essentia's cover similarity as well")
    parser.add_argument("--rows", default="6:0,10:0,10:1,16:1,16:3", help="hums: notes:errors")
    parser.add_argument("--pyin", action="store_true", help="hums: pYIN as well, which is slow")
    parser.add_argument("--vectors", type=Path, help="similar: write the vectors there (.npy)")
    parser.add_argument("--plays", type=Path)
    parser.add_argument("--references", type=int, default=120)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--tunes", type=int, default=5_000)
    arguments = parser.parse_args()
    work = {
        "copies": copies, "phrases": phrases, "hums": hums, "tunes": tunes, "similar": similar,
        "recommend": recommend_table,
    }  # fmt: skip
    work[arguments.what](arguments)


if __name__ == "__main__":
    main()
