"""Conversions between the units of music and of sound: the only place where they are written.

- tick: an integer, ``ticks_per_quarter`` to a quarter note
- quarter: a quarter note, whatever the meter
- qpm: quarter notes a minute
- MIDI number: 60 is middle C, 261.63 Hz
"""

from __future__ import annotations

MICROSECONDS_PER_MINUTE = 60_000_000


def qpm_to_microseconds_per_quarter(qpm: float) -> int:
    """Return the value of MIDI's set_tempo, which mido calls ``tempo``."""
    return round(MICROSECONDS_PER_MINUTE / qpm)


def bar_quarters(numerator: int, denominator: int) -> float:
    """Return the length of one bar in quarters: 4.0 for 4/4, 3.0 for 6/8."""
    return numerator * 4.0 / denominator


def midi_to_hz(pitch: float) -> float:
    """Return the frequency of a MIDI number in equal temperament, A4 = 440 Hz."""
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))
