"""``melodygen styles``: what can be asked for."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer


def styles(
    json_: Annotated[bool, typer.Option("--json", help="A JSON array on stdout.")] = False,
) -> None:
    """List the styles with their default tempo, meter and instruments."""
    from melodygen.registry import list_styles

    listed = list(list_styles().values())
    if json_:
        print(json.dumps([{**asdict(s), "instruments": _instruments(s.programs)} for s in listed]))
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
