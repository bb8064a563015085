"""Identify a file, and find what tracks share: by notes where both have them, by sound otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.audio.decode import read_mono
from melodygen.classification.symbolic import is_symbolic, read_symbolic
from melodygen.errors import AudioError, LibraryError
from melodygen.library import chroma as chromas
from melodygen.library.lines import lines_of
from melodygen.library.match import Match
from melodygen.library.score_match import identify_notes, matches_of, shared_passages
from melodygen.library.sound_match import CANDIDATES, candidates, match_sound
from melodygen.library.store import PATCHES, STEPS, LibraryStore

Ints = NDArray[np.int64]
MAX_QUESTION_SECONDS = 600.0
MIN_NOTE_SEEDS = 3


def identify_file(store: LibraryStore, path: Path, top: int) -> list[Match]:
    """Strongest first. Raises AudioError, MidiReadError, or LibraryError for a question of less than three seconds."""
    if is_symbolic(path):
        score = read_symbolic(path, keep_start=True)
        notes, steps = lines_of(score)
        found = identify_notes(notes, steps, store.rows(STEPS), top)
        by_notes = [
            m
            for m in matches_of(found, notes, store.notes(i for i, _ in found))
            if m.strength >= MIN_NOTE_SEEDS
        ]
        chroma = chromas.chroma_of_score(score)
        if not len(notes) and not len(chroma):
            raise LibraryError(
                f"{path.name}: no line of four notes and less than 3 s of sound: nothing to go by"
            )
        known = {m.track_id for m in by_notes}
        return (by_notes + [m for m in _by_sound(store, chroma, top) if m.track_id not in known])[:top]
    return _by_sound(store, question_chroma(path), top)


def question_chroma(path: Path) -> NDArray[np.float32]:
    """(T, 24) of a recording or a score. Raises AudioError for silence, LibraryError for less than three seconds."""
    if is_symbolic(path):
        return chromas.chroma_of_score(read_symbolic(path, keep_start=True))
    mono = read_mono(path, chromas.SAMPLE_RATE, MAX_QUESTION_SECONDS)
    chroma = chromas.chroma_of_sound(mono)
    if not len(chroma):
        seconds = len(mono) / chromas.SAMPLE_RATE
        if seconds >= chromas.MIN_FRAMES / chromas.FRAMES_PER_SECOND:
            raise AudioError(f"{path.name}: silence")
        raise LibraryError(
            f"{path.name}: {seconds:.1f} s are too short to be identified; at least 3.1 s are needed"
        )
    return chroma


def _by_sound(store: LibraryStore, chroma: NDArray[np.float32], top: int) -> list[Match]:
    near = candidates(chroma, store.rows(PATCHES), CANDIDATES)
    tracks = {i: chromas.unpacked(stored) for i, stored in store.chroma(near).items()}
    return match_sound(chroma, tracks)[:top]


def shared_pairs(
    store: LibraryStore, mine: Ints, others: Ints, min_bars: float, progress: Callable[[float], None] | None
) -> Iterator[tuple[int, int, Match]]:
    """(track, track, match) of pairs that share music: scores by their notes, the rest by sound; each pair once."""
    told = set()
    scores = store.catalog.tracks_of_kind("score")
    found = list(
        shared_passages(
            store.rows(STEPS), *(ids[np.isin(ids, np.fromiter(scores, np.int64))] for ids in (mine, others))
        )
    )
    for a, b, passage in found:
        notes = store.notes([a, b])
        for match in matches_of([(b, passage)], notes[a], notes):
            if match.bars is not None and match.bars >= min_bars:
                told.add((min(a, b), max(a, b)))
                yield a, b, match
    rows = store.rows(PATCHES)
    wanted = set(others.tolist())
    for number, track_id in enumerate(mine.tolist(), 1):
        held = store.chroma([track_id]).get(track_id)
        if held is not None:
            question = chromas.unpacked(held)
            near = [i for i in candidates(question, rows, CANDIDATES) if i != track_id and i in wanted]
            near = [i for i in near if not (i in scores and track_id in scores)]
            tracks = {i: chromas.unpacked(stored) for i, stored in store.chroma(near).items()}
            for match in match_sound(question, tracks):
                pair = (min(track_id, match.track_id), max(track_id, match.track_id))
                if pair not in told:
                    told.add(pair)
                    yield track_id, match.track_id, match
        if progress is not None:
            progress(number / len(mine))


__all__ = ["identify_file", "question_chroma", "shared_pairs"]
