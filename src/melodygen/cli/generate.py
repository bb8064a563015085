"""``melodygen generate``: write, render, hear, choose, save."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from melodygen.contracts import Renderer
    from melodygen.generation.loop import Composition
    from melodygen.music.score import Score
    from melodygen.request import Request
    from melodygen.styles.style import Style

_ASK, _LOOP, _FILES = "What to write", "How to choose", "Files and output"
NOT_IN_COMMAND = {"out", "formats", "count", "seed", "force", "json_", "quiet", "plot", "strict"}
"""Options that do not change the music: the command in a file's provenance leaves them out."""


def generate(
    ctx: typer.Context,
    style: Annotated[
        str,
        typer.Option("--style", "-s", help="Style by name: see 'melodygen styles'.", rich_help_panel=_ASK),
    ],
    bars: Annotated[
        int | None,
        typer.Option(
            help="Number of bars, 1-256. Default: 16, or as many as --chords.", rich_help_panel=_ASK
        ),
    ] = None,
    tempo: Annotated[
        float | None,
        typer.Option(help="Quarter notes a minute, 20-300. Default: the style's.", rich_help_panel=_ASK),
    ] = None,
    meter: Annotated[
        str | None, typer.Option(help="Meter like 4/4, 3/4, 6/8. Default: the style's.", rich_help_panel=_ASK)
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Key like C, Am, 'F# minor'. Default: the model's choice.", rich_help_panel=_ASK),
    ] = None,
    tracks: Annotated[
        str | None,
        typer.Option(help="Roles: melody,chords,bass,drums. Default: the style's.", rich_help_panel=_ASK),
    ] = None,
    chords: Annotated[
        str | None,
        typer.Option(
            help="Chords, bars between |: 'Dm7 G7 | Cmaj7'. Repeated to fill --bars.", rich_help_panel=_ASK
        ),
    ] = None,
    density: Annotated[
        float | None, typer.Option(help="0 (sparse) to 1 (dense).", rich_help_panel=_ASK)
    ] = None,
    prompt: Annotated[
        Path | None, typer.Option(help="A MIDI file to go on from.", rich_help_panel=_ASK)
    ] = None,
    under: Annotated[
        Path | None,
        typer.Option(help="A MIDI file to work on, with --given or --fill.", rich_help_panel=_ASK),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            help="Roles of --under that are kept; the others are written around.", rich_help_panel=_ASK
        ),
    ] = None,
    fill: Annotated[
        str | None,
        typer.Option(help="FIRST:COUNT, the bars of --under to write anew, from 1.", rich_help_panel=_ASK),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Above 1 bolder, below 1 safer; by default the style's.", rich_help_panel=_ASK),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Sample from this share of probability; by default the style's.", rich_help_panel=_ASK
        ),
    ] = None,
    top_k: Annotated[
        int, typer.Option(help="Sample from the k likeliest; 0 is all.", rich_help_panel=_ASK)
    ] = 0,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="As the net alone writes: no help with chords, returns, ending.",
            rich_help_panel=_ASK,
        ),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(help="The same seed makes the same files. Default: random.", rich_help_panel=_LOOP),
    ] = None,
    candidates: Annotated[int, typer.Option(help="Pieces written a round, 1-64.", rich_help_panel=_LOOP)] = 8,
    min_style: Annotated[
        float, typer.Option(help="Style probability that is good enough, 0-1.", rich_help_panel=_LOOP)
    ] = 0.7,
    max_rounds: Annotated[
        int, typer.Option(help="Rounds until the best is taken.", rich_help_panel=_LOOP)
    ] = 3,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail if no candidate reaches --min-style.", rich_help_panel=_LOOP),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="Generator: name or folder; see 'melodygen models'.", rich_help_panel=_LOOP),
    ] = None,
    classifier: Annotated[
        str | None, typer.Option(help="Classifier: name or folder.", rich_help_panel=_LOOP)
    ] = None,
    renderer: Annotated[
        str | None, typer.Option(help="Renderer by name; see 'melodygen doctor'.", rich_help_panel=_LOOP)
    ] = None,
    soundfont: Annotated[
        Path | None, typer.Option(help="An SF2 or SF3 file to play with.", rich_help_panel=_LOOP)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder, or file that names the piece.", rich_help_panel=_FILES),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(help="mid,wav,flac,ogg,mp3,musicxml. Default: mid,wav.", rich_help_panel=_FILES),
    ] = None,
    count: Annotated[
        int, typer.Option(help="Number of different pieces, 1-1000.", rich_help_panel=_FILES)
    ] = 1,
    plot: Annotated[
        bool, typer.Option("--plot", help="Also a piano roll as PNG.", rich_help_panel=_FILES)
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace existing files.", rich_help_panel=_FILES)
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.", rich_help_panel=_FILES)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, no report.", rich_help_panel=_FILES)
    ] = False,
) -> None:
    """Write a piece in a style: a MIDI file and a recording.

    Candidates are written in a batch, rendered, and heard by a classifier; the best is kept, or another
    round is written. Each file carries the seed and the command that make it again.
    """
    started = time.monotonic()
    # Small operations on many threads spin on a busy machine, and the number of threads changes the last bits of the
    # classifier's sums: with one, the same seed chooses the same candidate anywhere. Sampling has threads of its own.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from melodygen import api
    from melodygen.cli.output import plan_output, prepare_folder, refuse_existing
    from melodygen.cli.progress import stage_progress
    from melodygen.cli.report import describe, report_of
    from melodygen.errors import StyleNotReachedError
    from melodygen.generation import parsing as asking
    from melodygen.generation.loop import compose, piece_seeds
    from melodygen.registry import list_styles

    generator = None
    if (
        style not in list_styles()
    ):  # then only the model can say; without one, say so before anything is loaded
        if model is None:
            asking.check_style(style, list_styles())
        generator = api.load_generator(model)
        asking.check_style(style, generator.styles)
    asking.check_loop(candidates, min_style, max_rounds)
    asking.check_range("count", count, 1, 1000)
    if seed is not None:
        asking.check_range("seed", seed, 0, 2**63)
    usual = api.style_of(style, generator)
    request = _request(
        usual,
        bars,
        tempo,
        meter,
        key,
        tracks,
        chords,
        density,
        prompt,
        under,
        given,
        fill,
        temperature,
        top_p,
        top_k,
        raw,
    )
    output = plan_output(out, formats)
    seeds = piece_seeds(api.random_seed() if seed is None else seed, count)
    planned = [output.paths(f"{style}-{s}", i, count) for i, s in enumerate(seeds, 1)]
    if plot:
        planned = [{**paths, "png": next(iter(paths.values())).with_suffix(".png")} for paths in planned]
    refuse_existing([path for paths in planned for path in paths.values()], force)
    prepare_folder(output.folder, count * _bytes_needed(request, planned[0]))

    reports = []
    with stage_progress(visible=not quiet) as progress:
        progress("loading", 0.0)
        generator = generator or api.load_generator(model)
        sound = api.load_renderer(renderer, soundfont)
        judge = api.load_classifier(classifier or api.classifier_of(model))
        progress("loading", 1.0)
        for piece_seed, paths in zip(seeds, planned, strict=True):
            piece = compose(
                request,
                generator,
                sound,
                judge,
                seed=piece_seed,
                candidates=candidates,
                min_style=min_style,
                max_rounds=max_rounds,
                progress=progress,
            )
            if strict and not piece.accepted:
                raise StyleNotReachedError(
                    f"none of {len(piece.candidates)} candidates reached {min_style:g} for {style!r} "
                    f"(best {piece.style_probability:.2f}, seed {piece_seed}); nothing was written: "
                    "lower --min-style, raise --max-rounds, or leave out --strict"
                )
            progress("saving", 0.0)
            command = _command(ctx, piece_seed)
            _save(piece, sound, command, paths, force)
            progress("saving", 1.0)
            report = report_of(piece, sound, command, paths, time.monotonic() - started)
            started = time.monotonic()
            reports.append(report)
            if not (quiet or json_):
                print(describe(report), flush=True)
    if json_:
        print(json.dumps(reports[0] if count == 1 else {"pieces": reports}))


def _request(
    usual: Style,
    bars: int | None,
    tempo: float | None,
    meter: str | None,
    key: str | None,
    tracks: str | None,
    chords: str | None,
    density: float | None,
    prompt: Path | None,
    under: Path | None,
    given: str | None,
    fill: str | None,
    temperature: float | None,
    top_p: float | None,
    top_k: int,
    raw: bool,
) -> Request:
    """What was asked, checked. Tempo, meter, key and length follow a file that is worked on, else the style."""
    from melodygen.errors import UsageError
    from melodygen.generation import parsing as asking
    from melodygen.request import Request

    if under is None and (given or fill):
        raise UsageError("--given and --fill say what to do with a piece: name it with --under FILE.mid")
    if under is not None and not (given or fill):
        raise UsageError(
            "--under needs --given ROLES (kept, written around) or --fill FIRST:COUNT (written anew)"
        )
    if under is not None and prompt is not None:
        raise UsageError("--under and --prompt cannot be combined: write around a piece, or go on from one")
    prompt_score, given_score = _read(prompt), _read(under)
    basis = given_score or prompt_score
    given_roles = asking.parse_tracks(given) if given else ()
    chord_bars = asking.parse_chords(chords) if chords is not None else None
    if given_score is not None:
        there = len(given_score.bar_ticks()) - 1
        if bars not in (None, there):
            raise UsageError(f"--bars {bars} does not fit {under}, which has {there} bars; leave it out")
        bars = there
    if bars is None:
        bars = len(chord_bars) if chord_bars else 16
    asking.check_range("bars", bars, 1, asking.MAX_BARS)
    if chord_bars is not None:
        chord_bars = tuple(chord_bars[i % len(chord_bars)] for i in range(bars))
    if tracks is not None:
        wanted = asking.parse_tracks(tracks)
    elif fill and given_score is not None:
        wanted = tuple(dict.fromkeys(t.role for t in given_score.tracks))
    else:
        wanted = usual.tracks
    signature = basis.time_signatures[0] if basis else None
    key_signature = basis.key_signatures[0] if basis and basis.key_signatures else None
    request = Request(
        style=usual.name,
        bars=bars,
        qpm=tempo if tempo is not None else (basis.qpm if basis else usual.qpm),
        meter=asking.parse_meter(meter)
        if meter
        else ((signature.numerator, signature.denominator) if signature else usual.meter),
        key=asking.parse_key(key)
        if key
        else ((key_signature.tonic, key_signature.mode) if key_signature else None),
        tracks=(*given_roles, *(role for role in wanted if role not in given_roles)),
        chords=chord_bars,
        prompt=prompt_score,
        given=given_score,
        given_roles=given_roles,
        fill=asking.parse_fill(fill) if fill else None,
        density=density,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        raw=raw,
    )
    asking.check_request(request)
    return request


def _read(path: Path | None) -> Score | None:
    if path is None:
        return None
    from melodygen.analysis.roles import assign_roles
    from melodygen.io.midi import read_midi

    return assign_roles(read_midi(path))


def _bytes_needed(request: Request, paths: dict[str, Path]) -> int:
    """A safe guess of what one piece takes on disk."""
    numerator, denominator = request.meter or (4, 4)
    seconds = request.bars * numerator * 4 / denominator * 60 / (request.qpm or 120) + 10
    per_second = {"wav": 44_100 * 2 * 3, "flac": 44_100 * 2 * 2, "ogg": 40_000, "mp3": 40_000}
    return round(sum(per_second.get(kind, 0) * seconds + 2**18 for kind in paths))


def _command(ctx: typer.Context, seed: int) -> str:
    """The command that makes this piece again: what was asked and the seed, paths by their last part."""
    words = ["melodygen", "generate"]
    for param in ctx.command.params:
        value: Any = ctx.params.get(param.name or "")
        if param.name in NOT_IN_COMMAND or value is None or value == param.default:
            continue
        if isinstance(value, Path) or (param.name in ("model", "classifier") and Path(value).is_dir()):
            value = Path(value).name
        if value is True:
            words.append(param.opts[0])
            continue
        words += [param.opts[0], f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join([*words, "--seed", str(seed)])


def _save(piece: Composition, sound: Renderer, command: str, paths: dict[str, Path], force: bool) -> None:
    from melodygen import __version__
    from melodygen.cli.output import AUDIO_FORMATS
    from melodygen.io.provenance import Provenance

    origin = Provenance(
        style=piece.request.style,
        seed=piece.seed,
        candidate_seed=piece.chosen.seed,
        style_probability=piece.style_probability,
        model=piece.model_id,
        classifier=piece.classifier_id,
        renderer=sound.renderer_id,
        version=__version__,
        command=command,
    )
    audio = sound.render(piece.score) if any(kind in AUDIO_FORMATS for kind in paths) else None
    for kind, path in paths.items():
        if kind == "mid":
            from melodygen.io.midi import write_midi

            write_midi(path, piece.score, origin.texts(), overwrite=force)
        elif kind == "musicxml":
            from melodygen.io.musicxml import write_musicxml

            write_musicxml(path, piece.score, overwrite=force)
        elif kind == "png":
            from melodygen.plots.piano_roll import plot_score

            title = (
                f"{piece.request.style}, seed {piece.seed}, style probability {piece.style_probability:.2f}"
            )
            plot_score(path, piece.score, title, overwrite=force)
        elif audio is not None:
            from melodygen.audio.files import write_audio

            write_audio(path, audio, origin.tags(), overwrite=force)
