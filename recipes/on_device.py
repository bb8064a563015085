"""Train a generator by its recipe, against the clock, on a machine that has an accelerator for some minutes, and little
else.

    python recipes/on_device.py pack WORK/shards device               # here: all that training needs
    sh recipes/on_device.sh --seconds 540                             # there: unpack, train, evaluate, write
    python recipes/on_device.py join OUT WORK/shards models/NAME      # here: the parts become a checkpoint

``pack`` writes the shards, the recipe, and the weights that the recipe starts from; with them travel ``src`` and
``recipes``. There it needs Python 3.11 or later, torch, numpy and safetensors. Worker processes draw and augment the
examples, so that the device never waits; the rate rises, stays, and falls by the clock; what is written is the moving
average of the weights, in parts of less than 16 MiB, at the end and every two minutes before.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import multiprocessing
import os
import shutil
import sys
import time
from dataclasses import asdict, replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from melodygen.data.dataset import PLAIN, Example, ExampleSampler, pack
from melodygen.data.shards import PieceInfo, Shards, load_shards
from melodygen.generation.neural import NETS
from melodygen.nets.checkpoint import WEIGHTS, load_weights, resolve
from melodygen.nets.precision import has_bf16
from melodygen.styles.loader import built_in_styles
from melodygen.tokens.vocabulary import DURATIONS, SEGMENT_ROLES, VOCABULARY
from melodygen.training.generator.trainer import (
    GeneratorRecipe,
    GeneratorTraining,
    schedule,
    validation_loss,
)

MIB = 1024 * 1024
PART_BYTES, MAX_PARTS = 15 * MIB, 7
"""What comes back: eight files of less than 16 MiB, one of them ``run.json``."""
MAX_SHARDS_BYTES = 10 * MIB
SHARDS, RECIPE = "shards.xz", "recipe.json"
VALIDATION_SEED = 7
KINDS = np.array([[k for k, _ in VOCABULARY.table()].index(kind) for kind in VOCABULARY.kinds])
VALUES = np.array(VOCABULARY.values)


def pack_all(spec: str, folder: Path, out: Path) -> None:
    """Write what travels: the shards, the recipe, and the weights it starts from.

    The recipe is written as JSON, since a reader of recipes needs packages that are not there.
    """
    from melodygen.training.recipes.recipe import find_generator_recipe

    recipe = find_generator_recipe(spec)
    if own := [name for name in recipe.styles if name not in built_in_styles()]:
        raise SystemExit(f"recipe {spec}: {', '.join(own)} is not built in, and users' styles do not travel")
    out.mkdir(parents=True, exist_ok=True)
    training = asdict(recipe.training)
    del training["bf16"]  # the device knows what it multiplies fastest
    net = {"type": recipe.net.type, "dropout": recipe.net.dropout, **recipe.net.arguments()}
    packed = {
        "recipe": spec,
        "styles": recipe.styles,
        "net": net,
        "training": training,
        "start": recipe.start,
    }
    (out / RECIPE).write_text(json.dumps(packed, indent=1) + "\n", encoding="utf-8")
    (out / WEIGHTS).unlink(missing_ok=True)
    if recipe.start:
        shutil.copyfile(resolve(recipe.start, recipe.start) / WEIGHTS, out / WEIGHTS)
    pack_shards(folder, out / SHARDS)


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
    size = out.stat().st_size
    print(f"{out}: {size / MIB:.1f} MiB, {len(shards.pieces)} pieces, {shards.num_tokens} tokens")
    if size > MAX_SHARDS_BYTES:
        raise SystemExit(f"{out} is larger than {MAX_SHARDS_BYTES // MIB} MiB; pack shards of fewer pieces")


def _row(piece: PieceInfo) -> list[Any]:
    return [
        piece.path,
        piece.style,
        piece.source,
        piece.split,
        piece.kind,
        piece.num_bars,
        piece.qpm,
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
    for name, style, source, split, which, count, qpm, blocks in record["pieces"]:
        infos.append(PieceInfo(name, style, source, split, which, "", first, count, qpm, "", blocks))
        first += count
    arrays: dict[str, NDArray[np.generic]] = {
        "tokens": tokens, "starts": starts, "lengths": lengths, "pitch_classes": classes, "chords": chords,
        "notes": notes.astype(np.int16).reshape(-1, roles), "meters": np.frombuffer(blobs["meters"], dtype="i1"),
    }  # fmt: skip
    return Shards(arrays, tuple(infos))


def draw(
    sampler: ExampleSampler, number: int, recipe: GeneratorRecipe, rows: int, queue: Queue[NDArray[np.int16]]
) -> None:
    """A worker: ``rows`` rows of a batch, one time after another, for as long as somebody takes them."""
    rng = np.random.default_rng([recipe.seed, number])
    while True:
        queue.put(pack(sampler, rows, recipe.length, rng))


class Feed:
    """Batches (rows, length + 1) from worker processes, each of which draws ``worker_rows`` rows at a time."""

    def __init__(
        self, sampler: ExampleSampler, recipe: GeneratorRecipe, workers: int, worker_rows: int
    ) -> None:
        context = multiprocessing.get_context("fork")  # the shards are shared
        self._queue: Queue[NDArray[np.int16]] = context.Queue(maxsize=8 * workers)
        self._rows = recipe.rows
        self.waited = 0.0
        size = min(worker_rows, recipe.rows)
        self._workers = [
            context.Process(target=draw, args=(sampler, n, recipe, size, self._queue), daemon=True)
            for n in range(workers)
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


class Run:
    """A training against the clock by a recipe, of which ``packed`` says what net it is and how that starts."""

    def __init__(
        self,
        asked: argparse.Namespace,
        packed: dict[str, Any],
        recipe: GeneratorRecipe,
        sampler: ExampleSampler,
    ) -> None:
        self.packed = packed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.recipe = replace(recipe, bf16=has_bf16(self.device))
        torch.manual_seed(self.recipe.seed)
        torch.backends.cuda.matmul.allow_tf32 = True
        make, arguments = NETS[packed["net"]["type"]], {k: v for k, v in packed["net"].items() if k != "type"}
        net = make(VOCABULARY.size, **arguments)
        if packed["start"]:
            load_weights(asked.device, net)
        size = 2 * sum(t.numel() for t in net.state_dict().values())
        if size > MAX_PARTS * PART_BYTES:
            raise SystemExit(
                f"weights of {size / MIB:.0f} MiB cannot come back: {MAX_PARTS * PART_BYTES // MIB} MiB at most"
            )
        self.judge = make(VOCABULARY.size, **arguments).to(self.device)
        net = net.to(self.device)
        if asked.compile:
            net.compile()
        self.training = GeneratorTraining(net, sampler, self.recipe)
        kept = replace(sampler, split="valid")
        self.valid = self._kept(kept, asked.valid)
        self.plain = self._kept(replace(kept, views=PLAIN), asked.valid)

    def _kept(self, sampler: ExampleSampler, count: int) -> list[Example]:
        """``count`` validation examples of each style, and of drum takes."""
        rng = np.random.default_rng(VALIDATION_SEED)
        names = [n for n in (*self.packed["styles"], "drums") if n in sampler.style_names]
        return [sampler.draw(rng, name) for name in names for _ in range(count)]

    def judged(self) -> dict[str, float]:
        """Nats a token of the averaged weights on validation titles, as trained on and as written."""
        self.judge.load_state_dict(self.training.average)
        return {
            name: validation_loss(self.judge, examples, 32, bf16=self.recipe.bf16)[0]
            for name, examples in (("valid", self.valid), ("plain", self.plain))
        }

    def write(self, out: Path, told: dict[str, Any]) -> None:
        """The average in float16: ``weights.N`` of less than 16 MiB, and ``run.json`` that says what is in them."""
        out.mkdir(parents=True, exist_ok=True)
        tensors = {k: v.to("cpu", torch.float16).contiguous() for k, v in self.training.average.items()}
        blob = b"".join(t.numpy().tobytes() for t in tensors.values())
        for number, at in enumerate(range(0, len(blob), PART_BYTES)):
            (out / f"weights.{number}").write_bytes(blob[at : at + PART_BYTES])
        shapes = {k: list(t.shape) for k, t in tensors.items()}
        record = {**self.packed, "training": asdict(self.recipe), "tensors": shapes,
                  "steps": self.training.step, "tokens": self.training.tokens, **told}  # fmt: skip
        (out / "run.json").write_text(json.dumps(record))


def rate(recipe: GeneratorRecipe, share: float) -> float:
    """Factor of the peak learning rates when a share of the time is gone: up in 2 %, level, down as the recipe says."""
    return schedule(round(1000 * share), replace(recipe, steps=1000, warmup=20))


def train(asked: argparse.Namespace) -> None:
    begun = time.monotonic()
    torch.set_num_threads(max(1, asked.threads))
    packed = json.loads((asked.device / RECIPE).read_text(encoding="utf-8"))
    recipe = GeneratorRecipe(**packed["training"])
    recipe = replace(recipe, rows=asked.rows, seed=recipe.seed if asked.seed < 0 else asked.seed)
    shards, known = unpack_shards(asked.device / SHARDS), built_in_styles()
    sampler = ExampleSampler(shards, "train", packed["styles"], known=known)
    feed = Feed(sampler, recipe, asked.workers, asked.worker_rows)  # processes are forked before CUDA starts
    run = Run(asked, packed, recipe, sampler)
    started = time.monotonic()
    print(f"ready in {started - begun:.1f} s on {run.device}", flush=True)
    ends = begun + asked.seconds - min(60.0, 0.15 * asked.seconds)  # what is left is for the evaluation
    log: list[dict[str, Any]] = []
    shown = written = started
    losses: list[Tensor] = []
    try:
        while (now := time.monotonic()) < ends and run.training.step != asked.steps:
            tokens = feed.batch().to(run.device, non_blocking=True)
            losses.append(run.training.advance(tokens, rate(recipe, (now - started) / (ends - started))))
            if now - shown > asked.show:
                log.append(
                    {"seconds": round(now - begun, 1), "step": run.training.step, "tokens": run.training.tokens,
                     "loss": round(float(torch.stack(losses).mean()), 4), "waited": round(feed.waited, 1)}
                )  # fmt: skip
                print(json.dumps(log[-1]), flush=True)
                losses, shown = [], now
            if now - written > 120:
                run.write(asked.out, {"log": log})
                written = now
    finally:
        feed.close()
        told: dict[str, Any] = {
            "log": log,
            "seconds": round(time.monotonic() - begun, 1),
            "waited": round(feed.waited, 1),
        }
        run.write(asked.out, told)  # first what was learned, then what it is worth
    told |= run.judged()
    run.write(asked.out, told)
    told |= {"steps": run.training.step, "tokens": run.training.tokens}
    print(json.dumps({k: v for k, v in told.items() if k != "log"}), flush=True)


def join(parts: Path, folder: Path, out: Path) -> None:
    """Make a checkpoint of what a run wrote, as ``melodygen recipe run`` makes it of what it trained."""
    from melodygen.training.recipes.generator import finish_generator
    from melodygen.training.recipes.recipe import find_generator_recipe

    record = json.loads((parts / "run.json").read_text())
    files = sorted(parts.glob("weights.*"), key=lambda p: int(p.suffix[1:]))
    blob, at, state = b"".join(p.read_bytes() for p in files), 0, {}
    for name, shape in record["tensors"].items():
        count = math.prod(shape)
        values = np.frombuffer(blob, dtype=np.float16, count=count, offset=at).reshape(shape)
        state[name], at = torch.from_numpy(values.astype(np.float32)), at + 2 * count
    recipe = find_generator_recipe(record["recipe"])
    recipe = replace(recipe, training=GeneratorRecipe(**record["training"]))
    net = NETS[recipe.net.type](VOCABULARY.size, **recipe.net.arguments())
    net.load_state_dict(state)
    trained = {"steps": record["steps"], "tokens": record["tokens"],
               "valid_nats_per_token": round(record.get("valid", math.nan), 4)}  # fmt: skip
    finish_generator(recipe, load_shards(folder), net, trained, out, print)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="run", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("folder", type=Path, help="shards, as recipe run leaves them in OUT/.work/shards")
    packing.add_argument("out", type=Path)
    packing.add_argument("--recipe", default="melodygen-transformer", help="a name or a .toml file")
    joining = commands.add_parser("join")
    joining.add_argument("parts", type=Path, help="the folder that came back")
    joining.add_argument("folder", type=Path, help="the shards that were packed")
    joining.add_argument("out", type=Path)
    training = commands.add_parser("train")
    training.add_argument("--device", type=Path, default=Path("device"), help="the folder that pack wrote")
    training.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "device/out")))
    for name, default, says in (
        ("seconds", 540.0, "for all, from the start of the program"),
        ("steps", 0, "stop after so many; 0: as many as the time holds"),
        ("rows", 64, "rows a step: in place of the recipe's, which are for two cores"),
        ("worker-rows", 4, "rows that a worker draws at a time"),
        ("workers", 15, "processes that draw examples"),
        ("threads", 1, "threads of torch on the CPU"),
        ("valid", 24, "validation examples a style"),
        ("show", 15.0, "seconds between lines of the log"),
        ("seed", -1, "in place of the recipe's; -1: the recipe's"),
    ):
        training.add_argument(f"--{name}", type=type(default), default=default, help=says)
    training.add_argument(
        "--compile", action="store_true", help="torch.compile: a minute of start for faster steps"
    )
    return parser.parse_args(arguments)


def main() -> None:
    asked = parsed()
    if asked.run == "pack":
        pack_all(asked.recipe, asked.folder, asked.out)
    elif asked.run == "join":
        join(asked.parts, asked.folder, asked.out)
    else:
        train(asked)


if __name__ == "__main__":
    main()
