"""``melodygen train generator`` and ``melodygen train classifier``: learn from a folder of music."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from melodygen.training.distributed import DistributedContext
    from melodygen.training.generator.config import TrainingConfig
    from melodygen.training.generator.state import Point

app = typer.Typer(
    no_args_is_help=True, help="Learn from a folder of music: a generator, or a classifier alone."
)
_DATA, _NET, _HOW, _RUN = "What to learn", "The net", "How to learn", "The run"
FREE_BYTES = 300 * 2**20
FEW_PIECES = 3
"""Of each old style, written to measure how long that takes."""


@app.command("generator")
def generator(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Argument(help="A folder of MIDI, MusicXML, ABC or Humdrum files, at any depth.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The checkpoint folder to write.", rich_help_panel=_DATA)
    ],
    style: Annotated[
        str | None,
        typer.Option(
            "--style",
            "-s",
            rich_help_panel=_DATA,
            help="One style name for all files. Default: the names of the sub-folders, or manifest.csv.",
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--from", help="Model to begin from: name or folder; 'none' starts fresh.", rich_help_panel=_NET
        ),
    ] = "",
    net: Annotated[
        str, typer.Option(help="With --from none: transformer or lstm.", rich_help_panel=_NET)
    ] = "transformer",
    size: Annotated[
        str, typer.Option(help="With --from none: tiny, small, base or large.", rich_help_panel=_NET)
    ] = "small",
    steps: Annotated[
        int | None, typer.Option(help="How long. Default: from the folder.", rich_help_panel=_HOW)
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="How long, in place of --steps.", rich_help_panel=_HOW)
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows of a batch, a process.", rich_help_panel=_HOW)] = 6,
    length: Annotated[int, typer.Option(help="Tokens of a row.", rich_help_panel=_HOW)] = 1024,
    accumulate: Annotated[
        int | None,
        typer.Option(
            help="Parts a batch is learned in. Default: two rows each on a CPU.", rich_help_panel=_HOW
        ),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak rate.", rich_help_panel=_HOW)] = None,
    optimizer: Annotated[str | None, typer.Option(help="muon or adamw.", rich_help_panel=_HOW)] = None,
    dropout: Annotated[
        float | None,
        typer.Option(help="Default: 0, or 0.1 from nothing on small folders.", rich_help_panel=_HOW),
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="Of the matrices.", rich_help_panel=_HOW)] = 0.05,
    transpose: Annotated[
        bool,
        typer.Option("--transpose/--no-transpose", help="Hear the music in all keys.", rich_help_panel=_HOW),
    ] = True,
    replay: Annotated[
        float, typer.Option(help="Share of a batch that holds the old styles, 0-0.9.", rich_help_panel=_HOW)
    ] = 0.5,
    replay_pieces: Annotated[
        int, typer.Option(help="Pieces the old model writes for that, a style.", rich_help_panel=_HOW)
    ] = 12,
    patience: Annotated[
        int, typer.Option(help="Validations in a row that may bring nothing.", rich_help_panel=_HOW)
    ] = 4,
    classifier: Annotated[
        bool,
        typer.Option(
            "--classifier/--no-classifier", help="Teach the CNN the new style too.", rich_help_panel=_RUN
        ),
    ] = True,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_RUN)
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of everything random.", rich_help_panel=_RUN)] = 1,
    save_minutes: Annotated[
        float, typer.Option(help="How often the state is saved.", rich_help_panel=_RUN)
    ] = 3.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a stopped or killed run was.", rich_help_panel=_RUN)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say how much, how long, how much memory; write nothing.", rich_help_panel=_RUN
        ),
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Event files in OUT/training.", rich_help_panel=_RUN)
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes that read. Default: one a core.", rich_help_panel=_RUN)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is in --out.", rich_help_panel=_RUN)
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.", rich_help_panel=_RUN)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, no report.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Learn the music of a folder: a model that writes in its style too.

    By default the shipped model goes on learning and keeps its old styles; the CNN learns the new one in the same run,
    so that 'melodygen generate --model OUT --style NAME' closes the loop. Ctrl-C saves; --resume goes on.
    """
    from melodygen.errors import UsageError
    from melodygen.training.distributed import choose_device, crew
    from melodygen.training.generator.config import TrainingConfig, check_config
    from melodygen.training.generator.setup import begin, check_resumed
    from melodygen.training.generator.work_folder import working_folder

    plan = TrainingConfig(
        style,
        source,
        net,
        size,
        steps,
        minutes,
        rows,
        length,
        accumulate,
        learning_rate,
        optimizer,
        dropout,
        weight_decay,
        transpose,
        replay,
        replay_pieces,
        patience,
        classifier,
        seed,
    )
    check_config(plan)
    here = choose_device(device)
    if resume and force:
        raise UsageError("--resume goes on with a run, --force throws it away: give one")
    with crew(here) as members, _display(members.leads and not quiet) as watcher:
        if dry_run:
            _dry_run(folder, plan, here, _workers(workers), watcher, json_)
            return
        if not members.leads:  # the leader reads and checks; the others wait for what it wrote
            members.wait()
            _join(out, here, members, save_minutes, watcher)
            return
        with working_folder(out, resume, force) as work:
            if resume:
                record = json.loads((work / "run.json").read_text(encoding="utf-8"))
                given = {n for n in vars(plan) if _is_given(ctx, n)}
                check_resumed(record, folder, plan, given, members)
            else:
                _check_space(out)
                record = begin(folder, work, plan, here, members, _workers(workers), watcher)
            members.wait()
            report = _lead(work, out, folder, record, here, members, save_minutes, tensorboard, watcher)
            shutil.rmtree(work)
    if json_:
        print(json.dumps(report))
    elif not quiet:
        print(_described(report))


@app.command("classifier")
def classifier(
    folder: Annotated[
        Path, typer.Argument(help="A folder of folders named by label, with audio or music files.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The checkpoint folder to write.")],
    source: Annotated[
        str, typer.Option("--from", help="Classifier to begin from: name or folder; 'none' starts fresh.")
    ] = "",
    steps: Annotated[int, typer.Option(help="How long.")] = 600,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in --out.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")] = False,
) -> None:
    """Train the CNN alone: it learns to tell the folders apart by ear."""
    from melodygen.errors import OutputExistsError
    from melodygen.parsing import check_range

    check_range("steps", steps, 1, 1_000_000)
    if not force and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExistsError(f"{out} is already there: choose another --out, or replace it with --force")
    from melodygen.training.classifier.fine_tuning import train_classifier

    with _display(not quiet) as watcher, tempfile.TemporaryDirectory() as scratch:
        figures = train_classifier(folder, out, source, steps, seed, watcher, Path(scratch))
    if json_:
        print(json.dumps({"out": str(out), **figures}))
    elif not quiet:
        print(f"{out}: {figures['told']}; {len(figures['rejected'])} files were not used")
        for row in figures["rejected"]:
            print(f"  {row['file']}: {row['reason']}".encode("utf-8", "backslashreplace").decode())


def _lead(
    work: Path,
    out: Path,
    folder: Path,
    record: dict[str, Any],
    device: torch.device,
    crew: DistributedContext,
    save_minutes: float,
    tensorboard: bool,
    watcher: _Watcher,
) -> dict[str, Any]:
    from melodygen.training.generator.checkpoint import finish
    from melodygen.training.generator.run import learn, prepare

    started = time.monotonic()
    run = prepare(work, record, device, crew)
    summary = record["summary"]
    watcher.say(
        f"{summary['used']} of {summary['files']} files, {record['train_tokens']:,} tokens to learn from; "
        f"{run.steps} steps at "
        f"most; new: {', '.join(run.new)}"
    )
    with contextlib.ExitStack() as stack:
        events = None
        if tensorboard:
            from melodygen.training.generator.tensorboard import open_events

            events = stack.enter_context(open_events(out / "training" / "events", run))
        stop = stack.enter_context(_stopping())

        def told(point: Point, weights: Mapping[str, torch.Tensor]) -> None:
            _told(point, watcher)
            if events is not None:
                events.point(point, weights)

        progress = learn(run, work, crew, watcher, save_minutes * 60, stop, told)
    figures = finish(run, work, out, progress)
    report = {"out": str(out), **figures, "files": summary["files"], "used": summary["used"]}
    if run.plan.classifier:
        from melodygen.training.classifier.incremental import add_styles_to_classifier

        report["classifier"] = add_styles_to_classifier(run, folder, work, out, watcher)
    return {**report, "seconds": round(time.monotonic() - started, 1)}


def _join(
    out: Path, device: torch.device, crew: DistributedContext, save_minutes: float, watcher: _Watcher
) -> None:
    from melodygen.training.generator.run import learn, prepare

    work = out / ".work"
    record = json.loads((work / "run.json").read_text(encoding="utf-8"))
    with _stopping() as stop:
        learn(prepare(work, record, device, crew), work, crew, watcher, save_minutes * 60, stop)


def _dry_run(
    folder: Path, plan: TrainingConfig, device: torch.device, workers: int, watcher: _Watcher, json_: bool
) -> None:
    from melodygen.training.distributed import DistributedContext
    from melodygen.training.generator.run import measure_pace, prepare
    from melodygen.training.generator.setup import begin

    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        record = begin(
            folder,
            work,
            replace(plan, replay_pieces=FEW_PIECES),
            device,
            DistributedContext(),
            workers,
            watcher,
        )
        run = prepare(work, record, device, DistributedContext())
        watcher.stage("measuring the pace", 0.5)
        seconds = measure_pace(run)
        summary, a_step = record["summary"], plan.rows * plan.length
        report = {
            "files": summary["files"],
            "used": summary["used"],
            "rejected": summary["rejected"],
            "near_duplicates": summary["near_duplicates"],
            "reasons": summary["reasons"],
            "styles": summary["styles"],
            "tokens": record["train_tokens"],
            "examples": -(-record["train_tokens"] // plan.length),
            "steps": run.steps,
            "tokens_a_step": a_step,
            "seconds_a_step": round(seconds, 3),
            "tokens_a_second": round(a_step / seconds),
            "minutes_at_most": round(run.steps * seconds / 60, 1),
            "memory_mib": _peak_mib(device),
            "parameters": sum(p.numel() for p in run.net.parameters()),
            "replay_minutes_at_most": round(
                record["replay_seconds"] / 60 * plan.replay_pieces / FEW_PIECES, 1
            ),
            "device": str(device),
            "bf16": record["bf16"],
        }
    if json_:
        print(json.dumps(report))
        return
    print(
        f"{report['used']} of {report['files']} files can be used ({report['rejected']} rejected, "
        f"{report['near_duplicates']} near-duplicates)\n"
        f"{report['tokens']:,} tokens, {report['examples']:,} examples of {plan.length} tokens\n"
        f"{report['steps']} steps at most, {report['minutes_at_most']:g} minutes on {device} in "
        f"{'bfloat16' if report['bf16'] else 'float32'} ({report['tokens_a_second']:,} tokens a second, "
        f"measured now); writing the old styles for replay {report['replay_minutes_at_most']:g} minutes "
        "at most; teaching the CNN comes on top\n"
        f"{report['memory_mib']:,} MiB of memory, {report['parameters']:,} parameters\n"
        "nothing was written"
    )
    for reason, count in summary["reasons"].items():
        print(f"  not used: {count} × {reason}")


def _peak_mib(device: torch.device) -> int:
    if device.type == "cuda":
        import torch

        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10)


def _workers(asked: int | None) -> int:
    return max(1, asked or os.cpu_count() or 1)


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _check_space(out: Path) -> None:
    from melodygen.errors import UsageError

    there = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        raise UsageError(
            f"{out}: {free / 2**20:.0f} MiB free, a run needs about {FREE_BYTES / 2**20:.0f} MiB; free some "
            f"space or choose "
            "another --out"
        )


def _told(point: Point, watcher: _Watcher) -> None:
    old = "" if point.old is None else f", old styles {point.old:.4f}"
    train = "before learning" if point.train is None else f"batches {point.train:.4f}"
    watcher.say(f"step {point.step}: validation {point.valid:.4f}{old}, {train}")


@contextmanager
def _stopping() -> Iterator[Any]:
    """Ctrl-C and SIGTERM end the run after the step that is under way; a second Ctrl-C at once."""
    asked = False

    def on_signal(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {s: signal.signal(s, on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class _Watcher:
    """Progress on stderr: bars on a terminal, lines elsewhere."""

    def __init__(self, bar: Any, task: Any, visible: bool) -> None:
        self._bar, self._task, self._visible = bar, task, visible

    def stage(self, text: str, done: float) -> None:
        self._bar.update(self._task, description=text, completed=done, told="")

    def step(self, step: int, steps: int, loss: float, tokens_a_second: float, seconds_left: float) -> None:
        minutes, seconds = divmod(round(seconds_left), 60)
        told = f"loss {loss:.3f}  {tokens_a_second:,.0f} tokens/s  at most {minutes}:{seconds:02d} left"
        self._bar.update(
            self._task, description=f"learning {step}/{steps}", completed=step / steps, told=told
        )

    def say(self, text: str) -> None:
        if self._visible:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _display(visible: bool) -> Iterator[_Watcher]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<20}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}", markup=False),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not (visible and console.is_terminal)
    ) as bar:
        yield _Watcher(bar, bar.add_task("", total=1.0, told=""), visible)


def _described(report: dict[str, Any]) -> str:
    lines = [
        f"{report['out']}: learned {', '.join(report['new_styles'])} from {report['used']} of "
        f"{report['files']} files in "
        f"{report['seconds'] / 60:.1f} minutes",
        f"  validation loss {report['valid_loss_before']:.4f} -> {report['valid_loss']:.4f} nats a token "
        f"(step {report['best_step']} of {report['steps_run']})",
    ]
    if report["old_loss"] is not None:
        change = report["old_loss"] / report["old_loss_before"] - 1
        lines.append(
            f"  old styles {report['old_loss_before']:.4f} -> {report['old_loss']:.4f} ({change:+.1%})"
        )
    heard = report.get("classifier")
    if heard is not None:
        lines.append(f"  classifier: {heard['told']}")
    lines += [
        f"  files used and rejected: {report['out']}/training/files.csv",
        f"  melodygen generate --model {report['out']} --style {report['new_styles'][0]!r}",
    ]
    return "\n".join(lines)
