"""Which General MIDI program replaces one that a soundfont does not have. Programs count from 0."""

from __future__ import annotations

from collections.abc import Collection

STAND_INS: dict[int, tuple[int, ...]] = {
    1: (0,), 2: (4, 0), 3: (1, 0), 5: (4, 2), 6: (7, 0), 7: (6, 4), 8: (9, 10), 10: (8, 9), 13: (12,), 15: (46, 24),
    17: (16, 18), 18: (16, 17), 20: (21, 19), 21: (20, 22), 22: (21, 20), 23: (21, 22), 28: (27, 26), 29: (30, 27),
    30: (29,), 31: (27, 26), 34: (33,), 35: (33, 32), 36: (33,), 37: (36, 33), 38: (39, 33), 39: (38, 33),
    40: (41, 48), 41: (40, 42), 42: (41, 43), 43: (42, 32), 44: (48,), 45: (46, 24), 46: (45, 24), 47: (116, 117),
    49: (48,), 50: (48, 51), 51: (48, 50), 52: (53, 48), 53: (52,), 54: (52, 53), 55: (61, 48), 58: (57, 43),
    59: (56,), 60: (57, 61), 61: (56, 57), 62: (61,), 63: (61,), 64: (65,), 65: (64, 66), 66: (65, 67), 67: (66, 65),
    68: (71, 69), 69: (68, 71), 70: (71, 68), 72: (73,), 74: (73,), 75: (73,), 76: (75, 73), 77: (75, 73),
    78: (79, 72), 79: (78, 73), 80: (81,), 81: (80,), 82: (80, 79), 83: (80, 82), 84: (29, 81), 85: (52, 80),
    86: (81,), 87: (81,), 88: (89, 51), 89: (51, 48), 90: (81, 62), 91: (52, 89), 92: (89, 52), 93: (89, 51),
    94: (52, 89), 95: (89, 51), 96: (10, 8), 97: (89, 48), 98: (8, 9), 99: (24, 89), 100: (89, 8), 101: (89, 52),
    102: (8, 89), 103: (89, 8), 104: (105, 25), 105: (25, 24), 106: (105, 107), 107: (46, 24), 108: (12, 10),
    109: (111, 68), 110: (40,), 111: (68, 109), 112: (9, 14), 113: (12, 115), 114: (12, 11), 115: (12, 13),
    116: (117, 47), 117: (116, 47), 118: (117, 116, 47), 119: (89, 48), 120: (25, 24), 121: (75, 73), 122: (89, 48),
    123: (78, 72), 124: (9, 14), 125: (38, 33), 126: (52, 48), 127: (47, 117),
}  # fmt: skip
"""Replacements of each program, nearest first. Noises (119-127), which no shipped style uses, become
something pitched.
"""

KIT_STAND_INS = {8: 0, 16: 0, 24: 25, 25: 24, 32: 0, 40: 32, 48: 0}
"""Replacement of each drum kit."""


def nearest_program(program: int, available: Collection[int]) -> int | None:
    """Return the program to play instead of ``program``.

    That is ``program`` itself if it is available, else its first available replacement, else one of its
    family of eight, else the nearest number; None only when nothing is available.
    """
    if program in available:
        return program
    for candidate in STAND_INS.get(program, ()):
        if candidate in available:
            return candidate
    return min(available, key=lambda p: (p // 8 != program // 8, abs(p - program), p), default=None)


def nearest_kit(kit: int, available: Collection[int]) -> int | None:
    """Return the drum kit to play instead of ``kit``, None only when there is no kit.

    That is the kit itself, the first kit of its row of eight, its replacement, the standard kit, or any kit.
    """
    candidates = [kit, kit - kit % 8]
    while candidates[-1] in KIT_STAND_INS and KIT_STAND_INS[candidates[-1]] not in candidates:
        candidates.append(KIT_STAND_INS[candidates[-1]])
    return next((k for k in (*candidates, 0) if k in available), min(available, default=None))
