"""Instruments: the range in which they sound well and whether they hold several notes, by General MIDI
program (from 0).

Playing ranges (MIDI numbers) after Adler, The Study of Orchestration, limited to the middle register that
suits a melody.
"""

from __future__ import annotations

import re

DRUM_CHANNEL = 9
"""MIDI channel of drums in General MIDI, from 0."""
ROLE_RANGES = {"melody": (55, 86), "chords": (45, 79), "bass": (28, 55), "other": (45, 84)}
"""(lowest, highest) MIDI number of each role."""

_PROGRAM_RANGES: dict[range, tuple[int, int]] = {
    range(0, 8): (36, 96), range(8, 16): (53, 96), range(16, 24): (36, 86), range(24, 32): (40, 83),
    range(32, 40): (28, 55), range(40, 41): (55, 93), range(41, 42): (48, 81), range(42, 43): (36, 72),
    range(43, 44): (28, 55), range(44, 52): (36, 88), range(52, 55): (48, 79), range(56, 57): (54, 82),
    range(57, 58): (40, 70), range(58, 59): (28, 58), range(60, 61): (41, 74), range(61, 64): (43, 79),
    range(64, 65): (56, 86), range(65, 66): (49, 80), range(66, 67): (46, 78), range(67, 68): (38, 68),
    range(68, 69): (58, 88), range(69, 70): (52, 80), range(70, 71): (34, 68), range(71, 72): (50, 88),
    range(72, 73): (74, 98), range(73, 74): (60, 93), range(74, 80): (60, 91), range(105, 106): (48, 84),
    range(110, 111): (55, 88),
}  # fmt: skip
_SINGLE_LINE = frozenset((*range(56, 80), 22, 80, 81, 82, 83, 84, 85, 86, 87, 109))


def note_range(role: str, program: int) -> tuple[int, int]:
    """Return the (lowest, highest) MIDI number of a role on an instrument.

    Where the ranges of role and instrument overlap by less than 17 semitones, the role's range is returned.
    """
    low, high = ROLE_RANGES.get(role, (36, 96))
    for programs, (lowest, highest) in _PROGRAM_RANGES.items():
        if program in programs:
            both = max(low, lowest), min(high, highest)
            if both[1] - both[0] >= 17:
                return both
    return low, high


def is_single_line(role: str, program: int) -> bool:
    """Return whether the part plays one note at a time: winds, brass, lead synths and every bass."""
    return role == "bass" or (role in ("melody", "other") and program in _SINGLE_LINE)


_NAMES: dict[str, int] = {
    "piano": 0, "pianoforte": 0, "klavier": 0, "harpsichord": 6, "cembalo": 6, "celesta": 8, "glockenspiel": 9,
    "vibraphone": 11, "marimba": 12, "xylophone": 13, "organ": 19, "accordion": 21, "harmonica": 22, "guitar": 24,
    "electric guitar": 27, "bass": 32, "bass guitar": 33, "electric bass": 33, "violin": 40, "viola": 41, "cello": 42,
    "violoncello": 42, "contrabass": 43, "double bass": 43, "harp": 46, "timpani": 47, "strings": 48, "choir": 52,
    "soprano": 52, "alto": 52, "tenor": 52, "voice": 52, "trumpet": 56, "cornet": 56, "trombone": 57, "tuba": 58,
    "horn": 60, "brass": 61, "soprano sax": 64, "saxophone": 65, "sax": 65, "alto sax": 65, "tenor sax": 66,
    "baritone sax": 67, "oboe": 68, "english horn": 69, "bassoon": 70, "clarinet": 71, "piccolo": 72, "flute": 73,
    "recorder": 74, "banjo": 105, "fiddle": 110,
}  # fmt: skip


PROGRAM_NAMES = tuple(
    """
acoustic_grand_piano bright_acoustic_piano electric_grand_piano honky_tonk_piano electric_piano_1
electric_piano_2 harpsichord clavinet celesta glockenspiel music_box vibraphone marimba xylophone
tubular_bells dulcimer drawbar_organ percussive_organ rock_organ church_organ reed_organ accordion harmonica
tango_accordion nylon_guitar steel_guitar jazz_guitar clean_guitar muted_guitar overdriven_guitar
distortion_guitar guitar_harmonics acoustic_bass fingered_bass picked_bass fretless_bass slap_bass_1
slap_bass_2 synth_bass_1 synth_bass_2 violin viola cello contrabass tremolo_strings pizzicato_strings
orchestral_harp timpani string_ensemble_1 string_ensemble_2 synth_strings_1 synth_strings_2 choir_aahs
voice_oohs synth_voice orchestra_hit trumpet trombone tuba muted_trumpet french_horn brass_section
synth_brass_1 synth_brass_2 soprano_sax alto_sax tenor_sax baritone_sax oboe english_horn bassoon clarinet
piccolo flute recorder pan_flute blown_bottle shakuhachi whistle ocarina square_lead sawtooth_lead
calliope_lead chiff_lead charang_lead voice_lead fifths_lead bass_lead new_age_pad warm_pad polysynth_pad
choir_pad bowed_pad metallic_pad halo_pad sweep_pad rain soundtrack crystal atmosphere brightness goblins
echoes sci_fi sitar banjo shamisen koto kalimba bagpipe fiddle shanai tinkle_bell agogo steel_drums
woodblock taiko_drum melodic_tom synth_drum reverse_cymbal guitar_fret_noise breath_noise seashore
bird_tweet telephone_ring helicopter applause gunshot
    """.split()  # noqa: SIM905 - 128 quoted words are harder to read
)
"""General MIDI's names of the programs 0-127, in short."""
KIT_NAMES = {
    "standard": 0, "room": 8, "power": 16, "electronic": 24, "tr_808": 25, "jazz": 32, "brush": 40, "orchestra": 48,
}  # fmt: skip
"""Programs of drum kits (Roland GS)."""


def program_named(name: str, is_drum: bool = False) -> int | None:
    """The program of a name such as ``trumpet``, ``acoustic bass`` or ``56``, of a kit for drums; None for no name."""
    wanted = "_".join(re.findall(r"[a-z0-9]+", name.lower()))
    if wanted.isdecimal():
        return int(wanted) if int(wanted) <= 127 else None
    if is_drum:
        return KIT_NAMES.get(wanted)
    if wanted in PROGRAM_NAMES:
        return PROGRAM_NAMES.index(wanted)
    return _NAMES.get(wanted.replace("_", " "))


def program_of_name(name: str) -> int | None:
    """The General MIDI program that a part's name says (``Clarinet in Bb`` is 71), or None."""
    words = " ".join("".join(c if c.isalpha() else " " for c in name.lower()).split())
    found = [known for known in _NAMES if f" {known} " in f" {words} " or f" {known}s " in f" {words} "]
    return _NAMES[max(found, key=len)] if found else None
