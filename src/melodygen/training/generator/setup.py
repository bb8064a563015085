"""The beginning of a run: the folder read into shards, old styles written for replay, everything open decided.

What was decided goes to ``run.json``; from it and the shards every process, and every resumed run, prepares the same.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from melodygen.data.census import Census, read_census, write_report
from melodygen.data.dataset import PLAIN, ExampleSampler
from melodygen.data.scan import SourceFile, file_sha256, find_files
from melodygen.data.shards import PieceInfo, Shards, ShardWriter, build_shards, load_shards, save_shards
from melodygen.errors import CorpusError, UsageError
from melodygen.generation.neural import NETS, NeuralGenerator
from melodygen.nets import checkpoint as checkpoints
from melodygen.nets.precision import has_bf16
from melodygen.styles.style import Style
from melodygen.tokens.vocabulary import STYLE_SLOTS, VOCABULARY
from melodygen.training.distributed import DistributedContext
from melodygen.training.generator.config import CONTEXT, SIZES, TrainingConfig, check_style_name
from melodygen.training.generator.fine_tuning import Watcher, write_known
from melodygen.training.generator.record import BaseModel, RunRecord
from melodygen.training.generator.run import measure_pace, prepare
from melodygen.training.generator.style_profile import StyleProfile
from melodygen.training.generator.trainer import validation_loss

MIN_PIECES = 2
SMALL_CORPUS_TOKENS = 5_000_000
"""Below that a net from nothing learns with dropout."""
NEAREST_STREAM = 11
"""Random stream of the examples by which styles are compared."""
CPU_ROWS = 2
"""Rows of a part of a batch on a CPU: more take memory and are no faster."""


@dataclass(frozen=True)
class _Beginning:
    """Where a run begins: the base model (None: from nothing), the net's arguments, all styles, seconds of replay."""

    base: BaseModel | None
    net: Mapping[str, Any]
    styles: tuple[Style, ...]
    replay_seconds: float = 0.0


@dataclass(frozen=True)
class _Schedule:
    """How a run learns: what the config leaves open is decided from the data."""

    steps: int
    dropout: float
    optimizer: str
    learning_rate: float


def begin_run(
    folder: Path,
    work: Path,
    config: TrainingConfig,
    device: torch.device,
    context: DistributedContext,
    workers: int,
    watcher: Watcher,
) -> RunRecord:
    """Read the folder, write replay, decide what is open, and write ``run.json``. Only the leading process calls this.

    Args:
        folder: the music.
        work: where shards, replay and record go.
        config: what was asked for.
        device: what will learn.
        context: the processes that learn together.
        workers: processes that read files.
        watcher: sees how far it is.
    """
    files, name = find_files(folder, config.style), folder.resolve().name
    census, profiles = read_corpus(files, folder, work / "shards", workers, watcher)
    write_report(work / "files.csv", census.rows)
    shards = load_shards(work / "shards")
    found = {style: profile.style(name) for style, profile in profiles.items()}
    if config.fresh:
        net = {"type": config.net, **SIZES[config.net][config.size], "context": CONTEXT}
        beginning = _Beginning(None, net, tuple(found.values()))
    else:
        beginning = _from_base(config, found, shards, work, device, watcher)
    if len(beginning.styles) > STYLE_SLOTS:
        raise UsageError(
            f"{len(beginning.styles)} styles are more than the {STYLE_SLOTS} a model has room for: put sub-folders "
            "together, or name one style for all with --style"
        )
    train_tokens = count_tokens(shards, "train")
    schedule = _schedule(
        config, str(beginning.net["type"]), train_tokens, context.size, (work / "replay").is_dir()
    )
    record = RunRecord(
        config=config, folder=name, data_id=data_id(files), processes=context.size, base=beginning.base,
        net=beginning.net, styles=beginning.styles, new=tuple(found), **vars(schedule),
        accumulate=config.accumulate or (-(-config.rows // CPU_ROWS) if device.type == "cpu" else 1),
        bf16=has_bf16(device), train_tokens=train_tokens, summary=census.summary(),
        replay_seconds=round(beginning.replay_seconds, 1),
    )  # fmt: skip
    if config.minutes is not None:
        watcher.stage("measuring the pace", 0.0)
        seconds = measure_pace(prepare(work, record, device, DistributedContext()))
        record = replace(record, steps=max(10, round(config.minutes * 60 / seconds)))
    record.write(work)
    return record


def _from_base(
    config: TrainingConfig,
    found: Mapping[str, Style],
    shards: Shards,
    work: Path,
    device: torch.device,
    watcher: Watcher,
) -> _Beginning:
    """Begin from a checkpoint: which known styles the new ones are like, and replay of those that are kept."""
    source = checkpoints.resolve(config.source, checkpoints.DEFAULT_GENERATOR)
    generator, table = NeuralGenerator.from_folder(source), checkpoints.read_config(source, "generator")
    watcher.stage("comparing styles", 0.0)
    arguments = dict(table["net"])
    flat = {k: v for k, v in arguments.items() if k not in ("type", "dropout")}
    net = NETS[arguments["type"]](VOCABULARY.size, **flat)
    checkpoints.load_weights(source, net)
    unknown = [name for name in found if name not in generator.style_info]
    base = BaseModel(
        str(source.resolve()), generator.model_id, checkpoints.weights_sha256(source), table["vocabulary_id"],
        table.get("density_quantiles", {}), table.get("logit_bias", {}), table.get("sampling", {}),
        nearest_styles(net.to(device), generator.styles, shards, unknown),
    )  # fmt: skip
    styles = (*generator.style_info.values(), *(found[name] for name in unknown))
    kept = [name for name in generator.style_info if name not in found]
    if config.replay == 0 or not kept:
        return _Beginning(base, arguments, styles)
    started = time.monotonic()
    pieces = write_known(generator, kept, config.replay_pieces, config.seed, work / "replay-midi", watcher)
    seconds = time.monotonic() - started
    save_shards(work / "replay", build_shards(pieces))
    return _Beginning(base, arguments, styles, seconds)


def _schedule(
    config: TrainingConfig, net_type: str, train_tokens: int, processes: int, has_replay: bool
) -> _Schedule:
    """Steps for some passes over the new music, dropout on little data, the optimizer that suits the net."""
    new_share = 1.0 - config.replay if has_replay else 1.0
    passes, least, most = (30, 300, 20_000) if config.fresh else (12, 150, 2_000)
    tokens_a_step = config.rows * processes * config.length * new_share
    steps = config.steps or int(np.clip(passes * train_tokens / tokens_a_step, least, most))
    # a net that learned without dropout forgets while it gets used to it; validation stops it in time anyway
    small = config.fresh and train_tokens < SMALL_CORPUS_TOKENS
    dropout = config.dropout if config.dropout is not None else (0.1 if small else 0.0)
    optimizer = config.optimizer or ("muon" if net_type == "transformer" else "adamw")
    rate = config.learning_rate
    if rate is None:
        rate = (3e-3 if config.fresh else 2e-4) * (1.0 if optimizer == "muon" else 0.4)
    return _Schedule(steps, dropout, optimizer, rate)


def read_corpus(
    files: Sequence[SourceFile], folder: Path, shards: Path, workers: int, watcher: Watcher
) -> tuple[Census, dict[str, StyleProfile]]:
    """Read ``files`` into ``shards``. Raises CorpusError where too little can be used."""
    census, done = Census(), 0
    profiles: dict[str, StyleProfile] = {}

    def on_read(count: int) -> None:
        nonlocal done
        done += count
        watcher.stage(f"reading {done}/{len(files)}", done / len(files))

    writer = ShardWriter(shards)
    for intake in read_census(files, workers, on_read):
        census.add(intake)
        if intake.info is not None and intake.encoded is not None:
            writer.add(intake.encoded, intake.info)
            if intake.file.kind != "drums":
                profiles.setdefault(intake.file.style, StyleProfile(intake.file.style)).add(intake)
    writer.close(split_anew(writer.pieces))
    if not profiles:
        raise CorpusError(census.nothing_usable(folder) + " ('melodygen corpus' lists every file)")
    for name, profile in profiles.items():
        check_style_name(name)
        if profile.count < MIN_PIECES:
            raise CorpusError(
                f"{folder}: style {name!r} has one usable file of {len(census.rows)}; at least {MIN_PIECES} "
                f"are needed (one is "
                "kept for validation, and a single piece would be copied, not learned)"
            )
    return census, profiles


def split_anew(pieces: Sequence[PieceInfo]) -> list[PieceInfo]:
    """Each style has pieces to learn from and at least one to validate on."""
    result = list(pieces)
    for style in {p.style for p in pieces if p.kind != "drums"}:
        own = [i for i, p in enumerate(pieces) if p.style == style and p.kind != "drums"]
        splits = {pieces[i].split for i in own}
        if len(own) >= MIN_PIECES and "valid" not in splits:
            result[own[-1]] = replace(result[own[-1]], split="valid")
        elif len(own) >= MIN_PIECES and "train" not in splits:
            for i in own[:-1]:
                result[i] = replace(result[i], split="train")
    return result


def nearest_styles(
    net: nn.Module, known: Sequence[str], shards: Shards, new: Sequence[str], pieces: int = 6
) -> dict[str, str]:
    """For each new style the known one under whose name its music costs the net least."""
    device = next(net.parameters()).device
    sampler = ExampleSampler(shards, "train", new, PLAIN, max_tokens=600)
    nearest = {}
    for name in new:
        rng = np.random.default_rng(NEAREST_STREAM)
        examples = [sampler.draw(rng, name) for _ in range(pieces)]
        costs = {}
        for slot, name_of in enumerate(known):
            asked = [replace(e, ids=e.ids.copy()) for e in examples]
            for example in asked:
                example.ids[1] = VOCABULARY.id("style", 1 + slot)
            costs[name_of] = validation_loss(net, asked, bf16=has_bf16(device))[0]
        nearest[name] = min(costs, key=costs.__getitem__)
    return nearest


def count_tokens(shards: Shards, split: str) -> int:
    """Tokens of the pieces of one split, with a bar token for each bar."""
    lengths = np.asarray(shards.arrays["lengths"]).sum(axis=1, dtype=np.int64)
    return sum(
        int(lengths[p.first_bar : p.first_bar + p.num_bars].sum()) + p.num_bars
        for p in shards.pieces
        if p.split == split
    )


def data_id(files: Sequence[SourceFile]) -> str:
    """Changes when a file or its style does."""
    digest = hashlib.sha256()
    hashes: dict[Path, str] = {}
    for file in files:
        if file.path not in hashes:
            try:
                hashes[file.path] = file_sha256(file.path)[0]
            except OSError:
                hashes[file.path] = "unreadable"
        digest.update(repr((file.name, file.style, file.split, file.kind, hashes[file.path])).encode())
    return digest.hexdigest()


def check_resumed(
    record: RunRecord, folder: Path, config: TrainingConfig, given: set[str], context: DistributedContext
) -> TrainingConfig:
    """The config of the run to be resumed.

    Args:
        record: of the run.
        folder: the music, as it is now.
        config: what is asked for now; only the options in ``given`` are compared.
        given: names of the options that were written.
        context: the processes that learn together now.

    Raises:
        UsageError: options or processes have changed.
        CorpusError: the files have changed.
    """
    before = record.config
    for name in sorted(given):
        if getattr(config, name) != getattr(before, name):
            option = {"source": "from"}.get(name, name).replace("_", "-")
            raise UsageError(
                f"--resume with --{option} {getattr(config, name)}: the run was begun with {getattr(before, name)}; "
                "leave the option out, or start again with --force"
            )
    if record.processes != context.size:
        raise UsageError(f"--resume with {context.size} processes: the run was begun with {record.processes}")
    if data_id(find_files(folder, before.style)) != record.data_id:
        raise CorpusError(
            f"--resume: the files in {folder} are not those the run was begun with; put them back, or start again "
            "with --force"
        )
    return before
