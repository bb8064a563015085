"""``melodygen models``: the checkpoints that can be named."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def models(
    json_: Annotated[bool, typer.Option("--json", help="A JSON array on stdout.")] = False,
) -> None:
    """List the generators and classifiers that can be named, with their hashes."""
    from melodygen.nets.checkpoint import list_checkpoints

    listed = list_checkpoints()
    if json_:
        rows = [
            {"name": c.name, "kind": c.kind, "path": str(c.path), "sha256": c.sha256, "summary": c.summary}
            for c in listed
        ]
        print(json.dumps(rows))
        return
    for checkpoint in listed:
        print(f"{checkpoint.name:<24} {checkpoint.kind:<12} {checkpoint.sha256[:12]}  {checkpoint.summary}")
    if not listed:
        print("no models here; name a checkpoint folder with --model PATH")
