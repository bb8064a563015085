"""The end of a preference run: the checkpoint folder with a card that says what it was tuned by and what that cost."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from melodygen.atomic import atomic_path
from melodygen.generation.neural import NETS
from melodygen.nets import checkpoint as checkpoints
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.generator.state import disk_errors
from melodygen.training.preference.measures import Row
from melodygen.training.preference.run import Outcome, Setting

CLASSIFIER = "classifier"


def figures_of(outcome: Outcome) -> dict[str, Any]:
    """What a run found, as plain values: NaN is None."""
    rows = [{name: _plain(value) for name, value in asdict(row).items()} for row in outcome.rows]
    return {
        "better": outcome.better, "verdict": outcome.verdict, "fallen": list(outcome.fallen), "measures": rows,
        "second_judge": outcome.judge, "candidates": outcome.candidates, "pairs": outcome.pairs,
        "pairs_kept_back": outcome.held, "divergence": outcome.divergence,
        "divergence_other_styles": outcome.divergence_other, "turned_back": outcome.progress.turned_back,
        "steps": outcome.progress.curve[-1].step if outcome.progress.curve else 0,
    }  # fmt: skip


def write_checkpoint(setting: Setting, out: Path, outcome: Outcome) -> None:
    """Write the best weights with config, card, log and the classifier of the start, if it has one of its own."""
    record, start = setting.record, setting.checkpoint
    arguments = dict(start["net"])
    net = NETS[arguments.pop("type")](VOCABULARY.size, **arguments)
    net.load_state_dict(outcome.progress.best)
    figures = figures_of(outcome)
    config = {key: value for key, value in start.items() if key != "format_version"} | {
        "name": out.resolve().name,
        "summary": f"{start.get('summary', '')}; tuned towards {record.config.style} by preference".lstrip("; "),
        "provenance": {
            "melodygen": version("melodygen"), "from": {"model_id": record.model_id, "sha256": record.sha256},
            "tuned": asdict(record.config), "classifier": record.classifier_id, "renderer": record.renderer_id,
            "reference": Path(record.reference).name, "figures": figures, "start": start.get("provenance", {}),
        },
    }  # fmt: skip
    _take_classifier(Path(record.source) / CLASSIFIER, out / CLASSIFIER)
    (out / "training").mkdir(parents=True, exist_ok=True)
    with atomic_path(out / "training" / "log.jsonl", overwrite=True) as temporary:
        lines = [json.dumps(asdict(check)) + "\n" for check in outcome.progress.curve]
        temporary.write_text("".join(lines), encoding="utf-8")
    with disk_errors(out):
        checkpoints.save_checkpoint(out, net, config, preference_card(config, outcome.rows))


def _take_classifier(source: Path, target: Path) -> None:
    """The classifier that was trained with the start goes with it; one of another model does not stay."""
    if source.resolve() == target.resolve():
        return
    shutil.rmtree(target, ignore_errors=True)
    if (source / checkpoints.CONFIG).is_file():
        shutil.copytree(source, target)


def preference_card(config: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Markdown: what it was tuned by, before and after, limits."""
    provenance = config["provenance"]
    found, plan = provenance["figures"], provenance["tuned"]
    verdict = found["verdict"][0].upper() + found["verdict"][1:]
    table = "\n".join(table_lines(rows))
    return f"""# {config["name"]}

{config["summary"]}. Written by melodygen {provenance["melodygen"]};
this card is the program's, from what it measured.

**{verdict}.**

    melodygen generate --model PATH/TO/THIS/FOLDER --style "{plan["style"]}"

## What it was tuned by

It began from `{provenance["from"]["model_id"]}`,
which wrote {found["candidates"]} candidates of {plan["bars"]} bars in {plan["style"]}.
They were ranked by the style probability of `{provenance["classifier"]}`,
by melodygen's quality measure, and by how near the parts of the band play to where people's do.
{found["pairs"]} pairs of a better and a worse piece were learned from in {found["steps"]} steps
(direct preference optimisation, beta {plan["beta"]:g}); {found["pairs_kept_back"]} were kept back.

The net was to stay within {plan["leash"]:g} nats a token of the start. It is {found["divergence"]:.4f} away in
{plan["style"]} and {found["divergence_other_styles"]:.4f} in other styles.
It was turned back {found["turned_back"]} times.

## Before and after

{plan["measure_pieces"]} pieces each, on seeds that nothing was tuned on, none chosen.
The second judge reads notes; it was fitted on {found["second_judge"]}.
"Fell" stands where a measure that nothing was tuned by is worse by more than chance (95 %).

{table}

## Limits

A rise of what the model was tuned by shows that the tuning worked, not that the music is better: listen.
With so few pieces, small falls go unseen.
"""


def table_lines(rows: Sequence[Row]) -> list[str]:
    """A Markdown table of measures."""
    lines = ["| measure | before | after | ± | |", "|---|---|---|---|---|"]
    for row in rows:
        note = "tuned by" if row.tuned_by else "fell" if row.fell else ""
        cells = ("–" if math.isnan(v) else f"{v:.3f}" for v in (row.before, row.after, row.error))
        lines.append(f"| {row.name} | {' | '.join(cells)} | {note} |")
    return lines


def _plain(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
