"""What each step of rendering and augmentation brings: a ladder of small trainings, each rung with one thing more.

    python scripts/ablate_rendering.py CORPUS WORK --tests CACHE --font A.sf2 --font B.sf2 [--seed 1] \
        [--mma MMA] [--page docs/classifier.md] [--picture docs/images/ladder.png] [--json docs/ladder.json]

Every rung is the shipped net from nothing, with the same pieces, number of views, steps and seed, judged on the test
sets that ``evaluate_classifier.py prepare`` made (CACHE). Views are rendered once into WORK; each rung's figures are a
line of WORK/rungs.jsonl, and a rung that is there is not trained again. Differences are what counts: the budget is a
hundredth of the shipped net's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluate_classifier import load_set, restricted
from mma_arranger import MmaViewMaker
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from train_classifier import LABELS, draw_file, grouped, new_net, read_takes

from melodygen.contracts import Renderer
from melodygen.corpus.scan import find_files
from melodygen.corpus.source import read_source
from melodygen.corpus.views import TRAINING, ViewMaker, ViewStyle
from melodygen.errors import MelodygenError
from melodygen.evaluation.classifier import mean_by_group, report, softmax
from melodygen.evaluation.tables import markdown_table, replace_section, write_json
from melodygen.frontend import FrontEndConfig
from melodygen.nets.cnn import StyleCnn
from melodygen.renderers.sampler import SamplerRenderer
from melodygen.training.classifier import ClassifierRecipe, Distortions, Mixer, logits_of, train
from melodygen.training.viewstore import Entry, Store, StoreWriter, frames_in, open_store, render_stems

CONFIG = FrontEndConfig()
VIEWS, STEPS, ROWS = 800, 300, 24
WINDOWS_AN_ITEM = 3
NOTHING = Distortions(0, 0, 0, 0, 0, 0)
WRITTEN = ViewStyle(as_is=1.0, transpose=0, tempo=0.0, jitter=0.0)
PLAYED = replace(TRAINING, transpose=6, complete=0.0, jitter=0.0)
SETS = ("as_is", "known", "unknown", "foreign", "recordings")
TOLD = {
    "as_is": "as written", "known": "arranged, known fonts", "unknown": "unknown font and instruments",
    "foreign": "MIDI from elsewhere (of 5)", "recordings": "recordings (of 4, balanced)",
}  # fmt: skip


@dataclass(frozen=True)
class Views:
    """How a store is rendered."""

    how: ViewStyle
    all_fonts: bool = True
    rooms: float = 0.0
    mma: bool = False


STORES = {
    "written": Views(WRITTEN, all_fonts=False),
    "fonts": Views(WRITTEN),
    "played": Views(PLAYED),
    "voices": Views(replace(PLAYED, complete=1.0)),
    "human": Views(replace(PLAYED, complete=1.0, jitter=TRAINING.jitter)),
    "rooms": Views(TRAINING, rooms=0.5),
    "grooves": Views(replace(TRAINING, as_is=0.0), rooms=0.5, mma=True),
}


@dataclass(frozen=True)
class Rung:
    name: str
    stores: tuple[str, ...]
    keep_whole: float = 1.0
    often: Distortions = NOTHING
    soft: bool = False
    """Mixup and label smoothing."""
    average: float = 0.0
    pretrained: bool = False


def rungs(with_mma: bool, large: Path | None) -> list[Rung]:
    mixed = Rung("+ stems at random levels, some left out", ("rooms",), 0.35)
    equalised = replace(mixed, name="+ equaliser curves, cut bands", often=replace(NOTHING, equaliser=0.8, band=0.25))
    noisy = replace(equalised, name="+ noise, compression", often=replace(equalised.often, noise=0.5, compression=0.35))
    blanked = replace(noisy, name="+ blanks and small shifts of pitch", often=Distortions())
    soft = replace(blanked, name="+ mixup, label smoothing", soft=True)
    averaged = replace(soft, name="+ weights averaged over the steps", average=0.985)
    found = [
        Rung("as written, one soundfont", ("written",)),
        Rung("+ five soundfonts", ("fonts",)),
        Rung("+ instruments of the style, keys, tempi", ("played",)),
        Rung("+ missing voices written", ("voices",)),
        Rung("+ human timing", ("human",)),
        Rung("+ rooms", ("rooms",)),
        mixed, equalised, noisy, blanked, soft, averaged,
        replace(averaged, name="the same, begun without labels", pretrained=True),
    ]  # fmt: skip
    if with_mma:
        found.append(replace(averaged, name="+ half of the views in others' arrangements", stores=("rooms", "grooves")))
    if large is not None:
        found.append(replace(averaged, name="+ thirteen times as many views", stores=(str(large),)))
    return found


def render(arguments: argparse.Namespace, name: str) -> None:
    """The same pieces in every store; a store that is cut off goes on where it ends."""
    views, folder = STORES[name], arguments.work / name
    index = folder / "index.jsonl"
    done = len(index.read_text(encoding="utf-8").splitlines()) if index.is_file() else 0
    if done >= VIEWS:
        return
    files = find_files(arguments.corpus)
    groups, takes = grouped(files, "train"), read_takes(files, "train")
    maker = ViewMaker(takes)
    if views.mma:
        maker = MmaViewMaker(takes, arguments.mma, arguments.mma_library)
    fonts = arguments.font if views.all_fonts else arguments.font[:1]
    renderers: list[Renderer] = [SamplerRenderer(Path(f)) for f in fonts]
    writer, made = StoreWriter(folder), 0
    for number in range(VIEWS * 2):
        rng = np.random.default_rng([101, number])
        style = LABELS[number % len(LABELS)]
        file = draw_file(groups[style], rng)
        if made >= VIEWS:
            break
        try:
            source = read_source(file)
            view = maker.make(source, rng, views.how) if source is not None else None
        except MelodygenError as error:
            print(f"{file.name}: {error}", file=sys.stderr)
            continue
        if view is None or source is None:
            continue
        if made < done:
            made += 1
            continue
        renderer = renderers[int(rng.integers(len(renderers)))]
        stems = render_stems(view, renderer, rng, CONFIG, TRAINING.seconds, views.rooms)
        if set(stems) - {"drums"}:
            font = renderer.renderer_id
            writer.add(stems, Entry(style, source.collection, file.name, file.title, font, 0, tuple(stems)))
            made += 1
    print(json.dumps({"store": name, "views": made}), flush=True)


def joined(stores: list[Store]) -> Store:
    """Equal shares of each, as many views as one holds."""
    if len(stores) == 1:
        return stores[0]
    levels, entries = [], []
    first = 0
    for at, store in enumerate(stores):
        for entry in store.entries[at :: len(stores)]:
            levels.append(store.levels[entry.first : entry.first + len(entry.stems)])
            entries.append(replace(entry, first=first))
            first += len(entry.stems)
    return Store(np.concatenate(levels), tuple(entries))


def pretrain(net: StyleCnn, mixer: Mixer, seed: int) -> None:
    """Without labels (SimCLR, Chen et al. 2020): two halves of a window, each distorted in its own way, must lie nearer
    to each other than to other windows."""
    torch.manual_seed(seed)
    head = nn.Sequential(nn.Linear(net.head.in_features, 128), nn.ReLU(), nn.Linear(128, 64))
    parameters = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=STEPS)
    net.train()
    half = CONFIG.num_frames // 2
    for step in range(STEPS):
        levels, _ = mixer.draw(np.random.default_rng([seed, 7, step]), ROWS * 2, 1.0)
        window = torch.from_numpy(levels)
        one, two = (functional.normalize(head(net.embed(w)), dim=1) for w in (window[..., :half], window[..., -half:]))
        likeness = one @ two.T / 0.2
        goal = torch.arange(len(window))
        loss = (functional.cross_entropy(likeness, goal) + functional.cross_entropy(likeness.T, goal)) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    chance = float(np.log(len(window)))
    print(json.dumps({"pretraining loss": round(float(loss.detach()), 3), "chance": round(chance, 3)}), flush=True)


def judge(net: nn.Module, tests: Path) -> dict[str, float]:
    """Right of items, a set; ``* one``: from the window in the middle alone."""
    figures = {}
    for name in SETS:
        windows, item, targets, _ = load_set(tests / f"{name}.npz")
        chosen, middle = [], []
        for i in range(len(targets)):
            of = np.flatnonzero(item == i)
            chosen += of[np.unique(np.linspace(0, len(of) - 1, WINDOWS_AN_ITEM).round().astype(int))].tolist()
            middle.append(of[len(of) // 2])
        several = np.array(sorted({*chosen, *middle}))
        logits = logits_of(net, windows[several]).astype(np.float64)
        mean = mean_by_group(logits, item[several])
        alone = logits[np.searchsorted(several, middle)]
        for key, found in ((name, mean), (f"{name} one", alone)):
            among = restricted(found, targets) if name in ("foreign", "recordings") else found
            told = report(softmax(among), targets, LABELS)
            figures[key] = round(told.balanced_accuracy if name == "recordings" else told.accuracy, 4)
    return figures


def run(arguments: argparse.Namespace, rung: Rung) -> dict[str, Any]:
    frames = frames_in(TRAINING.seconds, CONFIG)
    folders = [arguments.work / s for s in rung.stores]
    store = joined([open_store(f, CONFIG.num_bands, frames) for f in folders])
    mixer = Mixer(store, LABELS, CONFIG, store.entries, rung.keep_whole, rung.often)
    net, begun = new_net(arguments.seed, CONFIG), time.monotonic()
    if rung.pretrained:
        pretrain(net, mixer, arguments.seed)
    recipe = ClassifierRecipe(
        steps=STEPS, rows=ROWS, learning_rate=2.5e-3, seed=arguments.seed, average=rung.average,
        label_smoothing=0.06 if rung.soft else 0.0, mixup=0.3 if rung.soft else 0.0,
        distort=float(rung.often != NOTHING),
    )  # fmt: skip
    trained = train(net, mixer, recipe)
    save_file(trained.state_dict(), arguments.work / "last.safetensors")
    row = {"rung": rung.name, "seed": arguments.seed, "views": len(store.entries), **judge(trained, arguments.tests)}
    return row | {"seconds": round(time.monotonic() - begun)}


def table(rows: list[dict[str, Any]], names: list[str]) -> tuple[str, dict[str, dict[str, list[float]]]]:
    """Mean and spread over seeds of each rung."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for name in SETS:
            found[row["rung"]][name].append(row[name])
            found[row["rung"]][f"{name} one"].append(row[f"{name} one"])

    def cell(values: list[float]) -> str:
        spread = f" ± {100 * float(np.std(values, ddof=1)):.1f}" if len(values) > 1 else ""
        return f"{100 * float(np.mean(values)):.1f}{spread}"

    lines = [(n, *(cell(found[n][s]) for s in SETS), str(len(found[n]["known"]))) for n in names if n in found]
    last = max((n for n in names if n in found), key=names.index)
    alone = (cell(found[last][f"{s} one"]) for s in SETS)
    lines.append(("the last, heard for 10 s only", *alone, lines[-1][-1]))
    return markdown_table(("", *(TOLD[s] for s in SETS), "seeds"), lines), found


def picture(path: Path, found: dict[str, dict[str, list[float]]], names: list[str]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from melodygen.atomic import atomic_path

    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    there = [n for n in names if n in found]
    for name in SETS:
        means = [100 * float(np.mean(found[n][name])) for n in there]
        (line,) = axis.plot(means, marker="o", label=TOLD[name])
        for at, n in enumerate(there):
            seeds = [100 * v for v in found[n][name]]
            axis.plot([at] * len(seeds), seeds, ".", color=line.get_color(), alpha=0.4)
    axis.set_xticks(range(len(there)), there, rotation=35, ha="right", fontsize=8)
    axis.set_ylabel("right of items, %")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    axis.set_title(f"What each step brings: {VIEWS} views, {STEPS} steps of {ROWS} windows; dots are seeds")
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--tests", type=Path, required=True)
    parser.add_argument("--font", action="append", default=[], required=True, help="the first rung has the first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], help="rungs whose name contains this")
    parser.add_argument("--mma", type=Path)
    parser.add_argument("--mma-library", type=Path, default=Path("/usr/share/mma/lib"))
    parser.add_argument("--large", type=Path, help="a store of train_classifier.py for the last rung")
    parser.add_argument("--render-only", action="store_true")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    ladder = rungs(arguments.mma is not None, arguments.large)
    results = arguments.work / "rungs.jsonl"
    for name in sorted({s for r in ladder for s in r.stores if s in STORES}, key=list(STORES).index):
        render(arguments, name)
    if arguments.render_only:
        return
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    for rung in ladder:
        is_done = any((r["rung"], r["seed"]) == (rung.name, arguments.seed) for r in rows)
        if is_done or (arguments.only and not any(o in rung.name for o in arguments.only)):
            continue
        rows.append(run(arguments, rung))
        with results.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(rows[-1]) + "\n")
        print(json.dumps(rows[-1]), flush=True)
    names = [r.name for r in ladder]
    text, found = table(rows, names)
    print(text)
    if arguments.page:
        replace_section(arguments.page, "ladder", text)
    if arguments.picture:
        picture(arguments.picture, found, names)
    if arguments.json:
        write_json(arguments.json, {"views": VIEWS, "steps": STEPS, "rows": ROWS, "rungs": rows})


if __name__ == "__main__":
    main()
