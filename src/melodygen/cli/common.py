"""What every command has: names that the shell completes, ``-v``, no value that is empty, and names as they can be
shown."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.models import OptionInfo

from melodygen.cli.completion import completer
from melodygen.cli.verbose import told
from melodygen.errors import UsageError

_VERBOSE = typer.Option("--verbose", "-v", help="Say on stderr what is done, and when.")


def plain(text: str) -> str:
    """File names may hold bytes that are no text, and control characters that would move the cursor."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)


def with_common_options(app: typer.Typer) -> None:
    """Prepare the commands of an application and of those below it."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _prepared(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            with_common_options(group.typer_instance)


def _prepared(command: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(command, eval_str=True)
    parameters = [_completed(parameter) for parameter in signature.parameters.values()]
    keyword = inspect.Parameter.KEYWORD_ONLY
    verbose = inspect.Parameter("verbose", keyword, default=False, annotation=Annotated[bool, _VERBOSE])

    @wraps(command)
    def prepared(**values: Any) -> Any:
        for parameter in parameters:
            # as of a script's variable that is not set
            if values.get(parameter.name) == "" != parameter.default:
                raise UsageError(f"{_flag(parameter)} is empty; give it a value, or leave it out")
        with told(values.pop("verbose", False)):
            return command(**values)

    prepared.__signature__ = signature.replace(parameters=[*parameters, verbose])  # type: ignore[attr-defined]
    return prepared


def _completed(parameter: inspect.Parameter) -> inspect.Parameter:
    if get_origin(parameter.annotation) is not Annotated:
        return parameter
    kind, option = get_args(parameter.annotation)[:2]
    if not isinstance(option, OptionInfo) or "str" not in str(kind):
        return parameter
    found = completer(_flag(parameter))
    if found is not None:
        option.autocompletion = found
    return parameter


def _flag(parameter: inspect.Parameter) -> str:
    """The option of a parameter, or the name of an argument."""
    option = get_args(parameter.annotation)[1]
    if not isinstance(option, OptionInfo):
        return parameter.name
    # in an annotation the first word of an option stands where its default would
    words = map(str, (option.default, *(option.param_decls or ())))
    flags = [word for word in words if word.startswith("--")]
    return flags[0] if flags else "--" + parameter.name.replace("_", "-")


__all__ = ["plain", "with_common_options"]
