"""Which instruments play a view: typical of the style, the source's own, one keyboard, or anything; or a games console.

Programs are General MIDI's, counted from 0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from melodygen.data.stems import Voice

HELD_OUT_PROGRAMS = frozenset((2, 10, 36, 39, 41, 51, 54, 69, 75, 91, 107))
"""Never heard in training, so that "unknown instruments" can be measured."""
HELD_OUT_BY_STEM = {
    "melody": (2, 10, 41, 54, 69, 75, 107),
    "harmony": (2, 51, 91, 107),
    "bass": (36, 39, 41),
    "extra": (51, 54, 91),
}

_ANY = {
    "melody": (0, 1, 3, 4, 6, 7, 9, 11, 12, 13, 16, 18, 19, 21, 22, 24, 25, 26, 27, 28, 29, 40, 42, 46, 48, 52, 53, 56,
               57, 58, 59, 60, 61, 64, 65, 66, 67, 68, 70, 71, 72, 73, 74, 78, 79, 80, 81, 85, 87, 105, 109, 110),
    "harmony": (0, 1, 3, 4, 5, 6, 7, 11, 16, 17, 18, 19, 21, 24, 25, 26, 27, 46, 48, 49, 50, 52, 60, 61, 80, 81, 88, 89,
                90),
    "bass": (32, 33, 34, 35, 37, 38, 42, 43, 58, 70, 0),
    "extra": (16, 18, 26, 27, 46, 48, 49, 50, 52, 53, 56, 60, 61, 65, 73, 81, 88, 89),
}  # fmt: skip
_TYPICAL: dict[str, dict[str, tuple[int, ...]]] = {
    "jazz": {
        "melody": (66, 65, 64, 67, 56, 56, 57, 59, 71, 11, 26, 0, 66, 73, 60),
        "harmony": (0, 0, 0, 26, 4, 16, 11), "bass": (32, 32, 32, 33, 35), "extra": (61, 57, 65, 66, 56, 67, 48),
    },
    "blues": {
        "melody": (22, 27, 26, 66, 65, 29, 0, 64, 56, 52), "harmony": (27, 0, 16, 25, 26, 0), "bass": (32, 33, 33),
        "extra": (61, 16, 65, 27),
    },
    "classical": {
        "melody": (40, 40, 73, 68, 71, 52, 53, 42, 60, 0, 0, 48, 56), "harmony": (48, 48, 48, 0, 0, 46, 49, 24, 71, 60),
        "bass": (42, 43, 43, 70, 48, 0), "extra": (48, 49, 60, 46, 73, 68, 56, 45, 47),
    },
    "baroque": {
        "melody": (6, 40, 73, 68, 74, 56, 19, 48, 42), "harmony": (6, 6, 19, 48, 40, 24), "bass": (42, 70, 43, 6, 19),
        "extra": (6, 48, 19),
    },
    "folk": {
        "melody": (110, 40, 40, 73, 73, 74, 78, 79, 72, 21, 21, 109, 22, 25, 46, 105, 15, 77),
        "harmony": (25, 25, 25, 24, 24, 0, 21, 46, 105, 15, 48),
        "bass": (32, 32, 33, 35), "extra": (49, 48, 24, 46, 21, 105, 40, 73, 25, 52),
    },
    "pop": {
        "melody": (0, 4, 5, 65, 65, 52, 53, 27, 28, 81, 80, 66, 85, 87, 62),
        "harmony": (0, 4, 4, 5, 27, 28, 16, 1, 25),
        "bass": (33, 33, 34, 38, 37), "extra": (50, 49, 89, 90, 61, 62, 88, 28, 30),
    },
    "rock": {
        "melody": (29, 30, 27, 29, 30, 84, 18), "harmony": (30, 29, 27, 30, 18), "bass": (33, 34, 34),
        "extra": (18, 29, 30, 48, 50),
    },
    "ragtime": {
        "melody": (0, 3, 3, 1, 0, 105), "harmony": (0, 3, 3, 1, 0), "bass": (0, 3, 58, 32), "extra": (71, 56, 58),
    },
    "hymn": {
        "melody": (19, 19, 52, 16, 0, 20, 48), "harmony": (19, 19, 52, 16, 0, 20, 48), "bass": (19, 52, 0, 16, 42),
        "extra": (52, 19, 48),
    },
    "game": {
        "melody": (80, 80, 81, 73, 87, 56, 48, 62, 11, 68, 82, 12), "harmony": (80, 81, 48, 50, 88, 46, 12, 61, 90),
        "bass": (38, 38, 80, 81, 33, 43, 87), "extra": (48, 50, 61, 81, 88, 98, 60),
    },
}  # fmt: skip
_KEYBOARDS = (0, 0, 0, 0, 1, 3, 4, 6, 16, 19, 24, 25, 46, 48)


def as_written(voices: list[Voice], rng: np.random.Generator) -> list[Voice]:
    """On their own programs, but for those kept for measuring."""
    return [v if v.stem == "drums" else replace(v, program=_heard(v.program, v.stem, rng)) for v in voices]


def _heard(program: int, stem: str, rng: np.random.Generator) -> int:
    if program not in HELD_OUT_PROGRAMS:
        return program
    return int(rng.choice([p for p in _ANY[stem] if p not in HELD_OUT_PROGRAMS]))


def instrumented(
    style: str,
    voices: list[Voice],
    rng: np.random.Generator,
    plans: tuple[float, float, float],
    held_out_programs: bool = False,
) -> list[Voice]:
    """Programs by one plan for the whole view: ``plans`` are the shares of typical, native, one keyboard; else any."""
    if held_out_programs:
        plan = "held out"
    else:
        edges = np.cumsum(plans)
        plan = ("typical", "native", "keyboard", "any")[
            int(np.searchsorted(edges, rng.random(), side="right"))
        ]
    pitched = [v.program for v in voices if v.stem != "drums"]
    if plan == "native" and (style not in ("game", "rock") or not any(pitched)):
        plan = "typical"
    if style == "ragtime" and plan == "typical" and rng.random() < 0.6:
        plan = "keyboard"
    if style in ("hymn", "baroque", "game") and plan == "typical" and rng.random() < 0.4:
        plan = "one typical"  # an organ, a harpsichord, a chip
    if style == "game" and not held_out_programs and rng.random() < 0.4:
        return _chip(voices, rng)
    keyboard = int(rng.choice(_KEYBOARDS))
    chosen: dict[tuple[str, int], int] = {}
    result = []
    for voice in voices:
        if voice.stem == "drums":
            result.append(voice)
            continue
        palette = {
            "held out": HELD_OUT_BY_STEM, "any": _ANY, "typical": _TYPICAL[style], "one typical": _TYPICAL[style],
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


def _chip(voices: list[Voice], rng: np.random.Generator) -> list[Voice]:
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
