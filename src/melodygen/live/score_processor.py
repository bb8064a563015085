"""A Score as a processor, so that a file is played by what plays live music: seek, loop and tempo come with it."""

from __future__ import annotations

import numpy as np

from melodygen.io.midi import assign_channels
from melodygen.live.playhead import Playhead, SampleOf, Source, Stretch
from melodygen.live.transport import PROGRAM_CHANGE, Block, MidiEvent, Transport
from melodygen.music.score import Score

FOREVER = 1e12


class ScoreProcessor(Source):
    """Plays ``score`` at the host's tempo; its own tempos are :meth:`tempos`."""

    def __init__(self, score: Score) -> None:
        self._channels = assign_channels(score)
        self._programs = {c: t.program for c, t in zip(self._channels, score.tracks, strict=True) if c != 9}
        per_quarter = score.ticks_per_quarter
        rows = [
            np.stack(
                [
                    t.notes["onset_tick"] / per_quarter,
                    (t.notes["onset_tick"] + t.notes["duration_ticks"]) / per_quarter,
                    np.full(len(t), i),
                    t.notes["pitch"],
                    t.notes["velocity"],
                ]
            )
            for i, t in enumerate(score.tracks)
        ]
        table = np.concatenate(rows, axis=1) if rows else np.zeros((5, 0))
        table = table[:, np.lexsort((table[3], table[2], table[0]))]
        onset, offset = table[0], table[1]
        voice, pitch, velocity = (row.astype(np.int64) for row in table[2:])
        self._stretch = Stretch(-FOREVER, FOREVER, onset, offset, voice, pitch, velocity)
        self._told = False
        self.length_quarters = score.end_tick / per_quarter
        self.tempos = [(t.tick / per_quarter, t.qpm) for t in score.tempos]
        self.bars = [tick / per_quarter for tick in score.bar_ticks()]

    def prepare(self, sample_rate: float, block_size: int) -> None:
        self._head = Playhead(self, sample_rate)
        self._told = False

    def process(self, transport: Transport, block: Block) -> list[MidiEvent]:
        self._head.out = []
        if transport.is_playing and not self._told:
            self._told = True
            self._head.out += [MidiEvent(0, (PROGRAM_CHANGE | c, p)) for c, p in self._programs.items()]
        edges = [(0, transport), *block.changes]
        for index, (first, now) in enumerate(edges):
            stop = edges[index + 1][0] if index + 1 < len(edges) else block.num_samples
            self._head.segment(now, first, stop)
        return self._head.out

    def stretch_at(
        self, transport: Transport, cursor: float, grain: float, sample: SampleOf
    ) -> tuple[Stretch, float]:
        return self._stretch, FOREVER

    def channel_of(self, voice: int) -> int | None:
        return self._channels[voice]
