"""The data between a host and a processor of music, as in a plug-in interface.

Conventions
    Positions are in quarters from the start of the song, whatever the meter; lengths of blocks in samples.
    An event lies on the first sample at or after its musical time, so that it does not depend on where the
    host cuts its blocks. MIDI messages are tuples of bytes with a full status byte; channels count from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from melodygen.errors import UsageError
from melodygen.music.units import bar_quarters

MidiBytes = tuple[int, ...]
NOTE_OFF, NOTE_ON, CONTROL_CHANGE, PROGRAM_CHANGE = 0x80, 0x90, 0xB0, 0xC0
MIN_QPM, MAX_QPM = 1.0, 1000.0
SAMPLE_TOLERANCE = 1e-3
"""Share of a sample by which a floating-point position may be off without moving an event to another
sample.
"""


class MidiEvent(NamedTuple):
    """A MIDI message at ``offset`` samples from the start of the block, 0 to ``num_samples - 1``."""

    offset: int
    message: MidiBytes


@dataclass(frozen=True)
class Transport:
    """The host's transport from one sample on.

    Attributes:
        position_quarters: position in quarters.
        qpm: tempo, 1 to 1000.
        is_playing: whether time passes.
        loop: (start, end) in quarters; playing on from before ``end`` goes back to ``start``.
        meter: numerator and denominator.
        bar_start_quarters: position of any bar line; the others follow from the meter.

    Raises:
        UsageError: tempo or meter are out of range.
    """

    position_quarters: float = 0.0
    qpm: float = 120.0
    is_playing: bool = True
    loop: tuple[float, float] | None = None
    meter: tuple[int, int] = (4, 4)
    bar_start_quarters: float = 0.0

    def __post_init__(self) -> None:
        if not MIN_QPM <= self.qpm <= MAX_QPM:
            raise UsageError(f"a tempo of {self.qpm} qpm is not between {MIN_QPM:g} and {MAX_QPM:g}")
        if self.meter[0] < 1 or self.meter[1] < 1:
            raise UsageError(f"a meter of {self.meter[0]}/{self.meter[1]} is not possible")

    @property
    def bar_quarters(self) -> float:
        """Length of a bar in quarters."""
        return bar_quarters(*self.meter)

    def samples_per_quarter(self, sample_rate: float) -> float:
        """Return the length of a quarter in samples."""
        return sample_rate * 60.0 / self.qpm


@dataclass(frozen=True)
class Block:
    """A stretch of time that the host asks a processor to fill.

    Attributes:
        num_samples: length.
        midi_in: messages that arrive in it.
        changes: (offset, transport from there on), in order: a tempo change, a jump or a stop inside the
            block.
    """

    num_samples: int
    midi_in: tuple[MidiEvent, ...] = ()
    changes: tuple[tuple[int, Transport], ...] = ()


class Processor(Protocol):
    """Makes events for a host. The engine is one; ``ScoreProcessor``, which plays a file, is another."""

    def prepare(self, sample_rate: float, block_size: int) -> None:
        """Prepare for blocks; called before the first block and when a value changes. ``block_size`` is the
        largest to come.
        """
        ...

    def process(self, transport: Transport, block: Block) -> list[MidiEvent]:
        """Return the events of a block in order of offset. Never blocks, never raises on a possible
        transport.
        """
        ...
