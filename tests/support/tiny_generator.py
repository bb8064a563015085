"""The built-in generator with tiny random nets."""

from __future__ import annotations

from typing import Any

import torch

from melodygen.contracts import Draft
from melodygen.generation.neural import NeuralGenerator
from melodygen.nets.lstm import Lstm
from melodygen.nets.transformer import Transformer
from melodygen.styles.style import Style
from melodygen.tokens.grid import GridBar, score_to_piece
from melodygen.tokens.vocabulary import VOCABULARY

PROGRAMS = {"melody": 73, "chords": 0, "bass": 32, "other": 48}
STYLES = {"polka": Style("polka", "two beats", 110.0, (2, 4), programs=PROGRAMS)}


def make(
    kind: type[Any] = Transformer, context: int = 512, sampling: dict[str, dict[str, float]] | None = None
) -> NeuralGenerator:
    torch.manual_seed(5)
    net: Any = (
        Transformer(VOCABULARY.size, 16, layers=1, heads=2, context=context)
        if kind is Transformer
        else Lstm(VOCABULARY.size, 16, hidden=16, layers=1, context=context)
    )
    with torch.no_grad():  # short bars, as a trained net writes: bars and roles are likely, positions less so
        net.embedding.weight[VOCABULARY.slice("position")] *= 0.1
        if kind is Transformer:  # a fresh block is the identity and hears no context
            torch.nn.init.normal_(net.blocks[0].attention_out.weight, std=0.5)
    return NeuralGenerator(net, STYLES, "tiny", {"polka": (1, 2, 3, 4, 5)}, sampling=sampling)


def bars_of(draft: Draft) -> tuple[GridBar, ...]:
    return score_to_piece(draft.score).bars
