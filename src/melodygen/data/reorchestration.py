"""The same notes on other instruments, which a classifier of styles must call what it called them before.

A *plan* says what becomes of the instruments of a score:

=============  ============================================================================================
``neighbours``  each program becomes one that a listener would not mind in its place (another guitar, another reed)
``any``         each track gets any instrument that can play its role
``keyboard``    every pitched track is played by one keyboard; the drums stay
``piano``       every pitched track is played by a piano, and the drums are left out
``leads``       every pitched track is played by one square or saw lead, and the drums are left out
``no_drums``    the drums are left out
``same``        nothing changes (another soundfont may play it)
=============  ============================================================================================

Programs are General MIDI's, counted from 0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from melodygen.data.orchestration import ANY_PROGRAMS, HELD_OUT_PROGRAMS, KEYBOARDS
from melodygen.errors import ScoreError
from melodygen.music.score import Score, Track

PLANS = ("neighbours", "any", "keyboard", "piano", "leads", "no_drums", "same")
LEADS = (80, 80, 81)
"""A square wave is drawn twice as often as a saw."""
NEIGHBOURS = (
    (0, 1, 2, 3), (4, 5), (6, 7), (8, 9, 10, 11, 12, 13, 14), (16, 17, 18, 19, 20), (21, 22, 23), (24, 25),
    (26, 27, 28), (29, 30), (32, 33, 34, 35, 36, 37), (38, 39), (40, 41, 42, 43), (44, 48, 49), (50, 51),
    (52, 53, 54), (56, 57, 58, 59, 60), (61, 62, 63), (64, 65, 66, 67), (68, 69, 70, 71), (72, 73, 74, 75),
    (76, 77, 78, 79), (80, 81), (88, 89, 90, 91, 92, 93, 94, 95), (104, 105, 106, 107, 108), (109, 110, 111),
)  # fmt: skip
"""Programs that may stand for one another; one that is in no row stays."""
_ROLES = {"chords": "harmony", "other": "extra"}


def reorchestrated(score: Score, plan: str, rng: np.random.Generator, held_out: bool = False) -> Score:
    """Return a score with the same notes on other instruments.

    Args:
        score: what is played; tracks have roles.
        plan: one of ``PLANS``.
        rng: draws the instruments.
        held_out: programs that are kept for measuring may be drawn.

    Returns:
        The score; where a plan leaves drums out, it has fewer tracks, and none where only drums play.

    Raises:
        ScoreError: the plan is not known.
    """
    if plan not in PLANS:
        raise ScoreError(f"plan {plan!r} is not one of {', '.join(PLANS)}")
    silent = plan in ("piano", "leads", "no_drums")
    lead, keyboard = int(rng.choice(LEADS)), int(rng.choice(KEYBOARDS))
    of_all = {"leads": lead, "piano": 0, "keyboard": keyboard}.get(plan)
    tracks = []
    for track in score.tracks:
        if track.is_drum:
            tracks += [] if silent else [track]
        elif of_all is not None:
            tracks.append(replace(track, program=of_all))
        else:
            tracks.append(_other(track, plan, rng, held_out))
    return replace(score, tracks=tuple(tracks))


def _other(track: Track, plan: str, rng: np.random.Generator, held_out: bool) -> Track:
    """The track on another instrument, under a plan that draws one for each."""
    programs: tuple[int, ...] = ()
    if plan == "any":
        programs = ANY_PROGRAMS[_ROLES.get(track.role, track.role)]
    elif plan == "neighbours":
        programs = next((row for row in NEIGHBOURS if track.program in row), ())
    possible = [p for p in programs if p != track.program and (held_out or p not in HELD_OUT_PROGRAMS)]
    return replace(track, program=int(rng.choice(possible))) if possible else track
