"""Which renderer plays when none is named: the sampler, or the additive renderer where no soundfont is
found.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from melodygen import registry
from melodygen.contracts import Renderer
from melodygen.errors import RenderError

DEFAULT_RENDERER, FALLBACK_RENDERER = "sampler", "additive"


def load_renderer(name: str | None = None, soundfont: Path | None = None) -> Renderer:
    """Return a renderer.

    Args:
        name: name of an installed renderer; None is ``sampler``, or ``additive`` where no soundfont can be
            found.
        soundfont: the file to play; None takes the first one found.

    Raises:
        RenderError: the named soundfont or renderer cannot be used.
        PluginError: no renderer has this name.
    """
    try:
        return cast(Renderer, registry.load("renderers", name or DEFAULT_RENDERER)(soundfont))
    except RenderError:
        if name is not None or soundfont is not None:
            raise
        return cast(Renderer, registry.load("renderers", FALLBACK_RENDERER)(None))
