"""Which soundfont a renderer plays."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from melodygen.errors import RenderError
from melodygen.resources import models_dir

SUFFIXES = (".sf3", ".sf2")
SYSTEM_FOLDERS = (Path("/usr/share/sounds/sf2"), Path("/usr/share/sounds/sf3"), Path("/usr/share/soundfonts"))
VARIABLE = "MELODYGEN_SOUNDFONT"
"""Environment variable that names a soundfont."""


def soundfonts() -> Iterator[Path]:
    """Yield the soundfonts that are found without being named, best first.

    The order is: the shipped font, the user's data folder, the system's folders, and TimGM6mb of the
    pretty_midi wheel.
    """
    data_home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    folders = (models_dir() / "soundfont", data_home / "melodygen", data_home / "soundfonts", *SYSTEM_FOLDERS)
    for folder in folders:
        try:
            yield from sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        except OSError:
            continue
    spec = importlib.util.find_spec("pretty_midi")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "TimGM6mb.sf2"
        if bundled.is_file():
            yield bundled


def find_soundfont(explicit: Path | None = None) -> Path:
    """Return ``explicit``, else ``$MELODYGEN_SOUNDFONT``, else the first of ``soundfonts()``.

    Raises:
        RenderError: the named soundfont does not exist, or none is found.
    """
    named = os.environ.get(VARIABLE)
    for path, origin in ((explicit, "the soundfont"), (Path(named) if named else None, f"${VARIABLE}")):
        if path is not None:
            if not Path(path).is_file():
                raise RenderError(f"{origin} {path} is not a file; name a .sf2 or .sf3 file, or leave it out")
            return Path(path)
    found = next(soundfonts(), None)
    if found is None:
        raise RenderError(
            f"no soundfont found; name one with --soundfont or ${VARIABLE}, or use the renderer 'additive'"
        )
    return found
