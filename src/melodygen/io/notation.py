"""Notation files (MusicXML, ABC, Humdrum **kern) -> Score, read with music21.

Repeats are played out, ties joined, grace notes left out (they have no time of their own). A pickup bar is moved to
the end of a whole bar, so that bar lines are where the reader sees them. Chord symbols become Harte labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from melodygen.errors import MelodygenError, MidiReadError
from melodygen.music.harmony import chord_label
from melodygen.music.score import Chord, KeySignature, Score, Tempo, TimeSignature, Track, note_array

MAX_FILE_BYTES = 32 * 2**20
TICKS = 480
_FORMATS = {".abc": "abc", ".krn": "humdrum"}
_KINDS = {
    "major": "maj", "minor": "min", "dominant-seventh": "7", "minor-seventh": "min7", "major-seventh": "maj7",
    "diminished": "dim", "diminished-seventh": "dim7", "half-diminished-seventh": "hdim7", "augmented": "aug",
    "augmented-seventh": "aug7", "suspended-second": "sus2", "suspended-fourth": "sus4",
    "suspended-fourth-seventh": "7sus4", "major-sixth": "maj6", "minor-sixth": "min6", "dominant-ninth": "9",
    "major-ninth": "maj9", "minor-ninth": "min9", "minor-major-seventh": "minmaj7", "dominant-13th": "13",
}  # fmt: skip


def read_notation(path: str | Path, number: int | None = None) -> Score:
    """Read one piece; ``number`` is the tune's (X:) in a book of ABC tunes. Raises MidiReadError with the reason."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise MidiReadError(f"{path.name}: cannot be read: {error.strerror or error}") from error
    if not size:
        raise MidiReadError(f"{path.name}: the file is empty (0 bytes)")
    if size > MAX_FILE_BYTES:
        raise MidiReadError(
            f"{path.name}: {size / 2**20:.0f} MiB is more than the limit of {MAX_FILE_BYTES // 2**20} MiB"
        )
    from music21 import converter

    try:
        parsed = converter.parse(
            path,
            number=number,
            format=_FORMATS.get(path.suffix.lower(), "musicxml"),
            forceSource=True,
            storePickle=False,
        )
        return _convert(parsed, path)
    except MelodygenError:
        raise
    except Exception as error:  # music21 raises exceptions of many kinds for broken files
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise MidiReadError(f"{path.name}: music21 cannot read it: {reason[:200]}") from error


def _convert(parsed: Any, path: Path) -> Score:
    if "Opus" in parsed.classes:
        if len(parsed.scores) != 1:
            raise MidiReadError(
                f"{path.name}: {len(parsed.scores)} pieces in one file; name one by its number"
            )
        parsed = parsed.scores[0]
    parts = list(parsed.parts) if hasattr(parsed, "parts") and len(parsed.parts) else [parsed]
    tracks, chords = [], []
    shift = 0
    first: Any = None
    for part in parts:
        try:
            played = part.expandRepeats()
        except Exception:  # repeats that do not add up are played once
            played = part
        played = played.stripTies()
        if first is None:
            first, shift = played, _pickup(played)
        rows, found = _events(played.flatten(), shift)
        chords += found
        instrument = part.getInstrument(returnDefault=True)
        program = instrument.midiProgram
        is_drum = instrument.midiChannel == 9
        name = str(part.partName or instrument.partName or "")
        tracks.append(Track(note_array(rows), program if program is not None else 0, is_drum, "other", name))
    flat = first.flatten()
    meters = {
        _ticks(m.offset, shift if m.offset else 0): TimeSignature(
            _ticks(m.offset, shift if m.offset else 0), m.numerator, m.denominator
        )
        for m in flat.getElementsByClass("TimeSignature")
        if m.denominator in (1, 2, 4, 8, 16, 32)
    }
    tempos = {}
    for mark in parsed.flatten().getElementsByClass("MetronomeMark"):
        qpm = mark.getQuarterBPM()
        if qpm is not None and 4.0 <= qpm <= 1000.0:
            tick = _ticks(mark.offset, shift if mark.offset else 0)
            tempos[tick] = Tempo(tick, float(qpm))
    keys = []
    for signature in flat.getElementsByClass("KeySignature"):
        key = signature if hasattr(signature, "tonic") else signature.asKey("major")
        if hasattr(signature, "tonic") and key.mode in (
            "major",
            "minor",
        ):  # a bare signature does not say the mode
            keys.append(KeySignature(_ticks(signature.offset, shift), key.tonic.pitchClass, key.mode))
    title = str(parsed.metadata.title) if parsed.metadata is not None and parsed.metadata.title else path.stem
    return Score(
        tuple(tracks), tuple(tempos.values()), tuple(meters.values()), tuple(keys),
        tuple(sorted(chords, key=lambda c: c.tick)), TICKS, title,
    )  # fmt: skip


def _ticks(quarters: Any, shift: int) -> int:
    return round(float(quarters) * TICKS) + shift


def _pickup(part: Any) -> int:
    """Ticks by which a short first bar must move to end where a whole one would."""
    measures = list(part.getElementsByClass("Measure"))
    if len(measures) < 2:
        return 0
    whole = float(measures[0].barDuration.quarterLength)
    there = float(measures[0].highestTime)
    return round((whole - there) * TICKS) if 0 < there < whole else 0


def _events(flat: Any, shift: int) -> tuple[list[tuple[int, int, int, int]], list[Chord]]:
    rows: list[tuple[int, int, int, int]] = []
    chords: list[Chord] = []
    for element in flat.notes:
        onset = _ticks(element.offset, shift)
        if "ChordSymbol" in element.classes:
            kind = _KINDS.get(element.chordKind or "", "min" if "min" in (element.chordKind or "") else "maj")
            root = element.root()
            if "NoChord" in element.classes or root is None:
                chords.append(Chord(onset, "N"))
            else:
                chords.append(Chord(onset, chord_label(root.pitchClass, kind)))
            continue
        duration = round(float(element.duration.quarterLength) * TICKS)
        if duration < 1:
            continue
        velocity = element.volume.velocity
        velocity = 80 if velocity is None else min(127, max(1, int(velocity)))
        for pitch in getattr(element, "pitches", ()):
            if 0 <= pitch.midi <= 127:
                rows.append((onset, duration, int(pitch.midi), velocity))
    return rows, chords
