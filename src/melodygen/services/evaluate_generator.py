"""Measures what a generator writes, or a folder of music, beside a reference, and writes the report."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from melodygen.atomic import atomic_path
from melodygen.audio.files import write_audio
from melodygen.errors import TokenError, UsageError
from melodygen.evaluation.generator import (
    StyleReport,
    apart_rows,
    compare_style,
    figure_names,
    read_reference,
    table_rows,
)
from melodygen.evaluation.statistics import piece_of
from melodygen.evaluation.tables import write_json
from melodygen.generation.loop import audible_draft
from melodygen.generation.performance import perform
from melodygen.io.midi import write_midi
from melodygen.music.score import Score
from melodygen.registry import list_styles
from melodygen.request import Request
from melodygen.services.models import load_classifier, load_generator, load_renderer
from melodygen.styles.style import style_named
from melodygen.tokens.grid import Piece, piece_to_score

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class GeneratorEvaluation:
    """What is asked for.

    Attributes:
        model: name or folder of the generator; None is the shipped one.
        styles: names; none for all that the model knows, or all that ``music`` holds.
        pieces: number of pieces a style.
        bars: length of a piece.
        music: a folder that is measured instead of what a model writes.
        reference: a folder to compare with.
        seed: of everything that is drawn.
        listen: also render each piece and classify it.
    """

    model: str | None = None
    styles: tuple[str, ...] = ()
    pieces: int = 16
    bars: int = 16
    music: Path | None = None
    reference: Path | None = None
    seed: int = 1
    listen: bool = True


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What was measured.

    Attributes:
        told: one line that says of what.
        reports: one a style.
        failed: reason by path of each file that could not be used.
        scores: the pieces by style.
    """

    told: str
    reports: tuple[StyleReport, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, list[Score]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"told": self.told, "styles": [r.to_dict() for r in self.reports], "failed": dict(self.failed)}


def evaluate_generator(asked: GeneratorEvaluation, progress: Progress | None = None) -> EvaluationResult:
    """Write or read the pieces and measure them.

    Raises:
        UsageError: a style is not known, or the folders have none in common with it.
        CorpusError: a folder holds no music that can be used.
    """
    failed: dict[str, str] = {}
    reference: dict[str, list[Piece]] = {}
    tell = progress or (lambda what, done: None)
    if asked.reference is not None:
        tell("reading the reference", 0.0)
        reference, bad = read_reference(asked.reference, asked.bars)
        failed |= bad
    if asked.music is not None:
        music, bad = read_reference(asked.music, asked.bars)
        failed |= bad
        unknown = [s for s in asked.styles if s not in music]
        if unknown:
            raise UsageError(f"{asked.music} holds no {unknown[0]}; it holds {', '.join(sorted(music))}")
        chosen = {name: music[name] for name in (asked.styles or sorted(music))}
        scores = {name: [piece_to_score(p) for p in pieces] for name, pieces in chosen.items()}
        told = str(asked.music)
    else:
        scores, told = _written(asked, tell)
        chosen = {name: _on_grid(listed, asked.bars) for name, listed in scores.items()}
    heard = _heard(scores, tell) if asked.listen else {}
    reports = tuple(
        compare_style(name, pieces, reference.get(name, ()), asked.seed, heard.get(name, ()))
        for name, pieces in chosen.items()
        if pieces
    )
    beside = f", beside {asked.reference}" if asked.reference is not None else ""
    return EvaluationResult(
        f"{told}: medians of pieces of {asked.bars} bars{beside}", reports, failed, scores
    )


def _written(asked: GeneratorEvaluation, tell: Progress) -> tuple[dict[str, list[Score]], str]:
    generator = load_generator(asked.model)
    names = asked.styles or tuple(generator.styles)
    unknown = [n for n in names if n not in generator.styles]
    if unknown:
        raise UsageError(
            f"style {unknown[0]!r} is not known to this model; known: {', '.join(generator.styles)}"
        )
    known = list_styles()
    scores: dict[str, list[Score]] = {}
    for number, name in enumerate(names):
        usual = style_named(name, known)
        request = Request(name, asked.bars, qpm=usual.qpm, meter=usual.meter, tracks=usual.tracks)
        seeds = [asked.seed * 10_000 + i for i in range(asked.pieces)]

        def on(share: float, number: int = number, name: str = name) -> None:
            tell(f"writing {name}", (number + share) / len(names))

        drafts = generator.generate(request, seeds, on)
        scores[name] = [perform(draft.score, request, draft.seed) for draft in drafts]
    return scores, generator.model_id


def _heard(scores: Mapping[str, list[Score]], tell: Progress) -> dict[str, list[float]]:
    """Of each style that the classifier knows, its probability in each piece that sounds."""
    renderer, classifier = load_renderer(), load_classifier()
    found: dict[str, list[float]] = {}
    for number, (name, listed) in enumerate(scores.items()):
        for index, score in enumerate(listed):
            tell(f"listening to {name}", (number + index / len(listed)) / len(scores))
            audio = audible_draft(score, renderer)
            if audio is None:
                continue
            result = classifier.classify([audio])[0]
            if name not in result.labels:
                break
            found.setdefault(name, []).append(result[name])
    return found


def _on_grid(scores: list[Score], bars: int) -> list[Piece]:
    pieces = []
    for score in scores:
        try:
            pieces.append(piece_of(score, bars))
        except TokenError:
            continue  # a piece without notes has no figures
    return pieces


def write_report(result: EvaluationResult, out: Path, force: bool = False, players: int = 3) -> None:
    """Write ``report.json``, ``report.html`` and the pieces as MIDI below ``out``.

    Args:
        result: what was measured.
        out: folder; it is made where it is missing.
        force: replace files that exist.
        players: how many pieces a style are also rendered (Ogg Vorbis), to be heard on the page.
    """
    out.mkdir(parents=True, exist_ok=True)
    renderer = load_renderer() if players else None
    for name, scores in result.scores.items():
        (out / name).mkdir(exist_ok=True)
        for number, score in enumerate(scores, start=1):
            if not score.num_notes:
                continue
            write_midi(out / name / f"{number:03d}.mid", score, overwrite=force)
            if renderer is not None and number <= players:
                write_audio(out / name / f"{number:03d}.ogg", renderer.render(score), overwrite=force)
    write_json(out / "report.json", result.to_dict())
    with atomic_path(out / "report.html", overwrite=force) as temporary:
        temporary.write_text(_page(result, players), encoding="utf-8")


def _page(result: EvaluationResult, players: int) -> str:
    heads = "".join(f"<th>{html.escape(r.style)}</th>" for r in result.reports)
    rows = [
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in table_rows(result.reports, name))
        + "</tr>"
        for name in figure_names(result.reports)
    ]
    apart = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in apart_rows(result.reports)
    )
    pieces = "".join(_pieces(name, scores, players) for name, scores in result.scores.items())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>melodygen evaluate generator</title>'
        "<style>body{font-family:sans-serif}td,th{padding:.2em .6em;text-align:right}td:first-child{text-align:left}"
        f"</style><h1>{html.escape(result.told)}</h1><table><tr><th></th>{heads}</tr>{''.join(rows)}"
        f"{apart}</table><p>A star marks a median outside the reference's quartiles.</p>"
        f"<h2>Pieces</h2>{pieces}</html>"
    )


def _pieces(style: str, scores: list[Score], players: int) -> str:
    """One style's pieces: players for the first, links to the MIDI files of all."""
    name = html.escape(style)
    sounds = "".join(
        f'<audio controls preload="none" src="{name}/{i:03d}.ogg"></audio> '
        for i, score in enumerate(scores[:players], start=1)
        if score.num_notes
    )
    links = " ".join(
        f'<a href="{name}/{i:03d}.mid">{i}</a>' for i, score in enumerate(scores, start=1) if score.num_notes
    )
    return f"<h3>{name}</h3><p>{sounds}</p><p>MIDI: {links}</p>"
