"""The beginning of a preference run: the checkpoint is read, the time is fitted, everything open is decided."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from melodygen.contracts import Renderer, StyleClassifier
from melodygen.data.scan import find_files
from melodygen.errors import CheckpointError, ClassifierError, PluginError, UsageError
from melodygen.generation.neural import NETS, NeuralGenerator
from melodygen.nets import checkpoint as checkpoints
from melodygen.nets.precision import has_bf16
from melodygen.parsing import check_style
from melodygen.registry import nearest
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.generator.fine_tuning import Watcher
from melodygen.training.generator.setup import data_id
from melodygen.training.preference.config import GROUP, PAIRS_A_GROUP, PreferenceConfig
from melodygen.training.preference.dpo import Pair, PreferenceTraining
from melodygen.training.preference.human_music import read_human_music
from melodygen.training.preference.record import PreferenceRecord
from melodygen.training.preference.run import (
    HELD_EVERY,
    NUM_CHECKS,
    OTHER_STYLES,
    Setting,
    draw_groups,
)

CANDIDATE_SHARE = 0.6
"""Share of the time left after what is fixed that candidates get; steps get the rest."""
LEAST_STEPS = 8


@dataclass(frozen=True, eq=False)
class Ears:
    """Who hears the candidates, and whoever looks on."""

    renderer: Renderer
    classifier: StyleClassifier
    watcher: Watcher
    stop: Callable[[], bool]


def begin(config: PreferenceConfig, source: Path, work: Path, reference: Path | None, ears: Ears) -> Setting:
    """Decide a new run, and write its record.

    Raises:
        UsageError: the style is not known, the reference lacks it, or the time is too short.
        CheckpointError, ClassifierError, CorpusError, PluginError: what cannot be used.
    """
    _check_judge()
    record = PreferenceRecord(
        config, config, str(source.resolve()), "", checkpoints.weights_sha256(source), ears.classifier.classifier_id,
        ears.renderer.renderer_id, "" if reference is None else str(reference.resolve()), _reference_id(reference),
        has_bf16(),
    )  # fmt: skip
    setting = _setting(record, work, ears)
    if config.minutes is not None:
        setting = _fitted(setting, config.minutes * 60)
    setting.record.write(work)
    return setting


def resume(work: Path, ears: Ears) -> Setting:
    """The run of a work folder. Raises CheckpointError or UsageError where what it began from has changed."""
    _check_judge()
    record = PreferenceRecord.read(work)
    source = Path(record.source)
    if checkpoints.weights_sha256(source) != record.sha256:
        raise CheckpointError(
            f"checkpoint {source} has changed since the run began; start again with --force"
        )
    for name, now, before in (
        ("classifier", ears.classifier.classifier_id, record.classifier_id),
        ("renderer", ears.renderer.renderer_id, record.renderer_id),
        (
            "reference",
            _reference_id(Path(record.reference) if record.reference else None),
            record.reference_id,
        ),
    ):
        if now != before:
            raise UsageError(
                f"--resume: the {name} is not the one the run began with ({before}); put it back, or start again "
                "with --force"
            )
    return _setting(record, work, ears)


def _setting(record: PreferenceRecord, work: Path, ears: Ears) -> Setting:
    source, style = Path(record.source), record.config.style
    loaded = NeuralGenerator.from_folder(source)
    check_style(style, loaded.styles)
    if style not in ears.classifier.labels:
        raise ClassifierError(
            f"classifier {record.classifier_id} does not know {style!r}; {nearest(style, ears.classifier.labels)}"
        )
    checkpoint = checkpoints.read_config(source, "generator")
    arguments = dict(checkpoint["net"])
    net = NETS[arguments.pop("type")](VOCABULARY.size, **arguments)
    checkpoints.load_weights(source, net)
    if record.reference:
        ears.watcher.stage("reading the reference", 0.0)
    folder = Path(record.reference) if record.reference else None
    human = read_human_music(folder, style, record.config.bars, record.config.seed)
    return Setting(
        replace(record, model_id=loaded.model_id), work, net.eval(), checkpoint, ears.renderer, ears.classifier,
        human, ears.watcher, ears.stop,
    )  # fmt: skip


def _fitted(setting: Setting, seconds: float) -> Setting:
    """The setting with as many pairs and steps as fit into the time, at the pace of a first group and two steps."""
    config, begun = setting.config, time.monotonic()
    setting.watcher.stage("measuring the pace", 0.0)
    group = draw_groups(setting, 1)[0]
    a_piece = (time.monotonic() - begun) / GROUP
    examples = [rated.example(config.style, setting.context) for rated in group]
    pairs = [Pair(one, other) for one, other in zip(examples[::2], examples[1::2], strict=True)]
    training = PreferenceTraining(
        copy.deepcopy(setting.net), pairs[: config.rows], examples[:2], config, setting.record.bf16
    )
    training.learn()
    stepped = time.monotonic()
    training.learn()
    a_step = time.monotonic() - stepped
    pieces = (
        OTHER_STYLES * config.kept_pieces + 2 * config.measure_pieces + (NUM_CHECKS + 1) * config.check_pieces
    )
    left = seconds - pieces * a_piece - (time.monotonic() - begun)
    groups = int(CANDIDATE_SHARE * left / (GROUP * a_piece))
    steps = int((1 - CANDIDATE_SHARE) * left / a_step)
    if groups < HELD_EVERY or steps < LEAST_STEPS:
        needed = max(
            HELD_EVERY * GROUP * a_piece / CANDIDATE_SHARE, LEAST_STEPS * a_step / (1 - CANDIDATE_SHARE)
        )
        raise UsageError(
            f"--time {seconds / 60:g}m is too short at this pace ({a_piece:.1f} s a candidate, {a_step:.1f} s a step); "
            f"give {1 + int((needed + seconds - left) / 60)}m or more"
        )
    pairs_fit = PAIRS_A_GROUP * (groups - -(-groups // HELD_EVERY))
    return replace(
        setting, record=replace(setting.record, config=replace(config, pairs=pairs_fit, steps=steps))
    )


def _reference_id(folder: Path | None) -> str:
    return "" if folder is None else data_id(find_files(folder, None))


def _check_judge() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise PluginError(
            "preference tuning needs scikit-learn for its second judge: pip install 'melodygen[eval]'"
        ) from error


__all__ = ["Ears", "begin", "resume"]
