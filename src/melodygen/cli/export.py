"""``melodygen export``: a net in a format that other programs run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[str, typer.Argument(help="Generator or classifier: name or folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file. Default: NAME.onnx here.")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx/--no-onnx", help="As ONNX, the only format so far.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Write a checkpoint's net as ONNX, checked against torch (largest difference at most 1e-4).

    A generator takes ids (batch, steps) and gives logits (batch, steps, vocabulary); a classifier takes levels
    (batch, bands, frames) and gives logits (batch, labels). The checkpoint's config.json says what they mean.
    """
    from melodygen.errors import UsageError
    from melodygen.services.output import check_writable
    from melodygen.training.generator.onnx import export_onnx

    if not onnx:
        raise UsageError("--no-onnx leaves nothing to write: ONNX is the only format so far")
    target = out or Path(f"{Path(model).resolve().name}.onnx")
    check_writable([target], force)
    report = export_onnx(model, target, overwrite=force)
    if json_:
        print(json.dumps(report))
    else:
        print(
            f"{target}: {report['bytes'] / 2**20:.1f} MiB, largest difference from torch {report['difference']:.1e}"
        )
