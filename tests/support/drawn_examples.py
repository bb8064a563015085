"""Training examples and views drawn from a small synthetic corpus, as hashes: what a seed draws must not change."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from pieces import tune

from melodygen.data.dataset import PLAIN, ExampleSampler
from melodygen.data.scan import SourceFile
from melodygen.data.shards import PieceInfo, Shards, build_shards
from melodygen.data.stems import Source, StemBar, StemVoice, rows_of
from melodygen.data.views import AS_IS, TRAINING, UNKNOWN_INSTRUMENTS, View, ViewMaker
from melodygen.data.views import PLAIN as PLAIN_VIEW
from melodygen.music.score import Score
from melodygen.tokens.grid import score_to_piece
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES

STYLES = ("jazz", "blues", "classical", "baroque", "folk", "pop", "rock", "ragtime", "hymn", "game")
TAKES = ("jazz", "blues", "neworleans", "rock", "pop", "funk", "gospel", "country")
METERS = ((4, 4), (3, 4), (6, 8), (2, 4), (4, 4))


def small_shards() -> Shards:
    """Three pieces of each style and eight drum takes, all for training."""
    pieces = []
    for index, style in enumerate(STYLES):
        for number, roles in enumerate(
            (("melody",), ("melody", "chords"), ("melody", "chords", "bass", "drums"))
        ):
            meter = METERS[(index + number) % 5] if number < 2 else (4, 4)
            path = f"{style}/c{number % 2}/p{number}"
            info = PieceInfo(
                path, style, "s", "train", "piece", path, 0, 0, 96.0 + 7 * number, path, number == 1
            )
            pieces.append((score_to_piece(tune(10 + 40 * (number == 2), meter, roles)), info))
    for style in TAKES:
        path = f"drums/x/{style}"
        info = PieceInfo(path, style, "d", "train", "drums", path, 0, 0, 110.0, path, False)
        pieces.append((score_to_piece(tune(9, roles=("drums",))), info))
    return build_shards(pieces)


def source(style: str, score: Score, meter: tuple[int, int], blocks: bool, chords: bool) -> Source:
    size = meter[0] * 4.0 / meter[1]
    stems = {"melody": "melody", "chords": "harmony", "bass": "bass", "drums": "drums"}
    voices = tuple(StemVoice(stems[t.role], 4 * i, rows_of(t, 480)) for i, t in enumerate(score.tracks))
    names = ("maj", "min7", "min7", "7")
    bars = tuple(
        StemBar(
            i * size,
            meter,
            ((i * size, (0, 9, 2, 7)[i % 4], CHORD_QUALITY_NAMES.index(names[i % 4])),) * chords,
        )
        for i in range(len(score.bar_ticks()))
    )
    return Source(SourceFile(Path("x.mid"), f"{style}/openewld/x.mid", style), voices, bars, 104.0, blocks)


def example_hashes() -> dict[str, str]:
    """SHA-256 of the token ids of 60 drawn examples a style, and of 40 drawn from all, by name."""
    shards, found = small_shards(), {}
    full = ExampleSampler(shards, "train", STYLES)
    small = ExampleSampler(shards, "train", STYLES, replace(PLAIN, fill=0.3, comping=0.7), max_tokens=300)
    for name in (*STYLES, "drums", "all"):
        rng, digest = np.random.default_rng([5, *name.encode()]), hashlib.sha256()
        for number in range(60):
            example = (full, small)[number % 3 == 2].draw(rng, None if name == "all" else name)
            digest.update(example.ids.tobytes())
            digest.update(
                repr((example.style, example.num_notes, example.header_length, example.roles)).encode()
            )
        found[f"examples/{name}"] = digest.hexdigest()
    return found


def _add(digest: hashlib._Hash, view: View | None) -> None:
    if view is None:
        digest.update(b"none")
        return
    digest.update(repr(view.stems).encode())
    for track in view.score.tracks:
        digest.update(repr((track.program, track.role, track.is_drum)).encode())
        digest.update(track.notes.tobytes())


def view_hashes() -> dict[str, str]:
    """SHA-256 of the notes and instruments of views of three pieces a style, by style."""
    takes = {name: [source(name, tune(9, roles=("drums",)), (4, 4), False, False)] for name in TAKES}
    maker, found = ViewMaker(takes), {}
    for index, style in enumerate(STYLES):
        digest, meter = hashlib.sha256(), METERS[index % 5]
        sources = (
            source(style, tune(12, (4, 4), ("melody", "chords")), (4, 4), True, True),
            source(style, tune(12, meter, ("melody",)), meter, False, False),
            source(style, tune(20, (4, 4), ("melody", "chords", "bass", "drums")), (4, 4), False, True),
        )
        for seed in range(90):
            how = (TRAINING, TRAINING, PLAIN_VIEW, AS_IS, UNKNOWN_INSTRUMENTS)[seed % 5]
            _add(digest, maker.make(sources[seed % 3], np.random.default_rng(seed), how))
        found[f"views/{style}"] = digest.hexdigest()
    return found
