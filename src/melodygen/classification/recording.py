"""A recording as the tagger hears it: no more of the file is decoded than is listened to, where the file can seek."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from melodygen.analysis.rhythm import Rhythm, read_rhythm
from melodygen.audio.decode import Recording
from melodygen.audio.excerpts import SILENCE_RMS, levelled, sounding_frames, spread_starts, without_silence
from melodygen.audio.features import Features
from melodygen.audio.musicnn_mel import SAMPLE_RATE, WINDOW_SAMPLES
from melodygen.classification.result import Segment, TrackResult
from melodygen.classification.tagger import MIN_SAMPLES, NUM_WINDOWS, Tagger, Tags
from melodygen.errors import AudioError

SPARSE_SECONDS = 90.0
"""Longer recordings are heard in excerpts, where the file can seek."""
MAX_SECONDS = 1200.0
"""What is kept of a recording that can only be read from start to end."""
RHYTHM_SECONDS = 60.0
"""What tempo and key are read from, out of the middle."""
SEGMENT_SECONDS = 5.0
MIN_SOUNDING = 0.5
"""Share of a window that must sound."""
MIN_SECONDS = 0.1
MIN_MUSIC = 0.5
"""Probability of music below which a recording is called speech or noise."""


@dataclass(frozen=True, eq=False)
class Excerpts:
    """``windows`` of one length at the reference loudness, none where nothing sounds; ``stretch``: mono sound for tempo
    and key; both at the tagger's rate."""

    windows: list[Features]
    stretch: Features
    seconds: float


def excerpts_of(mono: Features, tagger: Tagger) -> Excerpts:
    """Of a whole recording in memory."""
    heard = without_silence(mono, SAMPLE_RATE)
    windows = tagger.windows(mono) if len(heard) else []
    size = round(RHYTHM_SECONDS * SAMPLE_RATE)
    at = max(0, (len(mono) - size) // 2)
    return Excerpts(windows, mono[at : at + size], len(mono) / SAMPLE_RATE)


def sparse_excerpts(recording: Recording, rhythm: bool) -> Excerpts:
    """Of a file that can seek: windows all over it, and a minute from its middle. Raises AudioError where the file is
    shorter than it says."""
    assert recording.expected_frames is not None
    seconds = recording.expected_frames / recording.sample_rate
    total = int(seconds * SAMPLE_RATE)
    length = WINDOW_SAMPLES / SAMPLE_RATE
    spans = [
        recording.span(start / SAMPLE_RATE, length, SAMPLE_RATE)[:WINDOW_SAMPLES]
        for start in spread_starts(total - SAMPLE_RATE, WINDOW_SAMPLES, NUM_WINDOWS)
    ]
    loud = [float(sounding_frames(span, SAMPLE_RATE).mean()) >= MIN_SOUNDING for span in spans]
    kept = [span for span, sounds in zip(spans, loud, strict=True) if sounds and len(span) == WINDOW_SAMPLES]
    stretch = np.zeros(0, dtype=np.float32)
    if rhythm:
        stretch = recording.span((seconds - RHYTHM_SECONDS) / 2, RHYTHM_SECONDS, SAMPLE_RATE)
    together = levelled(np.concatenate(kept)) if kept else np.zeros(0, dtype=np.float32)
    return Excerpts(list(together.reshape(-1, WINDOW_SAMPLES)), stretch, seconds)


def read_excerpts(
    recording: Recording, tagger: Tagger, rhythm: bool, segments: bool
) -> tuple[Excerpts, tuple[Segment, ...], tuple[str, ...]]:
    """What is heard of an open recording, its segments if they are asked for, and remarks. Raises AudioError for what
    cannot be read."""
    expected = recording.expected_frames
    long = expected is not None and expected > SPARSE_SECONDS * recording.sample_rate
    if long and recording.can_seek and not segments:
        try:
            sparse = sparse_excerpts(recording, rhythm)
            if sparse.windows:
                return sparse, (), ()
        except AudioError:
            pass  # cut off, or broken in the middle: read from the start for as long as it goes
        recording.rewind()
    parts: list[Features] = []
    found: list[Segment] = []
    said: tuple[str, ...] = ()
    kept, pending = 0, np.zeros(0, dtype=np.float32)
    size = round(SEGMENT_SECONDS * SAMPLE_RATE)
    at = 0.0
    for block in recording.mono_blocks(SAMPLE_RATE):
        if kept < MAX_SECONDS * SAMPLE_RATE:
            parts.append(block)
            kept += len(block)
        else:
            said = (f"style, tempo and key are those of the first {MAX_SECONDS / 60:.0f} minutes",)
        if segments:
            pending = np.concatenate((pending, block))
            whole = len(pending) // size * size
            found += tag_segments(pending[:whole], tagger, at)
            pending, at = pending[whole:], at + whole / SAMPLE_RATE
    if segments and len(pending) >= (MIN_SAMPLES if found else 1):
        found += tag_segments(pending, tagger, at)
    heard = excerpts_of(np.concatenate(parts), tagger)
    seconds = recording.signal.num_frames / recording.sample_rate
    return Excerpts(heard.windows, heard.stretch, seconds), tuple(found), said


def check_length(path: str | Path, seconds: float) -> None:
    """Raises AudioError for less than a tenth of a second."""
    if seconds < MIN_SECONDS:
        raise AudioError(
            f"{Path(path).name}: {seconds * 1000:.0f} ms are too short to be heard; "
            f"at least {MIN_SECONDS} s are needed"
        )


def result_of(
    path: str,
    tagger: Tagger,
    heard: Excerpts,
    rhythm: bool,
    notes: tuple[str, ...],
    segments: tuple[Segment, ...] = (),
) -> TrackResult:
    """What is found out of what was heard. Raises AudioError for less than a tenth of a second."""
    check_length(path, heard.seconds)
    if not heard.windows:
        return TrackResult(
            path,
            "recording",
            heard.seconds,
            (),
            Rhythm(),
            tagger.classifier_id,
            None,
            "silence",
            notes,
            segments,
        )
    outputs = tagger.outputs(heard.windows)
    tags = tagger.summary(outputs)
    if tags.music is not None and tags.music < MIN_MUSIC:
        return TrackResult(
            path, "recording", heard.seconds, (), Rhythm(), tagger.classifier_id, tags.music, "speech or noise",
            notes, segments, tags=tuple(tags.probabilities.items()), embedding=tags.embedding,
        )  # fmt: skip
    found = read_rhythm(heard.stretch, SAMPLE_RATE) if rhythm else Rhythm()
    if found.key is not None:
        tags = tagger.summary(outputs, found.key[1])
    styles = tuple(tags.styles.top(len(tagger.labels)))
    return TrackResult(
        path, "recording", heard.seconds, styles, found, tagger.classifier_id, tags.music, "", notes, segments,
        styles[0][1] < tagger.unsure_below, tuple(tags.probabilities.items()), tags.mood, tags.embedding,
    )  # fmt: skip


def tag_segments(mono: Features, tagger: Tagger, start_seconds: float = 0.0) -> Iterator[Segment]:
    """A Segment for every five seconds of mono sound at 16 kHz, and for what is left."""
    size = round(SEGMENT_SECONDS * SAMPLE_RATE)
    for at in range(0, len(mono), size):
        piece = mono[at : at + size]
        begin = start_seconds + at / SAMPLE_RATE
        tags = tag_piece(piece, tagger)
        styles = () if tags is None else tuple(tags.styles.top(len(tagger.labels)))
        yield Segment(begin, begin + len(piece) / SAMPLE_RATE, styles, None if tags is None else tags.music)


def tag_piece(piece: Features, tagger: Tagger) -> Tags | None:
    """All of a short piece at once, None for silence."""
    if float(piece.std()) <= SILENCE_RMS:
        return None
    whole = np.pad(levelled(piece), (0, max(0, MIN_SAMPLES - len(piece))))
    return tagger.tag_windows([whole])


__all__ = ["Excerpts", "read_excerpts", "result_of", "tag_piece", "tag_segments"]
