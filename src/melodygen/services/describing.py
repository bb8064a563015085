"""A file as the library keeps it: heard by the tagger and the style CNN, measured, and fingerprinted.

A recording is decoded once, to mono at 16 kHz, twenty minutes of it at most. A score is rendered as a draft, a minute
from its middle; its fingerprints are made of all its notes. The tune of a recording is kept where one voice is heard
almost alone. Tags, mood and the styles of recordings are the tagger's, the styles of scores those of both, or of the
tagger alone where a user taught it styles. Both hear windows that are spread evenly over a track: the time that a track
takes hardly depends on its length.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from melodygen.analysis.rhythm import Rhythm, read_rhythm
from melodygen.audio.decode import read_mono
from melodygen.audio.features import Features, mel_power, mono_features, to_mono_at
from melodygen.classification.batch import load_recognizer
from melodygen.classification.cnn import load_classifier
from melodygen.classification.recognizer import TrackClassifier
from melodygen.classification.recording import MAX_SECONDS, MIN_MUSIC, RHYTHM_SECONDS, check_length
from melodygen.classification.scoring import Scorer, is_silent, window_classifier
from melodygen.classification.symbolic import as_heard, is_symbolic, read_symbolic, score_rhythm, stretch
from melodygen.classification.tagger import Tagger, load_tagger
from melodygen.contracts import Renderer, StyleClassifier
from melodygen.data.scan import without_leading_rest
from melodygen.errors import AudioError, ClassifierError, reason_of
from melodygen.library.chroma import chroma_of_score, chroma_of_sound, packed, patches_of
from melodygen.library.embedding import (
    DIMENSION,
    fused,
    notes_part,
    rhythm_part,
    tonality_part,
    with_styles,
)
from melodygen.library.lines import lines_of
from melodygen.library.tags import read_tags
from melodygen.library.track import Description, Facts, Tags
from melodygen.library.tune import tune_of_sound
from melodygen.music.score import Score
from melodygen.rendering.draft import render_draft

RATE = 16_000
STYLE_WINDOWS = 6


class Describer:
    """Holds the nets. ``embedder_id`` names them, the way their vectors are put together, and the head of styles that
    a user taught."""

    dimension = DIMENSION

    def __init__(self, tagger: Tagger, classifier: StyleClassifier, renderer: Renderer | None = None) -> None:
        """``classifier`` hears renders of scores, by windows of sound at 8 kHz. Raises ClassifierError for another."""
        self._tagger, self._classifier = tagger, window_classifier(classifier)
        self._renderer = renderer
        if self._classifier.front_end.sample_rate * 2 != RATE:
            raise ClassifierError(
                f"{classifier.classifier_id} does not hear {RATE // 2} Hz; the library needs that"
            )
        vectors = f"fused1+{tagger.nets_id}+{classifier.classifier_id}"
        self.embedder_id = (
            vectors if tagger.style_head is None else with_styles(vectors, tagger.classifier_id)
        )

    @classmethod
    def load(cls, classifier: str | None = None) -> Describer:
        """With the shipped tagger, and the shipped classifier of renders or one named."""
        return cls.of(load_recognizer(classifier))

    @classmethod
    def of(cls, recognizer: TrackClassifier) -> Describer:
        """With the nets of a recognizer; the shipped tagger where it has none, and where it has a tagger alone the
        shipped classifier of renders."""
        tagger, renders = recognizer.for_recordings, recognizer.for_renders
        return cls(
            tagger if isinstance(tagger, Tagger) else load_tagger(),
            load_classifier() if isinstance(renders, Tagger) else renders,
        )

    def describe(self, path: Path) -> Description:
        """Raises AudioError or MidiReadError with a one-line reason; silence is an AudioError."""
        if path.is_dir():
            raise AudioError(f"{path} is a folder")
        if is_symbolic(path):
            return self._score(read_symbolic(path, keep_start=True))
        mono = read_mono(path, RATE, MAX_SECONDS)
        check_length(path, len(mono) / RATE)
        return self._recording(mono, read_tags(path))

    def describe_or_reason(self, path: Path) -> Description | str:
        """Every failure becomes a line: nothing that a file holds may stop the others."""
        try:
            return self.describe(path)
        except Exception as error:
            return reason_of(error, path.name)

    def _score(self, score: Score) -> Description:
        """A leading rest counts in times, and is not listened to."""
        if self._renderer is None:
            from melodygen.rendering.sampler import SamplerRenderer

            self._renderer = SamplerRenderer()
        music = without_leading_rest(score)
        excerpt = stretch(music)
        mono = to_mono_at(render_draft(as_heard(excerpt), self._renderer), RATE)
        notes, steps = lines_of(score)
        chroma = chroma_of_score(score)
        weights = np.zeros(12, dtype=np.float32)
        for track in score.tracks:
            if not track.is_drum:
                np.add.at(weights, track.notes["pitch"] % 12, track.notes["duration_ticks"])
        facts, parts = self._heard(mono, excerpt, score_rhythm(music), chroma, weights)
        parts["notes"] = notes_part(score, steps)
        facts = replace(facts, duration_seconds=score.duration_seconds)
        tags = Tags(title=" ".join(score.title.split()))
        return Description(facts, tags, fused(parts), patches_of(chroma), packed(chroma), notes, steps, parts)

    def _recording(self, mono: Features, tags: Tags) -> Description:
        chroma = chroma_of_sound(_halved(mono))
        facts, parts = self._heard(mono, None, None, chroma, None)
        notes, steps = tune_of_sound(mono, facts.qpm, facts.meter)
        return Description(facts, tags, fused(parts), patches_of(chroma), packed(chroma), notes, steps, parts)

    def _heard(
        self,
        mono: Features,
        score: Score | None,
        rhythm: Rhythm | None,
        chroma: Features,
        pitch_classes: Features | None,
    ) -> tuple[Facts, dict[str, Features]]:
        """Facts, and the parts of the vector that sound gives; mono is at 16 kHz, of a recording or of ``score``."""
        if is_silent(mono):
            raise AudioError("silence")
        low = _halved(mono)
        known = rhythm or read_rhythm(_middle(mono, RATE), RATE)
        mode = None if known.key is None else known.key[1]
        tagged = self._tagger.tag_windows(self._tagger.windows(mono), mode)
        is_music = score is not None or tagged.music is None or tagged.music >= MIN_MUSIC
        front_end = self._classifier.front_end
        windows = mono_features(_spread(low, front_end.num_samples, STYLE_WINDOWS), front_end)
        embedded, logits = self._classifier.outputs(windows)
        if score is not None and self._tagger.style_head is None:
            styles = Scorer(self._classifier, tagged.styles, score).styles(logits.mean(axis=0))
        else:
            styles = tuple(tagged.styles.top(len(tagged.styles.labels)))
        facts = Facts(
            kind="recording" if score is None else "score",
            duration_seconds=len(mono) / RATE,
            styles=styles if is_music else (),
            qpm=known.qpm,
            meter=known.meter,
            key=known.key,
            valence=tagged.mood.valence if is_music else None,
            arousal=tagged.mood.arousal if is_music else None,
            not_music="" if is_music else "speech or noise",
        )
        parts = {
            "tags": tagged.embedding,
            "style": np.asarray(embedded.mean(axis=0), dtype=np.float32),
            "rhythm": rhythm_part(mel_power(_middle(low, RATE // 2), front_end), known.qpm),
            "tonality": tonality_part(chroma, known.key, pitch_classes),
        }
        return facts, parts


def _halved(mono: Features) -> Features:
    """16 kHz -> 8 kHz."""
    low: Features = resample_poly(mono, 1, 2).astype(np.float32)
    return low


def _middle(mono: Features, rate: int) -> Features:
    """What rhythm is read from."""
    size = round(RHYTHM_SECONDS * rate)
    return mono[max(0, (len(mono) - size) // 2) :][:size]


def _spread(mono: Features, size: int, count: int) -> Features:
    """At most ``count`` windows of ``size`` samples, evenly from all of the sound, one behind the other."""
    if len(mono) <= count * size:
        return mono
    starts = np.linspace(0, len(mono) - size, count).astype(np.int64)
    return np.concatenate([mono[s : s + size] for s in starts.tolist()])


__all__ = ["Describer"]
