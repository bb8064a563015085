"""Train a generator against the clock on a machine that has an accelerator for some minutes, and little else.

    python recipes/on_device.py pack WORK/shards device/shards.xz     # here: all that training needs of the corpus
    sh recipes/on_device.sh --seconds 540                             # there: unpack, train, evaluate, write
    python recipes/on_device.py join OUT models/NAME                  # here: the parts become a checkpoint

There it needs Python 3.11 or later, torch and numpy. Worker processes draw and augment the examples, so that the device
never waits; the rate rises, stays, and falls by the clock; what is written is the moving average of the weights, in
parts of less than 16 MiB, at the end and every two minutes before.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from melodygen.data.dataset import PLAIN, ExampleSampler, pack
from melodygen.data.shards import PieceInfo, Shards, load_shards
from melodygen.nets.transformer import Transformer
from melodygen.tokens.vocabulary import DURATIONS, PAD, SEGMENT_ROLES, VOCABULARY
from melodygen.training.generator.trainer import GeneratorRecipe, make_optimizers, validation_loss

STYLES = ("jazz", "blues", "classical", "baroque", "folk", "pop", "rock", "ragtime", "hymn", "game")
PART_BYTES = 15 * 1024 * 1024
KINDS = np.array([[k for k, _ in VOCABULARY.table()].index(kind) for kind in VOCABULARY.kinds])
VALUES = np.array(VOCABULARY.values)


def pack_shards(folder: Path, out: Path) -> None:
    """Write what cannot be computed again: tokens, lengths, meters, chords and the pieces' records."""
    shards = load_shards(folder)
    record: dict[str, Any] = {
        "vocabulary_id": VOCABULARY.vocabulary_id,
        "pieces": [_row(p) for p in shards.pieces],
    }
    order = np.asarray(shards.arrays["starts"])
    lengths = np.asarray(shards.arrays["lengths"])
    if not (np.diff(order.reshape(-1)) == lengths.reshape(-1)[:-1]).all():
        raise SystemExit("segments do not follow one another; build the shards again")
    chords = np.asarray(shards.arrays["chords"])
    places = np.argwhere(chords[..., 0] >= 0)
    out.parent.mkdir(parents=True, exist_ok=True)
    # bytes of one kind side by side compress best
    blobs = {
        "tokens": np.asarray(shards.arrays["tokens"], dtype="<i2").tobytes(),
        "lengths": lengths.astype("<u2").tobytes(),
        "meters": np.asarray(shards.arrays["meters"], dtype="i1").tobytes(),
        "chord_bars": np.diff(places[:, 0], prepend=0).astype("<u2").tobytes(),
        "chords": chords[places[:, 0], places[:, 1]].T.astype("i1").tobytes(),
    }
    record["bytes"] = {name: len(blob) for name, blob in blobs.items()}
    head = json.dumps(record).encode()
    with lzma.open(out, "wb", preset=6) as stream:
        stream.write(len(head).to_bytes(8, "little") + head)
        for blob in blobs.values():
            stream.write(blob)
    print(
        f"{out}: {out.stat().st_size / 2**20:.1f} MiB, {len(shards.pieces)} pieces, {shards.num_tokens} tokens"
    )


def _row(piece: PieceInfo) -> list[Any]:
    return [
        piece.path,
        piece.style,
        piece.split,
        piece.kind,
        piece.num_bars,
        round(piece.qpm, 2),
        piece.block_chords,
    ]


def unpack_shards(path: Path) -> Shards:
    """As ``load_shards``, from what ``pack_shards`` wrote; notes and pitch classes are counted from the tokens."""
    raw = lzma.decompress(path.read_bytes())
    size = int.from_bytes(raw[:8], "little")
    record = json.loads(raw[8 : 8 + size])
    if record["vocabulary_id"] != VOCABULARY.vocabulary_id:
        raise SystemExit(f"{path} holds vocabulary {record['vocabulary_id']}; pack it again")
    at, blobs = 8 + size, {}
    for name, count in record["bytes"].items():
        blobs[name] = raw[at : at + count]
        at += count
    tokens = np.frombuffer(blobs["tokens"], dtype="<i2")
    roles = len(SEGMENT_ROLES)
    lengths = np.frombuffer(blobs["lengths"], dtype="<u2").astype(np.int32).reshape(-1, roles)
    ends = np.cumsum(lengths.reshape(-1), dtype=np.int64)
    starts = (ends - lengths.reshape(-1)).reshape(-1, roles)
    kind = KINDS[tokens]
    names = [k for k, _ in VOCABULARY.table()]
    pitch = kind == names.index("pitch")
    segment = np.repeat(np.arange(lengths.size), lengths.reshape(-1))
    notes = np.bincount(segment[pitch | (kind == names.index("drum"))], minlength=lengths.size)
    # the duration in force is that of the last duration token
    last = np.maximum.accumulate(np.where(kind == names.index("duration"), np.arange(len(tokens)), 0))
    held = np.minimum(np.array(DURATIONS)[VALUES[tokens[last[pitch]]]], 24)
    where = segment[pitch] // roles * 12 + VALUES[tokens[pitch]] % 12
    classes = np.bincount(where, held, len(lengths) * 12).astype(np.float32).reshape(-1, 12)
    chords = np.full((len(lengths), 4, 3), -2, dtype=np.int16)
    bars = np.cumsum(np.frombuffer(blobs["chord_bars"], dtype="<u2").astype(np.int64))
    place = np.arange(len(bars)) - np.searchsorted(bars, bars)
    chords[bars, place] = np.frombuffer(blobs["chords"], dtype="i1").reshape(3, -1).T
    infos, first = [], 0
    for name, style, split, which, count, qpm, blocks in record["pieces"]:
        infos.append(PieceInfo(name, style, "", split, which, "", first, count, qpm, "", blocks))
        first += count
    arrays: dict[str, NDArray[np.generic]] = {
        "tokens": tokens, "starts": starts, "lengths": lengths, "pitch_classes": classes, "chords": chords,
        "notes": notes.astype(np.int16).reshape(-1, roles), "meters": np.frombuffer(blobs["meters"], dtype="i1"),
    }  # fmt: skip
    return Shards(arrays, tuple(infos))


def draw(shards: Shards, number: int, asked: argparse.Namespace, queue: Queue[NDArray[np.int16]]) -> None:
    """A worker: batches of rows, one after another, for as long as somebody takes them."""
    sampler = ExampleSampler(shards, "train", STYLES, max_tokens=asked.length - 24)
    rng = np.random.default_rng([asked.seed, number])
    while True:
        queue.put(pack(sampler, asked.worker_rows, asked.length, rng))


class Feed:
    """Batches (rows, length + 1) from worker processes."""

    def __init__(self, shards: Shards, asked: argparse.Namespace) -> None:
        context = multiprocessing.get_context("fork")  # the shards are shared
        self._queue: Queue[NDArray[np.int16]] = context.Queue(maxsize=8 * asked.workers)
        self._rows = asked.rows
        self.waited = 0.0
        self._workers = [
            context.Process(target=draw, args=(shards, n, asked, self._queue), daemon=True)
            for n in range(asked.workers)
        ]
        for worker in self._workers:
            worker.start()

    def batch(self) -> Tensor:
        begun, parts, rows = time.monotonic(), [], 0
        while rows < self._rows:
            parts.append(self._queue.get(timeout=120))
            rows += len(parts[-1])
        self.waited += time.monotonic() - begun
        return torch.from_numpy(np.concatenate(parts)[: self._rows].astype(np.int64))

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()


def factor(share: float, decay: float) -> float:
    """Of the peak rate, by the share of the time that is gone: up in 2 %, level, down to 2 % by a cosine."""
    if share < 0.02:
        return max(share / 0.02, 0.02)
    done = max(0.0, share - (1 - decay)) / decay
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class Run:
    """A training against the clock."""

    def __init__(self, asked: argparse.Namespace, shards: Shards) -> None:
        self.asked = asked
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(asked.seed)
        torch.backends.cuda.matmul.allow_tf32 = True
        self.spec = {
            "width": asked.width,
            "layers": asked.layers,
            "heads": asked.heads,
            "context": asked.length,
        }
        self.net = Transformer(VOCABULARY.size, **self.spec).to(self.device)
        self.forward: Callable[[Tensor], Tensor] = torch.compile(self.net) if asked.compile else self.net
        rates = {"learning_rate": asked.rate, "embedding_learning_rate": asked.embedding_rate}
        self.recipe = replace(
            GeneratorRecipe(), steps=0, rows=asked.rows, length=asked.length, bf16=True, **rates
        )
        self.optimizers = make_optimizers(self.net, self.recipe)
        self.average = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        kept, rng = (
            ExampleSampler(shards, "valid", STYLES, max_tokens=asked.length - 24),
            np.random.default_rng(7),
        )
        names = (*STYLES, "drums") if "drums" in kept.style_names else kept.style_names
        self.valid = [kept.draw(rng, name) for name in names for _ in range(asked.valid)]
        plain = ExampleSampler(shards, "valid", STYLES, PLAIN, max_tokens=asked.length - 24)
        self.plain = [plain.draw(rng, name) for name in names if name != "drums" for _ in range(asked.valid)]
        self.step = self.tokens = 0

    def judged(self) -> dict[str, float]:
        judge = Transformer(VOCABULARY.size, **self.spec).to(self.device)
        judge.load_state_dict(self.average)
        return {
            "valid": validation_loss(judge, self.valid, 32, bf16=True)[0],
            "plain": validation_loss(judge, self.plain, 32, bf16=True)[0],
        }

    def learn(self, tokens: Tensor, rate: float) -> Tensor:
        peaks = (self.recipe.learning_rate, self.recipe.embedding_learning_rate)
        for optimizer, peak in zip(self.optimizers, peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
            optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.forward(tokens[:, :-1])
        loss = functional.cross_entropy(
            logits.float().flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD
        )
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        decay = min(self.asked.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.net.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        self.step += 1
        self.tokens += tokens[:, 1:].numel()
        return loss.detach()

    def write(self, out: Path, told: dict[str, Any]) -> None:
        """The average in float16: ``weights.N`` of less than 16 MiB, and ``run.json`` that says what is in them."""
        out.mkdir(parents=True, exist_ok=True)
        tensors = {k: v.to("cpu", torch.float16).contiguous() for k, v in self.average.items()}
        blob = b"".join(t.numpy().tobytes() for t in tensors.values())
        for number, at in enumerate(range(0, len(blob), PART_BYTES)):
            (out / f"weights.{number}").write_bytes(blob[at : at + PART_BYTES])
        shapes = {k: list(t.shape) for k, t in tensors.items()}
        (out / "run.json").write_text(json.dumps({"net": self.spec, "tensors": shapes, **told}))


def train(asked: argparse.Namespace) -> None:
    begun = time.monotonic()
    torch.set_num_threads(max(1, asked.threads))
    shards = unpack_shards(asked.shards)
    feed = Feed(shards, asked)
    run = Run(asked, shards)
    print(f"ready in {time.monotonic() - begun:.1f} s on {run.device}", flush=True)
    budget, reserve = asked.seconds, min(60.0, 0.15 * asked.seconds)
    log: list[dict[str, Any]] = []
    shown = written = time.monotonic()
    losses: list[Tensor] = []
    started = time.monotonic()
    try:
        while (gone := time.monotonic() - begun) < budget - reserve:
            share = (time.monotonic() - started) / max(1e-9, budget - reserve - (started - begun))
            tokens = feed.batch().to(run.device, non_blocking=True)
            losses.append(run.learn(tokens, factor(share, asked.decay)))
            now = time.monotonic()
            if now - shown > asked.show:
                loss = float(torch.stack(losses).mean())
                line = {"seconds": round(gone, 1), "step": run.step, "tokens": run.tokens, "loss": round(loss, 4),
                        "waited": round(feed.waited, 1)}  # fmt: skip
                print(json.dumps(line), flush=True)
                log.append(line)
                losses, shown = [], now
            if now - written > 120:
                run.write(asked.out, {"log": log, "tokens": run.tokens})
                written = now
    finally:
        feed.close()
        told = {
            "log": log,
            "steps": run.step,
            "tokens": run.tokens,
            "waited": feed.waited,
            "asked": _plain(asked),
        }
        run.write(asked.out, told)  # first what was learned, then what it is worth
    told |= run.judged()
    run.write(asked.out, told)
    print(json.dumps({k: v for k, v in told.items() if k != "log"}), flush=True)


def _plain(asked: argparse.Namespace) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in vars(asked).items() if k != "run"}


def join(parts: Path, out: Path) -> None:
    """Make a checkpoint of what a run wrote; the settings of a checkpoint that is there stay."""
    from melodygen.generation.neural import style_to_json
    from melodygen.nets.checkpoint import CONFIG, read_config, save_checkpoint
    from melodygen.registry import list_styles

    record = json.loads((parts / "run.json").read_text())
    files = sorted(parts.glob("weights.*"), key=lambda p: int(p.suffix[1:]))
    blob, at, state = b"".join(p.read_bytes() for p in files), 0, {}
    for name, shape in record["tensors"].items():
        count = math.prod(shape)
        values = np.frombuffer(blob, dtype=np.float16, count=count, offset=at).reshape(shape)
        state[name], at = torch.from_numpy(values.astype(np.float32)), at + 2 * count
    net = Transformer(VOCABULARY.size, **record["net"])
    net.load_state_dict(state)
    known = list_styles()
    numbers = sum(p.numel() for p in net.parameters())
    config: dict[str, Any] = {
        "kind": "generator", "name": out.name, "summary": f"transformer, {numbers / 1e6:.1f} M parameters, ten styles",
        "net": {"type": "transformer", **record["net"]}, "vocabulary_id": VOCABULARY.vocabulary_id,
        "styles": [style_to_json(known[s]) for s in STYLES], "density_quantiles": {},
        "provenance": {k: v for k, v in record.items() if k not in ("tensors", "log", "net")},
    }  # fmt: skip
    card = f"# {out.name}\n"
    if (out / CONFIG).is_file():
        config = {**read_config(out, "generator"), **config}
        card = (out / "README.md").read_text(encoding="utf-8")
    save_checkpoint(out, net, config, card)
    print(f"{out}: {numbers / 1e6:.1f} M parameters, {record.get('tokens', 0) / 1e6:.0f} M tokens")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="run", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("folder", type=Path)
    packing.add_argument("out", type=Path)
    joining = commands.add_parser("join")
    joining.add_argument("parts", type=Path)
    joining.add_argument("out", type=Path)
    training = commands.add_parser("train")
    training.add_argument("--shards", type=Path, default=Path("device/shards.xz"))
    training.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "device/out")))
    numbers = {
        "seconds": 540.0, "rate": 3e-3, "embedding-rate": 3e-3, "decay": 0.5, "average": 0.998, "show": 15.0,
        "width": 384, "layers": 8, "heads": 6, "length": 1024, "rows": 64, "worker-rows": 4, "workers": 15,
        "threads": 1, "valid": 24, "seed": 1,
    }  # fmt: skip
    for name, default in numbers.items():
        training.add_argument(f"--{name}", type=type(default), default=default)
    training.add_argument(
        "--compile", action="store_true", help="torch.compile: a minute of start for faster steps"
    )
    return parser.parse_args()


def main() -> None:
    asked = parsed()
    if asked.run == "pack":
        pack_shards(asked.folder, asked.out)
    elif asked.run == "join":
        join(asked.parts, asked.out)
    else:
        train(asked)


if __name__ == "__main__":
    main()
