"""Which track plays what: melody, chords, bass, drums or other.

In this order: the drum channel; names; General MIDI programs; then range, polyphony and activity. A keyboard's left
hand and strummed chords with separate low notes are split into bass and chords, because a bass line is what is there.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from melodygen.music.score import Score, Track, note_array

_NAMES: tuple[tuple[str, str], ...] = (
    ("drums", r"drum|percussion|^perc"),
    ("melody", r"^melody|melodi|^lead|soprano|cantus|canto|vocal|vox|^voice$|sing|solo|violin ?(1|i)\b|violon$|discant"
               r"|piano right|right hand|^upper|^up$|upvoice|superius|tune|theme"),
    ("bass", r"bass\b|bassus|basso|^bas$|^base$|contrabass|double ?bass|violoncello|cello|continuo|tuba|bassoon"
             r"|upright"),
    ("chords", r"chord|piano left|left hand|^lower|^down$|downvoice|comp|strum|pad\b|rhythm|accomp|harmony|^piano$"
               r"|alto|altus|tenor|viola\b|violin ?(2|ii)\b|organ|strings"),
    ("other", r"bridge|counter|second"),
)  # fmt: skip
_PATTERNS = tuple((role, re.compile(pattern, re.IGNORECASE)) for role, pattern in _NAMES)
_BASS_PROGRAMS = frozenset((*range(32, 40), 43, 58, 70))
_CHORD_PROGRAMS = frozenset((*range(16, 24), *range(24, 29), *range(48, 52), *range(88, 96)))


def polyphony(track: Track) -> float:
    """Mean number of notes that begin together."""
    if not len(track):
        return 0.0
    return len(track) / int(1 + np.count_nonzero(np.diff(track.notes["onset_tick"])))


def middle_pitch(track: Track) -> float:
    """The median; numpy's own takes as long as all the rest of a small track."""
    pitches = np.sort(track.notes["pitch"])
    return (int(pitches[(len(pitches) - 1) // 2]) + int(pitches[len(pitches) // 2])) / 2


def _named_role(track: Track) -> str | None:
    name = track.name.strip()
    if re.search(r"bass guitar|guitar bass", name, re.IGNORECASE):
        return "bass"
    for role, pattern in _PATTERNS:
        if pattern.search(name):
            return role
    return None


def assign_roles(score: Score, split: bool = True) -> Score:
    """The score with a role on every track, tracks without notes left out.

    A track named like a role has that role, whatever it plays. ``split``: a keyboard's low notes become a bass track
    of their own where there is none (see ``split_bass``); without it tracks stay as they are.
    """
    tracks = [t for t in score.tracks if len(t)]
    fixed = [_is_named_as_role(t) for t in tracks]
    roles = [t.role if own else _first_guess(t) for t, own in zip(tracks, fixed, strict=True)]
    _fill_in(roles, tracks)
    if "melody" not in roles:
        # a piece needs a tune: the highest line that is not drums or bass
        rest = [i for i, r in enumerate(roles) if r in ("chords", "other") and not fixed[i]]
        all_rest = roles.count("chords") + roles.count("other")
        if len(rest) > 1:
            roles[max(rest, key=lambda i: middle_pitch(tracks[i]))] = "melody"
        elif rest and all_rest == 1:
            roles[rest[0]] = "melody"
    assigned = [replace(t, role=r or "other") for t, r in zip(tracks, roles, strict=True)]
    if split and not any(t.role == "bass" for t in assigned):
        parts: list[Track] = []
        for track in assigned:
            whole = track.role != "chords" or is_blocks(track, score)
            parts += [track] if whole else split_bass(track)
        assigned = parts
    return replace(score, tracks=tuple(assigned))


def _is_named_as_role(track: Track) -> bool:
    """Whether the track's name is its role; drums count only where they are percussion."""
    return track.name.strip().lower() == track.role and track.is_drum == (track.role == "drums")


def _first_guess(track: Track) -> str | None:
    """The role that channel, name or program tell; None where they do not."""
    if track.is_drum:
        return "drums"
    role = _named_role(track)
    if role == "drums":
        role = None  # percussion sounds on a pitched channel: timpani and the like
    if role is None and track.program in _BASS_PROGRAMS and middle_pitch(track) < 57:
        role = "bass"
    return role


def _fill_in(roles: list[str | None], tracks: list[Track]) -> None:
    """Roles of the tracks that have none yet, by range, polyphony and activity."""
    open_tracks = [i for i, r in enumerate(roles) if r is None]
    if not open_tracks:
        return
    median = {i: middle_pitch(tracks[i]) for i in open_tracks}
    voices = {i: polyphony(tracks[i]) for i in open_tracks}
    span = max((t.end_tick for t in tracks), default=1) or 1
    if "melody" not in roles:

        def tunefulness(i: int) -> float:
            activity = len(np.unique(tracks[i].notes["onset_tick"] * 64 // span)) / 64
            wide = min(1.0, len(np.unique(tracks[i].notes["pitch"])) / 8)
            chordal = 0.5 if tracks[i].program in _CHORD_PROGRAMS else 0.0
            return activity + wide - 0.8 * (voices[i] - 1) + (median[i] - 60) / 24 - chordal

        candidates = [i for i in open_tracks if median[i] >= 52] or open_tracks
        melody = max(candidates, key=tunefulness)
        roles[melody] = "melody"
        open_tracks.remove(melody)
    if open_tracks and "bass" not in roles:
        low = min(open_tracks, key=lambda i: median[i])
        if median[low] < 53 and voices[low] < 1.6:
            roles[low] = "bass"
            open_tracks.remove(low)
    for i in open_tracks:
        roles[i] = "chords" if voices[i] > 1.35 or tracks[i].program in _CHORD_PROGRAMS else "other"


def is_blocks(track: Track, score: Score) -> bool:
    """Chords that only realise the markers: three or more notes at every onset, a held block for each symbol."""
    if not score.chords or len(track) < 6 or polyphony(track) <= 2.6:
        return False
    onsets = np.unique(track.notes["onset_tick"])
    marked = {c.tick for c in score.chords}
    return sum(int(t) in marked for t in onsets.tolist()) > 0.7 * len(onsets)


def split_bass(track: Track, ceiling: int = 50) -> list[Track]:
    """[chords, bass] where the lowest notes of a chordal part below ``ceiling`` (MIDI number) make a line of their own,
    else [track] as it was."""
    notes = track.notes
    _, first = np.unique(
        notes["onset_tick"], return_index=True
    )  # notes are sorted: the first of an onset is lowest
    low = np.zeros(len(notes), dtype=bool)
    low[first] = notes["pitch"][first] < ceiling
    if low.sum() < max(4, 0.12 * len(first)) or (~low).sum() < 4:
        return [track]
    return [
        replace(track, notes=note_array(notes[~low])),
        replace(track, notes=note_array(notes[low]), role="bass", name=f"{track.name} bass".strip()),
    ]
