"""Options of a command made from the control tables: a new control is a new option without a line here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from melodygen.control import Control

_TYPES: Mapping[str, type] = {"float": float, "int": int, "bool": bool, "score": Path}


def with_controls(
    controls: Iterable[Control],
    *,
    panel: str,
    defaults: Mapping[str, str] | None = None,
    shorts: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put an option for each control where a command has ``**controls``; what is not given is None there.

    ``defaults`` says in the help what happens without an option that has no default of its own.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        options = [
            _parameter(c, panel, (defaults or {}).get(c.name), (shorts or {}).get(c.name)) for c in controls
        ]
        kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        before = [p for p in kept if p.default is inspect.Parameter.empty]
        after = [p for p in kept if p.default is not inspect.Parameter.empty]
        merged = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*before, *options, *after)]
        command.__signature__ = signature.replace(parameters=merged)  # type: ignore[attr-defined]
        return command

    return decorate


def _parameter(control: Control, panel: str, default: str | None, short: str | None) -> inspect.Parameter:
    is_needed = control.default is None and not control.optional
    help_text = f"{control.help}{_range_of(control)}."
    if default is not None:
        help_text += f" Default: {default}."
    elif not is_needed and control.default not in (None, (), False):
        help_text += f" Default: {'on' if control.default is True else control.text(control.default)}."
    flag = control.flag
    if control.kind == "bool" and control.default:
        flag = f"{flag}/--no-{control.label}"
    names = [flag, *([short] if short else [])]
    option = typer.Option(*names, help=help_text, rich_help_panel=panel)
    kind = _TYPES.get(control.kind, str)
    return inspect.Parameter(
        control.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if is_needed else None,
        annotation=Annotated[kind if is_needed else kind | None, option],
    )


def _range_of(control: Control) -> str:
    if control.choices:
        return f": {', '.join(control.choices)}"
    if control.kind not in ("float", "int"):
        return ""
    return f", {control.range_text}"
