"""``melodygen styles``: what can be asked for."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer


def styles(
    json_: Annotated[bool, typer.Option("--json", help="A JSON array on stdout.")] = False,
) -> None:
    """List the styles with their default tempo, meter and instruments.

    Your own styles are TOML files in the folders of $MELODYGEN_STYLES or in "styles" in the configuration folder.
    """
    from melodygen.generation.neural import style_to_json
    from melodygen.registry import broken_styles, list_styles

    listed = list(list_styles().values())
    for error in broken_styles().values():
        print(f"melodygen: {error}", file=sys.stderr)
    if json_:
        print(json.dumps([{**style_to_json(s), "instruments": _instruments(s.programs)} for s in listed]))
        return
    for style in listed:
        meter = "/".join(map(str, style.meter))
        print(f"{style.name:<10} {style.description}")
        playing = ", ".join(f"{role}: {name}" for role, name in _instruments(style.programs).items())
        drums = ", drums" if "drums" in style.tracks else ""
        print(f"{'':<10} {style.qpm:g} qpm, {meter}; {playing}{drums}")


def _instruments(programs: dict[str, int]) -> dict[str, Any]:
    import pretty_midi

    return {role: pretty_midi.program_to_instrument_name(program) for role, program in programs.items()}
