"""Conversions between the units of music and of sound: the only place where they are written.

tick     integer, ``ticks_per_quarter`` to a quarter note
quarter  a quarter note, whatever the meter
qpm      quarter notes a minute
second, sample, Hz, MIDI number (60 = middle C = 261.63 Hz)
"""

from __future__ import annotations

MICROSECONDS_PER_MINUTE = 60_000_000


def qpm_to_microseconds_per_quarter(qpm: float) -> int:
    """MIDI's set_tempo value; mido calls it ``tempo``."""
    return round(MICROSECONDS_PER_MINUTE / qpm)


def microseconds_per_quarter_to_qpm(microseconds: int) -> float:
    return MICROSECONDS_PER_MINUTE / microseconds


def quarters_to_seconds(quarters: float, qpm: float) -> float:
    return quarters * 60.0 / qpm


def seconds_to_quarters(seconds: float, qpm: float) -> float:
    return seconds * qpm / 60.0


def ticks_to_quarters(ticks: int, ticks_per_quarter: int) -> float:
    return ticks / ticks_per_quarter


def bar_quarters(numerator: int, denominator: int) -> float:
    """Length of one bar in quarters: 4/4 -> 4.0, 6/8 -> 3.0."""
    return numerator * 4.0 / denominator


def seconds_to_samples(seconds: float, sample_rate: int) -> int:
    return round(seconds * sample_rate)


def midi_to_hz(pitch: float) -> float:
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))
