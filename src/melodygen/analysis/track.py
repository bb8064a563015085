"""What a track is made of in time: beats and bars, tempo, key, chords and sections; and a MIDI map of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.analysis.sections import SectionSpan
from melodygen.analysis.sound_chords import NO_CHORD, ChordSpan
from melodygen.music.key import key_name
from melodygen.music.score import Chord, KeySignature, Score, Section, Tempo, TimeSignature

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TICKS = 480
SHORTEST_LEAD_SECONDS = 0.06
"""A first beat that comes sooner stands at tick 0: no sequencer knows the tempo of so short a bar."""
LONGEST_LEAD_BEATS = 16
MAX_MAP_QPM = 990.0


@dataclass(frozen=True, eq=False)
class TrackAnalysis:
    """A track in time. N beats.

    Attributes:
        path: of the file.
        seconds: its length.
        beats: (N,) seconds of each beat.
        places: (N,) place of each beat in its bar, 0 for downbeats.
        meter: beats of a bar and their unit; None without beats.
        qpm: beats a minute; None without beats.
        key: (tonic, mode), or None.
        key_fifths: sharps of the signature that a score has.
        chords: one after another, N where there is none.
        sections: one after another.
        notes: what was odd about the file, mended or passed over, in plain words.
    """

    path: str
    seconds: float
    beats: Floats
    places: Ints
    meter: tuple[int, int] | None = None
    qpm: float | None = None
    key: tuple[int, str] | None = None
    key_fifths: int | None = None
    chords: tuple[ChordSpan, ...] = ()
    sections: tuple[SectionSpan, ...] = field(default=())
    notes: tuple[str, ...] = ()

    @property
    def downbeats(self) -> Floats:
        """Seconds of the first beat of each bar."""
        return np.asarray(self.beats[self.places == 0])

    def tempo_curve(self) -> list[tuple[float, float]]:
        """(seconds, beats a minute) of each bar that another one follows."""
        first = np.flatnonzero(self.places == 0)
        return [
            (float(self.beats[a]), round(60.0 * float(b - a) / float(self.beats[b] - self.beats[a]), 2))
            for a, b in zip(first[:-1].tolist(), first[1:].tolist(), strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """For JSON; times are in seconds."""
        return {
            "path": self.path,
            "seconds": round(self.seconds, 3),
            "qpm": self.qpm,
            "meter": None if self.meter is None else f"{self.meter[0]}/{self.meter[1]}",
            "key": None if self.key is None else key_name(self.key, self.key_fifths),
            "beats": [round(t, 3) for t in self.beats.tolist()],
            "places": [place + 1 for place in self.places.tolist()],
            "downbeats": [round(t, 3) for t in self.downbeats.tolist()],
            "tempo": [{"start": round(t, 3), "qpm": qpm} for t, qpm in self.tempo_curve()],
            "chords": [
                {"start": round(c.start_seconds, 3), "end": round(c.end_seconds, 3), "chord": c.label}
                for c in self.chords
            ],
            "sections": [
                {"start": round(s.start_seconds, 3), "end": round(s.end_seconds, 3), "name": s.name}
                for s in self.sections
            ],
            "notes": list(self.notes),
        }


def tempo_map(found: TrackAnalysis) -> Score:
    """A score without notes: a tempo for each beat, meters at the bar lines, key, chords and sections as markers.

    Its tick 0 is the beginning of the recording, or the first beat where that comes within ``SHORTEST_LEAD_SECONDS``.
    """
    beats = found.beats
    if len(beats) < 2 or found.qpm is None or found.meter is None:
        return Score(ticks_per_quarter=TICKS)
    lead = _lead_beats(float(beats[0]), found.qpm, found.meter[0])
    tempos = [Tempo(0, min(MAX_MAP_QPM, lead * 60.0 / float(beats[0])))] if lead else []
    tempos += [
        Tempo((lead + i) * TICKS, 60.0 / float(period)) for i, period in enumerate(np.diff(beats).tolist())
    ]

    def tick_of(seconds: float) -> int:
        return (lead + int(np.abs(beats - seconds).argmin())) * TICKS

    key = () if found.key is None else (KeySignature(0, *found.key, found.key_fifths),)
    chords = tuple(Chord(tick_of(c.start_seconds), c.label) for c in found.chords)
    if found.chords and found.chords[-1].label != NO_CHORD:
        chords = (*chords, Chord((lead + len(beats)) * TICKS, NO_CHORD))
    return Score(
        (), tuple(tempos), tuple(_meters(found.places, lead, found.meter)), key, chords, TICKS,
        sections=tuple(Section(tick_of(s.start_seconds), s.name) for s in found.sections),
    )  # fmt: skip


def _lead_beats(seconds: float, qpm: float, bar: int) -> int:
    """How many beats are counted before the first one."""
    if seconds < SHORTEST_LEAD_SECONDS:
        return 0
    count = max(1, min(round(seconds * qpm / 60.0), int(seconds * MAX_MAP_QPM / 60.0)))
    return count if count <= LONGEST_LEAD_BEATS else round(count / bar) * bar


def _meters(places: Ints, lead: int, meter: tuple[int, int]) -> list[TimeSignature]:
    """A meter wherever bars get another length; the beats before the first downbeat are a bar of their own."""
    bar, unit = meter
    meters = [TimeSignature(0, lead if lead <= LONGEST_LEAD_BEATS else bar, unit)] if lead else []
    first = np.flatnonzero(places == 0).tolist()
    starts = sorted({0, *first})
    for number, start in enumerate(starts):
        is_last = number + 1 == len(starts)
        length = bar if is_last else starts[number + 1] - start
        if not meters or meters[-1].numerator != length:
            meters.append(TimeSignature((lead + start) * TICKS, length, unit))
    return meters


__all__ = ["Floats", "TrackAnalysis", "tempo_map"]
