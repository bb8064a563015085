"""Analyses a file: its beats, tempo, key, chords and sections, with a click track, a MIDI map and a picture of them."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from melodygen.analysis.beats import MIN_BEATS_OF_METER, load_beat_tracker
from melodygen.analysis.rhythm import key_of_sound
from melodygen.analysis.sections import SectionSpan, section_spans
from melodygen.analysis.sound_chords import (
    NO_CHORD,
    ChordSpan,
    chord_spans,
    pitch_classes_of_score,
    pitch_classes_of_sound,
)
from melodygen.analysis.track import Floats, TrackAnalysis, tempo_map
from melodygen.audio.beat_spectrum import FRAMES_PER_SECOND, NUM_BANDS, SAMPLE_RATE, beat_spectrum
from melodygen.audio.buffer import Audio
from melodygen.audio.decode import open_recording
from melodygen.audio.excerpts import levelled
from melodygen.audio.features import Features, resampling_ratio, to_mono_at
from melodygen.audio.files import write_audio
from melodygen.classification.symbolic import is_symbolic, read_symbolic
from melodygen.data.scan import dominant_meter
from melodygen.errors import UsageError
from melodygen.io.midi import write_midi
from melodygen.music.form import SECTION_NAME
from melodygen.music.key import key_of
from melodygen.music.score import Score
from melodygen.rendering.draft import render_draft
from melodygen.services.output import AUDIO_FORMATS, check_writable

CLICK_RATE = 44_100
CLICK_HZ, DOWNBEAT_HZ = 1_000.0, 1_600.0
CLICK_SECONDS = 0.03
CLICK_LEVEL, TRACK_LEVEL = 0.5, 0.6
MAX_SECONDS = 1_200.0
TIMBRE_BANDS = 17
"""Groups of eight bands of the beat spectrum."""


@dataclass(frozen=True)
class AnalyzeRequest:
    """What ``melodygen analyze`` is asked for.

    Attributes:
        path: audio, MIDI or a score.
        click: an audio file to write, the track with a click on each beat.
        midi: a MIDI file to write, the tempo map with chords and sections as markers.
        plot: a PNG to write.
        force: replace existing files.
    """

    path: Path
    click: Path | None = None
    midi: Path | None = None
    plot: Path | None = None
    force: bool = False


def analyze(path: str | os.PathLike[str]) -> TrackAnalysis:
    """Return beats, tempo, meter, key, chords and sections of an audio, MIDI or score file.

    At most the first twenty minutes of a recording are heard. Beats, meter and key of scores are those that are
    written; their chords too, where there are symbols, else they are read from the notes; and their sections, where
    markers name two or more.

    Raises:
        AudioError: a recording cannot be read.
        MidiReadError: a score cannot be read.
        CheckpointError: the beat tracker is not there.
    """
    return _analysis(*_sound_and_score(Path(path)), Path(path))


def run(asked: AnalyzeRequest) -> TrackAnalysis:
    """Analyse a file and write what is asked for. Raises OutputExistsError for a file in the way, UsageError for a
    suffix that is none, and what ``analyze`` raises."""
    _check(asked)
    mono, score, notes = _sound_and_score(asked.path)
    found = _analysis(mono, score, notes, asked.path)
    if asked.click is not None:
        write_audio(asked.click, with_clicks(mono, found), overwrite=asked.force)
    if asked.midi is not None:
        write_midi(asked.midi, tempo_map(found), overwrite=asked.force)
    if asked.plot is not None:
        from melodygen.plots.track_analysis import plot_analysis

        plot_analysis(asked.plot, found, mono, SAMPLE_RATE, asked.force)
    return found


def _check(asked: AnalyzeRequest) -> None:
    if asked.click is not None and asked.click.suffix.lower().lstrip(".") not in AUDIO_FORMATS:
        raise UsageError(f"--click {asked.click}: name a file that ends in .{', .'.join(AUDIO_FORMATS)}")
    if asked.midi is not None and asked.midi.suffix.lower() not in (".mid", ".midi"):
        raise UsageError(f"--midi {asked.midi}: name a file that ends in .mid")
    if asked.plot is not None and asked.plot.suffix.lower() != ".png":
        raise UsageError(f"--plot {asked.plot}: name a file that ends in .png")
    targets = [t for t in (asked.click, asked.midi, asked.plot) if t is not None]
    if any(t.exists() and asked.path.exists() and t.samefile(asked.path) for t in targets):
        raise UsageError(f"{asked.path} is the file that is analysed; give another name")
    check_writable(targets, asked.force)


def _sound_and_score(path: Path) -> tuple[Features, Score | None, tuple[str, ...]]:
    """Mono sound at the tracker's rate, the score of a file that is one, rendered as a draft, and what is to be said of
    the file."""
    if not is_symbolic(path):
        with open_recording(path) as recording:
            mono, is_all = recording.mono(SAMPLE_RATE, MAX_SECONDS)
            if is_all:
                return mono, None, recording.remarks(len(mono) / SAMPLE_RATE)
            return mono, None, (f"the first {MAX_SECONDS / 60:.0f} minutes were heard", *recording.notes)
    from melodygen.rendering.sampler import SamplerRenderer

    warnings: list[str] = []
    score = read_symbolic(path, warnings, keep_start=True)
    return to_mono_at(render_draft(score, SamplerRenderer()), SAMPLE_RATE), score, tuple(warnings)


def _analysis(mono: Features, score: Score | None, notes: tuple[str, ...], path: Path) -> TrackAnalysis:
    seconds = len(mono) / SAMPLE_RATE
    found = _heard(mono, str(path), seconds) if score is None else _written(score, str(path), seconds)
    found = replace(found, notes=notes)
    if len(found.beats) < 2:
        return found
    edges = np.append(found.beats, max(seconds, float(found.beats[-1]) + 0.1))
    fifths = found.key_fifths
    mode = "major" if found.key is None else found.key[1]
    if score is not None and score.chords:
        chords = _written_chords(score, seconds)
    else:
        treble, bass = (
            pitch_classes_of_sound(mono, SAMPLE_RATE, edges)
            if score is None
            else pitch_classes_of_score(score, [*(beats_of_score(score)[0]), max(score.end_tick, 1)])
        )
        chords = chord_spans(edges, treble, bass, fifths, mode)
    sections = [] if score is None else _written_sections(score, seconds)
    if not sections:
        bars = np.append(found.downbeats, edges[-1])
        sections = section_spans(
            bars, pitch_classes_of_sound(mono, SAMPLE_RATE, bars)[0], _timbre(mono, bars)
        )
    return replace(found, chords=tuple(chords), sections=tuple(sections))


def _heard(mono: Features, path: str, seconds: float) -> TrackAnalysis:
    key = key_of_sound(mono, SAMPLE_RATE) if mono.size and float(np.abs(mono).max()) > 1e-5 else None
    beats = load_beat_tracker().track(mono, SAMPLE_RATE) if key is not None else None
    if beats is None:
        return TrackAnalysis(path, seconds, np.zeros(0), np.zeros(0, dtype=np.int64), key=key)
    meter = beats.meter if len(beats.seconds) >= MIN_BEATS_OF_METER else (4, 4)
    return TrackAnalysis(path, seconds, beats.seconds, beats.places, meter, round(beats.qpm, 1), key)


def _written(score: Score, path: str, seconds: float) -> TrackAnalysis:
    ticks, places, meter = beats_of_score(score)
    times = np.array([score.tick_to_seconds(tick) for tick in ticks])
    key = key_of(score)
    qpm = round(60.0 * (len(times) - 1) / float(times[-1] - times[0]), 1) if len(times) > 1 else None
    tonic = None if key is None else (key.tonic, key.mode)
    fifths = None if key is None else key.fifths
    return TrackAnalysis(path, seconds, times, np.array(places, dtype=np.int64), meter, qpm, tonic, fifths)


def beats_of_score(score: Score) -> tuple[list[int], list[int], tuple[int, int]]:
    """Ticks of all beats, their places in the bar, and the meter in force longest as beats and their unit; three
    eighths are one beat in compound meters."""
    ticks: list[int] = []
    places: list[int] = []
    bars = score.bar_ticks()
    for start, end in itertools.pairwise(bars):
        meter = score.time_signature_at(start)
        unit = (
            4
            * score.ticks_per_quarter
            / meter.denominator
            * (3 if _is_compound(meter.numerator, meter.denominator) else 1)
        )
        inside = [round(start + i * unit) for i in range(max(1, int(np.ceil((end - start) / unit - 1e-6))))]
        ticks += inside
        places += list(range(len(inside)))
    usual = dominant_meter(score)
    if _is_compound(usual.numerator, usual.denominator):
        return ticks, places, (usual.numerator // 3, 4)
    return ticks, places, (usual.numerator, usual.denominator)


def _is_compound(numerator: int, denominator: int) -> bool:
    return denominator >= 8 and numerator % 3 == 0 and numerator > 3


def _written_sections(score: Score, seconds: float) -> list[SectionSpan]:
    """The sections that markers name, melodygen's own by their letters; none where one marker divides nothing."""
    starts = [score.tick_to_seconds(section.tick) for section in score.sections]
    ends = [*starts[1:], seconds] if starts else []
    spans = [
        SectionSpan(start, end, section.name.removeprefix(SECTION_NAME))
        for start, end, section in zip(starts, ends, score.sections, strict=True)
        if end > start
    ]
    return spans if len(spans) > 1 else []


def _written_chords(score: Score, seconds: float) -> list[ChordSpan]:
    starts = [score.tick_to_seconds(chord.tick) for chord in score.chords]
    ends = [*starts[1:], max(seconds, starts[-1])]
    spans = [ChordSpan(a, b, c.label) for a, b, c in zip(starts, ends, score.chords, strict=True) if b > a]
    return [ChordSpan(0.0, starts[0], NO_CHORD), *spans] if starts[0] > 0 else spans


def _timbre(mono: Features, edges: Floats) -> Floats:
    """(bars, ``TIMBRE_BANDS``) mean levels."""
    level = beat_spectrum(levelled(mono))[:, :NUM_BANDS]
    grouped = level.reshape(len(level), TIMBRE_BANDS, -1).mean(axis=2)
    frames = np.clip(np.rint(edges * FRAMES_PER_SECOND).astype(np.int64), 0, len(level) - 1)
    return np.stack([grouped[a : max(a + 1, b)].mean(axis=0) for a, b in itertools.pairwise(frames)]).astype(
        np.float64
    )


def with_clicks(mono: Features, found: TrackAnalysis) -> Audio:
    """The track, softer, with a click on each beat and a higher one on downbeats. ``mono`` is at the tracker's rate."""
    sound = resample_poly(mono, *resampling_ratio(SAMPLE_RATE, CLICK_RATE)).astype(np.float32)
    peak = float(np.abs(sound).max(initial=0.0))
    mixed = np.asarray(sound * np.float32(TRACK_LEVEL / max(peak, 1e-6)), dtype=np.float32)
    t = np.arange(round(CLICK_SECONDS * CLICK_RATE)) / CLICK_RATE
    fade = CLICK_LEVEL * np.exp(-t * 120.0) * np.minimum(1.0, t * 2000.0)
    for seconds, place in zip(found.beats.tolist(), found.places.tolist(), strict=True):
        at = round(seconds * CLICK_RATE)
        click = fade * np.sin(2 * np.pi * (CLICK_HZ if place else DOWNBEAT_HZ) * t)
        room = mixed[at : at + len(click)]
        room += click[: len(room)].astype(np.float32)
    return Audio(np.clip(mixed, -1.0, 1.0), CLICK_RATE)


__all__ = ["AnalyzeRequest", "analyze", "beats_of_score", "run", "with_clicks"]
