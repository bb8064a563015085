"""Notation files -> Score: MusicXML (plain, compressed), ABC tunes and Humdrum **kern.

MusicXML and ABC have readers of their own; **kern is read with music21. Repeats are played out, ties joined, grace
notes left out. A pickup bar is moved to the end of a whole bar, so that bar lines are where the reader sees them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from melodygen.errors import MelodygenError, MidiReadError
from melodygen.music.score import KeySignature, Score, Tempo, TimeSignature, Track, note_array

MAX_FILE_BYTES = 32 * 2**20
TICKS = 480


def read_notation(path: str | Path, number: int | None = None, remarks: list[str] | None = None) -> Score:
    """Read one piece; ``number`` is the tune's (X:) in a book of ABC tunes, which ``book.abc#2`` says too.
    What was left out or guessed is added to ``remarks``.

    Raises MidiReadError with the reason; for a book without a number it lists the tunes.
    """
    path, named = split_tune(Path(path))
    number = named if number is None else number
    data = _bytes_of(path)
    try:
        if path.suffix.lower() == ".abc":
            from melodygen.io import abc

            tune = abc.choose_tune(abc.tunes_of(abc.decode_abc(data)), number, path.name)
            return abc.read_tune(tune, path.stem, remarks)
        if number is not None:
            raise MidiReadError(
                f"{path.name}#{number}: only ABC books hold numbered tunes; leave #{number} out"
            )
        if path.suffix.lower() == ".krn":
            return _read_kern(data, path)
        from melodygen.io.musicxml_reader import read_musicxml

        return read_musicxml(data, path.name, path.stem, remarks)
    except MidiReadError:
        raise
    except (MelodygenError, RecursionError, OverflowError) as error:
        raise MidiReadError(f"{path.name}: {error}") from error


def split_tune(path: Path) -> tuple[Path, int | None]:
    """``book.abc#2`` -> (``book.abc``, 2); a file whose own name ends so stays whole."""
    name, mark, number = path.name.rpartition("#")
    if mark and name.lower().endswith(".abc") and number.isdigit() and len(number) < 10 and not path.exists():
        return path.with_name(name), int(number)
    return path, None


def tunes_in(path: Path) -> list[Path]:
    """``book.abc#1``, ``book.abc#2`` … of a book of several ABC tunes; the path itself for any other file, and for one
    that cannot be read."""
    if path.suffix.lower() != ".abc":
        return [path]
    from melodygen.io import abc

    try:
        tunes = abc.tunes_of(abc.decode_abc(_bytes_of(path)))
    except MidiReadError:
        return [path]
    numbers = list(dict.fromkeys(tune.number for tune in tunes))
    return [path.with_name(f"{path.name}#{number}") for number in numbers] if len(tunes) > 1 else [path]


def _bytes_of(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            limit = MAX_FILE_BYTES // 2**20
            raise MidiReadError(f"{path.name}: {size / 2**20:.0f} MiB is more than the limit of {limit} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise MidiReadError(f"{path.name}: cannot be read: {error.strerror or error}") from error
    if not data:
        raise MidiReadError(f"{path.name}: the file is empty (0 bytes)")
    return data


def _read_kern(data: bytes, path: Path) -> Score:
    from music21 import converter

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = data.decode("utf-8", errors="replace")
            return _convert(converter.parseData(text, format="humdrum"), path)
    except MelodygenError:
        raise
    except Exception as error:  # music21 raises exceptions of many kinds for broken files
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise MidiReadError(f"{path.name}: music21 cannot read it: {reason[:200]}") from error


def _convert(parsed: Any, path: Path) -> Score:
    if "Opus" in parsed.classes:
        parsed = parsed.scores[0]
    parts = list(parsed.parts) if hasattr(parsed, "parts") and len(parsed.parts) else [parsed]
    tracks = []
    shift = 0
    marks: dict[int, Tempo] = {}
    first: Any = None
    for part in parts:
        try:
            played = part.expandRepeats()
        except Exception:  # repeats that do not add up are played once
            played = part
        played = played.toSoundingPitch().stripTies()
        if first is None:
            first, shift = played, _pickup(played)
        flat = played.flatten()
        instrument = part.getInstrument(returnDefault=True)
        name = str(part.partName or instrument.partName or "")
        program = instrument.midiProgram if instrument.midiProgram is not None else 0
        tracks.append(
            Track(note_array(_rows(flat, shift)), program, instrument.midiChannel == 9, "other", name)
        )
        for mark in flat.getElementsByClass("MetronomeMark"):
            qpm = mark.getQuarterBPM()
            if qpm is not None and 4.0 <= qpm <= 1000.0:
                tick = _ticks(mark.offset, shift if mark.offset else 0)
                marks[tick] = Tempo(tick, float(qpm))
    flat = first.flatten()
    meters = {
        (tick := _ticks(m.offset, shift if m.offset else 0)): TimeSignature(tick, m.numerator, m.denominator)
        for m in flat.getElementsByClass("TimeSignature")
        if m.denominator in (1, 2, 4, 8, 16, 32)
    }
    keys = []
    for signature in flat.getElementsByClass("KeySignature"):
        mode = getattr(signature, "mode", None)
        minor = mode == "minor"
        tonic = (signature.sharps + 3 * minor) * 7 % 12
        keys.append(
            KeySignature(
                _ticks(signature.offset, shift), tonic, "minor" if minor else "major", signature.sharps
            )
        )
    title = str(parsed.metadata.title) if parsed.metadata is not None and parsed.metadata.title else path.stem
    return Score(tuple(tracks), tuple(marks.values()), tuple(meters.values()), tuple(keys), (), TICKS, title)


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


def _rows(flat: Any, shift: int) -> list[tuple[int, int, int, int]]:
    rows: list[tuple[int, int, int, int]] = []
    for element in flat.notes:
        duration = round(float(element.duration.quarterLength) * TICKS)
        if duration < 1 or "ChordSymbol" in element.classes:
            continue
        velocity = element.volume.velocity
        velocity = 80 if velocity is None else min(127, max(1, int(velocity)))
        for pitch in getattr(element, "pitches", ()):
            if 0 <= pitch.midi <= 127:
                rows.append((_ticks(element.offset, shift), duration, int(pitch.midi), velocity))
    return rows


__all__ = ["MAX_FILE_BYTES", "read_notation", "split_tune"]
