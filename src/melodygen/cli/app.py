"""The commands in one application; every error becomes one line on stderr and an exit code."""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from melodygen import __version__
from melodygen.cli import (
    analyze,
    change,
    classify,
    corpus,
    doctor,
    evaluate,
    export,
    generate,
    library_listen,
    live,
    map_,
    models,
    panic,
    play,
    ports,
    recipe,
    render,
    serve,
    styles,
    train,
    train_preference,
)
from melodygen.cli.common import plain, with_common_options
from melodygen.errors import MelodygenError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder with --out",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder with --out",
    errno.EFBIG: "the file would be larger than the system allows; choose fewer bars or another folder",
}


_WrongWords: Any = typer.BadParameter.__base__
"""What Typer raises for words that are no options, values or commands; it has no public name."""


warnings.filterwarnings("ignore", message="Glyph .* missing from font")
"""A picture shows boxes for letters that its font lacks, such as Japanese ones in the name of a file or a style."""


class _Group(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with _one_line(ctx):
            import platformdirs

            from melodygen.cli.config import NAME, defaults_of

            folders = (platformdirs.user_config_path("melodygen"), Path())
            ctx.default_map = defaults_of(self, [folder / NAME for folder in folders])
            return super().invoke(ctx)


@contextmanager
def _one_line(ctx: Any) -> Iterator[None]:
    """Every error inside the block becomes a line on stderr and an exit code."""
    try:
        yield
        return
    except MelodygenError as error:
        message, code = str(error), error.exit_code
    except _WrongWords as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        message, code = _said(error, ctx), 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        reason = _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
        message, code = f"{error.filename}: {reason}" if error.filename else reason, 1
    except KeyboardInterrupt:
        message, code = "stopped; nothing unfinished was left behind", 130
    except MemoryError:
        message, code = "out of memory; ask for fewer bars or candidates", 1
    print("melodygen: " + plain(" ".join(message.split())), file=sys.stderr)
    raise typer.Exit(code)


def _said(error: Any, ctx: Any) -> str:
    """What Typer has to say of wrong words, as our own errors say it, with the way to the help."""
    told: str = error.format_message().rstrip(".")
    if hasattr(error.__cause__, "errors"):  # pydantic's, of a value
        found = error.__cause__.errors()[0]
        limit = found["msg"].split(",")[0].removeprefix("Input ")
        name = error.param.get_error_hint().replace("'", "")
        told = f"{name} {found['input']!r} is not possible: it {limit}"
    names, at = (
        [ctx.invoked_subcommand] if ctx.invoked_subcommand and error.ctx in (None, ctx) else [],
        error.ctx,
    )
    while at is not None and at.parent is not None:
        names.insert(0, at.info_name)
        at = at.parent
    told = told[:1].lower() + told[1:] + ("" if told.endswith("?") else ";")
    return f"{told} see '{' '.join(['melodygen', *names, '--help'])}'"


app = typer.Typer(
    cls=_Group,
    name="melodygen",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"melodygen {__version__}")
        raise typer.Exit


@app.callback()
def _melodygen(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Write music in a named style, classify how well it fits, and keep the best: MIDI and audio files."""


app.command("generate")(generate.generate)
app.command("vary")(change.vary)
app.command("rewrite")(change.rewrite)
app.command("extend")(change.extend)
app.command("arrange")(change.arrange)
app.command("transpose")(change.transpose)
app.command("classify")(classify.classify)
app.command("analyze")(analyze.analyze)
app.command("corpus")(corpus.corpus)
app.add_typer(train.app, name="train")
train.app.command("preference")(train_preference.preference)
app.add_typer(evaluate.app, name="evaluate")
app.command("map")(map_.map_)
app.add_typer(library_listen.app, name="library")
app.command("export")(export.export)
app.command("render")(render.render)
app.command("serve")(serve.serve)
app.command("styles")(styles.styles)
app.add_typer(recipe.app, name="recipe")
app.command("models")(models.models)
app.command("doctor")(doctor.doctor)
app.command("live")(live.live)
app.command("play")(play.play)
app.command("ports")(ports.ports)
app.command("panic")(panic.panic)
with_common_options(app)
