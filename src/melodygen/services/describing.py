"""A file as the library keeps it: heard by the tagger and the style CNN, measured, and fingerprinted.

A recording is decoded once, to mono at 16 kHz, twenty minutes of it at most. A score is rendered as a draft, a minute
from its middle; its fingerprints are made of all its notes. Both nets hear windows that are spread evenly over a track:
the time that a track takes hardly depends on its length.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly

from melodygen.analysis.rhythm import Rhythm, read_rhythm
from melodygen.audio import musicnn_mel
from melodygen.audio.decode import read_mono
from melodygen.audio.features import Features, mel_power, mono_features, to_mono_at
from melodygen.classification.batch import load_recognizer
from melodygen.classification.recognizer import TrackClassifier
from melodygen.classification.scoring import Scorer, is_silent, window_classifier
from melodygen.classification.symbolic import is_symbolic, read_symbolic, render_draft, score_rhythm, stretch
from melodygen.contracts import Renderer
from melodygen.errors import AudioError, ClassifierError
from melodygen.library.chroma import chroma_of_score, chroma_of_sound, packed, patches_of
from melodygen.library.embedding import DIMENSION, fused, notes_part, rhythm_part, tonality_part
from melodygen.library.lines import lines_of
from melodygen.library.tags import read_tags
from melodygen.library.track import Description, Facts, Tags
from melodygen.music.score import Score
from melodygen.nets.checkpoint import load_weights, read_config, weights_sha256
from melodygen.nets.musicnn import Musicnn
from melodygen.resources import models_dir

TAGGER = "musicnn-msd"
RATE = musicnn_mel.SAMPLE_RATE
MAX_SECONDS = 1_200.0
TAGGER_WINDOWS, STYLE_WINDOWS = 10, 6
RHYTHM_SECONDS = 60.0
BRIGHT, DARK = (
    ("happy", "party", "catchy", "dance", "funk"),
    ("sad", "ambient", "metal", "heavy metal", "experimental"),
)
STIRRED = ("party", "dance", "metal", "heavy metal", "hard rock", "punk", "rock")
QUIET = ("Mellow", "chill", "chillout", "ambient", "easy listening", "beautiful", "acoustic")

USUAL_VALENCE, USUAL_AROUSAL = -1.5, -0.42
"""Log-odds between the medians of 193 recordings of five styles and of 50 renders of ten: there a mood is neither."""


class Describer:
    """Holds the nets. ``embedder_id`` names them and the way their vectors are put together."""

    dimension = DIMENSION

    def __init__(
        self, recognizer: TrackClassifier, tagger_folder: Path, renderer: Renderer | None = None
    ) -> None:
        self._recognizer = recognizer
        self._renderer = renderer
        config = read_config(tagger_folder, "tagger")
        self._tags = tuple(str(label) for label in config["labels"])
        net = Musicnn(len(self._tags))
        load_weights(tagger_folder, net)
        self._tagger = net.prepare()
        for judge in (recognizer.for_recordings, recognizer.for_renders):
            if window_classifier(judge).front_end.sample_rate * 2 != RATE:
                raise ClassifierError(
                    f"{judge.classifier_id} does not hear {RATE // 2} Hz; the library needs that"
                )
        tagger_id = f"{tagger_folder.name}-{weights_sha256(tagger_folder)[:8]}"
        self.embedder_id = f"fused1+{tagger_id}+{recognizer.for_renders.classifier_id}"

    @classmethod
    def load(cls, classifier: str | None = None) -> Describer:
        """With the shipped tagger, and the shipped classifiers or one named."""
        return cls(load_recognizer(classifier), models_dir() / TAGGER)

    def describe(self, path: Path) -> Description:
        """Raises AudioError or MidiReadError with a one-line reason; silence is an AudioError."""
        if path.is_dir():
            raise AudioError(f"{path} is a folder")
        if is_symbolic(path):
            return self._score(read_symbolic(path), Tags())
        return self._sound(read_mono(path, RATE, MAX_SECONDS), "recording", read_tags(path))

    def _score(self, score: Score, tags: Tags) -> Description:
        if self._renderer is None:
            from melodygen.rendering.sampler import SamplerRenderer

            self._renderer = SamplerRenderer()
        mono = to_mono_at(render_draft(stretch(score), self._renderer), RATE)
        notes, steps = lines_of(score)
        chroma = chroma_of_score(score)
        weights = np.zeros(12, dtype=np.float32)
        for track in score.tracks:
            if not track.is_drum:
                np.add.at(weights, track.notes["pitch"] % 12, track.notes["duration_ticks"])
        tags = Tags(title=" ".join(score.title.split())) if score.title else tags
        facts, parts = self._heard(mono, "score", score_rhythm(score), chroma, weights)
        parts["notes"] = notes_part(score, steps)
        facts = Facts(**{**facts.__dict__, "duration_seconds": score.duration_seconds})
        return Description(facts, tags, fused(parts), patches_of(chroma), packed(chroma), notes, steps, parts)

    def _sound(self, mono: Features, kind: str, tags: Tags) -> Description:
        low = resample_poly(mono, 1, 2).astype(np.float32)
        chroma = chroma_of_sound(low)
        facts, parts = self._heard(mono, kind, None, chroma, None)
        return Description(facts, tags, fused(parts), patches_of(chroma), packed(chroma), parts=parts)

    def _heard(
        self,
        mono: Features,
        kind: str,
        rhythm: Rhythm | None,
        chroma: Features,
        pitch_classes: Features | None,
    ) -> tuple[Facts, dict[str, Features]]:
        """Facts, and the parts of the vector that sound gives; mono is at 16 kHz."""
        if is_silent(mono):
            raise AudioError("silence")
        recognizer = self._recognizer
        scorer = Scorer(
            window_classifier(recognizer.for_renders if kind == "score" else recognizer.for_recordings)
        )
        low = resample_poly(mono, 1, 2).astype(np.float32)
        size = round(RHYTHM_SECONDS * RATE / 2)
        middle = low[max(0, (len(low) - size) // 2) :][:size]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            known = rhythm or read_rhythm(middle, RATE // 2)
        heard = _spread(low, scorer.front_end.num_samples, STYLE_WINDOWS)
        logits, told = scorer.logits(heard)
        not_music = "speech or noise" if told is not None and told.mean() < 0 and kind == "recording" else ""
        embedding, tags = self._tagged(mono)
        valence, arousal = mood_of(dict(zip(self._tags, tags.tolist(), strict=True)))
        facts = Facts(
            kind=kind,
            duration_seconds=len(mono) / RATE,
            styles=() if not_music else scorer.styles(logits.mean(axis=0)),
            qpm=known.qpm,
            meter=known.meter,
            key=known.key,
            valence=None if not_music else valence,
            arousal=None if not_music else arousal,
            not_music=not_music,
        )
        parts = {
            "tags": embedding,
            "style": self._style_part(heard),
            "rhythm": rhythm_part(mel_power(middle, scorer.front_end), known.qpm),
            "tonality": tonality_part(chroma, known.key, pitch_classes),
        }
        return facts, parts

    def _style_part(self, heard: Features) -> Features:
        """By the net that hears renders, for recordings too: vectors of two nets cannot be compared."""
        judge = window_classifier(self._recognizer.for_renders)
        part: Features = judge.outputs(mono_features(heard, judge.front_end))[0].mean(axis=0)
        return part

    def _tagged(self, mono: Features) -> tuple[Features, NDArray[np.float64]]:
        """(200,) embedding and (tags,) values, both means over the track."""
        size = musicnn_mel.WINDOW_SAMPLES
        count = min(TAGGER_WINDOWS, max(1, len(mono) // size))
        starts = np.linspace(0, max(0, len(mono) - size), count).astype(np.int64)
        cut = np.stack([np.resize(mono[s : s + size], size) for s in starts.tolist()])
        with torch.inference_mode():
            embedded, logits = self._tagger(torch.from_numpy(musicnn_mel.log_mel(cut)))
            values = torch.sigmoid(logits).mean(dim=0).numpy().astype(np.float64)
        result: Features = embedded.mean(dim=0).numpy()
        return result, values


def mood_of(tags: dict[str, float]) -> tuple[float, float]:
    """(valence, arousal), 0.0-1.0, of the tagger's values: log-odds of bright against dark tags, of stirred against
    quiet ones. A rough estimate: the tags are listeners' words for popular music."""
    return _balance(tags, BRIGHT, DARK, USUAL_VALENCE), _balance(tags, STIRRED, QUIET, USUAL_AROUSAL)


def _balance(tags: dict[str, float], for_: tuple[str, ...], against: tuple[str, ...], usual: float) -> float:
    one, other = (sum(tags.get(name, 0.0) for name in names) + 1e-3 for names in (for_, against))
    return float(one / (one + other * np.exp(usual)))


def _spread(mono: Features, size: int, count: int) -> Features:
    """At most ``count`` windows of ``size`` samples, evenly from all of the sound, one behind the other."""
    if len(mono) <= count * size:
        return mono
    starts = np.linspace(0, len(mono) - size, count).astype(np.int64)
    return np.concatenate([mono[s : s + size] for s in starts.tolist()])


__all__ = ["TAGGER", "Describer", "mood_of"]
