"""Where the shipped weights and soundfont lie."""

from __future__ import annotations

import os
from pathlib import Path


def models_dir() -> Path:
    """The folder of shipped models: ``$MELODYGEN_MODELS``, else the wheel's ``melodygen/_models``, else the
    repository's ``models``. The folder need not exist; whoever reads from it says what is missing."""
    if explicit := os.environ.get("MELODYGEN_MODELS"):
        return Path(explicit)
    package = Path(__file__).resolve().parent
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent.parent / "models"


def recipes_dir() -> Path:
    """The folder of the shipped recipes: the wheel's ``melodygen/_recipes``, else the repository's ``recipes``."""
    package = Path(__file__).resolve().parent
    installed = package / "_recipes"
    return installed if installed.is_dir() else package.parent.parent / "recipes"
