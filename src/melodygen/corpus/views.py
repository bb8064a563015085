"""Views of a piece for the ear: a few bars of it, arranged, instrumented, transposed and timed in another way.

A classifier that hears a corpus as it is learns its collections (jazz is three voices without drums, so a full band
must be a game). A view takes that away: missing bass, comping, drums, pads and horns are written from the chords,
straight lead sheets are swung, instruments are typical of the style, the source's own, one keyboard, or anything.
Voices are kept in five *stems* (melody, harmony, bass, drums, extra), so that training can leave out or weigh each.
All randomness comes from the given generator.

Time is in quarters from the start of the piece unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from melodygen.corpus.arrange import Comper, voice_chord
from melodygen.corpus.harmonise import harmonise
from melodygen.corpus.roles import is_blocks
from melodygen.corpus.scan import MAX_BARS, SourceFile, dominant_qpm, prepare_score
from melodygen.errors import MelodygenError
from melodygen.harmony import CHORD_QUALITIES
from melodygen.io.midi import read_midi
from melodygen.score import Score, Tempo, Track, note_array
from melodygen.tokens.grid import score_to_piece
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, DURATIONS, VELOCITIES

STEMS = ("melody", "harmony", "bass", "drums", "extra")
TICKS = 480
Rows = NDArray[np.float64]
"""(notes, 4): onset, duration (quarters), pitch, velocity."""

HELD_OUT_PROGRAMS = frozenset((2, 10, 36, 39, 41, 51, 54, 69, 75, 91, 107))
"""Never heard in training, so that "unknown instruments" can be measured."""
HELD_OUT_BY_STEM = {
    "melody": (2, 10, 41, 54, 69, 75, 107),
    "harmony": (2, 51, 91, 107),
    "bass": (36, 39, 41),
    "extra": (51, 54, 91),
}

_ANY = {
    "melody": (0, 1, 3, 4, 6, 7, 9, 11, 12, 13, 16, 18, 19, 21, 22, 24, 25, 26, 27, 28, 29, 40, 42, 46, 48, 52, 53, 56,
               57, 58, 59, 60, 61, 64, 65, 66, 67, 68, 70, 71, 72, 73, 74, 78, 79, 80, 81, 85, 87, 105, 109, 110),
    "harmony": (0, 1, 3, 4, 5, 6, 7, 11, 16, 17, 18, 19, 21, 24, 25, 26, 27, 46, 48, 49, 50, 52, 60, 61, 80, 81, 88, 89,
                90),
    "bass": (32, 33, 34, 35, 37, 38, 42, 43, 58, 70, 0),
    "extra": (16, 18, 26, 27, 46, 48, 49, 50, 52, 53, 56, 60, 61, 65, 73, 81, 88, 89),
}  # fmt: skip
_TYPICAL: dict[str, dict[str, tuple[int, ...]]] = {
    "jazz": {
        "melody": (66, 65, 64, 67, 56, 56, 57, 59, 71, 11, 26, 0, 66, 73, 60),
        "harmony": (0, 0, 0, 26, 4, 16, 11), "bass": (32, 32, 32, 33, 35), "extra": (61, 57, 65, 66, 56, 67, 48),
    },
    "blues": {
        "melody": (22, 27, 26, 66, 65, 29, 0, 64, 56, 52), "harmony": (27, 0, 16, 25, 26, 0), "bass": (32, 33, 33),
        "extra": (61, 16, 65, 27),
    },
    "classical": {
        "melody": (40, 40, 73, 68, 71, 52, 53, 42, 60, 0, 48, 24), "harmony": (48, 48, 0, 0, 46, 49, 24, 71, 60),
        "bass": (42, 43, 70, 48, 0), "extra": (48, 49, 60, 46, 73),
    },
    "baroque": {
        "melody": (6, 40, 73, 68, 74, 56, 19, 48, 42), "harmony": (6, 6, 19, 48, 40, 24), "bass": (42, 70, 43, 6, 19),
        "extra": (6, 48, 19),
    },
    "folk": {
        "melody": (110, 40, 73, 74, 78, 21, 109, 22, 25, 46, 105, 72), "harmony": (25, 25, 24, 0, 21, 46, 105, 48),
        "bass": (32, 33, 35), "extra": (49, 48, 24, 46, 21, 105),
    },
    "pop": {
        "melody": (0, 4, 65, 73, 52, 53, 25, 27, 81, 66, 22, 54, 85, 79), "harmony": (0, 4, 5, 25, 24, 27, 16, 1),
        "bass": (33, 33, 35, 38, 32), "extra": (48, 49, 50, 89, 52, 61, 88),
    },
    "rock": {
        "melody": (29, 30, 27, 29, 30, 84, 18), "harmony": (30, 29, 27, 30, 18), "bass": (33, 34, 34),
        "extra": (18, 29, 30, 48, 50),
    },
    "ragtime": {
        "melody": (0, 3, 3, 1, 0, 105), "harmony": (0, 3, 3, 1, 0), "bass": (0, 3, 58, 32), "extra": (71, 56, 58),
    },
    "hymn": {
        "melody": (19, 19, 52, 16, 0, 20, 48), "harmony": (19, 19, 52, 16, 0, 20, 48), "bass": (19, 52, 0, 16, 42),
        "extra": (52, 19, 48),
    },
    "game": {
        "melody": (80, 80, 81, 73, 87, 56, 48, 62, 11, 68, 82, 12), "harmony": (80, 81, 48, 50, 88, 46, 12, 61, 90),
        "bass": (38, 38, 80, 81, 33, 43, 87), "extra": (48, 50, 61, 81, 88, 98, 60),
    },
}  # fmt: skip
_KEYBOARDS = (0, 0, 0, 0, 1, 3, 4, 6, 16, 19, 24, 25, 46, 48)
_DRUMS_FOR: dict[str, tuple[str, ...]] = {
    "jazz": ("jazz", "jazz", "neworleans", "latin", "afrocuban"), "blues": ("jazz", "blues", "neworleans", "rock"),
    "pop": ("pop", "rock", "funk", "soul", "hiphop", "dance", "country"), "rock": ("rock", "rock", "punk"),
    "game": ("rock", "dance", "funk", "pop"), "folk": ("country", "rock", "pop"), "ragtime": ("neworleans", "jazz"),
    "classical": ("rock", "pop", "jazz"), "baroque": ("rock", "pop", "jazz"), "hymn": ("gospel", "pop", "country"),
}  # fmt: skip
_ADD_DRUMS = {
    "jazz": 0.85, "blues": 0.85, "pop": 0.9, "rock": 0.8, "game": 0.5, "folk": 0.65, "ragtime": 0.25, "classical": 0.25,
    "baroque": 0.12, "hymn": 0.12,
}  # fmt: skip
_ADD_BASS = {
    "jazz": 0.95, "blues": 0.95, "pop": 0.95, "rock": 0.9, "game": 0.7, "folk": 0.7, "ragtime": 0.4, "classical": 0.15,
    "baroque": 0.15, "hymn": 0.15,
}  # fmt: skip
_ADD_EXTRA = {
    "jazz": 0.4, "blues": 0.3, "pop": 0.45, "rock": 0.3, "game": 0.35, "folk": 0.5, "classical": 0.2,
}  # fmt: skip
"""For each of two more voices."""


@dataclass(frozen=True, eq=False)
class Voice:
    stem: str
    program: int
    rows: Rows


@dataclass(frozen=True)
class Bar:
    """``chords``: (quarter from the piece's start, root or -1, quality index)."""

    start: float
    meter: tuple[int, int]
    chords: tuple[tuple[float, int, int], ...]

    @property
    def quarters(self) -> float:
        return self.meter[0] * 4.0 / self.meter[1]


@dataclass(frozen=True, eq=False)
class Source:
    """A piece as views need it. ``blocks``: its harmony stem only realises chord symbols."""

    file: SourceFile
    voices: tuple[Voice, ...]
    bars: tuple[Bar, ...]
    qpm: float
    blocks: bool

    @property
    def collection(self) -> str:
        return "/".join(self.file.name.split("/")[:2])


@dataclass(frozen=True, eq=False)
class View:
    """One track a voice; ``stems`` names the stem of each track of ``score``."""

    score: Score
    stems: tuple[str, ...]

    def stem(self, name: str) -> Score | None:
        """The tracks of one stem, or None."""
        tracks = tuple(t for t, s in zip(self.score.tracks, self.stems, strict=True) if s == name)
        return replace(self.score, tracks=tracks) if tracks else None


@dataclass(frozen=True)
class ViewStyle:
    """How far a view may go. ``PLAIN`` is a piece as the product would play it: whole, on typical instruments."""

    seconds: float = 12.0
    typical: float = 0.45
    native: float = 0.15
    keyboard: float = 0.14
    complete: float = 1.0
    """Scales how often missing voices are written."""
    transpose: int = 6
    tempo: float = 0.2
    jitter: float = 0.6
    held_out_programs: bool = False


TRAINING = ViewStyle()
PLAIN = ViewStyle(30.0, 0.75, 0.25, 0.0, 1.0, 0, 0.0, 0.3)
UNKNOWN_INSTRUMENTS = replace(PLAIN, held_out_programs=True)


def read_source(file: SourceFile) -> Source | None:
    """A piece or a drum take, or None where it cannot be read."""
    try:
        score = prepare_score(read_midi(file.path), file.kind)
        if score.num_notes < 8:
            return None
        piece = harmonise(score_to_piece(score, max_bars=MAX_BARS))
    except MelodygenError:
        return None
    per_quarter = score.ticks_per_quarter
    chords_track = score.track_by_role("chords")
    blocks = chords_track is not None and is_blocks(chords_track, score)
    voices = []
    for track in score.tracks:
        if not len(track):
            continue
        stem = (
            "drums"
            if track.is_drum
            else {"chords": "harmony", "other": "harmony"}.get(track.role, track.role)
        )
        n = track.notes
        rows = np.column_stack(
            [n["onset_tick"] / per_quarter, n["duration_ticks"] / per_quarter, n["pitch"], n["velocity"]]
        )
        voices.append(Voice(stem, track.program, rows))
    bars = []
    starts = score.bar_ticks()
    for tick, bar in zip(starts, piece.bars, strict=False):
        at = tick / per_quarter
        bars.append(
            Bar(at, bar.meter, tuple((at + p / 12.0, root, quality) for p, root, quality in bar.chords))
        )
    return Source(file, tuple(voices), tuple(bars), min(280.0, max(36.0, dominant_qpm(score))), blocks)


@dataclass
class ViewMaker:
    """Makes views; ``takes`` are drum takes by style (of the split that is viewed)."""

    takes: dict[str, list[Source]] = field(default_factory=dict)

    def make(self, source: Source, rng: np.random.Generator, how: ViewStyle = TRAINING) -> View | None:
        """A view that begins at a bar line, or None where nothing sounds there."""
        style = source.file.style
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
        voices = [Voice(v.stem, v.program, _cut(v.rows, start, length)) for v in source.voices]
        voices = [v for v in voices if len(v.rows)]
        if sum(len(v.rows) for v in voices if v.stem != "drums") < 5:
            return None
        voices = self._arranged(style, source, voices, bars, rng, how)
        shift = int(rng.integers(-how.transpose, how.transpose + 1)) if how.transpose else 0
        voices = _instrumented(style, voices, rng, how)
        straight = source.collection.endswith("openewld") and style in ("jazz", "blues")
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
                rows[:, 2] = _folded(rows[:, 2] + shift)
            track = _track(voice, rows)
            if track is not None:
                tracks.append(track)
                stems.append(voice.stem)
        if not tracks:
            return None
        return View(Score(tuple(tracks), (Tempo(0, qpm),), ticks_per_quarter=TICKS), tuple(stems))

    def _arranged(
        self,
        style: str,
        source: Source,
        voices: list[Voice],
        bars: list[Bar],
        rng: np.random.Generator,
        how: ViewStyle,
    ) -> list[Voice]:
        """Write what is missing: comping, bass, drums, a pad or horns."""
        present = {v.stem for v in voices}
        harmony = bars if any(b.chords for b in bars) else _guess_chords(voices, bars)
        comped = False
        if source.blocks and rng.random() < 0.85:
            made = _comping(style, harmony, rng)
            if len(made):
                voices = [v for v in voices if v.stem != "harmony"] + [Voice("harmony", 0, made)]
                comped = True
        elif "harmony" not in present and rng.random() < _ADD_BASS[style] * how.complete:
            made = _comping(style, harmony, rng)
            if len(made):
                voices.append(Voice("harmony", 0, made))
                comped = True
        if "bass" not in present and rng.random() < _ADD_BASS[style] * how.complete:
            made = bass_line(style, harmony, rng)
            if len(made):
                voices.append(Voice("bass", 32, made))
        elif comped and style in ("jazz", "blues") and rng.random() < (0.3 if style == "jazz" else 0.6):
            made = bass_line(style, harmony, rng)
            voices = [v for v in voices if v.stem != "bass"] + [Voice("bass", 32, made)]
        melody = [v for v in voices if v.stem == "melody"]
        for seat in (48, 49):
            if rng.random() < _ADD_EXTRA.get(style, 0.1) * how.complete:
                made = _extra(style, harmony, melody, rng)
                if len(made):
                    voices.append(Voice("extra", seat, made))
        own = "drums" in present
        if (not own and rng.random() < _ADD_DRUMS[style] * how.complete) or (own and rng.random() < 0.2):
            drums = self._drums(style, bars, rng)
            if len(drums):
                voices = [v for v in voices if v.stem != "drums"] + [
                    Voice("drums", int(rng.choice((0, 0, 0, 8, 16, 32))), drums)
                ]
        return voices

    def _drums(self, style: str, bars: list[Bar], rng: np.random.Generator) -> Rows:
        four = all(b.meter == (4, 4) for b in bars)
        sources = [s for s in _DRUMS_FOR[style] if self.takes.get(s)]
        if not four or not sources or rng.random() < (0.75 if style == "blues" else 0.45):
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


def _with_held_chord(source: Source, bars: list[Bar]) -> list[Bar]:
    """The chord in force at the first bar is written there."""
    if any(abs(c[0] - bars[0].start) < 1e-6 for c in bars[0].chords):
        return bars
    before = [c for b in source.bars for c in b.chords if c[0] < bars[0].start]
    if not before:
        return bars
    held = (bars[0].start, before[-1][1], before[-1][2])
    return [replace(bars[0], chords=(held, *bars[0].chords)), *bars[1:]]


def _guess_chords(voices: list[Voice], bars: list[Bar]) -> list[Bar]:
    """Primary triads under a tune: for each bar the one of its key that holds most of its notes."""
    weights = np.zeros((len(bars), 12))
    starts = np.array([b.start for b in bars])
    for voice in voices:
        if voice.stem == "drums":
            continue
        index = np.clip(np.searchsorted(starts, voice.rows[:, 0] + 1e-6, side="right") - 1, 0, None)
        np.add.at(weights, (index, voice.rows[:, 2].astype(int) % 12), np.minimum(voice.rows[:, 1], 2.0))
    from melodygen.harmony import estimate_key

    key = estimate_key(weights.sum(axis=0))
    if key is None:
        return bars
    tonic, mode = key
    maj, minor = CHORD_QUALITY_NAMES.index("maj"), CHORD_QUALITY_NAMES.index("min")
    if mode == "major":
        triads = [(0, maj, 0.3), (5, maj, 0.1), (7, maj, 0.2), (9, minor, 0.0), (2, minor, 0.0)]
    else:
        triads = [
            (0, minor, 0.3),
            (5, minor, 0.0),
            (7, maj, 0.1),
            (10, maj, 0.15),
            (3, maj, 0.1),
            (8, maj, 0.0),
        ]
    result = []
    for bar, weight in zip(bars, weights, strict=True):
        best, fit = triads[0], -1.0
        for triad in triads:
            root = (tonic + triad[0]) % 12
            notes = [(root + i) % 12 for i in CHORD_QUALITIES[CHORD_QUALITY_NAMES[triad[1]]]]
            value = float(weight[notes].sum()) + triad[2]
            if value > fit:
                best, fit = triad, value
        result.append(replace(bar, chords=((bar.start, (tonic + best[0]) % 12, best[1]),)))
    return result


def _changes(bars: Sequence[Bar]) -> list[tuple[float, float, int, int]]:
    """(start, end, root, quality) of each chord in turn, silence left out."""
    flat = [c for b in bars for c in b.chords]
    end = bars[-1].start + bars[-1].quarters
    spans = []
    for i, (at, root, quality) in enumerate(flat):
        stop = flat[i + 1][0] if i + 1 < len(flat) else end
        if root >= 0 and stop - at > 0.2:
            spans.append((at, stop, root, quality))
    return spans


def _rows(notes: Sequence[tuple[float, float, float, float]]) -> Rows:
    return np.array(notes, dtype=np.float64).reshape(-1, 4)


def _comping(style: str, bars: list[Bar], rng: np.random.Generator) -> Rows:
    """Chords as rhythm, broken chords, strums or held."""
    draw = rng.random()
    manner = {"pop": 0.35, "game": 0.35, "classical": 0.6, "folk": 0.2, "baroque": 0.6}.get(style, 0.05)
    if draw < manner:
        return _broken(bars, rng)
    if draw > 0.92:
        return _pad(bars, rng)
    comper = Comper(style, rng)
    notes: list[tuple[float, float, float, float]] = []
    strum = float(rng.uniform(0.0, 0.05)) if style in ("folk", "pop", "rock", "blues") else 0.0
    for bar in bars:
        changes = tuple((round((at - bar.start) * 12), root, quality) for at, root, quality in bar.chords)
        for i, (position, velocity, duration, pitch) in enumerate(comper.bar(bar.meter, changes)):
            at = bar.start + position / 12.0 + strum * (i % 4)
            notes.append((at, DURATIONS[duration] / 12.0, pitch, VELOCITIES[velocity]))
    return _rows(notes)


def _voicing(root: int, quality: int, previous: tuple[int, ...] | None) -> tuple[int, ...]:
    return voice_chord(root, quality, previous, False)


def _broken(bars: list[Bar], rng: np.random.Generator) -> Rows:
    step = float(rng.choice((0.25, 0.5, 0.5, 1 / 3)))
    order = [(0, 1, 2, 1), (0, 2, 1, 2), (0, 1, 2, 3), (2, 1, 0, 1)][int(rng.integers(4))]
    hold = float(rng.choice((step, 2 * step)))
    notes = []
    previous = None
    for at, end, root, quality in _changes(bars):
        previous = _voicing(root, quality, previous)
        count = max(1, round((end - at) / step))
        for i in range(count):
            notes.append((at + i * step, hold, previous[order[i % 4] % len(previous)], 70.0))
    return _rows(notes)


def _pad(bars: list[Bar], rng: np.random.Generator) -> Rows:
    lift = 12 if rng.random() < 0.4 else 0
    notes = []
    previous = None
    for at, end, root, quality in _changes(bars):
        previous = _voicing(root, quality, previous)
        notes += [(at, (end - at) * 0.97, p + lift, 64.0) for p in previous]
    return _rows(notes)


def _extra(style: str, bars: list[Bar], melody: list[Voice], rng: np.random.Generator) -> Rows:
    """Horns under the tune or in riffs (jazz, blues), the tune doubled, or a pad."""
    draw = rng.random()
    if style in ("jazz", "blues") and draw < 0.45 and melody:
        spans = _changes(bars)
        notes = []
        for onset, duration, pitch, velocity in melody[0].rows.tolist():
            span = next((s for s in spans if s[0] - 0.3 <= onset < s[1]), None)
            if span is None:
                continue
            classes = [(span[2] + i) % 12 for i in CHORD_QUALITIES[CHORD_QUALITY_NAMES[span[3]]]]
            below = [pitch - d for d in range(3, 15) if int(pitch - d) % 12 in classes][
                : int(rng.integers(1, 4))
            ]
            notes += [(onset, duration, p, velocity * 0.85) for p in below]
        return _rows(notes)
    if style in ("jazz", "blues", "pop", "rock") and draw < 0.7:
        riff = [
            (float(p) / 2, float(rng.choice((0.3, 0.3, 0.9))))
            for p in sorted(rng.choice(8, size=3, replace=False))
        ]
        notes = []
        for at, end, root, quality in _changes(bars):
            chord = voice_chord(root, quality, None, style == "jazz")
            notes += [(at + p, d, c + 5, 90.0) for p, d in riff if at + p < end for c in chord]
        return _rows(notes)
    if draw < 0.85 and melody:
        doubled = melody[0].rows.copy()
        doubled[:, 2] = _folded(doubled[:, 2] + float(rng.choice((-12, 12, 0))))
        return doubled
    return _pad(bars, rng)


def bass_line(style: str, bars: list[Bar], rng: np.random.Generator) -> Rows:
    """A bass from chord symbols: walking, two-beat, eighths or held, as the style has it."""
    manners = {
        "jazz": ("walk", "walk", "walk", "two", "bossa"), "blues": ("walk", "shuffle", "shuffle", "eighths"),
        "pop": ("hold", "eighths", "push", "push", "two"), "rock": ("eighths", "eighths", "push"),
        "game": ("eighths", "octaves", "hold", "two"), "folk": ("two", "two", "hold"), "ragtime": ("two",),
    }.get(style, ("hold", "two"))  # fmt: skip
    manner = str(rng.choice(manners))
    base = int(rng.integers(26, 34))
    notes: list[tuple[float, float, float, float]] = []
    spans = _changes(bars)
    pitch = base + 6
    for index, (at, end, root, quality) in enumerate(spans):
        intervals = CHORD_QUALITIES[CHORD_QUALITY_NAMES[quality]]
        low = base + (root - base) % 12
        if abs(low + 12 - pitch) < abs(low - pitch) and low + 12 <= base + 18:
            low += 12
        fifth = low + 7 if 7 in intervals else low + intervals[2 % len(intervals)]
        length = end - at
        loud = 92.0
        if manner in ("walk", "shuffle"):
            following = spans[index + 1][2] if index + 1 < len(spans) else root
            beats = max(1, round(length))
            pitch = low
            for beat in range(beats):
                if beat == 0:
                    pitch = low
                elif beat == beats - 1:
                    target = base + (following - base) % 12
                    target += 12 * round((pitch - target) / 12)
                    pitch = target + int(rng.choice((-1, 1, -2, 2)))
                else:
                    tones = [low + i + 12 * o for i in (*intervals, 2) for o in (-1, 0, 1)]
                    near = sorted(
                        (t for t in tones if t != pitch and base - 2 <= t <= base + 24),
                        key=lambda t: abs(t - pitch),
                    )
                    pitch = near[int(rng.integers(min(3, len(near))))] if near else low
                if manner == "walk":
                    notes.append((at + beat, 0.92, pitch, loud))
                    if rng.random() < 0.08:
                        notes.append((at + beat + 2 / 3, 0.25, pitch, loud - 15))
                else:
                    notes += [(at + beat, 0.6, pitch, loud), (at + beat + 2 / 3, 0.3, pitch, loud - 10)]
        elif manner in ("two", "bossa"):
            place = 0.0
            tone = 0
            while place < length - 0.2:
                step = 2.0 if manner == "two" or tone % 2 else 1.5
                notes.append(
                    (at + place, min(step, length - place) * 0.85, low if tone % 2 == 0 else fifth, loud)
                )
                place += step
                tone += 1
        elif manner in ("eighths", "octaves"):
            for i in range(max(1, round(length * 2))):
                up = 12 if manner == "octaves" and i % 2 else 0
                notes.append((at + i / 2, 0.45, low + up, loud - 8 * (i % 2)))
        elif manner == "push":
            for bar_at in np.arange(at, end - 0.2, 4.0):
                for place, held in ((0.0, 1.4), (1.5, 0.45), (2.0, 1.4), (3.5, 0.45)):
                    if bar_at + place < end - 0.1:
                        notes.append(
                            (
                                float(bar_at) + place,
                                held,
                                fifth if place == 3.5 and rng.random() < 0.3 else low,
                                loud,
                            )
                        )
        else:
            notes.append((at, length * 0.95, low, loud))
        pitch = int(notes[-1][2]) if notes else pitch
    return _rows(notes)


def drum_pattern(style: str, bars: list[Bar], rng: np.random.Generator) -> Rows:
    """A beat as hobby sequencers write it: swing, shuffle, rock, pop, bossa, dance, waltz, jig or hand drums."""
    meter = bars[0].meter
    three = meter[0] == 3 and meter[1] in (2, 4, 8)
    compound = meter[1] == 8 and meter[0] % 3 == 0 and meter[0] > 3
    manners = {
        "jazz": ("swing", "swing", "swing", "bossa"), "blues": ("shuffle", "shuffle", "shuffle", "rock"),
        "pop": ("rock", "pop", "pop", "dance", "bossa"), "rock": ("rock", "rock", "dance"),
        "game": ("rock", "pop", "dance"), "folk": ("hand", "hand", "rock", "march"), "ragtime": ("march", "swing"),
    }.get(style, ("sparse", "sparse", "sparse", "hand", "rock", "pop", "swing"))  # fmt: skip
    manner = str(rng.choice(manners))
    hat = int(rng.choice((42, 42, 51, 44, 54)))
    kick16 = [i / 4 for i in range(1, 16) if i not in (4, 12) and rng.random() < 0.18]
    notes: list[tuple[float, float, float, float]] = []
    for number, bar in enumerate(bars):
        size = bar.quarters
        hits: list[tuple[float, int, float]] = []
        if manner == "sparse":  # an orchestra's: a stroke on some downbeats
            hits += (
                [(0.0, int(rng.choice((36, 49, 35, 57))), 80)] if number == 0 or rng.random() < 0.4 else []
            )
            hits += [(size - 0.5 + i / 8, 38, 60 + 5 * i) for i in range(4)] if rng.random() < 0.1 else []
        elif compound or (manner == "hand" and not three):
            unit = 0.5 if compound else 0.25
            skin = (45, 41) if manner == "hand" else (42, 36)
            for i in range(round(size / unit)):
                accent = i % (3 if compound else 4) == 0
                if accent or rng.random() < 0.7:
                    hits.append((i * unit, skin[1] if accent else skin[0], 95 if accent else 60))
            if manner != "hand":
                hits += [(b, 38, 95) for b in np.arange(1.5, size, 3.0)]
        elif three:
            ride = 51 if style in ("jazz", "blues") else 42
            hits += [(0, 36, 95), (1, 38 if ride == 42 else 44, 70), (2, 38 if ride == 42 else 44, 70)]
            hits += [(b, ride, 75) for b in np.arange(0, size, 1.0)]
            if ride == 51:
                hits += [(1 + 2 / 3, ride, 60)]
        elif manner in ("swing", "shuffle"):
            for b in np.arange(0, size, 1.0):
                hits.append((float(b), 51 if manner == "swing" else 42, 85))
                if manner == "shuffle" or int(b) % 2 == 1:
                    hits.append((float(b) + 2 / 3, 51 if manner == "swing" else 42, 65))
                if int(b) % 2 == 1:
                    hits.append((float(b), 44 if manner == "swing" else 38, 75 if manner == "swing" else 100))
                elif manner == "shuffle" or rng.random() < 0.5:
                    hits.append((float(b), 36, 60 if manner == "swing" else 95))
                if manner == "swing" and rng.random() < 0.22:
                    hits.append((float(b) + float(rng.choice((0.0, 2 / 3))), 38, 50))
        elif manner == "bossa":
            hits += [(b, 36, 75) for b in (0, 1.5, 2, 3.5) if b < size]
            hits += [(b, 37, 80) for b in ((0, 1.5, 3) if number % 2 == 0 else (1, 2.5)) if b < size]
            hits += [(float(b), 42, 55) for b in np.arange(0, size, 0.5)]
        elif manner == "march":
            hits += [(float(b), 36, 85) for b in np.arange(0, size, 2.0)]
            hits += [(float(b), 38, 75) for b in np.arange(1, size, 2.0)]
            hits += [(float(b), 38, 45) for b in np.arange(0.5, size, 1.0) if rng.random() < 0.4]
        else:
            step = 0.25 if manner == "pop" and rng.random() < 0.3 else 0.5
            hits += [(float(b), hat, 80 - 20 * (round(b / step) % 2)) for b in np.arange(0, size, step)]
            hits += [(float(b), 38, 105) for b in np.arange(1, size, 2.0)]
            if manner == "dance":
                hits += [(float(b), 36, 105) for b in np.arange(0, size, 1.0)]
            else:
                hits += [(0.0, 36, 105), *((k, 36, 95) for k in kick16 if k < size)]
                if size > 2:
                    hits.append((2.0, 36, 100))
            if number % 4 == 3 and rng.random() < 0.4:
                hits += [(size - 1 + i * 0.25, int(rng.choice((38, 45, 47, 50))), 95) for i in range(4)]
        notes += [(bar.start + at, 0.1, kind, loud) for at, kind, loud in hits]
    return _rows(notes)


def _instrumented(style: str, voices: list[Voice], rng: np.random.Generator, how: ViewStyle) -> list[Voice]:
    """Programs by one of four plans for the whole view."""
    if how.held_out_programs:
        plan = "held out"
    else:
        edges = np.cumsum((how.typical, how.native, how.keyboard))
        plan = ("typical", "native", "keyboard", "any")[
            int(np.searchsorted(edges, rng.random(), side="right"))
        ]
    pitched = [v.program for v in voices if v.stem != "drums"]
    if plan == "native" and (style not in ("game", "rock") or not any(pitched)):
        plan = "typical"
    if style == "ragtime" and plan == "typical" and rng.random() < 0.6:
        plan = "keyboard"
    if style in ("hymn", "baroque", "game") and plan == "typical" and rng.random() < 0.4:
        plan = "one typical"  # an organ, a harpsichord, a chip
    if style == "game" and not how.held_out_programs and rng.random() < 0.4:
        return _chip(voices, rng)
    keyboard = int(rng.choice(_KEYBOARDS))
    chosen: dict[tuple[str, int], int] = {}
    result = []
    for voice in voices:
        if voice.stem == "drums":
            result.append(voice)
            continue
        palette = {
            "held out": HELD_OUT_BY_STEM, "any": _ANY, "typical": _TYPICAL[style], "one typical": _TYPICAL[style],
        }.get(plan)  # fmt: skip
        if plan == "native":
            program = voice.program
        elif palette is None:
            program = keyboard
        else:
            slot = (
                voice.stem if plan != "one typical" else "melody",
                voice.program if plan != "one typical" else 0,
            )
            if slot not in chosen:
                chosen[slot] = int(rng.choice(palette[slot[0]]))
            program = chosen[slot]
        if program in HELD_OUT_PROGRAMS and not how.held_out_programs:
            program = int(rng.choice([p for p in _ANY[voice.stem] if p not in HELD_OUT_PROGRAMS]))
        result.append(replace(voice, program=program))
    return result


def _chip(voices: list[Voice], rng: np.random.Generator) -> list[Voice]:
    """As a console of the 1980s plays: two or three single lines of square and saw waves, and noise."""
    lead = int(rng.choice((80, 80, 81, 82, 87)))
    seats = {"melody": 1, "harmony": 1, "bass": 1, "drums": 1, "extra": int(rng.integers(0, 2))}
    result = []
    for voice in sorted(voices, key=lambda v: -len(v.rows)):
        if seats[voice.stem] == 0:
            continue
        seats[voice.stem] -= 1
        if voice.stem == "drums":
            result.append(voice)
            continue
        order = np.lexsort(
            (voice.rows[:, 2] * (1 if voice.stem == "bass" else -1), np.round(voice.rows[:, 0], 2))
        )
        rows = voice.rows[order]
        first = np.ones(len(rows), dtype=bool)
        first[1:] = np.diff(np.round(rows[:, 0], 2)) > 0
        rows = rows[first]
        gap = np.append(np.diff(rows[:, 0]), rows[-1, 1])
        rows[:, 1] = np.minimum(rows[:, 1], np.maximum(gap, 0.05))
        bass = voice.stem == "bass" and rng.random() < 0.5
        result.append(replace(voice, program=38 if bass else lead, rows=rows))
    return result


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


def _folded(pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pitches moved by octaves into 21..108."""
    pitch = np.where(pitch > 108, pitch - 12 * np.ceil((pitch - 108) / 12), pitch)
    result: NDArray[np.float64] = np.where(pitch < 21, pitch + 12 * np.ceil((21 - pitch) / 12), pitch)
    return result


def _track(voice: Voice, rows: Rows) -> Track | None:
    onset = np.maximum(np.rint(rows[:, 0] * TICKS), 0).astype(np.int64)
    duration = np.maximum(np.rint(rows[:, 1] * TICKS), 1).astype(np.int64)
    pitch = np.clip(np.rint(rows[:, 2]), 0, 127).astype(np.int64)
    velocity = np.clip(np.rint(rows[:, 3]), 20, 127).astype(np.int64)
    if not len(onset):
        return None
    listed = zip(onset.tolist(), duration.tolist(), pitch.tolist(), velocity.tolist(), strict=True)
    role = {"harmony": "chords", "extra": "other"}.get(voice.stem, voice.stem)
    return Track(note_array(listed), voice.program, voice.stem == "drums", role, voice.stem)
