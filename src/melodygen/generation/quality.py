"""How well made a piece is, apart from its style: in its key, on its chords, a tune with a shape, a real ending.

The classifier hears style; it does not mind a wrong note, a tune that stays on three of them, or a piece that stops in
mid-air. Among candidates that sound like the style, the loop prefers the better made one. The measure is plain
arithmetic on the notes, known in advance, and no judge of beauty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from melodygen.music.harmony import chord_pitch_classes
from melodygen.music.score import Score, Track

_MAJOR = frozenset((0, 2, 4, 5, 7, 9, 11))
_MINOR = frozenset((0, 2, 3, 5, 7, 8, 10, 11))  # natural, and the leading note
FULL_SHARE = 0.75
"""A part that sounds in this share of the bars is full; more is no better, phrases breathe and bands pause."""
FULL_RANGE = 12
"""Semitones: a tune that spans an octave has room enough."""
FULL_VARIETY = 0.5
"""Share of the tune's bars that differ from all before: half may come back."""
FULL_SCALE, HEARD_SHARE = 5, 0.04
"""A tune uses five notes of the scale, octaves aside; one counts that is this share of the tune."""
FULL_HARMONY = 2.5
"""Roots, each counted by how long it lasts (the exponential of their entropy): a twelve-bar blues has some 2.5, one
chord with a bar of another 1.3."""
PHRASE_BARS = 4
FULL_PACE = 2
"""Notes in each bar in which a tune moves at all; chorales have three."""
SINGABLE_LEAP = 9
"""Semitones: a major sixth. Wider leaps are rare in tunes."""
CYMBALS = (22, 26, 42, 46, 49, 51, 52, 53, 54, 55, 57, 59, 69, 70, 82)
"""Percussion keys that keep time in most styles, played by hand: hi-hats and other cymbals, tambourine, cabasa,
maracas, shaker. The hat that a foot closes stands under a rolling snare as well."""
FULL_CYMBALS = 0.2
"""Share of a drummer's strokes that keep time, and of those that do not; the median of human takes is 0.34 in jazz, 0.4
and more in rock, pop and funk, and one take in ten has more than 0.6."""
FULL_COMPING = 1.5
"""Times a bar that chords are struck in a band with drums; once a bar is a lead sheet read aloud."""


def quality(score: Score) -> float:
    """0.0 to 1.0: the mean of those of key, ending, chords and band (that it is there) that can be said of the piece,
    times the tune (that it is there, and its shape), which the ear follows most, half of how much the harmony moves
    and half of how the band grooves; 0 without notes."""
    pitched = [t for t in score.tracks if not t.is_drum and len(t)]
    if not score.num_notes:
        return 0.0
    parts: list[float | None] = []
    tune = moves = 1.0
    if pitched and score.key_signatures:
        parts.append(_in_key(score, pitched))
        parts.append(_ending(score))
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
    return tune * (1 + moves) / 2 * (1 + _groove(score)) / 2 * (float(np.mean(known)) if known else 0.5)


def _scale(score: Score) -> frozenset[int]:
    key = score.key_signatures[0]
    steps = _MAJOR if key.mode == "major" else _MINOR
    return frozenset((key.tonic + s) % 12 for s in steps)


def _in_key(score: Score, tracks: list[Track]) -> float:
    """Share of the notes in the scale of the key."""
    scale = _scale(score)
    classes = np.concatenate([t.notes["pitch"] for t in tracks]) % 12
    return float(np.isin(classes, list(scale)).mean())


def _bars(score: Score) -> NDArray[np.int64]:
    return np.asarray(score.bar_ticks(), dtype=np.int64)


def _on_chords(score: Score) -> float | None:
    """Share of melody and bass notes on bar lines that belong to the chord in force."""
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
    """0 for one root throughout, 1 for as many as ``FULL_HARMONY``."""
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
    """Of a band with drums: the mean of how far cymbals keep time beside drums, and how often the chords are struck; 1
    without."""
    drums = [t.notes["pitch"] for t in score.tracks if t.is_drum and len(t)]
    if not drums:
        return 1.0
    cymbals = float(np.isin(np.concatenate(drums), CYMBALS).mean())
    marks = [min(1.0, cymbals / FULL_CYMBALS, (1 - cymbals) / FULL_CYMBALS)]
    chords = score.track_by_role("chords")
    if chords is not None and len(chords):
        struck = len(np.unique(chords.notes["onset_tick"])) / max(1, len(_bars(score)) - 1)
        marks.append(min(1.0, struck / FULL_COMPING))
    return float(np.mean(marks))


def _ending(score: Score) -> float | None:
    """The lowest voice on the tonic, the melody in the tonic triad, in the last bar: half each."""
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
    """Share of the bars in which the track begins a note or holds one."""
    bars, notes = _bars(score), track.notes
    begins = np.searchsorted(bars, notes["onset_tick"], side="right") - 1
    ends = np.searchsorted(bars, notes["onset_tick"] + notes["duration_ticks"], side="left")
    sounding = np.zeros(len(bars) + 1)
    np.add.at(sounding, begins, 1)
    np.add.at(sounding, ends, -1)
    return float((sounding.cumsum() > 0).sum() / max(1, len(bars) - 1))


def _shape(score: Score, track: Track) -> float:
    """Of a tune: the mean of range, scale, variety, pace, breath, smoothness and how often it is above the chords."""
    notes = track.notes
    onsets, first = np.unique(notes["onset_tick"][::-1], return_index=True)
    top = notes["pitch"][::-1][first].astype(
        np.int64
    )  # of notes struck together the last, which is the highest
    index = np.searchsorted(_bars(score), onsets, side="right") - 1
    reach = min(1.0, float(np.ptp(top)) / FULL_RANGE)
    used = int((np.bincount(top % 12) > HEARD_SHARE * len(top)).sum())
    scale = min(1.0, used / min(FULL_SCALE, max(1, len(top) // 2)))
    contents = [
        tuple(
            zip((onsets[index == bar] - _bars(score)[bar]).tolist(), top[index == bar].tolist(), strict=True)
        )
        for bar in np.unique(index)
    ]
    variety = min(1.0, len(set(contents)) / len(contents) / FULL_VARIETY)
    pace = min(1.0, len(onsets) / len(contents) / FULL_PACE)
    leaps = np.abs(np.diff(top))
    smooth = 1.0 if not len(leaps) else float((leaps <= SINGABLE_LEAP).mean())
    return float(
        np.mean([reach, scale, variety, pace, _breath(onsets, index), smooth, _heard(score, onsets, top)])
    )


def _heard(score: Score, onsets: NDArray[np.int64], pitches: NDArray[np.int64]) -> float:
    """Share of the notes that are higher than all that sounds in the chords as they begin."""
    chords = score.track_by_role("chords")
    if chords is None or not len(chords):
        return 1.0
    begin, end = chords.notes["onset_tick"], chords.notes["onset_tick"] + chords.notes["duration_ticks"]
    over = chords.notes["pitch"] >= pitches[:, None]
    return 1.0 - float(((begin <= onsets[:, None]) & (onsets[:, None] < end) & over).any(axis=1).mean())


def _breath(onsets: NDArray[np.int64], bars: NDArray[np.int64]) -> float:
    """Share of the phrases of four bars that come to rest: a wait twice as long as is usual in them, before the next
    note. A phrase of less than two notes a bar breathes anyway."""
    waits = np.diff(onsets)
    rests = []
    for phrase in np.unique(bars // PHRASE_BARS):
        inside = waits[(bars // PHRASE_BARS == phrase)[: len(waits)]]
        rests.append(len(inside) < 2 * PHRASE_BARS or bool(inside.max() >= 2 * np.median(inside)))
    return float(np.mean(rests))
