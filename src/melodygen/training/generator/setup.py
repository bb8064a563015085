"""The beginning of a run: the folder read into shards, old styles written for replay, everything open decided.

What was decided goes to ``run.json``; from it and the shards every process, and every resumed run, prepares the same.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from melodygen.atomic import atomic_path
from melodygen.data.census import Census, read_census, write_report
from melodygen.data.dataset import PLAIN, ExampleSampler
from melodygen.data.scan import SourceFile, file_sha256, find_files
from melodygen.data.shards import PieceInfo, Shards, ShardWriter, build_shards, load_shards, save_shards
from melodygen.errors import CheckpointError, CorpusError, UsageError
from melodygen.generation.neural import NETS, NeuralGenerator, style_to_json
from melodygen.nets import checkpoint as checkpoints
from melodygen.nets.precision import has_bf16
from melodygen.tokens.vocabulary import STYLE_SLOTS, VOCABULARY
from melodygen.training.distributed import DistributedContext
from melodygen.training.generator.config import CONTEXT, SIZES, TrainingConfig, check_style_name
from melodygen.training.generator.fine_tuning import Watcher, write_known
from melodygen.training.generator.run import measure_pace, prepare
from melodygen.training.generator.style_profile import StyleProfile
from melodygen.training.generator.trainer import validation_loss

RUN_VERSION = 3
MIN_PIECES = 2
CPU_ROWS = 2
"""Rows of a part of a batch on a CPU: more take memory and are no faster."""


def begin(
    folder: Path,
    work: Path,
    plan: TrainingConfig,
    device: torch.device,
    crew: DistributedContext,
    workers: int,
    watcher: Watcher,
) -> dict[str, Any]:
    """Read the folder, write replay, decide what is open; everything goes to ``work``. Gives the run's record.

    Only the leading process calls this.
    """
    files = find_files(folder, plan.style)
    folder_name = folder.resolve().name
    census, profiles = read_corpus(files, folder, work / "shards", workers, watcher)
    write_report(work / "files.csv", census.rows)
    shards = load_shards(work / "shards")
    found = {name: profile.style(folder_name) for name, profile in profiles.items()}
    base: dict[str, Any] = {}
    replay_seconds = 0.0
    if plan.fresh:
        arguments: dict[str, Any] = {"type": plan.net, **SIZES[plan.net][plan.size], "context": CONTEXT}
        styles = list(found.values())
    else:
        source = checkpoints.resolve(plan.source, checkpoints.DEFAULT_GENERATOR)
        generator = NeuralGenerator.from_folder(source)
        config = checkpoints.read_config(source, "generator")
        watcher.stage("hearing what is nearest", 0.0)
        arguments = dict(config["net"])
        make, flat = (
            NETS[arguments["type"]],
            {k: v for k, v in arguments.items() if k not in ("type", "dropout")},
        )
        net = make(VOCABULARY.size, **flat)
        checkpoints.load_weights(source, net)
        unknown = [n for n in found if n not in generator.style_info]
        nearest = nearest_styles(net.to(device), generator.styles, shards, unknown)
        base = {
            "path": str(source.resolve()), "model_id": generator.model_id, "sha256": checkpoints.weights_sha256(source),
            "vocabulary_id": config["vocabulary_id"],
            "density_quantiles": config.get("density_quantiles", {}), "nearest": nearest,
            "logit_bias": config.get("logit_bias", {}), "sampling": config.get("sampling", {}),
        }  # fmt: skip
        styles = [
            *generator.style_info.values(),
            *(s for n, s in found.items() if n not in generator.style_info),
        ]
        kept = [n for n in generator.style_info if n not in found]
        if plan.replay > 0 and kept:
            begun = time.monotonic()
            pieces = write_known(
                generator, kept, plan.replay_pieces, plan.seed, work / "replay-midi", watcher
            )
            replay_seconds = time.monotonic() - begun
            save_shards(work / "replay", build_shards(pieces))
    if len(styles) > STYLE_SLOTS:
        raise UsageError(
            f"{len(styles)} styles are more than the {STYLE_SLOTS} a model has room for: put sub-folders "
            f"together, or name "
            "one style for all with --style"
        )
    train_tokens = count_tokens(shards, "train")
    new_share = 1.0 if not (work / "replay").is_dir() else 1.0 - plan.replay
    passes, least, most = (30, 300, 20_000) if plan.fresh else (12, 150, 2_000)
    a_step = plan.rows * crew.size * plan.length * new_share
    steps = plan.steps or int(np.clip(passes * train_tokens / a_step, least, most))
    # a net that learned without dropout forgets while it gets used to it; validation stops it in time anyway
    small = plan.fresh and train_tokens < 5_000_000
    dropout = plan.dropout if plan.dropout is not None else (0.1 if small else 0.0)
    optimizer = plan.optimizer or ("muon" if arguments["type"] == "transformer" else "adamw")
    rate = plan.learning_rate
    if rate is None:
        rate = (3e-3 if plan.fresh else 2e-4) * (1.0 if optimizer == "muon" else 0.4)
    record: dict[str, Any] = {
        "run_version": RUN_VERSION, "melodygen": version("melodygen"), "vocabulary_id": VOCABULARY.vocabulary_id,
        "plan": asdict(plan), "folder": folder_name, "data_id": data_id(files), "processes": crew.size,
        "base": base, "net": arguments, "styles": [style_to_json(s) for s in styles], "new": list(found),
        "steps": steps, "dropout": dropout, "optimizer": optimizer, "learning_rate": rate,
        "accumulate": plan.accumulate or (-(-plan.rows // CPU_ROWS) if device.type == "cpu" else 1),
        "bf16": has_bf16(device), "train_tokens": train_tokens, "summary": census.summary(),
        "replay_seconds": round(replay_seconds, 1),
    }  # fmt: skip
    if plan.minutes is not None:
        watcher.stage("measuring the pace", 0.0)
        seconds = measure_pace(prepare(work, record, device, DistributedContext()))
        record["steps"] = max(10, round(plan.minutes * 60 / seconds))
    with atomic_path(work / "run.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


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
        rng = np.random.default_rng(11)
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
    record: dict[str, Any], folder: Path, plan: TrainingConfig, given: set[str], crew: DistributedContext
) -> TrainingConfig:
    """The plan of the run to be resumed. Raises UsageError where data or options have changed."""
    if record.get("run_version") != RUN_VERSION or record.get("vocabulary_id") != VOCABULARY.vocabulary_id:
        raise CheckpointError(
            f"the run was begun by melodygen {record.get('melodygen')} (vocabulary "
            f"{record.get('vocabulary_id')}) and cannot be "
            "resumed by this one; start again with --force"
        )
    before = TrainingConfig(**record["plan"])
    for name in sorted(given):
        if getattr(plan, name) != getattr(before, name):
            option = {"source": "from"}.get(name, name).replace("_", "-")
            raise UsageError(
                f"--resume with --{option} {getattr(plan, name)}: the run was begun with "
                f"{getattr(before, name)}; leave the "
                "option out, or start again with --force"
            )
    if record["processes"] != crew.size:
        raise UsageError(f"--resume with {crew.size} processes: the run was begun with {record['processes']}")
    if data_id(find_files(folder, before.style)) != record["data_id"]:
        raise CorpusError(
            f"--resume: the files in {folder} are not those the run was begun with; put them back, or start again "
            "with --force"
        )
    return before
