"""Which renderer plays when none is named: the sampler, and tones made by adding sines where no soundfont is found."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from melodygen import registry
from melodygen.contracts import Renderer
from melodygen.errors import RenderError

DEFAULT_RENDERER, FALLBACK_RENDERER = "sampler", "additive"


def load_renderer(name: str | None = None, soundfont: Path | None = None) -> Renderer:
    """A renderer by name; None is ``sampler``, or ``additive`` where no soundfont at all can be found.

    Raises RenderError for a soundfont that was named and cannot be used.
    """
    try:
        return cast(Renderer, registry.load("renderers", name or DEFAULT_RENDERER)(soundfont))
    except RenderError:
        if name is not None or soundfont is not None:
            raise
        return cast(Renderer, registry.load("renderers", FALLBACK_RENDERER)(None))
