"""melodygen writes music in a named style, renders it, listens to it, and writes again until it fits.

    import melodygen
    piece = melodygen.generate("jazz", bars=16, seed=7)
    print(piece.style_probability, piece.accepted, piece.unselected_mean_probability)
    melodygen.write_midi("jazz.mid", piece.score)
    melodygen.write_audio("jazz.wav", melodygen.render(piece.score))

Names are looked up when they are first used: ``import melodygen`` loads neither torch nor librosa.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from melodygen.analysis.track import TrackAnalysis
    from melodygen.audio.buffer import Audio
    from melodygen.audio.files import read_audio, write_audio
    from melodygen.contracts import Draft, Generator, Renderer, StyleClassifier
    from melodygen.engine import Engine, ProcessWriter
    from melodygen.errors import MelodygenError
    from melodygen.generation.loop import Composition, compose
    from melodygen.io.midi import read_midi, write_midi
    from melodygen.io.musicxml import write_musicxml
    from melodygen.music.score import Chord, KeySignature, Note, Score, Tempo, TimeSignature, Track
    from melodygen.registry import list_styles
    from melodygen.request import Request
    from melodygen.services.analyze import analyze
    from melodygen.services.generate import generate
    from melodygen.services.library import Library
    from melodygen.services.models import load_classifier, load_generator, load_renderer, load_writer
    from melodygen.services.render import render
    from melodygen.styles.scores import StyleScores
    from melodygen.styles.style import Style

_HOME = {
    "services.analyze": ("analyze",),
    "analysis.track": ("TrackAnalysis",),
    "services.generate": ("generate",),
    "services.library": ("Library",),
    "services.models": ("load_classifier", "load_generator", "load_renderer", "load_writer"),
    "services.render": ("render",),
    "audio.buffer": ("Audio",),
    "contracts": ("Draft", "Generator", "Renderer", "StyleClassifier"),
    "request": ("Request",),
    "engine": ("Engine", "ProcessWriter"),
    "errors": ("MelodygenError",),
    "audio.files": ("read_audio", "write_audio"),
    "io.midi": ("read_midi", "write_midi"),
    "io.musicxml": ("write_musicxml",),
    "generation.loop": ("Composition", "compose"),
    "music.score": ("Chord", "KeySignature", "Note", "Score", "Tempo", "TimeSignature", "Track"),
    "registry": ("list_styles",),
    "styles.style": ("Style",),
    "styles.scores": ("StyleScores",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'melodygen' has no attribute {name!r}")
    return getattr(import_module(f"melodygen.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
