"""The end of a run: the checkpoint folder with card, curves, log and the list of files."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from melodygen.atomic import atomic_path
from melodygen.data.dataset import PLAIN, ExampleSampler
from melodygen.generation.neural import style_to_json
from melodygen.nets import checkpoint as checkpoints
from melodygen.training.generator.card import generator_card, plot_curves
from melodygen.training.generator.density import density_quantiles
from melodygen.training.generator.run import Prepared
from melodygen.training.generator.state import TrainingState, disk_errors

DENSITY_EXAMPLES = 200
"""Of each new style, to measure how dense it is."""


def finish(run: Prepared, work: Path, out: Path, progress: TrainingState) -> dict[str, Any]:
    """Write the checkpoint: the best weights seen, config, card, curves, log and the list of files. Gives figures."""
    run.net.load_state_dict(progress.best)
    figures = _figures(run, progress)
    config = _config(run, work, out, progress, figures)
    (out / "training").mkdir(parents=True, exist_ok=True)
    for name in ("files.csv", "log.jsonl"):
        with atomic_path(out / "training" / name, overwrite=True) as temporary:
            shutil.copyfile(work / name, temporary)
    plot_curves(out / "training" / "curves.png", [asdict(p) for p in progress.curve])
    card = generator_card(config, figures)
    with disk_errors(out):
        checkpoints.save_checkpoint(out, run.net, config, card)
    return figures


def _figures(run: Prepared, progress: TrainingState) -> dict[str, Any]:
    """Losses before and after, and where the best was."""
    first = progress.curve[0]
    best = min(progress.curve[1:], key=lambda p: p.valid)
    return {
        "new_styles": list(run.record.new), "valid_loss_before": first.valid, "valid_loss": best.valid,
        "old_loss_before": first.old, "old_loss": best.old, "best_step": best.step,
        "steps_run": progress.curve[-1].step, "steps_planned": run.record.steps,
    }  # fmt: skip


def _density_quantiles(run: Prepared) -> dict[str, Any]:
    """Those of the base model, and of plain examples of the new styles."""
    quantiles = {} if run.record.base is None else dict(run.record.base.density_quantiles)
    longest = min(1000, run.config.length - 24)
    sampler = ExampleSampler(run.shards, "train", run.order, PLAIN, max_tokens=longest)
    return quantiles | density_quantiles(sampler, run.record.new, DENSITY_EXAMPLES)


def _inherited(run: Prepared) -> dict[str, dict[str, Any]]:
    """Logit bias and sampling of the base model; a new style is sampled as the one it began as."""
    base = run.record.base
    if base is None:
        return {"logit_bias": {}, "sampling": {}}
    tables = {"logit_bias": dict(base.logit_bias), "sampling": dict(base.sampling)}
    for table in tables.values():
        table |= {name: table[known] for name, known in base.nearest.items() if known in table}
    return tables


def _config(
    run: Prepared, work: Path, out: Path, progress: TrainingState, figures: dict[str, Any]
) -> dict[str, Any]:
    """What goes into config.json."""
    record, base = run.record, run.record.base
    files_csv = (work / "files.csv").read_bytes()
    numbers = sum(p.numel() for p in run.net.parameters())
    return {
        "kind": "generator", "name": out.resolve().name,
        "summary": f"{record.net['type']}, {numbers / 1e6:.1f} M parameters, {len(run.order)} styles; "
        f"learned {', '.join(record.new)} from {record.folder}",
        "net": dict(record.net), "vocabulary_id": run.vocabulary_id,
        "styles": [style_to_json(s) for s in record.styles], "density_quantiles": _density_quantiles(run),
        **_inherited(run),
        "provenance": {
            "melodygen": version("melodygen"), "folder": record.folder, "data_id": record.data_id,
            "files": "training/files.csv", "files_sha256": hashlib.sha256(files_csv).hexdigest(),
            "from": None if base is None else {"model_id": base.model_id, "sha256": base.sha256},
            "plan": asdict(record.config), "recipe": asdict(run.recipe), "steps": progress.curve[-1].step,
            "summary": dict(record.summary), "figures": figures,
        },
    }  # fmt: skip
