"""A piece of the corpus as views need it: voices in stems, bars with chords, one tempo.

Voices are kept in five *stems* (melody, harmony, bass, drums, extra), so that training can leave out or weigh each.
Time is in quarters from the start of the piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.analysis.chords import chord_changes
from melodygen.analysis.roles import is_blocks
from melodygen.data.scan import MAX_BARS, SourceFile, dominant_qpm, prepare_score
from melodygen.errors import MelodygenError
from melodygen.io.midi import read_midi
from melodygen.music.score import Track
from melodygen.music.units import bar_quarters
from melodygen.tokens.columns import quantise
from melodygen.tokens.vocabulary import METERS, POSITIONS_PER_QUARTER

STEMS = ("melody", "harmony", "bass", "drums", "extra")
Rows = NDArray[np.float64]
"""(notes, 4): onset, duration (quarters), pitch, velocity."""


@dataclass(frozen=True, eq=False)
class StemVoice:
    """One voice of a piece: its stem (one of ``STEMS``), General MIDI program and notes."""

    stem: str
    program: int
    rows: Rows


@dataclass(frozen=True)
class StemBar:
    """``chords``: (quarter from the piece's start, root or -1, quality index)."""

    start: float
    meter: tuple[int, int]
    chords: tuple[tuple[float, int, int], ...]

    @property
    def quarters(self) -> float:
        """Length of the bar in quarters."""
        return bar_quarters(*self.meter)


@dataclass(frozen=True, eq=False)
class Source:
    """A piece as views need it. ``blocks``: its harmony stem only realises chord symbols."""

    file: SourceFile
    voices: tuple[StemVoice, ...]
    bars: tuple[StemBar, ...]
    qpm: float
    blocks: bool

    @property
    def collection(self) -> str:
        """The first two folders of its name."""
        return "/".join(self.file.name.split("/")[:2])


def rows_of(track: Track, ticks_per_quarter: int) -> Rows:
    """A track's notes in quarters from its start."""
    n = track.notes
    per = ticks_per_quarter
    return np.column_stack([n["onset_tick"] / per, n["duration_ticks"] / per, n["pitch"], n["velocity"]])


def read_source(file: SourceFile) -> Source | None:
    """A piece or a drum take, or None where it cannot be read."""
    try:
        score = prepare_score(read_midi(file.path), file.kind)
        if score.num_notes < 8:
            return None
        table = quantise(score, MAX_BARS)
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
        voices.append(StemVoice(stem, track.program, rows_of(track, per_quarter)))
    chords: list[list[tuple[float, int, int]]] = [[] for _ in range(table.num_bars)]
    starts = [tick / per_quarter for tick in score.bar_ticks()]
    for bar, position, root, quality in chord_changes(table).tolist():
        chords[bar].append((starts[bar] + position / POSITIONS_PER_QUARTER, root, quality))
    bars = [
        StemBar(at, METERS[meter], tuple(line))
        for at, meter, line in zip(starts, table.meters.tolist(), chords, strict=False)
    ]
    return Source(file, tuple(voices), tuple(bars), min(280.0, max(36.0, dominant_qpm(score))), blocks)
