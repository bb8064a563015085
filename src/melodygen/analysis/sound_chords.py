"""Chords of sound or notes, one for each beat: pitch-class weights against templates, and the likeliest path of chords.

Sound is folded into pitch classes twice: from 130 to 2000 Hz the chord, from 45 to 180 Hz the bass, which tells the
root. The templates (major, minor, and with their sevenths) hold a share of their overtones. A hidden Markov model holds
a chord for as long as the next one is not clearly better. Its constants were fitted on one half of renders with chord
symbols; the figures (docs/hearing.md) are those of the other half.

N beats, T frames, K chords.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.signal import resample_poly

from melodygen.audio.features import Features, resampling_ratio
from melodygen.music.harmony import CHORD_QUALITIES, chord_label
from melodygen.music.score import Score

Floats = NDArray[np.float64]

SAMPLE_RATE = 11_025
N_FFT, HOP = 4_096, 1_024
CHORD_HZ, BASS_HZ = (130.0, 2000.0), (45.0, 180.0)
TUNING_SPREAD = 0.25
"""Semitones from a note of equal temperament at which a frequency counts 0.6 for it."""
LEVELS = 100.0
"""Levels are log(1 + 100 x), x in shares of the loudest."""
QUALITIES = {"maj": 0.0, "min": 0.0, "7": -0.3, "min7": -0.3, "maj7": -0.5}
"""Quality -> log likelihood that is added."""
SEVENTH, OVERTONE = 0.8, 0.3
FIT, BASS_FIT, BASS_FIFTH = 12.0, 2.0, 0.3
STAY = 0.8
SILENT = 0.02
"""Share of the loudest beat below which there is no chord."""
BLOCK = 500
NO_CHORD = "N"


@dataclass(frozen=True)
class ChordSpan:
    """A chord with its beginning and end in seconds; ``label`` in Harte syntax, N for none."""

    start_seconds: float
    end_seconds: float
    label: str


def chord_spans(
    edges: Floats, treble: Floats, bass: Floats, fifths: int | None, mode: str
) -> list[ChordSpan]:
    """The chords of N beats, neighbours of one chord together.

    Args:
        edges: (N + 1,) seconds of the beats and of the end.
        treble: (N, 12) weight of each pitch class.
        bass: (N, 12) the same of the bass.
        fifths: sharps of the key that names are spelled for; None spells with flats.
        mode: of the key.
    """
    spans: list[ChordSpan] = []
    for index, label in enumerate(_labels(treble, bass, fifths, mode)):
        start, end = float(edges[index]), float(edges[index + 1])
        if spans and spans[-1].label == label:
            spans[-1] = ChordSpan(spans[-1].start_seconds, end, label)
        else:
            spans.append(ChordSpan(start, end, label))
    return spans


def _labels(treble: Floats, bass: Floats, fifths: int | None, mode: str) -> list[str]:
    if not len(treble):
        return []
    templates, names = _templates()
    roots = np.array([root for root, _ in names])
    low = _unit(bass)
    fit = FIT * (_unit(treble) @ templates.T)
    fit += BASS_FIT * (low[:, roots] + BASS_FIFTH * low[:, (roots + 7) % 12])
    fit += np.array([QUALITIES[quality] for _, quality in names])
    path = likeliest_path(fit, STAY)
    level = treble.sum(axis=1)
    silent = level <= SILENT * level.max()  # where nothing sounds at all, every beat
    return [
        NO_CHORD if quiet else chord_label(names[chord][0], names[chord][1], fifths, mode)
        for chord, quiet in zip(path.tolist(), silent.tolist(), strict=True)
    ]


def likeliest_path(likelihood: Floats, stay: float) -> NDArray[np.int64]:
    """(N,) states of the likeliest path.

    Args:
        likelihood: (N, K) logarithms.
        stay: probability that a state is followed by itself; all others are equally likely.
    """
    num_states = likelihood.shape[1]
    stays, moves = np.log(stay), np.log((1 - stay) / max(1, num_states - 1))
    best = likelihood[0].copy()
    came_from = np.zeros(likelihood.shape, dtype=np.int64)
    for i in range(1, len(likelihood)):
        other = int(best.argmax())
        keeps = best + stays >= best[other] + moves
        came_from[i] = np.where(keeps, np.arange(num_states), other)
        best = np.where(keeps, best + stays, best[other] + moves) + likelihood[i]
    path = [int(best.argmax())]
    for i in range(len(likelihood) - 1, 0, -1):
        path.append(int(came_from[i, path[-1]]))
    return np.array(path[::-1], dtype=np.int64)


def pitch_classes_of_sound(mono: Features, sample_rate: int, edges: Floats) -> tuple[Floats, Floats]:
    """(N, 12) weights of pitch classes of the chord and of the bass between ``edges`` (N + 1,) in seconds."""
    chord, bass = chroma_frames(mono, sample_rate)
    frames = np.clip(np.rint(edges * SAMPLE_RATE / HOP).astype(np.int64), 0, len(chord) - 1)
    spans = [slice(a, max(a + 1, b)) for a, b in itertools.pairwise(frames)]
    both = [
        np.stack([rows[span].mean(axis=0) for span in spans]).astype(np.float64) for rows in (chord, bass)
    ]
    return both[0], both[1]


def chroma_frames(mono: Features, sample_rate: int) -> tuple[Features, Features]:
    """(T, 12) of the chord and of the bass, 10.8 frames a second."""
    low = resample_poly(mono, *resampling_ratio(sample_rate, SAMPLE_RATE)).astype(np.float32)
    padded = np.pad(low, N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    window = np.hanning(N_FFT).astype(np.float32)
    top = max(
        float(np.abs(rfft(frames[at : at + BLOCK] * window, axis=1)).max())
        for at in range(0, len(frames), BLOCK)
    )
    chord, bass = [], []
    for at in range(0, len(frames), BLOCK):
        magnitude = np.abs(rfft(frames[at : at + BLOCK] * window, axis=1))
        level = np.log1p(magnitude * np.float32(LEVELS / (top + 1e-9)))
        chord.append(level @ _folding(*CHORD_HZ, 0.5))
        bass.append(level @ _folding(*BASS_HZ, 0.0))
    return np.concatenate(chord), np.concatenate(bass)


def pitch_classes_of_score(score: Score, edge_ticks: list[int]) -> tuple[Floats, Floats]:
    """(N, 12) of the pitched notes that sound between ``edge_ticks`` (N + 1,), with overtones, and of the lowest."""
    edges = np.array(edge_ticks, dtype=np.int64)
    treble = np.zeros((len(edges) - 1, 12))
    lowest = np.full(len(edges) - 1, 128)
    for track in score.tracks:
        if track.is_drum:
            continue
        for note in track:
            first = max(0, int(np.searchsorted(edges, note.onset_tick, side="right")) - 1)
            last = min(len(lowest), int(np.searchsorted(edges, note.offset_tick)))
            for beat in range(first, last):
                inside = min(note.offset_tick, edges[beat + 1]) - max(note.onset_tick, edges[beat])
                treble[beat, note.pitch % 12] += max(0, inside)
                lowest[beat] = min(lowest[beat], note.pitch)
    treble += OVERTONE * np.roll(treble, 7, axis=1) + 0.5 * OVERTONE * np.roll(treble, 4, axis=1)
    bass = np.zeros_like(treble)
    sounding = np.flatnonzero(lowest < 128)
    bass[sounding, lowest[sounding] % 12] = 1.0
    return treble, bass


@lru_cache(maxsize=2)
def _folding(low_hz: float, high_hz: float, slope: float) -> Features:
    """(bins, 12): a bin counts for the notes around it, the less the higher it lies."""
    hz = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    heard = np.flatnonzero((hz >= low_hz) & (hz < high_hz))
    pitch = 69 + 12 * np.log2(hz[heard] / 440.0)
    folding = np.zeros((len(hz), 12))
    for shift in (-1, 0, 1):
        note = np.rint(pitch) + shift
        weight = np.exp(-0.5 * ((pitch - note) / TUNING_SPREAD) ** 2) * (hz[heard] / low_hz) ** -slope
        np.add.at(folding, (heard, note.astype(np.int64) % 12), weight)
    return folding.astype(np.float32)


@lru_cache(maxsize=1)
def _templates() -> tuple[Floats, list[tuple[int, str]]]:
    """(K, 12) of mean 0 and length 1, and the root and quality of each."""
    rows, names = [], []
    for quality in QUALITIES:
        for root in range(12):
            row = np.zeros(12)
            for rank, interval in enumerate(CHORD_QUALITIES[quality]):
                weight = SEVENTH if rank == 3 else 1.0
                for overtone, share in ((0, 1.0), (7, OVERTONE), (4, 0.5 * OVERTONE)):
                    row[(root + interval + overtone) % 12] += weight * share
            rows.append(row)
            names.append((root, quality))
    return _unit(np.array(rows)), names


def _unit(rows: Floats) -> Floats:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(centred / (np.linalg.norm(centred, axis=1, keepdims=True) + 1e-9))


__all__ = [
    "NO_CHORD", "ChordSpan", "chord_spans", "chroma_frames", "likeliest_path", "pitch_classes_of_score",
    "pitch_classes_of_sound",
]  # fmt: skip
