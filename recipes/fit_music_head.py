"""Teach the tagger of recordings to say "not music": a logistic head on its embeddings, in models/musicnn/config.json.

    python recipes/fit_music_head.py --corpus DIR --speech DIR [--music DIR] [--songs DIR] [--loops DIR] [--sounds DIR]
        [--more-sounds DIR]

Music: pieces, single voices and drum takes of the corpus's training titles, rendered with the shipped soundfont, the
recordings below --music, the songs below --songs and the loops below --loops. Not music: noises, tones, telephones,
sirens, chirps (``melodygen.audio.synthetic``), the sounds below --sounds (engines, crowds, animals, machines; of
kinds that differ by a number alone, every second kind is for the test), all below --more-sounds, and utterances below
--speech, one folder a voice, strung together, alone or as a crowd. Half of everything is cut off at 4 kHz, so that
bandwidth says nothing.
Natural speech under free licences is in Debian's asterisk-core-sounds-{en,es,fr,it,ru}-wav (CC BY-SA 3.0, ru CC BY
3.0), music in asterisk-moh-opsound-wav (CC BY-SA), songs in fretsonfire-songs-muldjord (CC BY-SA 3.0), loops and
drones in sonic-pi-samples (CC0), sounds in lincity-ng-data (CC BY-SA 2.0 or GPL) and simutrans-pak64 (Artistic 1.0),
more of them in openttd-opensfx (CC BY 3.0 and CC0 but for one, CC BY-SA 3.0) and minetest-data (CC BY-SA 3.0);
synthetic speech comes from ``espeak-ng -v VOICE -w FILE TEXT``. Voices named in ``HELD_BACK`` are for the test.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from melodygen.atomic import atomic_path
from melodygen.audio.buffer import Audio
from melodygen.audio.decode import read_mono
from melodygen.audio.excerpts import levelled as at_reference
from melodygen.audio.features import Features, to_mono_at
from melodygen.audio.musicnn_mel import SAMPLE_RATE, WINDOW_SAMPLES, WINDOW_SECONDS
from melodygen.audio.synthetic import NOISES, coloured, levelled, make_noise, make_speech
from melodygen.classification.symbolic import read_symbolic, stretch
from melodygen.classification.tagger import Tagger, load_tagger
from melodygen.errors import MelodygenError
from melodygen.music.score import Score
from melodygen.nets.checkpoint import CONFIG
from melodygen.rendering.draft import render_draft
from melodygen.rendering.sampler import SamplerRenderer

HELD_BACK = ("it_IT_m_Carlo", "ru_RU_f_IvrvoiceRU", "espeak_test")
PIECES_A_STYLE, DRUM_TAKES = 12, 40
RENDER_SECONDS = 9.5
WINDOWS_A_NOISE, SPEECH_WINDOWS, WINDOWS_A_TRACK, WINDOWS_A_SOUND = 120, 200, 24, 4
FILES_A_KIND = 2
"""Of --more-sounds: a game has twenty footsteps."""
JINGLES = 2
"""The first sounds of OpenTTD are music."""
MIN_SOUND_SECONDS, MOST_SOUND_SECONDS = 0.5, 20.0
SHORT_SECONDS = (0.6, 2.6)
"""Of every third window a shorter piece is learned from too: single words, single bars."""
MUSIC, OTHER, SOUNDS, TEST, SONGS, LOOPS, MORE = range(7)
"""Each part has random numbers of its own."""
TOLD = 0.9
"""Share of windows of other sounds that shall be told from music: what the bias is set by."""
INVERSE_PENALTY = 0.02
EVENTS = {
    "checkpoint": "fireredvad", "weight": 0.3, "offset": -1.1, "singing": 0.7, "singing_above": -1.0,
}  # fmt: skip
"""How FireRedVAD's detector counts beside the head: weight and offset were chosen with the shipped head, for the sounds
and loops that it learned from and half of the labelled clips, what singing adds for made singing and against speech and
sounds (docs/experiments/classifier.md)."""
Rng = np.random.Generator


def utterances(folder: Path) -> dict[str, list[Features]]:
    """Voice -> utterances of half a second and more, at the tagger's rate."""
    voices: dict[str, list[Features]] = {}
    for path in sorted(folder.rglob("*.wav")):
        if "silence" in path.parts or "moh" in path.parts:
            continue
        voice = next(
            (p for p in path.parts if (p[2:3] == "_" and p[5:6] == "_") or p.startswith("espeak")), "other"
        )
        if len(voices.get(voice, ())) >= 120:
            continue
        try:
            mono = read_mono(path, SAMPLE_RATE)
        except MelodygenError:
            continue
        if len(mono) > SAMPLE_RATE // 2 and float(mono.std()) > 1e-3:
            voices.setdefault(voice, []).append(levelled(mono))
    return voices


def recorded_sounds(folder: Path) -> tuple[list[Features], list[Features]]:
    """Sounds to learn from and sounds for the test; those shorter than two windows are repeated until they are not."""
    found: dict[str, list[Features]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".wav", ".flac")):
        if len(sound := read_sound(path)):
            found.setdefault(kind_of(path), []).append(sound)
    kinds = [found[kind] for kind in sorted(found)]
    return [s for kind in kinds[::2] for s in kind], [s for kind in kinds[1::2] for s in kind]


def more_sounds(folder: Path) -> list[Features]:
    """``FILES_A_KIND`` sounds of each kind, all to learn from, and those in the sound sets (.cat) of OpenTTD."""
    found: dict[str, list[Features]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".wav", ".flac", ".ogg")):
        if len(found.get(kind_of(path), ())) < FILES_A_KIND and len(sound := read_sound(path)):
            found.setdefault(kind_of(path), []).append(sound)
    return [s for kind in sorted(found) for s in found[kind]] + [
        sound for path in sorted(folder.rglob("*.cat")) for sound in sound_set(path)
    ]


def kind_of(path: Path) -> str:
    return path.stem.rstrip("0123456789.")


def read_sound(path: Path) -> Features:
    """Of at least two windows; nothing where the file cannot be read, is too short or silent."""
    try:
        return repeated(read_mono(path, SAMPLE_RATE))
    except MelodygenError:
        return np.zeros(0, dtype=np.float32)


def sound_set(path: Path) -> list[Features]:
    """The WAV files inside a sound set of OpenTTD but the first ``JINGLES``."""
    held = path.read_bytes()
    starts = [m.start() for m in re.finditer(b"RIFF", held)][JINGLES:]
    sounds = []
    for start in starts:
        size = 8 + int.from_bytes(held[start + 4 : start + 8], "little")
        try:
            samples, rate = sf.read(BytesIO(held[start : start + size]), dtype="float32", always_2d=True)
        except sf.LibsndfileError:
            continue  # the letters RIFF inside another sound
        if len(samples):
            sounds.append(repeated(to_mono_at(Audio(samples.T, rate), SAMPLE_RATE)))
    return [sound for sound in sounds if len(sound)]


def repeated(mono: Features) -> Features:
    """At the usual level, until it is two windows long; nothing for what is too short or silent."""
    mono = mono[: round(MOST_SOUND_SECONDS * SAMPLE_RATE)]
    if len(mono) <= MIN_SOUND_SECONDS * SAMPLE_RATE or float(mono.std()) <= 1e-3:
        return np.zeros(0, dtype=np.float32)
    return np.tile(levelled(mono), -(-2 * WINDOW_SAMPLES // len(mono)))


def rendered(corpus: Path, split: str, rng: Rng, pieces: int, takes: int) -> Iterator[tuple[str, Features]]:
    """(kind, sound) of pieces as they are, of single voices, and of drum takes."""
    renderer = SamplerRenderer()
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = [r for r in csv.DictReader(stream) if r["split"] == split]
    rng.shuffle(rows)
    counts: dict[str, int] = {}
    for row in rows:
        style = row["style"] if row["kind"] == "piece" else "drums"
        if counts.get(style, 0) >= (pieces if style != "drums" else takes):
            continue
        try:
            score = stretch(read_symbolic(corpus / row["path"]), RENDER_SECONDS)
        except MelodygenError:
            continue
        counts[style] = counts.get(style, 0) + 1
        if style != "drums" and counts[style] % 3 == 0:
            voice = max((t for t in score.tracks), key=lambda t: len(t.notes))
            score, style = Score((voice,), score.tempos, ticks_per_quarter=score.ticks_per_quarter), "voice"
        yield style, to_mono_at(render_draft(score, renderer), SAMPLE_RATE)


def narrowed(sound: Features, rng: Rng) -> Features:
    """In half of the cases without what lies above 4 kHz; at the tagger's reference loudness."""
    if rng.random() < 0.5:
        sound = sosfilt(butter(8, 3_800, fs=SAMPLE_RATE, output="sos"), sound).astype(np.float32)
    return at_reference(sound)


def windows_of(sound: Features, count: int, rng: Rng, rough: bool = False) -> list[Features]:
    """``count`` windows from anywhere in a sound, all but every third roughened where ``rough``."""
    room = len(sound) - WINDOW_SAMPLES
    if room <= 0:
        return []
    cut = [sound[at : at + WINDOW_SAMPLES] for at in rng.integers(0, room, count)]
    return [narrowed(roughened(w, rng) if rough and i % 3 else w, rng) for i, w in enumerate(cut)]


def roughened(sound: Features, rng: Rng) -> Features:
    """As recordings are and renders are not: overdriven, equalised, over noise."""
    sound = levelled(sound)
    if rng.random() < 0.6:
        sound = np.tanh(sound * float(np.exp(rng.uniform(np.log(3), np.log(80)))))
    if rng.random() < 0.5:
        corner = float(np.exp(rng.uniform(np.log(200), np.log(3_000))))
        other = sosfilt(butter(1, corner, rng.choice(("low", "high")), fs=SAMPLE_RATE, output="sos"), sound)
        sound = levelled(sound + float(rng.uniform(0.5, 4)) * other)
    if rng.random() < 0.5:
        noise = levelled(coloured(rng, len(sound), float(rng.uniform(0, 6))))
        sound = levelled(sound) + noise * np.float32(10 ** (rng.uniform(-30, -8) / 20))
    return np.asarray(sound, dtype=np.float32)


def not_music(
    voices: list[list[Features]], rng: Rng, speech: int, noise: int
) -> Iterator[tuple[str, Features]]:
    """(kind, window) of speech, crowds and noises."""
    seconds = WINDOW_SECONDS + 0.01
    for number in range(speech if voices else 0):
        voice = voices[number % len(voices)]
        if number % 12 == 0:
            many = [
                make_speech(voices[int(rng.integers(len(voices)))], rng, seconds, SAMPLE_RATE)
                for _ in range(7)
            ]
            sound, kind = np.asarray(sum(many), dtype=np.float32), "crowd"
        else:
            sound, kind = make_speech(voice, rng, seconds, SAMPLE_RATE, vary=number % 3 > 0), "speech"
        yield kind, narrowed(sound[:WINDOW_SAMPLES], rng)
    for kind in NOISES:
        for _ in range(noise):
            yield kind, narrowed(make_noise(kind, rng, seconds, SAMPLE_RATE)[:WINDOW_SAMPLES], rng)


def embedded(tagger: Tagger, windows: list[Features], rng: Rng | None = None) -> Features:
    """(W, 400): of windows, and with ``rng`` of a shorter piece of every third."""
    rows = [tagger.embed(windows[i : i + 16]) for i in range(0, len(windows), 16)]
    if rng is not None:
        for window in windows[::3]:
            size = round(float(rng.uniform(*SHORT_SECONDS)) * SAMPLE_RATE)
            at = int(rng.integers(0, len(window) - size))
            piece = window[at : at + size]
            if float(piece.std()) > 1e-3:
                rows.append(tagger.embed([at_reference(piece)]))
    return np.concatenate(rows)


def music_rows(tagger: Tagger, corpus: Path, music: Path | None, seed: int) -> Features:
    """(W, 400) of renders of training titles, and of the tracks of music on hold but the last."""
    rng = np.random.default_rng((seed, MUSIC))
    windows = [
        w
        for _, s in rendered(corpus, "train", rng, PIECES_A_STYLE, DRUM_TAKES)
        for w in windows_of(s, 3, rng, rough=True)
    ]
    tracks = sorted(music.rglob("*.wav")) if music else []
    for path in [p for p in tracks if "moh" in p.parts][:-1]:
        windows += windows_of(read_mono(path, SAMPLE_RATE), WINDOWS_A_TRACK, rng, rough=True)
    return embedded(tagger, windows, rng)


def other_rows(tagger: Tagger, voices: list[list[Features]], seed: int) -> Features:
    """(W, 400) of speech, crowds and synthesised noises."""
    rng = np.random.default_rng((seed, OTHER))
    return embedded(tagger, [w for _, w in not_music(voices, rng, SPEECH_WINDOWS, WINDOWS_A_NOISE)], rng)


def song_rows(tagger: Tagger, folder: Path, seed: int) -> Features:
    """(W, 400) of whole songs."""
    rng = np.random.default_rng((seed, SONGS))
    songs = [read_mono(path, SAMPLE_RATE) for path in sorted(folder.rglob("*.ogg"))]
    return embedded(tagger, [w for song in songs for w in windows_of(song, WINDOWS_A_TRACK, rng)], rng)


def sound_rows(tagger: Tagger, sounds: list[Features], seed: int, part: int = SOUNDS) -> Features:
    """(W, 400) of recorded sounds, or of loops of music."""
    rng = np.random.default_rng((seed, part))
    return embedded(tagger, [w for sound in sounds for w in windows_of(sound, WINDOWS_A_SOUND, rng)], rng)


def fit(music: Features, other: Features) -> tuple[NDArray[np.float64], float]:
    """Weights and bias on raw embeddings; the bias lets TOLD of the other sounds be told, by cross-validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows = np.concatenate((music, other)).astype(np.float64)
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    target = np.repeat((1, 0), (len(music), len(other)))
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=2000)
    scaled = (rows - mean) / spread
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, scaled, target, cv=folds, method="decision_function")
    model.fit(scaled, target)
    weights = model.coef_[0] / spread
    bias = float(model.intercept_[0] - (weights * mean).sum())
    return weights, bias - float(np.quantile(scores[target == 0], TOLD))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default="", help="default: the shipped tagger")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--music", type=Path)
    parser.add_argument("--songs", type=Path, help="songs in ogg files, all of them to learn from")
    parser.add_argument("--loops", type=Path, help="loops of drums and drones, divided as --sounds are")
    parser.add_argument("--sounds", type=Path, help="recordings of what is no music and no speech")
    parser.add_argument("--more-sounds", type=Path, help="more of these, all to learn from")
    parser.add_argument("--json", type=Path, help="where the test's figures go")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    tagger = load_tagger(given.checkpoint)
    voices = utterances(given.speech)
    learned = [sounds for name, sounds in voices.items() if name not in HELD_BACK]
    music = music_rows(tagger, given.corpus, given.music, given.seed)
    other = other_rows(tagger, learned, given.seed)
    known, unknown = recorded_sounds(given.sounds) if given.sounds else ([], [])
    loops, unknown_loops = recorded_sounds(given.loops) if given.loops else ([], [])
    if known:
        other = np.concatenate((other, sound_rows(tagger, known, given.seed)))
    if given.more_sounds:
        rows = sound_rows(tagger, more_sounds(given.more_sounds), given.seed, MORE)
        other = np.concatenate((other, rows))
    if loops:
        music = np.concatenate((music, sound_rows(tagger, loops, given.seed, LOOPS)))
    if given.songs:
        music = np.concatenate((music, song_rows(tagger, given.songs, given.seed)))
    head = fit(music, other)
    rng = np.random.default_rng((given.seed, TEST))
    folder = Path(given.checkpoint) if given.checkpoint else Path("models/musicnn")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config["music_head"] = {
        "events": EVENTS,
        "weights": [round(float(w), 5) for w in head[0]],
        "bias": round(head[1], 5),
    }
    with atomic_path(folder / CONFIG, overwrite=True) as temporary:
        temporary.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    figures: dict[str, list[int]] = {}

    def count(kind: str, windows: list[Features], is_music: bool) -> None:
        if not windows:
            return
        said = embedded(tagger, windows) @ head[0] + head[1] > 0
        right, total = figures.get(kind, [0, 0])
        figures[kind] = [right + int((said == is_music).sum()), total + len(windows)]

    for name in HELD_BACK:
        if name in voices:
            for kind, window in not_music([voices[name]], rng, 60, 0):
                count(f"{kind}, {name}", [window], False)
    for kind, window in not_music([], rng, 0, 20):
        count(kind, [window], False)
    for sound in unknown:
        count("recorded sounds", windows_of(sound, 2, rng), False)
    for sound in unknown_loops:
        count("music: loops and drones", windows_of(sound, 2, rng), True)
    for kind, sound in rendered(given.corpus, "valid", rng, 4, 20):
        count(f"music: {kind}", windows_of(sound, 2, rng), True)
    print(f"learned from {len(music)} windows of music and {len(other)} of other sound")
    for kind, (right, total) in figures.items():
        print(f"{kind:<36} {right:>4} of {total}")
    if given.json:
        with atomic_path(given.json, overwrite=True) as temporary:
            temporary.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
