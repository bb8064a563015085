"""Quality of a piece apart from its style: key, chords, clashes, shape of the melody, band and ending.

The classifier recognises style. It accepts a wrong note, a melody that stays on three notes, or a piece that
stops without an end. Among candidates of the right style the loop prefers the one of higher quality. The
measure is plain arithmetic on the notes with fixed rules; it does not rate beauty.
docs/decisions/0005-logit-bias.md gives the reasons.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from melodygen.music import clash
from melodygen.music.harmony import chord_pitch_classes
from melodygen.music.key import key_lead
from melodygen.music.score import Score, Track

_MAJOR = frozenset((0, 2, 4, 5, 7, 9, 11))
_MINOR = frozenset((0, 2, 3, 5, 7, 8, 10, 11))  # natural, and the leading note
FULL_SHARE = 0.75
"""A part that sounds in this share of the bars counts as full; more is no better, because phrases breathe and
bands pause.
"""
FULL_RANGE = 12
"""A melody with a range of this many semitones (an octave) gets full marks."""
FULL_VARIETY = 0.5
"""Share of the melody's bars that differ from all earlier ones for full marks: half of them may come back."""
FULL_SCALE, HEARD_SHARE = 5, 0.04
"""Five notes of the scale (octaves aside) give full marks; a note counts if it makes up HEARD_SHARE of the melody."""
FULL_HARMONY = 2.5
"""Number of roots for full marks, each counted by its duration (the exponential of their entropy). A
twelve-bar blues has about 2.5, one chord with a bar of another 1.3.
"""
PHRASE_BARS = 4
FULL_PACE = 2
"""Notes for full marks in each bar in which the melody moves; chorales have three."""
SINGABLE_LEAP = 9
"""Largest singable leap in semitones, a major sixth. Wider leaps are rare in melodies."""
CYMBALS = (22, 26, 42, 46, 49, 51, 52, 53, 54, 55, 57, 59, 69, 70, 82)
"""Percussion keys that keep time in most styles and are played by hand: hi-hats and other cymbals,
tambourine, cabasa, maracas, shaker. The foot-operated hat is left out, because it stands under a rolling
snare as well.
"""
FULL_CYMBALS = 0.2
"""Share of a drummer's strokes that keep time, and of those that do not, for full marks. The median of human
takes is 0.34 in jazz and 0.4 and more in rock, pop and funk; one take in ten has more than 0.6.
"""
FULL_COMPING = 1.5
"""Times a bar that chords are struck in a band with drums, for full marks. Once a bar is a lead sheet read
aloud.
"""

FULL_DRUM_VARIETY = 0.3
"""Share of a drummer's bars that differ from all earlier ones for full marks. Of people's 16 bars of jazz, pop, rock
and game half have 0.38 and more, three quarters more than 0.13 to 0.6; one bar sixteen times has 0.06.
"""

CLEAR_KEY, OTHER_KEY = 0.15, 0.1
"""Lead of the key over every other, in correlation with the profiles of keys, from which on music21's profiles hear it
too in nearly every piece; lead of another key from which on they never do.
"""
UNHEARD_KEY = 0.6
"""What is left of the quality of a piece that is plainly heard in another key than it says."""
USUAL_CLASH, WORST_CLASH = 0.1, 0.4
"""Shares of the tune's time that stand a semitone off another part, octaves aside: up to the first nothing is lost,
from the second on CLASHING is left of the quality. The medians of human music are 0.01 (hymn) to 0.13 (jazz).
"""
CLASHING = 0.6
TICKS_A_QUARTER = 12
"""Grid on which clashes are counted."""


def quality(score: Score) -> float:
    """Return the quality of a piece, 0.0 to 1.0; 0 without notes.

    The mean of key, ending, chords and band (those that can be measured) is multiplied by the presence and
    shape of the melody, which a listener follows most, by how plainly its key is heard and how little the
    melody clashes, and halfway by the movement of the harmony and the groove of the band.
    """
    pitched = [t for t in score.tracks if not t.is_drum and len(t)]
    if not score.num_notes:
        return 0.0
    parts: list[float | None] = []
    tune = moves = 1.0
    if pitched and score.key_signatures:
        parts.append(_in_key(score, pitched))
        parts.append(ending_mark(score))
    if pitched and score.chords:
        parts.append(_on_chords(score))
        moves = _harmony_moves(score)
    melody = score.track_by_role("melody")
    if melody is not None:
        tune = min(1.0, _sounding_bars(score, melody) / FULL_SHARE)
        if len(melody):
            tune *= _shape(score, melody)
    band = [t for t in score.tracks if t.role != "melody" and len(t)]
    if band:  # a part that falls silent for good is missed
        parts.append(float(np.mean([min(1.0, _sounding_bars(score, t) / FULL_SHARE) for t in band])))
    known = [p for p in parts if p is not None]
    made = tune * (1 + moves) / 2 * (1 + _groove(score)) / 2 * _key_factor(score) * _clash_factor(score)
    return made * (float(np.mean(known)) if known else 0.5)


def heard_lead(score: Score) -> float | None:
    """Return by how much the key that a piece says leads over every other in its notes, in correlation with the
    profiles of keys (``melodygen.music.key.key_lead``); negative where another one is heard, None without key or notes.
    """
    pitched = [t for t in score.tracks if not t.is_drum and len(t)]
    if not pitched or not score.key_signatures:
        return None
    weights = np.zeros(12)
    for track in pitched:
        np.add.at(weights, track.notes["pitch"] % 12, track.notes["duration_ticks"].astype(np.float64))
    key = score.key_signatures[0]
    found = key_lead(weights, key.tonic, key.mode)
    return None if found is None else found[0]


def _key_factor(score: Score) -> float:
    lead = heard_lead(score)
    if lead is None:
        return 1.0
    clear = (lead + OTHER_KEY) / (CLEAR_KEY + OTHER_KEY)
    return UNHEARD_KEY + (1 - UNHEARD_KEY) * min(1.0, max(0.0, clear))


def _clash_factor(score: Score) -> float:
    share = clash_share(score)
    if share is None:
        return 1.0
    over = (share - USUAL_CLASH) / (WORST_CLASH - USUAL_CLASH)
    return 1.0 - (1 - CLASHING) * min(1.0, max(0.0, over))


def clash_share(score: Score) -> float | None:
    """Return the share of the melody's time in which another pitched part sounds a semitone off it, octaves aside;
    None without a melody or another part.
    """
    melody = score.track_by_role("melody")
    others = [t for t in score.tracks if not t.is_drum and len(t) and t.role != "melody"]
    if melody is None or not len(melody) or not others:
        return None
    scale = TICKS_A_QUARTER / score.ticks_per_quarter
    return clash.clash_share(_spans(melody, scale), [s for track in others for s in _spans(track, scale)])


def _spans(track: Track, scale: float) -> list[clash.Span]:
    """Onset, end and pitch of each note, in steps of ``scale`` a tick."""
    notes = track.notes
    onsets = np.rint(notes["onset_tick"] * scale).astype(np.int64)
    ends = np.rint((notes["onset_tick"] + notes["duration_ticks"]) * scale).astype(np.int64)
    return list(
        zip(onsets.tolist(), np.maximum(ends, onsets + 1).tolist(), notes["pitch"].tolist(), strict=True)
    )


def _scale(tonic: int, mode: str) -> frozenset[int]:
    return frozenset((tonic + s) % 12 for s in (_MAJOR if mode == "major" else _MINOR))


def _in_key(score: Score, tracks: list[Track]) -> float:
    """Return the share of the notes in the scale of the key."""
    key = score.key_signatures[0]
    scale = _scale(key.tonic, key.mode)
    classes = np.concatenate([t.notes["pitch"] for t in tracks]) % 12
    return float(np.isin(classes, list(scale)).mean())


def _bars(score: Score) -> NDArray[np.int64]:
    return np.asarray(score.bar_ticks(), dtype=np.int64)


def _on_chords(score: Score) -> float | None:
    """Return the share of melody and bass notes on bar lines that belong to the chord, or None without such
    notes.
    """
    bars = set(_bars(score).tolist())
    ticks = np.asarray([c.tick for c in score.chords])
    hits = total = 0
    for role in ("melody", "bass"):
        track = score.track_by_role(role)
        for note in track or ():
            at = int(np.searchsorted(ticks, note.onset_tick, side="right")) - 1
            if note.onset_tick in bars and at >= 0:
                classes = chord_pitch_classes(score.chords[at].label)
                if classes:
                    total += 1
                    hits += note.pitch % 12 in classes
    return hits / total if total else None


def _harmony_moves(score: Score) -> float:
    """Return 0 for one root throughout, up to 1 for ``FULL_HARMONY`` roots."""
    ticks = [*(c.tick for c in score.chords), max(score.end_tick, score.chords[-1].tick + 1)]
    lasting: dict[str, int] = {}
    for chord, begin, end in zip(score.chords, ticks, ticks[1:], strict=False):
        root = chord.label.split(":")[0]
        lasting[root] = lasting.get(root, 0) + end - begin
    shares = np.array([v for root, v in lasting.items() if root != "N" and v > 0], dtype=np.float64)
    if not len(shares):
        return 1.0
    shares /= shares.sum()
    roots = float(np.exp(-(shares * np.log(shares)).sum()))
    return min(1.0, (roots - 1) / (FULL_HARMONY - 1))


def _groove(score: Score) -> float:
    """Return how well a band with drums grooves, 0 to 1; 1 without drums.

    It is the mean of these marks: cymbals keep time beside drums, and the chords are struck often enough; multiplied
    by how much the drummer varies the bar.
    """
    takes = [t.notes for t in score.tracks if t.is_drum and len(t)]
    if not takes:
        return 1.0
    strokes = np.concatenate(takes)
    cymbals = float(np.isin(strokes["pitch"], CYMBALS).mean())
    contents = _bar_contents(score, strokes["onset_tick"], strokes["pitch"])
    variety = min(1.0, len(set(contents)) / len(contents) / FULL_DRUM_VARIETY)
    marks = [min(1.0, cymbals / FULL_CYMBALS, (1 - cymbals) / FULL_CYMBALS)]
    chords = score.track_by_role("chords")
    if chords is not None and len(chords):
        struck = len(np.unique(chords.notes["onset_tick"])) / max(1, len(_bars(score)) - 1)
        marks.append(min(1.0, struck / FULL_COMPING))
    return float(np.mean(marks)) * variety


def _bar_contents(
    score: Score, onsets: NDArray[np.int64], pitches: NDArray[np.int64]
) -> list[frozenset[tuple[int, int]]]:
    """Return what each bar in which a note begins holds: the places in the bar, in ticks, and the pitches."""
    bars = _bars(score)
    index = np.searchsorted(bars, onsets, side="right") - 1
    held: dict[int, set[tuple[int, int]]] = {}
    for bar, place, pitch in zip(
        index.tolist(), (onsets - bars[index]).tolist(), pitches.tolist(), strict=True
    ):
        held.setdefault(bar, set()).add((place, pitch))
    return [frozenset(bar) for bar in held.values()]


def ending_mark(score: Score) -> float | None:
    """Return how the last bar ends: half for the bass on the tonic, half for the melody in the tonic
    triad.
    """
    key = score.key_signatures[0]
    third = 4 if key.mode == "major" else 3
    triad = {key.tonic, (key.tonic + third) % 12, (key.tonic + 7) % 12}
    bars = _bars(score)
    last = int(bars[-2]) if len(bars) > 1 else 0
    marks = []
    for role, accepted in (("bass", {key.tonic}), ("melody", triad)):
        track = score.track_by_role(role)
        if track is None or not len(track):
            continue
        final = track.notes[-1]
        marks.append(float(int(final["pitch"]) % 12 in accepted and int(final["onset_tick"]) >= last))
    return float(np.mean(marks)) if marks else None


def _sounding_bars(score: Score, track: Track) -> float:
    """Return the share of the bars in which the track begins or holds a note."""
    bars, notes = _bars(score), track.notes
    begins = np.searchsorted(bars, notes["onset_tick"], side="right") - 1
    ends = np.searchsorted(bars, notes["onset_tick"] + notes["duration_ticks"], side="left")
    sounding = np.zeros(len(bars) + 1)
    np.add.at(sounding, begins, 1)
    np.add.at(sounding, ends, -1)
    return float((sounding.cumsum() > 0).sum() / max(1, len(bars) - 1))


def _shape(score: Score, track: Track) -> float:
    """Return the shape of a melody: the mean of range, scale, pace, rests, leaps and height above the
    chords, multiplied halfway by its variety.
    """
    notes = track.notes
    onsets, first = np.unique(notes["onset_tick"][::-1], return_index=True)
    top = notes["pitch"][::-1][first].astype(
        np.int64
    )  # of notes struck together the last, which is the highest
    index = np.searchsorted(_bars(score), onsets, side="right") - 1
    reach = min(1.0, float(np.ptp(top)) / FULL_RANGE)
    used = int((np.bincount(top % 12) > HEARD_SHARE * len(top)).sum())
    scale = min(1.0, used / min(FULL_SCALE, max(1, len(top) // 2)))
    contents = _bar_contents(score, onsets, top)
    variety = min(1.0, len(set(contents)) / len(contents) / FULL_VARIETY)
    pace = min(1.0, len(onsets) / len(contents) / FULL_PACE)
    leaps = np.abs(np.diff(top))
    smooth = 1.0 if not len(leaps) else float((leaps <= SINGABLE_LEAP).mean())
    marks = [reach, scale, pace, _breath(onsets, index), smooth, _above_chords(score, onsets, top)]
    return float(np.mean(marks)) * (1 + variety) / 2  # one bar over and over is no tune, whatever its shape


def _above_chords(score: Score, onsets: NDArray[np.int64], pitches: NDArray[np.int64]) -> float:
    """Return the share of notes that lie above all notes of the chords that sound as they begin."""
    chords = score.track_by_role("chords")
    if chords is None or not len(chords):
        return 1.0
    begin, end = chords.notes["onset_tick"], chords.notes["onset_tick"] + chords.notes["duration_ticks"]
    over = chords.notes["pitch"] >= pitches[:, None]
    return 1.0 - float(((begin <= onsets[:, None]) & (onsets[:, None] < end) & over).any(axis=1).mean())


def _breath(onsets: NDArray[np.int64], bars: NDArray[np.int64]) -> float:
    """Return the share of four-bar phrases that come to rest.

    A rest is a wait for the next note that is twice as long as the median wait. A phrase of less than two
    notes a bar counts as resting.
    """
    waits = np.diff(onsets)
    rests = []
    for phrase in np.unique(bars // PHRASE_BARS):
        inside = waits[(bars // PHRASE_BARS == phrase)[: len(waits)]]
        rests.append(len(inside) < 2 * PHRASE_BARS or bool(inside.max() >= 2 * np.median(inside)))
    return float(np.mean(rests))
