"""The end of a run: the checkpoint folder with card, curves, log and the list of files."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from melodygen.atomic import atomic_path
from melodygen.data.dataset import PLAIN, ExampleSampler
from melodygen.generation.neural import style_to_json
from melodygen.nets import checkpoint as checkpoints
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.generator.card import generator_card, plot_curves
from melodygen.training.generator.run import Prepared
from melodygen.training.generator.state import TrainingState, disk_errors


def finish(run: Prepared, work: Path, out: Path, progress: TrainingState) -> dict[str, Any]:
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
    # a new style is sampled as the one it began as
    habits = {kind: dict(record["base"].get(kind, {})) for kind in ("logit_bias", "sampling")}
    for habit in habits.values():
        habit |= {n: habit[k] for n, k in record["base"].get("nearest", {}).items() if k in habit}
    files_csv = (work / "files.csv").read_bytes()
    numbers = sum(p.numel() for p in run.net.parameters())
    config = {
        "kind": "generator", "name": out.resolve().name,
        "summary": f"{run.net_arguments['type']}, {numbers / 1e6:.1f} M parameters, {len(run.order)} styles; "
        f"learned {', '.join(run.new)} from {record['folder']}",
        "net": run.net_arguments, "vocabulary_id": run.record["base"].get("vocabulary_id", VOCABULARY.vocabulary_id),
        "styles": [style_to_json(s) for s in run.styles], "density_quantiles": quantiles,
        **habits,
        "provenance": {
            "melodygen": version("melodygen"), "folder": record["folder"], "data_id": record["data_id"],
            "files": "training/files.csv", "files_sha256": hashlib.sha256(files_csv).hexdigest(),
            "from": {k: record["base"][k] for k in ("model_id", "sha256") if k in record["base"]} or None,
            "plan": record["plan"], "recipe": asdict(run.recipe), "steps": progress.curve[-1].step,
            "summary": record["summary"], "figures": figures,
        },
    }  # fmt: skip
    (out / "training").mkdir(parents=True, exist_ok=True)
    for name in ("files.csv", "log.jsonl"):
        with atomic_path(out / "training" / name, overwrite=True) as temporary:
            shutil.copyfile(work / name, temporary)
    plot_curves(out / "training" / "curves.png", [asdict(p) for p in progress.curve])
    card = generator_card(config, figures)
    with disk_errors(out):
        checkpoints.save_checkpoint(out, run.net, config, card)
    return figures
