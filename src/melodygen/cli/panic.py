"""``melodygen panic``: end every sound."""

from __future__ import annotations

import time
from typing import Annotated

import typer

SETTLE_SECONDS = 0.1
"""JACK takes some periods until a new connection carries messages; what is sent before is lost."""


def panic(
    port: Annotated[
        list[str] | None,
        typer.Option("--port", "-p", help="Name, beginning or number. Default: all outputs."),
    ] = None,
) -> None:
    """Send note-offs for every key, pedals up, all notes off and all sound off on all 16 channels."""
    from melodygen.live.outputs import open_output
    from melodygen.live.player import Player
    from melodygen.live.ports import list_outputs

    names = port or list_outputs()
    if not names:
        print("there is no output to be silenced")
    for name in names:
        output = open_output(name)
        try:
            time.sleep(SETTLE_SECONDS)
            Player(output).panic()
        finally:
            output.close()
        print(f"{output.name}: silent")
