"""A renderer that is loaded when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from melodygen.audio.buffer import Audio
from melodygen.contracts import Renderer
from melodygen.music.score import Score


class DeferredRenderer:
    """Loads a renderer on first use. What loading raises is raised then.

    Args:
        load: returns the renderer.
    """

    def __init__(self, load: Callable[[], Renderer]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._loaded: Renderer | None = None

    def load_soon(self) -> None:
        """Load in a thread of its own, while something else is done."""
        threading.Thread(target=self._try, name="melodygen-renderer", daemon=True).start()

    def _try(self) -> None:
        # who needs the renderer loads it again and is told; the process may also be ending
        with suppress(Exception):
            self._get()

    def _get(self) -> Renderer:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    @property
    def renderer_id(self) -> str:
        """See ``contracts.Renderer``."""
        return self._get().renderer_id

    def render(self, score: Score, sample_rate: int = 44_100, quality: str = "full") -> Audio:
        """See ``contracts.Renderer.render``."""
        return self._get().render(score, sample_rate, quality)
