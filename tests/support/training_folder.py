"""Folders of small synthetic pieces and a very small model to train on, for the tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from melodygen.generation.neural import style_to_json
from melodygen.io.midi import write_midi
from melodygen.music.score import Score, Tempo, Track, note_array
from melodygen.nets.checkpoint import save_checkpoint
from melodygen.nets.transformer import Transformer
from melodygen.styles.style import Style
from melodygen.tokens.vocabulary import VOCABULARY

NET = {"type": "transformer", "width": 32, "layers": 1, "heads": 2, "context": 1024}


def tune(seed: int, up: bool, bars: int = 8) -> Score:
    """A line in eighths that mostly rises or mostly falls."""
    rng = np.random.default_rng(seed)
    rows, pitch = [], 64
    for i in range(bars * 8):
        pitch += int(rng.choice((1, 2, 2, 3, -1))) * (1 if up else -1)
        if not 55 <= pitch <= 84:
            pitch = 57 if up else 82
        rows.append((i * 240, 240, pitch, 80))
    return Score((Track(note_array(rows), 73 if up else 40, False, "melody", "melody"),), (Tempo(0, 120.0),))


def write_folder(root: Path, style: str, count: int, up: bool = True, seed: int = 0) -> Path:
    """``count`` MIDI files below ``root/style``."""
    folder = root / style
    folder.mkdir(parents=True, exist_ok=True)
    names = "abcdefghijklmnopqrstuvwxyz"
    for index in range(count):
        write_midi(folder / f"{style}-{names[index]}.mid", tune(seed + index, up))
    return root


def write_model(
    folder: Path, styles: tuple[str, ...] = ("jazz", "folk"), seed: int = 0, plays: bool = False
) -> Path:
    """An untrained generator of those styles. ``plays``: it is made to write notes in nearly every bar."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Transformer(VOCABULARY.size, 32, 1, 2)
    if plays:
        with torch.no_grad():  # a fresh block is the identity: what follows a token is what is like it
            net.embedding.weight[VOCABULARY.slice("bar"), 0] = 0.3
            net.embedding.weight[VOCABULARY.slice("role"), 0] = 1.0
    listed = [style_to_json(Style(name, "", tracks=("melody",), programs={"melody": 0})) for name in styles]
    config = {
        "kind": "generator", "name": folder.name, "summary": "a test", "net": NET,
        "vocabulary_id": VOCABULARY.vocabulary_id, "styles": listed, "density_quantiles": {}, "provenance": {},
    }  # fmt: skip
    save_checkpoint(folder, net, config, "# a test\n")
    return folder
