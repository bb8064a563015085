"""How many candidates the loop needs: a pool of pieces is written once, and the loop's choice is replayed on it.

    python benchmarks/candidates.py --pool FILE.jsonl [--model NAME|FOLDER] [--styles jazz,rock] [--groups 15]

Each line of the pool is one candidate of 16 bars with what the loop knows of it; a run that was stopped goes on where
it was. Candidates of one style differ by their seed alone, so any of them may stand for any other: each command that
is replayed draws its candidates from the pool of its style without repetition, up to three rounds of them. Key heard
is that of music21 (Aarden-Essen), where it is installed. The error of a mean is that of groups drawn anew
(bootstrap); of differences to eight candidates it is that of the difference. The table goes to the terminal.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from melodygen.contracts import Draft
from melodygen.evaluation.tables import markdown_table
from melodygen.generation.loop import Candidate, CandidateRecord, candidate_seeds, rate
from melodygen.generation.quality import clash_share
from melodygen.music.score import Score
from melodygen.request import Request
from melodygen.services import models as services

STYLES = "jazz,rock,pop,hymn,classical,ragtime,game"
BARS, GROUP, MIN_STYLE, MAX_ROUNDS = 16, 8, 0.7, 3
COMMANDS = 4000
"""Commands that are replayed for each style and rule."""
BOOTSTRAPS = 40
FIGURES = ("style", "quality", "key", "clash", "again", "tokens", "longest")
Figures = NDArray[np.float64]
"""(len(FIGURES),) means over commands."""


@dataclass(frozen=True)
class Rule:
    """How many candidates are written: ``first`` together, and ``first`` more where none of them passes; up to
    ``usual`` also where the best of them has a quality below ``floor``.
    """

    first: int
    usual: int = 0
    floor: float = 0.0

    @property
    def name(self) -> str:
        if not self.usual:
            return f"{self.first}"
        return f"{self.first}, {self.usual} where quality is below {self.floor:g}"


RULES = [
    *(Rule(count) for count in (8, 7, 6, 5, 4, 3, 2)),
    *(Rule(4, 8, floor) for floor in (0.6, 0.7, 0.8)),
    *(Rule(2, 8, floor) for floor in (0.6, 0.7)),
]


def heard_key(score: Score) -> bool | None:
    """Whether music21 hears the key that a piece says; None without key or music21."""
    try:
        from music21 import note, stream
        from music21.analysis.discrete import AardenEssen
    except ImportError:
        return None
    if not score.key_signatures:
        return None
    part: Any = stream.Stream()
    for track in score.tracks:
        for onset, length, pitch in zip(
            *(track.notes[name].tolist() for name in ("onset_tick", "duration_ticks", "pitch")), strict=True
        ) if not track.is_drum else ():  # fmt: skip
            one = note.Note(pitch)
            one.quarterLength = length / score.ticks_per_quarter
            part.insert(onset / score.ticks_per_quarter, one)
    judge: Any = AardenEssen
    found = judge().getSolution(part)
    said = score.key_signatures[0]
    return bool(found.tonic.pitchClass == said.tonic and found.mode == said.mode)


def write_pool(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Write what the pool lacks, and return it all."""
    lines = options.pool.read_text(encoding="utf-8").splitlines() if options.pool.exists() else []
    pool = [json.loads(line) for line in lines]
    there = {(entry["style"], entry["group"]) for entry in pool}
    missing = [(s, g) for g in range(options.groups) for s in options.styles if (s, g) not in there]
    if not missing:
        return pool
    generator, classifier = services.load_generator(options.model), services.load_classifier()
    renderer = services.load_renderer()
    for style, group in missing:
        usual = services.style_of(style)
        request = Request(style, BARS, usual.qpm, usual.meter, tracks=usual.tracks)
        seeds = candidate_seeds(options.seed + group, 1, GROUP)
        found = [
            {
                "style": style,
                "group": group,
                "model": generator.model_id,
                "tokens": one.draft.num_tokens,
                "clash": clash_share(one.draft.score),
                "key": heard_key(one.draft.score),
                "record": asdict(one.record),
            }
            for one in rate(request, generator, renderer, classifier, seeds)
        ]
        with options.pool.open("a", encoding="utf-8") as file:  # a whole group at once
            file.write("".join(json.dumps(entry) + "\n" for entry in found))
        pool += found
        print(f"\r{style} {group + 1} of {options.groups}    ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return pool


class Pool:
    """The candidates of one style."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        records = [CandidateRecord(**entry["record"]) for entry in entries]
        merits = [Candidate(cast(Draft, None), record, None).rank(MIN_STYLE) for record in records]
        order = sorted(range(len(merits)), key=merits.__getitem__)
        self.rank = np.empty(len(order), dtype=np.int64)
        self.rank[order] = np.arange(len(order))
        self.passes = np.array([r.style_probability >= MIN_STYLE and not r.flaw for r in records])
        self.style = np.array([r.style_probability for r in records])
        self.quality = np.array([r.quality for r in records])
        self.tokens = np.array([float(entry["tokens"]) for entry in entries])
        self.key = np.array([_number(entry["key"]) for entry in entries])
        self.clash = np.array([_number(entry["clash"]) for entry in entries])

    def replay(self, rule: Rule, rng: np.random.Generator) -> Figures:
        """Return the means over commands that write by a rule."""
        most = min(MAX_ROUNDS * (rule.usual or rule.first), len(self.rank))
        drawn = rng.permuted(np.tile(np.arange(len(self.rank)), (COMMANDS, 1)), axis=1)[:, :most]
        going = np.ones(COMMANDS, dtype=bool)
        best = drawn[:, 0].copy()
        tokens, longest = np.zeros(COMMANDS), np.zeros(COMMANDS)
        again = np.zeros(COMMANDS, dtype=bool)
        for begin in range(0, most, rule.first):
            more = drawn[:, begin : begin + rule.first]
            again |= going & (begin >= max(rule.usual, rule.first))
            tokens[going] += self.tokens[more].sum(axis=1)[going]
            longest[going] += self.tokens[more].max(axis=1)[going]
            seen = drawn[:, : begin + rule.first]
            top = seen[np.arange(COMMANDS), self.rank[seen].argmax(axis=1)]
            best[going] = top[going]
            enough = self.passes[best] & ((self.quality[best] >= rule.floor) | (seen.shape[1] >= rule.usual))
            going &= ~enough
        return np.array(
            [
                self.style[best].mean(),
                self.quality[best].mean(),
                np.nanmean(self.key[best]) if np.isfinite(self.key[best]).any() else np.nan,
                np.nanmean(self.clash[best]) if np.isfinite(self.clash[best]).any() else np.nan,
                again.mean(),
                tokens.mean(),
                longest.mean(),
            ]
        )


def _number(value: float | bool | None) -> float:
    return float("nan") if value is None else float(value)


def over_styles(by_style: dict[str, list[list[dict[str, Any]]]]) -> NDArray[np.float64]:
    """Return the figures of each rule (rules, styles, figures)."""
    found = []
    for groups in by_style.values():
        pool = Pool([entry for group in groups for entry in group])
        found.append([pool.replay(rule, np.random.default_rng(1)) for rule in RULES])
    return np.array(found).transpose(1, 0, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--model", default="")
    parser.add_argument("--styles", default=STYLES)
    parser.add_argument("--groups", type=int, default=15)
    parser.add_argument("--seed", type=int, default=7000)
    options = parser.parse_args()
    options.styles = options.styles.split(",")
    by_style: dict[str, list[list[dict[str, Any]]]] = {}
    grouped: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for entry in write_pool(options):
        grouped.setdefault((entry["style"], entry["group"]), []).append(entry)
    for (style, _), group in sorted(grouped.items()):
        by_style.setdefault(style, []).append(group)
    means = over_styles(by_style)
    rng = np.random.default_rng(2)
    anew = []
    for _ in range(BOOTSTRAPS):
        drawn = {s: [g[i] for i in rng.integers(len(g), size=len(g))] for s, g in by_style.items()}
        anew.append(over_styles(drawn).mean(axis=1))
    errors = (np.array(anew) - np.array(anew)[:, :1]).std(axis=0)
    rows = []
    for rule, figures, error in zip(RULES, means.mean(axis=1), errors, strict=True):
        cells = [f"{v:.3f} ± {e:.3f}" for v, e in zip(figures[:5], error[:5], strict=True)]
        rows.append([rule.name, *cells, f"{figures[5]:.0f}", f"{figures[6]:.0f}"])
    names = ["candidates", "style probability", "quality", "key heard", "clash", "second rounds",
             "tokens", "longest streams"]  # fmt: skip
    print(markdown_table(names, rows))
    for at, what in ((0, "style probability"), (1, "quality"), (4, "share of commands with a second round")):
        each = [[rule.name, *of_rule[:, at].tolist()] for rule, of_rule in zip(RULES, means, strict=True)]
        print(f"\nBy style: {what}\n\n" + markdown_table(["candidates", *by_style], each, 3))


if __name__ == "__main__":
    main()
