"""A preference run: candidates, pairs, steps with checks, and what the model is before and after.

Each stage leaves its result in the work folder, whole or not at all, and is a function of what was decided when the run
began; so a run that was stopped or killed ends as an unbroken one.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from melodygen.contracts import Renderer, StyleClassifier
from melodygen.errors import MelodygenError, UsageError
from melodygen.evaluation.diversity import diversity
from melodygen.evaluation.tables import write_json
from melodygen.generation.neural import NeuralGenerator
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.generator.fine_tuning import Watcher
from melodygen.training.generator.run import Stopped
from melodygen.training.preference.candidates import (
    Quartiles,
    Rated,
    make_pairs,
    usual_request,
    write_plain,
    write_rated,
)
from melodygen.training.preference.config import GROUP, LEAST_PAIRS, PAIRS_A_GROUP, PreferenceConfig
from melodygen.training.preference.dpo import Pair, PreferenceTraining
from melodygen.training.preference.human_music import HumanMusic
from melodygen.training.preference.measures import (
    Floor,
    Judge,
    Measures,
    Row,
    compare,
    human_examples,
    human_loss,
    measure,
)
from melodygen.training.preference.record import Check, PreferenceRecord, Progress, load_state, save_state

CANDIDATES, KEPT, CHECKS, UNTOUCHED = 1, 2, 3, 4
"""Random streams of a seed."""
OTHER_STYLES = 4
NUM_CHECKS = 4
MOST_TURNS = 2
"""A run that is turned back once more has come as far as it can."""
HELD_EVERY = 6
"""One group in so many is kept back: pairs that nothing is learned from."""
SAVE_SECONDS = 60.0


@dataclass(frozen=True, eq=False)
class Setting:
    """What the stages of a run share.

    Attributes:
        record: what was decided.
        work: the work folder.
        net: the start, as float32.
        checkpoint: its config.json.
        renderer, classifier: who hears the candidates.
        human: people's music.
        watcher: sees the run.
        stop: asked between two pieces of work.
    """

    record: PreferenceRecord
    work: Path
    net: nn.Module
    checkpoint: Mapping[str, Any]
    renderer: Renderer
    classifier: StyleClassifier
    human: HumanMusic
    watcher: Watcher
    stop: Callable[[], bool]

    @property
    def config(self) -> PreferenceConfig:
        """What was decided."""
        return self.record.config

    @property
    def quartiles(self) -> Quartiles:
        """Where people's band figures lie."""
        return self.human.quartiles(self.config.style)

    @property
    def context(self) -> int:
        """Tokens that the net sees at once."""
        return int(self.checkpoint["net"].get("context", 1024))

    def generator(self, net: nn.Module | None = None) -> NeuralGenerator:
        """The generator of a net; of the start where none is given."""
        return NeuralGenerator.from_net(copy.deepcopy(net or self.net), self.checkpoint, self.record.model_id)

    def rated(self, generator: NeuralGenerator, seeds: Sequence[int]) -> list[Rated]:
        """Candidates on the usual request, as the loop rates them."""
        request = usual_request(generator, self.config.style, self.config.bars)
        return write_rated(generator, self.renderer, self.classifier, request, seeds)

    def check_stop(self, what: str) -> None:
        """Raise Stopped where the user has stopped the run."""
        if self.stop():
            raise Stopped(f"stopped {what}; go on with --resume")


class NotBetterError(MelodygenError):
    """The tuned model is not better than the start."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        rows: measures before and after; after is the start's where no step was accepted.
        progress: how learning went.
        pairs, held: number of pairs learned from, and kept back.
        candidates: number of pieces they were made from.
        judge: what the second judge was fitted on.
        divergence, divergence_other: of the tuned net from the start in this style and in others, in nats a token.
    """

    rows: tuple[Row, ...]
    progress: Progress
    pairs: int
    held: int
    candidates: int
    judge: str
    divergence: float
    divergence_other: float

    @property
    def fallen(self) -> tuple[str, ...]:
        """Measures that nothing was tuned by and that fell."""
        return tuple(row.name for row in self.rows if row.fell)

    @property
    def gained(self) -> bool:
        """Whether the style probability rose by more than chance."""
        return any(row.name == "style probability" and row.rose for row in self.rows)

    @property
    def better(self) -> bool:
        """Whether the style probability rose and nothing untouched fell."""
        return bool(self.progress.best) and self.gained and not self.fallen

    @property
    def verdict(self) -> str:
        """In one sentence."""
        if not self.progress.best:
            why = next((c.refused for c in self.progress.curve if c.refused), "nothing was learned")
            return f"not better: no step stayed inside its limits ({why})"
        if self.fallen:
            return f"not better: {', '.join(self.fallen)} fell"
        return (
            "better" if self.gained else "not better: the style probability did not rise by more than chance"
        )


def run_preference(setting: Setting, kept: Sequence[Rated], groups: Sequence[Sequence[Rated]]) -> Outcome:
    """Learn from the candidates, or go on, and measure. Raises Stopped, MelodygenError for too few pairs."""
    config, record = setting.config, setting.record
    judge = _judge(setting, kept, groups)
    unseen = human_examples(
        setting.human.unseen, config.style, list(setting.generator().styles).index(config.style),
        setting.context, setting.checkpoint["vocabulary_id"] == VOCABULARY.vocabulary_id,
    )  # fmt: skip
    seeds = stream_seeds(config.seed, UNTOUCHED, config.measure_pieces)

    def measured(name: str, net: nn.Module) -> Measures:
        path = setting.work / f"{name}.json"
        if not path.is_file():
            setting.check_stop(f"before the model was measured {name}")
            setting.watcher.stage(f"measuring {name}", 0.5)
            found = measure(setting.rated(setting.generator(net), seeds), setting.quartiles, judge)
            write_json(path, found | human_loss(net, unseen, record.bf16))
        table = json.loads(path.read_text(encoding="utf-8"))
        return {key: tuple(float("nan") if v is None else v for v in pair) for key, pair in table.items()}  # type: ignore[misc]

    before = measured("before", setting.net)
    learned, held = split_pairs(setting, groups)
    examples = [r.example("", setting.context) for r in kept]
    training = PreferenceTraining(copy.deepcopy(setting.net), learned, examples, config, record.bf16)
    progress = learn(setting, training, held)
    training.net.load_state_dict(progress.best or setting.net.state_dict())
    after = measured("after", training.net) if progress.best else before
    pieces = [pair.preferred for pair in held] + [pair.rejected for pair in held]
    return Outcome(
        tuple(compare(before, after)), progress, len(learned), len(held), sum(map(len, groups)), judge.told,
        training.divergence(pieces), training.divergence(examples),
    )  # fmt: skip


def learn(setting: Setting, training: PreferenceTraining, held: Sequence[Pair]) -> Progress:
    """Take the steps that are left. At each check the net must be inside the leash and above the floor of diversity;
    else it goes on from the best that was, at half the rate."""
    config, work = setting.config, setting.work
    progress = load_state(work, training)
    floor = _floor(setting)
    every = max(1, -(-config.steps // NUM_CHECKS))
    begun, first, saved = time.monotonic(), training.step, time.monotonic()
    tokens = 2 * config.rows * float(np.mean([len(p.preferred.ids) for p in training.pairs]))
    while training.step < config.steps and not progress.finished:
        progress.losses.append(training.learn())
        pace = (time.monotonic() - begun) / (training.step - first)
        left = pace * (config.steps - training.step)
        setting.watcher.step(training.step, config.steps, progress.losses[-1], tokens / pace, left)
        if training.step % every == 0 or training.step == config.steps:
            check(setting, training, held, floor, progress)
            save_state(work, training, progress)
        elif time.monotonic() - saved > SAVE_SECONDS or setting.stop():
            save_state(work, training, progress)
            saved = time.monotonic()
        if training.step < config.steps and not progress.finished:
            setting.check_stop(f"after step {training.step} of {config.steps}")
    return progress


def check(
    setting: Setting, training: PreferenceTraining, held: Sequence[Pair], floor: Floor, progress: Progress
) -> None:
    """Look at the net: keep it as the best, or turn it back."""
    config = setting.config
    standing = training.standing(held)
    away = max(standing.divergence, training.divergence(training.kept))
    now = diversity([r.piece for r in check_pieces(setting, training.net)])
    refused = f"divergence {away:.3f}, leash {config.leash:g}" if away > config.leash else floor.broken(now)
    entry = Check(
        training.step, float(np.mean(progress.losses)), standing.loss, standing.accuracy, standing.gain,
        standing.margin, away, now.distinct, now.entropy, now.likeness, refused,
    )  # fmt: skip
    progress.curve.append(entry)
    progress.losses.clear()
    setting.watcher.say(describe_check(entry))
    if refused:
        progress.turned_back += 1
        progress.finished = progress.turned_back > MOST_TURNS
        training.turn_back(progress.best or setting.net.state_dict())
    elif entry.loss < progress.best_loss:
        progress.best_loss, progress.best = entry.loss, as_saved(training.net)


def as_saved(net: nn.Module) -> dict[str, Tensor]:
    """The weights as a checkpoint holds them, in float16, so that what is measured is what is written."""
    return {
        k: v.detach().half().float() if v.is_floating_point() else v.clone()
        for k, v in net.state_dict().items()
    }


def describe_check(entry: Check) -> str:
    """One line for the user."""
    fate = f"; turned back: {entry.refused}" if entry.refused else ""
    return (
        f"step {entry.step}: pairs kept back: loss {entry.loss:.3f}, {entry.accuracy:.0%} right; "
        f"{entry.divergence:.4f} nats a token from the start; distinct {entry.distinct:.2f}, "
        f"entropy {entry.entropy:.2f}, likeness {entry.likeness:.3f}{fate}"
    )


def check_pieces(setting: Setting, net: nn.Module) -> list[Rated]:
    """What a net writes on the seeds of the checks, without marks."""
    generator = setting.generator(net)
    request = usual_request(generator, setting.config.style, setting.config.bars)
    return write_plain(
        generator, request, stream_seeds(setting.config.seed, CHECKS, setting.config.check_pieces)
    )


def _floor(setting: Setting) -> Floor:
    """The floor of this run, measured once."""
    config, path = setting.config, setting.work / "floor.json"
    if not path.is_file():
        setting.watcher.stage("measuring diversity", 0.5)
        write_json(path, [r.ids for r in check_pieces(setting, setting.net)])
    ids = json.loads(path.read_text(encoding="utf-8"))
    pieces = [Rated(tuple(i), 0, 0).piece for i in ids]
    return Floor(diversity(pieces), setting.human.diversity(config.style, config.check_pieces, config.seed))


def _judge(setting: Setting, kept: Sequence[Rated], groups: Sequence[Sequence[Rated]]) -> Judge:
    style, seed = setting.config.style, setting.config.seed
    human = setting.human.judges(style)
    if human:
        return Judge(
            style, human, f"human music of {len(human)} styles in {Path(setting.record.reference).name}", seed
        )
    names = list(setting.generator().styles)
    examples: dict[str, list[Any]] = {}
    for rated in kept:
        examples.setdefault(names[VOCABULARY.values[rated.ids[1]] - 1], []).append(rated.piece)
    if not examples:
        raise UsageError(
            f"the second judge has nothing to tell {style} from: the model knows no other style; name a folder of "
            "human music in several styles with --reference"
        )
    own = [rated.piece for group in groups for rated in group]
    examples[style] = own[: OTHER_STYLES * setting.config.kept_pieces]
    return Judge(style, examples, f"what the start writes in {len(examples)} styles", seed)


def split_pairs(setting: Setting, groups: Sequence[Sequence[Rated]]) -> tuple[list[Pair], list[Pair]]:
    """(pairs to learn from, pairs kept back). Raises MelodygenError where there are too few."""
    config, human = setting.config, setting.quartiles
    learned: list[Pair] = []
    held: list[Pair] = []
    for index, group in enumerate(groups):
        pairs = make_pairs(group, human, config.style, setting.context)
        (held if index % HELD_EVERY == 0 else learned).extend(pairs)
    if len(learned) < LEAST_PAIRS or not held:
        raise MelodygenError(
            f"{sum(map(len, groups))} candidates gave {len(learned)} pairs to learn from and {len(held)} to keep back; "
            f"{LEAST_PAIRS} and 1 are needed: raise --pairs, or choose another --style"
        )
    return learned[: config.pairs], held


def draw_groups(setting: Setting, count: int) -> list[list[Rated]]:
    """Groups of candidates, each on seeds of its own; those that are there already are read."""
    folder = setting.work / "candidates"
    folder.mkdir(exist_ok=True)
    generator = setting.generator()
    groups = []
    begun, drawn = time.monotonic(), 0
    for index in range(count):
        path = folder / f"{index:05d}.json"
        if not path.is_file():
            setting.check_stop(f"after {index * GROUP} of {count * GROUP} candidates")
            left = (
                "" if not drawn else f", {_clock((time.monotonic() - begun) / drawn * (count - index))} left"
            )
            setting.watcher.stage(f"candidate {index * GROUP}/{count * GROUP}{left}", index / count)
            seeds = stream_seeds(setting.config.seed, CANDIDATES, GROUP, index)
            write_json(path, [vars(r) for r in setting.rated(generator, seeds)])
            drawn += 1
        groups.append([Rated.from_json(r) for r in json.loads(path.read_text(encoding="utf-8"))])
    return groups


def draw_kept(setting: Setting) -> list[Rated]:
    """Pieces in a few other styles, as the start writes them."""
    path, config = setting.work / "kept.json", setting.config
    if not path.is_file():
        generator = setting.generator()
        others = [s for s in generator.styles if s != config.style]
        chosen = np.random.default_rng([config.seed, KEPT]).permutation(len(others))[:OTHER_STYLES]
        found = []
        for number, index in enumerate(sorted(chosen.tolist())):
            setting.check_stop("while other styles were written")
            setting.watcher.stage(f"writing {others[index]}", number / len(chosen))
            request = usual_request(generator, others[index], config.bars)
            found += write_plain(
                generator, request, stream_seeds(config.seed, KEPT, config.kept_pieces, index)
            )
        write_json(path, [vars(r) for r in found])
    return [Rated.from_json(r) for r in json.loads(path.read_text(encoding="utf-8"))]


def num_groups(pairs: int) -> int:
    """Groups from which so many pairs can be made, with those that are kept back."""
    learned = -(-pairs // PAIRS_A_GROUP)
    return learned + -(-learned // (HELD_EVERY - 1))


def stream_seeds(seed: int, stream: int, count: int, index: int = 0) -> list[int]:
    """Seeds of pieces; those of different streams have nothing in common."""
    return [int(s) for s in np.random.SeedSequence([seed, stream, index]).generate_state(count)]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
