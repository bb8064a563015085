"""The verdict of `classify` on MIDI and scores: the style CNN alone, and with the tagger's styles and the score's
instruments (`tag_evidence`).

    python benchmarks/score_verdicts.py prepare CACHE --corpus DIR --foreign DIR --font A.sf2 --font B.sf2 \
        --unseen-font TimGM6mb.sf2 [--sets ...]
    python benchmarks/score_verdicts.py fit CACHE           measures what is usual, chooses weight and temperature
    python benchmarks/score_verdicts.py measure CACHE [--sets ...] [--page docs/classifier.md]

`prepare` keeps what all say of each item: of the sets of classifier_quality.py (`as_is`, `known`, `unknown`), and of
validation titles (`validation`) and MIDI from elsewhere with each change of orchestration_robustness.py, half a minute
each; of `foreign-seen` and `foreign` also a minute as `classify` hears it (change `minute`). `fit` looks at half of the
validation titles and at no file from elsewhere; `measure` tells the calibration of the other half.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from classifier_quality import LABELS, PIECES_A_STYLE
from numpy.typing import NDArray
from orchestration_robustness import CHANGES, SECONDS, among, pieces_of, versions

from melodygen.atomic import atomic_path
from melodygen.audio.buffer import Audio
from melodygen.audio.features import features, to_mono_at
from melodygen.classification.cnn import CnnClassifier
from melodygen.classification.instrument_evidence import instrument_evidence
from melodygen.classification.symbolic import as_heard, read_symbolic, stretch
from melodygen.classification.tag_evidence import LabelEvidence, TagEvidence
from melodygen.classification.tagger import Tagger, load_tagger
from melodygen.data.scan import find_files
from melodygen.data.views import AS_IS, PLAIN, UNKNOWN_INSTRUMENTS, ViewMaker
from melodygen.errors import MelodygenError
from melodygen.evaluation.metrics import calibration_error, mean_by_group, report, softmax
from melodygen.evaluation.tables import markdown_table, replace_section
from melodygen.music.score import Score
from melodygen.nets.checkpoint import resolve
from melodygen.rendering.draft import render_draft
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.styles.scores import StyleScores
from melodygen.training.classifier.trainer import fit_temperature
from melodygen.training.classifier.view_rendering import (
    ViewSource,
    group_files,
    read_takes,
    validation_windows,
)
from melodygen.training.recipes.classifier import in_calibration_half

Floats = NDArray[np.float64]
VIEWS = {"as_is": AS_IS, "known": PLAIN, "unknown": UNKNOWN_INSTRUMENTS}
ELSEWHERE = ("foreign-seen", "foreign")
SETS = (*VIEWS, "validation", *ELSEWHERE)
MINUTE = 60.0
WEIGHTS = np.arange(0, 0.81, 0.05)
MAX_LOSS = 0.01
"""Mean share of validation titles, as they are written and arranged, that may be lost for the tags."""
SECTION = "score-verdicts"


class Heard(NamedTuple):
    """What all say of one item: (labels,) logits of the CNN, (styles,) probabilities of the tagger, (labels,) what the
    instruments say."""

    label: str
    name: str
    logits: Floats
    tagged: Floats
    played_on: Floats


class Verdicts(NamedTuple):
    """Of a set: targets (N,), names, logits (N, labels), the tagger's probabilities (N, styles) and what the
    instruments say (N, labels)."""

    targets: NDArray[np.int64]
    names: list[str]
    logits: Floats
    tagged: Floats
    played_on: Floats

    def part(self, keep: NDArray[np.bool_]) -> Verdicts:
        names = [name for name, kept in zip(self.names, keep, strict=True) if kept]
        kept = (values[keep] for values in (self.logits, self.tagged, self.played_on))
        return Verdicts(self.targets[keep], names, *kept)


class Overheard:
    """A renderer whose sound the tagger hears, too; ``heard`` keeps what it and the instruments say."""

    def __init__(self, renderer: SamplerRenderer, tagger: Tagger, heard: list[tuple[Floats, Floats]]) -> None:
        self.renderer_id, self._renderer, self._tagger, self._heard = (
            renderer.renderer_id,
            renderer,
            tagger,
            heard,
        )

    def render(self, score: Score, sample_rate: int, quality: str = "final") -> Audio:
        audio = self._renderer.render(score, sample_rate, quality)
        self._heard.append((tagged_styles(audio, self._tagger), played_on(score)))
        return audio


def tagged_styles(audio: Audio, tagger: Tagger) -> Floats:
    return tagger.tag(to_mono_at(audio, tagger.sample_rate)).styles.probabilities


def played_on(score: Score) -> Floats:
    return np.array(list(instrument_evidence(score, LABELS).values()))


def save(path: Path, items: list[Heard]) -> None:
    with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream, label=np.array([i.label for i in items]), name=np.array([i.name for i in items]),
            logits=np.array([i.logits for i in items]), tagged=np.array([i.tagged for i in items]),
            played_on=np.array([i.played_on for i in items]),
        )  # fmt: skip
    print(f"{path.name}: {len(items)} items", flush=True)


def load(path: Path) -> Verdicts:
    held = np.load(path)
    targets = np.array([LABELS.index(label) for label in held["label"].tolist()])
    return Verdicts(targets, held["name"].tolist(), held["logits"], held["tagged"], held["played_on"])


def views(arguments: argparse.Namespace, name: str, judge: CnnClassifier, tagger: Tagger) -> list[Heard]:
    """Validation titles as classifier_quality.py makes them."""
    files = find_files(arguments.corpus)
    fonts = {"as_is": [], "known": arguments.font, "unknown": [arguments.unseen_font]}[name]
    heard: list[tuple[Floats, Floats]] = []
    renderers = [Overheard(SamplerRenderer(f), tagger, heard) for f in fonts or [None]]
    source = ViewSource(
        group_files(files, "valid", LABELS), LABELS, ViewMaker(read_takes(files, "valid")), renderers
    )
    found = validation_windows(source, VIEWS[name], PIECES_A_STYLE)
    logits = mean_by_group(judge.window_logits(found.windows), found.item)
    rows = zip(found.label, found.name, logits, heard, strict=True)
    return [Heard(label, told, said, *beside) for label, told, said, beside in rows]


def played_versions(
    score: Score, minute: bool, index: int, changes: Sequence[str]
) -> Iterator[tuple[str, Score]]:
    """(change, what is played) of half a minute of a piece; ``minute``: also a minute of it, unchanged."""
    made = list(versions(stretch(score, SECONDS), index, changes))
    yield from made
    if minute and made:
        yield "minute", stretch(score, MINUTE)


def prepare(arguments: argparse.Namespace) -> None:
    arguments.cache.mkdir(parents=True, exist_ok=True)
    judge, tagger = CnnClassifier.from_folder(resolve("style-cnn", "")), load_tagger()
    usual, other = SamplerRenderer(), SamplerRenderer(arguments.unseen_font)
    for name in arguments.sets:
        if name in VIEWS:
            save(arguments.cache / f"{name}.npz", views(arguments, name, judge, tagger))
            continue
        held: dict[str, list[Heard]] = {}
        for index, (path, label, told, _) in enumerate(
            pieces_of(name, arguments.corpus, arguments.foreign, 20)
        ):
            try:
                for change, played in played_versions(
                    read_symbolic(path), name in ELSEWHERE, index, arguments.changes
                ):
                    audio = render_draft(as_heard(played), other if change == "font" else usual)
                    logits = judge.window_logits(features(audio, judge.front_end)).mean(axis=0)
                    beside = tagged_styles(audio, tagger), played_on(played)
                    held.setdefault(change, []).append(Heard(label, told, logits, *beside))
            except MelodygenError as error:
                print(f"{told}: {error}", flush=True)
        for change, items in held.items():
            save(arguments.cache / f"{name}-{change}.npz", items)


def own(found: Verdicts, judge: CnnClassifier) -> Floats:
    """(N, labels) probabilities of the CNN alone."""
    return softmax(found.logits / judge.temperature)


def fused(found: Verdicts, judge: CnnClassifier, tagger: Tagger, evidence: TagEvidence) -> Floats:
    """(N, labels) probabilities of all together."""
    rows = []
    for probabilities, tagged, instruments in zip(
        own(found, judge), found.tagged, found.played_on, strict=True
    ):
        said = StyleScores(tagger.labels, tagged, tagger.classifier_id)
        played = dict(zip(LABELS, instruments.tolist(), strict=True))
        styles = dict(evidence.fused(list(zip(LABELS, probabilities.tolist(), strict=True)), said, played))
        rows.append([styles[label] for label in LABELS])
    return np.array(rows)


def evidence_of(judge: CnnClassifier) -> TagEvidence:
    assert judge.tag_evidence is not None
    return judge.tag_evidence


def usual_of(halves: dict[str, Verdicts], evidence: TagEvidence, tagger: Tagger) -> dict[str, LabelEvidence]:
    """With the tagger's usual log probabilities: over titles as they are written and arranged, each label as often."""
    found = [halves["as_is"], halves["known"]]
    targets = np.concatenate([v.targets for v in found])
    said = [
        evidence.log_probabilities(StyleScores(tagger.labels, p, tagger.classifier_id))
        for v in found
        for p in v.tagged
    ]
    usual = {}
    for label, held in evidence.labels.items():
        logs = np.array([row[label] for row in said])
        mean = np.mean([logs[targets == k].mean() for k in np.unique(targets)])
        usual[label] = replace(held, usual=round(float(mean), 2))
    return usual


def fit(arguments: argparse.Namespace) -> None:
    """What is usual, then the tagger's weight before the first that costs titles as they are written and arranged more
    than MAX_LOSS, then the temperature over all validation sets, changed ones too; the weight of the instruments stays.
    It looks at half of the titles."""
    judge, tagger = CnnClassifier.from_folder(resolve("style-cnn", "")), load_tagger()
    paths = [arguments.cache / f"{name}.npz" for name in ("as_is", "known")]
    paths += [arguments.cache / f"validation-{change}.npz" for change in CHANGES.values()]
    sets = {path.stem: load(path) for path in paths if path.is_file()}
    halves = {name: v.part(in_calibration_half(v.names)) for name, v in sets.items()}
    targets = np.concatenate([v.targets for v in halves.values()])
    plain = replace(evidence_of(judge), labels=usual_of(halves, evidence_of(judge), tagger), temperature=1.0)
    chosen, before = plain, 0.0
    for weight in WEIGHTS.tolist():
        how = replace(plain, weight=round(weight, 2))
        said = {name: fused(v, judge, tagger, how) for name, v in halves.items()}
        right = {name: float(np.mean(p.argmax(axis=1) == halves[name].targets)) for name, p in said.items()}
        logs = np.log(np.concatenate(list(said.values())))
        temperature = fit_temperature(logs.astype(np.float32), targets)
        nll = -float(np.mean(np.log(softmax(logs / temperature))[np.arange(len(targets)), targets]))
        shown = ", ".join(f"{name} {share:.3f}" for name, share in right.items())
        print(f"weight {weight:.2f}: {shown}; temperature {temperature:.3f}, loss {nll:.4f}", flush=True)
        both = (right["as_is"] + right["known"]) / 2
        before = before or both
        if both < before - MAX_LOSS:
            break
        chosen = replace(how, temperature=round(temperature, 2))
    print(f"\n[tag_evidence]\nweight = {chosen.weight}\ntemperature = {chosen.temperature}")
    print("\n[tag_evidence.labels]")
    for label, held in chosen.labels.items():
        styles = ", ".join(f'"{name}"' for name in held.styles)
        print(f"{label} = {{ styles = [{styles}], usual = {held.usual} }}")


def row(
    name: str, probabilities: Floats, found: Verdicts, before: NDArray[np.int64] | None, unsure: float
) -> list[str]:
    """Cells of a table: right, interval, among its labels, kept, calibration error, unsure and right of the others."""
    said = probabilities.argmax(axis=1)
    whole = report(probabilities, found.targets, LABELS)
    half = np.ones(len(said), bool) if name.startswith("foreign") else ~in_calibration_half(found.names)
    sure = probabilities.max(axis=1) >= unsure
    low, high = whole.interval
    return [
        f"{whole.accuracy:.1%}",
        f"{low:.0%}–{high:.0%}",
        f"{among(probabilities, found.targets):.1%}",
        f"{np.mean(said == before):.1%}" if before is not None else "–",
        f"{calibration_error(probabilities[half], found.targets[half]):.3f}",
        f"{1 - sure.mean():.0%}",
        f"{np.mean(said[sure] == found.targets[sure]):.0%}",
    ]


def measure(arguments: argparse.Namespace) -> None:
    judge, tagger = CnnClassifier.from_folder(resolve("style-cnn", "")), load_tagger()
    evidence = evidence_of(judge)
    head = (
        "",
        "",
        "right",
        "95 %",
        "among its labels",
        "label kept",
        "calibration error",
        "unsure",
        "right of the others",
    )
    names = {change: told for told, change in CHANGES.items()}
    texts = []
    for name in arguments.sets:
        paths = [arguments.cache / f"{name}.npz"]
        paths += [arguments.cache / f"{name}-{change}.npz" for change in ("minute", *CHANGES.values())]
        rows: list[list[str]] = []
        same: dict[str, NDArray[np.int64]] = {}
        for path in (p for p in paths if p.is_file()):
            found, change = load(path), path.stem[len(name) + 1 :]
            for who, said in (
                ("alone", own(found, judge)),
                ("with tags", fused(found, judge, tagger, replace(evidence, instruments=0.0))),
                ("with tags and instruments", fused(found, judge, tagger, evidence)),
            ):
                told = names.get(change, "a minute" if change else "a minute, as the set is made")
                before = same.get(who)
                rows.append(
                    [
                        told,
                        who,
                        *row(name, said, found, before if change in names else None, judge.unsure_below),
                    ]
                )
                if change == "same":
                    same[who] = said.argmax(axis=1)
        if rows:
            texts.append(f"**{name}**, {len(found.names)} items:\n\n" + markdown_table(head, rows))
            print(texts[-1], flush=True)
    if arguments.page:
        replace_section(
            arguments.page,
            SECTION,
            f"`{judge.classifier_id}`, `{tagger.classifier_id}`\n\n" + "\n\n".join(texts),
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare")
    one.add_argument("cache", type=Path)
    one.add_argument("--corpus", type=Path)
    one.add_argument("--foreign", type=Path)
    one.add_argument("--font", type=Path, action="append", default=[])
    one.add_argument("--unseen-font", type=Path, required=True)
    one.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    one.add_argument("--changes", nargs="*", choices=CHANGES.values(), default=list(CHANGES.values()))
    one.set_defaults(run=prepare)
    two = commands.add_parser("fit")
    two.add_argument("cache", type=Path)
    two.set_defaults(run=fit)
    three = commands.add_parser("measure")
    three.add_argument("cache", type=Path)
    three.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    three.add_argument("--page", type=Path)
    three.set_defaults(run=measure)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
