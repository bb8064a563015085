"""A user's file that is worked on: what is kept of it, what gives way, and how it is written again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from melodygen.analysis.roles import assign_roles
from melodygen.data.scan import mend_meters
from melodygen.errors import MidiReadError
from melodygen.generation.merge import describe_changes
from melodygen.io.midi_document import MidiDocument, read_midi_document, write_midi_document
from melodygen.io.provenance import MADE_BY
from melodygen.io.read import is_notation, read_score
from melodygen.music.key import key_of
from melodygen.music.score import EMPTY_NOTES, KeySignature, Score, note_array
from melodygen.request import Request


@dataclass(frozen=True, eq=False)
class UserFile:
    """A piece to write around. ``score`` has a role on each track; ``document`` is None for notation, which is written
    as MIDI from the score."""

    path: Path
    score: Score
    document: MidiDocument | None
    warnings: tuple[str, ...] = ()

    def announce(self, request: Request) -> tuple[str, ...]:
        """What is said before anything is written: what was mended in the file, and which notes will be replaced."""
        written = [r for r in request.tracks if r not in request.given_roles]
        span = None
        if request.fill is not None:
            bars = self.score.bar_ticks()
            span = bars[request.fill[0]], bars[sum(request.fill)]
        said = [*self.warnings, *describe_changes(self.score, written, span)]
        adds = any(self.score.track_by_role(role) is None for role in written)
        if self.document is not None and self.document.events.kind == 0 and adds:
            said.append("a type 0 file: it becomes type 1, new parts get tracks of their own")
        return tuple(f"{self.path.name}: {text}" for text in said)

    def write(
        self, path: Path, draft: Score, request: Request, texts: Sequence[str], overwrite: bool
    ) -> None:
        """Write the file with the new notes of a draft, all else as it was, and ``texts`` in a last track."""
        merged = with_new_notes(self.score, draft, request)
        if self.document is None:
            from melodygen.io.midi import write_midi

            write_midi(path, merged, texts, overwrite=overwrite)
        else:
            write_midi_document(path, self.document.with_score(merged), texts, overwrite=overwrite)


def with_new_notes(given: Score, draft: Score, request: Request) -> Score:
    """``given`` with the notes of a draft in the roles that were to be written.

    The built-in generator's drafts are that already, track for track. One of a plug-in may hold its own tracks, in its
    own resolution: of those the ones count whose role was to be written.
    """
    own = given.tracks
    if [(t.name, t.program) for t in draft.tracks[: len(own)]] == [(t.name, t.program) for t in own]:
        return draft
    scale = given.ticks_per_quarter / draft.ticks_per_quarter
    kept = set(request.given_roles) or {t.role for t in own}
    written = [t for t in draft.tracks if t.role not in kept and len(t)]
    silenced = {t.role for t in written} if request.fill is None else set()
    tracks = [replace(t, notes=EMPTY_NOTES) if t.role in silenced else t for t in own]
    for track in written:
        rows = [(round(n[0] * scale), max(1, round(n[1] * scale)), n[2], n[3]) for n in track]
        tracks.append(replace(track, notes=note_array(rows)))
    return replace(given, tracks=tuple(tracks))


def read_user_file(path: str | Path) -> UserFile:
    """Read a piece to write around; its tracks stay as they are and get roles, by name where they are named so.

    Raises MidiReadError, for a file without notes too.
    """
    path = Path(path)
    document, warnings = None, list[str]()
    if is_notation(path):
        score = read_score(path, warnings)
    else:
        document = read_midi_document(path)
        score, warnings = document.score, list(document.warnings)
    return UserFile(path, assign_roles(_with_notes(score, path), split=False), document, tuple(warnings))


def read_prompt(path: str | Path) -> Score:
    """Read a piece to go on from. Raises MidiReadError, for a file without notes too."""
    return assign_roles(_with_notes(read_score(path), Path(path)))


def key_of_file(file: UserFile) -> KeySignature | None:
    """The key of a piece: melodygen's own files name it, in others it is read from notes and signature."""
    is_ours = file.document is not None and any(t.startswith(MADE_BY) for t in file.document.texts())
    return file.score.key_signatures[0] if is_ours and file.score.key_signatures else key_of(file.score)


def end_of(score: Score) -> tuple[tuple[int, int], float]:
    """(meter, qpm) in force at the end of a piece, a meter that music does not have read as its neighbour."""
    last = max(0, score.end_tick - 1)
    meter = mend_meters(score).time_signature_at(last)
    qpm = [t.qpm for t in score.tempos if t.tick <= last][-1]
    return (meter.numerator, meter.denominator), qpm


def meter_at_start(score: Score) -> tuple[int, int]:
    """The first meter of a piece, one that music does not have read as its neighbour."""
    meter = mend_meters(score).time_signatures[0]
    return meter.numerator, meter.denominator


def num_bars(score: Score) -> int:
    """Bars of a piece to write around, as its new parts are written in them."""
    return len(mend_meters(score).bar_ticks()) - 1


def _with_notes(score: Score, path: Path) -> Score:
    if not score.num_notes:
        raise MidiReadError(f"{path}: there is no note in the file")
    return replace(score, tracks=tuple(t for t in score.tracks if len(t)))


__all__ = [
    "UserFile",
    "end_of",
    "key_of_file",
    "meter_at_start",
    "num_bars",
    "read_prompt",
    "read_user_file",
    "with_new_notes",
]
