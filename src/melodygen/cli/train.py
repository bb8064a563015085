"""``melodygen train generator`` and ``melodygen train classifier``: learn from a folder of music."""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from melodygen.cli.common import plain

app = typer.Typer(
    no_args_is_help=True,
    help="Train on a folder of music: a generator with its classifier, or a classifier alone.",
)
RUN = "The run"
_DATA, _NET, _HOW = "What to learn", "The net", "How to learn"

Seed = Annotated[int, typer.Option(help="Random seed.", rich_help_panel=RUN)]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue a run that was stopped or killed.", rich_help_panel=RUN)
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is in --out.", rich_help_panel=RUN)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.", rich_help_panel=RUN)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.", rich_help_panel=RUN)]


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
            "--from",
            help="Model whose weights training starts from: name or folder; 'none': random weights.",
            rich_help_panel=_NET,
        ),
    ] = "",
    net: Annotated[
        str, typer.Option(help="With --from none: transformer or lstm.", rich_help_panel=_NET)
    ] = "transformer",
    size: Annotated[
        str, typer.Option(help="With --from none: tiny, small, base or large.", rich_help_panel=_NET)
    ] = "small",
    steps: Annotated[
        int | None,
        typer.Option(
            help="Number of optimizer steps. Default: chosen from the size of the folder.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Minutes of training steps, in place of --steps; reading, replay and validation come on top.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(help="Sequences in a batch, for each process.", rich_help_panel=_HOW)
    ] = 6,
    length: Annotated[int, typer.Option(help="Tokens in a sequence.", rich_help_panel=_HOW)] = 1024,
    accumulate: Annotated[
        int | None,
        typer.Option(
            help="Gradient accumulation: parts of a batch. Default on a CPU: two sequences a part.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate.", rich_help_panel=_HOW)
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="Optimizer: muon or adamw.", rich_help_panel=_HOW)
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            help="Dropout probability. Default: 0; 0.1 with --from none on small folders.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    weight_decay: Annotated[
        float, typer.Option(help="Weight decay of the weight matrices.", rich_help_panel=_HOW)
    ] = 0.05,
    transpose: Annotated[
        bool,
        typer.Option(
            "--transpose/--no-transpose",
            help="Transpose the music to all keys (augmentation).",
            rich_help_panel=_HOW,
        ),
    ] = True,
    replay: Annotated[
        float,
        typer.Option(help="Share of each batch with music of the old styles, 0-0.9.", rich_help_panel=_HOW),
    ] = 0.5,
    replay_pieces: Annotated[
        int,
        typer.Option(
            help="Pieces that the old model writes for --replay, for each style.", rich_help_panel=_HOW
        ),
    ] = 12,
    patience: Annotated[
        int,
        typer.Option(help="Early stopping: validations in a row without improvement.", rich_help_panel=_HOW),
    ] = 4,
    classifier: Annotated[
        bool,
        typer.Option(
            "--classifier/--no-classifier",
            help="Also train the classifier on the new style.",
            rich_help_panel=RUN,
        ),
    ] = True,
    device: Annotated[
        str, typer.Option(help="Device: auto, cpu, cuda, cuda:N or mps.", rich_help_panel=RUN)
    ] = "auto",
    seed: Seed = 1,
    save_minutes: Annotated[
        float, typer.Option(help="Minutes between two saves of the training state.", rich_help_panel=RUN)
    ] = 3.0,
    resume: Resume = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the size, time and memory of the run; write nothing.",
            rich_help_panel=RUN,
        ),
    ] = False,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard", help="Write TensorBoard event files to OUT/training.", rich_help_panel=RUN
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that read files. Default: one for each CPU core.", rich_help_panel=RUN),
    ] = None,
    force: Force = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Learn the music of a folder: a model that writes in its style too.

    By default the shipped model goes on learning and keeps its old styles; the CNN learns the new one in the same run,
    so that 'melodygen generate --model OUT --style NAME' closes the loop. Ctrl-C saves; --resume goes on.
    """
    from melodygen.services.train import TrainGeneratorRequest, forecast, train_generator
    from melodygen.training.generator.config import TrainingConfig

    settings = {field.name: ctx.params[field.name] for field in fields(TrainingConfig)}
    asked = TrainGeneratorRequest(
        folder,
        out,
        TrainingConfig(**settings),
        frozenset(name for name in settings if is_given(ctx, name)),
        device,
        save_minutes,
        resume,
        tensorboard,
        workers,
        force,
    )
    display = functools.partial(shown_progress, quiet=quiet)
    if dry_run:
        expected = forecast(asked, display).to_dict()
        print(json.dumps(expected) if json_ else _forecast_text(expected, length))
        return
    result = train_generator(asked, display, stopping)
    if result is None:
        return
    if json_:
        print(json.dumps(result.to_dict()))
    elif not quiet:
        print(_described(result.to_dict()))


@app.command("classifier")
def classifier(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A folder of folders named by label, with audio or music files; with --from musicnn also labels.csv "
            "(path,label,artist)."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The checkpoint folder to write.")],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            help="Classifier whose weights training starts from: name or folder; 'none': random weights; 'musicnn': "
            "teach the tagger of recordings, best for audio.",
        ),
    ] = "",
    steps: Annotated[
        int | None, typer.Option(help="Number of optimizer steps of the CNN. Default: 600.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in --out.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")] = False,
) -> None:
    """Train the CNN alone: it learns to tell the folders apart by ear.

    With --from musicnn the tagger of recordings learns them instead: a small head on what it hears, fitted in hardly
    more time than hearing the files takes. Then 'melodygen classify --classifier OUT' tells your styles, and tags and
    mood as before. Files of one artist should lie in one sub-folder below the label, or be named in labels.csv: the
    figures are of artists that were not learned from. MIDI and scores are heard as renders.
    """
    from melodygen.services.train import TrainClassifierRequest, train_classifier

    asked = TrainClassifierRequest(folder, out, source, steps, seed, force)
    figures = train_classifier(asked, functools.partial(shown_progress, quiet=quiet))
    if json_:
        print(json.dumps(figures))
    elif not quiet:
        print(f"{out}: {figures['told']}; {len(figures['rejected'])} files were not used")
        for line in _head_lines(figures) if "penalty" in figures else ():
            print(f"  {line}")
        for row in figures["rejected"]:
            print(plain(f"  {row['file']}: {row['reason']}"))
        if "penalty" in figures:
            print(f"  melodygen classify FILES --classifier {out}")


def _head_lines(figures: dict[str, Any]) -> list[str]:
    """What is known of a head on the tagger, beside how often it is right."""
    lines = []
    if figures["tested"]:
        unsure, heard_as = figures["unsure"], figures["heard_as"]
        lines.append(
            f"balanced over labels {figures['balanced_accuracy']:.1%}; calibration error "
            f"{figures['calibration_error']:.3f} (temperature {figures['temperature']:.2f})"
        )
        of_these = "" if unsure["right"] is None else f", {unsure['right']:.0%} of them right"
        of_others = "" if unsure["sure_right"] is None else f"; of the others {unsure['sure_right']:.0%}"
        lines.append(
            f"unsure below {figures['unsure_below']:g}: {unsure['share']:.0%} of the files{of_these}{of_others}"
        )
        for label, share in figures["recall"].items():
            others = ", ".join(f"{name} {n}" for name, n in heard_as[label].items() if name != label)
            taken = f", taken for {others}" if others else ""
            lines.append(plain(f"{label}: {share:.0%} of {sum(heard_as[label].values())} right{taken}"))
    return [*lines, *(plain(note) for note in figures["notes"])]


def _forecast_text(report: dict[str, Any], length: int) -> str:
    lines = [
        f"{report['used']} of {report['files']} files can be used ({report['rejected']} rejected, "
        f"{report['near_duplicates']} near-duplicates)",
        f"{report['tokens']:,} tokens, {report['examples']:,} examples of {length} tokens",
        f"{report['steps']} steps at most, {report['minutes_at_most']:g} minutes on {report['device']} in "
        f"{'bfloat16' if report['bf16'] else 'float32'} ({report['tokens_a_second']:,} tokens a second, "
        f"measured now); writing the old styles for replay {report['replay_minutes_at_most']:g} minutes "
        "at most; training the CNN comes on top",
        f"{report['memory_mib']:,} MiB of memory, {report['parameters']:,} parameters",
        "nothing was written",
    ]
    return "\n".join([*lines, *(f"  not used: {n} × {reason}" for reason, n in report["reasons"].items())])


def is_given(ctx: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@contextmanager
def stopping() -> Iterator[Any]:
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
def shown_progress(leads: bool, quiet: bool) -> Iterator[_Watcher]:
    """The watcher of a run, with a line of progress on stderr where this process speaks and is not quiet."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    visible = leads and not quiet
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
