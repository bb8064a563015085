"""Tunes a generator towards a style by preference among its own candidates, and says whether that made it better."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melodygen.errors import UsageError
from melodygen.nets import checkpoint as checkpoints
from melodygen.services.models import classifier_of, load_classifier, load_renderer
from melodygen.services.train import Display, Stopping
from melodygen.training.generator.work_folder import working_folder
from melodygen.training.preference.checkpoint import figures_of, table_lines, write_checkpoint
from melodygen.training.preference.config import PreferenceConfig, check_preference
from melodygen.training.preference.run import Outcome, draw_groups, draw_kept, num_groups, run_preference
from melodygen.training.preference.setup import Ears, begin, resume


@dataclass(frozen=True)
class TrainPreferenceRequest:
    """What ``melodygen train preference`` is asked for.

    Attributes:
        config: what decides the result.
        model: name or folder of the generator; None is the shipped one.
        out: the checkpoint folder; None is named by model and style, in the present folder.
        reference: a folder of human music by style.
        classifier: name or folder; None is that of the model, else the shipped one.
        renderer: by name.
        given: names of the fields of ``config`` that were given: with ``resume`` they must be as before.
        resume: go on with a run.
        force: replace what is in ``out``.
        keep_anyway: write the checkpoint although it is not better.
    """

    config: PreferenceConfig
    model: str | None = None
    out: Path | None = None
    reference: Path | None = None
    classifier: str | None = None
    renderer: str | None = None
    given: frozenset[str] = frozenset()
    resume: bool = False
    force: bool = False
    keep_anyway: bool = False


@dataclass(frozen=True)
class TrainPreferenceResult:
    """What came of it. ``written`` is False where it is not better and was not to be kept anyway."""

    out: Path
    outcome: Outcome
    written: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "out": str(self.out),
            "written": self.written,
            **figures_of(self.outcome),
            "seconds": self.seconds,
        }

    def describe(self) -> str:
        """For people."""
        found = self.outcome
        return "\n".join(
            [
                *table_lines(found.rows),
                f"second judge: fitted on {found.judge}",
                f"{found.divergence:.4f} nats a token from the start, {found.divergence_other:.4f} in other styles",
                f"{self.out}: {found.verdict}" + ("" if self.written else "; no checkpoint was written"),
            ]
        )


def train_preference(
    asked: TrainPreferenceRequest, display: Display, stopping: Stopping
) -> TrainPreferenceResult:
    """Draw, rank, learn, measure, and write the checkpoint where it is better.

    Where it is not, the work folder stays, and ``resume`` with ``keep_anyway`` writes it after all.

    Raises:
        UsageError, CheckpointError, ClassifierError, CorpusError, PluginError, OutputExistsError: what cannot be.
        Stopped: it was told to stop; ``resume`` goes on.
    """
    started = time.monotonic()
    _check(asked)
    source = checkpoints.resolve(asked.model or "", checkpoints.DEFAULT_GENERATOR)
    out = asked.out or Path(f"{source.resolve().name}-{asked.config.style}")
    with (
        display(True) as watcher, stopping() as stop, working_folder(out, asked.resume, asked.force) as work,
    ):  # fmt: skip
        renderer = load_renderer(asked.renderer)
        ears = Ears(renderer, load_classifier(asked.classifier or classifier_of(source)), watcher, stop)
        if asked.resume:
            setting = resume(work, ears)
            _check_resumed(asked, setting.record.asked, source, Path(setting.record.source))
        else:
            setting = begin(asked.config, source, work, asked.reference, ears)
        plan = setting.config
        watcher.say(
            f"{num_groups(plan.pairs) * 8} candidates for up to {plan.pairs} pairs, {plan.steps} steps"
        )
        kept = draw_kept(setting)
        outcome = run_preference(setting, kept, draw_groups(setting, num_groups(plan.pairs)))
        written = outcome.better or (asked.keep_anyway and bool(outcome.progress.best))
        if written:
            write_checkpoint(setting, out, outcome)
            shutil.rmtree(work)
    return TrainPreferenceResult(out, outcome, written, round(time.monotonic() - started, 1))


def _check(asked: TrainPreferenceRequest) -> None:
    check_preference(asked.config)
    if asked.resume and asked.force:
        raise UsageError("--resume goes on with a run, --force throws it away: give one")
    both = sorted(asked.given & {"pairs", "steps"})
    if both and asked.config.minutes is not None:
        raise UsageError(f"--time decides pairs and steps; leave out --time, or --{both[0]}")


def _check_resumed(
    asked: TrainPreferenceRequest, before: PreferenceConfig, source: Path, began_from: Path
) -> None:
    """Raise UsageError where an option that was given is not what the run began with."""
    now: Mapping[str, Any] = vars(asked.config)
    changed = [(name, now[name], getattr(before, name)) for name in sorted(asked.given)]
    if source.resolve() != began_from:
        changed.append(("model", source, began_from))
    for name, value, old in changed:
        if value != old:
            option = {"minutes": "time"}.get(name, name).replace("_", "-")
            raise UsageError(
                f"--resume with --{option} {value}: the run was begun with {old}; leave the option out, or start "
                "again with --force"
            )
