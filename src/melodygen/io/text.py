"""Text that files hold: titles, names of parts, marks."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text without control characters, which XML cannot hold, and without spaces around it."""
    return "".join(c for c in text if c.isprintable()).strip()


__all__ = ["printable"]
