"""Write music with the shipped loop and measure it: statistics, copies, and what the classifier hears.

    python benchmarks/music_quality.py --shards FOLDER [--pieces 50] [--candidates 8] [--styles jazz,blues]

Every candidate of the loop's first rounds is kept as an unselected piece: ``--pieces`` of them a style are compared
with as many validation windows. The copy index is built once and kept in ``--index``. Writes the sections ``music``,
``copying`` and ``loop`` of docs/evaluation.md, and docs/evaluation_music.json and .png beside it.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from melodygen.contracts import Draft, Generator
from melodygen.data.shards import load_shards
from melodygen.errors import MelodygenError, TokenError
from melodygen.evaluation import statistics as music
from melodygen.evaluation.copying import MAX_COPIED_BARS, CopyIndex, build_index, copied_runs
from melodygen.evaluation.human_music import HumanWindows, human_windows
from melodygen.evaluation.tables import markdown_table, replace_section, write_json
from melodygen.generation.loop import Composition, compose
from melodygen.request import Request
from melodygen.services import models as services
from melodygen.tokens.grid import Piece
from melodygen.training.recipes.recipe import find_generator_recipe

ROOT = Path(__file__).parent.parent
RECIPE = find_generator_recipe("melodygen-transformer")
NAMES = RECIPE.styles
PLOTTED = ("pitch-class entropy", "scale consistency", "notes a quarter", "groove consistency",
           "chord tones on strong beats", "repeated bars")  # fmt: skip


class Recorder:
    """A generator that keeps what it wrote."""

    def __init__(self, inner: Generator) -> None:
        self.inner = inner
        self.model_id = inner.model_id
        self.styles = inner.styles
        self.drafts: dict[int, Draft] = {}

    def generate(
        self, request: Request, seeds: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> list[Draft]:
        drafts = self.inner.generate(request, seeds, progress)
        self.drafts |= {draft.seed: draft for draft in drafts}
        return drafts


def write_music(
    style: str, options: argparse.Namespace, generator: Generator, renderer: Any, classifier: Any
) -> tuple[list[Composition], Recorder, Request]:
    usual = services.style_of(style)
    request = Request(style=style, bars=options.bars, qpm=usual.qpm, meter=usual.meter, tracks=usual.tracks)
    recorder = Recorder(generator)
    done = []
    rounds = math.ceil(options.pieces / options.candidates)
    for number in range(rounds):
        print(f"\r{style}: composition {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        try:
            done.append(
                compose(
                    request, recorder, renderer, classifier, seed=options.seed * 1000 + number,
                    candidates=options.candidates, min_style=options.min_style, max_rounds=options.max_rounds,
                )
            )  # fmt: skip
        except MelodygenError as error:
            print(f"{style}: composition {number} failed: {error}", flush=True)
    print(file=sys.stderr)
    return done, recorder, request


def on_grid(drafts: Sequence[Draft], bars: int) -> list[Piece]:
    pieces = []
    for draft in drafts:
        try:
            pieces.append(music.piece_of(draft.score, bars))
        except TokenError:
            continue  # no notes at all; the loop's flaws count them
    return pieces


def compare_style(generated: Sequence[Piece], human: HumanWindows) -> dict[str, Any]:
    windows, endings, first_half = human.windows, human.endings, human.in_first_half
    ours, theirs = list(map(music.statistics, generated)), list(map(music.statistics, windows))
    rows = music.compare(ours, theirs, first_half)
    rows += music.compare(list(map(music.ending, generated)), list(map(music.ending, endings)), first_half)
    ours_rhythm, theirs_rhythm = (
        [music.rhythm_histogram(piece) for piece in pieces] for pieces in (generated, windows)
    )
    halves = [
        np.sum([h for h, first in zip(theirs_rhythm, first_half, strict=True) if first is side], axis=0)
        for side in (True, False)
    ]
    return {
        "generated_pieces": len(generated),
        "human_windows": len(windows),
        "statistics": [asdict(row) for row in rows],
        "rhythm_distance": music.histogram_distance(
            np.sum(ours_rhythm, axis=0), np.sum(theirs_rhythm, axis=0)
        ),
        "rhythm_distance_human": music.histogram_distance(*halves)
        if all(np.ndim(h) for h in halves)
        else math.nan,
        "plotted": {n: [[r[n] for r in side] for side in (ours, theirs)] for n in PLOTTED},
    }


def copies(pieces: Sequence[Piece], index: CopyIndex) -> dict[str, Any]:
    """For the melody and for the longest of all pitched roles: bars of the longest run of each piece."""
    runs = [copied_runs(piece, index) for piece in pieces]
    groups = {
        "melody": [found["melody"] for found in runs if "melody" in found],
        "any role": [max(found.values(), key=lambda r: (r.bars, r.num_notes)) for found in runs if found],
    }
    result: dict[str, Any] = {}
    for name, group in groups.items():
        longest = max(group, key=lambda r: (r.bars, r.num_notes), default=None)
        bars = [run.bars for run in group]
        result[name] = {
            "pieces": len(group),
            "median_bars": float(np.median(bars)) if bars else math.nan,
            "median_notes": float(np.median([run.num_notes for run in group])) if bars else math.nan,
            "over_limit": sum(b > MAX_COPIED_BARS for b in bars),
            "longest": asdict(longest) if longest else None,
        }
    return result


def loop_figures(done: Sequence[Composition], candidates: int, min_style: float) -> dict[str, Any]:
    """``one_round_expected``: the chance that the best of ``candidates`` drawn from all first-round candidates reaches
    the threshold; steadier than the share of the few compositions in which it did."""
    first = [c for piece in done for c in piece.candidates if c.round == 1]
    good = sum(not c.flaw and c.style_probability >= min_style for c in first)
    bad = len(first) - good
    none = (
        math.comb(bad, candidates) / math.comb(len(first), candidates)
        if len(first) >= candidates
        else math.nan
    )
    return {
        "compositions": len(done),
        "candidates": len(first),
        "unselected": [c.style_probability for c in first],
        "selected": [piece.style_probability for piece in done],
        "flawed": sum(bool(c.flaw) for c in first),
        "reach_threshold": good / len(first) if first else math.nan,
        "one_round": float(np.mean([p.rounds == 1 and p.accepted for p in done])) if done else math.nan,
        "one_round_expected": 1.0 - none,
        "accepted": float(np.mean([p.accepted for p in done])) if done else math.nan,
        "seconds": float(np.mean([p.seconds for p in done])) if done else math.nan,
    }


def music_section(record: Mapping[str, Any]) -> str:
    styles = list(record)
    names = list(
        dict.fromkeys(row["name"] for style in styles for row in record[style]["music"]["statistics"])
    )
    found = {(s, row["name"]): row for s in styles for row in record[s]["music"]["statistics"]}

    def cells(name: str, a: str, b: str) -> list[str]:
        rows = [found.get((s, name)) for s in styles]
        return ["–" if r is None else f"{_short(r[a])} / {_short(r[b])}" for r in rows]

    rhythm = [record[s]["music"] for s in styles]
    pair = [f"{_short(m['rhythm_distance'])} / {_short(m['rhythm_distance_human'])}" for m in rhythm]
    windows = [f"{m['generated_pieces']} / {m['human_windows']}" for m in rhythm]
    means = [[n, *cells(n, "generated_mean", "human_mean")] for n in names]
    overlaps = [[n, *cells(n, "overlap", "human_overlap")] for n in names]
    return "\n\n".join(
        (
            "Means, generated / human:",
            markdown_table(["statistic", *styles], [["pieces", *windows], *means]),
            "Overlap with human music / of human music with itself; for the melody's inter-onset intervals the total "
            "variation (0 is the same) of the same two:",
            markdown_table(["statistic", *styles], [*overlaps, ["inter-onset intervals", *pair]]),
            "![Six statistics by style](evaluation_music.png)",
        )
    )


def copying_section(record: Mapping[str, Any]) -> str:
    over = f"over {MAX_COPIED_BARS:g}"
    header = ["style", "pieces", "melody: median bars", "longest", over, "what", "any role: median bars"]
    header += ["longest", over, "human melody: median bars", "longest", over, "human, any role: median bars"]
    header += ["longest", over]
    rows = []
    for style, entry in record.items():
        ours, human = entry["copying"], entry["copying_human"]
        run = ours["melody"]["longest"] or {}
        source = (
            f"{run['num_notes']} notes, {run['num_different']} different steps: {run['title']}"
            if run
            else "–"
        )
        groups = (ours["melody"], ours["any role"], human["melody"], human["any role"])
        cells = [
            [g["median_bars"], (g["longest"] or {}).get("bars", math.nan), g["over_limit"]] for g in groups
        ]
        rows.append([style, ours["any role"]["pieces"], *cells[0], source, *cells[1], *cells[2], *cells[3]])
    return markdown_table(header, rows, 1)


def loop_section(record: Mapping[str, Any], options: argparse.Namespace) -> str:
    header = ["style", "unselected", f"reach {options.min_style:g}", "chosen", "one round enough", "expected"]
    header += ["accepted", "compositions", "seconds each"]
    rows = []
    for style, entry in record.items():
        loop = entry["loop"]
        means = [float(np.mean(loop[k])) if loop[k] else math.nan for k in ("unselected", "selected")]
        shares = [
            _percent(loop[k]) for k in ("reach_threshold", "one_round", "one_round_expected", "accepted")
        ]
        rows.append(
            [style, means[0], shares[0], means[1], *shares[1:], loop["compositions"], loop["seconds"]]
        )
    note = (
        f"{options.candidates} candidates a round, at most {options.max_rounds} rounds. *Expected* is the chance that "
        "one round is enough, from all candidates of first rounds together; *seconds* are of a warm process."
    )
    return f"{markdown_table(header, rows)}\n\n{note}"


def plot(record: Mapping[str, Any], path: Path) -> None:
    """Box plots of six statistics: human grey, generated blue."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    from melodygen.atomic import atomic_path

    styles = list(record)
    figure, axes = pyplot.subplots(2, 3, figsize=(18, 8), constrained_layout=True)
    for axis, name in zip(axes.flat, PLOTTED, strict=True):
        for side, (label, colour) in enumerate((("generated", "#4c78c8"), ("human", "#b0b0b0"))):
            values = [np.array(record[s]["music"]["plotted"][name][side], dtype=float) for s in styles]
            boxes = axis.boxplot(
                [v[np.isfinite(v)] for v in values], positions=np.arange(len(styles)) - 0.18 + 0.36 * side, widths=0.3,
                patch_artist=True, showfliers=False, medianprops={"color": "black"}, manage_ticks=False,
            )  # fmt: skip
            for box in boxes["boxes"]:
                box.set_facecolor(colour)
            axis.plot([], [], "s", color=colour, label=label)
        axis.set_title(name)
        axis.set_xticks(range(len(styles)), styles, rotation=45, ha="right")
    axes.flat[0].legend()
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=80)
    pyplot.close(figure)


def _short(value: float | None) -> str:
    return (
        "–" if value is None or math.isnan(value) else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
    )


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shards", type=Path, required=True, help="token shards of the corpus")
    parser.add_argument(
        "--index", type=Path, help="copy index; built there if it is not (default: in the shards)"
    )
    parser.add_argument("--styles", default=",".join(NAMES))
    parser.add_argument("--pieces", type=int, default=50, help="unselected pieces a style")
    parser.add_argument("--bars", type=int, default=16)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--min-style", type=float, default=0.7)
    parser.add_argument("--max-rounds", type=int, default=3)
    parser.add_argument("--model")
    parser.add_argument("--classifier")
    parser.add_argument("--renderer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "evaluation.md")
    options = parser.parse_args()

    started = time.monotonic()
    shards = load_shards(options.shards)
    index_path = options.index or options.shards / "copies.npz"
    if not index_path.is_file():
        build_index(shards).save(index_path)
    index = CopyIndex.load(index_path)
    generator, classifier = (
        services.load_generator(options.model),
        services.load_classifier(options.classifier),
    )
    renderer = services.load_renderer(options.renderer)
    record: dict[str, Any] = {}
    for style in options.styles.split(","):
        done, recorder, request = write_music(style, options, generator, renderer, classifier)
        first = [recorder.drafts[c.seed] for piece in done for c in piece.candidates if c.round == 1]
        generated = on_grid(first[: options.pieces], options.bars)
        everything = on_grid(list(recorder.drafts.values()), options.bars)
        assert request.meter is not None
        human = human_windows(shards, NAMES, style, request.meter, options.bars, options.pieces, options.seed)
        record[style] = {
            "music": compare_style(generated, human),
            "copying": copies(everything, index),
            "copying_human": copies(human.windows, index),
            "loop": loop_figures(done, options.candidates, options.min_style),
        }
        print(f"{style}: {time.monotonic() - started:.0f} s", flush=True)
        report(record, options, (generator.model_id, classifier.classifier_id, renderer.renderer_id))


def report(record: Mapping[str, Any], options: argparse.Namespace, ids: tuple[str, str, str]) -> None:
    """Tables, picture and figures of the styles that are done: an evaluation that is stopped loses only the last."""
    replace_section(options.out, "music", music_section(record))
    replace_section(options.out, "copying", copying_section(record))
    replace_section(options.out, "loop", loop_section(record, options))
    plot(record, options.out.with_name("evaluation_music.png"))
    settings = {
        k: getattr(options, k) for k in ("pieces", "bars", "candidates", "min_style", "max_rounds", "seed")
    }
    settings |= dict(zip(("model", "classifier", "renderer"), ids, strict=True))
    write_json(options.out.with_name("evaluation_music.json"), {"settings": settings, "styles": record})


if __name__ == "__main__":
    main()
