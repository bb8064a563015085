"""What each step of rendering and augmentation brings to music that was not rendered for training: a ladder of small
trainings from nothing, each rung with one thing more.

    python benchmarks/rendering_ablation.py render CORPUS STORES --views 400 --font A.sf2 --font B.sf2
    python benchmarks/rendering_ablation.py train STORES CACHE --results FILE --seed 1 --seed 2 [--rung NAME ...] \
        [--more STORE] [--arranged STORE] [--voices DIR]
    python benchmarks/rendering_ablation.py report --results FILE [--docs docs]

`render` writes one store for each rung of rendering, of the same pieces; both it and `train` go on where they were cut
off. CACHE is what `classifier_quality.py prepare` made. `--more` is a larger store of views, `--arranged` one of
pieces with other people's accompaniments, `--voices` a folder of speech. `report` writes a section, a
picture and a JSON file. The net has the shape of the shipped one at half its widths.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from classifier_quality import LABELS, RECIPE, SETS, load_set, restricted
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from melodygen.atomic import atomic_path
from melodygen.audio.features import FrontEndConfig
from melodygen.contracts import Renderer
from melodygen.data.scan import find_files
from melodygen.data.stems import read_source
from melodygen.data.views import TRAINING, ViewMaker, ViewStyle
from melodygen.errors import MelodygenError
from melodygen.evaluation.metrics import mean_by_group, report, softmax
from melodygen.evaluation.tables import markdown_table, replace_section, write_json
from melodygen.nets.cnn import StyleCnn
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.training.classifier.music_head import speech_over_music
from melodygen.training.classifier.trainer import (
    FULL,
    Augmentation,
    ClassifierRecipe,
    Mixer,
    distorted,
    logits_of,
    train,
)
from melodygen.training.classifier.view_rendering import draw_file, group_files, read_takes
from melodygen.training.classifier.view_store import (
    Entry,
    Store,
    StoreWriter,
    frames_in,
    open_store,
    render_stems,
)
from melodygen.training.recipes.classifier import new_net

CONFIG = FrontEndConfig()
HALVED = replace(RECIPE.net, widths=tuple(w // 2 for w in RECIPE.net.widths), hidden=RECIPE.net.hidden // 2)
STEPS, ROWS, RATE = 200, 24, 3.5e-3
WINDOW_STEP = 4
"""Of the windows of a minute every fourth is heard, of recordings (15 s) all."""

WRITTEN = ViewStyle(as_is=1.0, complete=0.0, transpose=0, tempo=0.0, jitter=0.0)
VARIED = replace(WRITTEN, as_is=TRAINING.as_is, transpose=TRAINING.transpose, tempo=TRAINING.tempo)
COMPLETED = replace(VARIED, complete=TRAINING.complete)
TIMED = replace(COMPLETED, jitter=TRAINING.jitter)


@dataclass(frozen=True)
class Rendering:
    """How the views of one store are made. ``fonts``: all, or the shipped one alone; ``rooms``: share of views."""

    how: ViewStyle
    fonts: bool = True
    rooms: float = 0.0


RENDERINGS = {
    "written": Rendering(WRITTEN, fonts=False),
    "fonts": Rendering(WRITTEN),
    "varied": Rendering(VARIED),
    "completed": Rendering(COMPLETED),
    "timed": Rendering(TIMED),
    "rooms": Rendering(TIMED, rooms=0.5),
}


@dataclass(frozen=True)
class Rung:
    """One training: the store it hears, what becomes of the views, and what of the targets."""

    name: str
    adds: str
    store: str = "rooms"
    augmentation: Augmentation = FULL
    mixup: float = 0.0
    label_smoothing: float = 0.0
    pretrained: bool = False
    beside: str = ""
    """The rung that this is a step beside, rather than onto the one before."""


NONE = Augmentation(False, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
MIXED = replace(NONE, vary=True)
EQUALISED = replace(MIXED, equaliser=FULL.equaliser)
WIRED = replace(EQUALISED, band_limit=FULL.band_limit, squeeze=FULL.squeeze, shift=FULL.shift)
NOISY = replace(WIRED, noise=FULL.noise)
MASKED = replace(NOISY, mask=FULL.mask)
LAST = Rung("mixup", "mixup, label smoothing", augmentation=MASKED, mixup=0.3, label_smoothing=0.06)
RUNGS = (
    Rung("written", "as written, one soundfont", "written", NONE),
    Rung("fonts", "four soundfonts and an additive synthesiser", "fonts", NONE),
    Rung("varied", "instruments of the style, transposed, other tempo", "varied", NONE),
    Rung("completed", "bass, comping, drums and more voices written", "completed", NONE),
    Rung("timed", "human timing and loudness", "timed", NONE),
    Rung("rooms", "rooms", "rooms", NONE),
    Rung("mixing", "stems at random levels or left out, other pace", augmentation=MIXED),
    Rung("equaliser", "equaliser curves", augmentation=EQUALISED),
    Rung("wires", "lost highs and lows, compression, pitch by a band", augmentation=WIRED),
    Rung("noise", "noise", augmentation=NOISY),
    Rung("crackle", "crackle of vinyl", augmentation=replace(NOISY, crackle=0.3), beside="10"),
    Rung("voices", "voices over it", augmentation=replace(NOISY, voices=0.3), beside="10"),
    Rung("masks", "masks (SpecAugment)", augmentation=MASKED),
    LAST,
    replace(
        LAST,
        name="pretrained",
        adds="first half as many steps without labels",
        pretrained=True,
        beside="last",
    ),
    replace(
        LAST,
        name="arranged",
        adds="half of the views arranged by others (MMA)",
        store="arranged",
        beside="last",
    ),
    replace(LAST, name="more", adds="more views", store="more", beside="last"),
)


def render(arguments: argparse.Namespace) -> None:
    """Every store gets a view of the same piece, or none does."""
    files = find_files(arguments.corpus)
    groups = group_files(files, "train", LABELS)
    maker = ViewMaker(read_takes(files, "train"))
    shipped = SamplerRenderer()
    fonts: list[Renderer] = [shipped, *(SamplerRenderer(f) for f in arguments.font), AdditiveRenderer()]
    share = np.array([1.0] * (len(fonts) - 1) + [0.25])
    writers = {name: StoreWriter(arguments.stores / name) for name in RENDERINGS}
    begun, done = time.process_time(), arguments.stores / "next"
    for index in range(int(done.read_text()) if done.is_file() else 0, arguments.views):
        style = LABELS[index % len(LABELS)]
        choice = np.random.default_rng([arguments.seed, index])
        file = draw_file(groups[style], choice)
        any_font = fonts[int(choice.choice(len(fonts), p=share / share.sum()))]
        made: list[tuple[str, dict[str, NDArray[np.uint8]], Entry]] = []
        try:
            source = read_source(file)
            for name, rendering in RENDERINGS.items():
                renderer = any_font if rendering.fonts else shipped
                view = source and maker.make(
                    source, np.random.default_rng([arguments.seed, index, 1]), rendering.how
                )
                sound = np.random.default_rng([arguments.seed, index, 2])
                stems = (
                    render_stems(view, renderer, sound, CONFIG, TRAINING.seconds, rendering.rooms)
                    if view
                    else {}
                )
                if source is not None and set(stems) - {"drums"}:
                    entry = Entry(
                        style, source.collection, file.name, file.title, renderer.renderer_id, 0, tuple(stems)
                    )
                    made.append((name, stems, entry))
        except MelodygenError as error:
            print(f"{file.name}: {error}", file=sys.stderr)
        if len(made) == len(RENDERINGS):
            for name, stems, entry in made:
                writers[name].add(stems, entry)
        done.write_text(str(index + 1))
        if (index + 1) % 50 == 0:
            print(json.dumps({"views": index + 1, "cpu": round(time.process_time() - begun)}), flush=True)


def evenly(entries: Sequence[Entry], count: int) -> list[Entry]:
    """The first ``count`` or so, as many of each style."""
    by_style: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_style[entry.style].append(entry)
    return [e for label in LABELS for e in by_style[label][: count // len(LABELS)]]


def halved(one: Store, two: Store) -> Store:
    """As many views as ``one`` holds, half of them from ``two``."""
    count = len(one.entries) // 2
    levels, entries, first = [], [], 0
    for store in (one, two):
        for entry in evenly(store.entries, count):
            levels.append(store.levels[entry.first : entry.first + len(entry.stems)])
            entries.append(replace(entry, first=first))
            first += len(entry.stems)
    return Store(np.concatenate(levels), tuple(entries))


def pretrain(net: StyleCnn, store: Store, seed: int) -> float:
    """SimCLR (Chen et al. 2020): two mixes of a view, distorted, at different places of it, are to lie closer to each
    other than to those of other views. Half the steps with two windows a view, so as many windows as a rung hears."""
    steps, temperature = STEPS // 2, 0.2
    mixer, entries = Mixer(store, LABELS, CONFIG, store.entries), store.entries
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1000)
        inside = net.head.in_features
        head = nn.Sequential(nn.Linear(inside, inside), nn.ReLU(), nn.Linear(inside, 64))
    parameters = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    net.train()
    losses = []
    for step in range(steps):
        rng = np.random.default_rng([seed, step, 9])
        drawn = [entries[i] for i in rng.permutation(len(entries))[:ROWS]]
        power = np.stack([mixer.mixed(e, rng) for e in drawn * 2])
        levels = torch.from_numpy(distorted(power, rng, CONFIG, 1.0))
        found = functional.normalize(head(net.embed(levels)), dim=1)
        likeness = (found @ found.T / temperature).fill_diagonal_(-1e9)
        loss = functional.cross_entropy(likeness, torch.arange(2 * ROWS).roll(ROWS))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses[-20:]))


@dataclass(frozen=True, eq=False)
class Test:
    windows: NDArray[np.float32]
    item: NDArray[np.int64]
    targets: NDArray[np.int64]


def read_tests(cache: Path) -> dict[str, Test]:
    tests = {}
    for name in SETS:
        windows, item, targets, _ = load_set(cache / f"{name}.npz")
        place = np.arange(len(item)) - np.searchsorted(item, item)
        kept = place % (1 if name == "recordings" else WINDOW_STEP) == 0
        tests[name] = Test(windows[kept], item[kept], targets)
    return tests


def balanced(logits: NDArray[np.float32], test: Test, single: bool = False) -> float:
    """Balanced accuracy over items among the labels of the set. ``single``: by one window, the middle one."""
    rows = mean_by_group(logits, test.item)
    if single:
        first = np.searchsorted(test.item, np.arange(len(rows)))
        rows = logits[first + (np.bincount(test.item) - 1) // 2].astype(np.float64)
    return round(report(softmax(restricted(rows, test.targets)), test.targets, LABELS).balanced_accuracy, 4)


def climb(
    rung: Rung, seed: int, store: Store, tests: dict[str, Test], voices: NDArray[np.float32] | None
) -> dict[str, Any]:
    begun = time.process_time()
    net = new_net(HALVED, len(LABELS), seed)
    views = len(store.entries)
    record: dict[str, Any] = {"rung": rung.name, "seed": seed, "views": views, "steps": STEPS, "rows": ROWS}
    if rung.pretrained:
        record["loss_without_labels"] = round(pretrain(net, store, seed), 4)
    recipe = ClassifierRecipe(
        steps=STEPS, rows=ROWS, learning_rate=RATE, seed=seed, bf16=False, mixup=rung.mixup,
        label_smoothing=rung.label_smoothing, distort=0.0 if rung.augmentation in (NONE, MIXED) else 1.0,
    )  # fmt: skip
    losses: list[float] = []
    mixer = Mixer(
        store, LABELS, CONFIG, store.entries, rung.augmentation, voices if rung.name == "voices" else None
    )
    averaged = train(net, mixer, recipe, lambda progress, _: losses.append(progress.loss))
    heard = {name: logits_of(averaged, test.windows) for name, test in tests.items()}
    last = (
        {name: logits_of(net, test.windows) for name, test in tests.items()} if rung.name == LAST.name else {}
    )
    record["loss"] = round(float(np.mean(losses[-30:])), 4)
    record["balanced"] = {name: balanced(heard[name], test) for name, test in tests.items()}
    record["one_window"] = {name: balanced(heard[name], test, single=True) for name, test in tests.items()}
    if last:
        record["last_weights"] = {name: balanced(last[name], test) for name, test in tests.items()}
    return record | {"cpu_seconds": round(time.process_time() - begun)}


def read_results(path: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    )


def climb_all(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    tests = read_tests(arguments.cache)
    folders = {name: arguments.stores / name for name in RENDERINGS}
    folders |= {"more": arguments.more, "arranged": arguments.arranged}
    opened = {
        name: open_store(folder, CONFIG.num_bands, frames_in(TRAINING.seconds, CONFIG))
        for name, folder in folders.items()
        if folder is not None
    }
    if "arranged" in opened:
        opened["arranged"] = halved(opened["rooms"], opened["arranged"])
    voices = None if arguments.voices is None else speech_over_music(arguments.voices, CONFIG)
    wanted = [
        r for r in RUNGS
        if r.store in opened and r.name in (arguments.rung or [r.name]) and (r.name != "voices" or voices is not None)
    ]  # fmt: skip
    for seed in arguments.seed:
        for rung in wanted:
            if any((r["rung"], r["seed"]) == (rung.name, seed) for r in read_results(arguments.results)):
                continue
            line = json.dumps(climb(rung, seed, opened[rung.store], tests, voices))
            with arguments.results.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
            print(line, flush=True)


def rows_of(results: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, float]]]]:
    """What a row is called, and its figures run by run."""
    by_rung: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in sorted(results, key=lambda r: r["seed"]):
        by_rung[result["rung"]].append(result)
    rows = []
    for rung in RUNGS:
        runs = by_rung.get(rung.name, [])
        if not runs:
            continue
        number = sum(not r.beside for r in RUNGS[: RUNGS.index(rung)]) + 1
        label = (
            f"{rung.beside} + {rung.adds}"
            if rung.beside
            else f"{number}. {'+ ' if number > 1 else ''}{rung.adds}"
        )
        if rung.store == "more":
            label += f" ({runs[0]['views']:,})"
        rows.append((label, [r["balanced"] for r in runs]))
        if rung.name == LAST.name:
            rows.append(("last, the weights of the last step", [r["last_weights"] for r in runs]))
            rows.append(("last, one window an item", [r["one_window"] for r in runs]))
    return rows


def spread(values: Sequence[float]) -> str:
    mean = f"{100 * float(np.mean(values)):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * float(np.std(values, ddof=1)):.1f}"


def write_report(arguments: argparse.Namespace) -> None:
    results = read_results(arguments.results)
    if not results:
        raise SystemExit(f"{arguments.results} holds no results; run `train` first")
    rows = rows_of(results)
    order = ("as_is", "known", "unknown", "foreign", "recordings")
    table = [
        (label, str(len(runs)), *(spread([r[name] for r in runs]) for name in order)) for label, runs in rows
    ]
    views = next((r["views"] for r in results if r["rung"] != "more"), "Many")
    text = (
        f"{views} views of the same pieces in every store, {STEPS} steps of {ROWS} windows, the shipped net at half "
        f"its widths. Balanced accuracy in % (foreign among its five labels, recordings among their four), mean ± "
        f"standard deviation over seeds:\n\n"
        + markdown_table(("rung", "seeds", *order), table)
        + "\n\n![the ladder](images/ladder.png)"
    )
    replace_section(arguments.docs / "classifier.md", "ladder", text)
    write_json(arguments.docs / "ablation_rendering.json", results)
    ladder = [row for row in rows if re.match(r"\d+\. ", row[0])]
    draw(arguments.docs / "images" / "ladder.png", ladder, order)


def draw(target: Path, rows: list[tuple[str, list[dict[str, float]]]], order: Sequence[str]) -> None:
    """A line a set over the rungs, broken where one was not run; bars from the least to the most of the seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    place = np.array([int(label.partition(".")[0]) for label, _ in rows])
    gaps = np.flatnonzero(np.diff(place) > 1) + 1
    for number, name in enumerate(order):
        found = [np.array([100 * r[name] for r in runs]) for _, runs in rows]
        mean = np.array([f.mean() for f in found])
        reach = np.array([[m - f.min(), f.max() - m] for m, f in zip(mean, found, strict=True)]).T
        x = place + 0.06 * (number - 2)
        width = 2.5 if name == "recordings" else 1.3
        axes.errorbar(
            np.insert(x, gaps, x[gaps]),
            np.insert(mean, gaps, np.nan),
            yerr=np.insert(reach, gaps, 0.0, axis=1),
            marker="o", markersize=4, capsize=3, linewidth=width, label=name,
        )  # fmt: skip
    across = axes.get_yaxis_transform()
    axes.axhline(25, color="grey", linewidth=0.8, linestyle=":")
    axes.text(0.995, 25.4, "chance, recordings", fontsize=8, color="grey", ha="right", transform=across)
    axes.set_xticks(place, [label for label, _ in rows], rotation=30, ha="right", fontsize=8)
    axes.set_ylabel("balanced accuracy, %")
    axes.set_title("Each rung adds one thing to all before it; bars: least to most of the seeds", fontsize=9)
    axes.grid(axis="y", linewidth=0.3)
    figure.legend(ncols=len(order), fontsize=8, loc="outside upper center", frameon=False)
    with atomic_path(target, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("render")
    one.add_argument("corpus", type=Path)
    one.add_argument("stores", type=Path)
    one.add_argument("--views", type=int, default=400)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--font", type=Path, action="append", default=[], help="beside the shipped one")
    one.set_defaults(run=render)
    two = commands.add_parser("train")
    two.add_argument("stores", type=Path)
    two.add_argument("cache", type=Path)
    two.add_argument("--results", type=Path, required=True)
    two.add_argument("--seed", type=int, action="append", required=True)
    two.add_argument("--rung", action="append", choices=[r.name for r in RUNGS])
    two.add_argument("--more", type=Path)
    two.add_argument("--arranged", type=Path)
    two.add_argument("--voices", type=Path)
    two.set_defaults(run=climb_all)
    three = commands.add_parser("report")
    three.add_argument("--results", type=Path, required=True)
    three.add_argument("--docs", type=Path, default=Path("docs"))
    three.set_defaults(run=write_report)
    arguments = parser.parse_args()
    run: Callable[[argparse.Namespace], None] = arguments.run
    run(arguments)


if __name__ == "__main__":
    main()
