"""Conversions between the units of music and of sound: the only place where they are written.

tick     integer, ``ticks_per_quarter`` to a quarter note quarter  a quarter note, whatever the meter qpm
quarter notes a minute second, sample, Hz, MIDI number (60 = middle C = 261.63 Hz)
"""

from __future__ import annotations

MICROSECONDS_PER_MINUTE = 60_000_000


def qpm_to_microseconds_per_quarter(qpm: float) -> int:
    """Return the value of MIDI's set_tempo, which mido calls ``tempo``."""
    return round(MICROSECONDS_PER_MINUTE / qpm)


def microseconds_per_quarter_to_qpm(microseconds: int) -> float:
    """Return the tempo in quarters per minute of MIDI's set_tempo value."""
    return MICROSECONDS_PER_MINUTE / microseconds


def quarters_to_seconds(quarters: float, qpm: float) -> float:
    """Return the length of ``quarters`` at a constant tempo, in seconds."""
    return quarters * 60.0 / qpm


def seconds_to_quarters(seconds: float, qpm: float) -> float:
    """Return the number of quarters in ``seconds`` at a constant tempo."""
    return seconds * qpm / 60.0


def ticks_to_quarters(ticks: int, ticks_per_quarter: int) -> float:
    """Return the number of quarters in ``ticks``."""
    return ticks / ticks_per_quarter


def bar_quarters(numerator: int, denominator: int) -> float:
    """Return the length of one bar in quarters: 4.0 for 4/4, 3.0 for 6/8."""
    return numerator * 4.0 / denominator


def seconds_to_samples(seconds: float, sample_rate: int) -> int:
    """Return the nearest number of samples in ``seconds``."""
    return round(seconds * sample_rate)


def midi_to_hz(pitch: float) -> float:
    """Return the frequency of a MIDI number in equal temperament, A4 = 440 Hz."""
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))
