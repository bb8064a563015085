"""Trains a generator or a classifier on a folder of music, and measures beforehand what that would take."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from melodygen.errors import CheckpointError, OutputExistsError, UsageError
from melodygen.nets import checkpoint as checkpoints
from melodygen.parsing import check_range
from melodygen.services.output import check_folder, check_free_space
from melodygen.training.distributed import DistributedContext, choose_device, join_processes
from melodygen.training.generator.checkpoint import finish
from melodygen.training.generator.config import TrainingConfig, check_config
from melodygen.training.generator.fine_tuning import Watcher
from melodygen.training.generator.record import RunRecord
from melodygen.training.generator.run import learn, measure_pace, prepare
from melodygen.training.generator.setup import begin_run, check_resumed
from melodygen.training.generator.state import Point
from melodygen.training.generator.work_folder import working_folder

FREE_BYTES = 300 * 2**20
"""What a run may need on the disk."""
STEPS = 600
"""Of the CNN alone, where no number is given."""
FEW_PIECES = 3
"""Of each old style, written to measure how long that takes."""
Display = Callable[[bool], AbstractContextManager[Watcher]]
"""Opens what shows progress; the argument says whether this process is the one that speaks."""
Stopping = Callable[[], AbstractContextManager[Callable[[], bool]]]
"""Opens what says, between two steps, whether the run shall end and be saved."""


@dataclass(frozen=True)
class TrainGeneratorRequest:
    """What ``melodygen train generator`` is asked for.

    ``given``     names of the fields of ``config`` that were given: with ``resume`` they must be as before.
    ``workers``   processes that read; None is one a core.
    """

    folder: Path
    out: Path
    config: TrainingConfig
    given: frozenset[str] = frozenset()
    device: str = "auto"
    save_minutes: float = 3.0
    resume: bool = False
    tensorboard: bool = False
    workers: int | None = None
    force: bool = False


@dataclass(frozen=True)
class TrainGeneratorResult:
    """``figures`` as the checkpoint holds them, ``classifier`` of the CNN that learned the new styles too."""

    out: str
    figures: Mapping[str, Any]
    files: int
    used: int
    classifier: Mapping[str, Any] | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the figures stand beside the rest."""
        record = {"out": self.out, **self.figures, "files": self.files, "used": self.used}
        if self.classifier is not None:
            record["classifier"] = dict(self.classifier)
        return {**record, "seconds": self.seconds}


@dataclass(frozen=True)
class TrainingForecast:
    """What a run would take, measured by two steps. ``memory_mib``: the peak of this process or device."""

    files: int
    used: int
    rejected: int
    near_duplicates: int
    reasons: Mapping[str, int]
    styles: Any
    tokens: int
    examples: int
    steps: int
    tokens_a_step: int
    seconds_a_step: float
    tokens_a_second: int
    minutes_at_most: float
    memory_mib: int
    parameters: int
    replay_minutes_at_most: float
    device: str
    bf16: bool

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class TrainClassifierRequest:
    """What ``melodygen train classifier`` is asked for: a folder of folders named by label.

    ``source``  the classifier to start from: a style CNN, ``none``, or the tagger, which is taught by a head.
    ``steps``   of the CNN; None for 600. A head is fitted without any.
    """

    folder: Path
    out: Path
    source: str = ""
    steps: int | None = None
    seed: int = 1
    force: bool = False


def train_generator(
    asked: TrainGeneratorRequest, display: Display, stopping: Stopping
) -> TrainGeneratorResult | None:
    """Learn, and save the checkpoint whole. None in the processes that only help the leading one.

    Raises UsageError, CorpusError, CheckpointError, OutputExistsError, DiskSpaceError; Stopped where it was told to
    stop.
    """
    check_config(asked.config)
    device = choose_device(asked.device)
    if asked.resume and asked.force:
        raise UsageError("--resume goes on with a run, --force throws it away: give one")
    with join_processes(device) as context, display(context.leads) as watcher:
        if not context.leads:  # the leader reads and checks; the others wait for what it wrote
            context.wait()
            _follow(asked, device, context, watcher, stopping)
            return None
        with working_folder(asked.out, asked.resume, asked.force) as work:
            record = _record(asked, work, device, context, watcher)
            context.wait()
            result = _lead(asked, work, record, device, context, watcher, stopping)
            shutil.rmtree(work)
    return result


def forecast(asked: TrainGeneratorRequest, display: Display) -> TrainingForecast:
    """Read the folder and take two steps in a temporary folder: how much, how long, how much memory."""
    check_config(asked.config)
    device = choose_device(asked.device)
    config, alone = asked.config, DistributedContext()
    with (
        join_processes(device) as context,
        display(context.leads) as watcher,
        tempfile.TemporaryDirectory() as scratch,
    ):
        work = Path(scratch)
        few = replace(config, replay_pieces=FEW_PIECES)
        record = begin_run(asked.folder, work, few, device, alone, _workers(asked), watcher)
        run = prepare(work, record, device, alone)
        watcher.stage("measuring the pace", 0.5)
        seconds = measure_pace(run)
        summary, tokens = record.summary, config.rows * config.length
        return TrainingForecast(
            **{n: summary[n] for n in ("files", "used", "rejected", "near_duplicates", "reasons", "styles")},
            tokens=record.train_tokens,
            examples=-(-record.train_tokens // config.length),
            steps=run.record.steps,
            tokens_a_step=tokens,
            seconds_a_step=round(seconds, 3),
            tokens_a_second=round(tokens / seconds),
            minutes_at_most=round(run.record.steps * seconds / 60, 1),
            memory_mib=_peak_mib(device),
            parameters=sum(p.numel() for p in run.net.parameters()),
            replay_minutes_at_most=round(record.replay_seconds / 60 * config.replay_pieces / FEW_PIECES, 1),
            device=str(device),
            bf16=record.bf16,
        )


def train_classifier(asked: TrainClassifierRequest, display: Display) -> dict[str, Any]:
    """Train the CNN alone on labelled folders, or a head on the tagger, and save it. Gives its figures, and the files
    that were not used.

    Raises UsageError, CorpusError, CheckpointError, OutputExistsError.
    """
    steps = STEPS if asked.steps is None else asked.steps
    check_range("steps", steps, 1, 1_000_000)
    check_range("seed", asked.seed, 0, 2**31)
    out, tagger = asked.out, _tagger_of(asked)
    if not asked.force and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExistsError(f"{out} is already there: choose another --out, or replace it with --force")
    check_folder(out)
    if tagger is not None:
        from melodygen.training.classifier.style_head import train_style_head

        with display(True) as watcher:
            figures = train_style_head(asked.folder, out, tagger, asked.seed, watcher)
        return {"out": str(out), **figures}
    from melodygen.training.classifier import fine_tuning

    with display(True) as watcher, tempfile.TemporaryDirectory() as scratch:
        figures = fine_tuning.train_classifier(
            asked.folder, out, asked.source, steps, asked.seed, watcher, Path(scratch)
        )
    return {"out": str(out), **figures}


def _tagger_of(asked: TrainClassifierRequest) -> Path | None:
    """The folder of the tagger that shall be taught; None where it is no tagger.

    Raises CheckpointError for a head that was taught already, UsageError for what does not go with a tagger.
    """
    from melodygen.classification.style_head import HEAD_NET
    from melodygen.classification.tagger import DEFAULT_TAGGER

    if asked.source in ("", "none"):
        return None
    folder = checkpoints.resolve(asked.source, checkpoints.DEFAULT_CLASSIFIER)
    kind = checkpoints.net_type(checkpoints.read_config(folder, "classifier"))
    if kind == HEAD_NET:
        raise CheckpointError(
            f"checkpoint {folder} is a head on a tagger, which does not go on learning: give --from "
            f"{DEFAULT_TAGGER} and a folder of all that it shall know"
        )
    if kind != DEFAULT_TAGGER:
        return None
    if asked.steps is not None:
        raise UsageError(
            f"--steps {asked.steps} does not go with --from {asked.source}: a head on a tagger is fitted, not trained "
            "in steps; leave it out"
        )
    if asked.out.resolve() == folder.resolve():
        raise UsageError(f"--out {asked.out} is the tagger itself; name another folder")
    return folder


def _record(
    asked: TrainGeneratorRequest,
    work: Path,
    device: torch.device,
    context: DistributedContext,
    watcher: Watcher,
) -> RunRecord:
    """The record of the run: that of the work folder, checked, or a new one."""
    if not asked.resume:
        check_free_space(asked.out, FREE_BYTES)
        return begin_run(asked.folder, work, asked.config, device, context, _workers(asked), watcher)
    record = RunRecord.read(work)
    check_resumed(record, asked.folder, asked.config, set(asked.given), context)
    return record


def _lead(
    asked: TrainGeneratorRequest,
    work: Path,
    record: RunRecord,
    device: torch.device,
    context: DistributedContext,
    watcher: Watcher,
    stopping: Stopping,
) -> TrainGeneratorResult:
    started = time.monotonic()
    run = prepare(work, record, device, context)
    summary = record.summary
    watcher.say(
        f"{summary['used']} of {summary['files']} files, {record.train_tokens:,} tokens to learn from; "
        f"{run.record.steps} steps at most; new: {', '.join(run.record.new)}"
    )
    with contextlib.ExitStack() as stack:
        events = None
        if asked.tensorboard:
            from melodygen.training.generator.tensorboard import open_events

            events = stack.enter_context(open_events(asked.out / "training" / "events", run))
        stop = stack.enter_context(stopping())

        def on_point(point: Point, weights: Mapping[str, torch.Tensor]) -> None:
            watcher.say(_point_text(point))
            if events is not None:
                events.point(point, weights)

        progress = learn(run, work, context, watcher, asked.save_minutes * 60, stop, on_point)
    figures = finish(run, work, asked.out, progress)
    classifier = None
    if run.config.classifier:
        from melodygen.training.classifier.incremental import add_styles_to_classifier

        classifier = add_styles_to_classifier(run, asked.folder, work, asked.out, watcher)
    seconds = round(time.monotonic() - started, 1)
    return TrainGeneratorResult(
        str(asked.out), figures, summary["files"], summary["used"], classifier, seconds
    )


def _follow(
    asked: TrainGeneratorRequest,
    device: torch.device,
    context: DistributedContext,
    watcher: Watcher,
    stopping: Stopping,
) -> None:
    work = asked.out / ".work"
    record = RunRecord.read(work)
    with stopping() as stop:
        run = prepare(work, record, device, context)
        learn(run, work, context, watcher, asked.save_minutes * 60, stop)


def _point_text(point: Point) -> str:
    old = "" if point.old is None else f", old styles {point.old:.4f}"
    train = "before learning" if point.train is None else f"batches {point.train:.4f}"
    return f"step {point.step}: validation {point.valid:.4f}{old}, {train}"


def _workers(asked: TrainGeneratorRequest) -> int:
    return max(1, asked.workers or os.cpu_count() or 1)


def _peak_mib(device: torch.device) -> int:
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10)
