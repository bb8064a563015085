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
    from melodygen.api import generate, load_classifier, load_generator, load_renderer, load_writer, render
    from melodygen.audio import Audio
    from melodygen.contracts import Draft, Generator, Renderer, Request, StyleClassifier
    from melodygen.engine import Engine, ProcessWriter
    from melodygen.errors import MelodygenError
    from melodygen.io.audiofile import read_audio, write_audio
    from melodygen.io.midi import read_midi, write_midi
    from melodygen.io.musicxml import write_musicxml
    from melodygen.pipeline import Composition, compose
    from melodygen.registry import list_styles
    from melodygen.score import Chord, KeySignature, Note, Score, Tempo, TimeSignature, Track
    from melodygen.styles import Style, StyleScores

_HOME = {
    "api": ("generate", "load_classifier", "load_generator", "load_renderer", "load_writer", "render"),
    "audio": ("Audio",),
    "contracts": ("Draft", "Generator", "Renderer", "Request", "StyleClassifier"),
    "engine": ("Engine", "ProcessWriter"),
    "errors": ("MelodygenError",),
    "io.audiofile": ("read_audio", "write_audio"),
    "io.midi": ("read_midi", "write_midi"),
    "io.musicxml": ("write_musicxml",),
    "pipeline": ("Composition", "compose"),
    "score": ("Chord", "KeySignature", "Note", "Score", "Tempo", "TimeSignature", "Track"),
    "registry": ("list_styles",),
    "styles": ("Style", "StyleScores"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'melodygen' has no attribute {name!r}")
    return getattr(import_module(f"melodygen.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
