from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import melodygen

HEAVY = {
    "torch",
    "librosa",
    "symusic",
    "music21",
    "matplotlib",
    "scipy",
    "sklearn",
    "soundfile",
    "pretty_midi",
    "mido",
}
ROOT = Path(__file__).parent.parent


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after ``code``."""
    tail = "\nimport sys, json; print('\\n' + json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_is_light() -> None:
    assert not loaded_after("import melodygen") & (HEAVY | {"numpy", "typer"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["generate", "--help"]], ids=" ".join)
def test_help_is_light(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["melodygen", *{arguments!r}]
from melodygen.cli import main
try:
    main()
except SystemExit as leaving:
    assert not leaving.code
"""
    loaded = loaded_after(code)
    assert "typer" in loaded and not loaded & (HEAVY | {"numpy"})


@pytest.mark.parametrize("name", melodygen.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(melodygen, name) is not None
    assert name in dir(melodygen)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'compsoe'"):
        _ = melodygen.compsoe


def test_imports_point_only_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS


MAX_LINES, MAX_PARAMETERS = 60, 8
EXCEPTIONS = {
    # the public call of the loop: four parts, and options by keyword that all have a default
    "generation.loop.compose",
    # the operator's arguments are fixed by the kernel it calls
    "nets.float16_step.write_one",
}


def too_long_or_wide(path: Path, module: str) -> list[str]:
    """Functions beyond the limits. The option declarations of a command count neither as lines nor as parameters."""
    found = []

    def visit(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                full = f"{name}.{child.name}"
                given = [*child.args.posonlyargs, *child.args.args, *child.args.kwonlyargs]
                is_command = module.startswith("cli.") and any(
                    a.annotation is not None and "Annotated" in ast.unparse(a.annotation) for a in given
                )
                first = child.body[0].lineno if is_command else child.lineno
                lines = (child.end_lineno or first) - first + 1
                count = 0 if is_command else len([a for a in given if a.arg not in ("self", "cls")])
                if lines > MAX_LINES or count > MAX_PARAMETERS:
                    found.append(full)
                visit(child, full)
            elif isinstance(child, ast.ClassDef):
                visit(child, f"{name}.{child.name}")
            else:
                visit(child, name)

    visit(ast.parse(path.read_text(encoding="utf-8")), module)
    return found


def test_functions_are_short_and_take_few_parameters() -> None:
    package = ROOT / "src" / "melodygen"
    found = set()
    for path in package.rglob("*.py"):
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        found |= set(too_long_or_wide(path, module))
    assert found - EXCEPTIONS == set(), f"over {MAX_LINES} lines or {MAX_PARAMETERS} parameters: split them"
    assert EXCEPTIONS - found == set(), "no longer over the limit: take them off the list"
