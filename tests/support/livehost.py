"""A host for the engine in tests: a script of transport changes, cut into blocks of any size.

Positions are kept in exact fractions, by other code than the engine's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from melodygen.engine import Phrase, PhraseRequest
from melodygen.live.transport import Block, MidiBytes, MidiEvent, Processor, Transport
from melodygen.music.score import Score, Tempo, TimeSignature, Track

RATE = 48_000
GRAIN = Fraction(1, 1000)


@dataclass(frozen=True)
class Change:
    """What the user of the host does at ``sample``. None leaves a thing as it is."""

    sample: int
    qpm: int | None = None
    playing: bool | None = None
    jump: Fraction | None = None
    loop: tuple[Fraction, Fraction] | None = None
    meter: tuple[int, int] | None = None


@dataclass
class Host:
    """Plays ``script`` for ``length`` samples. ``events`` are (absolute sample, message)."""

    script: list[Change]
    length: int
    rate: int = RATE
    events: list[tuple[int, MidiBytes]] = field(default_factory=list)

    def run(
        self, processor: Processor, sizes: Iterable[int], midi_in: dict[int, MidiBytes] | None = None
    ) -> Host:
        self.qpm, self.playing, self.position = 120, False, Fraction(0)
        self.loop: tuple[Fraction, Fraction] | None = None
        self.meter = (4, 4)
        script = sorted(self.script, key=lambda c: c.sample)
        cycle = itertools.cycle(sizes)
        at = 0
        while at < self.length:
            size = min(next(cycle), self.length - at)
            while script and script[0].sample <= at:
                self._apply(script.pop(0))
            first = self._transport()
            changes, done = [], at
            while script and script[0].sample < at + size:
                change = script.pop(0)
                self._advance(change.sample - done)
                done = change.sample
                self._apply(change)
                changes.append((change.sample - at, self._transport()))
            self._advance(at + size - done)
            heard = tuple(
                MidiEvent(s - at, m) for s, m in sorted((midi_in or {}).items()) if at <= s < at + size
            )
            got = processor.process(first, Block(size, heard, tuple(changes)))
            assert all(0 <= e.offset < size for e in got), "an event outside its block"
            assert [e.offset for e in got] == sorted(e.offset for e in got), "events out of order"
            self.events += [(at + e.offset, e.message) for e in got]
            at += size
        return self

    def notes(self) -> list[tuple[int, MidiBytes]]:
        return [(s, m) for s, m in self.events if m[0] & 0xF0 in (0x80, 0x90)]

    def _transport(self) -> Transport:
        loop = None if self.loop is None else (float(self.loop[0]), float(self.loop[1]))
        return Transport(float(self.position), float(self.qpm), self.playing, loop, self.meter)

    def _apply(self, change: Change) -> None:
        self.qpm = self.qpm if change.qpm is None else change.qpm
        self.playing = self.playing if change.playing is None else change.playing
        self.position = self.position if change.jump is None else change.jump
        self.loop = self.loop if change.loop is None else change.loop
        self.meter = self.meter if change.meter is None else change.meter

    def _advance(self, samples: int) -> None:
        if not self.playing:
            return
        per_quarter = Fraction(self.rate * 60, self.qpm)
        while samples:
            room = samples
            if self.loop is not None and self.position * per_quarter < self.loop[1] * per_quarter - GRAIN:
                until = max(1, math.ceil((self.loop[1] - self.position) * per_quarter - GRAIN))
                room = min(samples, until)
                wraps = until <= samples
            else:
                wraps = False
            self.position += Fraction(room) / per_quarter
            samples -= room
            if wraps and self.loop is not None:
                start, end = self.loop
                over = self.position - end
                self.position = start + over % (end - start) if over > 0 else start


def unbalanced(events: Iterable[tuple[int, MidiBytes]]) -> set[tuple[int, int]]:
    """Keys that sound at the end. A note-on for a key that sounds is an error."""
    sounding: set[tuple[int, int]] = set()
    for sample, message in events:
        status, key = message[0] & 0xF0, (message[0] & 0x0F, message[1])
        if status == 0x90:
            assert message[2] > 0
            assert key not in sounding, f"{key} starts twice, at {sample}"
            sounding.add(key)
        elif status == 0x80:
            assert key in sounding, f"{key} ends at {sample} and did not sound"
            sounding.remove(key)
    return sounding


class Scribe:
    """A writer whose phrases depend on the order's seed alone: eighths, triplets, ties and a drum on each beat.

    ``slow`` holds the events that let it write; ``fails`` says how often it fails first.
    """

    styles = ("jazz", "blues", "polka")

    def __init__(self, fails: int = 0) -> None:
        self.orders: list[PhraseRequest] = []
        self.fails = fails
        self.closed = False
        self.abandoned = 0

    def write(self, order: PhraseRequest) -> Phrase:
        self.orders.append(order)
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the pen is dry")
        rng = np.random.default_rng(order.seed)
        numerator, denominator = order.request.meter or (4, 4)
        bar = 480 * 4 * numerator // denominator
        melody, drums = [], []
        for start in range(0, order.request.bars * bar, 480):
            step = int(rng.choice([120, 160, 240]))
            for at in range(start, start + 480, step):
                melody.append((at, int(rng.choice([step, step // 2, 480, 1])), int(rng.integers(60, 66)), 80))
            drums.append((start, 40, 36, 100))
        tracks = {
            "melody": Track(melody, role="melody", program=order.request.style == "blues"),
            "drums": Track(drums, role="drums", is_drum=True),
        }
        score = Score(
            tuple(tracks[r] for r in order.request.tracks if r in tracks),
            (Tempo(0, order.request.qpm or 120.0),),
            (TimeSignature(0, numerator, denominator),),
        )
        return Phrase(score, order.request, order.seed, 0.9)

    def abandon(self) -> None:
        self.abandoned += 1

    def close(self) -> None:
        self.closed = True
