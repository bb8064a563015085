"""Mutated files through the readers that every command uses: no crash, no hang, nothing lost in silence.

    python scripts/fuzz_files.py FOLDER … --count 2000 --seed 1 --json report.json
    python scripts/fuzz_files.py FOLDER … --unchanged

Takes the MIDI, MusicXML, ABC and audio files below the folders (by default ``tests/cases`` and ``samples``), changes
each copy at a few random places, and reads it in a worker process with limits of time and memory. What is read is held
against a second reader: MIDI against mido (every note-on) and symusic (every note), audio against libsndfile (every
frame), MusicXML against a count of its sounding ``<note>`` elements. Less than the second reader found, without a
warning, is a silent loss. The same seed makes the same files. Exit code 1 for a crash, a hang or a silent loss.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import re
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from melodygen.data.scan import SourceFile, read_folder
from melodygen.errors import MelodygenError
from melodygen.io.folder import music_files
from melodygen.io.formats import AUDIO_SUFFIXES, MIDI_SUFFIXES

SHARES = {"midi": 0.6, "audio": 0.2, "musicxml": 0.12, "abc": 0.08}
TEXT_KINDS, TEXT_SHARE = ("musicxml", "abc"), 0.9
"""Random bytes break every XML; most texts are changed as texts."""
SECONDS_A_FILE = 20.0
MEMORY_BYTES = 6 * 2**30
MAX_SOURCE_BYTES = 400_000
SOUND_RATE = 22_050
WHOLE_SHARE = 0.98
"""A recording that gives less of what its header promises is said to end early."""


@dataclass(frozen=True)
class Outcome:
    """``result``: read, warned, refused, crash, hang or lost. ``ours`` and ``theirs`` count notes or frames; -1: not
    known."""

    name: str
    kind: str
    result: str
    words: str = ""
    ours: int = -1
    theirs: int = -1


def kind_of(path: Path) -> str | None:
    """midi, audio, musicxml or abc; None for a file of another kind."""
    suffix = path.suffix.lower()
    if suffix in MIDI_SUFFIXES:
        return "midi"
    if suffix in AUDIO_SUFFIXES:
        return "audio"
    return {".musicxml": "musicxml", ".xml": "musicxml", ".abc": "abc"}.get(suffix)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A copy changed at one to four places: a value changed, bytes set, inserted, left out, doubled or zeroed, or the
    end cut off. Half of the changes are of one value alone: many files still mean something to other readers."""
    body = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if len(body) < 8:
            break
        at, length = rng.randrange(len(body)), rng.choice((1, 1, 2, 4, 16, 64))
        way = rng.randrange(12)
        if way >= 6:
            body[at] = body[at] & 0x80 | rng.randrange(128)
        elif way == 0:
            for i in range(at, min(at + length, len(body))):
                body[i] = rng.randrange(256)
        elif way == 1:
            body[at:at] = rng.randbytes(length)
        elif way == 2:
            del body[at : at + length]
        elif way == 3:
            body[at:at] = body[at : at + length]
        elif way == 4:
            body[at : at + length] = bytes(len(body[at : at + length]))
        else:
            del body[max(8, at) :]
    return bytes(body)


def mutated_text(text: str, rng: random.Random) -> str:
    """A text changed at one to four of its parts, which are the innermost XML elements, or lines where there are none:
    left out, doubled, put elsewhere, or with another number or letter."""
    for _ in range(rng.randint(1, 4)):
        parts = list(re.finditer(r"<(\w[\w-]*)[^<>]*>[^<>]*</\1>", text)) or list(
            re.finditer(r"[^\n]+\n?", text)
        )
        if not parts:
            break
        chosen, other = rng.choice(parts), rng.choice(parts)
        part, at = chosen.group(), other.start()
        way = rng.randrange(5)
        if way == 0:
            text = text[: chosen.start()] + text[chosen.end() :]
        elif way == 1:
            text = text[:at] + part + text[at:]
        elif way == 2:
            changed = re.sub(r"\d+", lambda _: str(rng.choice((0, 1, 7, 99, 100_000, -3))), part, count=1)
            text = text[: chosen.start()] + changed + text[chosen.end() :]
        elif way == 3:
            text = (
                text[: chosen.start()]
                + part.replace(part[len(part) // 2], rng.choice("AGz^_[]|:/-<0 é"))
                + (text[chosen.end() :])
            )
        else:
            text = text[: chosen.start()] + text[chosen.start() :].replace(part, other.group(), 1)
    return text


def read_one(file: SourceFile) -> Outcome:
    """Read one file by its kind. Every exception that is no MelodygenError is a crash."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    kind = kind_of(file.path) or ""
    try:
        if kind == "midi":
            return _read_midi(file)
        if kind == "audio":
            return _read_audio(file)
        return _read_notation(file, kind)
    except MelodygenError as error:
        words = str(error)
        return Outcome(file.name, kind, "refused" if words and "\n" not in words else "crash", words)
    except Exception as error:
        return Outcome(file.name, kind, "crash", f"{type(error).__name__}: {error}")


def reject(file: SourceFile, reason: str) -> Outcome:
    """A file that crashed or held up its worker."""
    return Outcome(file.name, kind_of(file.path) or "", "hang" if "finish" in reason else "crash", reason)


def _judged(file: SourceFile, kind: str, warnings: list[str], ours: int, theirs: int) -> Outcome:
    if warnings:
        return Outcome(file.name, kind, "warned", "; ".join(warnings), ours, theirs)
    return Outcome(file.name, kind, "lost" if ours < theirs else "read", "", ours, theirs)


def _read_midi(file: SourceFile) -> Outcome:
    from melodygen.io.midi_document import read_midi_document
    from melodygen.io.midi_events import parse_midi

    data = file.path.read_bytes()
    document = read_midi_document(file.path, data)
    ours = sum(
        message[0] & 0xF0 == 0x90 and message[2] > 0 for t in document.events.tracks for _, message in t
    )
    again = parse_midi(document.to_bytes(), file.name)
    bridges = any("a wait of" in warning for warning in document.warnings)
    if again.tracks != document.events.tracks and not bridges:
        return Outcome(file.name, "midi", "lost", "written and read again, its events differ", ours)
    if ours != document.score.num_notes:
        return Outcome(
            file.name, "midi", "lost", "note-ons that are no notes", document.score.num_notes, ours
        )
    return _judged(file, "midi", list(document.warnings), ours, max(_mido_notes(data), _symusic_notes(data)))


def _mido_notes(data: bytes) -> int:
    import mido

    try:
        midi = mido.MidiFile(file=io.BytesIO(data), clip=True)
    except Exception:  # it refuses what it does not like with exceptions of many kinds
        return -1
    return sum(m.type == "note_on" and m.velocity > 0 for track in midi.tracks for m in track)


def _symusic_notes(data: bytes) -> int:
    import symusic

    try:
        score: Any = symusic.Score.from_midi(data)
        return sum(len(track.notes) for track in score.tracks)
    except Exception:  # as above
        return -1


def _read_audio(file: SourceFile) -> Outcome:
    import soundfile as sf

    from melodygen.audio.decode import open_recording
    from melodygen.audio.recovery import quiet_decoder

    with open_recording(file.path) as recording:
        for _ in recording.mono_blocks(SOUND_RATE):
            pass
        ours, warnings = recording.signal.num_frames, list(recording.notes)
        if recording.expected_frames is not None and ours < WHOLE_SHARE * recording.expected_frames:
            warnings.append("ends early")
        if recording.signal.num_bad:
            warnings.append("samples that are no numbers")
    theirs = -1
    with quiet_decoder(), contextlib.suppress(sf.LibsndfileError, RuntimeError, ValueError, MemoryError):
        theirs = len(sf.read(str(file.path), dtype="float32", always_2d=True)[0])
    return _judged(file, "audio", warnings, ours, theirs)


def _read_notation(file: SourceFile, kind: str) -> Outcome:
    from melodygen.io.read import read_score

    warnings: list[str] = []
    ours, theirs = read_score(file.path, warnings).num_notes, -1
    if kind == "musicxml":
        theirs = _sounding_elements(file.path.read_text(encoding="utf-8", errors="replace"))
    return _judged(file, kind, warnings, ours, theirs)


def _sounding_elements(text: str) -> int:
    """``<note>`` elements with a pitch or drum that begin a sound: no rests, grace notes, cues or ends of ties."""
    found = re.findall(r"<note\b.*?</note>", text, re.DOTALL)
    silent = re.compile(r"<rest|<grace|<cue|<tie [^>]*type=[\"']stop")
    return sum(("<pitch>" in note or "<unpitched" in note) and not silent.search(note) for note in found)


def write_mutations(sources: list[Path], count: int, seed: int, folder: Path) -> Iterator[SourceFile]:
    """``count`` mutated copies in ``folder``, shared out over the kinds that there are."""
    by_kind: dict[str, list[Path]] = {}
    for path in sources:
        kind = kind_of(path)
        if kind is not None and path.stat().st_size <= MAX_SOURCE_BYTES:
            by_kind.setdefault(kind, []).append(path)
    total = sum(SHARES[kind] for kind in by_kind)
    rng = random.Random(seed)
    for kind, paths in sorted(by_kind.items()):
        for number in range(round(count * SHARES[kind] / total)):
            source = paths[number % len(paths)]
            target = folder / f"{kind}-{number:04}-{source.stem}{source.suffix}"
            data = source.read_bytes()
            if kind in TEXT_KINDS and rng.random() < TEXT_SHARE:
                target.write_text(mutated_text(data.decode("utf-8", "replace"), rng), encoding="utf-8")
            else:
                target.write_bytes(mutated(data, rng))
            yield SourceFile(target, target.name, kind)


def summary(outcomes: list[Outcome]) -> str:
    """A markdown table of outcomes by kind, and every fault by name."""
    columns = ("read", "warned", "refused", "crash", "hang", "lost")
    header = ("kind", "files", *columns, "second reader reads", "of these more here", "fewer, with a warning")
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for kind in sorted({o.kind for o in outcomes}):
        own = [o for o in outcomes if o.kind == kind]
        counts = Counter(o.result for o in own)
        both = [o for o in own if o.theirs >= 0 and o.result != "refused"]
        more, fewer = (sum(sign * (o.ours - o.theirs) > 0 for o in both) for sign in (1, -1))
        cells = [kind, len(own), *(counts[c] for c in columns), len(both), more, fewer - counts["lost"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    faults = [o for o in outcomes if o.result in ("crash", "hang", "lost")]
    lines += ["", *(f"- {o.name}: {o.result}: {o.words} ({o.ours} against {o.theirs})" for o in faults)]
    return "\n".join(lines)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("tests/cases"), Path("samples")])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unchanged", action="store_true", help="Read the files as they are.")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--keep", type=Path, help="A folder for the mutated files; by default they are thrown away."
    )
    parser.add_argument("--json", type=Path, help="Every outcome as JSON.")
    arguments = parser.parse_args()
    sources = [path for folder in arguments.folders for path in music_files(folder, recursive=True)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.unchanged:
            files = [SourceFile(path, path.name, kind) for path in sources if (kind := kind_of(path))]
        else:
            files = list(write_mutations(sources, arguments.count, arguments.seed, folder))
        outcomes = list(read_folder(files, arguments.workers, SECONDS_A_FILE, read=read_one, reject=reject))
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps([asdict(o) for o in outcomes], indent=1) + "\n", encoding="utf-8"
        )
    print(summary(outcomes))
    return int(any(o.result in ("crash", "hang", "lost") for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
