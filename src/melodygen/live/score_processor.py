"""A Score as a processor: the live player plays a file too, with seek, loop and tempo."""

from __future__ import annotations

import numpy as np

from melodygen.io.midi import assign_channels
from melodygen.live.playhead import NoteSource, Playhead, SampleOf, Stretch
from melodygen.live.transport import PROGRAM_CHANGE, Block, MidiEvent, Transport
from melodygen.music.score import Score

FOREVER = 1e12


class ScoreProcessor(NoteSource):
    """Plays a score at the host's tempo; the score's own tempos are in ``tempos``.

    Attributes:
        length_quarters: end of the last note.
        tempos: (quarters, qpm) of each tempo.
        bars: bar lines in quarters.
    """

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
        self._programs_sent = False
        self.length_quarters = score.end_tick / per_quarter
        self.tempos = [(t.tick / per_quarter, t.qpm) for t in score.tempos]
        self.bars = [tick / per_quarter for tick in score.bar_ticks()]

    def prepare(self, sample_rate: float, block_size: int) -> None:
        """See ``Processor.prepare``."""
        self._head = Playhead(self, sample_rate)
        self._programs_sent = False

    def process(self, transport: Transport, block: Block) -> list[MidiEvent]:
        """See ``Processor.process``."""
        self._head.out = []
        if transport.is_playing and not self._programs_sent:
            self._programs_sent = True
            self._head.out += [MidiEvent(0, (PROGRAM_CHANGE | c, p)) for c, p in self._programs.items()]
        self._head.play_block(transport, block)
        return self._head.out

    def stretch_at(
        self, transport: Transport, cursor: float, grain: float, sample: SampleOf
    ) -> tuple[Stretch, float]:
        """Return all notes of the score."""
        return self._stretch, FOREVER

    def channel_of(self, voice: int) -> int | None:
        """Return the MIDI channel of a track."""
        return self._channels[voice]
