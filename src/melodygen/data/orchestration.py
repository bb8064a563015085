"""Which instruments play a view: typical of the style, the source's own, one keyboard, or anything; or a games console.

Programs are General MIDI's, counted from 0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from melodygen.data.stems import StemVoice
from melodygen.styles.style import Style

HELD_OUT_PROGRAMS = frozenset((2, 10, 36, 39, 41, 51, 54, 69, 75, 91, 107))
"""Never heard in training, so that "unknown instruments" can be measured."""
HELD_OUT_BY_STEM = {
    "melody": (2, 10, 41, 54, 69, 75, 107),
    "harmony": (2, 51, 91, 107),
    "bass": (36, 39, 41),
    "extra": (51, 54, 91),
}

ANY_PROGRAMS = {
    "melody": (0, 1, 3, 4, 6, 7, 9, 11, 12, 13, 16, 18, 19, 21, 22, 24, 25, 26, 27, 28, 29, 40, 42, 46, 48, 52, 53, 56,
               57, 58, 59, 60, 61, 64, 65, 66, 67, 68, 70, 71, 72, 73, 74, 78, 79, 80, 81, 85, 87, 105, 109, 110),
    "harmony": (0, 1, 3, 4, 5, 6, 7, 11, 16, 17, 18, 19, 21, 24, 25, 26, 27, 46, 48, 49, 50, 52, 60, 61, 80, 81, 88, 89,
                90),
    "bass": (32, 33, 34, 35, 37, 38, 42, 43, 58, 70, 0),
    "extra": (16, 18, 26, 27, 46, 48, 49, 50, 52, 53, 56, 60, 61, 65, 73, 81, 88, 89),
}  # fmt: skip
"""Programs that can play a stem, whatever the style."""
KEYBOARDS = (0, 0, 0, 0, 1, 3, 4, 6, 16, 19, 24, 25, 46, 48)
"""What one player may play everything on, pianos most often."""


def as_written(voices: list[StemVoice], rng: np.random.Generator) -> list[StemVoice]:
    """On their own programs, but for those kept for measuring."""
    return [v if v.stem == "drums" else replace(v, program=_heard(v.program, v.stem, rng)) for v in voices]


def _heard(program: int, stem: str, rng: np.random.Generator) -> int:
    if program not in HELD_OUT_PROGRAMS:
        return program
    return int(rng.choice([p for p in ANY_PROGRAMS[stem] if p not in HELD_OUT_PROGRAMS]))


def typical_programs(style: Style) -> dict[str, tuple[int, ...]]:
    """General MIDI programs for each stem: the style's palette, else its own program for the role, else anything."""
    palette, own = style.orchestration.programs, style.programs
    roles = {"harmony": "chords", "extra": "other"}
    found = {}
    for stem, anything in ANY_PROGRAMS.items():
        program = own.get(roles.get(stem, stem))
        found[stem] = palette.get(stem) or (anything if program is None else (program,))
    return found


def instrumented(
    style: Style,
    voices: list[StemVoice],
    rng: np.random.Generator,
    plans: tuple[float, float, float],
    held_out_programs: bool = False,
) -> list[StemVoice]:
    """Programs by one plan for the whole view: ``plans`` are the shares of typical, native, one keyboard; else any."""
    how = style.orchestration
    if held_out_programs:
        plan = "held out"
    else:
        edges = np.cumsum(plans)
        plan = ("typical", "native", "keyboard", "any")[
            int(np.searchsorted(edges, rng.random(), side="right"))
        ]
    pitched = [v.program for v in voices if v.stem != "drums"]
    if plan == "native" and (not how.native or not any(pitched)):
        plan = "typical"
    if how.keyboard > 0 and plan == "typical" and rng.random() < how.keyboard:
        plan = "keyboard"
    if how.one_program > 0 and plan == "typical" and rng.random() < how.one_program:
        plan = "one typical"  # an organ, a harpsichord, a chip
    if how.console > 0 and not held_out_programs and rng.random() < how.console:
        return _chip(voices, rng)
    keyboard, typical = int(rng.choice(KEYBOARDS)), typical_programs(style)
    chosen: dict[tuple[str, int], int] = {}
    result = []
    for voice in voices:
        if voice.stem == "drums":
            result.append(voice)
            continue
        palette = {
            "held out": HELD_OUT_BY_STEM, "any": ANY_PROGRAMS, "typical": typical, "one typical": typical,
        }.get(plan)  # fmt: skip
        if plan == "native":
            program = voice.program
        elif palette is None:
            program = keyboard
        else:
            slot = (
                voice.stem if plan != "one typical" else "melody",
                voice.program if plan != "one typical" else 0,
            )
            if slot not in chosen:
                chosen[slot] = int(rng.choice(palette[slot[0]]))
            program = chosen[slot]
        if not held_out_programs:
            program = _heard(program, voice.stem, rng)
        result.append(replace(voice, program=program))
    return result


def _chip(voices: list[StemVoice], rng: np.random.Generator) -> list[StemVoice]:
    """As a console of the 1980s plays: two or three single lines of square and saw waves, and noise."""
    lead = int(rng.choice((80, 80, 81, 82, 87)))
    seats = {"melody": 1, "harmony": 1, "bass": 1, "drums": 1, "extra": int(rng.integers(0, 2))}
    result = []
    for voice in sorted(voices, key=lambda v: -len(v.rows)):
        if seats[voice.stem] == 0:
            continue
        seats[voice.stem] -= 1
        if voice.stem == "drums":
            result.append(voice)
            continue
        order = np.lexsort(
            (voice.rows[:, 2] * (1 if voice.stem == "bass" else -1), np.round(voice.rows[:, 0], 2))
        )
        rows = voice.rows[order]
        first = np.ones(len(rows), dtype=bool)
        first[1:] = np.diff(np.round(rows[:, 0], 2)) > 0
        rows = rows[first]
        gap = np.append(np.diff(rows[:, 0]), rows[-1, 1])
        rows[:, 1] = np.minimum(rows[:, 1], np.maximum(gap, 0.05))
        bass = voice.stem == "bass" and rng.random() < 0.5
        result.append(replace(voice, program=38 if bass else lead, rows=rows))
    return result
