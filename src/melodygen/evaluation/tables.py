"""Reports that scripts write: markdown tables, sections of a document that are replaced, JSON beside."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from melodygen.atomic import atomic_path
from melodygen.errors import MelodygenError


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]], digits: int = 2) -> str:
    """Floats are rounded to ``digits``; NaN and None are a dash."""
    lines = [header, ["---"] * len(header), *([_cell(c, digits) for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def replace_section(path: Path, name: str, text: str) -> None:
    """Put ``text`` between ``<!-- name:begin -->`` and ``<!-- name:end -->`` of a document; the rest stays as it is.

    Raises MelodygenError when the marks are not there.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    document = path.read_text(encoding="utf-8")
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise MelodygenError(f"{path} has no section {name!r}; put {begin} and {end} where it belongs")
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")


def write_json(path: Path, record: Any) -> None:
    """Whole or not at all; NaN becomes null, because JSON has none."""
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(_plain(record), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _cell(value: object, digits: int) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
