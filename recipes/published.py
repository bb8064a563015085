"""What the recipes share that convert a published checkpoint out of its wheel."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from melodygen.atomic import atomic_path
from melodygen.nets.checkpoint import save_checkpoint


def save_published(
    folder: Path, nets: nn.ModuleList | nn.ModuleDict, config: dict[str, Any], card: str, licence: str
) -> None:
    """Write the checkpoint with the licence of its authors."""
    save_checkpoint(folder, nets, config, card)
    with atomic_path(folder / "LICENSE", overwrite=True) as temporary:
        temporary.write_text(licence.strip() + "\n", encoding="utf-8")
    parameters = [sum(p.numel() for p in net.parameters()) for net in nets.children()]
    print(f"{folder}: {len(parameters)} nets of {parameters[0]} parameters")


def run(convert: Callable[[Path, Path], None], text: str) -> None:
    """The command ``WHEEL [--out FOLDER]``; ``text`` says what it does."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=Path("models"))
    given = parser.parse_args()
    convert(given.wheel, given.out)
