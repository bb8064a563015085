"""Views accompanied by other people's arrangements: grooves of the MMA project (Musical MIDI Accompaniment, GPL-2).

One arranger's habits teach those habits: views made by ``data.accompaniment`` alone taught the classifier what that
file writes. MMA's libraries hold some 1,200 grooves whose meter is said, by several authors (stdlib, and what Casio,
Yamaha, Zoom and PG Music instruments play). The program is run as it is, for training views only; nothing of it is
shipped.

Time is in quarters from the start of the piece unless a name says otherwise; MMA counts beats.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from melodygen.data.accompaniment import guess_chords
from melodygen.data.orchestration import HELD_OUT_PROGRAMS
from melodygen.data.stems import Rows, Source, StemBar, StemVoice, rows_of
from melodygen.data.views import ViewMaker, ViewStyle
from melodygen.errors import MidiReadError
from melodygen.io.midi import read_midi
from melodygen.music.harmony import PITCH_CLASS_NAMES
from melodygen.styles.style import Style
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES

_SUFFIX = dict(
    zip(
        CHORD_QUALITY_NAMES,
        ("", "m", "7", "m7", "M7", "dim", "dim7", "m7b5", "aug", "aug7", "sus2", "sus4", "7sus4", "6", "m6", "9", "M9",
         "m9", "mM7", "13"),
        strict=True,
    )
)  # fmt: skip
TYPICAL_SHARE = 0.7
"""Of grooves that suit the style; the others are anything, so that the backing alone does not tell the style."""
OWN_VOICE_SHARE = 0.35
"""How often a piece's own harmony or bass stays beside the groove's drums."""
OWN_PROGRAMS_SHARE = 0.55
"""How often the groove is played on the instruments its author chose."""
LEFT_OUT_SHARE = 0.15
"""Of the groove's pitched tracks after the first."""
TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class MmaGroove:
    """``beats`` of MMA make a bar of ``meter``."""

    name: str
    file: str
    meter: tuple[int, int]
    beats: int


def read_grooves(library: Path) -> list[MmaGroove]:
    """Of every library file that says its meter, but for introductions, endings and fills."""
    grooves = []
    for path in sorted(library.rglob("*.mma")):
        text = path.read_text(encoding="latin-1")
        beats = re.search(r"^\s*time\s+(\d+)", text, re.IGNORECASE | re.MULTILINE)
        signature = re.search(r"^\s*timesig\s+(\d+)[\s/]+(\d+)", text, re.IGNORECASE | re.MULTILINE)
        if beats is None and signature is None:
            continue
        count = int(beats[1]) if beats is not None else int(signature[1]) if signature is not None else 4
        compound = signature is not None and signature[2] == "8"
        meter = (int(signature[1]), 8) if signature is not None and compound else (count, 4)
        for line in re.finditer(r"^\s*defgroove\s+(\S+)", text, re.IGNORECASE | re.MULTILINE):
            if not re.search(r"intro|end|fill|count", line[1], re.IGNORECASE):
                grooves.append(MmaGroove(line[1], f"{path.parent.name}/{path.name}".lower(), meter, count))
    return grooves


def _chord_name(root: int, quality: int) -> str:
    return "z" if root < 0 else PITCH_CLASS_NAMES[root] + _SUFFIX[CHORD_QUALITY_NAMES[quality]]


class MmaViewMaker(ViewMaker):
    """Backs pieces with grooves; where none has the meter, with what ``ViewMaker`` writes.

    ``command`` runs MMA, ``library`` is its lib folder, ``share`` says how often a piece is backed by a groove.
    """

    def __init__(
        self, takes: dict[str, list[Source]], command: Path, library: Path, share: float = 1.0
    ) -> None:
        super().__init__(takes)
        self._share = share
        self._command = command
        self._grooves = read_grooves(library)
        self._suited: dict[str, list[MmaGroove]] = {}

    def _arranged(
        self,
        style: Style,
        source: Source,
        voices: list[StemVoice],
        bars: list[StemBar],
        rng: np.random.Generator,
        how: ViewStyle,
    ) -> list[StemVoice]:
        if self._share < 1.0 and rng.random() >= self._share:
            return super()._arranged(style, source, voices, bars, rng, how)
        groove = self._drawn(style, bars, rng)
        backing = []
        if groove is not None:
            backing = self._play(groove, bars if any(b.chords for b in bars) else guess_chords(voices, bars))
        if not backing:
            return super()._arranged(style, source, voices, bars, rng, how)
        if source.blocks:
            voices = [v for v in voices if v.stem != "harmony"]
        taken = {s for s in ("harmony", "bass") if rng.random() > OWN_VOICE_SHARE}
        kept = [v for v in voices if v.stem not in taken | {"drums"}] or [
            v for v in voices if v.stem != "drums"
        ]
        if not kept:
            return super()._arranged(style, source, voices, bars, rng, how)
        own = {v.stem for v in kept}
        backing = [v for v in backing if v.stem != "bass" or "bass" not in own]
        pitched = [v for v in backing if v.stem != "drums"]
        backing = [v for v in backing if v not in pitched[1:] or rng.random() > LEFT_OUT_SHARE]
        return kept + backing

    def _instrumented(
        self, style: Style, voices: list[StemVoice], rng: np.random.Generator, how: ViewStyle
    ) -> list[StemVoice]:
        played = super()._instrumented(style, voices, rng, how)
        if [p.stem for p in played] != [v.stem for v in voices] or rng.random() > OWN_PROGRAMS_SHARE:
            return played  # a console has left voices out
        return [
            replace(p, program=v.program)
            if isinstance(v, Backing) and v.program not in HELD_OUT_PROGRAMS
            else p
            for p, v in zip(played, voices, strict=True)
        ]

    def _suiting(self, style: Style) -> list[MmaGroove]:
        pattern = style.arrangement.mma_files
        if style.name not in self._suited:
            found = [g for g in self._grooves if re.search(pattern, g.file)] if pattern else []
            self._suited[style.name] = found
        return self._suited[style.name]

    def _drawn(self, style: Style, bars: list[StemBar], rng: np.random.Generator) -> MmaGroove | None:
        meters = {b.meter for b in bars}
        if len(meters) != 1:
            return None
        meter = {(2, 2): (4, 4), (2, 4): (4, 4)}.get(next(iter(meters)), next(iter(meters)))
        pool = self._suiting(style) if rng.random() < TYPICAL_SHARE else self._grooves
        fitting = [g for g in pool if g.meter == meter] or [g for g in self._grooves if g.meter == meter]
        if not fitting:
            return None
        files = sorted({g.file for g in fitting})
        file = files[int(rng.integers(len(files)))]
        fitting = [g for g in fitting if g.file == file]
        return fitting[int(rng.integers(len(fitting)))]

    def _play(self, groove: MmaGroove, bars: list[StemBar]) -> list[StemVoice]:
        """What MMA makes of the chords: voices in quarters of the piece. Empty where it makes nothing."""
        quarters = bars[0].quarters
        group = 2 if bars[0].meter == (2, 4) else 1
        beat = quarters * group / groove.beats
        """Quarters of the piece that a beat of MMA lasts."""
        lines = [f"Groove {groove.name}"]
        held = "z"
        for first in range(0, len(bars), group):
            beats = ["/"] * groove.beats
            for bar in bars[first : first + group]:
                for at, root, quality in bar.chords:
                    index = min(groove.beats - 1, max(0, int((at - bars[first].start) / beat + 1e-6)))
                    beats[index] = _chord_name(root, quality)
            if beats[0] == "/":
                beats[0] = held
            held = next(b for b in reversed(beats) if b != "/")
            lines.append(f"{first // group + 1} " + " ".join(beats))
        with TemporaryDirectory() as folder:
            script, made = Path(folder) / "in.mma", Path(folder) / "out.mid"
            script.write_text("\n".join(lines) + "\n", encoding="ascii")
            try:
                subprocess.run(
                    [str(self._command), "-f", str(made), str(script)],
                    check=True, capture_output=True, timeout=TIMEOUT_SECONDS,
                )  # fmt: skip
                return _voices(made, bars[0].start, beat, bars[-1].start + quarters)
            except (subprocess.SubprocessError, OSError, MidiReadError):
                return []


@dataclass(frozen=True, eq=False)
class Backing(StemVoice):
    """A voice of a groove."""


def _voices(path: Path, start: float, beat: float, end: float) -> list[StemVoice]:
    """The tracks of MMA's file, the fullest chord track as harmony, the others beside it."""
    score = read_midi(path)
    found: list[tuple[str, int, Rows]] = []
    for track in score.tracks:
        rows = rows_of(track, score.ticks_per_quarter)
        rows[:, :2] *= beat  # a quarter of the file is a beat
        rows[:, 0] += start
        rows = rows[rows[:, 0] < end]
        name = (
            "drums"
            if track.is_drum
            else "bass"
            if re.match("bass|walk", track.name, re.IGNORECASE)
            else "extra"
        )
        if len(rows):
            found.append((name, track.program, rows))
    voices: list[StemVoice] = []
    drums = [rows for name, _, rows in found if name == "drums"]
    if drums:
        voices.append(Backing("drums", 0, np.concatenate(drums)))
    basses = [(program, rows) for name, program, rows in found if name == "bass"]
    if basses:
        voices.append(Backing("bass", basses[0][0], np.concatenate([rows for _, rows in basses])))
    others = sorted(((p, r) for n, p, r in found if n == "extra"), key=lambda pr: -len(pr[1]))
    for index, (program, played) in enumerate(others[:4]):
        voices.append(Backing("harmony" if index == 0 else "extra", program, played))
    return voices
