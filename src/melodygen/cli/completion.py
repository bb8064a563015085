"""What the shell completes: styles, models, classifiers, renderers and MIDI ports, by the name of the option."""

from __future__ import annotations

from collections.abc import Callable

LISTS = ("--style", "--styles", "--standby", "--model")
"""Options that may hold several names with commas between."""


def style_names() -> list[str]:
    """The styles that are installed."""
    from melodygen.registry import names

    return list(names("styles"))


def model_names() -> list[str]:
    """Generators: checkpoints and plug-ins."""
    return _models("generator")


def classifier_names() -> list[str]:
    """Classifiers: checkpoints and plug-ins."""
    return _models("classifier")


def _models(kind: str) -> list[str]:
    from melodygen.nets.checkpoint import list_checkpoints
    from melodygen.registry import names

    own = [checkpoint.name for checkpoint in list_checkpoints() if checkpoint.kind == kind]
    return [*own, *(name for name in names(f"{kind}s") if name != "checkpoint")]


def renderer_names() -> list[str]:
    """Renderers."""
    from melodygen.registry import names

    return list(names("renderers"))


def output_ports() -> list[str]:
    """MIDI outputs."""
    from melodygen.live.ports import list_outputs

    return list_outputs()


def input_ports() -> list[str]:
    """MIDI inputs, and ``virtual``."""
    from melodygen.live.ports import list_inputs

    return [*list_inputs(), "virtual"]


NAMES: dict[str, Callable[[], list[str]]] = {
    "--style": style_names, "--styles": style_names, "--standby": style_names, "--model": model_names,
    "--classifier": classifier_names, "--renderer": renderer_names, "--port": output_ports, "--input": input_ports,
}  # fmt: skip
"""Option -> what its value may be."""


def completer(flag: str) -> Callable[[str], list[str]] | None:
    """What completes an option; None where nothing does. It lists nothing where names cannot be listed: a shell is no
    place for errors."""
    names = NAMES.get(flag)
    if names is None:
        return None

    def complete(incomplete: str) -> list[str]:
        before, comma, begun = incomplete.rpartition(",") if flag in LISTS else ("", "", incomplete)
        try:
            return [before + comma + name for name in names() if name.startswith(begun)]
        except Exception:
            return []

    return complete


__all__ = ["NAMES", "completer"]
