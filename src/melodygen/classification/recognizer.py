"""A listener: a file in, a TrackResult out. Recordings by blocks, MIDI and scores rendered first.

A recording is heard in chapters of ten minutes, so that memory does not grow with its length; a track of one chapter
gets the scores that ``CnnClassifier.classify`` would give it. A track is said to be no music when nothing sounds, or
when the classifier's music head says so on the average over its windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.analysis.rhythm import Rhythm, read_rhythm
from melodygen.audio.buffer import Audio
from melodygen.audio.decode import Recording, Signal, open_recording, read_mono
from melodygen.audio.features import Features, FrontEndConfig, mono_features, to_mono_at, window_starts
from melodygen.classification.cnn import CnnClassifier
from melodygen.classification.result import Segment, TrackResult
from melodygen.classification.symbolic import is_symbolic, read_symbolic, render_draft, score_rhythm, stretch
from melodygen.contracts import Renderer, StyleClassifier
from melodygen.errors import AudioError, ClassifierError
from melodygen.music.score import Score

CHAPTER_SECONDS = 600.0
RHYTHM_SECONDS = 60.0
MIN_SECONDS = 0.1
SILENCE_RMS = 10 ** (-65 / 20)
"""Of full scale, DC taken off: below the noise of any medium that holds music."""
SCORE_RATE = 8_000


@dataclass(frozen=True)
class RecognitionOptions:
    """How to listen. ``whole`` renders all of a score instead of a minute from its middle."""

    rhythm: bool = True
    segments: bool = False
    whole: bool = False


class TrackClassifier:
    """``recordings`` hears recordings, ``renders`` what a renderer of ours made. A renderer is made when needed."""

    def __init__(
        self, recordings: StyleClassifier, renders: StyleClassifier, renderer: Renderer | None = None
    ) -> None:
        self.for_recordings, self.for_renders = recordings, renders
        self._renderer = renderer

    def hear(self, path: Path, how: RecognitionOptions = RecognitionOptions()) -> TrackResult:
        """Raises AudioError or MidiReadError with a one-line reason."""
        if path.is_dir():
            raise AudioError(f"{path} is a folder")
        return self._hear_score(path, how) if is_symbolic(path) else self._hear_recording(path, how)

    def hear_audio(
        self, audio: Audio, how: RecognitionOptions = RecognitionOptions(), name: str = ""
    ) -> TrackResult:
        """Sound in memory, as a recording."""
        signal = Signal()
        signal.add(np.ascontiguousarray(audio.samples.T), 0)
        judge = self.for_recordings
        mono = to_mono_at(audio, _rate_of(judge))
        return _finding(name, "recording", [mono], None, signal, judge, how, audio.duration_seconds, ())

    def windows(self, path: Path) -> tuple[CnnClassifier, Features]:
        """The checkpoint that fits a file, and the windows (W, F, T) it hears of it, ten minutes at most. Raises
        AudioError for silence, ClassifierError for plug-ins."""
        if path.is_dir():
            raise AudioError(f"{path} is a folder")
        symbolic = is_symbolic(path)
        judge = self.for_renders if symbolic else self.for_recordings
        if not isinstance(judge, CnnClassifier):
            raise ClassifierError(f"{judge.classifier_id} is no checkpoint: only a CNN can be looked into")
        rate = judge.front_end.sample_rate
        if symbolic:
            mono = to_mono_at(self._rendered(stretch(read_symbolic(path))), rate)
        else:
            mono = read_mono(path, rate, CHAPTER_SECONDS)
        if float(mono.std()) <= SILENCE_RMS:
            raise AudioError(f"{path.name}: silence")
        return judge, mono_features(mono, judge.front_end)

    def signal_of(self, result: TrackResult) -> tuple[CnnClassifier, Features]:
        """The checkpoint that classified a track, and the track again as mono sound at that checkpoint's rate, ten
        minutes at most. Raises ClassifierError for plug-ins, which cannot be looked into."""
        judge = self.for_recordings if result.kind == "recording" else self.for_renders
        if not isinstance(judge, CnnClassifier):
            raise ClassifierError(f"{judge.classifier_id} is no checkpoint: only a CNN can be looked into")
        path, rate = Path(result.path), judge.front_end.sample_rate
        if result.kind == "score":
            return judge, to_mono_at(self._rendered(stretch(read_symbolic(path))), rate)
        return judge, read_mono(path, rate, CHAPTER_SECONDS)

    def _rendered(self, score: Score) -> Audio:
        if self._renderer is None:
            from melodygen.rendering.sampler import SamplerRenderer

            self._renderer = SamplerRenderer()
        return render_draft(score, self._renderer)

    def _hear_score(self, path: Path, how: RecognitionOptions) -> TrackResult:
        score = read_symbolic(path)
        heard = score if how.whole else stretch(score)
        audio = self._rendered(heard)
        signal = Signal()
        signal.add(np.ascontiguousarray(audio.samples.T), 0)
        judge = self.for_renders
        mono = to_mono_at(audio, _rate_of(judge))
        notes = () if heard is score else ("a minute from the middle was heard",)
        rhythm = score_rhythm(score)
        return _finding(str(path), "score", [mono], rhythm, signal, judge, how, score.duration_seconds, notes)

    def _hear_recording(self, path: Path, how: RecognitionOptions) -> TrackResult:
        with open_recording(path) as recording:
            rendered = "melodygen" in recording.tags.get("software", "")
            judge = self.for_renders if rendered else self.for_recordings
            rate = _rate_of(judge)
            kind = "render" if rendered else "recording"
            chapters = _chapters(recording, rate)
            expected = recording.expected_frames
            middle = 0.0 if expected is None else expected / recording.sample_rate / 2
            return _finding(
                str(path), kind, chapters, None, recording.signal, judge, how, None, (), middle, recording
            )


def _chapters(recording: Recording, rate: int) -> Iterator[Features]:
    """Mono sound of up to ten minutes at a time; a short rest joins the chapter before it."""
    size = round(CHAPTER_SECONDS * rate)
    held: list[Features] = []
    count = 0
    for block in recording.mono_blocks(rate):
        held.append(block)
        count += len(block)
        if count >= size + 60 * rate:
            whole = np.concatenate(held)
            yield whole[:size]
            held, count = [whole[size:]], len(whole) - size
    if count:
        yield np.concatenate(held)


def _finding(
    path: str,
    kind: str,
    chapters: Iterator[Features] | list[Features],
    rhythm: Rhythm | None,
    signal: Signal,
    judge: StyleClassifier,
    how: RecognitionOptions,
    seconds: float | None,
    notes: tuple[str, ...],
    middle_seconds: float = 0.0,
    recording: Recording | None = None,
) -> TrackResult:
    config = judge.front_end if isinstance(judge, CnnClassifier) else FrontEndConfig()
    rate = config.sample_rate
    logits: list[NDArray[np.float64]] = []
    music: list[NDArray[np.float64]] = []
    loud: list[NDArray[np.bool_]] = []
    spans: list[tuple[float, float]] = []
    piece = np.zeros(0, dtype=np.float32)
    start = 0
    for mono in chapters:
        if isinstance(judge, CnnClassifier):
            embedded, found = judge.outputs(mono_features(mono, config))
            told = judge.music_logits(embedded)
        else:
            scores = judge.classify([Audio(mono, rate)])[0].probabilities
            found, told = np.log(np.maximum(scores, 1e-9))[None, :], None
        starts = window_starts(len(mono), config) if len(found) > 1 else np.zeros(1, np.int64)
        length = config.num_samples if isinstance(judge, CnnClassifier) else len(mono)
        ends = np.minimum(starts + length, len(mono))
        loud.append(np.array([mono[a:b].std() > SILENCE_RMS for a, b in zip(starts, ends, strict=True)]))
        spans += [((start + a) / rate, (start + b) / rate) for a, b in zip(starts, ends, strict=True)]
        logits.append(found)
        if told is not None:
            music.append(told)
        if not len(piece) or start / rate <= middle_seconds:
            size = round(RHYTHM_SECONDS * rate)
            at = max(0, (len(mono) - size) // 2)
            piece = mono[at : at + size]
        start += len(mono)
    if recording is not None:
        seconds = signal.num_frames / recording.sample_rate
        notes = (*notes, *_remarks(recording))
    assert seconds is not None
    if seconds < MIN_SECONDS:
        raise AudioError(
            f"{Path(path).name}: {seconds * 1000:.0f} ms are too short to be heard; at least {MIN_SECONDS} s are needed"
        )
    all_logits, heard = np.concatenate(logits), np.concatenate(loud)
    all_music = np.concatenate(music) if music else None
    if rhythm is None:
        sounds = heard.any() and signal.rms > SILENCE_RMS
        rhythm = read_rhythm(piece, rate) if how.rhythm and sounds else Rhythm()
    not_music, probability = "", None
    if signal.rms <= SILENCE_RMS or not heard.any():
        not_music = "silence"
    else:
        if all_music is not None:
            probability = float(1 / (1 + np.exp(-np.clip(all_music[heard].mean(), -50, 50))))
        if probability is not None and probability < 0.5 and kind != "score":
            not_music = "speech or noise"
    styles: tuple[tuple[str, float], ...] = ()
    if not not_music:
        styles = styles_of(judge, all_logits[heard].mean(axis=0))
    segments = tuple(
        Segment(
            a, b, styles_of(judge, all_logits[i]) if heard[i] else (),
            None if all_music is None or not heard[i] else float(1 / (1 + np.exp(-np.clip(all_music[i], -50, 50)))),
        )
        for i, (a, b) in enumerate(spans)
    ) if how.segments else ()  # fmt: skip
    if not_music:
        rhythm = Rhythm()
    return TrackResult(
        path, kind, seconds, styles, rhythm, judge.classifier_id, probability, not_music, notes, segments
    )


def styles_of(judge: StyleClassifier, logits: NDArray[np.float64]) -> tuple[tuple[str, float], ...]:
    if isinstance(judge, CnnClassifier):
        return tuple(judge.scores(logits).top(len(judge.labels)))
    order = np.argsort(-logits, kind="stable")
    shares = np.exp(logits) / np.exp(logits).sum()
    return tuple((judge.labels[i], float(shares[i])) for i in order)


def _rate_of(judge: StyleClassifier) -> int:
    return judge.front_end.sample_rate if isinstance(judge, CnnClassifier) else SCORE_RATE


def _remarks(recording: Recording) -> tuple[str, ...]:
    signal, said = recording.signal, []
    expected = recording.expected_frames
    if expected is not None and signal.num_frames < 0.98 * expected:
        rate = recording.sample_rate
        said.append(f"ends early: {signal.num_frames / rate:.1f} of {expected / rate:.1f} s")
    if signal.num_bad:
        said.append(f"{signal.num_bad} samples that are no numbers were passed over")
    if signal.num_samples and signal.num_clipped > 0.01 * signal.num_samples:
        said.append(f"clipped ({signal.num_clipped / signal.num_samples:.0%} of samples)")
    if recording.decoder != "libsndfile":
        said.append(f"decoded by {recording.decoder}")
    return tuple(said)


__all__ = ["CHAPTER_SECONDS", "SILENCE_RMS", "RecognitionOptions", "TrackClassifier", "styles_of"]
