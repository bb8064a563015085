"""The model card and the curves of a run, written by the program from what it measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from melodygen.atomic import atomic_path


def generator_card(config: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Markdown: data, licence note, figures, limits."""
    provenance = config["provenance"]
    summary, plan, base = provenance["summary"], provenance["plan"], provenance["from"]
    begun = f"from `{base['model_id']}`" if base else "from nothing (no model before it)"
    old = ""
    if figures["old_loss"] is not None and figures["old_loss_before"]:
        change = figures["old_loss"] / figures["old_loss_before"] - 1
        old = (
            f"| the old styles, music the old model wrote | {figures['old_loss_before']:.4f} | "
            f"{figures['old_loss']:.4f} "
            f"({change:+.1%}) |\n"
        )
    names = ", ".join(_plain(s["name"]) for s in config["styles"])
    roles = ", ".join(f"{role} in {n['files']}" for role, n in summary["roles"].items())
    reasons = "".join(f"- {count} × {_plain(reason)}\n" for reason, count in summary["reasons"].items())
    return f"""# {_plain(config["name"])}

{_plain(config["summary"])}. Written by melodygen {provenance["melodygen"]}; this card is the program's,
from what it measured.

Styles: {names}. Learned in this run: {", ".join(_plain(n) for n in figures["new_styles"])}.

    melodygen generate --model PATH/TO/THIS/FOLDER --style "{_plain(figures["new_styles"][0])}"

## Data

Folder `{_plain(provenance["folder"])}`: {summary["files"]} files, {summary["used"]} used,
{summary["rejected"]} rejected, \
{summary["near_duplicates"]} near-duplicates left out; {summary["notes"]:,} notes, {summary["hours"]} hours; {roles}. \
Every file with its SHA-256, and why it was not used where it was not, is in `training/files.csv`.

{("Not used:" + chr(10) + chr(10) + reasons) if reasons else ""}
**Licence.** melodygen does not know the terms of these files. What a model learned from music under
copyright may need the
permission of its owners before it, or what it writes, is passed on. Add the terms here.

## Training

Begun {begun}; {provenance["steps"]} steps of {plan["rows"]} × {plan["length"]} tokens \
in {"bfloat16" if provenance["recipe"]["bf16"] else "float32"}, best at step {figures["best_step"]}; \
weights are an average over steps. Curves: `training/curves.png`, `training/log.jsonl`.

| validation loss, nats a token | before | after |
|---|---|---|
| the new music, titles not learned from | {figures["valid_loss_before"]:.4f} | {figures["valid_loss"]:.4f} |
{old}
## Limits

The validation titles are a tenth of the folder, chosen by title; where the folder is small this figure is
rough. The line on
old styles is measured on music the old model wrote, since the corpus it learned from does not travel with
it. A model that saw
few pieces may repeat parts of them: compare what it writes with the folder before you publish it.
"""


def _plain(text: str) -> str:
    """A name from a user's folder as one line of Markdown."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split()).replace("`", "'")


def plot_curves(path: Path, points: Sequence[Mapping[str, Any]]) -> None:
    """A PNG of the losses over steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for name, label in (
        ("train", "training batches"),
        ("valid", "new music, validation"),
        ("old", "the old model's music"),
    ):
        found = [(p["step"], p[name]) for p in points if p[name] is not None]
        if found:
            axis.plot(*zip(*found, strict=True), label=label, marker="." if name != "train" else "")
    axis.set_xlabel("step")
    axis.set_ylabel("nats a token")
    axis.legend(frameon=False)
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
