"""``melodygen recipe``: each shipped model, built again from the corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Build a shipped model again from the corpus.")


@app.command("list")
def list_(
    json_: Annotated[bool, typer.Option("--json", help="A JSON array on stdout.")] = False,
) -> None:
    """List the recipes."""
    from melodygen.training.recipes.recipe import list_recipes, read_recipe

    recipes = {name: read_recipe(path) for name, path in list_recipes().items()}
    if json_:
        print(
            json.dumps(
                [{"name": n, "kind": r.kind, "path": str(list_recipes()[n])} for n, r in recipes.items()]
            )
        )
        return
    for name, recipe in recipes.items():
        print(f"{name:<24} {recipe.kind}")


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="A recipe ('melodygen recipe list'), or a TOML file.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder to write; it also keeps what is half done.")
    ],
    corpus: Annotated[
        Path | None, typer.Option(help="Folder of music, a sub-folder for each style, or with manifest.csv.")
    ] = None,
    font: Annotated[
        list[Path] | None, typer.Option(help="A soundfont to render views with (repeat it), or to cut.")
    ] = None,
    speech: Annotated[Path | None, typer.Option(help="Folder of speech, for the music head.")] = None,
    recordings: Annotated[
        Path | None, typer.Option(help="Folder of recorded music, for the music head.")
    ] = None,
    mma: Annotated[Path | None, typer.Option(help="The program MMA, for views with its grooves.")] = None,
    mma_library: Annotated[Path, typer.Option(help="MMA's library.")] = Path("/usr/share/mma/lib"),
    tiny: Annotated[bool, typer.Option("--tiny", help="A very small variant, to try every step.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that read files.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Threads that learn.")] = 2,
    json_: Annotated[bool, typer.Option("--json", help="A JSON object on stdout.")] = False,
) -> None:
    """Build a model: read the corpus, train, calibrate, write the checkpoint with its card.

    Stopped, it goes on when called again with the same --out.
    """
    import sys

    import torch

    from melodygen.errors import UsageError
    from melodygen.training.recipes.classifier import ClassifierInputs
    from melodygen.training.recipes.recipe import find_recipe
    from melodygen.training.recipes.run import run_recipe

    recipe = find_recipe(name)
    if corpus is None and recipe.kind != "soundfont":
        raise UsageError(f"recipe {name} needs music: name the folder with --corpus")
    for path in (corpus, speech, recordings, mma, *(font or ())):
        if path is not None and not path.exists():
            raise UsageError(f"{path} is not there; give a path that exists")
    torch.set_num_threads(threads)
    inputs = ClassifierInputs(corpus or Path(), tuple(font or ()), speech, recordings, mma, mma_library)
    result = run_recipe(recipe, inputs, out, lambda line: print(line, file=sys.stderr), tiny, workers)
    if json_:
        print(json.dumps({"kind": result.kind, "path": str(result.path), "keys": list(result.keys)}))
    else:
        print(result.path)
