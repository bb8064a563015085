"""Likelihood of public piano rolls: the generator's architecture on the sets of Boulanger-Lewandowski et al. (2012).

    python benchmarks/piano_rolls.py JSB_Chorales.mat [--coding notes] [--steps 1000] [--out result.json]
    python benchmarks/piano_rolls.py Nottingham.mat --coding changes

A roll becomes tokens that determine it. The summed loss of its tokens, the end included, divided by its frames is
therefore an upper bound of its negative log-likelihood in nats a frame, which is what others have published.
``notes`` spells a frame as its keys from the lowest up and a token that closes the frame; ``changes`` spells only the
keys that begin or end.
Training pieces are transposed by -6 to +6 semitones where they stay on the keyboard. The net with the best validation
loss is kept, and the test pieces are looked at once, after the training.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import loadmat
from torch.nn import functional

from melodygen.nets.precision import has_bf16
from melodygen.nets.transformer import Transformer
from melodygen.training.generator.trainer import GeneratorRecipe, make_optimizers, schedule

KEYS = 88
CLOSE, START, STOP, SIZE = KEYS, KEYS + 1, KEYS + 2, KEYS + 3
Roll = NDArray[np.bool_]
"""(frames, KEYS), True where a key sounds."""


def read_rolls(path: Path) -> dict[str, list[Roll]]:
    """Return the rolls of the splits ``train``, ``valid`` and ``test``."""
    held = loadmat(path)
    return {
        name: [np.asarray(r) > 0 for r in held[f"{name}data"].ravel()] for name in ("train", "valid", "test")
    }


def encode(roll: Roll, coding: str) -> NDArray[np.int64]:
    """Return the tokens of a roll, from START to STOP."""
    before = np.zeros((1, KEYS), dtype=bool)
    said = roll if coding == "notes" else roll ^ np.concatenate((before, roll[:-1]))
    ids = [START]
    for frame in said:
        ids += [*np.flatnonzero(frame).tolist(), CLOSE]
    return np.array([*ids, STOP])


def decode(ids: NDArray[np.int64], coding: str) -> Roll:
    """Return the roll of tokens; the inverse of :func:`encode`."""
    ends = np.flatnonzero(ids == CLOSE)
    roll = np.zeros((len(ends), KEYS), dtype=bool)
    for frame, (first, last) in enumerate(zip([1, *(ends[:-1] + 1)], ends, strict=True)):
        roll[frame, ids[first:last]] = True
    return roll if coding == "notes" else np.logical_xor.accumulate(roll, axis=0)


def transposed(ids: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the tokens in another key, drawn from those that the keyboard has."""
    keys = ids < KEYS
    if not keys.any():
        return ids
    low, high = int(ids[keys].min()), int(ids[keys].max())
    shift = int(rng.integers(max(-6, -low), min(6, KEYS - 1 - high) + 1))
    return np.where(keys, ids + shift, ids)


def batch(pieces: list[NDArray[np.int64]], rows: int, length: int, rng: np.random.Generator) -> torch.Tensor:
    """Return (rows, length + 1) ids: pieces one after another, a long one from anywhere."""
    filled = np.zeros((rows, length + 1), dtype=np.int64)
    for row in range(rows):
        at = 0
        while at <= length:
            ids = transposed(pieces[int(rng.integers(len(pieces)))], rng)
            first = int(rng.integers(max(1, len(ids) - length))) if rng.random() < 0.7 else 0
            part = ids[first : first + length + 1 - at]
            filled[row, at : at + len(part)] = part
            at += len(part)
    return torch.from_numpy(filled)


@torch.no_grad()
def nats_a_frame(net: Transformer, rolls: list[Roll], coding: str, context: int) -> float:
    """Return the loss of all tokens over all frames; each token sees at least half of the context before it.

    ``context``: tokens in view; more than a training row has would be distances that the net never saw.
    """
    net.eval()
    total, step = 0.0, context // 2
    for roll in rolls:
        ids = torch.from_numpy(encode(roll, coding))
        for first in range(0, max(1, len(ids) - 1 - step), step):
            part = ids[first : first + context + 1]
            loss = functional.cross_entropy(net(part[None, :-1])[0].float(), part[1:], reduction="none")
            total += float(loss[step if first else 0 :].sum())
    return total / sum(len(r) for r in rolls)


def train(options: argparse.Namespace, rolls: dict[str, list[Roll]]) -> tuple[Transformer, dict[str, Any]]:
    """Return the net with the best validation loss, and what was seen on the way."""
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    net = Transformer(SIZE, options.width, options.layers, options.heads, 1024, options.dropout)
    average = Transformer(SIZE, options.width, options.layers, options.heads, 1024)
    weights = {k: v.detach().clone() for k, v in net.state_dict().items()}
    recipe = GeneratorRecipe(steps=options.steps, learning_rate=options.rate, embedding_learning_rate=options.rate,
                             weight_decay=options.weight_decay)  # fmt: skip
    optimizers = make_optimizers(net, recipe)
    pieces = [encode(r, options.coding) for r in rolls["train"]]
    best, best_weights, curve, begun = float("inf"), weights, [], time.process_time()
    for step in range(options.steps):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = options.rate * schedule(step, recipe)
        net.train()
        tokens = batch(pieces, options.rows, options.length, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            logits = net(tokens[:, :-1])
        loss = functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
        net.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        keep = min(0.99, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            weights[name].lerp_(value, 1 - keep)
        if (step + 1) % options.every == 0 or step + 1 == options.steps:
            average.load_state_dict(weights)
            valid = nats_a_frame(average, rolls["valid"], options.coding, options.length)
            seconds = time.process_time() - begun
            curve.append({"step": step + 1, "loss": float(loss.detach()), "valid": valid, "seconds": seconds})
            print(json.dumps(curve[-1]), flush=True)
            if valid < best:
                best, best_weights = valid, {k: v.clone() for k, v in weights.items()}
    average.load_state_dict(best_weights)
    return average, {"valid": best, "curve": curve}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rolls", type=Path)
    parser.add_argument("--coding", default="notes", choices=("notes", "changes"))
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rolls = read_rolls(options.rolls)
    for roll in rolls["test"][:20]:
        assert np.array_equal(decode(encode(roll, options.coding), options.coding), roll)
    net, seen = train(options, rolls)
    numbers = sum(p.numel() for p in net.parameters())
    result = {"set": options.rolls.stem, "parameters": numbers, **seen,
              "test": nats_a_frame(net, rolls["test"], options.coding, options.length),
              "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}}  # fmt: skip
    print(json.dumps({k: v for k, v in result.items() if k != "curve"}))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
