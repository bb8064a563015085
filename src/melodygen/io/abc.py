"""ABC tunes -> Score: tunebooks, voices, inline fields, repeats with endings, chord symbols.

Follows the ABC standard 2.1 (https://abcnotation.com/wiki/abc:standard:v2.1). An accidental holds to the end of its bar
in all octaves. Grace notes, slurs, ornaments, words and page directives have no time of their own and are left out;
``%%MIDI program`` and ``%%MIDI channel`` are kept. A pickup is moved to the end of a whole bar.

A book holds several tunes: ``tunes_of`` lists them, and a path is named with its number, ``book.abc#2``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from melodygen.errors import MidiReadError, ScoreError
from melodygen.io.abc_voice import Voice, read_fields_of_voice
from melodygen.io.text import printable
from melodygen.music.score import Chord, KeySignature, Score, Tempo, TimeSignature, Track, note_array

TICKS = 480
_FIELD = re.compile(r"^([A-Za-z]):[ \t]*(.*)$")


@dataclass(frozen=True)
class Tune:
    """One tune of a book: its number (X:), its title and its lines, those of the file's header before them."""

    number: int
    title: str
    lines: tuple[str, ...] = field(repr=False)


def decode_abc(data: bytes) -> str:
    """UTF-8 with or without a byte order mark, UTF-16 with one, else Latin-1, which older tunes are written in."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def tunes_of(text: str) -> list[Tune]:
    """The tunes of a book in their order. A text without ``X:`` that has a key is one tune, number 1."""
    header: list[str] = []
    groups: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("X:"):
            groups.append([])
        (groups[-1] if groups else header).append(line.rstrip())
    if not groups:
        groups, header = ([header] if any(line.startswith("K:") for line in header) else []), []
    shared = [line for line in header if re.match(r"[LMQ]:|%%MIDI", line)]
    tunes = []
    for place, lines in enumerate(groups, 1):
        title = next((line[2:].strip() for line in lines if line.startswith("T:")), "")
        digits = re.match(r"X:\s*(\d{1,9})", lines[0])
        tunes.append(Tune(int(digits[1]) if digits else place, printable(title), tuple([*shared, *lines])))
    return tunes


def choose_tune(tunes: list[Tune], number: int | None, name: str) -> Tune:
    """The tune of that number, or the only one. Raises MidiReadError that lists them and says how to name one."""
    if not tunes:
        raise MidiReadError(f"{name}: no tune in the file (a tune begins with X: and has a key, K:)")
    if number is None and len(tunes) == 1:
        return tunes[0]
    found = next((tune for tune in tunes if tune.number == number), None)
    if found is not None:
        return found
    shown = ", ".join(f"{tune.number} {tune.title or 'untitled'}" for tune in tunes[:8])
    more = f" and {len(tunes) - 8} more" if len(tunes) > 8 else ""
    missing = (
        f"no tune {number} in the file; it holds" if number is not None else f"a book of {len(tunes)} tunes:"
    )
    raise MidiReadError(
        f"{name}: {missing} {shown}{more}; name one by its number, like {name}#{tunes[0].number}"
    )


def read_tune(tune: Tune, title: str = "", warnings: list[str] | None = None) -> Score:
    """One tune with its repeats played out; ``title`` where it has none. What was left out is
    added to ``warnings``.

    Raises ScoreError where nothing can be made of it.
    """
    voices = _voices(tune)
    sounding = [v for v in voices if any(bar.notes for bar in v.bars)] or voices[:1]
    if not sounding:
        raise ScoreError("no notes after the key (K:)")
    if warnings is not None:
        warnings += _remarks(voices)
    first = sounding[0]
    shift = first.pickup()
    tracks, chords = [], []
    for voice in sounding:
        rows, found = voice.played(shift, TICKS)
        tracks.append(Track(note_array(rows), voice.program, voice.is_drum, "other", voice.name))
        chords += [Chord(tick, label) for tick, label in found]
    meters, keys, tempos = first.changes(shift, TICKS)
    return Score(
        tuple(tracks),
        tuple(Tempo(tick, qpm) for tick, qpm in tempos),
        tuple(TimeSignature(tick, *meter) for tick, meter in meters),
        tuple(KeySignature(tick, tonic, mode, fifths) for tick, (tonic, mode, fifths) in keys),
        tuple(dict.fromkeys(sorted(chords, key=lambda c: c.tick))),
        TICKS,
        tune.title or title,
    )


def _remarks(voices: list[Voice]) -> list[str]:
    """What of the music text was left out, in words."""
    unread = Counter(sign for voice in voices for sign in voice.unread)
    graces = sum(voice.num_graces for voice in voices)
    said = []
    if unread:
        shown = " ".join(repr(sign) for sign, _ in unread.most_common(6))
        said.append(f"{unread.total()} signs that mean nothing in ABC are passed over: {shown}")
    if graces:
        said.append(f"{graces} grace notes, which have no time of their own, are left out")
    return said


def _voices(tune: Tune) -> list[Voice]:
    voices: dict[str, Voice] = {}
    header = Voice("")
    current: Voice | None = None
    in_body = False

    def voice_of(text: str) -> Voice:
        identity = text.split(maxsplit=1)[0] if text.split() else "1"
        if identity not in voices:
            voices[identity] = header.copy(identity)
        read_fields_of_voice(voices[identity], text)
        return voices[identity]

    for raw in tune.lines:
        if raw.startswith("%%MIDI"):
            (current or header).midi(raw.split()[1:])
            continue
        line = re.sub(r"(?<!\\)%.*$", "", raw).rstrip()
        if not line:
            continue
        match = _FIELD.match(line)
        if match and not (in_body and match[1] in "|:"):
            letter, value = match[1], match[2].strip()
            if letter == "V":
                current = voice_of(value)
            elif letter in "KMLQ":
                target = current if current is not None and in_body else header
                target.set_field(letter, value)
                if not in_body and letter != "K":
                    for voice in voices.values():
                        voice.set_field(letter, value)
                if letter == "K" and not in_body:
                    in_body = True
                    for voice in voices.values():
                        voice.set_field("K", value)
                    current = None
            continue
        if not in_body:
            continue
        for part in re.split(r"(\[V:[^\]]*\])", line):
            if part.startswith("[V:"):
                current = voice_of(part[3:-1].strip())
            elif part.strip():
                if current is None:
                    current = voice_of("1") if not voices else next(iter(voices.values()))
                current.read(part)
    for voice in voices.values():
        voice.close()
    return list(voices.values())


__all__ = ["Tune", "choose_tune", "decode_abc", "read_tune", "tunes_of"]
