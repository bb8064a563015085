"""``melodygen ports``: where music can go and come from."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def ports(
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the MIDI ports. Commands take a port's name, the beginning of it, or its number here."""
    from melodygen.live.ports import NO_VIRTUAL, list_inputs, list_outputs

    found = {"outputs": list_outputs(), "inputs": list_inputs()}
    if json_:
        print(json.dumps(found))
        return
    for kind, names in found.items():
        print(f"{kind}{'' if names else ': none'}")
        for number, name in enumerate(names, 1):
            print(f"{number:>4}  {name}")
    import os

    if os.name == "nt":
        print(NO_VIRTUAL)
    else:
        print("play and live can also open a port of their own: --virtual")
