"""Train the style CNN: `render` views of the corpus into a store (slow, once), then `train` on it.

    python scripts/train_classifier.py render CORPUS STORE --split train --count 16000 --font A.sf2 --font B.sf2
    python scripts/train_classifier.py train STORE --tests CACHE --out models/style-cnn --steps 3000 --voices DIR
    python scripts/train_classifier.py blend STORE A B --share 0.6 --tests CACHE --out models/style-cnn
    python scripts/train_classifier.py folds STORE --steps 500 --json FILE

CACHE is what `evaluate_classifier.py prepare` made; DIR holds speech, as for `fit_music_head.py`. `folds` leaves one
collection of every style out in turn.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fit_music_head import HELD_BACK, powers, utterances
from mma_arranger import MmaViewMaker
from safetensors.torch import load_file
from torch import nn

from melodygen.audio.features import Features, FrontEndConfig
from melodygen.audio.synthetic import make_speech
from melodygen.contracts import Renderer
from melodygen.data.scan import SourceFile, find_files
from melodygen.data.stems import Source, read_source
from melodygen.data.views import TRAINING, ViewMaker
from melodygen.errors import MelodygenError
from melodygen.evaluation.metrics import mean_by_group
from melodygen.nets.checkpoint import CONFIG, WEIGHTS, save_checkpoint
from melodygen.nets.cnn import StyleCnn
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.styles.loader import built_in_styles
from melodygen.training.classifier.trainer import (
    ClassifierRecipe,
    Mixer,
    TrainingState,
    fit_temperature,
    logits_of,
    plain_mix,
    train,
)
from melodygen.training.classifier.view_store import (
    Entry,
    Store,
    StoreWriter,
    frames_in,
    open_store,
    render_stems,
)

STYLES = [
    built_in_styles()[n]
    for n in [
        "jazz",
        "blues",
        "classical",
        "baroque",
        "folk",
        "pop",
        "rock",
        "ragtime",
        "hymn",
        "game",
    ]
]
LABELS = tuple(s.name for s in STYLES)
TAKES_A_STYLE = 30


def grouped(files: list[SourceFile], split: str) -> dict[str, dict[str, list[SourceFile]]]:
    """style -> collection -> pieces of the split."""
    groups: dict[str, dict[str, list[SourceFile]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        if file.split == split and file.kind == "piece" and file.style in LABELS:
            groups[file.style]["/".join(file.name.split("/")[:2])].append(file)
    return groups


def read_takes(files: list[SourceFile], split: str) -> dict[str, list[Source]]:
    takes: dict[str, list[Source]] = defaultdict(list)
    for file in files:
        if file.kind == "drums" and file.split == split and len(takes[file.style]) < TAKES_A_STYLE:
            source = read_source(file)
            if source is not None and len(source.bars) >= 2 and source.bars[0].meter == (4, 4):
                takes[file.style].append(source)
    return takes


def draw_file(groups: dict[str, list[SourceFile]], rng: np.random.Generator) -> SourceFile:
    """Collections evenly, but for those of a handful of pieces."""
    names = sorted(groups)
    weight = np.array([min(1.0, len(groups[n]) / 20) for n in names])
    files = groups[names[int(rng.choice(len(names), p=weight / weight.sum()))]]
    return files[int(rng.integers(len(files)))]


def render(arguments: argparse.Namespace) -> None:
    files = find_files(arguments.corpus)
    groups = grouped(files, arguments.split)
    takes, how = read_takes(files, arguments.split), TRAINING
    maker = ViewMaker(takes)
    if arguments.mma is not None:
        maker, how = MmaViewMaker(takes, arguments.mma, arguments.mma_library), replace(TRAINING, as_is=0.0)
    renderers: list[Renderer] = [SamplerRenderer(Path(f)) for f in arguments.font]
    renderers.append(AdditiveRenderer())
    share = np.array([1.0] * len(arguments.font) + [0.25])
    config, styles = FrontEndConfig(), arguments.style or LABELS
    writer = StoreWriter(arguments.store)
    begun, made = time.monotonic(), 0
    for index in range(arguments.first, arguments.first + arguments.count):
        rng = np.random.default_rng([arguments.seed, index])
        style = styles[index % len(styles)]
        file = draw_file(groups[style], rng)
        renderer = renderers[int(rng.choice(len(renderers), p=share / share.sum()))]
        try:
            source = read_source(file)
            view = maker.make(source, rng, how) if source is not None else None
            stems = render_stems(view, renderer, rng, config, TRAINING.seconds) if view is not None else {}
        except MelodygenError as error:
            print(f"{file.name}: {error}", file=sys.stderr)
            continue
        if not set(stems) - {"drums"} or source is None:
            continue
        writer.add(
            stems,
            Entry(style, source.collection, file.name, file.title, renderer.renderer_id, 0, tuple(stems)),
        )
        made += 1
        if made % 100 == 0:
            print(json.dumps({"views": made, "seconds": round(time.monotonic() - begun, 1)}), flush=True)


WIDTHS, HIDDEN, DROPOUT, CONTEXT = (24, 48, 72, 112), 192, 0.3, 3


def new_net(seed: int, config: FrontEndConfig, thinner: int = 1) -> StyleCnn:
    """The shipped shape, its widths divided by ``thinner``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = [w // thinner for w in WIDTHS]
        return StyleCnn(len(LABELS), config.num_bands, widths, HIDDEN // thinner, DROPOUT, CONTEXT)


def calibration_half(names: list[str]) -> np.ndarray:
    """Which items the temperature is fitted on; the figures for calibration come from the others."""
    return np.array([sum(Path(n).stem.encode()) % 2 == 0 for n in names])


VOICES = 400


def spoken(folder: Path, config: FrontEndConfig) -> Features:
    """Mel power (N, F, T) of speech laid over music; the voices the music head is tested with are left out."""
    rng = np.random.default_rng(3)
    voices = [
        v for name, v in sorted(utterances(folder, config.sample_rate).items()) if name not in HELD_BACK
    ]
    seconds = config.num_samples / config.sample_rate
    made = [make_speech(voices[i % len(voices)], rng, seconds, config.sample_rate) for i in range(VOICES)]
    return powers(made, config)


def train_shipped(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    config = FrontEndConfig()
    store = open_store(arguments.store, config.num_bands, frames_in(TRAINING.seconds, config))
    recipe = ClassifierRecipe(
        steps=arguments.steps,
        rows=arguments.rows,
        seed=arguments.seed,
        learning_rate=arguments.rate,
        ease=arguments.ease,
        workers=arguments.workers,
    )
    voices = None if arguments.voices is None else spoken(arguments.voices, config)
    mixer = Mixer(store, LABELS, config, store.entries, voices=voices)
    test = np.load(arguments.tests / "known.npz") if arguments.tests else None
    losses: list[float] = []

    def each(progress: TrainingState, net: nn.Module) -> None:
        losses.append(progress.loss)
        if progress.step % 50 == 0 or progress.step == recipe.steps:
            line = {
                "step": progress.step,
                "loss": round(float(np.mean(losses[-50:])), 4),
                "seconds": round(progress.seconds),
            }
            if test is not None and (progress.step % arguments.every == 0 or progress.step == recipe.steps):
                found = logits_of(net, test["windows"].astype(np.float32)[::2])
                target = np.array([LABELS.index(x) for x in test["label"]])[test["item"]][::2]
                line["known_window_accuracy"] = round(float((found.argmax(axis=1) == target).mean()), 4)
            print(json.dumps(line), flush=True)

    net: nn.Module = new_net(recipe.seed, config)
    if arguments.start is not None:  # what the older net lacks begins as it does in a new one: as nothing
        missing = net.load_state_dict(load_file(arguments.start / WEIGHTS), strict=False)
        print(json.dumps({"start": str(arguments.start.name), "new": len(missing.missing_keys)}), flush=True)
    net = train(net, mixer, recipe, each)
    temperature = calibrated(net, arguments.tests) if arguments.tests else 1.0
    provenance = {
        "recipe": asdict(recipe),
        **told(store),
        "voices_over_music": arguments.voices is not None,
        "started_from": None if arguments.start is None else provenance_of(arguments.start),
        "final_loss": round(float(np.mean(losses[-100:])), 4),
    }
    write(arguments.out, net, config, temperature, provenance)


def told(store: Store) -> dict[str, Any]:
    return {
        "views": len(store.entries),
        "collections": sorted({e.collection for e in store.entries}),
        "soundfonts": sorted({e.font for e in store.entries}),
    }


def provenance_of(checkpoint: Path) -> Any:
    return json.loads((checkpoint / CONFIG).read_text(encoding="utf-8"))["provenance"]


def calibrated(net: nn.Module, tests: Path) -> float:
    """The temperature for the net as it will be stored, from one half of the validation titles."""
    net.half().float()
    means, targets = [], []
    for name in ("as_is", "known"):
        held = np.load(tests / f"{name}.npz")
        half = calibration_half(held["name"].tolist())
        means.append(mean_by_group(logits_of(net, held["windows"].astype(np.float32)), held["item"])[half])
        targets.append(np.array([LABELS.index(x) for x in held["label"]])[half])
    return fit_temperature(np.concatenate(means).astype(np.float32), np.concatenate(targets))


def write(
    out: Path, net: nn.Module, config: FrontEndConfig, temperature: float, provenance: dict[str, Any]
) -> None:
    record = {
        "kind": "classifier",
        "name": "style-cnn",
        "summary": "Hears one of ten styles in ten seconds of sound (renders of openly licensed music)",
        "net": {
            "type": "cnn",
            "widths": list(WIDTHS),
            "hidden": HIDDEN,
            "dropout": DROPOUT,
            "context": CONTEXT,
        },
        "labels": list(LABELS),
        "front_end": config.to_dict(),
        "temperature": temperature,
        "provenance": provenance,
    }
    card = out / "README.md"  # written by hand from the measurements; a new run keeps it
    save_checkpoint(out, net, record, card.read_text(encoding="utf-8") if card.is_file() else "# style-cnn\n")
    print(json.dumps({"temperature": temperature, "out": out.name}))


def blend(arguments: argparse.Namespace) -> None:
    """Weights between two checkpoints of one line of training; what the norms expect is measured again."""
    torch.set_num_threads(arguments.threads)
    config = FrontEndConfig()
    store = open_store(arguments.store, config.num_bands, frames_in(TRAINING.seconds, config))
    nets = [new_net(0, config) for _ in range(2)]
    for net, folder in zip(nets, (arguments.first_net, arguments.second_net), strict=True):
        net.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    one, two = (n.state_dict() for n in nets)
    share = arguments.share
    mixed = {k: torch.lerp(one[k], v, share) if v.is_floating_point() else v for k, v in two.items()}
    net = nets[1]
    net.load_state_dict(mixed)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None
    mixer, rng = Mixer(store, LABELS, config, store.entries), np.random.default_rng(5)
    with torch.no_grad():
        net.train()
        for _ in range(40):
            net(torch.from_numpy(mixer.draw(rng, 64, 0.7)[0]))
    net.eval()
    of = [provenance_of(arguments.first_net), provenance_of(arguments.second_net)]
    provenance = {"blend": {"share": share, "of": of}, **told(store)}
    write(arguments.out, net, config, calibrated(net, arguments.tests), provenance)


def fold_lists(store: Store, count: int = 5, least: int = 7) -> list[list[str]]:
    """Collections to leave out, fold by fold, of each style that has two or more of ``least`` pieces."""
    pieces: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in store.entries:
        pieces[entry.style, entry.collection].add(entry.path)
    by_style: dict[str, list[str]] = defaultdict(list)
    for (style, collection), paths in sorted(pieces.items()):
        if len(paths) >= least:
            by_style[style].append(collection)
    several = {s: c for s, c in by_style.items() if len(c) > 1}
    return [[name for c in several.values() for name in c[fold::count]] for fold in range(count)]


def leave_out(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    config = FrontEndConfig()
    store = open_store(arguments.store, config.num_bands, frames_in(TRAINING.seconds, config))
    results = {}
    for number, left in enumerate(fold_lists(store)):
        begun = time.monotonic()
        recipe = ClassifierRecipe(
            steps=arguments.steps, seed=arguments.seed + number, workers=arguments.workers
        )
        inside = [e for e in store.entries if e.collection not in left]
        net = train(new_net(recipe.seed, config), Mixer(store, LABELS, config, inside), recipe)
        for collection in left:
            entries = [e for e in store.entries if e.collection == collection][:200]
            logits = logits_of(net, np.stack([plain_mix(store, e, config) for e in entries]))
            heard = [LABELS[i] for i in logits.argmax(axis=1)]
            right = [h == e.style for h, e in zip(heard, entries, strict=True)]
            wrong = Counter(h for h, r in zip(heard, right, strict=True) if not r).most_common(3)
            results[collection] = {
                "views": len(entries),
                "recall": round(float(np.mean(right)), 4),
                "heard_as": wrong,
            }
            print(json.dumps({"fold": number, collection: results[collection]}), flush=True)
        print(json.dumps({"fold": number, "seconds": round(time.monotonic() - begun)}), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("render")
    one.add_argument("corpus", type=Path)
    one.add_argument("store", type=Path)
    one.add_argument("--split", default="train")
    one.add_argument("--count", type=int, default=16_000)
    one.add_argument("--first", type=int, default=0)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--style", action="append", default=[])
    one.add_argument("--font", action="append", default=[])
    one.add_argument("--mma", type=Path, help="the mma program: pieces are backed with its grooves")
    one.add_argument("--mma-library", type=Path, default=Path("/usr/share/mma/lib"))
    one.set_defaults(run=render)
    two = commands.add_parser("train")
    two.add_argument("store", type=Path)
    two.add_argument("--tests", type=Path)
    two.add_argument("--out", type=Path, required=True)
    two.add_argument("--start", type=Path, help="a checkpoint to go on from")
    two.add_argument("--voices", type=Path, help="speech to lay over the music")
    two.add_argument("--steps", type=int, default=3000)
    two.add_argument("--every", type=int, default=500)
    two.add_argument("--rate", type=float, default=3.5e-3)
    two.add_argument("--ease", type=float, default=0.0)
    two.add_argument("--rows", type=int, default=64)
    two.add_argument("--seed", type=int, default=1)
    two.add_argument("--threads", type=int, default=1)
    two.add_argument("--workers", type=int, default=1)
    two.set_defaults(run=train_shipped)
    blended = commands.add_parser("blend")
    blended.add_argument("store", type=Path)
    blended.add_argument("first_net", type=Path)
    blended.add_argument("second_net", type=Path)
    blended.add_argument("--share", type=float, required=True, help="of the second")
    blended.add_argument("--tests", type=Path, required=True)
    blended.add_argument("--out", type=Path, required=True)
    blended.add_argument("--threads", type=int, default=1)
    blended.set_defaults(run=blend)
    three = commands.add_parser("folds")
    three.add_argument("store", type=Path)
    three.add_argument("--steps", type=int, default=500)
    three.add_argument("--seed", type=int, default=101)
    three.add_argument("--threads", type=int, default=1)
    three.add_argument("--json", type=Path)
    three.add_argument("--workers", type=int, default=1)
    three.set_defaults(run=leave_out)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
