"""A training run from a folder of music to a checkpoint folder, that can be stopped, killed and resumed.

While it goes on, everything lies in ``OUT/.work``: ``run.json`` (what was asked, from what), ``shards`` and ``replay``
(tokens, memory-mapped), ``state.pt`` (written whole every few minutes). The steps, the batches and the moments of
validation are fixed when the run begins and do not depend on the clock, so a resumed run ends as an unbroken one.
"""

from __future__ import annotations

import copy
import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from melodygen import checkpoints
from melodygen.atomic import atomic_path
from melodygen.corpus.examples import PLAIN, Example, ExampleSampler, Views
from melodygen.corpus.intake import Census, take_in_folder, write_report
from melodygen.corpus.scan import SourceFile, find_files
from melodygen.corpus.shards import PieceInfo, Shards, ShardWriter, build_shards, load_shards, save_shards
from melodygen.errors import CheckpointError, CorpusError, MelodygenError, OutputExistsError, UsageError
from melodygen.generators.neural import NETS, NeuralGenerator, style_to_json
from melodygen.styles import Style
from melodygen.tokens.vocabulary import STYLE_SLOTS, VOCABULARY
from melodygen.training.card import generator_card, plot_curves
from melodygen.training.distributed import Crew, has_bf16
from melodygen.training.generator import GeneratorRecipe, validation_loss
from melodygen.training.profile import StyleProfile
from melodygen.training.tuning import Tuning, Watcher, write_known

RUN_VERSION = 1
MIN_PIECES = 2
SIZES: dict[str, dict[str, dict[str, int]]] = {
    "transformer": {
        "tiny": {"width": 64, "layers": 2, "heads": 2}, "small": {"width": 256, "layers": 6, "heads": 4},
        "base": {"width": 384, "layers": 8, "heads": 6}, "large": {"width": 768, "layers": 12, "heads": 12},
    },
    "lstm": {
        "tiny": {"width": 64, "hidden": 128, "layers": 1}, "small": {"width": 256, "hidden": 768, "layers": 2},
        "base": {"width": 384, "hidden": 1024, "layers": 2}, "large": {"width": 768, "hidden": 1536, "layers": 3},
    },
}  # fmt: skip
CONTEXT = 1024


class Stopped(MelodygenError):
    """The run was asked to stop, and can be resumed."""

    exit_code = 130


@dataclass(frozen=True)
class Plan:
    """What decides the result. None: chosen from the folder when the run begins.

    ``source`` is the model to begin from (name or folder), or ``none``. ``rows`` rows of ``length`` tokens a step and
    process. ``replay`` is the share of a batch that holds the old styles, ``replay_pieces`` how many are written for
    each. ``patience`` is how many validations in a row may bring nothing before the run ends.
    """

    style: str | None = None
    source: str = ""
    net: str = "transformer"
    size: str = "small"
    steps: int | None = None
    minutes: float | None = None
    rows: int = 6
    length: int = CONTEXT
    accumulate: int = 1
    learning_rate: float | None = None
    optimizer: str | None = None
    dropout: float | None = None
    weight_decay: float = 0.05
    transpose: bool = True
    replay: float = 0.5
    replay_pieces: int = 24
    patience: int = 4
    classifier: bool = True
    seed: int = 1

    @property
    def fresh(self) -> bool:
        return self.source == "none"


@dataclass
class Point:
    """One validation. Losses in nats a token: new music, and music the old model wrote (None where there is none)."""

    step: int
    train: float | None
    valid: float
    old: float | None


@dataclass
class Progress:
    """What a resumed run must know beside the net and the optimizer."""

    curve: list[Point] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_loss: float = float("inf")
    waited: int = 0
    losses: list[float] = field(default_factory=list)
    finished: bool = False


@dataclass(frozen=True)
class Prepared:
    """A run that may begin. ``order``: styles by slot; ``new``: those of the folder; ``old_net`` frozen, or None."""

    plan: Plan
    steps: int
    recipe: GeneratorRecipe
    shards: Shards
    replay: Shards | None
    order: tuple[str, ...]
    new: tuple[str, ...]
    styles: tuple[Style, ...]
    net_arguments: dict[str, Any]
    net: nn.Module
    old_net: nn.Module | None
    record: dict[str, Any]


def check_plan(plan: Plan) -> None:
    """Raises UsageError for what cannot be."""
    known = SIZES.get(plan.net)
    if known is None:
        raise UsageError(f"--net {plan.net!r} is not known; known: {', '.join(SIZES)}")
    if plan.size not in known:
        raise UsageError(f"--size {plan.size!r} is not known; known: {', '.join(known)}")
    if plan.optimizer not in (None, "muon", "adamw"):
        raise UsageError(f"--optimizer {plan.optimizer!r} is not known; known: muon, adamw")
    if plan.steps is not None and plan.minutes is not None:
        raise UsageError("--steps and --minutes both say how long: give one")
    limits = (
        ("steps", plan.steps, 1, 10_000_000), ("minutes", plan.minutes, 0.01, 100_000), ("rows", plan.rows, 1, 4096),
        ("length", plan.length, 64, CONTEXT), ("accumulate", plan.accumulate, 1, plan.rows),
        ("learning-rate", plan.learning_rate, 1e-7, 1.0), ("dropout", plan.dropout, 0.0, 0.9),
        ("weight-decay", plan.weight_decay, 0.0, 10.0), ("replay", plan.replay, 0.0, 0.9),
        ("replay-pieces", plan.replay_pieces, 2, 10_000), ("patience", plan.patience, 1, 10_000),
        ("seed", plan.seed, 0, 2**31),
    )  # fmt: skip
    for name, value, low, high in limits:
        if value is not None and not low <= value <= high:
            raise UsageError(f"--{name} {value:g} is not {low:g} to {high:g}")
    if plan.style is not None:
        check_style_name(plan.style)


def check_style_name(name: str) -> None:
    if not name.strip() or len(name) > 64 or any(c in name for c in "/\\\n\r\t\0"):
        raise UsageError(f"style {name!r} cannot be a name: 1 to 64 characters, no slash, tab or line break")


def data_id(files: Sequence[SourceFile]) -> str:
    """Changes when a file or its style does."""
    digest = hashlib.sha256()
    hashes: dict[Path, str] = {}
    for file in files:
        if file.path not in hashes:
            try:
                with file.path.open("rb") as stream:
                    hashes[file.path] = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError:
                hashes[file.path] = "unreadable"
        digest.update(repr((file.name, file.style, file.split, file.kind, hashes[file.path])).encode())
    return digest.hexdigest()


def take_in_corpus(
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
    for intake in take_in_folder(files, workers, on_read):
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


def begin(
    folder: Path, work: Path, plan: Plan, device: torch.device, crew: Crew, workers: int, watcher: Watcher
) -> dict[str, Any]:
    """Read the folder, write replay, decide what is open; everything goes to ``work``. Gives the run's record.

    Only the leading process calls this.
    """
    files = find_files(folder, plan.style)
    folder_name = folder.resolve().name
    census, profiles = take_in_corpus(files, folder, work / "shards", workers, watcher)
    write_report(work / "files.csv", census.rows)
    shards = load_shards(work / "shards")
    found = {name: profile.style(folder_name) for name, profile in profiles.items()}
    base: dict[str, Any] = {}
    if plan.fresh:
        arguments: dict[str, Any] = {"type": plan.net, **SIZES[plan.net][plan.size], "context": CONTEXT}
        styles = list(found.values())
    else:
        source = checkpoints.resolve(plan.source, checkpoints.DEFAULT_GENERATOR)
        generator = NeuralGenerator.from_folder(source)
        config = checkpoints.read_config(source, "generator")
        base = {
            "path": str(source.resolve()), "model_id": generator.model_id, "sha256": checkpoints.weights_sha256(source),
            "density_quantiles": config.get("density_quantiles", {}),
        }  # fmt: skip
        arguments = dict(config["net"])
        styles = [
            *generator.style_info.values(),
            *(s for n, s in found.items() if n not in generator.style_info),
        ]
        kept = [n for n in generator.style_info if n not in found]
        if plan.replay > 0 and kept:
            pieces = write_known(
                generator, kept, plan.replay_pieces, plan.seed, work / "replay-midi", watcher
            )
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
    has_muon = hasattr(torch.optim, "Muon")
    optimizer = plan.optimizer or ("muon" if arguments["type"] == "transformer" and has_muon else "adamw")
    if optimizer == "muon" and not has_muon:
        raise UsageError(
            f"--optimizer muon needs torch 2.9 or newer, this is {torch.__version__}; adamw works"
        )
    rate = plan.learning_rate
    if rate is None:
        rate = (3e-3 if plan.fresh else 2e-4) * (1.0 if optimizer == "muon" else 0.4)
    record: dict[str, Any] = {
        "run_version": RUN_VERSION, "melodygen": version("melodygen"), "vocabulary_id": VOCABULARY.vocabulary_id,
        "plan": asdict(plan), "folder": folder_name, "data_id": data_id(files), "processes": crew.size,
        "base": base, "net": arguments, "styles": [style_to_json(s) for s in styles], "new": list(found),
        "steps": steps, "dropout": dropout, "optimizer": optimizer, "learning_rate": rate,
        "bf16": has_bf16(device), "train_tokens": train_tokens, "summary": census.summary(),
    }  # fmt: skip
    if plan.minutes is not None:
        watcher.stage("measuring the pace", 0.0)
        seconds = measure_pace(prepare(work, record, device, Crew()))
        record["steps"] = max(10, round(plan.minutes * 60 / seconds))
    with atomic_path(work / "run.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def count_tokens(shards: Shards, split: str) -> int:
    lengths = np.asarray(shards.arrays["lengths"]).sum(axis=1, dtype=np.int64)
    return sum(
        int(lengths[p.first_bar : p.first_bar + p.num_bars].sum()) + p.num_bars
        for p in shards.pieces
        if p.split == split
    )


def prepare(work: Path, record: dict[str, Any], device: torch.device, crew: Crew) -> Prepared:
    """The run of a record: nets, shards and recipe. Equal in all processes."""
    from melodygen.generators.neural import style_from_json

    plan = Plan(**record["plan"])
    styles = tuple(style_from_json(s) for s in record["styles"])
    order = tuple(s.name for s in styles)
    arguments = dict(record["net"])
    make = NETS[arguments["type"]]
    flat = {k: v for k, v in arguments.items() if k not in ("type", "dropout")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        net = make(VOCABULARY.size, **flat, dropout=record["dropout"])
    old_net = None
    if not plan.fresh:
        source = Path(record["base"]["path"])
        if checkpoints.weights_sha256(source) != record["base"]["sha256"]:
            raise CheckpointError(
                f"checkpoint {source} has changed since the run began from it; start again with --force"
            )
        checkpoints.load_weights(source, net)
        old_net = copy.deepcopy(net)
        old_net.requires_grad_(False)
        old_net.to(device)
        give_slots(net, order, record["new"], len(checkpoints.read_config(source)["styles"]))
    net.to(device)
    recipe = GeneratorRecipe(
        steps=record["steps"], rows=plan.rows, length=plan.length, learning_rate=record["learning_rate"],
        embedding_learning_rate=record["learning_rate"], weight_decay=plan.weight_decay,
        warmup=max(1, min(60, record["steps"] // 10)), average=0.995 if plan.fresh else 0.98,
        optimizer=record["optimizer"], bf16=record["bf16"], seed=plan.seed, accumulate=plan.accumulate,
    )  # fmt: skip
    shards = load_shards(work / "shards")
    replay = load_shards(work / "replay") if (work / "replay" / "pieces.json").is_file() else None
    return Prepared(
        plan,
        record["steps"],
        recipe,
        shards,
        replay,
        order,
        tuple(record["new"]),
        styles,
        arguments,
        net,
        old_net,
        record,
    )


@torch.no_grad()
def give_slots(net: nn.Module, order: Sequence[str], new: Sequence[str], known: int) -> None:
    """A new style begins as the mean of those the model knows."""
    table = net.get_parameter("embedding.weight")
    first = VOCABULARY.offsets["style"] + 1
    mean = table[first : first + known].mean(dim=0)
    for name in new:
        slot = order.index(name)
        if slot >= known:
            table[first + slot] = mean


def make_tuning(run: Prepared, crew: Crew) -> Tuning:
    views = Views(transpose=run.plan.transpose)
    longest = min(1000, run.plan.length - 24)
    sampler = ExampleSampler(run.shards, "train", run.order, views, max_tokens=longest)
    replay = None
    if run.replay is not None and run.old_net is not None:
        replay = ExampleSampler(run.replay, "train", run.order, views, max_tokens=longest)
    return Tuning(run.net, sampler, run.recipe, crew, run.old_net, replay, run.plan.replay)


def validation_sets(run: Prepared) -> tuple[list[Example], list[Example]]:
    """(new music, the old model's own), the same in every run over the same data."""
    longest = min(1000, run.plan.length - 24)
    sampler = ExampleSampler(run.shards, "valid", run.order, max_tokens=longest)
    rng = np.random.default_rng(7)
    names = [n for n in sampler.style_names if n != "drums"]
    each = max(4, min(32, 96 // max(1, len(names))))
    new = [sampler.draw(rng, name) for name in names for _ in range(each)]
    old: list[Example] = []
    if run.replay is not None:
        kept = ExampleSampler(run.replay, "valid", run.order, max_tokens=longest)
        old = [kept.draw(rng, name) for name in kept.style_names for _ in range(4)]
    return new, old


def measure_pace(run: Prepared, steps: int = 2) -> float:
    """Seconds a step, the first (which warms up) left out. The run's net is left as it was."""
    tuning = make_tuning(replace(run, net=copy.deepcopy(run.net)), Crew())
    seconds = [r.seconds for r, _ in zip(tuning.run(), range(steps + 1), strict=False)]
    return (
        max(1e-3, (seconds[-1] - seconds[0]) / max(1, len(seconds) - 1)) if len(seconds) > 1 else seconds[0]
    )


class Validator:
    """Losses of the averaged weights."""

    def __init__(self, run: Prepared) -> None:
        self._net = copy.deepcopy(run.net)
        self._new, self._old = validation_sets(run)
        self._bf16 = run.recipe.bf16

    def __call__(self, weights: dict[str, torch.Tensor]) -> tuple[float, float | None]:
        self._net.load_state_dict(weights)
        new = validation_loss(self._net, self._new, bf16=self._bf16)[0]
        old = validation_loss(self._net, self._old, bf16=self._bf16)[0] if self._old else None
        return new, old


def learn(
    run: Prepared,
    work: Path,
    crew: Crew,
    watcher: Watcher,
    save_seconds: float = 180.0,
    stop: Callable[[], bool] = lambda: False,
    each: Callable[[Point], None] = lambda point: None,
) -> Progress:
    """Train to the end of the schedule or until validation says that no more is to be had; resumes where ``work``
    holds a state. Raises Stopped after saving when ``stop()`` says so."""
    tuning = make_tuning(run, crew)
    progress = load_progress(work, tuning) or Progress()
    if progress.finished:
        return progress
    every = max(5, min(200, run.steps // 15))
    validator = Validator(run) if crew.leads else None
    if validator is not None and not progress.curve:
        new, old = validator(tuning.average)
        progress.curve.append(Point(0, None, new, old))
        each(progress.curve[-1])
    begun, first_step, first_tokens, saved_at = time.monotonic(), tuning.step, tuning.tokens, time.monotonic()
    for record in tuning.run():
        progress.losses.append(record.loss)
        spent = time.monotonic() - begun
        pace = spent / (record.step - first_step)
        if crew.leads:
            watcher.step(
                record.step, run.steps, record.loss, (record.tokens - first_tokens) * crew.size / spent,
                pace * (run.steps - record.step),
            )  # fmt: skip
        if record.step % every == 0 or record.step == run.steps:
            if validator is not None:
                _validate(validator, tuning, progress)
                each(progress.curve[-1])
            progress.losses.clear()
        progress.finished = crew.any(progress.waited >= run.plan.patience or record.step >= run.steps)
        stopping = crew.any(stop())
        if crew.leads and (stopping or progress.finished or time.monotonic() - saved_at > save_seconds):
            save_progress(work, tuning, progress)
            saved_at = time.monotonic()
        if progress.finished:
            break
        if stopping:
            raise Stopped(f"stopped after step {record.step} of {run.steps}; go on with --resume")
    return progress


def _validate(validator: Validator, tuning: Tuning, progress: Progress) -> None:
    new, old = validator(tuning.average)
    progress.curve.append(Point(tuning.step, float(np.mean(progress.losses)), new, old))
    if new < progress.best_loss - 1e-4:
        progress.best_loss, progress.waited = new, 0
        progress.best = {k: v.detach().clone() for k, v in tuning.average.items()}
    else:
        progress.waited += 1


def save_progress(work: Path, tuning: Tuning, progress: Progress) -> None:
    """State and log, each whole or not at all."""
    told = {**vars(progress), "curve": [asdict(p) for p in progress.curve]}
    with atomic_path(work / "state.pt", overwrite=True) as temporary, _disk_errors(work):
        torch.save({**tuning.state(), "progress": told}, temporary)
    rows = "".join(json.dumps(asdict(p)) + "\n" for p in progress.curve)
    with atomic_path(work / "log.jsonl", overwrite=True) as temporary:
        temporary.write_text(rows, encoding="utf-8")


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """torch and safetensors report a full disk as errors of their own."""
    from safetensors import SafetensorError

    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        raise OSError(errno.ENOSPC, str(error), str(folder)) from error


def load_progress(work: Path, tuning: Tuning) -> Progress | None:
    path = work / "state.pt"
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location=tuning.device, weights_only=True)
        told = state.pop("progress")
        tuning.load_state(state)
        return Progress(**{**told, "curve": [Point(**p) for p in told["curve"]]})
    except Exception as error:  # pickle, zip and torch have many ways to say that a file is broken
        raise CheckpointError(f"{path} cannot be resumed from ({error}); start again with --force") from error


def finish(run: Prepared, work: Path, out: Path, progress: Progress) -> dict[str, Any]:
    """Write the checkpoint: the best weights seen, config, card, curves, log and the list of files. Gives figures."""
    run.net.load_state_dict(progress.best)
    first = progress.curve[0]
    best = min(progress.curve[1:], key=lambda p: p.valid)
    record, plan = run.record, run.plan
    figures: dict[str, Any] = {
        "new_styles": list(run.new), "valid_loss_before": first.valid, "valid_loss": best.valid,
        "old_loss_before": first.old, "old_loss": best.old, "best_step": best.step,
        "steps_run": progress.curve[-1].step, "steps_planned": run.steps,
    }  # fmt: skip
    quantiles = dict(record["base"].get("density_quantiles", {}))
    sampler = ExampleSampler(run.shards, "train", run.order, PLAIN, max_tokens=min(1000, plan.length - 24))
    rng, offset = np.random.default_rng(3), VOCABULARY.offsets["density"]
    for name in run.new:
        levels = [int(sampler.draw(rng, name).ids[5]) - offset - 1 for _ in range(200)]
        levels = [v for v in levels if v >= 0]
        if levels:
            quantiles[name] = [float(np.quantile(levels, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)]
    files_csv = (work / "files.csv").read_bytes()
    numbers = sum(p.numel() for p in run.net.parameters())
    config = {
        "kind": "generator", "name": out.resolve().name,
        "summary": f"{run.net_arguments['type']}, {numbers / 1e6:.1f} M parameters, {len(run.order)} styles; "
        f"learned {', '.join(run.new)} from {record['folder']}",
        "net": run.net_arguments, "vocabulary_id": VOCABULARY.vocabulary_id,
        "styles": [style_to_json(s) for s in run.styles], "density_quantiles": quantiles,
        "provenance": {
            "melodygen": version("melodygen"), "folder": record["folder"], "data_id": record["data_id"],
            "files": "training/files.csv", "files_sha256": hashlib.sha256(files_csv).hexdigest(),
            "from": {k: record["base"][k] for k in ("model_id", "sha256") if k in record["base"]} or None,
            "plan": record["plan"], "steps": progress.curve[-1].step, "summary": record["summary"], "figures": figures,
        },
    }  # fmt: skip
    (out / "training").mkdir(parents=True, exist_ok=True)
    for name in ("files.csv", "log.jsonl"):
        with atomic_path(out / "training" / name, overwrite=True) as temporary:
            shutil.copyfile(work / name, temporary)
    plot_curves(out / "training" / "curves.png", [asdict(p) for p in progress.curve])
    card = generator_card(config, figures)
    with _disk_errors(out):
        checkpoints.save_checkpoint(out, run.net, config, card)
    return figures


@contextmanager
def working_folder(out: Path, resume: bool, force: bool) -> Iterator[Path]:
    """``OUT/.work``, checked against what is there. Where nothing could begin, nothing is left behind."""
    work = out / ".work"
    begun = (work / "run.json").is_file()
    if resume and not begun:
        done = " (it is finished)" if (out / checkpoints.CONFIG).is_file() else ""
        raise UsageError(f"--resume: no run to go on with in {out}{done}; leave out --resume to start one")
    if begun and not resume and not force:
        raise OutputExistsError(
            f"{out} holds a run that did not finish: go on with --resume, or replace it with --force"
        )
    if not resume and not force and (out / checkpoints.CONFIG).is_file():
        raise OutputExistsError(
            f"{out} is already a checkpoint: choose another --out, or replace it with --force"
        )
    if out.exists() and not out.is_dir():
        raise OutputExistsError(f"{out} is a file; give a folder with --out")
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    new = [p for p in (out, *out.parents) if not p.exists()]
    work.mkdir(parents=True, exist_ok=True)
    try:
        yield work
    finally:
        if not (work / "run.json").is_file():
            shutil.rmtree(work, ignore_errors=True)
            for folder in new:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()


def check_resumed(record: dict[str, Any], folder: Path, plan: Plan, given: set[str], crew: Crew) -> Plan:
    """The plan of the run to be resumed. Raises UsageError where data or options have changed."""
    if record.get("run_version") != RUN_VERSION or record.get("vocabulary_id") != VOCABULARY.vocabulary_id:
        raise CheckpointError(
            f"the run was begun by melodygen {record.get('melodygen')} (vocabulary "
            f"{record.get('vocabulary_id')}) and cannot be "
            "resumed by this one; start again with --force"
        )
    before = Plan(**record["plan"])
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
