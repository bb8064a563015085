"""A library of a few tracks that no net has heard: two kinds of sound, tunes with known notes, real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile as sf

from melodygen.io.midi import write_midi
from melodygen.library.address import open_store
from melodygen.library.chroma import NUM_BINS, PATCH_WIDTH
from melodygen.library.lines import lines_of
from melodygen.library.store import hash_of
from melodygen.library.track import Description, Facts, Tags
from melodygen.music.score import Score, Track, note_array

NUM_TUNES, NUM_SOUNDS = 6, 4
EMBEDDER, WIDTH = "hand-made", 8


def tune(number: int) -> Score:
    """Sixteen quarters, other ones for each number."""
    pitches = np.random.default_rng(number).integers(55, 80, 16)
    rows = [(i * 480, 480, int(p), 80) for i, p in enumerate(pitches)]
    return Score((Track(note_array(rows), role="melody", name="melody"),), title=f"Tune {number}")


def make_library(folder: Path, music: Path) -> Path:
    """Fill ``music`` with files and ``folder`` with what is known of them; tunes come before sounds."""
    music.mkdir(parents=True, exist_ok=True)
    with open_store(folder, create=True) as store, store.writing():
        store.set_embedder(EMBEDDER, WIDTH)
        for number in range(NUM_TUNES + NUM_SOUNDS):
            is_tune = number < NUM_TUNES
            if is_tune:
                file = music / f"tune{number}.mid"
                write_midi(file, tune(number))
            else:
                file = music / f"secret place {number}.flac"
                sf.write(file, 0.2 * np.sin(np.arange(16_000) * 0.1 * number), 8000)
            status = file.stat()
            stamp = (status.st_size, status.st_mtime_ns)
            store.put(str(file), stamp, hash_of(file), _described(number, is_tune))
    return folder


def _described(number: int, is_tune: bool) -> Description:
    rng = np.random.default_rng(number)
    vector = 0.3 * rng.standard_normal(WIDTH)
    vector[0 if is_tune else 1] += 2.0
    style = "folk" if is_tune else "jazz"
    facts = Facts(
        "score" if is_tune else "recording",
        10.0 + number,
        ((style, 0.9),),
        120.0,
        (4, 4),
        (0, "major"),
        0.5,
        0.25,
    )
    notes, steps = lines_of(tune(number)) if is_tune else lines_of(Score(()))
    tags = (
        Tags(title=f"Tune {number}")
        if is_tune
        else Tags(title=f"Sound {number}", artist="The Testers", year="1999")
    )
    return Description(
        facts, tags, vector.astype(np.float32), rng.random((3, PATCH_WIDTH), dtype=np.float32),
        rng.integers(0, 255, (30, NUM_BINS)).astype(np.uint8), notes, steps,
    )  # fmt: skip
