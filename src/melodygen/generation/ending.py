"""How a piece ends: it slows down, fades, or stops on the first beat of its last bar.

A ``cadence`` and a ``loop`` are written by the net (see ``TokenPlan``); here is what a player does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from melodygen.music.score import EXPRESSION, Score, Tempo, Track, control_array, note_array

RITARDANDO_BARS, SLOWEST = 2, 0.6
"""The tempo falls over so many bars to this share of it."""
FADE_BARS = 4
LOUDEST = 127.0


def with_ending(score: Score, ending: str) -> Score:
    """Return the score with one of the endings of ``melodygen.request``."""
    bars = score.bar_ticks()
    if len(bars) < 2 or ending not in ("ritardando", "fade", "cold"):
        return score
    if ending == "cold":
        return replace(
            score, tracks=tuple(_stopped(t, bars[-2], score.ticks_per_quarter) for t in score.tracks)
        )
    start = bars[max(0, len(bars) - 1 - (RITARDANDO_BARS if ending == "ritardando" else FADE_BARS))]
    share = np.linspace(0.0, 1.0, max(2, round((bars[-1] - start) / score.ticks_per_quarter)), endpoint=False)
    ticks = start + np.rint(share * (bars[-1] - start)).astype(np.int64)
    if ending == "ritardando":
        qpm = [t.qpm for t in score.tempos if t.tick <= start][-1]
        slowing = [
            Tempo(int(tick), round(qpm * (1 - (1 - SLOWEST) * at), 3))
            for tick, at in zip(ticks, share, strict=True)
        ]
        return replace(score, tempos=(*(t for t in score.tempos if t.tick < start), *slowing))
    fading = [
        (int(tick), EXPRESSION, round(LOUDEST * (1 - at))) for tick, at in zip(ticks, share, strict=True)
    ]
    tracks = [
        replace(t, controls=control_array([*t.controls.tolist(), (0, EXPRESSION, LOUDEST), *fading]))
        for t in score.tracks
    ]
    return replace(score, tracks=tuple(tracks))


def _stopped(track: Track, bar: int, ticks_per_quarter: int) -> Track:
    """Only what begins with the last bar sounds in it, for a quarter at most."""
    notes = track.notes[track.notes["onset_tick"] < bar + ticks_per_quarter // 4].copy()
    end = bar + ticks_per_quarter
    notes["duration_ticks"] = np.minimum(notes["duration_ticks"], end - notes["onset_tick"])
    return replace(track, notes=note_array(notes))


__all__ = ["with_ending"]
