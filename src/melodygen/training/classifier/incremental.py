"""Teaching a classifier a new style beside those it knows, in the run that teaches it to the generator.

Its ears stay as they are: only a row for each new style is learned (logistic regression on what the net makes of a
window, in detail, against the rows it has), so what it knew it still knows, except where music now sounds more like the
new style. Where the net heard most of the new music as one known style, the new one is a part of that (``part_of``):
who asks for the known style is judged as before.
It learns from renders of the folder and from the exemplars of the known styles that lie beside the weights; where there
are none, from what the old generator wrote.

M windows, E values of the net's embedding, D with detail, K known labels, J new ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from melodygen.classification.cnn import CnnClassifier
from melodygen.contracts import Renderer
from melodygen.data.scan import SourceFile, find_files
from melodygen.errors import CheckpointError, CorpusError
from melodygen.generation.neural import NeuralGenerator
from melodygen.nets import checkpoint as checkpoints
from melodygen.nets.cnn import StyleCnn
from melodygen.registry import list_styles
from melodygen.rendering.default import load_renderer
from melodygen.training.classifier.exemplars import (
    Exemplars,
    embed_files,
    joined,
    load_exemplars,
    save_exemplars,
)
from melodygen.training.classifier.fine_tuning import as_midi, card, most_similar_style
from melodygen.training.classifier.trainer import fit_temperature
from melodygen.training.generator.fine_tuning import Watcher, write_known
from melodygen.training.generator.run import Prepared

WINDOWS = {"train": 240, "valid": 60}
"""Of each new style; of each known one as many, or what there is."""
KEPT_SHARE = 4
"""One piece in so many of the exemplars is kept for the report."""
PENALTY = 1e-2
EMPHASIS = 3.0
"""How much heavier a new style weighs than a known one: they overlap, and the new one is what is asked for."""


def add_styles_to_classifier(
    run: Prepared, folder: Path, work: Path, out: Path, watcher: Watcher
) -> dict[str, Any]:
    """Write ``out/classifier``: the known classifier, and the new styles of the run. Gives figures."""
    base = None if run.record.base is None else run.record.base.path
    known = Path(base) / "classifier" if base else Path()
    try:
        if not (known / checkpoints.CONFIG).is_file():
            known = checkpoints.resolve("", checkpoints.DEFAULT_CLASSIFIER)
        classifier = CnnClassifier.from_folder(known)
    except CheckpointError as error:
        return {"told": f"none was taught: {error}"}
    new = [n for n in run.record.new if n not in classifier.labels]
    if not new:
        return {"told": f"the known one hears {', '.join(run.record.new)} already"}
    renderer = load_renderer()
    try:
        heard = new_windows(run, folder, work, classifier, renderer, new, watcher)
        held = load_exemplars(known)
        theirs = (
            split_by_piece(held)
            if held is not None
            else written_windows(run, work, classifier, renderer, watcher)
        )
    except CorpusError as error:
        return {"told": f"none was taught: {error}"}
    train, valid = joined([theirs[0], heard[0]]), joined([theirs[1], heard[1]])
    watcher.stage("learning to hear", 0.5)
    net, record = with_new_rows(known, classifier, new, train, valid)
    figures = record["provenance"]["figures"]
    record["name"] = f"{out.resolve().name}-classifier"
    record["summary"] = f"Hears {len(record['labels'])} styles; learned {', '.join(new)}"
    record["provenance"] |= {
        "from": {"name": known.name, "sha256": checkpoints.weights_sha256(known)}, "data_id": run.record.data_id,
        "known_styles_from": "exemplars" if held is not None else "music the old generator wrote",
    }  # fmt: skip
    checkpoints.save_checkpoint(out / "classifier", net, record, card(record, figures))
    if held is not None:  # the ears are the same: the next lesson goes on from here
        save_exemplars(out / "classifier", joined([held, *heard]))
    return dict(figures)


def new_windows(
    run: Prepared, folder: Path, work: Path, classifier: CnnClassifier, renderer: Renderer, new: Sequence[str],
    watcher: Watcher,
) -> tuple[Exemplars, Exemplars]:  # fmt: skip
    """Of the folder's files in the new styles: windows to learn from, and to report on."""
    split = {p.path: p.split for p in run.shards.pieces if p.kind != "drums"}
    found = find_files(folder, run.config.style)
    parts: dict[str, list[Exemplars]] = {"train": [], "valid": []}
    styles = list_styles()
    for at, name in enumerate(new):
        own = [replace(f, split=split[f.name]) for f in found if f.name in split and f.style == name]
        manner = name if name in styles else most_similar_style(classifier, renderer, own, work)
        files = [f for f in (as_midi(f, work / "notation-midi") for f in own) if f is not None]
        label = len(classifier.labels) + at
        for number, (part, windows) in enumerate(parts.items()):
            mine = [replace(f, style=manner) for f in files if f.split == part]

            def tell(share: float, name: str = name, done: float = at + 0.5 * number) -> None:
                watcher.stage(f"hearing {name}"[:40], (done + 0.5 * share) / len(new))

            windows.append(embed_files(classifier, renderer, mine, label, WINDOWS[part], number, tell))
    return joined(parts["train"]), joined(parts["valid"])


def written_windows(
    run: Prepared, work: Path, classifier: CnnClassifier, renderer: Renderer, watcher: Watcher
) -> tuple[Exemplars, Exemplars]:
    """The known styles as a generator writes them, for a classifier without exemplars."""
    replay = work / "replay-midi"
    if not replay.is_dir():  # a fresh model has none; the shipped one writes it
        writer = NeuralGenerator.from_folder(checkpoints.resolve("", checkpoints.DEFAULT_GENERATOR))
        write_known(writer, writer.styles, run.config.replay_pieces, run.config.seed, replay, watcher)
    found = find_files(replay)
    parts: dict[str, list[Exemplars]] = {"train": [], "valid": []}
    styles = list_styles()
    for label, name in enumerate(classifier.labels):
        own: list[SourceFile] = [f for f in found if f.style == name]
        manner = name if name in styles else most_similar_style(classifier, renderer, own, work)
        for number, (part, windows) in enumerate(parts.items()):
            watcher.stage(f"hearing {name}"[:40], (label + 0.5 * number) / len(classifier.labels))
            mine = [replace(f, style=manner) for f in own if f.split == part]
            if mine:
                windows.append(embed_files(classifier, renderer, mine, label, WINDOWS[part] // 2, number))
    if not parts["train"] or not parts["valid"]:
        raise CorpusError("there is nothing to tell the style apart from")
    return joined(parts["train"]), joined(parts["valid"])


def split_by_piece(exemplars: Exemplars) -> tuple[Exemplars, Exemplars]:
    """Exemplars to learn from and to report on; no piece is in both."""
    kept = exemplars.piece % KEPT_SHARE == 0
    return exemplars.only(~kept), exemplars.only(kept)


def with_new_rows(
    known: Path, classifier: CnnClassifier, new: Sequence[str], train: Exemplars, valid: Exemplars
) -> tuple[StyleCnn, dict[str, Any]]:
    """The known net with a row for each of ``new``, and the config of its checkpoint, figures in its provenance."""
    config = checkpoints.read_config(known, "classifier")
    spec = {k: v for k, v in config["net"].items() if k != "type"}
    old = StyleCnn(len(classifier.labels), classifier.front_end.num_bands, **spec)
    checkpoints.load_weights(known, old)
    labels = [*classifier.labels, *new]
    net = StyleCnn(len(labels), classifier.front_end.num_bands, **{**spec, "detail": True})
    deeper = net.head.in_features - old.head.in_features  # the known rows do not read what lies deeper
    weight, bias = functional.pad(old.head.weight.detach(), (0, deeper)), old.head.bias.detach()
    rows, offsets = fit_rows(train, weight, bias, len(new), classifier.temperature)
    state = old.state_dict() | {
        "head.weight": torch.cat([weight, rows]),
        "head.bias": torch.cat([bias, offsets]),
    }
    net.load_state_dict(state)
    net.half().float()  # as it will be stored
    with torch.no_grad():
        logits = net.head(torch.from_numpy(valid.embedded)).numpy()
        before = functional.linear(torch.from_numpy(valid.embedded), weight, bias).numpy()
    part_of = wholes(
        functional.linear(torch.from_numpy(train.embedded), weight, bias).numpy(), train.label, labels
    )
    figures = recognition_figures(logits, before, valid.label, labels, new, part_of)
    kept = {k: v for k, v in config.items() if k != "tag_evidence"}  # fitted without the new styles
    record = {
        **kept, "net": {**config["net"], "detail": True}, "labels": labels,
        "temperature": fit_temperature(logits, valid.label), "part_of": config.get("part_of", {}) | part_of,
        "provenance": {"melodygen": version("melodygen"), "figures": figures},
    }  # fmt: skip
    if "music_head" in config:
        head = config["music_head"]
        record["music_head"] = {**head, "weights": [*head["weights"], *[0.0] * deeper]}
    return net, record


def wholes(before: NDArray[np.float32], targets: NDArray[np.int64], labels: Sequence[str]) -> dict[str, str]:
    """For each new label the known one as which most of its windows were heard, where there is such a one.

    ``before`` (M, K): what the known classifier says.
    """
    found = {}
    for label in range(before.shape[1], len(labels)):
        heard = np.bincount(before[targets == label].argmax(axis=1), minlength=before.shape[1])
        if heard.max() > heard.sum() / 2:
            found[labels[label]] = labels[int(heard.argmax())]
    return found


def fit_rows(
    train: Exemplars, weight: torch.Tensor, bias: torch.Tensor, count: int, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(J, D) and (J,): rows beside the known ones (K, D) that make the labels likeliest, known ones equally heavy."""
    inputs = torch.from_numpy(train.embedded)
    mean, deviation = inputs.mean(dim=0), inputs.std(dim=0)
    deviation = deviation.clamp(
        min=0.1 * float(deviation.mean())
    )  # a value that hardly moves must not weigh much
    scaled = (inputs - mean) / deviation
    fixed = functional.linear(inputs, weight, bias)
    targets = torch.from_numpy(train.label)
    share = 1.0 / torch.bincount(targets, minlength=len(bias) + count).clamp(min=1)[targets].float()
    share = torch.where(targets >= len(bias), EMPHASIS * share, share)
    share = share / share.sum()
    rows = torch.zeros(count, inputs.shape[1], requires_grad=True)
    offsets = torch.zeros(count, requires_grad=True)
    search = torch.optim.LBFGS([rows, offsets], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        logits = torch.cat([fixed / temperature, functional.linear(scaled, rows, offsets)], dim=1)
        loss = (share * functional.cross_entropy(logits, targets, reduction="none")).sum()
        loss = loss + PENALTY * (rows * rows).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        plain = rows * temperature / deviation
        return plain, offsets * temperature - plain @ mean


def recognition_figures(
    logits: NDArray[np.float32], before: NDArray[np.float32], targets: NDArray[np.int64], labels: Sequence[str],
    new: Sequence[str], part_of: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """On windows of pieces that were kept back. ``known_recall_with_parts``: a part heard as its whole counts."""
    said = logits.argmax(axis=1)
    right = said == targets
    whole = np.array([labels.index(part_of.get(name, name)) for name in labels])
    is_new = targets >= len(labels) - len(new)
    figures: dict[str, Any] = {
        "views": len(targets), "accuracy": round(float(right.mean()), 4),
        "new_recall": round(float(right[is_new].mean()), 4),
        "known_recall_before": round(float((before.argmax(axis=1) == targets)[~is_new].mean()), 4),
        "known_recall": round(float(right[~is_new].mean()), 4),
        "known_recall_with_parts": round(float((whole[said] == targets)[~is_new].mean()), 4), "part_of": dict(part_of),
        "recall": {n: round(float(right[targets == i].mean()), 4) for i, n in enumerate(labels) if i in targets},
    }  # fmt: skip
    parts = ", ".join(f"{part} is part of {name}" for part, name in part_of.items())
    figures["told"] = (
        f"right on {figures['accuracy']:.0%} of {len(targets)} windows it did not learn from, "
        f"{figures['new_recall']:.0%} of those of {', '.join(new)}; known styles "
        f"{figures['known_recall_before']:.0%} -> {figures['known_recall']:.0%}"
        + (f", {figures['known_recall_with_parts']:.0%} where {parts}" if parts else "")
    )
    return figures
