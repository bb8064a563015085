"""Classifies tracks: a file in, a TrackResult out. Recordings by blocks, MIDI and scores rendered first.

A recording is classified in chapters of ten minutes, so that memory does not grow with its length; a track of one
chapter gets the scores that ``CnnClassifier.classify`` would give it. A track is said to be no music when nothing
sounds, or when the classifier's music head says so on the average over its windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.analysis.rhythm import Rhythm, read_rhythm
from melodygen.audio.buffer import Audio
from melodygen.audio.decode import Recording, Signal, open_recording, read_mono
from melodygen.audio.excerpts import SILENCE_RMS
from melodygen.audio.features import Features, mono_features, to_mono_at
from melodygen.classification.recording import (
    MIN_MUSIC,
    RHYTHM_SECONDS,
    Excerpts,
    check_length,
    excerpts_of,
    read_excerpts,
    result_of,
)
from melodygen.classification.result import Segment, TrackResult
from melodygen.classification.scoring import (
    Scorer,
    WindowScores,
    is_silent,
    music_probability,
    tag_evidence_of,
    window_classifier,
)
from melodygen.classification.symbolic import (
    as_heard,
    is_symbolic,
    leads_are_placeholders,
    read_symbolic,
    score_rhythm,
    stretch,
)
from melodygen.classification.tagger import Tagger, WindowOutputs
from melodygen.contracts import Renderer, StyleClassifier, WindowClassifier
from melodygen.errors import AudioError, ClassifierError
from melodygen.music.score import Score
from melodygen.rendering.draft import render_draft
from melodygen.styles.scores import StyleScores

CHAPTER_SECONDS = 600.0
JOINED_SECONDS = 60.0
"""A rest this short joins the chapter before it."""


@dataclass(frozen=True)
class RecognitionOptions:
    """What is found out. ``whole`` renders all of a score instead of a minute from its middle."""

    rhythm: bool = True
    segments: bool = False
    whole: bool = False


@dataclass(frozen=True, eq=False)
class _Track:
    """A track that is about to be classified. ``chapters``: mono sound at the classifier's rate.

    ``rhythm`` and ``duration_seconds`` are None where they are found on the way; ``middle_seconds``: where rhythm is
    read; ``recording``: what the chapters are read from, as they are asked for.
    """

    path: str
    kind: str
    chapters: Iterable[Features]
    signal: Signal
    rhythm: Rhythm | None = None
    duration_seconds: float | None = None
    notes: tuple[str, ...] = ()
    middle_seconds: float = 0.0
    recording: Recording | None = None


@dataclass(frozen=True, eq=False)
class Listened:
    """A file as the classifiers hear it, read and rendered once.

    Attributes:
        classifier: works by windows; where recordings are left to a tagger, the one for renders, and where those
            are left to it too, the one that stands beside (``by_windows``).
        windows: (W, F, T), those of ``classifier``.
        recording: of a recording that is left to a tagger, the tagger and the mono sound at its rate.
        fused: of a score or a render, what ``classify`` says where a tagger counts beside ``classifier``, or alone;
            None for others, and where it is no music.
    """

    classifier: WindowClassifier
    windows: Features
    recording: tuple[Tagger, Features] | None = None
    fused: StyleScores | None = None


class TrackClassifier:
    """``recordings`` classifies recordings, ``renders`` what our renderers made. A renderer is made when needed.

    Of scores and renders the styles of a tagger of recordings count beside those of ``renders``, and of scores their
    instruments, where that says how (``TagEvidence``). ``by_windows`` is what ``listen`` hears windows with where
    ``renders`` is a tagger.
    """

    def __init__(
        self,
        recordings: StyleClassifier,
        renders: StyleClassifier,
        renderer: Renderer | None = None,
        by_windows: StyleClassifier | None = None,
    ) -> None:
        self.for_recordings, self.for_renders = recordings, renders
        self._renderer = renderer
        self._by_windows = by_windows or renders

    def classify(self, path: Path, options: RecognitionOptions = RecognitionOptions()) -> TrackResult:
        """The style, tempo, meter and key of a file. Raises AudioError or MidiReadError with a one-line reason."""
        _refuse_folder(path)
        return (
            self._classify_score(path, options) if is_symbolic(path) else self._classify_file(path, options)
        )

    def listen(self, path: Path) -> Listened:
        """A file as the classifiers hear it, of a recording ten minutes at most. Raises AudioError for silence,
        AudioError or MidiReadError for what cannot be read, ClassifierError for a classifier that does not work by
        windows."""
        _refuse_folder(path)
        return self._listen_to_score(path) if is_symbolic(path) else self._listen_to_file(path)

    def tagger_outputs(self, path: Path) -> WindowOutputs:
        """What the nets of the tagger of recordings make of a file, of a score of a render of a minute. Raises
        AudioError or MidiReadError with a one-line reason, also for silence, ClassifierError without a tagger."""
        _refuse_folder(path)
        tagger = self.for_recordings
        if not isinstance(tagger, Tagger):
            raise ClassifierError(f"{tagger.classifier_id} is no tagger")
        if is_symbolic(path):
            mono = to_mono_at(self._rendered(stretch(read_symbolic(path))), tagger.sample_rate)
            heard = excerpts_of(mono, tagger)
        else:
            with open_recording(path) as recording:
                heard = read_excerpts(recording, tagger, rhythm=False, segments=False)[0]
        check_length(path, heard.seconds)
        if not heard.windows:
            raise AudioError(f"{path.name}: silence")
        return tagger.outputs(heard.windows)

    def _listen_to_score(self, path: Path) -> Listened:
        score = read_symbolic(path)
        excerpt = stretch(score)
        rendered = self._rendered(excerpt)
        classifier = window_classifier(self._by_windows)
        windows = _windows(path, to_mono_at(rendered, classifier.front_end.sample_rate), classifier)
        if not self._hears_renders_by_tagger():
            return Listened(classifier, windows)
        result = self._classify_rendered(path, score, excerpt, rendered, RecognitionOptions(rhythm=False))
        return Listened(classifier, windows, fused=_scores_of(result, self.for_renders))

    def _listen_to_file(self, path: Path) -> Listened:
        tagger = self.for_recordings if isinstance(self.for_recordings, Tagger) else None
        classifier = window_classifier(self.for_recordings if tagger is None else self._by_windows)
        rate = classifier.front_end.sample_rate
        with open_recording(path) as recording:
            left_to = None if _is_render(recording) else tagger
            rates = (rate,) if left_to is None else (rate, left_to.sample_rate)
            sounds, _ = recording.mono_at(rates, CHAPTER_SECONDS)
        windows = _windows(path, sounds[0], classifier)
        if left_to is not None:
            return Listened(classifier, windows, recording=(left_to, sounds[1]))
        if not self._hears_renders_by_tagger():
            return Listened(classifier, windows)
        result = self._classify_file(path, RecognitionOptions(rhythm=False))
        return Listened(classifier, windows, fused=_scores_of(result, self.for_renders))

    def signal_of(self, result: TrackResult) -> tuple[WindowClassifier, Features]:
        """The classifier of a track, and the track again as mono sound at its rate, ten minutes at most. Raises
        ClassifierError for a classifier that does not work by windows."""
        classifier = window_classifier(
            self.for_recordings if result.kind == "recording" else self.for_renders
        )
        rate = classifier.front_end.sample_rate
        return classifier, self._mono(Path(result.path), result.kind == "score", rate)

    def _mono(self, path: Path, is_score: bool, rate: int) -> Features:
        if is_score:
            return to_mono_at(self._rendered(stretch(read_symbolic(path))), rate)
        return read_mono(path, rate, CHAPTER_SECONDS)

    def _rendered(self, score: Score) -> Audio:
        if self._renderer is None:
            from melodygen.rendering.sampler import SamplerRenderer

            self._renderer = SamplerRenderer()
        return render_draft(as_heard(score), self._renderer)

    def _classify_score(self, path: Path, options: RecognitionOptions) -> TrackResult:
        warnings: list[str] = []
        score = read_symbolic(path, warnings)
        excerpt = score if options.whole else stretch(score)
        notes = (*(() if excerpt is score else ("a minute from the middle was heard",)), *warnings)
        if leads_are_placeholders(excerpt):
            notes = ("it names no instruments but synthesiser leads and was heard on a piano", *notes)
        return self._classify_rendered(path, score, excerpt, self._rendered(excerpt), options, notes)

    def _classify_rendered(
        self, path: Path, score: Score, excerpt: Score, audio: Audio, options: RecognitionOptions,
        notes: tuple[str, ...] = (),
    ) -> TrackResult:  # fmt: skip
        """The verdict on a score by the render of an excerpt, which is all of it or a minute."""
        tagger, tagged = self._tagger_beside(), None
        if tagger is not None:
            tagged = _tagged(tagger, excerpts_of(to_mono_at(audio, tagger.sample_rate), tagger))
        scorer = Scorer(self.for_renders, tagged, excerpt)
        signal = Signal()
        signal.add(np.ascontiguousarray(audio.samples.T), 0)
        track = _Track(
            str(path), "score", [to_mono_at(audio, scorer.sample_rate)], signal,
            score_rhythm(score), score.duration_seconds, notes,
        )  # fmt: skip
        return _classify(track, scorer, options)

    def _tagger_beside(self) -> Tagger | None:
        """The tagger that counts beside the classifier of renders; one with styles of its own does not."""
        tagger = self.for_recordings
        if not isinstance(tagger, Tagger) or tag_evidence_of(self.for_renders) is None:
            return None
        return tagger if tagger.style_head is None else None

    def _hears_renders_by_tagger(self) -> bool:
        """Whether a tagger counts in what is said of renders, beside another classifier or alone."""
        return isinstance(self.for_renders, Tagger) or self._tagger_beside() is not None

    def _classify_file(self, path: Path, options: RecognitionOptions) -> TrackResult:
        with open_recording(path) as recording:
            is_render = _is_render(recording)
            if isinstance(self.for_recordings, Tagger) and not is_render:
                tagger = self.for_recordings
                excerpts, segments, notes = read_excerpts(recording, tagger, options.rhythm, options.segments)
                notes = (*notes, *recording.remarks(excerpts.seconds))
                return result_of(str(path), tagger, excerpts, options.rhythm, notes, segments)
            beside, tagged = self._tagger_beside() if is_render else None, None
            if beside is not None:
                with open_recording(path) as again:  # a pipe of ffmpeg's is read once
                    tagged = _tagged(beside, read_excerpts(again, beside, rhythm=False, segments=False)[0])
            scorer = Scorer(self.for_renders if is_render else self.for_recordings, tagged)
            expected = recording.expected_frames
            track = _Track(
                str(path),
                "render" if is_render else "recording",
                _chapters(recording, scorer.sample_rate),
                recording.signal,
                middle_seconds=0.0 if expected is None else expected / recording.sample_rate / 2,
                recording=recording,
            )
            return _classify(track, scorer, options)


def _windows(path: Path, mono: Features, classifier: WindowClassifier) -> Features:
    if is_silent(mono):
        raise AudioError(f"{path.name}: silence")
    return mono_features(mono, classifier.front_end)


def _tagged(tagger: Tagger, heard: Excerpts) -> StyleScores | None:
    """The tagger's styles of what it heard; None where nothing sounds."""
    return tagger.tag_windows(heard.windows).styles if heard.windows else None


def _scores_of(result: TrackResult, classifier: StyleClassifier) -> StyleScores | None:
    """Its styles in the order of the labels of the classifier of renders; None where it is no music."""
    if not result.styles:
        return None
    said, labels = dict(result.styles), classifier.labels
    part_of = classifier.part_of if isinstance(classifier, Tagger) else {}
    return StyleScores(labels, np.array([said[label] for label in labels]), result.classifier, part_of)


def _is_render(recording: Recording) -> bool:
    return "melodygen" in recording.tags.get("software", "")


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise AudioError(f"{path} is a folder")


def _chapters(recording: Recording, rate: int) -> Iterator[Features]:
    """Mono sound of up to ten minutes at a time; a short rest joins the chapter before it."""
    size = round(CHAPTER_SECONDS * rate)
    held: list[Features] = []
    count = 0
    for block in recording.mono_blocks(rate):
        held.append(block)
        count += len(block)
        if count >= size + round(JOINED_SECONDS * rate):
            whole = np.concatenate(held)
            yield whole[:size]
            held, count = [whole[size:]], len(whole) - size
    if count:
        yield np.concatenate(held)


@dataclass(frozen=True, eq=False)
class _Scores:
    """What a classifier says of a whole track; ``spans`` in seconds, ``excerpt`` is what rhythm is read from."""

    style_logits: NDArray[np.float64]
    music_logits: NDArray[np.float64] | None
    is_loud: NDArray[np.bool_]
    spans: list[tuple[float, float]]
    excerpt: Features

    @classmethod
    def of(cls, track: _Track, scorer: Scorer) -> _Scores:
        """Score chapter by chapter; raises what reading them raises."""
        rate = scorer.sample_rate
        parts: list[WindowScores] = []
        spans: list[tuple[float, float]] = []
        excerpt = np.zeros(0, dtype=np.float32)
        start = 0
        for mono in track.chapters:
            part = scorer.windows(mono)
            parts.append(part)
            spans += [
                ((start + a) / rate, (start + b) / rate) for a, b in zip(part.starts, part.ends, strict=True)
            ]
            if not len(excerpt) or start / rate <= track.middle_seconds:
                size = round(RHYTHM_SECONDS * rate)
                at = max(0, (len(mono) - size) // 2)
                excerpt = mono[at : at + size]
            start += len(mono)
        if not parts:
            check_length(track.path, 0.0)
        music = [part.music_logits for part in parts if part.music_logits is not None]
        return cls(
            np.concatenate([part.style_logits for part in parts]),
            np.concatenate(music) if music else None,
            np.concatenate([part.is_loud for part in parts]),
            spans,
            excerpt,
        )

    def music(self, window: int | None = None) -> float | None:
        """Probability of music of the loud windows, or of one; None where the classifier does not tell."""
        if self.music_logits is None:
            return None
        return music_probability(self.music_logits[self.is_loud if window is None else [window]])


def _classify(track: _Track, scorer: Scorer, options: RecognitionOptions) -> TrackResult:
    scores = _Scores.of(track, scorer)
    seconds, notes = track.duration_seconds, track.notes
    if track.recording is not None:
        seconds = track.signal.num_frames / track.recording.sample_rate
        notes = (*notes, *track.recording.remarks(seconds))
    assert seconds is not None
    check_length(track.path, seconds)
    sounds = bool(scores.is_loud.any()) and track.signal.rms > SILENCE_RMS
    music = scores.music() if sounds else None
    not_music = ""
    if not sounds:
        not_music = "silence"
    elif music is not None and music < MIN_MUSIC and track.kind != "score":
        not_music = "speech or noise"
    rhythm = track.rhythm
    if rhythm is None and options.rhythm and not not_music:
        rhythm = read_rhythm(scores.excerpt, scorer.sample_rate)
    styles = () if not_music else scorer.styles(scores.style_logits[scores.is_loud].mean(axis=0))
    return TrackResult(
        track.path,
        track.kind,
        seconds,
        styles,
        Rhythm() if not_music or rhythm is None else rhythm,
        scorer.classifier_id,
        music,
        not_music,
        notes,
        _segments(scores, scorer) if options.segments else (),
        bool(styles) and styles[0][1] < scorer.unsure_below,
    )


def _segments(scores: _Scores, scorer: Scorer) -> tuple[Segment, ...]:
    """Style and music of each window; nothing is said of silent ones."""

    def segment(i: int, start: float, end: float) -> Segment:
        if not scores.is_loud[i]:
            return Segment(start, end, (), None)
        return Segment(start, end, scorer.styles(scores.style_logits[i]), scores.music(i))

    return tuple(segment(i, start, end) for i, (start, end) in enumerate(scores.spans))


__all__ = ["CHAPTER_SECONDS", "Listened", "RecognitionOptions", "TrackClassifier"]
