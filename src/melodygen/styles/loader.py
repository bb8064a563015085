"""The ten styles melodygen is trained on: how each usually goes and what plays it.

Programs count from 0 (General MIDI). They are found through the ``melodygen.styles`` entry points, like
styles that others add.
"""

from __future__ import annotations

from melodygen.styles.style import Style

BAND = ("melody", "chords", "bass", "drums")
ENSEMBLE = ("melody", "chords", "bass")

JAZZ = Style(
    "jazz",
    "Swing-era and bop lines over ii-V changes, walking bass, ride cymbal",
    qpm=150.0,
    tracks=BAND,
    programs={"melody": 66, "chords": 0, "bass": 32},  # tenor sax, piano, acoustic bass
    swing=0.62,
)
BLUES = Style(
    "blues",
    "Twelve-bar shuffles on dominant chords, blue notes, harmonica over guitar",
    qpm=112.0,
    tracks=BAND,
    programs={"melody": 22, "chords": 27, "bass": 33},  # harmonica, clean guitar, finger bass
    swing=0.66,
)
CLASSICAL = Style(
    "classical",
    "Balanced phrases and cadences of the Viennese manner: violin, piano, cello",
    qpm=112.0,
    tracks=ENSEMBLE,
    programs={"melody": 40, "chords": 0, "bass": 42},  # violin, piano, cello
)
BAROQUE = Style(
    "baroque",
    "Running figures and sequences over a continuo: flute, harpsichord, cello",
    qpm=92.0,
    tracks=ENSEMBLE,
    programs={"melody": 73, "chords": 6, "bass": 42},  # flute, harpsichord, cello
)
FOLK = Style(
    "folk",
    "Reels and airs of the fiddle tradition with strummed guitar",
    qpm=108.0,
    tracks=ENSEMBLE,
    programs={"melody": 110, "chords": 25, "bass": 32},  # fiddle, steel guitar, acoustic bass
)
POP = Style(
    "pop",
    "Four-chord songs with a singable tune, electric piano and a backbeat",
    qpm=110.0,
    tracks=BAND,
    programs={"melody": 0, "chords": 4, "bass": 33},  # piano, electric piano, finger bass
)
ROCK = Style(
    "rock",
    "Driven riffs and power chords over straight eighths",
    qpm=130.0,
    tracks=BAND,
    programs={"melody": 29, "chords": 30, "bass": 34},  # overdriven guitar, distortion guitar, picked bass
    mode="minor",
)
RAGTIME = Style(
    "ragtime",
    "Syncopated right hand over a striding left: the honky-tonk piano",
    qpm=96.0,
    meter=(2, 4),
    tracks=ENSEMBLE,
    programs={"melody": 3, "chords": 3, "bass": 3},  # honky-tonk piano
)
HYMN = Style(
    "hymn",
    "Four-part church song, chord by chord: organ and choir",
    qpm=92.0,
    tracks=ENSEMBLE,
    programs={"melody": 19, "chords": 19, "bass": 19},  # church organ
)
GAME = Style(
    "game",
    "Looping chip-tune melodies: square and saw leads, synth bass, tight drums",
    qpm=140.0,
    tracks=BAND,
    programs={"melody": 80, "chords": 81, "bass": 38},  # square lead, saw lead, synth bass
)

STYLES: tuple[Style, ...] = (JAZZ, BLUES, CLASSICAL, BAROQUE, FOLK, POP, ROCK, RAGTIME, HYMN, GAME)
