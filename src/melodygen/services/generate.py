"""Writes pieces: the candidates, the choice, the files with their provenance, and a report of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from melodygen.contracts import Generator, Renderer, StyleClassifier
from melodygen.errors import NoPieceError, StyleNotReachedError
from melodygen.generation.loop import Composition, ProgressCallback, compose, piece_seeds
from melodygen.generation.naming import chord_notes
from melodygen.music.score import Score
from melodygen.music.units import bar_quarters
from melodygen.parsing import check_range
from melodygen.request import LOOP_CONTROLS, LoopOptions, Request, check_loop, loop_options
from melodygen.services.copy_limit import CopyLimit
from melodygen.services.models import (
    LoadedModels,
    ModelNames,
    classifier_of,
    load_classifier,
    load_generator,
    load_models,
    load_renderer,
    random_seed,
)
from melodygen.services.output import check_writable, plan_output, prepare_folder
from melodygen.services.report import KeptReport, PieceReport, report_of
from melodygen.services.requests import (
    build_request,
    check_combination,
    command_of,
    known_style,
    notes_of_unused,
)
from melodygen.services.saving import (
    OutputOptions,
    check_output,
    check_renderer,
    kept_paths,
    save,
    track_folder,
)
from melodygen.services.user_file import UserFile, read_user_file
from melodygen.styles.mixture import file_stem

MAX_PIECES = 1000
BYTES_PER_SECOND = {"wav": 44_100 * 2 * 3, "flac": 44_100 * 2 * 2, "ogg": 40_000, "mp3": 40_000}
"""A safe guess of what a second of sound takes on disk."""


@dataclass(frozen=True)
class GenerateRequest:
    """What ``melodygen generate`` is asked for.

    ``controls``  the style and any other control of ``melodygen.request.CONTROLS`` by name, typed or as text;
                  None is "not given". ``prompt`` and ``given`` may be paths.
    ``count``     number of different pieces, 1 to 1000.
    ``strict``    fail where no candidate reaches ``loop.min_style``.
    ``copies``    turn down candidates that share too much with a library; None looks into none.
    """

    controls: Mapping[str, Any]
    loop: LoopOptions = field(default_factory=LoopOptions)
    models: ModelNames = field(default_factory=ModelNames)
    output: OutputOptions = field(default_factory=OutputOptions)
    count: int = 1
    strict: bool = False
    copies: CopyLimit | None = None


@dataclass(frozen=True, eq=False)
class PreparedGeneration:
    """A request that was checked: nothing is written yet, and at most the generator is loaded.

    ``under``     the user's file that is written around; None where there is none.
    ``warnings``  what is to be said before anything is written: faults of that file, notes of it that give way, chords
                  that the model has no quality for, values that change nothing.
    """

    asked: GenerateRequest
    request: Request
    seeds: tuple[int, ...]
    paths: tuple[dict[str, Path], ...]
    generator: Generator | None = field(default=None, repr=False)
    under: UserFile | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class GenerateResult:
    """A piece that was chosen and saved."""

    composition: Composition
    report: PieceReport


def prepare(asked: GenerateRequest, generator: Generator | None = None) -> PreparedGeneration:
    """Check everything that can be known before models are loaded: values, files in the way, space on the disk.

    Raises UsageError, OutputExistsError, DiskSpaceError, MidiReadError or OSError.
    """
    style, loop, output = str(asked.controls["style"]), asked.loop, asked.output
    generator = known_style(style, asked.models.model, generator)
    check_loop(loop)
    check_output(output, loop.candidates)
    check_range("count", asked.count, 1, MAX_PIECES)
    check_combination(asked.controls)
    under = None
    controls = dict(asked.controls)
    if controls.get("given") is not None and not isinstance(controls["given"], Score):
        under = read_user_file(controls["given"])
        controls["given"] = under.score
    request = build_request(controls, generator)
    plan = plan_output(output.out, output.formats)
    seeds = piece_seeds(random_seed() if loop.seed is None else loop.seed, asked.count)
    paths = [plan.paths(f"{file_stem(style)}-{seed}", i, asked.count) for i, seed in enumerate(seeds, 1)]
    if output.plot:
        paths = [{**of_piece, "png": next(iter(of_piece.values())).with_suffix(".png")} for of_piece in paths]
    _refuse_existing(paths, output)
    pieces = asked.count * (1 + output.keep + (len(request.tracks) if output.stems else 0))
    prepare_folder(plan.folder, pieces * _bytes_needed(request, paths[0]))
    said = () if under is None else under.announce(request)
    warnings = (*said, *chord_notes(request), *notes_of_unused(controls, request))
    return PreparedGeneration(asked, request, tuple(seeds), tuple(paths), generator, under, warnings)


def run(
    prepared: PreparedGeneration,
    progress: ProgressCallback,
    models: LoadedModels | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[GenerateResult]:
    """Write, choose and save one piece after the other. Models are loaded unless they are given.

    Raises NoPieceError where no candidate of a piece can be written (StyleNotReachedError where that is because of
    ``strict``); of several pieces the others are written first.
    """
    started = time.monotonic()
    asked, loop = prepared.asked, prepared.asked.loop
    progress("loading", 0.0)
    models = models or load_models(asked.models, prepared.generator, renderer_soon=not asked.output.stems)
    check_renderer(models.renderer, asked.output)
    veto = None if asked.copies is None else asked.copies.veto()
    progress("loading", 1.0)
    missing = []
    for seed, paths in zip(prepared.seeds, prepared.paths, strict=True):
        try:
            piece = compose(
                prepared.request, models.generator, models.renderer, models.classifier,
                seed=seed, candidates=loop.candidates, min_style=loop.min_style, max_rounds=loop.max_rounds,
                progress=progress, should_stop=should_stop, veto=veto,
            ).picked(loop.pick)  # fmt: skip
            _check_piece(piece, asked)
        except NoPieceError as error:
            if asked.count == 1:
                raise
            missing.append(f"seed {seed}: {error}")
            continue
        progress("saving", 0.0)
        command = command_of(asked.controls, loop, asked.models, seed)
        if asked.copies is not None:
            command += f" --max-copy-bars {asked.copies.max_bars:g}"
        of_tracks = save(piece, models.renderer, command, paths, asked.output, prepared.under)
        kept = _save_kept(piece, models.renderer, prepared, paths, seed)
        progress("saving", 1.0)
        report = report_of(piece, models.renderer.renderer_id, command, paths, time.monotonic() - started)
        report = replace(report, picked=loop.pick, kept=kept, track_files=tuple(map(str, of_tracks)))
        started = time.monotonic()
        yield GenerateResult(piece, report)
    if missing:
        raise NoPieceError(f"{len(missing)} of {asked.count} pieces are missing: {'; '.join(missing)}")


def _check_piece(piece: Composition, asked: GenerateRequest) -> None:
    loop = asked.loop
    if asked.copies is not None:
        asked.copies.check(piece.score)
    if asked.strict and not piece.accepted:
        raise StyleNotReachedError(
            f"none of {len(piece.candidates)} candidates reached {loop.min_style:g} for "
            f"{piece.request.style!r} (best {piece.style_probability:.2f}, seed {piece.seed}); nothing was "
            "written: lower --min-style, raise --max-rounds, or leave out --strict"
        )


def _save_kept(
    piece: Composition, renderer: Renderer, prepared: PreparedGeneration, paths: Mapping[str, Path], seed: int
) -> tuple[KeptReport, ...]:
    """Write the best candidates beside the piece, as many as were asked for and can be played."""
    asked, kept = prepared.asked, []
    alone = replace(asked.output, stems=False, split=False)
    files = kept_paths(paths, min(asked.output.keep, len(piece.ranking)))
    for number, own in enumerate(files, 1):
        candidate = piece.picked(number)
        command = command_of(asked.controls, replace(asked.loop, pick=number), asked.models, seed)
        save(candidate, renderer, command, own, alone, prepared.under)
        kept.append(KeptReport.of(number, candidate.chosen, own))
    return tuple(kept)


def _refuse_existing(paths: Sequence[Mapping[str, Path]], output: OutputOptions) -> None:
    files = [path for of_piece in paths for path in of_piece.values()]
    files += [p for of_piece in paths for kept in kept_paths(of_piece, output.keep) for p in kept.values()]
    check_writable(files, output.force, "--out or --seed")
    if output.stems or output.split:
        folders = [track_folder(of_piece) for of_piece in paths]
        check_writable([f for f in folders if not (output.force and f.is_dir())], False, "--out or --seed")


def generate(
    style: str,
    *,
    model: str | Generator | None = None,
    classifier: str | StyleClassifier | None = None,
    renderer: str | Renderer | None = None,
    progress: ProgressCallback | None = None,
    **controls: Any,
) -> Composition:
    """Compose a piece in ``style`` and save nothing; what is not given is the style's own.

    ``controls`` are those of ``melodygen.request.CONTROLS`` and ``LOOP_CONTROLS`` by name, typed or as text:
    ``bars=8, key="Ebm", meter="3/4", tracks="melody,bass", chords="Dm7 G7 | Cmaj7", seed=7, min_style=0.8``.
    Models are loaded unless objects are given; to write many pieces, load them once.
    Raises UsageError for an unknown control, style or value.
    """
    loop = loop_options({name: controls.pop(name) for name in LOOP_CONTROLS if name in controls})
    check_loop(loop)
    generator = load_generator(model) if model is None or isinstance(model, str) else model
    if classifier is None and isinstance(model, str):
        trained = classifier_of(model)
        classifier = None if trained is None else str(trained)
    known_style(style, None, generator)
    return compose(
        build_request({"style": style, **controls}, generator),
        generator,
        load_renderer(renderer) if renderer is None or isinstance(renderer, str) else renderer,
        load_classifier(classifier) if classifier is None or isinstance(classifier, str) else classifier,
        seed=random_seed() if loop.seed is None else loop.seed,
        candidates=loop.candidates,
        min_style=loop.min_style,
        max_rounds=loop.max_rounds,
        progress=progress,
    ).picked(loop.pick)


def _bytes_needed(request: Request, paths: Mapping[str, Path]) -> int:
    """A safe guess of what one piece takes on disk."""
    numerator, denominator = request.meter or (4, 4)
    seconds = request.bars * bar_quarters(numerator, denominator) * 60 / (request.qpm or 120) + 10
    if request.given is not None:
        seconds = request.given.duration_seconds + 10
    return round(sum(BYTES_PER_SECOND.get(kind, 0) * seconds + 2**18 for kind in paths))
