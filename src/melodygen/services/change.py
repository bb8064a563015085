"""Changes one thing of a piece: varies it, rewrites tracks, extends it, brings it into a form.

The piece is melodygen's own, which carries what was asked for in its provenance, or any MIDI file. All that is not to
change stays event by event; a form is the exception: it writes a new file.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from melodygen.contracts import Draft, Generator
from melodygen.errors import UsageError
from melodygen.generation.arrangement import arrange, theme_form
from melodygen.generation.changes import (
    VARIED_ROLES,
    DerivedGenerator,
    Extender,
    SpanWriter,
    find_tracks,
    varied_spans,
)
from melodygen.generation.ensemble import derived
from melodygen.generation.loop import Composition, ProgressCallback, compose
from melodygen.music.form import Form
from melodygen.music.key import key_at_end
from melodygen.music.score import Score
from melodygen.parsing import check_range
from melodygen.rendering.draft import render_draft
from melodygen.request import CONTROLS, LoopOptions, Request, check_loop, check_request
from melodygen.services.models import LoadedModels, ModelNames, load_models, random_seed
from melodygen.services.output import check_writable, plan_output, prepare_folder
from melodygen.services.report import KeptReport, PieceReport, report_of
from melodygen.services.requests import known_style, words_of
from melodygen.services.saving import OutputOptions, check_output, check_renderer, kept_paths, save
from melodygen.services.user_file import (
    UserFile,
    end_of,
    key_of_file,
    meter_at_start,
    num_bars,
    read_user_file,
)
from melodygen.styles.mixture import style_shares

CARRIED = (
    "density", "syncopation", "note_length", "leap", "leap_share",
    "temperature", "top_p", "top_k", "raw", "swing", "humanize",
)  # fmt: skip
"""Controls of the command that made a piece which its changes follow as well."""
KINDS = ("vary", "rewrite", "extend", "arrange")


@dataclass(frozen=True)
class ChangeRequest:
    """What is to be changed of which file.

    ``kind``          ``vary``, ``rewrite``, ``extend`` or ``arrange``.
    ``style``         None: what the file says of itself, else what the classifier hears.
    ``tracks``        names or roles, separated by commas. None: all for ``rewrite`` with ``bars``; melody, chords and
                      other for ``vary``.
    ``bars``          ``5-8``, counted from 1; None is all.
    ``amount``        of ``vary``: 0 (one bar) to 1 (all).
    ``num_bars``      of ``extend``. ``form``, ``section_bars`` and ``loop_back`` of ``arrange``.
    """

    kind: str
    file: Path
    style: str | None = None
    tracks: str | None = None
    bars: str | None = None
    amount: float = 0.5
    num_bars: int = 8
    form: str = "AABA"
    section_bars: int = 8
    loop_back: bool = False
    loop: LoopOptions = field(default_factory=lambda: LoopOptions(candidates=4, max_rounds=1))
    models: ModelNames = field(default_factory=ModelNames)
    output: OutputOptions = field(default_factory=OutputOptions)


@dataclass(frozen=True, eq=False)
class ChangeResult:
    """The changed piece, what was read and what was said."""

    composition: Composition
    report: PieceReport
    before: Score
    warnings: tuple[str, ...] = ()


def change(
    asked: ChangeRequest, progress: ProgressCallback, models: LoadedModels | None = None
) -> ChangeResult:
    """Read, change, choose, save and report. Models are loaded unless they are given.

    Raises UsageError for what cannot be, MidiReadError, OutputExistsError.
    """
    started = time.monotonic()
    _check(asked)
    file = read_user_file(asked.file)
    seed = random_seed() if asked.loop.seed is None else asked.loop.seed
    plan = plan_output(asked.output.out, asked.output.formats)
    paths = plan.paths(f"{asked.file.stem}-{asked.kind}-{seed}")
    if asked.output.plot:
        paths = {**paths, "png": next(iter(paths.values())).with_suffix(".png")}
    kept = kept_paths(paths, asked.output.keep)
    check_writable(
        [p for of_piece in (paths, *kept) for p in of_piece.values()], asked.output.force, "--out or --seed"
    )
    prepare_folder(plan.folder, 2**22)
    span, targets = _what(asked, file)
    progress("loading", 0.0)
    models = models or load_models(asked.models, None)
    check_renderer(models.renderer, asked.output)
    request, warnings = _request(asked, file, span, targets, models)
    generator = _generator(asked, models.generator, request, span, targets, progress)
    loop = asked.loop
    piece = compose(
        request, generator, models.renderer, models.classifier, seed=seed, candidates=loop.candidates,
        min_style=loop.min_style, max_rounds=loop.max_rounds, progress=progress,
    ).picked(loop.pick)  # fmt: skip
    command = _command(asked, request.style, seed)
    under = None if asked.kind == "arrange" else file
    of_tracks = save(piece, models.renderer, command, paths, asked.output, under)
    told = []
    for number, own in enumerate(kept[: len(piece.ranking)], 1):
        candidate = piece.picked(number)
        alone = replace(asked.output, stems=False, split=False)
        picked = _command(replace(asked, loop=replace(loop, pick=number)), request.style, seed)
        save(candidate, models.renderer, picked, own, alone, under)
        told.append(KeptReport.of(number, candidate.chosen, own))
    report = report_of(piece, models.renderer.renderer_id, command, paths, time.monotonic() - started)
    bars = len(piece.score.bar_ticks()) - 1
    report = replace(
        report, picked=loop.pick, kept=tuple(told), track_files=tuple(map(str, of_tracks)), bars=bars
    )
    return ChangeResult(piece, report, file.score, (*_named(file), *warnings))


def _named(file: UserFile) -> tuple[str, ...]:
    return tuple(f"{file.path.name}: {text}" for text in file.warnings)


def _check(asked: ChangeRequest) -> None:
    """What can be known to be wrong before a file is read."""
    if asked.kind not in KINDS:
        raise UsageError(f"change {asked.kind!r} is not known; known: {', '.join(KINDS)}")
    check_loop(asked.loop)
    check_output(asked.output, asked.loop.candidates)
    check_range("amount", asked.amount, 0.0, 1.0)
    check_range("bars", asked.num_bars, CONTROLS["bars"].low, CONTROLS["bars"].high)
    check_range("section-bars", asked.section_bars, 1, 64)
    if asked.kind == "arrange":
        theme_form(asked.form, asked.section_bars)
    if asked.kind == "rewrite" and asked.tracks is None and asked.bars is None:
        raise UsageError("rewrite needs --tracks NAMES (like drums), --bars FIRST-LAST, or both")


def _what(asked: ChangeRequest, file: UserFile) -> tuple[range, tuple[int, ...]]:
    """The bars, from 0, and the tracks to write anew."""
    there = num_bars(file.score)
    span = range(there) if asked.bars is None else parse_span(asked.bars, there)
    if asked.tracks is not None:
        return span, find_tracks(file.score, asked.tracks.split(","))
    everything = tuple(i for i, t in enumerate(file.score.tracks) if len(t))
    if asked.kind == "vary":
        varied = tuple(i for i in everything if file.score.tracks[i].role in VARIED_ROLES)
        return span, varied or everything
    return span, everything


def parse_span(text: str, there: int) -> range:
    """``5-8`` or ``5`` -> bars from 0. Raises UsageError for what is no span of a piece of ``there`` bars."""
    match = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4}))?\s*", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= there:
        raise UsageError(f"bars {text!r} are not possible; give FIRST-LAST within 1-{there}, like 5-8")
    return range(first - 1, last)


def _request(
    asked: ChangeRequest, file: UserFile, span: range, targets: tuple[int, ...], models: LoadedModels
) -> tuple[Request, list[str]]:
    """The request of the loop: the piece, what is kept of it, and what its own command asked for."""
    said, score = asked_before(file), file.score
    warnings: list[str] = []
    style = asked.style or said.get("style")
    if style is None or (
        asked.style is None and not style_shares(style).keys() <= set(models.generator.styles)
    ):
        style = _heard_style(score, models)
        warnings.append(
            f"{file.path.name}: the file does not say its style; it sounds like {style} (or give --style)"
        )
    known_style(style, None, models.generator)
    roles = tuple(dict.fromkeys(score.tracks[i].role for i in targets))
    kept = tuple(dict.fromkeys(t.role for t in score.tracks if len(t) and t.role not in roles))
    if asked.kind in ("extend", "arrange"):
        roles, kept = (*kept, *roles), ()
    several = {r: [t for t in score.tracks if t.role == r and len(t)] for r in roles}
    for role, own in several.items():
        if (
            asked.kind in ("vary", "rewrite")
            and len([i for i in targets if score.tracks[i].role == role]) > 1
        ):
            names = ", ".join(repr(t.name or t.role) for t in own)
            warnings.append(
                f"{file.path.name}: of the {role} tracks {names} one is written anew, the others rest there"
            )
    key = key_of_file(file) if asked.kind != "extend" or said else key_at_end(score)
    meter, qpm = end_of(score) if asked.kind == "extend" else (meter_at_start(score), score.qpm)
    low, high = CONTROLS["qpm"].low, CONTROLS["qpm"].high
    carried = {name: CONTROLS[name].check(said[name]) for name in CARRIED if name in said}
    request = Request(
        style, bars=_num_bars(asked, score, span), qpm=min(max(qpm, low), high), meter=meter,
        key=(key.tonic, key.mode) if key else None, tracks=(*kept, *roles), given=score, given_roles=kept,
        key_fifths=key.fifths if key else None, **carried,
    )  # fmt: skip
    if asked.kind in ("vary", "rewrite") and len(span) < num_bars(score):
        request = replace(request, fill=(span.start, len(span)))
    check_request(request)
    return request, warnings


def _num_bars(asked: ChangeRequest, score: Score, span: range) -> int:
    """Bars of the changed piece; the most that can be asked for where it is longer and only some are written anew."""
    if asked.kind == "arrange":
        return len(asked.form.strip()) * asked.section_bars
    there, most = num_bars(score), int(CONTROLS["bars"].high)
    if asked.kind == "extend":
        return min(there + asked.num_bars, most)
    is_whole = len(span) == there and (asked.kind == "rewrite" or asked.amount >= 1)
    if there > most and is_whole:
        raise UsageError(
            f"{asked.file.name} has {there} bars; at most {most} can be written anew at once: name some with --bars, "
            f"like 1-{most}"
        )
    return min(there, most)


def asked_before(file: UserFile) -> dict[str, Any]:
    """Controls that the provenance of melodygen's own file tells, as text; of several commands the later ones win."""
    said: dict[str, Any] = {}
    for text in file.document.texts() if file.document is not None else ():
        if text.startswith("style: "):
            said["style"] = text.removeprefix("style: ").split(" (")[0]
        elif text.startswith("command: melodygen generate "):
            said |= words_of(text.removeprefix("command: "))
    return said


def _heard_style(score: Score, models: LoadedModels) -> str:
    audio = render_draft(score, models.renderer)
    scores = models.classifier.classify([audio])[0]
    return max((s for s in models.generator.styles if s in scores.labels), key=lambda s: scores[s])


def _generator(
    asked: ChangeRequest,
    inner: Generator,
    request: Request,
    span: range,
    targets: tuple[int, ...],
    progress: ProgressCallback,
) -> Generator:
    if asked.kind == "extend":
        return derived(inner, lambda model: Extender(model, asked.num_bars))
    if asked.kind == "arrange":
        form = theme_form(asked.form, asked.section_bars, asked.loop_back)
        return derived(inner, lambda model: _Arranger(model, form, progress))
    spans: tuple[tuple[int, int], ...] | None = None if request.fill is None else (request.fill,)
    if asked.kind == "vary":
        spans = tuple(varied_spans(asked.amount, span))
    return derived(inner, lambda model: SpanWriter(model, targets, spans))


@dataclass(frozen=True, eq=False)
class _Arranger(DerivedGenerator):
    """A generator whose drafts are the given piece in a form."""

    form: Form
    progress: ProgressCallback

    def generate(self, request: Request, seeds: Any, progress: Any = None) -> list[Draft]:
        assert request.given is not None
        return [
            Draft(arrange(request.given, self.form, self.inner, request, s, self.progress), s, 0.0, 0)
            for s in seeds
        ]


def _command(asked: ChangeRequest, style: str, seed: int) -> str:
    """The command that makes the change again."""
    words = ["melodygen", asked.kind, asked.file.name, "--style", style]
    options: Mapping[str, Any] = {
        "--tracks": asked.tracks,
        "--bars": asked.num_bars if asked.kind == "extend" else asked.bars,
        "--amount": f"{asked.amount:g}" if asked.kind == "vary" else None,
        "--form": asked.form if asked.kind == "arrange" else None,
        "--section-bars": asked.section_bars if asked.kind == "arrange" else None,
        "--candidates": asked.loop.candidates,
        "--pick": asked.loop.pick if asked.loop.pick > 1 else None,
    }
    for flag, value in options.items():
        if value is not None:
            words += [flag, str(value)]
    return shlex.join([*words, *(["--loop"] if asked.loop_back else []), "--seed", str(seed)])


__all__ = ["KINDS", "ChangeRequest", "ChangeResult", "asked_before", "change", "parse_span"]
