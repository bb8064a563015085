"""Views of a piece for the ear: a few bars of it, arranged, instrumented, transposed and timed in another way.

A classifier that hears a corpus as it is learns its collections (jazz is three voices without drums, so a full band
must be a game). A view takes that away: missing bass, comping, drums, pads and horns are written from the chords,
straight lead sheets are swung, instruments are typical of the style, the source's own, one keyboard, or anything.
Some views leave the piece as it is written. All randomness comes from the given generator.

Time is in quarters from the start of the piece unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from melodygen.data.accompaniment import bass_line, comping, drum_pattern, extra, folded, guess_chords
from melodygen.data.orchestration import as_written, instrumented
from melodygen.data.reorchestration import reorchestrated
from melodygen.data.stems import Rows, Source, StemBar, StemVoice
from melodygen.music.score import Score, Tempo, Track, note_array
from melodygen.registry import list_styles
from melodygen.styles.style import Style, style_named

TICKS = 480


@dataclass(frozen=True, eq=False)
class View:
    """One track a voice; ``stems`` names the stem of each track of ``score``."""

    score: Score
    stems: tuple[str, ...]

    def stem(self, name: str) -> Score | None:
        """The tracks of one stem, or None."""
        tracks = tuple(t for t, s in zip(self.score.tracks, self.stems, strict=True) if s == name)
        return replace(self.score, tracks=tracks) if tracks else None

    def reorchestrated(self, plan: str, rng: np.random.Generator) -> View:
        """The same notes on other instruments (``data.reorchestration``), none of those kept for measuring."""
        score = reorchestrated(self.score, plan, rng)
        drums = any(track.is_drum for track in score.tracks)
        return View(score, tuple(s for s in self.stems if drums or s != "drums"))


@dataclass(frozen=True)
class ViewStyle:
    """How far a view may go.

    ``as_is`` is how often a piece is left as it is written (its own voices and programs); of the others, ``typical``
    play on instruments of the style, ``native`` on their own, ``keyboard`` on one, the rest on anything.
    """

    seconds: float = 12.0
    as_is: float = 0.25
    typical: float = 0.62
    native: float = 0.13
    keyboard: float = 0.1
    complete: float = 1.0
    """Scales how often missing voices are written; at 0 chords stay blocks and nothing is written or replaced."""
    transpose: int = 6
    tempo: float = 0.2
    jitter: float = 0.6
    held_out_programs: bool = False
    plans: tuple[str, ...] = ()
    """One of them (``data.reorchestration``) is drawn, and the view's instruments are changed by it."""


TRAINING = ViewStyle()
PLAIN = ViewStyle(60.0, 0.0, 0.75, 0.25, 0.0, 1.0, 0, 0.0, 0.3)
"""Whole (a minute of it), arranged and instrumented as the product would."""
AS_IS = replace(PLAIN, as_is=1.0, jitter=0.0)
REORCHESTRATED = replace(AS_IS, plans=("neighbours", "any", "piano", "leads", "no_drums"))
"""As written, on other instruments."""
UNKNOWN_INSTRUMENTS = replace(PLAIN, held_out_programs=True)


@dataclass
class ViewMaker:
    """Makes views. ``takes`` are drum takes by label (of the split that is viewed), ``styles`` what is known of each
    style; a piece of a style that is not among them is arranged with the defaults of ``Style``."""

    takes: dict[str, list[Source]] = field(default_factory=dict)
    styles: Mapping[str, Style] = field(default_factory=list_styles)

    def make(self, source: Source, rng: np.random.Generator, how: ViewStyle = TRAINING) -> View | None:
        """A view that begins at a bar line, or None where nothing sounds there."""
        style = style_named(source.file.style, self.styles)
        as_is = rng.random() < how.as_is
        qpm = source.qpm * float(np.exp(rng.uniform(-how.tempo, how.tempo)))
        length = how.seconds * qpm / 60.0
        starts = [b.start for b in source.bars]
        end = source.bars[-1].start + source.bars[-1].quarters
        possible = [s for s in starts if s + 0.7 * length <= end] or starts[:1]
        start = possible[int(rng.integers(len(possible)))]
        bars = [b for b in source.bars if start - 1e-6 <= b.start < start + length]
        if not bars:
            return None
        bars = _with_held_chord(source, bars)
        voices = [StemVoice(v.stem, v.program, _cut(v.rows, start, length)) for v in source.voices]
        voices = [v for v in voices if len(v.rows)]
        if sum(len(v.rows) for v in voices if v.stem != "drums") < 5:
            return None
        if not as_is and how.complete > 0:
            voices = self._arranged(style, source, voices, bars, rng, how)
        shift = int(rng.integers(-how.transpose, how.transpose + 1)) if how.transpose else 0
        if as_is:
            voices = as_written(voices, rng)
        else:
            voices = self._instrumented(style, voices, rng, how)
        straight = source.collection.endswith("openewld") and style.is_swung and not as_is
        swing = float(rng.uniform(0.56, 0.68)) if straight and rng.random() < 0.8 else 0.5
        tracks, stems = [], []
        human = rng.random() < how.jitter
        sigma = float(rng.uniform(0.004, 0.018)) * qpm / 60.0 if human else 0.0
        loose = float(rng.uniform(3, 12)) if human else 0.0
        for voice in voices:
            rows = voice.rows.copy()
            rows[:, 0] -= start
            if swing != 0.5 and voice.stem != "drums":
                rows = _swung(rows, swing)
            if sigma:
                rows[:, 0] += rng.normal(0, sigma, len(rows)).clip(-3 * sigma, 3 * sigma)
            if loose:
                rows[:, 3] += rng.normal(0, loose, len(rows))
            if voice.stem != "drums" and shift:
                rows[:, 2] = folded(rows[:, 2] + shift)
            track = _track(voice, rows)
            if track is not None:
                tracks.append(track)
                stems.append(voice.stem)
        if not tracks:
            return None
        view = View(Score(tuple(tracks), (Tempo(0, qpm),), ticks_per_quarter=TICKS), tuple(stems))
        return view.reorchestrated(str(rng.choice(how.plans)), rng) if how.plans else view

    def _instrumented(
        self, style: Style, voices: list[StemVoice], rng: np.random.Generator, how: ViewStyle
    ) -> list[StemVoice]:
        plans = (how.typical, how.native, how.keyboard)
        return instrumented(style, voices, rng, plans, how.held_out_programs)

    def _arranged(
        self,
        style: Style,
        source: Source,
        voices: list[StemVoice],
        bars: list[StemBar],
        rng: np.random.Generator,
        how: ViewStyle,
    ) -> list[StemVoice]:
        """Write what is missing: comping, bass, drums, a pad or horns."""
        present, often = {v.stem for v in voices}, style.arrangement
        harmony = bars if any(b.chords for b in bars) else guess_chords(voices, bars)
        comped = False
        if source.blocks and rng.random() < 0.85:
            made = comping(style, harmony, rng)
            if len(made):
                voices = [v for v in voices if v.stem != "harmony"] + [StemVoice("harmony", 0, made)]
                comped = True
        elif "harmony" not in present and rng.random() < often.add_bass * how.complete:
            made = comping(style, harmony, rng)
            if len(made):
                voices.append(StemVoice("harmony", 0, made))
                comped = True
        if "bass" not in present and rng.random() < often.add_bass * how.complete:
            made = bass_line(style, harmony, rng)
            if len(made):
                voices.append(StemVoice("bass", 32, made))
        elif comped and often.replace_bass > 0 and rng.random() < often.replace_bass:
            made = bass_line(style, harmony, rng)
            voices = [v for v in voices if v.stem != "bass"] + [StemVoice("bass", 32, made)]
        for seat in (48, 49):
            if rng.random() < often.add_extra * how.complete:
                made = extra(style, harmony, voices, rng)
                if len(made):
                    voices.append(StemVoice("extra", seat, made))
        own = "drums" in present
        if (not own and rng.random() < often.add_drums * how.complete) or (own and rng.random() < 0.2):
            drums = self._drums(style, bars, rng)
            if len(drums):
                voices = [v for v in voices if v.stem != "drums"] + [
                    StemVoice("drums", int(rng.choice((0, 0, 0, 8, 16, 32))), drums)
                ]
        return voices

    def _drums(self, style: Style, bars: list[StemBar], rng: np.random.Generator) -> Rows:
        four = all(b.meter == (4, 4) for b in bars)
        sources = [s for s in style.arrangement.drum_takes if self.takes.get(s)]
        if not four or not sources or rng.random() < style.arrangement.programmed_drums:
            return drum_pattern(style, bars, rng)
        takes = self.takes[sources[int(rng.integers(len(sources)))]]
        take = takes[int(rng.integers(len(takes)))]
        whole = [b.start for b in take.bars if b.meter == (4, 4)]
        length = sum(b.quarters for b in bars)
        span = whole[-1] + 4.0
        rows = take.voices[0].rows
        begin = float(rng.choice(whole))
        pieces = []
        for turn in range(int(length // span) + 2):
            moved = rows.copy()
            moved[:, 0] += turn * span - begin
            pieces.append(moved)
        rows = np.concatenate(pieces)
        rows = rows[(rows[:, 0] >= -0.02) & (rows[:, 0] < length)]
        rows[:, 0] += bars[0].start
        return rows


def _cut(rows: Rows, start: float, length: float) -> Rows:
    """Notes that begin in the window, held ones before it cut to its start, none longer than the window."""
    onset, end = rows[:, 0], rows[:, 0] + rows[:, 1]
    keep = (onset < start + length) & ((onset >= start - 1e-6) | (end > start + 0.5))
    kept = rows[keep].copy()
    stop = np.minimum(kept[:, 0] + kept[:, 1], start + length)
    kept[:, 0] = np.maximum(kept[:, 0], start)
    kept[:, 1] = np.maximum(stop - kept[:, 0], 0.03)
    return kept


def _with_held_chord(source: Source, bars: list[StemBar]) -> list[StemBar]:
    """The chord in force at the first bar is written there."""
    if any(abs(c[0] - bars[0].start) < 1e-6 for c in bars[0].chords):
        return bars
    before = [c for b in source.bars for c in b.chords if c[0] < bars[0].start]
    if not before:
        return bars
    held = (bars[0].start, before[-1][1], before[-1][2])
    return [replace(bars[0], chords=(held, *bars[0].chords)), *bars[1:]]


def _swung(rows: Rows, swing: float) -> Rows:
    """Off-beat eighths moved from 0.5 to ``swing`` of the beat, durations with them."""

    def warp(time: NDArray[np.float64]) -> NDArray[np.float64]:
        beat = np.floor(time + 1e-6)
        place = time - beat
        late = swing + (place - 0.5) * 2 * (1 - swing)
        result: NDArray[np.float64] = beat + np.where(place < 0.5, place * 2 * swing, late)
        return result

    moved = rows.copy()
    moved[:, 0] = warp(rows[:, 0])
    moved[:, 1] = np.maximum(warp(rows[:, 0] + rows[:, 1]) - moved[:, 0], 0.05)
    return moved


def _track(voice: StemVoice, rows: Rows) -> Track | None:
    onset = np.maximum(np.rint(rows[:, 0] * TICKS), 0).astype(np.int64)
    duration = np.maximum(np.rint(rows[:, 1] * TICKS), 1).astype(np.int64)
    pitch = np.clip(np.rint(rows[:, 2]), 0, 127).astype(np.int64)
    velocity = np.clip(np.rint(rows[:, 3]), 20, 127).astype(np.int64)
    if not len(onset):
        return None
    listed = zip(onset.tolist(), duration.tolist(), pitch.tolist(), velocity.tolist(), strict=True)
    role = {"harmony": "chords", "extra": "other"}.get(voice.stem, voice.stem)
    return Track(note_array(listed), voice.program, voice.stem == "drums", role, voice.stem)
