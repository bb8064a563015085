"""New processes that leave the caller's script alone.

Python's spawned processes first run the script that started them once more. A script without a guard
(``if __name__ == "__main__"``) would begin its work again in each. What melodygen runs in processes are functions of
modules, which need no script.
"""

from __future__ import annotations

import sys
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType


class _ScriptlessProcess(SpawnProcess):
    def start(self) -> None:
        """Start with an empty ``__main__`` in place of the caller's."""
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


class ScriptlessContext(SpawnContext):
    """As ``multiprocessing.get_context("spawn")``, for functions and arguments of modules that can be imported."""

    Process = _ScriptlessProcess


__all__ = ["ScriptlessContext"]
