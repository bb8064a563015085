"""The fuzzing script on a few files: it finds no fault, and would find one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_files", ROOT / "scripts" / "fuzz_files.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_files"] = module
    spec.loader.exec_module(module)
    module.MEMORY_BYTES = module.resource.RLIM_INFINITY  # the tests' own process has no limit to keep
    return module


def test_mutated_cases_are_read_or_refused_with_words(fuzz: ModuleType, tmp_path: Path) -> None:
    sources = sorted((ROOT / "tests" / "cases").glob("*.mid"))
    for file in fuzz.write_mutations(sources, 120, 7, tmp_path):
        outcome = fuzz.read_one(file)
        assert outcome.result in ("read", "warned", "refused"), outcome
        assert outcome.words or outcome.result == "read"
        assert outcome.ours >= outcome.theirs or outcome.words, outcome


def test_a_silent_loss_would_be_found(
    fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = fuzz.write_mutations([ROOT / "tests" / "cases" / "human.mid"], 1, 1, tmp_path)
    file.path.write_bytes((ROOT / "tests" / "cases" / "human.mid").read_bytes())
    assert fuzz.read_one(file).result == "read"
    monkeypatch.setattr(fuzz, "_mido_notes", lambda data: 33)
    assert fuzz.read_one(file).result == "lost"
