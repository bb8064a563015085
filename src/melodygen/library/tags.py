"""Tags of a file: tinytag's for recordings, the track names' for MIDI.

tinytag (MIT) rather than mutagen, whose GPL the core cannot take on; see ``docs/decisions/0012-library.md``.
"""

from __future__ import annotations

from pathlib import Path

from melodygen.library.track import Tags

MAX_CHARACTERS = 300


def read_tags(path: Path) -> Tags:
    """What the file says about itself; empty where it says nothing, or in a way that cannot be read."""
    from tinytag import TinyTag, TinyTagException

    try:
        if not TinyTag.is_supported(path):
            return Tags()
        found = TinyTag.get(path, duration=False)
    except (TinyTagException, OSError, ValueError, KeyError, IndexError):
        return Tags()
    other = {name.lower(): " / ".join(map(str, values)) for name, values in found.other.items()}
    return Tags(
        title=_clean(found.title),
        artist=_clean(found.artist or found.albumartist),
        album=_clean(found.album),
        year=_clean(found.year)[:4],
        rights=_clean(other.get("copyright") or other.get("license")),
        isrc=_clean(other.get("isrc")),
    )


def _clean(text: object) -> str:
    """One printable line."""
    shown = "" if text is None else str(text).encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in shown).split())[:MAX_CHARACTERS]


__all__ = ["read_tags"]
