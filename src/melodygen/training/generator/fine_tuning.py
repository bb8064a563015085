"""Learning new music without forgetting the old.

The corpus a shipped model learned from is not there when a user trains it on. So part of each batch is *replay*: music
the model wrote itself before, on which it is held to what it said then (Kullback-Leibler divergence to the frozen old
model, token by token; Hinton et al. 2015, Li and Hoiem 2018). The rest is the new music, learned in the usual way.

Every row of a batch is a function of (seed, step, row), so that several processes with some rows each learn what one
with all rows would, and a resumed run sees what an unbroken one would have seen. R rows, T steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from melodygen.analysis.chords import harmonise
from melodygen.data.dataset import ExampleSampler, pack
from melodygen.data.shards import PieceInfo
from melodygen.errors import MelodygenError
from melodygen.generation.neural import NeuralGenerator
from melodygen.io.midi import write_midi
from melodygen.music.score import Score
from melodygen.request import Request
from melodygen.tokens.grid import Piece, score_to_piece
from melodygen.tokens.vocabulary import PAD
from melodygen.training.distributed import DistributedContext
from melodygen.training.generator.trainer import GeneratorRecipe, GeneratorTraining


class Watcher(Protocol):
    """Sees the run: shows it, logs it, or nothing."""

    def stage(self, text: str, done: float) -> None:
        """A stage of the run, and the share of it that is done (0 to 1)."""

    def step(self, step: int, steps: int, loss: float, tokens_a_second: float, seconds_left: float) -> None:
        """A step of training, its loss in nats a token, and how long the rest will take."""

    def say(self, text: str) -> None:
        """One line for the user."""


class Tuning(GeneratorTraining):
    """``old`` is the frozen model and ``replay`` draws what it wrote; without them all rows are new music.

    ``recipe.rows`` is a process's share of the batch; ``share`` (0-1) of all rows is replay.
    """

    def __init__(
        self,
        net: nn.Module,
        sampler: ExampleSampler,
        recipe: GeneratorRecipe,
        context: DistributedContext,
        old: nn.Module | None = None,
        replay: ExampleSampler | None = None,
        share: float = 0.5,
        hold: float = 1.0,
    ) -> None:
        super().__init__(net, sampler, recipe, context.wrap(net))
        self._context = context
        self._old = old.eval() if old is not None else None
        self._replay = replay
        self._share = share if replay is not None and old is not None else 0.0
        self._hold = hold

    def is_replay(self, row: int) -> bool:
        """Whether this row of the whole batch is replay: spread evenly."""
        return int((row + 1) * self._share) > int(row * self._share)

    def batch(self, step: int) -> NDArray[np.int16]:
        """Rows (R, T + 1) of this process: new music, and replay in between."""
        first = self._context.rank * self.recipe.rows
        rows = []
        for row in range(first, first + self.recipe.rows):
            rng = np.random.default_rng([self.recipe.seed, step, row])
            source = self._replay if self._replay is not None and self.is_replay(row) else self.sampler
            rows.append(pack(source, 1, self.recipe.length, rng))
        return np.concatenate(rows)

    def loss(self, tokens: Tensor, first_row: int) -> Tensor:
        """Nats a token: cross-entropy on new music, divergence from the old model on replay, mean over all rows."""
        first = self._context.rank * self.recipe.rows + first_row
        replay = torch.tensor([self.is_replay(first + r) for r in range(len(tokens))], device=self.device)
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16):
            logits = self.forward(inputs)
        log_probs = functional.log_softmax(logits.float(), dim=-1)
        new = functional.nll_loss(
            log_probs[~replay].flatten(0, 1), targets[~replay].flatten(), ignore_index=PAD, reduction="sum"
        )
        total = new
        if bool(replay.any()) and self._old is not None:
            with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16):
                said = functional.log_softmax(self._old(inputs[replay]).float(), dim=-1)
            total = total + self._hold * functional.kl_div(
                log_probs[replay], said, reduction="sum", log_target=True
            )
        return total / targets.numel()


def write_replay(
    generator: NeuralGenerator,
    requests: int,
    pieces: int,
    seed: int,
    style: str,
    keep: Callable[[Score, str], None] = lambda score, split: None,
) -> list[tuple[Piece, PieceInfo]]:
    """``requests`` × ``pieces`` pieces in one style as this generator writes them, asked for in different ways.

    One request in six (at least one) is for validation. ``keep`` gets each score and its split.
    """
    usual = generator.style_info[style]
    found: list[tuple[Piece, PieceInfo]] = []
    for index in range(requests):
        rng = np.random.default_rng([seed, index, *style.encode()])
        tracks = usual.tracks
        if len(tracks) > 1 and rng.random() < 0.3:
            tracks = tuple(t for t in tracks if t == "melody" or rng.random() < 0.6)
        request = Request(
            style, int(rng.choice((8, 12, 16))), qpm=float(np.clip(usual.qpm * rng.uniform(0.8, 1.25), 36, 280)),
            meter=usual.meter if rng.random() < 0.7 else ((3, 4), (4, 4), (2, 4), (6, 8))[int(rng.integers(4))],
            tracks=tracks or usual.tracks, top_p=1.0,
        )  # fmt: skip
        drafts = generator.generate(request, [int(s) for s in rng.integers(0, 2**31, pieces)])
        split = "valid" if index % 6 == 0 and requests > 1 else "train"
        for number, draft in enumerate(drafts):
            try:
                piece = harmonise(score_to_piece(draft.score))
            except MelodygenError:
                continue
            keep(draft.score, split)
            name = f"{style}/replay/{index}-{number}"
            found.append(
                (
                    piece,
                    PieceInfo(
                        name, style, "replay", split, "piece", name, 0, len(piece.bars), piece.qpm, "", False
                    ),
                )
            )
    return found


def write_known(
    generator: NeuralGenerator, styles: Sequence[str], pieces: int, seed: int, folder: Path, watcher: Watcher
) -> list[tuple[Piece, PieceInfo]]:
    """``pieces`` pieces in each style as the generator writes them, for replay; also as MIDI below ``folder`` with a
    manifest, for those who want to hear them."""
    rows, found = ["path,style,split,title"], []
    requests = max(3, round(pieces / 8))  # each asks for something else
    for index, style in enumerate(styles):
        watcher.stage(f"writing replay: {style}", index / len(styles))
        kept = KnownWriter(folder, style)
        found += write_replay(generator, requests, -(-pieces // requests), seed, style, kept)
        rows += kept.rows
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return found


class KnownWriter:
    """Keeps replay as MIDI files; ``rows`` are their lines in a manifest."""

    def __init__(self, folder: Path, style: str) -> None:
        self._folder, self._style = folder, style
        # a style may be called what a folder must not
        self._name = hashlib.sha256(style.encode("utf-8", "backslashreplace")).hexdigest()[:12]
        self.rows: list[str] = []

    def __call__(self, score: Score, split: str) -> None:
        name = f"{self._name}/{len(self.rows)}.mid"
        (self._folder / self._name).mkdir(parents=True, exist_ok=True)
        write_midi(self._folder / name, score, overwrite=True)
        quoted = self._style.replace('"', '""')
        self.rows.append(f'{name},"{quoted}",{split},{name}')
